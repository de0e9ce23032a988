//! INFO and CONNECT: what the two sides tell each other first, and whether the client may stay.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::options::{Authentication, Options};

/// What the listener says about itself. The names are the protocol's.
#[derive(Debug, Serialize)]
struct Info<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    host: String,
    port: u16,
    /// 1: the client may get another INFO at any time.
    proto: u8,
    headers: bool,
    auth_required: bool,
    max_payload: usize,
    client_id: u64,
    client_ip: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ldm: bool,
}

/// What goes into every INFO of one listener.
pub(super) struct Identity {
    /// Random, so that a client can tell a restarted listener from the one it knew.
    pub(super) server_id: String,
    pub(super) local: SocketAddr,
}

/// The INFO line for one client; with `draining` it says that the listener will soon be gone.
pub(super) fn info_line(options: &Options, identity: &Identity, client_id: u64, client: SocketAddr, draining: bool) -> Vec<u8> {
    let info = Info {
        server_id: &identity.server_id,
        server_name: &options.name,
        version: env!("CARGO_PKG_VERSION"),
        host: identity.local.ip().to_string(),
        port: identity.local.port(),
        proto: 1,
        headers: true,
        auth_required: options.authentication != Authentication::None,
        max_payload: options.limits.payload_bytes_max,
        client_id,
        client_ip: client.ip().to_string(),
        ldm: draining,
    };
    let mut line = b"INFO ".to_vec();
    serde_json::to_writer(&mut line, &info).expect("INFO holds only numbers and texts, which always serialise");
    line.extend_from_slice(b"\r\n");
    line
}

/// What the client says about itself.
///
/// Everything else in CONNECT is either for the log of a server (`name`, `lang`, `version`) or about what this listener
/// does not do (`jwt`, `nkey`, `sig`, `tls_required`). `pedantic` asks for subjects to be checked: they always are.
#[derive(Debug, Deserialize)]
pub(super) struct Connect {
    /// Whether every operation is answered with `+OK`.
    #[serde(default = "yes")]
    pub(super) verbose: bool,
    #[serde(default = "yes")]
    pub(super) echo: bool,
    #[serde(default)]
    pub(super) headers: bool,
    #[serde(default)]
    pub(super) no_responders: bool,
    auth_token: Option<String>,
    user: Option<String>,
    pass: Option<String>,
    #[serde(default)]
    pub(super) tls_required: bool,
}

const fn yes() -> bool {
    true
}

impl Connect {
    /// Reads the argument of CONNECT; `None` if it is not a JSON object with the known members of the right types.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether the client may stay.
    pub(super) fn is_admitted(&self, authentication: &Authentication) -> bool {
        match authentication {
            Authentication::None => true,
            Authentication::Token(token) => self.auth_token.as_deref().is_some_and(|given| token.equals(given)),
            Authentication::Users(users) => {
                let (Some(name), Some(password)) = (&self.user, &self.pass) else {
                    return false;
                };
                users.iter().any(|(user, secret)| user == name && secret.equals(password))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    fn check(authentication: &Authentication, json: &str, expect: bool) {
        let connect = Connect::read(json.as_bytes()).unwrap();
        assert_eq!(connect.is_admitted(authentication), expect, "{json}");
    }

    #[test]
    fn only_the_right_credentials_are_admitted() {
        let token = Authentication::Token(Secret::new("s3cret"));
        check(&token, r#"{"auth_token":"s3cret"}"#, true);
        check(&token, r#"{"auth_token":"s3creT"}"#, false);
        check(&token, r#"{"auth_token":""}"#, false);
        check(&token, r#"{"user":"s3cret"}"#, false);
        check(&token, "{}", false);
        let users = Authentication::Users(vec![("orders".into(), Secret::new("a")), ("stock".into(), Secret::new("b"))]);
        check(&users, r#"{"user":"stock","pass":"b"}"#, true);
        check(&users, r#"{"user":"stock","pass":"a"}"#, false);
        check(&users, r#"{"user":"stock"}"#, false);
        check(&Authentication::None, r#"{"auth_token":"anything"}"#, true);
    }

    #[test]
    fn secrets_are_not_printed() {
        let options = Options { authentication: Authentication::Token(Secret::new("s3cret")), ..Options::default() };
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn members_of_newer_clients_are_tolerated_and_wrong_types_are_not() {
        assert!(Connect::read(br#" {"verbose":false,"something_new":{"a":1}} "#).is_some());
        assert!(Connect::read(br#"{"verbose":"no"}"#).is_none());
        assert!(Connect::read(b"not json").is_none());
    }
}

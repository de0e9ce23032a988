//! Signed requests, in the form of Standard Webhooks, so that a system can tell the coordinator from anybody else.
//!
//! `webhook-id`, `webhook-timestamp` and the body, joined by dots, are signed with HMAC-SHA256 and a secret that only the system and the
//! coordinator know. Every library for Standard Webhooks verifies it. The URL is not signed: what a GET or DELETE asks for is covered
//! only by the connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;

/// What a secret begins with, so that scanners find one that was leaked.
const PREFIX: &str = "whsec_";
/// Bytes of a secret; the bounds are those of Standard Webhooks.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets in force at once: the current and, while they are exchanged, the next.
pub const SECRETS_MAX: usize = 2;

/// The secrets of one system; a request is signed with each, so that either is enough for the receiver. Never printed.
#[derive(Clone)]
pub struct Signer(Vec<Vec<u8>>);

/// Why a text holds no secrets. Never repeats what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It is empty.
    #[error("it holds no secret; write one line `whsec_` and 24 to 64 random bytes in base64")]
    Missing,
    /// One is not `whsec_` and base64.
    #[error("line {0} is not `whsec_` and 24 to 64 random bytes in base64")]
    Malformed(usize),
    /// More than [`SECRETS_MAX`].
    #[error("it holds more than two secrets; keep the current one and, while they are exchanged, the next")]
    TooMany,
}

impl Signer {
    /// Reads one secret per line; empty lines and what surrounds a secret do not count.
    ///
    /// # Errors
    /// Names the line that is not a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let mut secrets = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = InvalidSecret::Malformed(number + 1);
            let secret = line.trim().strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok()).ok_or(malformed)?;
            if !SECRET_BYTES.contains(&secret.len()) {
                return Err(malformed);
            }
            secrets.push(secret);
        }
        match secrets.len() {
            0 => Err(InvalidSecret::Missing),
            1..=SECRETS_MAX => Ok(Self(secrets)),
            _ => Err(InvalidSecret::TooMany),
        }
    }

    /// The value of `webhook-signature`: one signature per secret, with spaces between.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_signature_is_what_the_standard_says() {
        // The example of the Standard Webhooks specification and its reference libraries.
        let signer = Signer::parse(SECRET).expect("a secret");
        let signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_secrets_are_exchanged_each_signs() {
        let next = format!("whsec_{}", STANDARD.encode([7; 32]));
        let both = Signer::parse(&format!("\n {SECRET} \r\n\n{next}\n")).expect("two secrets").sign("id", 1, b"{}");
        let alone = |secret: &str| Signer::parse(secret).expect("a secret").sign("id", 1, b"{}");
        assert_eq!(both, format!("{} {}", alone(SECRET), alone(&next)));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_repeating_it() {
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        for (text, expected) in [
            ("", InvalidSecret::Missing),
            ("\n \n", InvalidSecret::Missing),
            ("hunter2", InvalidSecret::Malformed(1)),
            ("whsec_***", InvalidSecret::Malformed(1)),
            (&short, InvalidSecret::Malformed(1)),
            (&long, InvalidSecret::Malformed(1)),
            (&format!("{SECRET}\nhunter2"), InvalidSecret::Malformed(2)),
            (&format!("{SECRET}\n{SECRET}\n{SECRET}"), InvalidSecret::TooMany),
        ] {
            let error = Signer::parse(text).expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!(format!("{:?}", Signer::parse(SECRET).expect("a secret")), "[redacted]");
    }
}

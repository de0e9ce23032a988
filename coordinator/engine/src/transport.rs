//! How a system is reached: `transport: auto`, and how a capability is asked over HTTP: `http: { method: POST, path: /v1/charges }`.
//!
//! The engine itself opens an attempt and does not care; these are words that manifest, runtime and egress share.

use crate::ids::CapabilityName;

/// How a system's steps reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Transport {
    /// Over the bus; over HTTP if nobody is there.
    #[default]
    Auto,
    /// Over the bus only.
    Bus,
    /// Over HTTP only.
    Http,
}

impl Transport {
    /// Every transport, in the order in which they are explained.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Bus, Self::Http];

    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Bus => "bus",
            Self::Http => "http",
        }
    }

    /// Reads the word; none if it is none of them.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// The methods by which a capability may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpMethod {
    /// The input is the body.
    Post,
    /// The input is the body.
    Put,
    /// The input is the body.
    Patch,
    /// The input's members are query parameters.
    Get,
    /// The input's members are query parameters.
    Delete,
}

impl HttpMethod {
    /// Every method, in the order in which they are explained.
    pub const ALL: [Self; 5] = [Self::Post, Self::Put, Self::Patch, Self::Get, Self::Delete];

    /// The method as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Get => "GET",
            Self::Delete => "DELETE",
        }
    }

    /// Reads a method in capitals, as HTTP writes it; none if it is none of them.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }

    /// Whether the input travels as the body; otherwise as query parameters, so that its members must be scalars.
    pub fn has_body(self) -> bool {
        match self {
            Self::Post | Self::Put | Self::Patch => true,
            Self::Get | Self::Delete => false,
        }
    }
}

/// How one capability is asked over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpRoute {
    method: HttpMethod,
    path: String,
}

/// Why a path is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It does not begin with a slash.
    #[error("a path begins with `/`")]
    NotAbsolute,
    /// It is longer than [`HttpRoute::PATH_BYTES_MAX`].
    #[error("a path has at most {} bytes", HttpRoute::PATH_BYTES_MAX)]
    TooLong,
    /// A query or fragment: the input is what varies.
    #[error("a path has no `?` and no `#`; what varies belongs into the input")]
    Query,
    /// Steps out of the system's base URL.
    #[error("a path has no `.` or `..` between its slashes")]
    Climbs,
    /// A character that no URL shows as it is.
    #[error("a path has letters, digits and `-._~!$&'()*+,;=:@%/`; anything else must be percent-encoded")]
    Character,
}

impl HttpRoute {
    /// The longest path, in bytes.
    pub const PATH_BYTES_MAX: usize = 1_024;

    /// Checks the path. It is put behind the system's base URL as it is.
    ///
    /// # Errors
    /// Says which rule the path breaks.
    pub fn new(method: HttpMethod, path: &str) -> Result<Self, InvalidPath> {
        if !path.starts_with('/') {
            return Err(InvalidPath::NotAbsolute);
        }
        if path.len() > Self::PATH_BYTES_MAX {
            return Err(InvalidPath::TooLong);
        }
        if path.contains(['?', '#']) {
            return Err(InvalidPath::Query);
        }
        if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte)) {
            return Err(InvalidPath::Character);
        }
        // A server may decode a dot before it looks at the path.
        let is_dots = |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if path.split('/').any(is_dots) {
            return Err(InvalidPath::Climbs);
        }
        Ok(Self { method, path: path.to_owned() })
    }

    /// What holds for a capability that declares nothing: `POST /capabilities/<name>`.
    pub fn default_of(capability: &CapabilityName) -> Self {
        Self { method: HttpMethod::Post, path: format!("/capabilities/{capability}") }
    }

    /// The method.
    pub fn method(&self) -> HttpMethod {
        self.method
    }

    /// The path below the system's base URL; begins with `/`, without query and fragment.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        assert!(Transport::ALL.into_iter().all(|known| Transport::parse(known.as_str()) == Some(known)));
        assert!(HttpMethod::ALL.into_iter().all(|known| HttpMethod::parse(known.as_str()) == Some(known)));
        assert_eq!((Transport::parse("HTTP"), HttpMethod::parse("post"), HttpMethod::parse("TRACE")), (None, None, None));
    }

    #[test]
    fn a_path_stays_below_the_base_url() {
        for path in ["/", "/v1/charges", "/v1//x/", "/a%20b", "/capabilities/payment.charge", "/...", "/a:b@c"] {
            assert_eq!(HttpRoute::new(HttpMethod::Get, path).as_ref().map(HttpRoute::path), Ok(path));
        }
        for (path, expected) in [
            ("", InvalidPath::NotAbsolute),
            ("v1", InvalidPath::NotAbsolute),
            ("http://b.example/", InvalidPath::NotAbsolute),
            ("/x?y=1", InvalidPath::Query),
            ("/x#y", InvalidPath::Query),
            ("/../admin", InvalidPath::Climbs),
            ("/a/..", InvalidPath::Climbs),
            ("/%2e%2E/x", InvalidPath::Climbs),
            ("/./x", InvalidPath::Climbs),
            ("/a\\b", InvalidPath::Character),
            ("/a b", InvalidPath::Character),
            ("/ö", InvalidPath::Character),
        ] {
            assert_eq!(HttpRoute::new(HttpMethod::Get, path), Err(expected), "{path}");
        }
        let long = format!("/{}", "x".repeat(HttpRoute::PATH_BYTES_MAX));
        assert_eq!(HttpRoute::new(HttpMethod::Get, &long), Err(InvalidPath::TooLong));
    }

    #[test]
    fn every_capability_name_makes_a_path_that_is_one() {
        for name in ["charge", "payment.charge", "a-b.c_d.E9"] {
            let route = HttpRoute::default_of(&CapabilityName::new(name).expect("a name"));
            assert_eq!(HttpRoute::new(route.method(), route.path()), Ok(route.clone()));
        }
    }
}

//! Reads how a system is reached: `transport:` of a system, `http:` of a capability.

use crate::codes;
use crate::fields::{Fields, choice, text};
use crate::report::{Problem, Report};
use crate::yaml::Node;

/// How the steps of a system travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// To its workers; over HTTP if nobody is known on the bus and the system has an address.
    #[default]
    Auto,
    /// To workers and plain responders only.
    Bus,
    /// Over HTTP, at once.
    Http,
}

/// The methods by which a capability may be asked over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// How one capability is asked over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpBinding {
    /// The method.
    pub method: HttpMethod,
    /// Below the system's base URL; begins with `/`, without query and fragment. At most [`HttpBinding::PATH_BYTES_MAX`] bytes.
    pub path: String,
}

impl HttpBinding {
    /// The longest path, in bytes.
    pub const PATH_BYTES_MAX: usize = 1_024;
}

const TRANSPORTS: [(&str, Transport); 3] = [("auto", Transport::Auto), ("bus", Transport::Bus), ("http", Transport::Http)];

const METHODS: [(&str, HttpMethod); 5] = [
    ("POST", HttpMethod::Post),
    ("PUT", HttpMethod::Put),
    ("PATCH", HttpMethod::Patch),
    ("GET", HttpMethod::Get),
    ("DELETE", HttpMethod::Delete),
];

impl Transport {
    /// The word used in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Bus => "bus",
            Self::Http => "http",
        }
    }
}

impl HttpMethod {
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
}

/// Reads `transport:`.
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<Transport> {
    choice(node, "`transport`", &TRANSPORTS, report)
}

/// Reads `http:` of a capability. Without a method it is `POST`, without a path `/capabilities/<name>`.
pub(crate) fn binding(node: &Node, capability: &str, report: &mut Report<'_>) -> Option<HttpBinding> {
    let fields = Fields::open(node, "`http`", &["method", "path"], report)?;
    let method = fields.get("method").map_or(Some(HttpMethod::Post), |node| choice(node, "`method`", &METHODS, report));
    let path = fields.get("path").map_or_else(|| Some(format!("/capabilities/{capability}")), |node| path(node, report));
    Some(HttpBinding { method: method?, path: path? })
}

fn path(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let path = text(node, "`path`", report)?;
    let climbs = path.split('/').any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."));
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@!$&'()*+,;=%".contains(&byte);
    let rule = if path.len() > HttpBinding::PATH_BYTES_MAX {
        "is longer than 1024 bytes"
    } else if !path.starts_with('/') {
        "does not begin with `/`"
    } else if path.contains(['?', '#']) {
        "has a query or a fragment; the input says what is asked"
    } else if climbs {
        "has a part `.` or `..`"
    } else if !path.bytes().all(unreserved) {
        "has a character that must be percent-encoded"
    } else {
        return Some(path.to_owned());
    };
    let problem = Problem::new(&codes::BAD_PATH, node.place, format!("`path` {rule}"));
    report.add(problem.hint("write it below the system's `base_url`, like `/v1/charges`"));
    None
}

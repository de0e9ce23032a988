//! Reads how a system is reached: `transport:` of a system, `http:` of a capability.

use crate::codes;
use crate::fields::{Fields, choice, short, text};
use crate::report::{Problem, Report};
use crate::yaml::{Kind, Node};
use tasker_engine::CapabilityName;
use tasker_engine::transport::{HttpMethod, HttpRoute, InvalidPath, Transport};

const TRANSPORTS: [(&str, Transport); 3] = [("auto", Transport::Auto), ("bus", Transport::Bus), ("http", Transport::Http)];

const METHODS: [(&str, HttpMethod); 5] = [
    ("POST", HttpMethod::Post),
    ("PUT", HttpMethod::Put),
    ("PATCH", HttpMethod::Patch),
    ("GET", HttpMethod::Get),
    ("DELETE", HttpMethod::Delete),
];

/// Reads `transport:`.
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<Transport> {
    choice(node, "`transport`", &TRANSPORTS, report)
}

/// Reads `http:` of a capability. Without a method it is `POST`, without a path `/capabilities/<name>`.
pub(crate) fn binding(node: &Node, capability: &CapabilityName, report: &mut Report<'_>) -> Option<HttpRoute> {
    let fields = Fields::open(node, "`http`", &["method", "path"], report)?;
    let method = fields.get("method").map_or(Some(HttpMethod::Post), |node| choice(node, "`method`", &METHODS, report));
    let default = HttpRoute::default_of(capability);
    let Some(node) = fields.get("path") else { return HttpRoute::new(method?, default.path()).ok() };
    let path = text(node, "`path`", report)?;
    match HttpRoute::new(method.unwrap_or(HttpMethod::Post), path) {
        Ok(route) => method.map(|_| route),
        Err(invalid) => {
            let rule = match invalid {
                InvalidPath::TooLong => "is longer than 1024 bytes",
                InvalidPath::NotAbsolute => "does not begin with `/`",
                InvalidPath::Query => "has a query or a fragment; the input says what is asked",
                InvalidPath::Climbs => "has a part `.` or `..`",
                InvalidPath::Character => "has a character that must be percent-encoded",
            };
            let problem = Problem::new(&codes::BAD_PATH, node.place, format!("`path` {rule}"));
            report.add(problem.hint("write it below the system's `base_url`, like `/v1/charges`"));
            None
        }
    }
}

/// Reports members of an input that can never travel as a query, because they are lists or objects whatever their value.
pub(crate) fn check_query(route: &HttpRoute, input: &Node, report: &mut Report<'_>) {
    if route.method().has_body() {
        return;
    }
    let Some(Kind::Map(properties)) = input.field("properties").map(|node| &node.kind) else { return };
    for (key, schema) in properties {
        let Some(Kind::Text(word)) = schema.field("type").map(|node| &node.kind) else { continue };
        if matches!(word.as_str(), "array" | "object") {
            let method = route.method().as_str();
            let message = format!("`{}` is {word}, but with {method} the input travels as the query", short(&key.text));
            let problem = Problem::new(&codes::QUERY_NOT_SCALAR, key.place, message);
            report.add(problem.hint("use POST, PUT or PATCH, or send texts, numbers and booleans alone"));
        }
    }
}

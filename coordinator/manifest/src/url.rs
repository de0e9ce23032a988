//! Checks addresses of systems. They are shown and probed, never guessed at.

use crate::codes;
use crate::fields::text;
use crate::report::{Problem, Report};
use crate::yaml::Node;

/// The longest URL, in bytes; what browsers and proxies agree on.
const URL_MAX: usize = 2_048;

/// Reads an absolute http or https URL without credentials.
pub(crate) fn read(node: &Node, what: &str, report: &mut Report<'_>) -> Option<String> {
    let written = text(node, what, report)?;
    match rule_broken(written) {
        None => Some(written.to_owned()),
        Some(rule) => {
            let problem = Problem::new(&codes::BAD_URL, node.place, format!("{what} {rule}"));
            report.add(problem.hint("write it like `https://inventory.example.com/path`"));
            None
        }
    }
}

fn rule_broken(url: &str) -> Option<&'static str> {
    if url.len() > URL_MAX {
        return Some("is longer than 2048 bytes");
    }
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return Some("does not begin with `http://` or `https://`");
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if !rest.bytes().all(unreserved) {
        return Some("has a character that must be percent-encoded");
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if authority.contains('@') {
        return Some("holds credentials; they do not belong in a manifest");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, after)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Some("has a host that is not an IPv6 address");
            }
            (address, after.strip_prefix(':').or_else(|| (!after.is_empty()).then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_name = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !authority.starts_with('[') && !host.trim_end_matches('.').split('.').all(is_name) {
        return Some("has no valid host");
    }
    if port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Some("has a port that is not a number from 1 to 65535");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_http_urls_without_credentials_pass() {
        for url in [
            "https://orders.company.com",
            "http://localhost:8080/health?full=1#top",
            "http://[::1]:9000/",
            "https://a-b.example.com/x%20y",
            "http://10.0.0.1",
        ] {
            assert_eq!(rule_broken(url), None, "{url}");
        }
        for url in [
            "",
            "orders.company.com",
            "ftp://a.b",
            "https://",
            "https:///x",
            "https://a b",
            "https://user:secret@host",
            "https://host:99999",
            "https://host:x",
            "https://host:",
            "https://a..b",
            "http://[::1",
            "http://[zz]/",
            "http://[::1]x",
            "https://hö.st",
            "javascript:alert(1)",
            "http://host:+80",
        ] {
            assert!(rule_broken(url).is_some(), "{url}");
        }
    }
}

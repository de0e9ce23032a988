//! Strings that are more than strings. Each rule is narrower than the format's own: what is recognised here fits for every reader,
//! and what is not stays a plain string.

/// A format of JSON Schema, in the order in which it is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Format {
    DateTime,
    Date,
    Uuid,
    Email,
    Uri,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::DateTime, Self::Date, Self::Uuid, Self::Email, Self::Uri];

    /// As a schema names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Email => "email",
            Self::Uri => "uri",
        }
    }

    /// Whether a string has the format.
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::DateTime => is_date_time(text),
            Self::Date => is_date(text),
            Self::Uuid => is_uuid(text),
            Self::Email => is_email(text),
            Self::Uri => is_uri(text),
        }
    }
}

/// The number in some digits; nothing if there is anything else.
fn digits(text: &str) -> Option<u32> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

/// RFC 3339 `full-date`.
fn is_date(text: &str) -> bool {
    if text.len() != 10 || !text.is_ascii() || text.as_bytes()[4] != b'-' || text.as_bytes()[7] != b'-' {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (digits(&text[..4]), digits(&text[5..7]), digits(&text[8..])) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// RFC 3339 `date-time`, with an upper-case `T` and `Z`, at most nine digits of a second, and no leap second.
fn is_date_time(text: &str) -> bool {
    if !text.is_ascii() || text.len() < 20 || !is_date(&text[..10]) || text.as_bytes()[10] != b'T' {
        return false;
    }
    let rest = &text[11..];
    let zone = rest.find(['Z', '+', '-']);
    let Some((time, zone)) = zone.map(|at| rest.split_at(at)) else { return false };
    let (whole, fraction) = time.split_once('.').map_or((time, None), |(whole, fraction)| (whole, Some(fraction)));
    let clock = |text: &str, parts: usize| {
        let parts_of: Vec<&str> = text.split(':').collect();
        parts_of.len() == parts
            && parts_of.iter().zip([24, 60, 60]).all(|(part, below)| part.len() == 2 && digits(part).is_some_and(|value| value < below))
    };
    let fraction = fraction.is_none_or(|fraction| (1..=9).contains(&fraction.len()) && digits(fraction).is_some());
    clock(whole, 3) && fraction && (zone == "Z" || clock(&zone[1..], 2))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.len() == 5
        && groups
            .iter()
            .zip([8, 4, 4, 4, 12])
            .all(|(group, length)| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `name@host.domain`, of the characters that need no quoting.
fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.split_once('@') else { return false };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty() && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let labels: Vec<&str> = host.split('.').collect();
    name.split('.').all(|part| word(part, b"_+-"))
        && name.len() <= 64
        && host.len() <= 190
        && labels.len() >= 2
        && labels.iter().all(|label| word(label, b"-") && !label.starts_with('-') && !label.ends_with('-') && !label.contains("--"))
        && labels.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// `scheme://host` and whatever may follow without brackets.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(host_end);
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let scheme = scheme.starts_with(|sign: char| sign.is_ascii_lowercase()) && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    let name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let port = port.is_none_or(|port| (1..=5).contains(&port.len()) && digits(port).is_some_and(|port| port <= 65_535));
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/?&=+,;:@!$'()*".contains(&byte);
    let (before, fragment) = path.split_once('#').unwrap_or((path, ""));
    scheme && name && port && before.bytes().all(sign) && fragment.bytes().all(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_knows_its_own_and_refuses_the_almost_right() {
        let table = [
            (
                Format::DateTime,
                vec!["2026-11-21T07:00:12Z", "2024-02-29T23:59:59.123456789+02:00"],
                vec![
                    "2026-11-21",
                    "2026-11-21 07:00:12Z",
                    "2026-11-21T07:00:12",
                    "2026-11-21T24:00:00Z",
                    "2023-02-29T00:00:00Z",
                    "2026-11-21T07:00:60Z",
                    "2026-11-21T07:00:12.Z",
                    "2026-11-21T07:00:12+2:00",
                ],
            ),
            (
                Format::Date,
                vec!["2026-11-21", "2000-02-29"],
                vec!["2026-13-01", "1900-02-29", "2026-11-00", "20261121", "2026-1-21", "2026-11-2a"],
            ),
            (
                Format::Uuid,
                vec!["123e4567-e89b-12d3-a456-426614174000"],
                vec!["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
            ),
            (
                Format::Email,
                vec!["ada@example.com", "a.b+c@mail.example.org"],
                vec!["ada", "ada@localhost", "a..b@example.com", "ada@-x.com", "a@b@c.de", "ä@example.com"],
            ),
            (
                Format::Uri,
                vec!["https://example.com", "https://a.example:8080/x?y=1#z", "nats://127.0.0.1:4222"],
                vec!["example.com", "https://", "https://a b", "urn:isbn:1", "https://a:99999/", "https://a/[x]", "https://a/%zz"],
            ),
        ];
        for (format, good, bad) in table {
            good.iter().for_each(|text| assert!(format.fits(text), "{text} is a {}", format.name()));
            bad.iter().for_each(|text| assert!(!format.fits(text), "{text} is no {}", format.name()));
        }
    }
}

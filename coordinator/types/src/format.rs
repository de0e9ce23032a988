//! The formats of JSON Schema 2020-12, which contracts enforce. Formats that the validator does not know only describe, and so
//! do `idn-email` and `idn-hostname`, for which it lacks the tables.
//!
//! A format is recognised carefully: a text surely has it, surely lacks it, or nothing is said. What is said is what the
//! validator of contracts says too; a test holds the two against each other.

/// A format that is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    Date,
    DateTime,
    Time,
    Duration,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Uri,
    UriReference,
    Iri,
    IriReference,
    UriTemplate,
    Uuid,
    JsonPointer,
    RelativeJsonPointer,
    Regex,
}

impl Format {
    pub(crate) const ALL: [(&'static str, Self); 17] = [
        ("date", Self::Date),
        ("date-time", Self::DateTime),
        ("time", Self::Time),
        ("duration", Self::Duration),
        ("email", Self::Email),
        ("hostname", Self::Hostname),
        ("ipv4", Self::Ipv4),
        ("ipv6", Self::Ipv6),
        ("uri", Self::Uri),
        ("uri-reference", Self::UriReference),
        ("iri", Self::Iri),
        ("iri-reference", Self::IriReference),
        ("uri-template", Self::UriTemplate),
        ("uuid", Self::Uuid),
        ("json-pointer", Self::JsonPointer),
        ("relative-json-pointer", Self::RelativeJsonPointer),
        ("regex", Self::Regex),
    ];

    /// `None` for a name that only describes.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// Whether every text of this format has the other one too.
    pub(crate) fn implies(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Uri, Self::UriReference) | (Self::Iri, Self::IriReference))
    }

    /// The least and greatest number of characters.
    pub(crate) fn lengths(self) -> (u64, Option<u64>) {
        match self {
            Self::Date => (10, Some(10)),
            Self::Uuid => (36, Some(36)),
            Self::Ipv4 => (7, Some(15)),
            Self::DateTime => (20, None),
            Self::Time => (9, None),
            Self::Ipv6 => (2, None),
            Self::Email | Self::Uri | Self::Iri => (2, None),
            Self::Duration => (3, None),
            Self::RelativeJsonPointer => (1, None),
            Self::Hostname | Self::UriReference | Self::IriReference | Self::UriTemplate | Self::JsonPointer | Self::Regex => (0, None),
        }
    }

    /// A few texts of the format.
    pub(crate) fn samples(self) -> &'static [&'static str] {
        match self {
            Self::Date => &["2026-01-31", "1999-12-01"],
            Self::DateTime => &["2026-01-31T09:30:00Z", "1999-12-01T00:00:00.5+02:00"],
            Self::Time => &["09:30:00Z", "23:00:00.5+02:00"],
            Self::Duration => &["P1D", "PT30S"],
            Self::Email => &["a@example.com", "someone.else@example.org"],
            Self::Hostname => &["example.com", "a"],
            Self::Ipv4 => &["192.0.2.1", "198.51.100.200"],
            Self::Ipv6 => &["2001:db8::1", "::1"],
            Self::Uri | Self::Iri => &["https://example.com/a", "https://example.org"],
            Self::UriReference | Self::IriReference => &["https://example.com/a", "a/b"],
            Self::UriTemplate => &["https://example.com/a", "a/b"],
            Self::Uuid => &["123e4567-e89b-42d3-a456-426614174000", "00000000-0000-4000-8000-000000000000"],
            Self::JsonPointer => &["/a", ""],
            Self::RelativeJsonPointer => &["0", "1/a"],
            Self::Regex => &["a", "^[0-9]+$"],
        }
    }

    /// Whether the text has the format; `None` where it would take the validator to know.
    pub(crate) fn has(self, text: &str) -> Option<bool> {
        if self.samples().contains(&text) {
            return Some(true);
        }
        if text.chars().any(|c| c.is_control()) && self != Self::Regex && self != Self::JsonPointer {
            return Some(false);
        }
        match self {
            Self::Date => Some(is_date(text)),
            Self::DateTime => is_date_time(text),
            Self::Time => is_time(text),
            Self::Uuid => Some(is_uuid(text)),
            Self::JsonPointer => is_json_pointer(text),
            Self::Ipv4 => text.bytes().any(|b| !b.is_ascii_digit() && b != b'.').then_some(false).or_else(|| dots(text)),
            Self::Ipv6 => text.bytes().any(|b| !b.is_ascii_hexdigit() && b != b':' && b != b'.').then_some(false),
            Self::Duration => (!text.starts_with('P') || text.len() < 3).then_some(false),
            Self::Email => (!text.contains('@')).then_some(false),
            Self::Hostname => text.contains([' ', '/', '@', '(', ':']).then_some(false),
            Self::Uri | Self::Iri => (!text.contains(':') || text.contains([' ', '<', '>', '"', '{', '}'])).then_some(false),
            Self::UriReference | Self::IriReference => text.contains([' ', '<', '>', '"', '{', '}']).then_some(false),
            Self::UriTemplate => (text.contains(' ') || text.ends_with('{')).then_some(false),
            Self::RelativeJsonPointer => (!text.starts_with(|c: char| c.is_ascii_digit())).then_some(false),
            Self::Regex if text == "(" => Some(false),
            Self::Regex => text.chars().all(|c| c.is_ascii_alphanumeric()).then_some(true),
        }
    }

    /// A text that surely lacks the format, whatever the format.
    pub(crate) const NEVER: [&'static str; 2] = ["(", "not { a format"];
}

fn dots(text: &str) -> Option<bool> {
    (text.bytes().filter(|b| *b == b'.').count() != 3 || text.is_empty()).then_some(false)
}

fn two_digits(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => Some(u32::from(a - b'0') * 10 + u32::from(b - b'0')),
        _ => None,
    }
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let (Some(century), Some(year), Some(month), Some(day)) =
        (two_digits(&bytes[..2]), two_digits(&bytes[2..4]), two_digits(&bytes[5..7]), two_digits(&bytes[8..]))
    else {
        return false;
    };
    let year = century * 100 + year;
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Only the plain forms are affirmed; leap seconds and lower-case letters are left to the validator.
fn is_time(text: &str) -> Option<bool> {
    let bytes = text.as_bytes();
    if bytes.len() < 9 || bytes[2] != b':' || bytes[5] != b':' {
        return Some(false);
    }
    let (Some(hour), Some(minute), Some(second)) = (two_digits(&bytes[..2]), two_digits(&bytes[3..5]), two_digits(&bytes[6..8])) else {
        return Some(false);
    };
    let plain = hour < 24 && minute < 60 && second < 60 && &bytes[8..] == b"Z";
    plain.then_some(true)
}

fn is_date_time(text: &str) -> Option<bool> {
    if text.len() < 20 || !text.is_char_boundary(10) || !text.is_char_boundary(11) || !is_date(&text[..10]) {
        return Some(false);
    }
    match &text[10..11] {
        "T" => is_time(&text[11..]),
        "t" => None,
        _ => Some(false),
    }
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn is_json_pointer(text: &str) -> Option<bool> {
    if !text.is_empty() && !text.starts_with('/') {
        return Some(false);
    }
    (!text.contains('~') && text.is_ascii() && !text.chars().any(char::is_control)).then_some(true)
}

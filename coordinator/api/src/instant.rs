//! Instants and durations as text: RFC 3339 in UTC with milliseconds, and `30s`.

use serde::{Serialize, Serializer};
use std::time::Duration;
use tasker_engine::Timestamp;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An instant as the API writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Stored milliseconds beyond the calendar can only come from a damaged store; they are shown as the end of it.
        let instant = jiff::Timestamp::from_millisecond(self.0.as_millis()).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{instant:.3}")
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for Instant {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, UTC, with milliseconds."))
            .examples(["2026-11-18T11:06:40.120Z"])
            .into()
    }
}

impl ToSchema for Instant {}

/// Reads RFC 3339 with any offset; digits below a millisecond are dropped.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp::from_millis(instant.as_millisecond()))
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads `500ms`, `30s`, `2m` or `1h`: a whole number and a unit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit_millis)?))
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_exactly_three_digits_below_the_second() {
        for (millis, text) in
            [(0, "1970-01-01T00:00:00.000Z"), (1_795_000_000_120, "2026-11-18T11:06:40.120Z"), (-1, "1969-12-31T23:59:59.999Z")]
        {
            assert_eq!(Instant(Timestamp::from_millis(millis)).to_string(), text);
            assert_eq!(parse(text), Some(Timestamp::from_millis(millis)));
        }
        assert_eq!(Instant(Timestamp::from_millis(i64::MAX)).to_string(), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn an_offset_is_understood_and_a_bare_date_is_not_an_instant() {
        assert_eq!(parse("1970-01-01T01:00:00+01:00"), Some(Timestamp::from_millis(0)));
        assert_eq!(parse("1970-01-01"), None);
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, millis) in [("500ms", Some(500)), ("30s", Some(30_000)), ("2m", Some(120_000)), ("1h", Some(3_600_000))] {
            assert_eq!(parse_duration(text).map(super::millis), millis, "{text}");
        }
        for text in ["", "s", "30", "1.5s", "-1s", "30 s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}

//! Durations as people write them: `250ms`, `30s`, `1m30s`, `2h`, `1d`.

use crate::codes;
use crate::fields::{short, wrong_type};
use crate::report::{Problem, Report};
use crate::yaml::{Kind, Node};
use std::time::Duration;

/// The longest duration, a year: longer waits are mistakes, and every instant stays far from the end of the calendar.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InvalidDuration {
    Malformed,
    TooLong,
}

/// Reads whole numbers with units, largest unit first, each unit once.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let mut millis: u64 = 0;
    let mut rest = text;
    let mut units = UNITS.as_slice();
    if rest.is_empty() {
        return Err(InvalidDuration::Malformed);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let place = units.iter().position(|(name, _)| *name == unit).ok_or(InvalidDuration::Malformed)?;
        if number.is_empty() {
            return Err(InvalidDuration::Malformed);
        }
        let amount: u64 = number.parse().map_err(|_| InvalidDuration::TooLong)?;
        let part = amount.checked_mul(units[place].1).ok_or(InvalidDuration::TooLong)?;
        millis = millis.checked_add(part).ok_or(InvalidDuration::TooLong)?;
        units = &units[place + 1..];
        rest = &rest[digits + letters..];
    }
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX { Err(InvalidDuration::TooLong) } else { Ok(duration) }
}

/// Reads a duration as manifests write it, for settings and flags that follow the same rule: `250ms`, `30s`, `1m30s`, `2h`, `1d`.
///
/// Zero is a duration here; whoever needs more refuses it. `None` for a bare number, an unknown unit, units out of order, or more
/// than 366 days.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(tasker_manifest::parse_duration("1m30s"), Some(Duration::from_secs(90)));
/// assert_eq!(tasker_manifest::parse_duration("90"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text).ok()
}

/// Writes a duration the way it is read: `1m30s`.
pub(crate) fn format(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in UNITS {
        if millis >= length {
            text.push_str(&format!("{}{unit}", millis / length));
            millis %= length;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Reads a duration that must be longer than zero.
pub(crate) fn read(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Duration> {
    let text = match &node.kind {
        Kind::Text(text) => text,
        Kind::Number(_, written) => {
            let problem = Problem::new(&codes::BAD_DURATION, node.place, format!("{what} has no unit"));
            let whole = written.bytes().all(|byte| byte.is_ascii_digit());
            let problem = problem.hint("write the unit: `ms`, `s`, `m`, `h` or `d`");
            report.add(if whole { problem.fix(format!("{written}s")) } else { problem });
            return None;
        }
        _ => {
            wrong_type(node, what, "a duration such as `30s`", report);
            return None;
        }
    };
    match parse(text) {
        Ok(Duration::ZERO) => {
            let problem = Problem::new(&codes::ZERO_DURATION, node.place, format!("{what} is zero"));
            report.add(problem.hint("nothing can be done in no time; remove the field to leave it out"));
            None
        }
        Ok(duration) => Some(duration),
        Err(InvalidDuration::TooLong) => {
            let message = format!("{what}, `{}`, is longer than {}", short(text), format(DURATION_MAX));
            report.add(Problem::new(&codes::BAD_DURATION, node.place, message).hint("write a shorter one, or remove the field"));
            None
        }
        Err(InvalidDuration::Malformed) => {
            let problem = Problem::new(&codes::BAD_DURATION, node.place, format!("`{}` is not a duration", short(text)));
            report.add(problem.hint("write whole numbers with units, largest first: `250ms`, `30s`, `1m30s`, `2h`, `1d`"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly_or_refused() {
        let table = [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1m30s", 90_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
        ];
        for (text, millis) in table {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "1.5s", "-1s", "30 s", "30S", "1s1m", "1s2s", "1w", "ms", "1e3s", "٣s"] {
            assert_eq!(parse(text), Err(InvalidDuration::Malformed), "{text}");
        }
        for text in ["367d", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse(text), Err(InvalidDuration::TooLong), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for millis in [0, 1, 250, 1_000, 90_000, 93_784_005, 31_622_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}

//! Durations as people write them: `250ms`, `30s`, `1m30s`, `2h`, `1d`.

use std::time::Duration;

/// The longest duration, a year: longer waits are mistakes, and every instant stays far from the end of the calendar.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Debug, PartialEq, Eq)]
pub enum InvalidDuration {
    /// Not whole numbers with units, largest first.
    Malformed,
    /// Longer than [`DURATION_MAX`].
    TooLong,
}

/// Reads whole numbers with units, largest unit first, each unit once.
///
/// # Errors
/// See [`InvalidDuration`].
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
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

/// Writes a duration the way it is read: `1m30s`.
pub fn format(duration: Duration) -> String {
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

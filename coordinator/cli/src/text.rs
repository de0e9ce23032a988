//! Text for terminals: what a server sent is shown, never obeyed; times and durations read the same everywhere.

use jiff::{SignedDuration, Timestamp};

/// Whether a character could make a terminal do something, or make text read differently from what it is.
///
/// Control characters (C0, DEL, C1) start escape sequences; the bidirectional overrides and the invisible characters turn
/// `exe.txt` into `txt.exe`, and we use some invisible ones ourselves to mark colours (see `table`).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Text from outside, on one line: line breaks and tabs become spaces, everything unsafe becomes `�`.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            unsafe_one if is_unsafe(unsafe_one) => char::REPLACEMENT_CHARACTER,
            plain => plain,
        })
        .collect()
}

/// Text from outside that may have lines: as [`clean`], but line breaks stay and tabs become four spaces.
pub(crate) fn clean_lines(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.replace("\r\n", "\n").chars() {
        match character {
            '\n' => cleaned.push('\n'),
            '\t' => cleaned.push_str("    "),
            unsafe_one if is_unsafe(unsafe_one) => cleaned.push(char::REPLACEMENT_CHARACTER),
            plain => cleaned.push(plain),
        }
    }
    cleaned
}

/// At most `characters_max` characters; the last one is `…` if something was cut.
pub(crate) fn shorten(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A duration for people: `0ms`, `850ms`, `1.3s`, `2m 05s`, `3h 07m`, `4d 02h`. Rounded down, so that nothing looks later than it is.
pub(crate) fn duration(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let seconds = milliseconds / 1_000;
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..=59 => format!("{}.{}s", seconds, milliseconds % 1_000 / 100),
        60..=3_599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// The milliseconds from one instant to another.
pub(crate) fn milliseconds_between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

/// An instant to the second, in UTC: `2026-11-21 07:00:12Z`.
pub(crate) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The time of day to the millisecond, in UTC: `07:00:12.345`. For lists whose day is said above them.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// `1 step`, `3 steps`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Reads a duration from the command line: `30s`, `1m 30s`, `500ms`, `PT30S`.
///
/// # Errors
/// Says what is accepted.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let refused = || format!("`{text}` is not a duration such as `30s`, `5m` or `500ms`");
    let signed: SignedDuration = text.trim().parse().map_err(|_| refused())?;
    std::time::Duration::try_from(signed).map_err(|_| refused())
}

/// Reads a name or id from the command line that becomes one segment of an address: letters, digits, `.`, `_`, `-` or `+`.
///
/// The server decides what is a valid name; this only keeps `../` and the like from naming another address.
///
/// # Errors
/// Says what is accepted.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte));
    if text.is_empty() || !plain || text.bytes().all(|byte| byte == b'.') {
        return Err(format!("`{}` is not a name or id: letters, digits, `.`, `_`, `-` or `+`", shorten(&clean(text), 80)));
    }
    Ok(text.to_owned())
}

/// Reads a step from the command line: its name, or an item of its fan-out as events call it, `resize[17]`.
///
/// # Errors
/// Says what is accepted.
pub(crate) fn parse_step(text: &str) -> Result<String, String> {
    let (name, item) = match text.strip_suffix(']').and_then(|front| front.rsplit_once('[')) {
        Some((name, item)) => (name, item),
        None => (text, "0"),
    };
    let numbered = !item.is_empty() && item.bytes().all(|byte| byte.is_ascii_digit());
    match parse_name(name) {
        Ok(_) if numbered => Ok(text.to_owned()),
        _ => Err(format!("`{}` is not a step such as `resize`, nor an item of one such as `resize[17]`", shorten(&clean(text), 80))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_like_a_person_would_say_them() {
        let check = |milliseconds, expect: &str| assert_eq!(duration(milliseconds), expect);
        check(-5, "0ms");
        check(0, "0ms");
        check(850, "850ms");
        check(1_390, "1.3s");
        check(59_999, "59.9s");
        check(125_000, "2m 05s");
        check(11_220_000, "3h 07m");
        check(352_800_000, "4d 02h");
    }

    #[test]
    fn an_escape_sequence_of_the_server_never_reaches_the_terminal() {
        assert_eq!(clean("ok\u{1b}[2Jgone\u{9b}31m\nnext"), "ok�[2Jgone�31m next");
        assert_eq!(clean("pay\u{202e}txt.exe"), "pay�txt.exe");
        assert_eq!(clean_lines("a\r\nb\tc\u{7}"), "a\nb    c�");
    }

    #[test]
    fn names_that_would_leave_their_place_in_the_address_are_refused() {
        for bad in ["", ".", "..", "a/b", "a?b", "a b", "tsk_1:cancel", "é"] {
            assert!(parse_name(bad).is_err(), "{bad}");
        }
        for good in ["tsk_01hz", "2.0.0", "payment.charge", "canary-3", "1+2"] {
            assert_eq!(parse_name(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn a_step_is_a_name_or_an_item_of_one() {
        for good in ["resize", "resize[17]", "send-mail"] {
            assert_eq!(parse_step(good).as_deref(), Ok(good));
        }
        for bad in ["", "resize[", "resize[]", "resize[x]", "resize[1][2]", "[3]", "a/b", "a:decide"] {
            assert!(parse_step(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_from_the_command_line_have_units() {
        assert_eq!(parse_duration("30s"), Ok(std::time::Duration::from_secs(30)));
        assert_eq!(parse_duration("1m 30s"), Ok(std::time::Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(std::time::Duration::from_millis(500)));
        assert!(parse_duration("30").is_err());
        assert!(parse_duration("-30s").is_err());
    }

    proptest! {
        #[test]
        fn cleaned_text_holds_nothing_a_terminal_obeys(text in any::<String>()) {
            prop_assert!(!clean(&text).chars().any(is_unsafe));
            prop_assert!(!clean_lines(&text).chars().any(|character| is_unsafe(character) && character != '\n'));
        }

        #[test]
        fn shortened_text_fits(text in any::<String>(), width in 1_usize..40) {
            prop_assert!(shorten(&text, width).chars().count() <= width);
        }
    }
}

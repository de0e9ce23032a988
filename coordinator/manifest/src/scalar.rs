//! What an unquoted scalar means: YAML 1.2's core schema, except that nothing is guessed.

use serde_json::Number;

/// The meaning of an unquoted scalar.
#[derive(Debug, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Number(Number),
    Text,
    /// A boolean to YAML 1.1 and text to YAML 1.2; holds what 1.1 would read.
    AmbiguousBool(bool),
    /// A number that would change if it were read; says why.
    BadNumber(&'static str),
}

/// Reads an unquoted scalar.
pub(crate) fn read(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Plain::AmbiguousBool(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Plain::AmbiguousBool(false),
        _ => number(text),
    }
}

fn number(text: &str) -> Plain {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Plain::BadNumber("JSON has no such number");
    }
    for (prefix, base) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = unsigned.strip_prefix(prefix)
            && unsigned.len() == text.len()
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(base))
        {
            return u64::from_str_radix(digits, base)
                .map_or(Plain::BadNumber("it does not fit 64 bits"), |value| Plain::Number(value.into()));
        }
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return integer(unsigned, negative);
    }
    if is_float(unsigned) {
        let value: Option<f64> = text.parse().ok();
        return match value.and_then(Number::from_f64) {
            Some(value) => Plain::Number(value),
            None => Plain::BadNumber("it is too large"),
        };
    }
    Plain::Text
}

fn integer(digits: &str, negative: bool) -> Plain {
    if digits.len() > 1 && digits.starts_with('0') {
        return Plain::BadNumber("its leading zero would be lost");
    }
    let value =
        if negative { format!("-{digits}").parse::<i64>().ok().map(Number::from) } else { digits.parse::<u64>().ok().map(Number::from) };
    value.map_or(Plain::BadNumber("it does not fit 64 bits, so digits would be lost"), Plain::Number)
}

/// `1.5`, `.5`, `1.`, `1e3`, `1.5E-3`.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(place) => (&unsigned[..place], Some(&unsigned[place + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    (!whole.is_empty() || !fraction.is_empty())
        && all_digits(whole)
        && all_digits(fraction)
        && digits.is_none_or(|digits| !digits.is_empty() && all_digits(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scalar_means_what_yaml_1_2_says_or_is_refused() {
        let number = |value: i64| Plain::Number(value.into());
        let float = |value: f64| Plain::Number(Number::from_f64(value).expect("finite"));
        let table = [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("true", Plain::Bool(true)),
            ("False", Plain::Bool(false)),
            ("no", Plain::AmbiguousBool(false)),
            ("ON", Plain::AmbiguousBool(true)),
            ("y", Plain::Text),
            ("0", number(0)),
            ("-7", number(-7)),
            ("+7", number(7)),
            ("0x1F", number(31)),
            ("0o17", number(15)),
            ("1.0", float(1.0)),
            ("-.5", float(-0.5)),
            ("1.", float(1.0)),
            ("1e3", float(1000.0)),
            ("1.0.0", Plain::Text),
            ("2026-11-21", Plain::Text),
            ("12:30", Plain::Text),
            ("30s", Plain::Text),
            (".", Plain::Text),
            ("-", Plain::Text),
            ("e3", Plain::Text),
            ("-0x1", Plain::Text),
            ("1e", Plain::Text),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text}");
        }
        for text in ["007", "-012", ".inf", "-.INF", ".nan", "1e400", "18446744073709551616", "-9223372036854775809"] {
            assert!(matches!(read(text), Plain::BadNumber(_)), "{text}");
        }
    }
}

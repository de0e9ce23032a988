//! JSON printed anew without being understood: the order of fields and every digit of a number stay as they came.
//!
//! Reading into numbers and writing them again would turn `1.10` into `1.1` and round what exceeds 64 bits, in other people's data.

use std::fmt::Write;

/// Valid JSON on many lines, indented by two.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut tokens = tokens(json).peekable();
    while let Some(token) = tokens.next() {
        match token {
            "{" | "[" => {
                out.push_str(token);
                if let Some(&close) = tokens.peek().filter(|next| matches!(**next, "}" | "]")) {
                    out.push_str(close);
                    tokens.next();
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push_str(token);
            }
            "," => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ":" => out.push_str(": "),
            scalar => push_scalar(&mut out, scalar),
        }
    }
    out
}

/// Valid JSON on one line, without spaces.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    tokens(json).for_each(|token| push_scalar(&mut out, token));
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// JSON lets DEL and the C1 controls stand in strings as they are; a terminal may obey them. Escaped they mean the same.
fn push_scalar(out: &mut String, scalar: &str) {
    for character in scalar.chars() {
        if character.is_control() {
            write!(out, "\\u{:04x}", u32::from(character)).expect("writing to a string never fails");
        } else {
            out.push(character);
        }
    }
}

/// The tokens of valid JSON: punctuation, strings with their quotes, and words.
fn tokens(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let first = rest.chars().next()?;
        let length = match first {
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            '"' => string_length(rest),
            _ => rest.find(['{', '}', '[', ']', ',', ':', '"', ' ', '\t', '\n', '\r']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

/// The length of the string that the text starts with, both quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (position, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn order_and_digits_stay_as_they_came() {
        let json = "{\"z\": 1.10, \"a\":[123456789012345678901234567890 , {}],\n\"s\":\"a\\\"{b}\u{9b}\", \"e\":[ ]}";
        insta::assert_snapshot!(pretty(json));
        assert_eq!(compact(json), "{\"z\":1.10,\"a\":[123456789012345678901234567890,{}],\"s\":\"a\\\"{b}\\u009b\",\"e\":[]}");
    }

    proptest! {
        #[test]
        fn printing_anew_keeps_the_meaning(keys in prop::collection::vec(any::<String>(), 0..5), number in any::<i64>()) {
            let mut value = Value::from(number);
            for key in keys {
                value = serde_json::json!({ key.clone(): [value, key, null, {}] });
            }
            let json = value.to_string();
            prop_assert_eq!(&serde_json::from_str::<Value>(&pretty(&json)).expect("still JSON"), &value);
            let compact = compact(&pretty(&json));
            prop_assert_eq!(&serde_json::from_str::<Value>(&compact).expect("still JSON"), &value);
            prop_assert!(!compact.chars().any(char::is_control));
        }
    }
}

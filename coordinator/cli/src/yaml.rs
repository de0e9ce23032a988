//! JSON values as YAML 1.2, for people who read `-o yaml`. Only what JSON can say, so no tags, anchors or block scalars are needed.

use serde_json::Value;
use std::fmt::Write;

/// The value as a YAML document, ending with a line break.
pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        Value::Object(fields) if !fields.is_empty() => mapping(&mut out, fields, 0),
        scalar => line(&mut out, &inline(scalar)),
    }
    out
}

fn line(out: &mut String, rest: &str) {
    out.push_str(rest);
    out.push('\n');
}

fn mapping(out: &mut String, fields: &serde_json::Map<String, Value>, indent: usize) {
    for (position, (key, value)) in fields.iter().enumerate() {
        // The first key of a mapping inside a sequence stands behind its dash.
        if position > 0 || indent == 0 || out.ends_with('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(&string(key));
        out.push(':');
        match value {
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, indent);
            }
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, indent + 2);
            }
            scalar => line(out, &format!(" {}", inline(scalar))),
        }
    }
}

fn sequence(out: &mut String, items: &[Value], indent: usize) {
    for (position, item) in items.iter().enumerate() {
        if position > 0 || indent == 0 || out.ends_with('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str("- ");
        match item {
            Value::Array(inner) if !inner.is_empty() => sequence(out, inner, indent + 2),
            Value::Object(fields) if !fields.is_empty() => mapping(out, fields, indent + 2),
            scalar => line(out, &inline(scalar)),
        }
    }
}

/// A scalar, or an empty collection.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// Plain if every YAML reader, of 1.1 too, reads it back as this string; otherwise in double quotes, with JSON's escapes, which are YAML's.
fn string(text: &str) -> String {
    let starts_plainly = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '/');
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./+@ ".contains(c)) && !text.ends_with(' ');
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    if starts_plainly && plain && !word.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    quoted(text)
}

/// In double quotes. DEL and the C1 controls are escaped too: JSON lets them through, a terminal may obey them.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for character in Value::from(text).to_string().chars() {
        if character.is_control() || matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}') {
            write!(quoted, "\\u{:04x}", u32::from(character)).expect("writing to a string never fails");
        } else {
            quoted.push(character);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn nested_values_keep_their_shape() {
        let value = json!({
            "items": [{"id": "tsk_1", "labels": {}, "steps": [["a", "b"], []]}, "no", "12", 12, null, true],
            "note": "two\nlines", "2024-01-01": "on", "deep": {"er": {"x": 1.5}},
        });
        insta::assert_snapshot!(document(&value));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z0-9:#,&*!|>'%@`{}\\[\\] -]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z: -]{1,6}|\\PC{1,4}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_value(value in any_json()) {
            let written = document(&value);
            let read: Value = serde_saphyr::from_str(&written).map_err(|cause| TestCaseError::fail(format!("{cause}\n{written}")))?;
            prop_assert_eq!(read, value, "{}", written);
        }
    }
}

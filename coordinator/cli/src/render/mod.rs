//! Answers as text for people: pure functions from a shape and a look to text. One file per thing that is shown.

pub(crate) mod event;
pub(crate) mod fleet;
pub(crate) mod letters;
pub(crate) mod people;
pub(crate) mod queue;
pub(crate) mod step;
pub(crate) mod task;
pub(crate) mod timeline;
pub(crate) mod workflow;

use crate::look::{Look, Tone};
use crate::text;
use serde_json::Value;

/// Lines of `name  value`, aligned; fields without a value are left out.
pub(crate) fn fields(look: &Look, fields: &[(&str, Option<String>)]) -> String {
    let shown: Vec<_> = fields.iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown.iter().map(|(name, value)| format!("{}  {value}\n", look.paint(Tone::Dim, &format!("{name:<width$}")))).collect()
}

/// `k=v, k=v`; none if there are none.
pub(crate) fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Option<String> {
    let joined =
        labels.into_iter().map(|(key, value)| format!("{}={}", text::clean(key), text::clean(value))).collect::<Vec<_>>().join(", ");
    (!joined.is_empty()).then_some(joined)
}

/// A small JSON value on one line: text without quotes, a collection as its entries, shortened.
pub(crate) fn brief(value: &Value, characters_max: usize) -> String {
    let inner = |value: &Value| match value {
        Value::Object(fields) if !fields.contains_key("code") => format!("{{{}}}", brief(value, characters_max)),
        other => brief(other, characters_max),
    };
    let whole = match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => match (fields.get("code").and_then(Value::as_str), fields.get("message").and_then(Value::as_str)) {
            // A failure reads like a message, not like a record.
            (Some(code), Some(message)) => format!("{code}: {message}"),
            _ => fields.iter().map(|(key, value)| format!("{key}={}", inner(value))).collect::<Vec<_>>().join(" "),
        },
        Value::Array(items) => items.iter().map(inner).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    text::shorten(&text::clean(&whole), characters_max)
}

/// Text indented by so many spaces.
pub(crate) fn indented(text: &str, spaces: usize) -> String {
    text.lines().map(|line| format!("{:spaces$}{line}\n", "")).collect()
}

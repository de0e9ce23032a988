//! The schema of what was seen.

use super::gather::{Seen, Strings};
use super::{DICTIONARY_KEYS_MIN, ENUM_REPEATS_MIN, ENUM_SAMPLES_MIN, Options};
use serde_json::{Map, Value, json};

/// Writes a schema. `places` is what may still be described; what lies beyond stays unsaid.
pub(super) fn schema(seen: &Seen, options: Options, depth: usize, places: &mut usize) -> Value {
    let mut members = Map::new();
    let types = types(seen);
    match types.as_slice() {
        [] => return Value::Object(members),
        [one] => members.insert("type".to_owned(), json!(one)),
        many => members.insert("type".to_owned(), json!(many)),
    };
    if types == ["string"] || types == ["string", "null"] {
        strings(&seen.strings, seen.nulls > 0, options, &mut members);
    } else if seen.strings.count > 0 && options.formats {
        // `format` speaks of strings only, whatever else may stand there.
        members.extend(format(&seen.strings));
    }
    if let Some(items) = &seen.items
        && spend(places)
    {
        members.insert("items".to_owned(), schema(items, options, depth + 1, places));
    }
    if seen.objects > 0 {
        fields(seen, options, depth, places, &mut members);
    }
    sorted(members)
}

/// In the order in which people say them; null last.
fn types(seen: &Seen) -> Vec<&'static str> {
    let number = if seen.fractions > 0 { ("number", seen.fractions + seen.integers) } else { ("integer", seen.integers) };
    [
        ("object", seen.objects),
        ("array", seen.arrays),
        ("string", seen.strings.count),
        number,
        ("boolean", seen.booleans),
        ("null", seen.nulls),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, _)| name)
    .collect()
}

fn strings(seen: &Strings, nullable: bool, options: Options, members: &mut Map<String, Value>) {
    let format = if options.formats { format(seen) } else { None };
    let repeated = seen
        .values
        .as_ref()
        .filter(|values| seen.count >= ENUM_SAMPLES_MIN && values.len() > 1 && values.values().all(|count| *count >= ENUM_REPEATS_MIN));
    match (format, repeated) {
        (Some(format), _) => members.extend([format]),
        (None, Some(values)) if options.enums => {
            let mut allowed: Vec<Value> = values.keys().map(|value| json!(value)).collect();
            if nullable {
                allowed.push(Value::Null);
            }
            members.insert("enum".to_owned(), Value::Array(allowed));
        }
        (None, _) => {}
    }
}

fn format(seen: &Strings) -> Option<(String, Value)> {
    let format = seen.formats.as_ref()?.iter().next()?;
    Some(("format".to_owned(), json!(format.name())))
}

fn fields(seen: &Seen, options: Options, depth: usize, places: &mut usize, members: &mut Map<String, Value>) {
    let dictionary = seen.fields.len() > DICTIONARY_KEYS_MIN && seen.fields.values().all(|field| field.count < seen.objects);
    if dictionary {
        if spend(places) {
            let mut all = Seen::default();
            seen.fields.values().for_each(|field| all.merge(&field.seen));
            members.insert("additionalProperties".to_owned(), schema(&all, options, depth + 1, places));
        }
        return;
    }
    let required: Vec<&String> = seen.fields.iter().filter(|(_, field)| field.count == seen.objects).map(|(key, _)| key).collect();
    let mut properties = Map::new();
    for (key, field) in &seen.fields {
        if spend(places) {
            properties.insert(key.clone(), schema(&field.seen, options, depth + 1, places));
        }
    }
    if !required.is_empty() {
        // A name costs a node of the schema as a property does.
        let named: Vec<&String> = required.into_iter().take_while(|_| spend(places)).collect();
        members.insert("required".to_owned(), json!(named));
    }
    if !properties.is_empty() {
        members.insert("properties".to_owned(), Value::Object(properties));
    }
}

fn spend(places: &mut usize) -> bool {
    let enough = *places > 0;
    *places = places.saturating_sub(1);
    enough
}

/// Alphabetical, whatever kind of map JSON objects are in this build.
fn sorted(members: Map<String, Value>) -> Value {
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    Value::Object(members.into_iter().collect())
}

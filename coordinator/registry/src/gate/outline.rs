//! A schema without what it asks of single values.
//!
//! Limits of lengths, ranges and patterns come from how a language or a library describes its types as often as from its author: an
//! integer of JavaScript ends at 2^53, one of Rust at 2^63. Whether a value outside of them ever comes depends on the data. So a contract
//! that only narrows in this way is a warning, and what is refused is a difference that remains without them: kinds, members, whether
//! they may be missing, closed objects, and enumerations.

use serde_json::{Map, Value, json};

/// Keywords that restrict single values, or whose meaning turns around when what is below them is widened.
const DROPPED: [&str; 25] = [
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// A schema that admits everything this one admits, and whatever differs from it only in single values.
pub(super) fn outline(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let mut kept = Map::new();
    // Branches that are told apart by a dropped keyword would overlap, so exactly one of them becomes any of them.
    let mut any_of = Vec::new();
    for (keyword, value) in members {
        match keyword.as_str() {
            dropped if DROPPED.contains(&dropped) => {}
            "oneOf" => any_of.push(json!({ "anyOf": outlines(value) })),
            "allOf" | "anyOf" | "prefixItems" => {
                kept.insert(keyword.clone(), outlines(value));
            }
            "items" | "additionalProperties" => {
                kept.insert(keyword.clone(), outline(value));
            }
            "properties" | "patternProperties" | "$defs" | "definitions" => {
                kept.insert(keyword.clone(), by_name(value));
            }
            _ => {
                kept.insert(keyword.clone(), value.clone());
            }
        }
    }
    if !any_of.is_empty() {
        match kept.get_mut("allOf").and_then(Value::as_array_mut) {
            Some(all) => all.append(&mut any_of),
            None => {
                kept.insert("allOf".to_owned(), Value::Array(any_of));
            }
        }
    }
    Value::Object(kept)
}

fn outlines(schemas: &Value) -> Value {
    schemas.as_array().map_or_else(|| schemas.clone(), |schemas| schemas.iter().map(outline).collect())
}

fn by_name(schemas: &Value) -> Value {
    match schemas.as_object() {
        Some(schemas) => Value::Object(schemas.iter().map(|(name, schema)| (name.clone(), outline(schema))).collect()),
        None => schemas.clone(),
    }
}

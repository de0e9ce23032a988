//! The small pieces that the schema is put together from.

use serde_json::{Map, Value, json};

/// One field of a mapping.
pub(super) struct Member {
    name: &'static str,
    value: Value,
}

/// A field with what an editor says about it.
pub(super) fn member(name: &'static str, about: &str, value: Value) -> Member {
    Member { name, value: described(value, about) }
}

impl Member {
    /// What is meant if the field is absent.
    pub fn default(mut self, default: Value) -> Self {
        self.value["default"] = default;
        self
    }

    /// What an author may write.
    pub fn example(mut self, example: Value) -> Self {
        self.value["examples"] = json!([example]);
        self
    }
}

/// A mapping that has these fields and no others.
pub(super) fn object(about: &str, required: &[&str], members: &[Member]) -> Value {
    let properties: Map<String, Value> = members.iter().map(|member| (member.name.to_owned(), member.value.clone())).collect();
    let mut object = json!({ "type": "object", "description": about, "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// Says what a value is for. In draft 2020-12 a description may stand beside a reference.
pub(super) fn described(mut value: Value, about: &str) -> Value {
    value["description"] = json!(about);
    value
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

pub(super) fn duration() -> Value {
    reference("duration")
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

pub(super) fn whole(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

pub(super) fn one_of(ways: Vec<Value>) -> Value {
    json!({ "oneOf": ways })
}

/// A JSON Schema written in the manifest. Its own rules are not repeated here: editors know them.
pub(super) fn schema() -> Value {
    json!({ "type": ["object", "boolean"] })
}

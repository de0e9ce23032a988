//! What goes into a capability and what may come out, as JSON Schema 2020-12.
//!
//! Schemas come from strangers: remote references are never fetched, patterns run on a linear engine, and size and depth are
//! bounded before anything is compiled.

use crate::ids::{Digest, ErrorCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A compiled schema beside its source. Cloning shares both.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    source: Value,
    digest: Digest,
    validator: jsonschema::Validator,
}

/// Why a schema was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchema {
    /// More bytes of JSON than [`Schema::BYTES_MAX`].
    #[error("the schema is {0} bytes of JSON; at most {max} are accepted", max = Schema::BYTES_MAX)]
    TooLarge(usize),
    /// More JSON nodes than [`Schema::NODES_MAX`].
    #[error("the schema has more than {max} nodes", max = Schema::NODES_MAX)]
    TooManyNodes,
    /// Nested deeper than [`Schema::DEPTH_MAX`].
    #[error("the schema is nested deeper than {max} levels", max = Schema::DEPTH_MAX)]
    TooDeep,
    /// A `$ref` that leaves the document.
    #[error("`$ref: {0}` leaves the schema; only references that start with `#` are followed")]
    RemoteReference(String),
    /// Cheap to write and dear to check.
    #[error("{0}")]
    TooDear(crate::schema_cost::TooDear),
    /// Not a JSON Schema 2020-12.
    #[error("not a JSON Schema 2020-12: {0}")]
    Malformed(String),
}

/// One place where a value breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// JSON pointer into the value; empty for the value itself.
    pub pointer: String,
    /// What is wrong there; never repeats more than 200 characters of the value.
    pub message: String,
}

impl Schema {
    /// The largest schema, in bytes of JSON.
    pub const BYTES_MAX: usize = 256 * 1024;
    /// The most JSON nodes in a schema.
    pub const NODES_MAX: usize = 10_000;
    /// The deepest nesting of a schema.
    pub const DEPTH_MAX: usize = 64;
    /// The most violations reported at once.
    pub const VIOLATIONS_MAX: usize = 20;

    /// Checks and compiles a schema.
    ///
    /// # Errors
    /// Too large, too deep, a remote reference, or not a schema.
    pub fn compile(source: Value) -> Result<Self, InvalidSchema> {
        let text = source.to_string();
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidSchema::TooLarge(text.len()));
        }
        let mut nodes = 0;
        check(&source, 0, &mut nodes)?;
        crate::schema_cost::check_references(&source).map_err(InvalidSchema::TooDear)?;
        let validator = jsonschema::draft202012::options()
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(1 << 20))
            .should_validate_formats(true)
            .offline()
            .build(&source)
            .map_err(|error| InvalidSchema::Malformed(short(&error.to_string())))?;
        Ok(Self(Arc::new(Compiled { digest: Digest::of(text.as_bytes()), source, validator })))
    }

    /// The schema as it was given.
    pub fn source(&self) -> &Value {
        &self.0.source
    }

    /// The digest of the source.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Every violation, at most [`Schema::VIOLATIONS_MAX`]; empty if the value fits.
    pub fn violations(&self, value: &Value) -> Vec<Violation> {
        if self.0.validator.is_valid(value) {
            return Vec::new();
        }
        self.0
            .validator
            .iter_errors(value)
            .take(Self::VIOLATIONS_MAX)
            .map(|error| Violation { pointer: error.instance_path().to_string(), message: short(&error.to_string()) })
            .collect()
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schema({})", self.0.source)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

fn short(message: &str) -> String {
    let mut text: String = message.chars().take(200).collect();
    if text.len() < message.len() {
        text.push('…');
    }
    text
}

fn check(node: &Value, depth: usize, nodes: &mut usize) -> Result<(), InvalidSchema> {
    *nodes += 1;
    if *nodes > Schema::NODES_MAX {
        return Err(InvalidSchema::TooManyNodes);
    }
    if depth > Schema::DEPTH_MAX {
        return Err(InvalidSchema::TooDeep);
    }
    match node {
        Value::Object(members) => members.iter().try_for_each(|(key, member)| {
            if matches!(key.as_str(), "$ref" | "$dynamicRef")
                && let Some(target) = member.as_str()
                && !target.starts_with('#')
            {
                return Err(InvalidSchema::RemoteReference(short(target)));
            }
            check(member, depth + 1, nodes)
        }),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1, nodes)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The contract of a capability: what it takes, what it gives, how it may fail. Everything absent accepts anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contract {
    /// What the input must fit.
    pub input: Option<Schema>,
    /// What a result must fit before it is committed.
    pub result: Option<Schema>,
    /// The error codes that may come; empty means any.
    pub errors: BTreeMap<ErrorCode, ErrorContract>,
}

/// One error a capability may answer with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ErrorContract {
    /// What the failure's details must fit.
    pub details: Option<Schema>,
    /// One sentence for people.
    pub description: String,
}

impl Contract {
    /// The most error codes in one contract.
    pub const ERRORS_MAX: usize = 256;

    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        self.input.is_none() && self.result.is_none() && self.errors.is_empty()
    }

    /// The canonical JSON of the contract: what is stored, shown and digested.
    pub fn to_json(&self) -> Value {
        let source = |schema: &Option<Schema>| schema.as_ref().map_or(Value::Null, |schema| schema.source().clone());
        let errors: serde_json::Map<String, Value> = self
            .errors
            .iter()
            .map(|(code, error)| (code.to_string(), json!({ "details": source(&error.details), "description": error.description })))
            .collect();
        json!({ "input": source(&self.input), "result": source(&self.result), "errors": errors })
    }

    /// Reads what [`Contract::to_json`] wrote.
    ///
    /// # Errors
    /// If a schema or a code in it is not acceptable.
    pub fn from_json(stored: &Value) -> Result<Self, InvalidSchema> {
        let schema = |value: &Value| match value {
            Value::Null => Ok(None),
            given => Schema::compile(given.clone()).map(Some),
        };
        let mut errors = BTreeMap::new();
        for (code, error) in stored["errors"].as_object().into_iter().flatten() {
            let code = ErrorCode::new(code).map_err(|invalid| InvalidSchema::Malformed(invalid.to_string()))?;
            let description = error["description"].as_str().unwrap_or_default().to_owned();
            errors.insert(code, ErrorContract { details: schema(&error["details"])?, description });
        }
        Ok(Self { input: schema(&stored["input"])?, result: schema(&stored["result"])?, errors })
    }

    /// The digest of the canonical JSON: two contracts that say the same have the same digest.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json().to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(source: Value) -> Schema {
        Schema::compile(source).expect("a schema")
    }

    #[test]
    fn a_violation_names_the_place_in_the_value() {
        let schema = schema(json!({
            "type": "object",
            "properties": { "lines": { "type": "array", "items": { "type": "integer" } } }
        }));
        let violations = schema.violations(&json!({ "lines": [1, "two"] }));
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].pointer, "/lines/1");
        assert!(schema.violations(&json!({ "lines": [1, 2] })).is_empty());
    }

    #[test]
    fn hostile_schemas_are_refused_before_they_are_compiled() {
        let remote = json!({ "$ref": "http://169.254.169.254/latest" });
        assert!(matches!(Schema::compile(remote), Err(InvalidSchema::RemoteReference(_))));
        assert!(matches!(Schema::compile(json!({ "$ref": "file:///etc/passwd" })), Err(InvalidSchema::RemoteReference(_))));
        let doubling = (0..40).map(|level| {
            let next = json!({ "$ref": format!("#/$defs/l{}", level + 1) });
            (format!("l{level}"), json!({ "allOf": [next.clone(), next] }))
        });
        let mut definitions: serde_json::Map<String, Value> = doubling.collect();
        definitions.insert("l40".into(), json!({ "type": "string" }));
        let exploding = json!({ "$ref": "#/$defs/l0", "$defs": definitions });
        assert!(matches!(Schema::compile(exploding), Err(InvalidSchema::TooDear(_))));
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert_eq!(Schema::compile(deep), Err(InvalidSchema::TooDeep));
        let wide = json!({ "enum": (0..20_000).collect::<Vec<_>>() });
        assert_eq!(Schema::compile(wide), Err(InvalidSchema::TooManyNodes));
        let large = json!({ "description": "x".repeat(300_000) });
        assert!(matches!(Schema::compile(large), Err(InvalidSchema::TooLarge(_))));
        let look_around = json!({ "pattern": "^(?=.*a)" });
        assert!(matches!(Schema::compile(look_around), Err(InvalidSchema::Malformed(_))));
        assert!(matches!(Schema::compile(json!({ "type": "strnig" })), Err(InvalidSchema::Malformed(_))));
    }

    #[test]
    fn a_schema_of_any_json_is_accepted_although_it_refers_to_itself() {
        let any = json!({ "$ref": "#/$defs/json", "$defs": { "json": { "anyOf": [
            { "type": "string" }, { "type": "number" }, { "type": "boolean" }, { "type": "null" },
            { "type": "array", "items": { "$ref": "#/$defs/json" } },
            { "type": "object", "propertyNames": { "type": "string" }, "additionalProperties": { "$ref": "#/$defs/json" } },
        ] } } });
        assert!(schema(any).violations(&json!({ "a": [1, { "b": null }] })).is_empty());
    }

    #[test]
    fn a_contract_survives_its_json() {
        let contract = Contract {
            input: Some(schema(json!({ "type": "object" }))),
            result: None,
            errors: BTreeMap::from([(
                ErrorCode::new("out_of_stock").expect("valid"),
                ErrorContract { details: Some(schema(json!({ "type": "object" }))), description: "no stock".into() },
            )]),
        };
        let again = Contract::from_json(&contract.to_json()).expect("reads what it wrote");
        assert_eq!(again, contract);
        assert_eq!(again.digest(), contract.digest());
    }
}

//! The JSON Schemas of a handler's types, and the checks that serde alone does not make.

use bytes::Bytes;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{StepError, VIOLATIONS_MAX, Violation};

/// One schema: its text for the coordinator, its validator for us.
pub(crate) struct Schema {
    /// JSON Schema 2020-12; empty accepts anything.
    pub text: String,
    validator: Option<jsonschema::Validator>,
}

/// Input and result of one capability.
pub(crate) struct Contract {
    pub input: Schema,
    pub result: Schema,
}

impl Contract {
    /// # Errors
    /// A schema that does not compile (for example a bad regular expression in an attribute), as text.
    pub fn of<I: JsonSchema, O: JsonSchema>() -> Result<Self, String> {
        let input = Schema::of::<I>(SchemaSettings::draft2020_12().for_deserialize());
        let result = Schema::of::<O>(SchemaSettings::draft2020_12().for_serialize());
        Ok(Self { input: input.map_err(|e| format!("input schema: {e}"))?, result: result.map_err(|e| format!("result schema: {e}"))? })
    }

    /// Accepts and promises anything; stands in where the real one did not compile.
    pub fn anything() -> Self {
        let schema = || Schema { text: String::new(), validator: None };
        Self { input: schema(), result: schema() }
    }

    /// The typed input, or `input.invalid` with every violation.
    pub fn decode<I: DeserializeOwned>(&self, json: &[u8]) -> Result<I, StepError> {
        let refuse = |violations| StepError::violations("input.invalid", "the input", violations);
        let value: Value = serde_json::from_slice(json).map_err(|error| refuse(vec![whole(error)]))?;
        let violations = self.input.violations(&value);
        if !violations.is_empty() {
            return Err(refuse(violations));
        }
        serde_json::from_value(value).map_err(|error| refuse(vec![whole(error)]))
    }

    /// The result as JSON, or `result.invalid` with every violation.
    pub fn encode<O: Serialize>(&self, result: &O) -> Result<Bytes, StepError> {
        let refuse = |violations| StepError::violations("result.invalid", "the result", violations);
        if self.result.validator.is_some() {
            let value = serde_json::to_value(result).map_err(|error| refuse(vec![whole(error)]))?;
            let violations = self.result.violations(&value);
            if !violations.is_empty() {
                return Err(refuse(violations));
            }
        }
        serde_json::to_vec(result).map(Bytes::from).map_err(|error| refuse(vec![whole(error)]))
    }
}

impl Schema {
    pub fn of<T: JsonSchema>(settings: SchemaSettings) -> Result<Self, String> {
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let value = Value::from(schema);
        if accepts_anything(&value) {
            return Ok(Self { text: String::new(), validator: None });
        }
        let validator = jsonschema::draft202012::new(&value).map_err(|error| error.to_string())?;
        Ok(Self { text: value.to_string(), validator: Some(validator) })
    }

    /// Empty when the value fits. The quick answer comes first, because values nearly always fit.
    fn violations(&self, value: &Value) -> Vec<Violation> {
        match &self.validator {
            Some(validator) if !validator.is_valid(value) => validator
                .iter_errors(value)
                .take(VIOLATIONS_MAX)
                .map(|error| Violation { pointer: error.instance_path().to_string(), message: error.to_string() })
                .collect(),
            Some(_) | None => Vec::new(),
        }
    }
}

/// A schema that says nothing, apart from naming itself.
fn accepts_anything(schema: &Value) -> bool {
    match schema {
        Value::Bool(accepts) => *accepts,
        Value::Object(keywords) => keywords.keys().all(|keyword| keyword == "$schema" || keyword == "title"),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

fn whole(error: serde_json::Error) -> Violation {
    Violation { pointer: String::new(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Line {
        sku: String,
        #[schemars(range(min = 1, max = 9))]
        quantity: u32,
    }

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    struct Order {
        lines: Vec<Line>,
    }

    fn contract() -> Contract {
        Contract::of::<Order, Order>().expect("these schemas compile")
    }

    #[test]
    fn the_schema_is_2020_12_and_refuses_unknown_fields_when_the_type_does() {
        let schema: Value = serde_json::from_str(&contract().input.text).expect("a schema is JSON");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["$defs"]["Line"]["additionalProperties"], false);
    }

    #[test]
    fn a_range_that_serde_cannot_see_is_refused_with_its_place() {
        let error = contract().decode::<Order>(br#"{"lines":[{"sku":"a","quantity":10}]}"#).expect_err("10 is above 9");
        assert_eq!(error.code(), "input.invalid");
        let details: Value = serde_json::from_slice(error.details_json()).expect("details are JSON");
        assert_eq!(details["violations"][0]["pointer"], "/lines/0/quantity");
    }

    #[test]
    fn a_result_that_breaks_its_schema_never_leaves() {
        let result = Order { lines: vec![Line { sku: "a".into(), quantity: 0 }] };
        assert_eq!(contract().encode(&result).expect_err("0 is below 1").code(), "result.invalid");
    }

    #[test]
    fn violations_are_limited() {
        let lines = vec![serde_json::json!({ "sku": 1, "quantity": 1 }); 50];
        let input = serde_json::json!({ "lines": lines }).to_string();
        let error = contract().decode::<Order>(input.as_bytes()).expect_err("every line is wrong");
        let details: Value = serde_json::from_slice(error.details_json()).expect("details are JSON");
        assert_eq!(details["violations"].as_array().map(Vec::len), Some(VIOLATIONS_MAX));
    }

    #[test]
    fn a_type_that_takes_anything_announces_an_empty_schema() {
        let contract = Contract::of::<Value, Value>().expect("these schemas compile");
        assert_eq!((contract.input.text.as_str(), contract.result.text.as_str()), ("", ""));
    }

    #[test]
    fn text_that_is_not_json_is_an_invalid_input() {
        assert_eq!(contract().decode::<Order>(b"{").expect_err("not JSON").code(), "input.invalid");
    }
}

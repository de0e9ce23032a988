//! Contracts as they lie in files.

use super::Report;
use serde_json::{Map, Value, json};
use tasker_engine::Contract;

/// A contract to compare, from a file or from a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Source(Contract);

impl Source {
    /// A contract that was read and checked elsewhere.
    pub fn of(contract: Contract) -> Self {
        Self(contract)
    }

    /// Reads `input`, `result` and `errors`, each of which may be absent or null. `errors` is a mapping of codes to `description` and
    /// `details`, or a list of codes; what else describes a capability (`name`, `description`, `timeout`) may stand beside them.
    ///
    /// # Errors
    /// Says what is not a contract, in one line.
    pub fn read(document: &Value) -> Result<Self, String> {
        let Value::Object(members) = document else { return Err("a contract is a mapping".to_owned()) };
        const KNOWN: [&str; 8] = ["input", "result", "errors", "name", "description", "timeout", "http", "breaker"];
        if let Some(unknown) = members.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(format!("a contract has no field `{}`", unknown.chars().take(80).collect::<String>()));
        }
        let errors: Map<String, Value> = match members.get("errors") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(errors)) => {
                if let Some((code, _)) = errors.iter().find(|(_, error)| !error.is_object() && !error.is_null()) {
                    return Err(format!("the error `{code}` is not described by a mapping"));
                }
                errors.clone()
            }
            Some(Value::Array(codes)) => {
                let named = codes.iter().map(|code| code.as_str().map(|code| (code.to_owned(), json!({}))).ok_or(code));
                named.collect::<Result<_, _>>().map_err(|code| format!("{code} is not the text of an error code"))?
            }
            Some(_) => return Err("`errors` is a mapping of codes, or a list of them".to_owned()),
        };
        let part = |name: &str| members.get(name).cloned().unwrap_or(Value::Null);
        let contract = Contract::from_json(&json!({ "input": part("input"), "result": part("result"), "errors": errors }));
        contract.map(Self).map_err(|invalid| invalid.to_string())
    }
}

/// Compares two contracts of one capability; see [`super::diff`].
pub fn compare(old: &Source, new: &Source) -> Report {
    super::diff(&old.0, &new.0)
}

//! Which submissions of a workflow are the same task.

use crate::decide::accept::InputScope;
use crate::ids::Digest;
use crate::payload::Payload;
use crate::workflow::{Identity, IdentityBy, Workflow};
use serde_json::Value;

/// What identifies the task that this input asks for; none if every submission is a task of its own. Two submissions with the same key
/// within the window are the same task.
///
/// # Errors
/// The identity's expression has no value for this input; says why.
pub fn identity_key(workflow: &Workflow, input: &Payload) -> Result<Option<String>, String> {
    let Some(Identity { by, .. }) = &workflow.identity else { return Ok(None) };
    let scope = InputScope::new(input);
    let value = match by {
        IdentityBy::Guid => return Ok(None),
        IdentityBy::Fields(fields) => {
            let values = fields.iter().map(|field| field.evaluate(&scope).unwrap_or(Value::Null));
            Value::Array(values.collect())
        }
        IdentityBy::Expression(expression) => match expression.evaluate(&scope).map_err(|missing| missing.to_string())? {
            text @ Value::String(_) => text,
            other => return Err(format!("`{}` gives {other}, not a text", expression.source())),
        },
    };
    let digest = Digest::of(value.to_string().as_bytes());
    Ok(Some(format!("{}:{digest}", workflow.name)))
}

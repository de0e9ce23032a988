//! The codes with which a step may fail, as far as its contract says so.

use serde_json::json;
use std::collections::BTreeSet;
use tasker_engine::failure::code;
use tasker_engine::workflow::Step;
use tasker_types::Type;

/// What workers and the protocol may say whatever a contract declares; see `docs/protocol.md`.
const PROTOCOL: [&str; 7] =
    ["handler.error", "input.invalid", "result.invalid", "payload.too_large", "capability.unknown", "attempt.timeout", "attempt.cancelled"];

/// Families of codes for systems without an SDK; new ones may come, so that they are not listed.
const FAMILIES: &str = "^(http|egress|responder)\\.";

/// The codes that can be named; none if the step may fail with any, because nobody declared its errors.
pub(super) fn words(step: &Step) -> Option<BTreeSet<&str>> {
    let declared = &step.contract.errors;
    if step.call().is_none() || declared.is_empty() {
        return None;
    }
    Some(declared.keys().map(|code| code.as_str()).chain(code::ALL.iter().copied()).chain(PROTOCOL).collect())
}

/// The type of a step's error code.
pub(super) fn code_of(step: &Step) -> Type {
    match words(step) {
        None => Type::string(),
        Some(words) => Type::of_schema(&json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": FAMILIES }] })),
    }
}

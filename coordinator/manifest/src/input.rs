//! Checks the input of a call against the capability's schema, as far as it is certain without types.

use crate::codes;
use crate::fields::short;
use crate::mapping::literal;
use crate::report::{Place, Problem, Report};
use crate::schema::locate;
use crate::yaml::{Kind, Node};
use tasker_engine::Contract;
use tasker_engine::template::Template;

/// Reports an input that can never fit: a literal that breaks the schema, or a mapping whose fields are wrong whatever their values.
pub(crate) fn check(template: &Template, node: &Node, contract: &Contract, report: &mut Report<'_>) {
    let Some(schema) = &contract.input else { return };
    let mut mismatch = |place: Place, message: String| {
        let problem = Problem::new(&codes::INPUT_MISMATCH, place, format!("the input does not fit the capability: {message}"));
        report.add(problem.hint("change the mapping, or the capability's `input` schema"));
    };
    if let Some(value) = literal(template) {
        for violation in schema.violations(&value) {
            mismatch(locate(node, &violation.pointer).mark(), violation.message);
        }
        return;
    }
    let Template::Object(members) = template else { return };
    let source = schema.source();
    for required in source["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()) {
        if !members.iter().any(|(name, _)| name == required) {
            mismatch(node.mark(), format!("`{}` is required and missing", short(required)));
        }
    }
    let closed = source["additionalProperties"] == serde_json::Value::Bool(false) && source.get("patternProperties").is_none();
    if let (true, Kind::Map(entries)) = (closed, &node.kind) {
        for (key, _) in entries.iter().filter(|(key, _)| source["properties"].get(&key.text).is_none()) {
            mismatch(key.place, format!("there is no field `{}`", short(&key.text)));
        }
    }
}

//! Checks plain paths such as `steps.charge.result.amount` against the schemas, field by field.
//!
//! Only what is certain is reported: wherever a schema combines others, or says nothing, a path passes.

use crate::codes;
use crate::fields::{listed, short};
use crate::report::{Place, Problem, Report};
use crate::suggest::nearest;
use serde_json::Value;
use tasker_engine::Schema;

/// References followed in a row before a schema is taken to say nothing.
const HOPS_MAX: usize = 16;
/// The most names listed in a hint.
const LISTED_MAX: usize = 12;

/// Keywords that can allow or forbid fields in ways this check does not follow.
const COMBINING: [&str; 11] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "patternProperties",
    "dependentSchemas",
    "unevaluatedProperties",
    "$dynamicRef",
    "const",
    "enum",
];

/// Reports the first field of a path that the schema rules out or does not mention.
///
/// `path` is the whole expression and `skip` how many names lead to the schema's value: 2 for `task.input`, 3 for
/// `steps.charge.result`.
pub(crate) fn check(schema: &Schema, path: &[String], skip: usize, place: Place, report: &mut Report<'_>) {
    let root = schema.source();
    let mut here = root;
    for (at, field) in path.iter().enumerate().skip(skip) {
        let Some(resolved) = resolve(root, here) else { return };
        here = resolved;
        let seen = path[..at].join(".");
        if let Some(type_name) = here.get("type").and_then(Value::as_str)
            && type_name != "object"
        {
            // An index into a list is not a field; CEL paths never are one.
            let message = format!("`{}` has no field `{}`: its schema says it is {type_name}", short(&seen), short(field));
            report.add(Problem::new(&codes::UNKNOWN_PATH, place, message).hint("read the value as a whole, or correct the schema"));
            return;
        }
        let properties = here.get("properties").and_then(Value::as_object);
        if let Some(next) = properties.and_then(|properties| properties.get(field)) {
            here = next;
            continue;
        }
        if COMBINING.iter().any(|keyword| here.get(keyword).is_some()) {
            return;
        }
        let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let (code, verb) = match here.get("additionalProperties") {
            Some(Value::Bool(false)) => (&codes::UNKNOWN_PATH, "has no field"),
            None if !known.is_empty() => (&codes::UNDECLARED_PATH, "does not mention the field"),
            _ => return,
        };
        let close = nearest(report, field, known.iter().copied()).map(|near| {
            let mut path = path.to_vec();
            path[at] = near.to_owned();
            path.join(".")
        });
        let shown = &known[..known.len().min(LISTED_MAX)];
        let message = format!("the schema of `{}` {verb} `{}`", short(&seen), short(field));
        let problem = Problem::new(code, place, message).hint(match shown.is_empty() {
            true => "it has no fields".into(),
            false => format!("its fields are {}{}", listed(shown), if shown.len() < known.len() { ", …" } else { "" }),
        });
        report.add(problem.nearest(close.as_deref()));
        return;
    }
}

/// Follows local references.
fn resolve<'v>(root: &'v Value, schema: &'v Value) -> Option<&'v Value> {
    let mut here = schema;
    for _ in 0..HOPS_MAX {
        let Some(target) = here.get("$ref") else { return here.is_object().then_some(here) };
        here = root.pointer(target.as_str()?.strip_prefix('#')?)?;
    }
    None
}

//! What a step sends, as far as its manifest says it.

use std::fmt::Write;
use tasker_engine::template::Template;
use tasker_engine::workflow::{Step, Workflow};
use tasker_types::{FieldOf, Type};

/// The values that a step's input may have: what its mapping writes, of what its contract admits. Both hold, because the coordinator
/// sends nothing that breaks the manifest's own contract.
pub(super) fn sent(workflow: &Workflow, step: &Step) -> Type {
    let contract = step.contract.input.as_ref().map_or_else(Type::any, |schema| Type::of_schema(schema.source()));
    let written = match (&step.input, &step.for_each) {
        (Some(template), _) => written(template),
        (None, Some(_)) => Type::any(),
        (None, None) => workflow.input.as_ref().map_or_else(Type::any, |schema| Type::of_schema(schema.source())),
    };
    written.and(&contract)
}

/// What a template writes, whatever its expressions give.
fn written(template: &Template) -> Type {
    match template {
        Template::Literal(value) => Type::literal(value),
        Template::Expression(_) => Type::any(),
        Template::Text(_) => Type::string(),
        Template::List(items) => Type::tuple(items.iter().map(written)),
        Template::Object(members) => {
            let field = |(name, member): &(String, Template)| FieldOf { name: name.as_str().into(), part: written(member), required: true };
            Type::object(members.iter().map(field), true)
        }
    }
}

/// A text that is the same for steps which send the same kind of value, so that ten thousand equal steps are compared once.
pub(super) fn key(step: &Step) -> String {
    let mut key = String::new();
    match (&step.input, &step.for_each) {
        (Some(template), _) => describe(template, &mut key),
        (None, Some(_)) => key.push_str("item"),
        (None, None) => key.push_str("task"),
    }
    key
}

fn describe(template: &Template, key: &mut String) {
    match template {
        Template::Literal(value) => {
            // Writing into a text cannot fail.
            let _ = write!(key, "={value}");
        }
        Template::Expression(_) => key.push('*'),
        Template::Text(_) => key.push('"'),
        Template::List(items) => {
            key.push('[');
            items.iter().for_each(|item| {
                describe(item, key);
                key.push(',');
            });
            key.push(']');
        }
        Template::Object(members) => {
            key.push('{');
            members.iter().for_each(|(name, member)| {
                let _ = write!(key, "{name:?}:");
                describe(member, key);
                key.push(',');
            });
            key.push('}');
        }
    }
}

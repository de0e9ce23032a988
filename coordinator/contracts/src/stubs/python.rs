//! Python: pydantic models whose schemas are the contract's, and functions for the package `tasker-worker`.

use super::{Handler, NOT_WRITTEN, not_written, one_line, quoted, wrapped};
use crate::model::names::{Case, Names};
use crate::model::{Body, Field, Kind, Model, Named, Rules, Type};
use crate::system::System;
use serde_json::Value;
use std::fmt::Write as _;

/// Names of types that the file uses from elsewhere.
const TYPES: [&str; 14] = [
    "Annotated",
    "Any",
    "BaseModel",
    "ConfigDict",
    "Context",
    "Dict",
    "False",
    "Field",
    "Literal",
    "None",
    "Permanent",
    "True",
    "Union",
    "Worker",
];

/// Keywords, built-in types that annotations name, and what the file itself defines.
const WORDS: [&str; 49] = [
    "and",
    "as",
    "assert",
    "async",
    "await",
    "bool",
    "break",
    "case",
    "class",
    "continue",
    "def",
    "del",
    "dict",
    "elif",
    "else",
    "except",
    "finally",
    "float",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "int",
    "is",
    "lambda",
    "list",
    "match",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "step",
    "str",
    "try",
    "type",
    "while",
    "with",
    "worker",
    "yield",
    "annotations",
    "context",
    "input",
    "value",
    "print",
    "object",
];

/// Methods and attributes of pydantic's models; a field of such a name would hide one.
const MODEL_WORDS: [&str; 9] = ["construct", "copy", "dict", "from_orm", "json", "parse_obj", "parse_raw", "schema", "validate"];

pub(super) fn write(system: &System) -> String {
    let (model, handlers) = super::prepare(system, Case::Snake, &TYPES, &WORDS);
    let mut body = String::new();
    for named in model.defined() {
        body.push_str("\n\n");
        define(&mut body, &model, named);
    }
    for handler in &handlers {
        body.push_str("\n\n");
        write_handler(&mut body, &model, handler);
    }
    let steps: Vec<&str> = handlers.iter().map(|handler| handler.name.as_str()).collect();
    let _ = write!(
        body,
        "\n\nworker = Worker({}, steps=[{}])\n\nif __name__ == \"__main__\":\n    worker.run()\n",
        quoted(&system.name),
        steps.join(", ")
    );
    let mut out = format!(
        "\"\"\"Handlers of the system `{}`, made from its contracts by `tasker contract stubs`.\n\nThe file is yours: fill in the functions at its end, and keep the types in step with the contracts.\n\"\"\"\n\nfrom __future__ import annotations\n\n",
        docstring(&one_line(&system.name))
    );
    let used = |words: &[&'static str]| words.iter().filter(|word| uses(&body, word)).copied().collect::<Vec<_>>().join(", ");
    for (package, words) in [
        ("typing", used(&["Annotated", "Any", "Literal", "Union"])),
        ("\npydantic", used(&["BaseModel", "ConfigDict", "Field"])),
        ("tasker_worker", used(&["Context", "Permanent", "Worker", "step"])),
    ] {
        if !words.is_empty() {
            let gap = if package.starts_with('\n') { "\n" } else { "" };
            let _ = writeln!(out, "{gap}from {} import {words}", package.trim_start());
        }
    }
    out + &body
}

/// Whether a word of another module stands in the text.
fn uses(body: &str, word: &str) -> bool {
    ["[", "(", ")", ",", " ", "\n", ":"].iter().any(|end| body.contains(&format!("{word}{end}")))
}

fn define(out: &mut String, model: &Model, named: &Named) {
    match &named.body {
        Body::Object { fields, closed } => {
            let _ = writeln!(out, "class {}(BaseModel):", named.name);
            if !named.description.is_empty() {
                documentation(out, &named.description);
                out.push('\n');
            }
            let extra = if *closed { "extra=\"forbid\", " } else { "" };
            let _ = writeln!(out, "    model_config = ConfigDict({extra}populate_by_name=True)");
            let reserved: Vec<&str> = WORDS.iter().chain(&MODEL_WORDS).copied().collect();
            let mut names = Names::new(Case::Snake, &reserved);
            if !fields.is_empty() {
                out.push('\n');
            }
            for field in fields {
                // Names with this beginning are pydantic's own.
                let own = identifier_of(&mut names, &field.wire);
                write_field(out, model, field, &own);
            }
        }
        Body::Enum(values) => {
            comment(out, &named.description);
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            let _ = writeln!(out, "{} = Literal[{}]", named.name, values.join(", "));
        }
        Body::Union(types) => {
            comment(out, &named.description);
            let types: Vec<String> = types.iter().map(|of| write_type(model, of, true)).collect();
            let _ = writeln!(out, "{} = Union[{}]", named.name, types.join(", "));
        }
        Body::Open => {}
    }
}

fn identifier_of(names: &mut Names, wire: &str) -> String {
    let name = names.take(wire);
    if name.starts_with("model_") { names.take(&format!("field_{name}")) } else { name }
}

fn write_field(out: &mut String, model: &Model, field: &Field, name: &str) {
    let bare = Type { nullable: false, ..field.of.clone() };
    let mut of = write_type(model, &bare, false);
    let mut settings: Vec<String> = Vec::new();
    if !field.required {
        // Absent is not null: what is not set is not written.
        if field.of.nullable {
            settings.push("default=None".to_owned());
        } else {
            settings.push("default=None, exclude_if=lambda value: value is None".to_owned());
        }
        if of != "Any" {
            of = format!("{of} | None");
        }
    } else if field.of.nullable {
        of = format!("{of} | None");
    }
    if name != field.wire {
        settings.push(format!("alias={}", quoted(&field.wire)));
    }
    if !field.description.is_empty() {
        settings.push(format!("description={}", quoted(&one_line(&field.description))));
    }
    let value = if settings.is_empty() { String::new() } else { format!(" = Field({})", settings.join(", ")) };
    let _ = writeln!(out, "    {name}: {of}{value}");
}

/// A type. Outside annotations, what is defined later is named in quotes.
fn write_type(model: &Model, of: &Type, now: bool) -> String {
    let plain = match &of.kind {
        Kind::Any => return "Any".to_owned(),
        Kind::Null => return "None".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Integer => "int".to_owned(),
        Kind::Number => "float".to_owned(),
        Kind::Text => "str".to_owned(),
        Kind::List(items) => format!("list[{}]", write_type(model, items, now)),
        Kind::Dictionary(values) => format!("dict[str, {}]", write_type(model, values, now)),
        // Literals of fractions do not exist.
        Kind::OneOf(values) if values.iter().any(|value| value.is_f64() || value.is_array() || value.is_object()) => {
            return "Any".to_owned();
        }
        Kind::OneOf(values) => format!("Literal[{}]", values.iter().map(json).collect::<Vec<_>>().join(", ")),
        Kind::Named(place) if now && model.types[*place].recursive => format!("{:?}", model.name(*place)),
        Kind::Named(place) => model.name(*place).to_owned(),
    };
    let narrowed = match rules(&of.rules) {
        rules if rules.is_empty() => plain,
        rules => format!("Annotated[{plain}, Field({})]", rules.join(", ")),
    };
    match (of.nullable, now) {
        (false, _) => narrowed,
        (true, true) => format!("Union[{narrowed}, None]"),
        (true, false) => format!("{narrowed} | None"),
    }
}

/// The keywords of a schema as arguments of `Field`; those that pydantic has no argument for are only announced.
fn rules(rules: &Rules) -> Vec<String> {
    let mut extra = Vec::new();
    let mut arguments = Vec::new();
    for (keyword, value) in &rules.0 {
        let argument = match *keyword {
            "pattern" => "pattern",
            "minLength" | "minItems" => "min_length",
            "maxLength" | "maxItems" => "max_length",
            "minimum" => "ge",
            "exclusiveMinimum" => "gt",
            "maximum" => "le",
            "exclusiveMaximum" => "lt",
            "multipleOf" => "multiple_of",
            other => {
                extra.push(format!("{}: {}", quoted(other), json(value)));
                continue;
            }
        };
        arguments.push(format!("{argument}={}", json(value)));
    }
    if !extra.is_empty() {
        arguments.push(format!("json_schema_extra={{{}}}", extra.join(", ")));
    }
    arguments
}

fn json(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => quoted(text),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn write_handler(out: &mut String, model: &Model, handler: &Handler) {
    let mut arguments = vec![quoted(&handler.capability)];
    if let Some(timeout) = handler.timeout {
        arguments.push(format!("timeout={}", timeout.as_secs_f64()));
    }
    if !handler.errors.is_empty() {
        let errors: Vec<String> = handler
            .errors
            .iter()
            .map(|error| {
                format!(
                    "{}: {}",
                    quoted(&error.code),
                    error.details.as_ref().map_or_else(|| "None".to_owned(), |of| write_type(model, of, true))
                )
            })
            .collect();
        arguments.push(format!("errors={{{}}}", errors.join(", ")));
    }
    let of = |of: &Option<Type>| of.as_ref().map_or_else(|| "Any".to_owned(), |of| write_type(model, of, false));
    let _ = write!(
        out,
        "@step({})\nasync def {}(input: {}, context: Context) -> {}:\n",
        arguments.join(", "),
        handler.name,
        of(&handler.input),
        of(&handler.result)
    );
    if !handler.description.is_empty() {
        documentation(out, &handler.description);
    }
    for error in &handler.errors {
        let text = if error.description.is_empty() { "may fail with this code" } else { error.description.as_str() };
        comment_at(out, "    ", &format!("{}: {text}", error.code));
    }
    let _ = writeln!(out, "    raise Permanent({}, {})", quoted(NOT_WRITTEN), quoted(&not_written(handler)));
}

/// Text that cannot end a docstring or begin an escape.
fn docstring(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "'")
}

fn documentation(out: &mut String, text: &str) {
    let lines = wrapped(&docstring(text));
    match lines.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(out, "    \"\"\"{one}\"\"\"");
        }
        [first, rest @ ..] => {
            let _ = write!(out, "    \"\"\"{first}\n\n");
            for line in rest.iter().skip_while(|line| line.is_empty()) {
                let _ = writeln!(out, "{}", format!("    {line}").trim_end());
            }
            out.push_str("    \"\"\"\n");
        }
    }
}

fn comment(out: &mut String, text: &str) {
    comment_at(out, "", text);
}

fn comment_at(out: &mut String, indent: &str, text: &str) {
    for line in wrapped(text) {
        let _ = writeln!(out, "{}", format!("{indent}# {line}").trim_end());
    }
}

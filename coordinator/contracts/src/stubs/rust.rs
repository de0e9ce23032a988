//! Rust: serde structs whose schemas are the contract's, and functions for the crate `tasker-worker`.

use super::{Handler, NOT_WRITTEN, not_written, one_line, wrapped};
use crate::model::names::{Case, Names};
use crate::model::{Body, Field, Kind, Model, Named, Type};
use crate::system::System;
use std::fmt::Write as _;

/// Names of types that the file uses from elsewhere.
const TYPES: [&str; 23] = [
    "BTreeMap",
    "Box",
    "Clone",
    "Context",
    "Debug",
    "Default",
    "Deserialize",
    "Duration",
    "Err",
    "JsonSchema",
    "None",
    "Ok",
    "Option",
    "PartialEq",
    "Result",
    "Self",
    "Serialize",
    "Some",
    "Step",
    "StepError",
    "String",
    "Vec",
    "Worker",
];

/// Keywords of any edition, and words that functions and fields of the file mean something else by.
const WORDS: [&str; 57] = [
    "abstract", "as", "async", "await", "become", "bool", "box", "break", "const", "continue", "crate", "do", "dyn", "else", "enum",
    "extern", "f64", "false", "final", "fn", "for", "gen", "i64", "if", "impl", "in", "let", "loop", "macro", "main", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "std", "struct", "super", "trait", "true", "try", "type",
    "typeof", "union", "unsafe", "unsized", "use", "virtual", "where", "while", "worker",
];

pub(super) fn write(system: &System) -> String {
    let (model, handlers) = super::prepare(system, Case::Snake, &TYPES, &WORDS);
    let mut out = String::new();
    for line in [
        format!(
            "// Handlers of the system `{}`, made from its contracts by `tasker contract stubs`. The file is yours:",
            one_line(&system.name)
        ),
        "// fill in the functions at its end, and keep the types in step with the contracts.".to_owned(),
        "//".to_owned(),
        "// Cargo.toml: tasker-worker; serde = { version = \"1\", features = [\"derive\"] }; serde_json = \"1\"; schemars = \"1\";"
            .to_owned(),
        "// tokio = { version = \"1\", features = [\"rt-multi-thread\", \"macros\"] }. The program:".to_owned(),
        "//".to_owned(),
        "// #[tokio::main]".to_owned(),
        "// async fn main() -> Result<(), tasker_worker::WorkerError> {".to_owned(),
        "//     tasker_worker::logging::init();".to_owned(),
        "//     worker().run().await".to_owned(),
        "// }".to_owned(),
    ] {
        let _ = writeln!(out, "{line}");
    }
    let body = body(system, &model, &handlers);
    out.push('\n');
    if !model.types.is_empty() {
        out.push_str("use serde::{Deserialize, Serialize};\n");
    }
    if body.contains("BTreeMap<") {
        out.push_str("use std::collections::BTreeMap;\n");
    }
    if body.contains("Duration::") {
        out.push_str("use std::time::Duration;\n");
    }
    let schema = if model.types.is_empty() { "" } else { "JsonSchema, " };
    let _ = writeln!(out, "use tasker_worker::{{Context, {schema}Step, StepError, Worker}};");
    out + &body
}

fn body(system: &System, model: &Model, handlers: &[Handler]) -> String {
    let mut out = String::new();
    for named in model.defined() {
        out.push('\n');
        comment(&mut out, "", &named.description);
        define(&mut out, model, named);
    }
    for handler in handlers {
        out.push('\n');
        comment(&mut out, "", &handler.description);
        let of = |of: &Option<Type>| of.as_ref().map_or_else(|| ANY.to_owned(), |of| write_type(model, of, false));
        let (input, result) = (of(&handler.input), of(&handler.result));
        let _ = write!(
            out,
            "pub async fn {}(input: {input}, context: Context) -> Result<{result}, StepError> {{\n    let _ = (input, context);\n    Err(StepError::permanent({}, {}))\n}}\n",
            handler.name,
            literal(NOT_WRITTEN),
            literal(&not_written(handler)),
        );
    }
    let _ = write!(
        out,
        "\n/// Every capability of the system, each with its handler.\npub fn worker() -> Worker {{\n    Worker::new({})",
        literal(&system.name)
    );
    for handler in handlers {
        let mut settings = String::new();
        let gap = "\n                ";
        if !handler.description.is_empty() {
            let _ = write!(settings, "{gap}.describe({})", literal(&one_line(&handler.description)));
        }
        if let Some(timeout) = handler.timeout {
            let _ = write!(settings, "{gap}.timeout(Duration::from_millis({}))", timeout.as_millis());
        }
        for error in &handler.errors {
            let details = error.details.as_ref().map_or_else(|| ANY.to_owned(), |of| write_type(model, of, false));
            let _ = write!(settings, "{gap}.error::<{details}>({}, {})", literal(&error.code), literal(&one_line(&error.description)));
        }
        let step = format!("Step::new({}, {})", literal(&handler.capability), handler.name);
        let _ = match settings.is_empty() {
            true => write!(out, "\n        .register({step})"),
            false => write!(out, "\n        .register(\n            {step}{settings},\n        )"),
        };
    }
    out.push_str("\n}\n");
    out
}

const ANY: &str = "serde_json::Value";

fn define(out: &mut String, model: &Model, named: &Named) {
    let derives = "#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]\n";
    match &named.body {
        Body::Object { fields, closed } => {
            out.push_str(derives);
            if *closed {
                out.push_str("#[serde(deny_unknown_fields)]\n");
            }
            let _ = writeln!(out, "pub struct {} {{", named.name);
            let mut names = Names::new(Case::Snake, &WORDS);
            for field in fields {
                write_field(out, model, field, &names.take(&field.wire));
            }
            out.push_str("}\n");
        }
        Body::Enum(values) => {
            out.push_str(derives);
            let _ = writeln!(out, "pub enum {} {{", named.name);
            let mut names = Names::new(Case::Pascal, &["Self"]);
            for value in values {
                let name = names.take(if value.is_empty() { "empty" } else { value });
                let _ = write!(out, "    #[serde(rename = {})]\n    {name},\n", literal(value));
            }
            out.push_str("}\n");
        }
        Body::Union(types) => {
            out.push_str(derives);
            let _ = writeln!(out, "#[serde(untagged)]\npub enum {} {{", named.name);
            let mut names = Names::new(Case::Pascal, &["Self"]);
            for of in types {
                let name = names.take(&variant(model, of));
                let _ = writeln!(out, "    {name}({}),", write_type(model, of, true));
            }
            out.push_str("}\n");
        }
        Body::Open => {}
    }
}

fn variant(model: &Model, of: &Type) -> String {
    match &of.kind {
        Kind::Any | Kind::OneOf(_) | Kind::Null => "any".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Integer => "integer".to_owned(),
        Kind::Number => "number".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::List(_) => "list".to_owned(),
        Kind::Dictionary(_) => "dictionary".to_owned(),
        Kind::Named(place) => model.name(*place).to_owned(),
    }
}

fn write_field(out: &mut String, model: &Model, field: &Field, name: &str) {
    comment(out, "    ", &field.description);
    let plain = write_type(model, &Type { nullable: false, ..field.of.clone() }, true);
    // A field of any kind may be null by itself; absent is something else.
    let optional = !field.required;
    let rename = (name != field.wire).then(|| format!("rename = {}", literal(&field.wire)));
    let absent = optional.then(|| "default, skip_serializing_if = \"Option::is_none\"".to_owned());
    let serde: Vec<String> = [rename, absent].into_iter().flatten().collect();
    if !serde.is_empty() {
        let _ = writeln!(out, "    #[serde({})]", serde.join(", "));
    }
    let mut schemars: Vec<String> = Vec::new();
    if optional && !field.of.nullable {
        // An Option's own schema would admit null.
        schemars.push(format!("with = {}", literal(&plain)));
    }
    schemars.extend(field.of.rules.0.iter().map(|(keyword, value)| format!("extend({} = {})", literal(keyword), json(value))));
    if !schemars.is_empty() {
        let _ = writeln!(out, "    #[schemars({})]", schemars.join(", "));
    }
    let of = if optional || field.of.nullable { format!("Option<{plain}>") } else { plain };
    let _ = writeln!(out, "    pub {name}: {of},");
}

/// A type. `inside` another one, what contains itself is boxed.
fn write_type(model: &Model, of: &Type, inside: bool) -> String {
    let plain = match &of.kind {
        Kind::Any | Kind::OneOf(_) => ANY.to_owned(),
        Kind::Null => "()".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Integer => "i64".to_owned(),
        Kind::Number => "f64".to_owned(),
        Kind::Text => "String".to_owned(),
        Kind::List(items) => format!("Vec<{}>", write_type(model, items, false)),
        Kind::Dictionary(values) => format!("BTreeMap<String, {}>", write_type(model, values, false)),
        Kind::Named(place) if inside && model.types[*place].recursive => format!("Box<{}>", model.name(*place)),
        Kind::Named(place) => model.name(*place).to_owned(),
    };
    if of.nullable { format!("Option<{plain}>") } else { plain }
}

fn json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => literal(text),
        other => other.to_string(),
    }
}

/// A string literal.
fn literal(text: &str) -> String {
    format!("{text:?}")
}

fn comment(out: &mut String, indent: &str, text: &str) {
    for line in wrapped(text) {
        let _ = writeln!(out, "{}", format!("{indent}/// {line}").trim_end());
    }
}

//! TypeScript: zod schemas that are the contract's, and steps for the package `tasker-worker`.

use super::{Handler, NOT_WRITTEN, not_written, one_line, quoted, wrapped};
use crate::model::names::Case;
use crate::model::{Body, Field, Kind, Model, Named, Rules, Type};
use crate::system::System;
use serde_json::Value;
use std::fmt::Write as _;

/// Names of types that the file uses from elsewhere, and those that the language would take for its own.
const TYPES: [&str; 14] =
    ["Array", "Boolean", "Date", "Error", "Map", "Number", "Object", "Permanent", "Promise", "Record", "RegExp", "Set", "String", "Worker"];

/// Keywords, and what the file itself defines.
const WORDS: [&str; 52] = [
    "arguments",
    "as",
    "async",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "step",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "type",
    "typeof",
    "var",
    "void",
    "while",
    "worker",
    "z",
];

pub(super) fn write(system: &System) -> String {
    let (model, handlers) = super::prepare(system, Case::Camel, &TYPES, &WORDS);
    let mut out = format!(
        "// Handlers of the system `{}`, made from its contracts by `tasker contract stubs`. The file is yours:\n// fill in the functions at its end, and keep the types in step with the contracts.\n//\n// Dependencies: tasker-worker and zod. The program: `await worker.run();`\n\n",
        one_line(&system.name)
    );
    let words = if handlers.is_empty() { "Worker" } else { "Permanent, step, Worker" };
    let _ = writeln!(out, "import {{ {words} }} from \"tasker-worker\";");
    let mut body = String::new();
    for named in model.defined() {
        body.push('\n');
        comment(&mut body, "", &named.description);
        define(&mut body, &model, named);
    }
    for handler in &handlers {
        body.push('\n');
        write_handler(&mut body, &model, handler);
    }
    if body.contains("z.") {
        out.push_str("import { z } from \"zod\";\n");
    }
    let steps: Vec<&str> = handlers.iter().map(|handler| handler.name.as_str()).collect();
    let _ = write!(
        body,
        "\n/** Every capability of the system, each with its handler. */\nexport const worker = new Worker({}, {{ steps: [{}] }});\n",
        quoted(&system.name),
        steps.join(", ")
    );
    out + &body
}

fn define(out: &mut String, model: &Model, named: &Named) {
    let name = &named.name;
    match &named.body {
        Body::Object { fields, closed } => {
            let object = if *closed { "strictObject" } else { "object" };
            let _ = writeln!(out, "export const {name} = z.{object}({{");
            fields.iter().for_each(|field| write_field(out, model, field));
            out.push_str("});\n");
        }
        Body::Enum(values) => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            let _ = writeln!(out, "export const {name} = z.enum([{}]);", values.join(", "));
        }
        Body::Union(types) => {
            let types: Vec<String> = types.iter().map(|of| write_type(model, of)).collect();
            let _ = writeln!(out, "export const {name} = z.union([{}]);", types.join(", "));
        }
        Body::Open => {}
    }
    let _ = writeln!(out, "export type {name} = z.infer<typeof {name}>;");
}

fn write_field(out: &mut String, model: &Model, field: &Field) {
    comment(out, "  ", &field.description);
    let mut of = write_type(model, &field.of);
    if !field.required {
        of.push_str(".optional()");
    }
    if !field.description.is_empty() {
        let _ = write!(of, ".describe({})", quoted(&one_line(&field.description)));
    }
    let plain = !field.wire.is_empty()
        && !field.wire.starts_with(|sign: char| sign.is_ascii_digit())
        && field.wire.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let wire = match field.wire.as_str() {
        // Written plainly, it would set the prototype.
        "__proto__" => "[\"__proto__\"]".to_owned(),
        wire if plain => wire.to_owned(),
        wire => quoted(wire),
    };
    if contains_itself(model, &field.of) {
        // A getter is read when the schema is complete.
        let _ = write!(out, "  get {wire}() {{\n    return {of};\n  }},\n");
    } else {
        let _ = writeln!(out, "  {wire}: {of},");
    }
}

fn contains_itself(model: &Model, of: &Type) -> bool {
    match &of.kind {
        Kind::Named(place) => match &model.types[*place].body {
            Body::Union(types) => types.iter().any(|of| contains_itself(model, of)),
            Body::Object { .. } | Body::Enum(_) | Body::Open => model.types[*place].recursive,
        },
        Kind::List(inner) | Kind::Dictionary(inner) => contains_itself(model, inner),
        Kind::Any | Kind::Null | Kind::Boolean | Kind::Integer | Kind::Number | Kind::Text | Kind::OneOf(_) => false,
    }
}

fn write_type(model: &Model, of: &Type) -> String {
    let plain = match &of.kind {
        Kind::Any => "z.unknown()".to_owned(),
        Kind::Null => "z.null()".to_owned(),
        Kind::Boolean => "z.boolean()".to_owned(),
        Kind::Integer => "z.int()".to_owned(),
        Kind::Number => "z.number()".to_owned(),
        Kind::Text => "z.string()".to_owned(),
        Kind::List(items) => format!("z.array({})", write_type(model, items)),
        Kind::Dictionary(values) => format!("z.record(z.string(), {})", write_type(model, values)),
        Kind::OneOf(values) if values.iter().any(|value| value.is_array() || value.is_object()) => "z.unknown()".to_owned(),
        Kind::OneOf(values) => format!("z.literal([{}])", values.iter().map(json).collect::<Vec<_>>().join(", ")),
        Kind::Named(place) => model.name(*place).to_owned(),
    };
    let whole = plain + &rules(&of.kind, &of.rules);
    if of.nullable { format!("{whole}.nullable()") } else { whole }
}

/// The keywords of a schema as methods; those that zod has no method for are only announced.
fn rules(kind: &Kind, rules: &Rules) -> String {
    let mut out = String::new();
    let mut meta = Vec::new();
    for (keyword, value) in &rules.0 {
        let method = match *keyword {
            "pattern" => {
                let _ = write!(out, ".regex(new RegExp({}, \"u\"))", json(value));
                continue;
            }
            "minLength" | "minItems" => "min",
            "maxLength" | "maxItems" => "max",
            "minimum" => "gte",
            "exclusiveMinimum" => "gt",
            "maximum" => "lte",
            "exclusiveMaximum" => "lt",
            "multipleOf" => "multipleOf",
            other => {
                meta.push(format!("{other}: {}", json(value)));
                continue;
            }
        };
        let _ = write!(out, ".{method}({})", json(value));
    }
    if !meta.is_empty() && matches!(kind, Kind::Text | Kind::List(_) | Kind::Integer | Kind::Number) {
        let _ = write!(out, ".meta({{ {} }})", meta.join(", "));
    }
    out
}

fn json(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn write_handler(out: &mut String, model: &Model, handler: &Handler) {
    comment(out, "", &handler.description);
    let _ = write!(out, "export const {} = step(\n  {},\n  {{\n", handler.name, quoted(&handler.capability));
    if !handler.description.is_empty() {
        let _ = writeln!(out, "    description: {},", quoted(&one_line(&handler.description)));
    }
    if let Some(timeout) = handler.timeout {
        let _ = writeln!(out, "    timeoutMs: {},", timeout.as_millis());
    }
    for (side, of) in [("input", &handler.input), ("output", &handler.result)] {
        if let Some(of) = of {
            let _ = writeln!(out, "    {side}: {},", write_type(model, of));
        }
    }
    if !handler.errors.is_empty() {
        out.push_str("    errors: {\n");
        for error in &handler.errors {
            comment(out, "      ", &error.description);
            let details = error.details.as_ref().map_or_else(|| "null".to_owned(), |of| write_type(model, of));
            let _ = writeln!(out, "      {}: {details},", quoted(&error.code));
        }
        out.push_str("    },\n");
    }
    let _ = write!(
        out,
        "  }},\n  async (_input, _ctx) => {{\n    throw new Permanent({}, {});\n  }},\n);\n",
        quoted(NOT_WRITTEN),
        quoted(&not_written(handler))
    );
}

fn comment(out: &mut String, indent: &str, text: &str) {
    let lines: Vec<String> = wrapped(&text.replace("*/", "*\\/"));
    match lines.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(out, "{indent}/** {one} */");
        }
        many => {
            let _ = writeln!(out, "{indent}/**");
            for line in many {
                let _ = writeln!(out, "{}", format!("{indent} * {line}").trim_end());
            }
            let _ = writeln!(out, "{indent} */");
        }
    }
}

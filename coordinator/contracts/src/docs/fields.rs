//! A schema as a table of fields, one row for each, nested ones by their path.

use super::{cell, code};
use crate::model::{Body, Kind, Model, Reader, Rules, Type};
use serde_json::Value;
use std::fmt::Write as _;
use tasker_engine::Schema;

/// The most rows of one table; nobody reads on, and the schema is there for programs.
const ROWS_MAX: usize = 500;
/// The most values of an `enum` that are listed.
const VALUES_MAX: usize = 12;

/// Writes the table of a schema, or `otherwise` if there is none.
pub(super) fn table(out: &mut String, schema: Option<&Schema>, otherwise: &str) {
    let Some(schema) = schema else { return super::paragraph(out, otherwise) };
    let mut reader = Reader::new(&[]);
    let of = reader.read(schema.source(), "value");
    let mut table = Table { model: reader.finish(), rows: Vec::new(), open: Vec::new(), dropped: 0 };
    let root = table.describe(&of);
    table.below(&of, "");
    if table.rows.is_empty() {
        return super::paragraph_raw(out, &format!("{}.", capital(&root)));
    }
    if !matches!(of.kind, Kind::Named(_)) || of.nullable {
        super::paragraph_raw(out, &format!("{}:", capital(&root)));
    }
    out.push_str("\n| field | type | required | description |\n|---|---|---|---|\n");
    for row in &table.rows {
        let required = if row.required { "yes" } else { "no" };
        let _ = writeln!(out, "| `{}` | {} | {required} | {} |", code(&row.path), row.of, cell(&row.description));
    }
    if table.dropped > 0 {
        super::paragraph_raw(out, &format!("{} more fields are not shown.", table.dropped));
    }
}

struct Row {
    path: String,
    of: String,
    required: bool,
    description: String,
}

struct Table {
    model: Model,
    rows: Vec<Row>,
    /// The types around the one that is written; one that contains itself is written once.
    open: Vec<usize>,
    dropped: usize,
}

impl Table {
    /// The fields inside a type, each under its path.
    fn below(&mut self, of: &Type, path: &str) {
        match &of.kind {
            Kind::List(items) => self.below(&items.clone(), &format!("{path}[]")),
            Kind::Dictionary(values) => self.below(&values.clone(), &joined(path, "*")),
            Kind::Named(place) if !self.open.contains(place) => {
                self.open.push(*place);
                match self.model.types[*place].body.clone() {
                    Body::Object { fields, .. } => {
                        for field in fields {
                            let path = joined(path, &field.wire);
                            self.row(&path, &field.of, field.required, &field.description);
                            self.below(&field.of, &path);
                        }
                    }
                    Body::Union(types) => types.iter().for_each(|of| self.below(of, path)),
                    Body::Enum(_) | Body::Open => {}
                }
                self.open.pop();
            }
            Kind::Any | Kind::Null | Kind::Boolean | Kind::Integer | Kind::Number | Kind::Text | Kind::OneOf(_) | Kind::Named(_) => {}
        }
    }

    fn row(&mut self, path: &str, of: &Type, required: bool, description: &str) {
        if self.rows.len() >= ROWS_MAX {
            self.dropped += 1;
            return;
        }
        let of = self.describe(of);
        self.rows.push(Row { path: path.to_owned(), of, required, description: description.to_owned() });
    }

    /// A type in words, for a cell.
    fn describe(&self, of: &Type) -> String {
        let plain = match &of.kind {
            Kind::Any => "anything".to_owned(),
            Kind::Null => "null".to_owned(),
            Kind::Boolean => "boolean".to_owned(),
            Kind::Integer => "integer".to_owned(),
            Kind::Number => "number".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::List(items) => format!("list of {}", self.describe(items)),
            Kind::Dictionary(values) => format!("object of {}", self.describe(values)),
            Kind::OneOf(values) => listed(values.iter().map(Value::to_string)),
            Kind::Named(place) => match &self.model.types[*place].body {
                Body::Object { closed: true, .. } => "object, no other fields".to_owned(),
                Body::Object { closed: false, .. } | Body::Open => "object".to_owned(),
                Body::Enum(values) => listed(values.iter().map(|value| format!("\"{value}\""))),
                Body::Union(types) => types.iter().map(|of| self.describe(of)).collect::<Vec<_>>().join(" or "),
            },
        };
        let rules = rules(&of.rules);
        let null = if of.nullable { " or null" } else { "" };
        format!("{plain}{rules}{null}")
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn listed(values: impl ExactSizeIterator<Item = String>) -> String {
    let more = values.len().saturating_sub(VALUES_MAX);
    let mut shown: Vec<String> = values.take(VALUES_MAX).map(|value| format!("`{}`", code(&value))).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(" or ")
}

/// ` (date-time, at most 64 characters)`.
fn rules(rules: &Rules) -> String {
    let said: Vec<String> = rules
        .0
        .iter()
        .map(|(keyword, value)| match (*keyword, value) {
            ("format", Value::String(format)) => cell(format),
            ("pattern", Value::String(pattern)) => format!("matches `{}`", code(pattern)),
            ("minLength", value) => format!("at least {}", characters(value)),
            ("maxLength", value) => format!("at most {}", characters(value)),
            ("minimum", value) => format!("≥ {value}"),
            ("exclusiveMinimum", value) => format!("> {value}"),
            ("maximum", value) => format!("≤ {value}"),
            ("exclusiveMaximum", value) => format!("< {value}"),
            ("multipleOf", value) => format!("a multiple of {value}"),
            ("minItems", value) => format!("at least {value}"),
            ("maxItems", value) => format!("at most {value}"),
            ("uniqueItems", _) => "no repeats".to_owned(),
            (keyword, value) => format!("{keyword}: {}", cell(&value.to_string())),
        })
        .collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}

fn characters(count: &Value) -> String {
    if count.as_u64() == Some(1) { "1 character".to_owned() } else { format!("{count} characters") }
}

fn capital(text: &str) -> String {
    let mut signs = text.chars();
    signs.next().map_or_else(String::new, |first| first.to_uppercase().chain(signs).collect())
}

//! Schemas in a manifest: from the tree to JSON to a compiled [`Schema`], with every complaint at its line.

use crate::codes;
use crate::fields::{entries, short};
use crate::report::{Place, Problem, Report};
use crate::suggest::nearest;
use crate::yaml::{Kind, Node};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use tasker_engine::contract::{InvalidSchema, Schema};
use tasker_engine::ids::Digest;
use tasker_engine::schema_cost::{self, TooDear};

/// The most schema nodes compiled for one manifest. A node costs microseconds; equal schemas are compiled once.
const SCHEMA_NODES_MAX: usize = 50_000;
/// What compiling even an empty schema costs, in nodes.
const SCHEMA_COST: usize = 5;
/// The most characters of patterns compiled for one manifest, counted repetitions written out: `(?:.{30}){30}` is 3,600 of them
/// and costs milliseconds.
const PATTERNS_MAX: u64 = 60_000;
/// The most complaints about one schema.
const COMPLAINTS_MAX: usize = 10;

const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "object", "array", "null"];

/// Compiles schemas within one manifest's budget.
pub(crate) struct Schemas {
    compiled: HashMap<Digest, Schema>,
    nodes_left: usize,
    patterns_left: u64,
    /// Said once; every later schema would say the same.
    exhausted: bool,
}

impl Schemas {
    pub fn new() -> Self {
        Self { compiled: HashMap::new(), nodes_left: SCHEMA_NODES_MAX, patterns_left: PATTERNS_MAX, exhausted: false }
    }

    /// Compiles the schema in a node. `what` names it in messages: `the input schema`.
    pub fn read(&mut self, node: &Node, what: &str, report: &mut Report<'_>) -> Option<Schema> {
        entries(node, what, report)?;
        let source = json_of(node)?;
        let digest = Digest::of(source.to_string().as_bytes());
        if let Some(schema) = self.compiled.get(&digest) {
            return Some(schema.clone());
        }
        if self.exhausted {
            return None;
        }
        let patterns = schema_cost::patterns(&source);
        let enough = self.nodes_left.checked_sub(node.size() + SCHEMA_COST).zip(self.patterns_left.checked_sub(patterns));
        let Some((nodes_left, patterns_left)) = enough else {
            self.exhausted = true;
            let message = format!(
                "the schemas of the manifest have more than {SCHEMA_NODES_MAX} nodes, or patterns of more than {PATTERNS_MAX} characters with repetitions written out"
            );
            report.add(Problem::new(&codes::TOO_MANY_SCHEMAS, node.mark(), message).hint("describe less, or split the manifest"));
            return None;
        };
        (self.nodes_left, self.patterns_left) = (nodes_left, patterns_left);
        match Schema::compile(source.clone()) {
            Ok(schema) => {
                self.compiled.insert(digest, schema.clone());
                Some(schema)
            }
            Err(invalid) => {
                complain(node, &source, what, &invalid, report);
                None
            }
        }
    }
}

/// A node as JSON, with sorted members so that equal content gives equal text; `None` if part of it is invalid.
pub(crate) fn json_of(node: &Node) -> Option<Value> {
    Some(match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(flag) => Value::Bool(*flag),
        Kind::Number(number, _) => Value::Number(number.clone()),
        Kind::Text(text) => Value::String(text.clone()),
        Kind::List(items) => Value::Array(items.iter().map(|item| json_of(item)).collect::<Option<_>>()?),
        Kind::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.text.cmp(&b.text));
            let members = sorted.into_iter().map(|(key, value)| Some((key.text.clone(), json_of(value)?)));
            Value::Object(members.collect::<Option<Map<_, _>>>()?)
        }
        Kind::Invalid => return None,
    })
}

/// The node a JSON pointer leads to, or the last one on the way that exists.
pub(crate) fn locate<'n>(node: &'n Node, pointer: &str) -> &'n Node {
    let mut found = node;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next = match &found.kind {
            Kind::Map(entries) => entries.iter().find(|(key, _)| key.text == token).map(|(_, value)| value),
            Kind::List(items) => token.parse::<usize>().ok().and_then(|place| items.get(place)),
            _ => None,
        };
        match next {
            Some(next) => found = next,
            None => break,
        }
    }
    found
}

/// Says what is wrong with a schema that did not compile, at each place that can be found.
fn complain(node: &Node, source: &Value, what: &str, invalid: &InvalidSchema, report: &mut Report<'_>) {
    let mut complaints: Vec<(String, String)> = match invalid {
        InvalidSchema::Malformed(_) => {
            let errors = jsonschema::draft202012::meta::validator();
            let mut found: Vec<_> = errors
                .iter_errors(source)
                .take(COMPLAINTS_MAX)
                .map(|error| (error.instance_path().to_string(), error.to_string()))
                .collect();
            if found.is_empty() {
                walk(source, String::new(), &mut |pointer, key, member| {
                    if found.len() < COMPLAINTS_MAX
                        && let Some(complaint) = local_complaint(source, key, member)
                    {
                        found.push((pointer.to_owned(), complaint));
                    }
                });
            }
            found
        }
        InvalidSchema::RemoteReference(_) => {
            let mut found = Vec::new();
            walk(source, String::new(), &mut |pointer, key, member| {
                if matches!(key, "$ref" | "$dynamicRef") && member.as_str().is_some_and(|target| !target.starts_with('#')) {
                    found.push((pointer.to_owned(), "the reference leaves the schema; only `#…` is followed".into()));
                }
            });
            found
        }
        InvalidSchema::TooDear(dear) => {
            let pointer = match dear {
                TooDear::InnerId(pointer) | TooDear::Reference(pointer) => pointer.clone(),
                TooDear::Evaluations => String::new(),
            };
            vec![(pointer, dear.to_string())]
        }
        InvalidSchema::TooLarge(_) | InvalidSchema::TooManyNodes | InvalidSchema::TooDeep => Vec::new(),
    };
    if complaints.is_empty() {
        complaints.push((String::new(), invalid.to_string()));
    }
    for (pointer, complaint) in complaints.into_iter().take(COMPLAINTS_MAX) {
        let place = locate(node, &pointer);
        let suggestion = suggested_type(place, &pointer, report);
        report.add(problem_at(place, &pointer, what, &complaint, suggestion));
    }
}

/// The type that was probably meant, if the complaint is about a `type`.
fn suggested_type(node: &Node, pointer: &str, report: &mut Report<'_>) -> Option<&'static str> {
    match &node.kind {
        Kind::Text(written) if pointer.ends_with("/type") => nearest(report, written, TYPES),
        _ => None,
    }
}

fn problem_at(node: &Node, pointer: &str, what: &str, complaint: &str, suggestion: Option<&str>) -> Problem {
    let at = if pointer.is_empty() { String::new() } else { format!(" at `{}`", short(pointer)) };
    let place: Place = node.mark();
    match &node.kind {
        Kind::Text(written) if pointer.ends_with("/type") => {
            let message = format!("{what} is not a JSON Schema{at}: there is no type `{}`", short(written));
            Problem::new(&codes::BAD_SCHEMA, place, message)
                .hint("the types are `string`, `integer`, `number`, `boolean`, `object`, `array`, `null`")
                .nearest(suggestion)
        }
        _ => Problem::new(&codes::BAD_SCHEMA, place, format!("{what} cannot be used{at}: {complaint}"))
            .hint("schemas are JSON Schema 2020-12; see https://json-schema.org/understanding-json-schema"),
    }
}

/// What is wrong with one keyword, for what the meta-schema cannot see: patterns and references.
fn local_complaint(schema: &Value, key: &str, member: &Value) -> Option<String> {
    match (key, member) {
        ("pattern", Value::String(pattern)) => Schema::compile(json!({ "pattern": pattern }))
            .is_err()
            .then(|| format!("`{}` is not a regular expression that can be matched in linear time", short(pattern))),
        ("$ref", Value::String(target)) if target.starts_with("#/") && schema.pointer(&target[1..]).is_none() => {
            Some(format!("`{}` points to nothing in this schema", short(target)))
        }
        _ => None,
    }
}

/// Shows every member of every object, with its pointer.
fn walk(value: &Value, pointer: String, show: &mut impl FnMut(&str, &str, &Value)) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let inner = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                show(&inner, key, member);
                walk(member, inner, show);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                walk(item, format!("{pointer}/{place}"), show);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

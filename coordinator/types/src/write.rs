//! Type → JSON Schema 2020-12: what editors, documents and inferred results show.
//!
//! What is written admits what the type admits, except for the few parts of a schema that only make sense where they were
//! read; those are left out, so that what is written never refuses a value of the type.

use crate::doubt::{Doubt, Rule};
use crate::limits::SCHEMA_NODES_MAX;
use crate::number::{Numbers, Range};
use crate::shape::{Case, List, Object, Ref, Set, Type, View};
use crate::text::{Free, Texts};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Type {
    /// The type as JSON Schema 2020-12. Named parts and parts that hold themselves are under `$defs`. Bounded: of a very large
    /// type the deepest parts are written as `true`.
    pub fn to_schema(&self) -> Value {
        let mut writer = Writer::default();
        let mut root = writer.view(self.view());
        if writer.lossy {
            // Something was left out. Where parts are negated or counted, that would refuse more instead of less.
            writer = Writer { careful: true, ..Writer::default() };
            root = writer.view(self.view());
        }
        let mut members = match root {
            Value::Object(members) => members,
            Value::Bool(true) => Map::new(),
            other => return other,
        };
        if !writer.definitions.is_empty() {
            members.insert("$defs".into(), Value::Object(writer.definitions));
        }
        Value::Object(members)
    }
}

type Key = (usize, u32);

#[derive(Default)]
struct Writer {
    definitions: Map<String, Value>,
    names: BTreeMap<Key, String>,
    /// What is being written, from the outside in.
    above: Vec<Key>,
    written: usize,
    /// Whether anything was left out.
    lossy: bool,
    /// Whether parts that must be exact are left out altogether.
    careful: bool,
}

impl Writer {
    fn view(&mut self, view: View<'_>) -> Value {
        let node = view.node();
        if node.any {
            return Value::Bool(true);
        }
        if let Some(name) = self.names.get(&view.key()) {
            return reference(name);
        }
        if self.above.contains(&view.key()) {
            let name = self.name(view, "part");
            return reference(&name);
        }
        self.written += 1;
        if self.written > SCHEMA_NODES_MAX {
            self.lossy = true;
            return Value::Bool(true);
        }
        if let Some(name) = &node.name {
            self.name(view, name);
        }
        self.above.push(view.key());
        let schema = self.cases(view, &node.cases);
        self.above.pop();
        match self.names.get(&view.key()) {
            Some(name) => {
                let name = name.clone();
                let pointer = reference(&name);
                self.definitions.insert(name, schema);
                pointer
            }
            None => schema,
        }
    }

    fn part(&mut self, view: View<'_>, part: &Ref) -> Value {
        self.view(view.part(part))
    }

    /// A name that no other definition has.
    fn name(&mut self, view: View<'_>, wanted: &str) -> String {
        let taken = |name: &String| self.names.values().any(|known| known == name);
        let plain: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
        let numbered = (2..).map(|number| format!("{plain}_{number}"));
        let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
        self.names.insert(view.key(), name.clone());
        name
    }

    /// What restricts every alternative alike is written once, beside them.
    fn cases(&mut self, view: View<'_>, cases: &[Case]) -> Value {
        let Some(first) = cases.first() else { return Value::Bool(false) };
        let everywhere =
            |doubt: &&Arc<Doubt>| cases.len() > 1 && cases.iter().all(|case| case.doubts.iter().any(|known| Arc::ptr_eq(known, doubt)));
        let common: Vec<Arc<Doubt>> = first.doubts.iter().filter(everywhere).cloned().collect();
        if common.is_empty() {
            return self.alternatives(view, cases);
        }
        let mut bare = cases.to_vec();
        bare.iter_mut().for_each(|case| case.doubts.retain(|doubt| !common.iter().any(|known| Arc::ptr_eq(known, doubt))));
        let mut all = vec![self.alternatives(view, &bare)];
        all.extend(common.iter().filter_map(|doubt| self.doubt(view, doubt)));
        one("allOf", Value::Array(all))
    }

    fn alternatives(&mut self, view: View<'_>, cases: &[Case]) -> Value {
        if let [one] = cases {
            return Value::Object(self.case(view, one));
        }
        let plain = |case: &Case| case.doubts.is_empty();
        let finite = |case: &Case| plain(case) && values(&case.set).is_some();
        if cases.iter().all(finite) {
            let all: Vec<Value> = cases.iter().filter_map(|case| values(&case.set)).flatten().collect();
            return one("enum", Value::Array(all));
        }
        // The keywords of different kinds do not disturb each other.
        let apart = cases.iter().enumerate().all(|(place, case)| cases[place + 1..].iter().all(|other| !other.set.is_like(&case.set)));
        let typed = |case: &Case| plain(case) && (values(&case.set).is_none() || case.set.is_whole());
        if apart && cases.iter().all(typed) {
            let mut all = Map::new();
            let mut types = Vec::new();
            for case in cases {
                let mut one = self.case(view, case);
                types.extend(one.remove("type"));
                all.extend(one);
            }
            all.insert("type".into(), Value::Array(types));
            return Value::Object(all);
        }
        let all: Vec<Value> = cases.iter().map(|case| Value::Object(self.case(view, case))).collect();
        one("anyOf", Value::Array(all))
    }

    fn case(&mut self, view: View<'_>, case: &Case) -> Map<String, Value> {
        let mut members = Map::new();
        match &case.set {
            Set::Null => put(&mut members, "type", json!("null")),
            Set::Boolean(None) => put(&mut members, "type", json!("boolean")),
            Set::Boolean(Some(flag)) => put(&mut members, "const", Value::Bool(*flag)),
            Set::Number(numbers) => match &**numbers {
                Numbers::Points(points) => several(&mut members, points.iter().map(|point| point.to_value()).collect()),
                Numbers::Range(range) => range_of(&mut members, range),
            },
            Set::Text(texts) => match &**texts {
                Texts::Words(words) => several(&mut members, words.iter().map(|word| Value::String(word.to_string())).collect()),
                Texts::Free(free) => texts_of(&mut members, free),
            },
            Set::List(list) => self.list(view, list, &mut members),
            Set::Object(object) => self.object(view, object, &mut members),
        }
        let doubts: Vec<Value> = case.doubts.iter().filter_map(|doubt| self.doubt(view, doubt)).collect();
        if !doubts.is_empty() {
            let all = members.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.extend(doubts);
            }
        }
        members
    }

    fn list(&mut self, view: View<'_>, list: &List, members: &mut Map<String, Value>) {
        put(members, "type", json!("array"));
        if !list.first.is_empty() {
            let first = list.first.iter().map(|part| self.part(view, part)).collect();
            put(members, "prefixItems", Value::Array(first));
        }
        if !matches!(list.rest, Ref::Any) {
            let rest = self.part(view, &list.rest);
            put(members, "items", rest);
        }
        let implied = matches!(list.rest, Ref::Never).then_some(list.first.len() as u64);
        bounds(members, ("minItems", list.min), ("maxItems", list.max.filter(|max| Some(*max) != implied)));
        if list.unique {
            put(members, "uniqueItems", Value::Bool(true));
        }
    }

    fn object(&mut self, view: View<'_>, object: &Object, members: &mut Map<String, Value>) {
        put(members, "type", json!("object"));
        if !object.fields.is_empty() {
            let fields: Map<String, Value> =
                object.fields.iter().map(|(name, member)| (name.to_string(), self.part(view, &member.part))).collect();
            put(members, "properties", Value::Object(fields));
        }
        let required: Vec<Value> = object.required().map(|(name, _)| Value::String(name.to_string())).collect();
        if !required.is_empty() {
            put(members, "required", Value::Array(required));
        }
        if !matches!(object.rest, Ref::Any) {
            let rest = self.part(view, &object.rest);
            put(members, "additionalProperties", rest);
        }
        bounds(members, ("minProperties", object.min), ("maxProperties", object.max));
    }

    /// A doubt as a schema of its own; `None` if it only makes sense where it was read.
    fn doubt(&mut self, view: View<'_>, doubt: &Doubt) -> Option<Value> {
        let negates = match &doubt.rule {
            Rule::Not(_) | Rule::OneOf(_) | Rule::If(..) => true,
            Rule::Contains { max, .. } => max.is_some(),
            Rule::Names(_) | Rule::Matching { .. } | Rule::Requires(_) | Rule::Implies(_) | Rule::Multiple(_) | Rule::Unknown => false,
        };
        if negates && self.careful {
            return None;
        }
        Some(match &doubt.rule {
            Rule::Not(part) => one("not", self.part(view, part)),
            Rule::OneOf(parts) => one("oneOf", parts.iter().map(|part| self.part(view, part)).collect()),
            Rule::If(test, then, otherwise) => {
                let parts = [("if", test), ("then", then), ("else", otherwise)];
                Value::Object(parts.into_iter().map(|(keyword, part)| (keyword.to_owned(), self.part(view, part))).collect())
            }
            Rule::Contains { part, min, max } => {
                let mut members = Map::from_iter([("contains".to_owned(), self.part(view, part)), ("minContains".to_owned(), json!(min))]);
                members.extend(max.map(|max| ("maxContains".to_owned(), json!(max))));
                Value::Object(members)
            }
            Rule::Names(part) => one("propertyNames", self.part(view, part)),
            Rule::Matching { patterns, declared, rest } => {
                let patterns: Map<String, Value> =
                    patterns.iter().map(|(pattern, part)| (pattern.text().to_owned(), self.part(view, part))).collect();
                let declared: Map<String, Value> = declared.iter().map(|name| (name.to_string(), Value::Bool(true))).collect();
                let mut members = Map::from_iter([("additionalProperties".to_owned(), self.part(view, rest))]);
                put(&mut members, "patternProperties", Value::Object(patterns));
                put(&mut members, "properties", Value::Object(declared));
                Value::Object(members)
            }
            Rule::Requires(needs) => json!({ "dependentRequired": needs }),
            Rule::Implies(parts) => {
                let parts: Map<String, Value> = parts.iter().map(|(name, part)| (name.clone(), self.part(view, part))).collect();
                one("dependentSchemas", Value::Object(parts))
            }
            Rule::Multiple(of) => json!({ "multipleOf": of }),
            Rule::Unknown if doubt.root.is_none() && matches!(doubt.keyword, "allOf" | "unevaluatedItems" | "unevaluatedProperties") => {
                doubt.written.clone()
            }
            Rule::Unknown => {
                self.lossy = true;
                return None;
            }
        })
    }
}

/// A schema of one keyword.
fn one(keyword: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(keyword.to_owned(), value)]))
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn put(members: &mut Map<String, Value>, keyword: &str, value: Value) {
    members.insert(keyword.to_owned(), value);
}

fn several(members: &mut Map<String, Value>, mut values: Vec<Value>) {
    match values.len() {
        1 => put(members, "const", values.swap_remove(0)),
        _ => put(members, "enum", Value::Array(values)),
    }
}

fn bounds(members: &mut Map<String, Value>, (least, min): (&str, u64), (most, max): (&str, Option<u64>)) {
    if min > 0 {
        put(members, least, json!(min));
    }
    if let Some(max) = max {
        put(members, most, json!(max));
    }
}

fn range_of(members: &mut Map<String, Value>, range: &Range) {
    put(members, "type", json!(if range.step.is_some() { "integer" } else { "number" }));
    if let Some(step) = range.step.filter(|step| *step > 1) {
        put(members, "multipleOf", crate::number::Num::Int(step).to_value());
    }
    if let Some(low) = range.low {
        put(members, if low.open { "exclusiveMinimum" } else { "minimum" }, low.at.to_value());
    }
    if let Some(high) = range.high {
        put(members, if high.open { "exclusiveMaximum" } else { "maximum" }, high.at.to_value());
    }
}

fn texts_of(members: &mut Map<String, Value>, free: &Free) {
    put(members, "type", json!("string"));
    bounds(members, ("minLength", free.min), ("maxLength", free.max));
    let patterns = free.patterns.iter().map(|pattern| ("pattern", json!(pattern.text())));
    let formats = free.formats.iter().map(|format| ("format", json!(format.name())));
    let mut more = Vec::new();
    for (keyword, value) in patterns.chain(formats) {
        if members.contains_key(keyword) {
            more.push(json!({ keyword: value }));
        } else {
            put(members, keyword, value);
        }
    }
    if !more.is_empty() {
        put(members, "allOf", Value::Array(more));
    }
}

/// The values of a finite set.
fn values(set: &Set) -> Option<Vec<Value>> {
    match set {
        Set::Null => Some(vec![Value::Null]),
        Set::Boolean(Some(flag)) => Some(vec![Value::Bool(*flag)]),
        Set::Number(numbers) => match &**numbers {
            Numbers::Points(points) => Some(points.iter().map(|point| point.to_value()).collect()),
            Numbers::Range(_) => None,
        },
        Set::Text(texts) => match &**texts {
            Texts::Words(words) => Some(words.iter().map(|word| Value::String(word.to_string())).collect()),
            Texts::Free(_) => None,
        },
        Set::Boolean(None) | Set::List(_) | Set::Object(_) => None,
    }
}

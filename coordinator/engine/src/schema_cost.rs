//! What a schema may cost, known before it is compiled or used.
//!
//! Two things in JSON Schema are cheap to write and dear to run: references that multiply (twenty lines can ask for 2^20
//! evaluations of one value), and counted repetition in patterns. Both are bounded here from the text of the schema.

use serde_json::Value;
use std::collections::BTreeMap;

/// The most evaluations that one path into a value may cause. Schemas without tricks need about one for each level.
const EVALUATIONS_MAX: u64 = 10_000;
/// How deep the values are taken to be; exponential growth shows long before.
const VALUE_DEPTH: usize = 32;
/// The longest chain of references and combinations without a step into the value; each link is a frame on the stack.
const CHAIN_MAX: usize = 128;

/// Why a schema costs too much. Each names the JSON pointer of the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TooDear {
    /// `$id` below the root changes what `#` means.
    InnerId(String),
    /// A reference that this check does not follow, for example with percent-encoding.
    Reference(String),
    /// References multiply, or follow each other for too long.
    Evaluations,
}

impl std::fmt::Display for TooDear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InnerId(_) => "an `$id` below the root changes what `#` means; use `$defs` and `#/$defs/…`",
            Self::Reference(_) => "the reference must be `#`, `#/…` or the name of an `$anchor`, without percent-encoding",
            Self::Evaluations => "its references multiply, so that one small value would be checked thousands of times",
        })
    }
}

/// Refuses a schema whose references could make one check of one value explode.
pub fn check_references(schema: &Value) -> Result<(), TooDear> {
    let mut flat = Flat::default();
    flat.collect(schema, String::new());
    if flat.references.is_empty() {
        return Ok(());
    }
    if let Some(pointer) = flat.inner_ids.first() {
        return Err(TooDear::InnerId(pointer.clone()));
    }
    flat.link()?;
    let mut below: Vec<Cost> = vec![Cost::default(); flat.nodes.len()];
    for _ in 0..=VALUE_DEPTH {
        let mut costs = vec![None; flat.nodes.len()];
        for node in 0..flat.nodes.len() {
            if dearest(&flat.cost(node, &below, &mut costs, 0)?) > EVALUATIONS_MAX {
                return Err(TooDear::Evaluations);
            }
        }
        below = costs.into_iter().map(Option::unwrap_or_default).collect();
    }
    Ok(())
}

/// Every object of the schema, with the objects it applies to the same value and to the values inside.
#[derive(Default)]
struct Flat {
    nodes: Vec<Edges>,
    by_pointer: BTreeMap<String, usize>,
    by_anchor: BTreeMap<String, usize>,
    references: Vec<(usize, String, String)>,
    inner_ids: Vec<String>,
}

#[derive(Default)]
struct Edges {
    /// Applied to the same value.
    here: Vec<usize>,
    /// Applied to values inside a value of one shape; of each group at most one applies to the same inner value.
    inside: Vec<(Shape, Vec<usize>)>,
}

/// What a value is, as far as stepping into it goes: it is never two of these at once, so their costs do not add up.
#[derive(Clone, Copy)]
enum Shape {
    Array = 0,
    Object = 1,
    /// An object's member names, which are texts: nothing is inside them.
    Names = 2,
}

/// Evaluations by the shape of the value: array, object, anything else.
type Cost = [u64; 3];

/// The most that a value of any shape costs.
fn dearest(cost: &Cost) -> u64 {
    cost.iter().copied().max().unwrap_or(0)
}

impl Flat {
    /// Numbers an object and everything below it; anything else has no number.
    fn collect(&mut self, value: &Value, pointer: String) -> Option<usize> {
        let members = match value {
            Value::Object(members) => members,
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.collect(item, format!("{pointer}/{place}"));
                }
                return None;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        let node = self.nodes.len();
        self.nodes.push(Edges::default());
        self.by_pointer.insert(pointer.clone(), node);
        for (key, member) in members {
            let inner = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            match (key.as_str(), member) {
                ("$ref" | "$dynamicRef", Value::String(target)) => self.references.push((node, target.clone(), inner)),
                ("$anchor" | "$dynamicAnchor", Value::String(anchor)) => {
                    self.by_anchor.insert(anchor.clone(), node);
                }
                ("$id", Value::String(_)) if !pointer.is_empty() => self.inner_ids.push(inner),
                _ => {
                    self.collect(member, inner.clone());
                    self.connect(node, key, member, &inner);
                }
            }
        }
        Some(node)
    }

    fn connect(&mut self, node: usize, key: &str, member: &Value, pointer: &str) {
        let found = |name: &str| self.by_pointer.get(&format!("{pointer}{name}")).copied();
        let below: Vec<usize> = match member {
            Value::Object(members) => {
                members.keys().filter_map(|name| found(&format!("/{}", name.replace('~', "~0").replace('/', "~1")))).collect()
            }
            Value::Array(items) => (0..items.len()).filter_map(|place| found(&format!("/{place}"))).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
        };
        let own: Vec<usize> = found("").into_iter().collect();
        let edges = &mut self.nodes[node];
        match key {
            "allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies" => edges.here.extend(below),
            "not" | "if" | "then" | "else" => edges.here.extend(own),
            "properties" => edges.inside.push((Shape::Object, below)),
            "prefixItems" => edges.inside.push((Shape::Array, below)),
            "patternProperties" => edges.inside.extend(below.into_iter().map(|pattern| (Shape::Object, vec![pattern]))),
            "additionalProperties" | "unevaluatedProperties" => edges.inside.push((Shape::Object, own)),
            "propertyNames" => edges.inside.push((Shape::Names, own)),
            "items" | "additionalItems" | "contains" | "unevaluatedItems" => edges.inside.push((Shape::Array, own)),
            _ => {}
        }
    }

    fn link(&mut self) -> Result<(), TooDear> {
        for (node, target, pointer) in std::mem::take(&mut self.references) {
            let name = target.strip_prefix('#').unwrap_or(&target);
            let found = self.by_pointer.get(name).or_else(|| self.by_anchor.get(name)).copied();
            match found {
                Some(found) => self.nodes[node].here.push(found),
                // A reference to `true` or `false` leads nowhere further; anything with `%` may hide where it leads.
                None if name.contains('%') => return Err(TooDear::Reference(pointer)),
                None => {}
            }
        }
        Ok(())
    }

    /// How many evaluations a value of the current depth causes along one path. A circle that never steps into the value is
    /// stopped by the validator, so the node that is being counted counts nothing.
    fn cost(&self, node: usize, below: &[Cost], costs: &mut [Option<Cost>], chain: usize) -> Result<Cost, TooDear> {
        if let Some(cost) = costs[node] {
            return Ok(cost);
        }
        if chain > CHAIN_MAX {
            return Err(TooDear::Evaluations);
        }
        costs[node] = Some(Cost::default());
        let edges = &self.nodes[node];
        let mut cost: Cost = [1; 3];
        for &here in &edges.here {
            for (sum, more) in cost.iter_mut().zip(self.cost(here, below, costs, chain + 1)?) {
                *sum = sum.saturating_add(more);
            }
        }
        for (shape, group) in &edges.inside {
            let (place, inner): (usize, fn(&Cost) -> u64) = match shape {
                Shape::Array => (0, dearest),
                Shape::Object => (1, dearest),
                Shape::Names => (1, |cost| cost[Shape::Names as usize]),
            };
            let most = group.iter().map(|inside| inner(&below[*inside])).max().unwrap_or(0);
            cost[place] = cost[place].saturating_add(most);
        }
        costs[node] = Some(cost);
        Ok(cost)
    }
}

/// What the patterns of a schema cost to compile, in single characters after counted repetitions are written out.
pub fn patterns(schema: &Value) -> u64 {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| match (key.as_str(), member) {
                ("pattern", Value::String(text)) => pattern(text),
                ("patternProperties", Value::Object(patterns)) => {
                    patterns.keys().map(|text| pattern(text)).fold(patterns_below(member), u64::saturating_add)
                }
                _ => patterns(member),
            })
            .fold(0, u64::saturating_add),
        _ => patterns_below(schema),
    }
}

fn patterns_below(value: &Value) -> u64 {
    match value {
        Value::Object(members) => members.values().map(patterns).fold(0, u64::saturating_add),
        Value::Array(items) => items.iter().map(patterns).fold(0, u64::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// What a class such as `.` or `\w` or `[a-z]` costs beside a single character: it stands for many byte sequences.
const CLASS_COST: u64 = 4;
/// What any pattern costs.
const PATTERN_COST: u64 = 50;

/// An upper estimate; the regex engine's own size limit stays the last word on a single pattern.
fn pattern(text: &str) -> u64 {
    let mut groups: Vec<u64> = vec![0];
    let mut last = 0u64;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '(' => {
                groups.push(0);
                last = 0;
                continue;
            }
            ')' if groups.len() > 1 => last = groups.pop().unwrap_or(0).saturating_add(1),
            '{' => {
                let mut body = String::new();
                while let Some(next) = rest.next_if(|next| *next != '}') {
                    body.push(next);
                }
                rest.next();
                let times = body.split(',').filter_map(|number| number.trim().parse::<u64>().ok()).max().unwrap_or(1);
                // The repeated part is in the sum once already.
                last = last.saturating_mul(times.saturating_sub(1));
                if let Some(sum) = groups.last_mut() {
                    *sum = sum.saturating_add(last);
                }
                continue;
            }
            '[' => {
                let mut escaped = true; // The first character belongs to the class even if it is `]`.
                for next in rest.by_ref() {
                    if next == ']' && !escaped {
                        break;
                    }
                    escaped = next == '\\' && !escaped;
                }
                last = CLASS_COST;
            }
            '\\' => {
                rest.next();
                last = CLASS_COST;
            }
            '.' => last = CLASS_COST,
            _ => last = 1,
        }
        if let Some(sum) = groups.last_mut() {
            *sum = sum.saturating_add(last);
        }
    }
    groups.into_iter().fold(PATTERN_COST, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn doubling(levels: usize, twice: impl Fn(Value) -> Value) -> Value {
        let mut defs = serde_json::Map::new();
        for level in 0..levels {
            defs.insert(format!("d{level}"), twice(json!({ "$ref": format!("#/$defs/d{}", level + 1) })));
        }
        defs.insert(format!("d{levels}"), json!({ "type": "object" }));
        json!({ "$ref": "#/$defs/d0", "$defs": defs })
    }

    #[test]
    fn references_that_multiply_are_refused() {
        let refused = [
            doubling(30, |next| json!({ "allOf": [next.clone(), next] })),
            doubling(30, |next| json!({ "anyOf": [next.clone()], "if": next.clone(), "then": next })),
            json!({ "items": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } }),
            json!({ "$anchor": "me", "additionalProperties": { "$ref": "#me" }, "patternProperties": { "a": { "$ref": "#me" }, "b": { "$ref": "#me" } } }),
            doubling(200, |next| next),
        ];
        for schema in refused {
            assert_eq!(check_references(&schema), Err(TooDear::Evaluations), "{schema}");
        }
        let encoded = json!({ "$ref": "#/%24defs/a", "$defs": { "a": {} } });
        assert_eq!(check_references(&encoded), Err(TooDear::Reference("/$ref".into())));
        let inner = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$id": "http://a/b" } } });
        assert_eq!(check_references(&inner), Err(TooDear::InnerId("/$defs/a/$id".into())));
    }

    #[test]
    fn ordinary_and_recursive_schemas_pass() {
        let accepted = [
            json!({ "type": "object", "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } }),
            json!({ "properties": { "children": { "items": { "$ref": "#/$defs/node" } } }, "$defs": { "node": { "allOf": [{ "$ref": "#" }] } } }),
            doubling(8, |next| json!({ "allOf": [next.clone(), next] })),
            json!({ "$ref": "#" }),
            json!({ "$ref": "#/$defs/any", "$defs": { "any": true } }),
        ];
        for schema in accepted {
            assert_eq!(check_references(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn counted_repetition_is_written_out() {
        let cost = |text: &str| pattern(text) - PATTERN_COST;
        assert_eq!(cost("abc"), 3);
        assert_eq!(cost("^[A-Z]{3}$"), 14);
        assert_eq!(cost("a{5}b{2,7}"), 12);
        assert!(cost("(?:.{30}){30}") > 3_000);
        assert!(cost("((a{100}){100}){100}") > 1_000_000);
        for odd in ["(", "[", "{", "\\", "a{", "[]]", "a{,}", "))((", "{9999999999999999999999}"] {
            let _ = pattern(odd);
        }
    }
}

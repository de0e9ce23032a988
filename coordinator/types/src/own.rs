//! What the keywords of one schema object say by themselves: types, bounds, keywords, elements and listed values.

use crate::format::Format;
use crate::grow::{Builder, Plan, Shape, doubtful, join_shapes};
use crate::keywords::{Keywords, is_restricting};
use crate::kinds::Kinds;
use crate::number::{Edge, Num, Numbers, Range};
use crate::read::{Document, EVERY_KIND};
use crate::shape::{Case, List, Member, Object, Ref, Set, one_of_each_kind};
use crate::text::{Free, Texts};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Larger steps are beyond what numbers in JSON are exact for.
const STEP_MAX: u64 = 1 << 53;

impl<'s> Builder<'s> {
    /// What the keywords of one schema object say by themselves.
    pub(crate) fn own(&mut self, keywords: Keywords<'s>, chain: usize) -> Shape {
        let types = keywords.get("type").map(kinds_of);
        let restricted = keywords.has("type")
            || keywords.members.keys().any(|key| {
                !matches!(
                    key.as_str(),
                    "$ref" | "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "contains" | "propertyNames"
                ) && is_restricting(key)
            });
        if !restricted {
            return Shape::Any;
        }
        let kinds = match types {
            Some(None) => return Shape::Cases(doubtful("type", keywords.written(&["type"]))),
            Some(Some(kinds)) => kinds,
            None => EVERY_KIND,
        };
        let mut cases = Vec::new();
        for whole in one_of_each_kind() {
            let kind = whole.set.kinds();
            if !kinds.meets(kind) {
                continue;
            }
            let set = match &whole.set {
                Set::Boolean(_) | Set::Null => Some(whole.set.clone()),
                Set::Number(_) => own_numbers(keywords, !kinds.has(Kinds::NUMBER)).map(plain_number),
                Set::Text(_) => own_texts(keywords, &mut self.document).map(plain_text),
                Set::List(_) => self.own_lists(keywords).map(|list| Set::List(Arc::new(list))),
                Set::Object(_) => self.own_objects(keywords).map(|object| Set::Object(Arc::new(object))),
            };
            cases.extend(set.map(Case::of));
        }
        let shape = Shape::Cases(cases);
        match (keywords.get("const"), keywords.get("enum").and_then(Value::as_array)) {
            (None, None) => shape,
            (value, values) => {
                let one = value.map(|value| Shape::Cases(self.literal(value, chain)));
                let several = values.map(|values| self.enumeration(values, chain));
                [one, several].into_iter().flatten().fold(shape, |shape, literals| self.meet_shapes(shape, literals))
            }
        }
    }

    /// Any of these values; texts and numbers are taken together at once, because there may be thousands.
    fn enumeration(&mut self, values: &'s [Value], chain: usize) -> Shape {
        let mut words: Vec<Arc<str>> = Vec::new();
        let mut points: Vec<Num> = Vec::new();
        let mut shapes = Vec::new();
        for value in values {
            match value {
                Value::String(text) => words.push(text.as_str().into()),
                Value::Number(number) => points.push(Num::of(number)),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    shapes.push(Shape::Cases(self.literal(value, chain)));
                }
            }
        }
        words.sort_unstable();
        words.dedup();
        points.sort_unstable();
        points.dedup();
        let words = (!words.is_empty()).then(|| Set::Text(Arc::new(Texts::Words(words))));
        let points = (!points.is_empty()).then(|| Set::Number(Arc::new(Numbers::Points(points))));
        shapes.extend(points.into_iter().chain(words).map(|set| Shape::Cases(vec![Case::of(set)])));
        join_shapes(shapes)
    }

    fn own_lists(&mut self, keywords: Keywords<'s>) -> Option<List> {
        let first = keywords.list("prefixItems").map(|schema| self.part(schema)).collect();
        let rest = self.optional(keywords, "items");
        let unique = keywords.get("uniqueItems") == Some(&Value::Bool(true));
        List { first, rest, min: keywords.count("minItems").unwrap_or(0), max: keywords.count("maxItems"), unique }.settled()
    }

    fn own_objects(&mut self, keywords: Keywords<'s>) -> Option<Object> {
        let mut rest = self.optional(keywords, "additionalProperties");
        if keywords.has_members("patternProperties") {
            // Members that are not declared have the type of a pattern or of the rest; which one is left to the doubt.
            let mut parts: Vec<Ref> = keywords.object("patternProperties").map(|(_, schema)| self.part(schema)).collect();
            parts.push(rest);
            rest = if parts.iter().any(|part| matches!(part, Ref::Any)) { Ref::Any } else { self.plan(Plan::Join(parts)) };
        }
        let mut fields: BTreeMap<Arc<str>, Member> = BTreeMap::new();
        for (name, schema) in keywords.object("properties") {
            let part = self.part(schema);
            fields.insert(name.as_str().into(), Member { part, required: false });
        }
        for name in keywords.list("required").filter_map(Value::as_str) {
            match fields.get_mut(name) {
                Some(member) => member.required = true,
                None => {
                    fields.insert(name.into(), Member { part: rest.clone(), required: true });
                }
            }
        }
        Object { fields, rest, min: keywords.count("minProperties").unwrap_or(0), max: keywords.count("maxProperties") }.settled()
    }
}

/// All texts are one set, which is shared.
fn plain_text(texts: Texts) -> Set {
    static ALL: LazyLock<Arc<Texts>> = LazyLock::new(|| Arc::new(Texts::any()));
    Set::Text(if texts == **ALL { ALL.clone() } else { Arc::new(texts) })
}

/// All integers are one set, which is shared.
fn plain_number(numbers: Numbers) -> Set {
    static INTEGERS: LazyLock<Arc<Numbers>> = LazyLock::new(|| Arc::new(Numbers::Range(Range::integers())));
    Set::Number(if numbers == **INTEGERS { INTEGERS.clone() } else { Arc::new(numbers) })
}

/// `None` if there is a name that is no type.
fn kinds_of(types: &Value) -> Option<Kinds> {
    let one = |name: &Value| {
        Some(match name.as_str()? {
            "null" => Kinds::NULL,
            "boolean" => Kinds::BOOLEAN,
            "integer" => Kinds::INTEGER,
            "number" => Kinds::INTEGER.with(Kinds::NUMBER),
            "string" => Kinds::STRING,
            "array" => Kinds::ARRAY,
            "object" => Kinds::OBJECT,
            _ => return None,
        })
    };
    match types {
        Value::Array(names) => names.iter().try_fold(Kinds::NONE, |kinds, name| Some(kinds.with(one(name)?))),
        name => one(name),
    }
}

/// `multipleOf`, if it is a whole number that is exact.
pub(crate) fn whole_step(keywords: Keywords<'_>) -> Option<u64> {
    keywords.count("multipleOf").filter(|step| (1..=STEP_MAX).contains(step))
}

fn own_numbers(keywords: Keywords<'_>, integers: bool) -> Option<Numbers> {
    let edge = |keyword: &str, open: bool| match keywords.get(keyword) {
        Some(Value::Number(number)) => Some(Edge { at: Num::of(number), open }),
        _ => None,
    };
    let range = |low, high| Numbers::Range(Range { low, high, step: None });
    let step = whole_step(keywords).map(i128::from).or(integers.then_some(1));
    Numbers::Range(Range { low: None, high: None, step })
        .meet(&range(edge("minimum", false), edge("maximum", false)))?
        .meet(&range(edge("exclusiveMinimum", true), edge("exclusiveMaximum", true)))
}

fn own_texts(keywords: Keywords<'_>, document: &mut Document<'_>) -> Option<Texts> {
    let format = keywords.text("format").and_then(Format::named);
    let pattern = keywords.text("pattern").map(|text| document.pattern(text));
    let free = Free {
        min: keywords.count("minLength").unwrap_or(0),
        max: keywords.count("maxLength"),
        patterns: pattern.into_iter().collect(),
        formats: format.into_iter().collect(),
    };
    free.max.is_none_or(|max| free.min <= max).then_some(Texts::Free(free))
}

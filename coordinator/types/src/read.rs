//! JSON Schema 2020-12 → type.

use crate::doubt::{Doubt, Rule};
use crate::format::Format;
use crate::grow::{Builder, Plan, Shape, are_disjoint, doubt, doubtful, join_shapes};
use crate::kinds::Kinds;
use crate::limits::PATTERNS_MAX;
use crate::number::{Edge, Num, Numbers, Range};
use crate::pattern::Pattern;
use crate::shape::{Case, List, Member, Object, Ref, Set, Type, all_kinds};
use crate::text::{Free, Texts};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest chain of `$ref`s that each only name the next.
const HOPS_MAX: usize = 32;
/// The most branches of a `oneOf` that are compared with each other.
const BRANCHES_MAX: usize = 32;
/// How many levels into two branches of a `oneOf` are looked at to see that they exclude each other.
const TAG_DEPTH: usize = 3;
/// Larger steps are beyond what numbers in JSON are exact for.
const STEP_MAX: u64 = 1 << 53;

const EVERY_KIND: Kinds =
    Kinds::NULL.with(Kinds::BOOLEAN).with(Kinds::INTEGER).with(Kinds::NUMBER).with(Kinds::STRING).with(Kinds::ARRAY).with(Kinds::OBJECT);

/// Keywords that restrict a value; the others describe it.
const RESTRICTING: &[&str] = &[
    "$dynamicRef",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "then",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// The document whose parts are read, and what its references lead to.
#[derive(Default)]
pub(crate) struct Document<'s> {
    root: Option<&'s Value>,
    /// A copy for doubts that refer into the document, made when first needed.
    shared: Option<Arc<Value>>,
    anchors: Option<Anchors<'s>>,
    patterns: usize,
}

#[derive(Default)]
struct Anchors<'s> {
    named: BTreeMap<&'s str, &'s Value>,
    /// An `$id` below the root changes what references mean; then none is followed.
    inner_id: bool,
}

impl<'s> Document<'s> {
    pub(crate) fn of(root: &'s Value) -> Self {
        Self { root: Some(root), ..Self::default() }
    }

    /// What a reference leads to, if it stays in the document.
    fn resolve(&mut self, reference: &str) -> Option<&'s Value> {
        let root = self.root?;
        let anchors = self.anchors.get_or_insert_with(|| {
            let mut anchors = Anchors::default();
            collect_anchors(root, true, 0, &mut anchors);
            anchors
        });
        let target = reference.strip_prefix('#')?;
        if anchors.inner_id || target.contains('%') {
            return None;
        }
        if target.is_empty() || target.starts_with('/') { root.pointer(target) } else { anchors.named.get(target).copied() }
    }

    fn pattern(&mut self, text: &str) -> Pattern {
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX { Pattern::opaque(text) } else { Pattern::new(text) }
    }

    fn shared(&mut self) -> Option<Arc<Value>> {
        if self.shared.is_none() {
            self.shared = self.root.map(|root| Arc::new(root.clone()));
        }
        self.shared.clone()
    }
}

fn collect_anchors<'s>(value: &'s Value, is_root: bool, depth: usize, anchors: &mut Anchors<'s>) {
    // Deeper than any accepted schema; what is deeper is not followed either.
    if depth > 256 {
        anchors.inner_id = true;
        return;
    }
    match value {
        Value::Object(members) => {
            anchors.inner_id |= !is_root && members.get("$id").is_some_and(Value::is_string);
            if let Some(name) = members.get("$anchor").and_then(Value::as_str) {
                anchors.named.insert(name, value);
            }
            members.values().for_each(|member| collect_anchors(member, false, depth + 1, anchors));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_anchors(item, false, depth + 1, anchors)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Type {
    /// The type that a JSON Schema 2020-12 describes, formats being enforced. Never fails: what is not understood becomes a
    /// doubt that can make an answer of [`Type::admits`] unproven. Bounded for every schema, also one that refers to itself.
    pub fn of_schema(schema: &Value) -> Self {
        let mut builder = Builder::new(Document::of(schema));
        let root = builder.part(schema);
        builder.finish(&root)
    }
}

/// Whether a part refers into its document.
fn refers(written: &Value) -> bool {
    match written {
        Value::Object(members) => members.iter().any(|(name, member)| matches!(name.as_str(), "$ref" | "$dynamicRef") || refers(member)),
        Value::Array(items) => items.iter().any(refers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

impl<'s> Builder<'s> {
    /// The part that a schema inside another one describes.
    pub(crate) fn part(&mut self, schema: &'s Value) -> Ref {
        let mut schema = schema;
        let mut name = None;
        for _ in 0..HOPS_MAX {
            let members = match schema {
                Value::Bool(true) => return Ref::Any,
                Value::Bool(false) => return Ref::Never,
                Value::Object(members) => members,
                _ => break,
            };
            let mut restricting = members.keys().filter(|key| RESTRICTING.binary_search(&key.as_str()).is_ok());
            match (restricting.next().map(String::as_str), restricting.next()) {
                (None, _) => return Ref::Any,
                (Some("$ref"), None) => {
                    let reference = members.get("$ref").and_then(Value::as_str);
                    let Some(target) = reference.and_then(|reference| self.document.resolve(reference)) else { break };
                    name = reference.and_then(|reference| reference.rsplit('/').next());
                    schema = target;
                }
                _ => break,
            }
        }
        self.plan_schema(schema, name)
    }

    /// What a schema admits.
    pub(crate) fn read(&mut self, schema: &'s Value, chain: usize) -> Shape {
        let members = match schema {
            Value::Bool(true) => return Shape::Any,
            Value::Bool(false) => return Shape::Cases(Vec::new()),
            Value::Object(members) => members,
            _ => return Shape::Cases(doubtful("schema", schema.clone())),
        };
        let mut shape = self.own(members, chain);
        if let Some(reference) = members.get("$ref") {
            let target = reference.as_str().and_then(|reference| self.document.resolve(reference));
            let other = match target {
                Some(target) => {
                    let part = self.part(target);
                    self.shape(&part, chain)
                }
                None => Shape::Cases(doubtful("$ref", written(members, &["$ref"]))),
            };
            shape = self.meet_shapes(shape, other);
        }
        for branch in list(members, "allOf") {
            let part = self.part(branch);
            let other = self.shape(&part, chain);
            shape = self.meet_shapes(shape, other);
        }
        if members.contains_key("anyOf") {
            let shapes = self.branches(members, "anyOf", chain).into_iter().map(|(_, shape)| shape).collect();
            shape = self.meet_shapes(shape, join_shapes(shapes));
        }
        if members.contains_key("oneOf") {
            let branches = self.branches(members, "oneOf", chain);
            let overlapping = self.overlap(&branches, chain);
            let (parts, shapes): (Vec<Ref>, Vec<Shape>) = branches.into_iter().unzip();
            shape = self.meet_shapes(shape, join_shapes(shapes));
            if !overlapping.is_empty() {
                shape = self.doubted(shape, members, &["oneOf"], overlapping, Rule::OneOf(parts));
            }
        }
        shape = self.conditions(members, shape, chain);
        self.doubts(members, shape)
    }

    fn branches(&mut self, members: &'s Map<String, Value>, keyword: &str, chain: usize) -> Vec<(Ref, Shape)> {
        let mut branches = Vec::new();
        for branch in list(members, keyword) {
            let part = self.part(branch);
            let shape = self.shape(&part, chain);
            branches.push((part, shape));
        }
        branches
    }

    /// The kinds of which a value may have two of the branches.
    fn overlap(&mut self, branches: &[(Ref, Shape)], chain: usize) -> Kinds {
        if branches.len() > BRANCHES_MAX {
            return EVERY_KIND;
        }
        let cases: Vec<Vec<Case>> = branches.iter().map(|(_, shape)| shape.clone().into_cases()).collect();
        let mut of_part = |_: bool, part: &Ref| self.shape(part, chain + 1).into_cases();
        let mut kinds = Kinds::NONE;
        for (place, ones) in cases.iter().enumerate() {
            for (one, other) in ones.iter().flat_map(|one| cases[place + 1..].iter().flatten().map(move |other| (one, other))) {
                if !are_disjoint(one, other, TAG_DEPTH, &mut of_part) {
                    kinds = kinds.with(one.set.kinds()).with(other.set.kinds());
                }
            }
        }
        kinds
    }

    /// `not` and `if`, exactly where they speak of whole kinds or of finitely many values.
    fn conditions(&mut self, members: &'s Map<String, Value>, mut shape: Shape, chain: usize) -> Shape {
        if let Some(refused) = members.get("not") {
            let part = self.part(refused);
            shape = match self.shape(&part, chain) {
                Shape::Any => Shape::Cases(Vec::new()),
                Shape::Cases(refused) => self.without(shape, &refused, members, part),
            };
        }
        if let Some(test) = members.get("if")
            && (members.contains_key("then") || members.contains_key("else"))
        {
            let (test, yes, no) = (self.part(test), self.optional(members, "then"), self.optional(members, "else"));
            let either = vec![self.shape(&yes, chain), self.shape(&no, chain)];
            shape = self.meet_shapes(shape, join_shapes(either));
            shape = self.doubted(shape, members, &["if", "then", "else"], EVERY_KIND, Rule::If(test, yes, no));
        }
        shape
    }

    fn optional(&mut self, members: &'s Map<String, Value>, keyword: &str) -> Ref {
        members.get(keyword).map_or(Ref::Any, |schema| self.part(schema))
    }

    fn without(&mut self, shape: Shape, refused: &[Case], members: &'s Map<String, Value>, part: Ref) -> Shape {
        let mut cases = shape.into_cases();
        cases.retain(|case| !refused.iter().any(|refused| refused.is_all_of_a_kind() && refused.set.is_like(&case.set)));
        let mut kept = Vec::with_capacity(cases.len());
        let mut added: Option<Arc<Doubt>> = None;
        for mut case in cases {
            let concerned: Vec<&Case> = refused.iter().filter(|refused| refused.set.is_like(&case.set)).collect();
            if concerned.iter().all(|refused| refused.doubts.is_empty())
                && let Some(left) = case.set.without_values(&concerned)
            {
                let Some(left) = left else { continue };
                case.set = left;
                kept.push(case);
            } else {
                if added.is_none() {
                    let root = self.root_of(members, &["not"]);
                    added = Some(doubt("not", written(members, &["not"]), root, Rule::Not(part.clone())));
                }
                case.doubts.extend(added.clone());
                kept.push(case);
            }
        }
        Shape::Cases(kept)
    }

    fn root_of(&mut self, members: &Map<String, Value>, keywords: &[&str]) -> Option<Arc<Value>> {
        let refers = keywords.iter().any(|keyword| members.get(*keyword).is_some_and(refers));
        if refers { self.document.shared() } else { None }
    }

    /// Adds a doubt to the cases of some kinds.
    fn doubted(&mut self, shape: Shape, members: &Map<String, Value>, keywords: &[&'static str], kinds: Kinds, rule: Rule) -> Shape {
        let root = self.root_of(members, keywords);
        let added = doubt(keywords[0], written(members, keywords), root, rule);
        let mut cases = shape.into_cases();
        for case in cases.iter_mut().filter(|case| case.set.kinds().meets(kinds)) {
            case.doubts.push(added.clone());
        }
        Shape::Cases(cases)
    }

    /// Keywords that are kept as they are.
    fn doubts(&mut self, members: &'s Map<String, Value>, mut shape: Shape) -> Shape {
        if let Some(part) = members.get("contains") {
            let min = count(members, "minContains").unwrap_or(1);
            let rule = Rule::Contains { part: self.part(part), min, max: count(members, "maxContains") };
            shape = self.doubted(shape, members, &["contains", "minContains", "maxContains"], Kinds::ARRAY, rule);
        }
        if let Some(names) = members.get("propertyNames") {
            let part = self.part(names);
            let all = match self.shape(&part, 0) {
                Shape::Any => true,
                Shape::Cases(cases) => cases.iter().any(|case| matches!(case.set, Set::Text(_)) && case.is_all_of_a_kind()),
            };
            if !all {
                shape = self.doubted(shape, members, &["propertyNames"], Kinds::OBJECT, Rule::Names(part));
            }
        }
        if let Some(Value::Object(patterns)) = members.get("patternProperties").filter(|patterns| !is_empty(patterns)) {
            let patterns = patterns.iter().map(|(text, schema)| (self.document.pattern(text), self.part(schema))).collect();
            let declared = object(members, "properties").map(|(name, _)| name.as_str().into()).collect();
            let rest = self.optional(members, "additionalProperties");
            let rule = Rule::Matching { patterns, declared, rest };
            let keywords = ["patternProperties", "additionalProperties", "properties"];
            shape = self.doubted(shape, members, &keywords, Kinds::OBJECT, rule);
        }
        if members.get("dependentRequired").is_some_and(|required| !is_empty(required)) {
            let names = |names: &Value| names.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let rule = Rule::Requires(object(members, "dependentRequired").map(|(name, needed)| (name.clone(), names(needed))).collect());
            shape = self.doubted(shape, members, &["dependentRequired"], Kinds::OBJECT, rule);
        }
        if members.get("dependentSchemas").is_some_and(|schemas| !is_empty(schemas)) {
            let parts = object(members, "dependentSchemas").map(|(name, schema)| (name.clone(), self.part(schema))).collect();
            shape = self.doubted(shape, members, &["dependentSchemas"], Kinds::OBJECT, Rule::Implies(parts));
        }
        if let Some(step) = members.get("multipleOf").and_then(Value::as_f64)
            && whole_step(members).is_none()
        {
            shape = self.doubted(shape, members, &["multipleOf"], Kinds::INTEGER, Rule::Multiple(step));
        }
        for (keyword, kind) in [("unevaluatedProperties", Kinds::OBJECT), ("unevaluatedItems", Kinds::ARRAY)] {
            if members.get(keyword).is_some_and(|schema| *schema != Value::Bool(true)) {
                // What was evaluated depends on everything beside it.
                let beside = Value::Object(members.clone());
                let root = if refers(&beside) { self.document.shared() } else { None };
                let added = doubt(keyword, beside, root, Rule::Unknown);
                let mut cases = shape.into_cases();
                cases.iter_mut().filter(|case| case.set.kinds().meets(kind)).for_each(|case| case.doubts.push(added.clone()));
                shape = Shape::Cases(cases);
            }
        }
        if members.contains_key("$dynamicRef") {
            shape = self.doubted(shape, members, &["$dynamicRef"], EVERY_KIND, Rule::Unknown);
        }
        shape
    }

    /// What the keywords of one schema object say by themselves.
    fn own(&mut self, members: &'s Map<String, Value>, chain: usize) -> Shape {
        let types = members.get("type").map(kinds_of);
        let restricted = members.keys().any(|key| {
            !matches!(key.as_str(), "$ref" | "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "contains" | "propertyNames")
                && RESTRICTING.binary_search(&key.as_str()).is_ok()
        });
        if !restricted {
            return Shape::Any;
        }
        let kinds = match types {
            Some(None) => return Shape::Cases(doubtful("type", written(members, &["type"]))),
            Some(Some(kinds)) => kinds,
            None => EVERY_KIND,
        };
        let mut cases = Vec::new();
        for whole in all_kinds() {
            let kind = whole.set.kinds();
            if !kinds.meets(kind) {
                continue;
            }
            let set = match &whole.set {
                Set::Boolean(_) | Set::Null => Some(whole.set),
                Set::Number(_) => own_numbers(members, !kinds.has(Kinds::NUMBER)).map(|numbers| Set::Number(Arc::new(numbers))),
                Set::Text(_) => own_texts(members, &mut self.document).map(|texts| Set::Text(Arc::new(texts))),
                Set::List(_) => self.own_lists(members).map(|list| Set::List(Arc::new(list))),
                Set::Object(_) => self.own_objects(members).map(|object| Set::Object(Arc::new(object))),
            };
            cases.extend(set.map(Case::of));
        }
        let shape = Shape::Cases(cases);
        match (members.get("const"), members.get("enum").and_then(Value::as_array)) {
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

    fn own_lists(&mut self, members: &'s Map<String, Value>) -> Option<List> {
        let first = list(members, "prefixItems").map(|schema| self.part(schema)).collect();
        let rest = self.optional(members, "items");
        let unique = members.get("uniqueItems") == Some(&Value::Bool(true));
        List { first, rest, min: count(members, "minItems").unwrap_or(0), max: count(members, "maxItems"), unique }.settled()
    }

    fn own_objects(&mut self, members: &'s Map<String, Value>) -> Option<Object> {
        let mut rest = self.optional(members, "additionalProperties");
        if members.get("patternProperties").is_some_and(|patterns| !is_empty(patterns)) {
            // Members that are not declared have the type of a pattern or of the rest; which one is left to the doubt.
            let mut parts: Vec<Ref> = object(members, "patternProperties").map(|(_, schema)| self.part(schema)).collect();
            parts.push(rest);
            rest = if parts.iter().any(|part| matches!(part, Ref::Any)) { Ref::Any } else { self.plan(Plan::Join(parts)) };
        }
        let mut fields: BTreeMap<Arc<str>, Member> = BTreeMap::new();
        for (name, schema) in object(members, "properties") {
            let part = self.part(schema);
            fields.insert(name.as_str().into(), Member { part, required: false });
        }
        for name in list(members, "required").filter_map(Value::as_str) {
            match fields.get_mut(name) {
                Some(member) => member.required = true,
                None => {
                    fields.insert(name.into(), Member { part: rest.clone(), required: true });
                }
            }
        }
        Object { fields, rest, min: count(members, "minProperties").unwrap_or(0), max: count(members, "maxProperties") }.settled()
    }
}

impl Case {
    fn is_all_of_a_kind(&self) -> bool {
        self.doubts.is_empty() && self.set.is_whole()
    }
}

impl Set {
    /// A finite set without what other sets have: `None` if that cannot be said exactly, `Some(None)` if nothing is left.
    fn without_values(&self, refused: &[&Case]) -> Option<Option<Self>> {
        if refused.is_empty() {
            return Some(Some(self.clone()));
        }
        match self {
            Self::Boolean(own) => {
                let left: Vec<bool> = [true, false]
                    .into_iter()
                    .filter(|flag| own.is_none_or(|own| own == *flag))
                    .filter(|flag| !refused.iter().any(|case| matches!(case.set, Self::Boolean(Some(refused)) if refused == *flag)))
                    .collect();
                Some(match left.as_slice() {
                    [] => None,
                    [one] => Some(Self::Boolean(Some(*one))),
                    _ => Some(Self::Boolean(None)),
                })
            }
            Self::Number(numbers) => {
                let Numbers::Points(points) = &**numbers else { return None };
                let refuses = |point: &Num| refused.iter().any(|case| matches!(&case.set, Self::Number(set) if set.contains(*point)));
                let left: Vec<Num> = points.iter().copied().filter(|point| !refuses(point)).collect();
                Some((!left.is_empty()).then(|| Self::Number(Arc::new(Numbers::Points(left)))))
            }
            Self::Text(texts) => {
                let Texts::Words(words) = &**texts else { return None };
                let mut left = Vec::new();
                for word in words {
                    let refuses = refused.iter().map(|case| match &case.set {
                        Self::Text(set) => set.contains(word),
                        _ => Some(false),
                    });
                    let refuses: Vec<Option<bool>> = refuses.collect();
                    match (refuses.contains(&Some(true)), refuses.contains(&None)) {
                        (true, _) => {}
                        (false, true) => return None,
                        (false, false) => left.push(word.clone()),
                    }
                }
                Some((!left.is_empty()).then(|| Self::Text(Arc::new(Texts::Words(left)))))
            }
            Self::List(_) | Self::Object(_) | Self::Null => None,
        }
    }
}

/// The named members as an object of their own.
fn written(members: &Map<String, Value>, keywords: &[&str]) -> Value {
    let kept = keywords.iter().filter_map(|keyword| Some(((*keyword).to_owned(), members.get(*keyword)?.clone())));
    Value::Object(kept.collect())
}

fn list<'s>(members: &'s Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'s Value> + use<'s> {
    members.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn object<'s>(members: &'s Map<String, Value>, keyword: &str) -> impl Iterator<Item = (&'s String, &'s Value)> + use<'s> {
    members.get(keyword).and_then(Value::as_object).into_iter().flatten()
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_none_or(Map::is_empty)
}

fn count(members: &Map<String, Value>, keyword: &str) -> Option<u64> {
    let value = members.get(keyword)?;
    // `2.0` is the same count as `2`.
    value.as_u64().or_else(|| value.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0).map(|float| float as u64))
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
fn whole_step(members: &Map<String, Value>) -> Option<u64> {
    count(members, "multipleOf").filter(|step| (1..=STEP_MAX).contains(step))
}

fn own_numbers(members: &Map<String, Value>, integers: bool) -> Option<Numbers> {
    let edge = |keyword: &str, open: bool| match members.get(keyword) {
        Some(Value::Number(number)) => Some(Edge { at: Num::of(number), open }),
        _ => None,
    };
    let range = |low, high| Numbers::Range(Range { low, high, step: None });
    let step = whole_step(members).map(i128::from).or(integers.then_some(1));
    Numbers::Range(Range { low: None, high: None, step })
        .meet(&range(edge("minimum", false), edge("maximum", false)))?
        .meet(&range(edge("exclusiveMinimum", true), edge("exclusiveMaximum", true)))
}

fn own_texts(members: &Map<String, Value>, document: &mut Document<'_>) -> Option<Texts> {
    let format = members.get("format").and_then(Value::as_str).and_then(Format::named);
    let pattern = members.get("pattern").and_then(Value::as_str).map(|text| document.pattern(text));
    let free = Free {
        min: count(members, "minLength").unwrap_or(0),
        max: count(members, "maxLength"),
        patterns: pattern.into_iter().collect(),
        formats: format.into_iter().collect(),
    };
    free.max.is_none_or(|max| free.min <= max).then_some(Texts::Free(free))
}

impl Doubt {
    /// One line for people.
    pub(crate) fn short(&self) -> &'static str {
        self.keyword
    }
}

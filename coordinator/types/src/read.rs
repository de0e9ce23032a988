//! JSON Schema 2020-12 → type.

use crate::doubt::{Doubt, Rule};
use crate::grow::{Builder, Shape, are_disjoint, doubt, doubtful, join_shapes};
use crate::keywords::{Keywords, is_restricting};
use crate::kinds::Kinds;
use crate::limits::PATTERNS_MAX;
use crate::number::{Num, Numbers};
use crate::own::whole_step;
use crate::pattern::Pattern;
use crate::shape::{Case, Ref, Set, Type};
use crate::text::Texts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest chain of `$ref`s that each only name the next.
const HOPS_MAX: usize = 32;
/// The most branches of a `oneOf` that are compared with each other.
const BRANCHES_MAX: usize = 32;
/// How many levels into two branches of a `oneOf` are looked at to see that they exclude each other.
const TAG_DEPTH: usize = 3;

pub(crate) const EVERY_KIND: Kinds =
    Kinds::NULL.with(Kinds::BOOLEAN).with(Kinds::INTEGER).with(Kinds::NUMBER).with(Kinds::STRING).with(Kinds::ARRAY).with(Kinds::OBJECT);

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

    /// Whether a reference was followed, so that a schema may come by more than once.
    pub(crate) fn refers_to_itself(&self) -> bool {
        self.anchors.is_some()
    }

    /// A pattern of the document; of very many, the last ones are not understood.
    pub(crate) fn pattern(&mut self, text: &str) -> Pattern {
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
            if !members.contains_key("$ref") {
                if !members.keys().any(|key| is_restricting(key)) {
                    return Ref::Any;
                }
                break;
            }
            if members.keys().filter(|key| is_restricting(key)).count() > 1 {
                break;
            }
            let reference = members.get("$ref").and_then(Value::as_str);
            let Some(target) = reference.and_then(|reference| self.document.resolve(reference)) else { break };
            name = reference.and_then(|reference| reference.rsplit('/').next());
            schema = target;
        }
        self.plan_schema(schema, name)
    }

    /// What a schema admits.
    pub(crate) fn read(&mut self, schema: &'s Value, chain: usize) -> Shape {
        let keywords = match schema {
            Value::Bool(true) => return Shape::Any,
            Value::Bool(false) => return Shape::Cases(Vec::new()),
            Value::Object(members) => Keywords::of(members),
            _ => return Shape::Cases(doubtful("schema", schema.clone())),
        };
        let mut shape = self.own(keywords, chain);
        if let Some(reference) = keywords.get("$ref") {
            let target = reference.as_str().and_then(|reference| self.document.resolve(reference));
            let other = match target {
                Some(target) => {
                    let part = self.part(target);
                    self.shape(&part, chain)
                }
                None => Shape::Cases(doubtful("$ref", keywords.written(&["$ref"]))),
            };
            shape = self.meet_shapes(shape, other);
        }
        for branch in keywords.list("allOf") {
            let part = self.part(branch);
            let other = self.shape(&part, chain);
            shape = self.meet_shapes(shape, other);
        }
        if keywords.has("anyOf") {
            let shapes = self.branches(keywords, "anyOf", chain).into_iter().map(|(_, shape)| shape).collect();
            shape = self.meet_shapes(shape, join_shapes(shapes));
        }
        if keywords.has("oneOf") {
            let branches = self.branches(keywords, "oneOf", chain);
            let overlapping = self.overlap(&branches, chain);
            let (parts, shapes): (Vec<Ref>, Vec<Shape>) = branches.into_iter().unzip();
            shape = self.meet_shapes(shape, join_shapes(shapes));
            if !overlapping.is_empty() {
                shape = self.doubted(shape, keywords, &["oneOf"], overlapping, Rule::OneOf(parts));
            }
        }
        shape = self.conditions(keywords, shape, chain);
        self.doubts(keywords, shape, chain)
    }

    fn branches(&mut self, keywords: Keywords<'s>, keyword: &str, chain: usize) -> Vec<(Ref, Shape)> {
        let mut branches = Vec::new();
        for branch in keywords.list(keyword) {
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
    fn conditions(&mut self, keywords: Keywords<'s>, mut shape: Shape, chain: usize) -> Shape {
        if let Some(refused) = keywords.get("not") {
            let part = self.part(refused);
            shape = match self.shape(&part, chain) {
                Shape::Any => Shape::Cases(Vec::new()),
                Shape::Cases(refused) => self.without(shape, &refused, keywords, part),
            };
        }
        if let Some(test) = keywords.get("if")
            && (keywords.has("then") || keywords.has("else"))
        {
            let (test, yes, no) = (self.part(test), self.optional(keywords, "then"), self.optional(keywords, "else"));
            let either = vec![self.shape(&yes, chain), self.shape(&no, chain)];
            shape = self.meet_shapes(shape, join_shapes(either));
            shape = self.doubted(shape, keywords, &["if", "then", "else"], EVERY_KIND, Rule::If(test, yes, no));
        }
        shape
    }

    /// What a keyword that may be missing describes.
    pub(crate) fn optional(&mut self, keywords: Keywords<'s>, keyword: &str) -> Ref {
        keywords.get(keyword).map_or(Ref::Any, |schema| self.part(schema))
    }

    fn without(&mut self, shape: Shape, refused: &[Case], keywords: Keywords<'s>, part: Ref) -> Shape {
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
                    let root = self.root_of(keywords, &["not"]);
                    added = Some(doubt("not", keywords.written(&["not"]), root, Rule::Not(part.clone())));
                }
                case.doubts.extend(added.clone());
                kept.push(case);
            }
        }
        Shape::Cases(kept)
    }

    fn root_of(&mut self, keywords: Keywords<'_>, names: &[&str]) -> Option<Arc<Value>> {
        let refers = names.iter().any(|name| keywords.get(name).is_some_and(refers));
        if refers { self.document.shared() } else { None }
    }

    /// Adds a doubt to the cases of some kinds.
    fn doubted(&mut self, shape: Shape, keywords: Keywords<'_>, names: &[&'static str], kinds: Kinds, rule: Rule) -> Shape {
        let root = self.root_of(keywords, names);
        let added = doubt(names[0], keywords.written(names), root, rule);
        let mut cases = shape.into_cases();
        for case in cases.iter_mut().filter(|case| case.set.kinds().meets(kinds)) {
            case.doubts.push(added.clone());
        }
        Shape::Cases(cases)
    }

    /// Keywords that are kept as they are.
    fn doubts(&mut self, keywords: Keywords<'s>, mut shape: Shape, chain: usize) -> Shape {
        if let Some(part) = keywords.get("contains") {
            let min = keywords.count("minContains").unwrap_or(1);
            let rule = Rule::Contains { part: self.part(part), min, max: keywords.count("maxContains") };
            shape = self.doubted(shape, keywords, &["contains", "minContains", "maxContains"], Kinds::ARRAY, rule);
        }
        if let Some(names) = keywords.get("propertyNames") {
            let part = self.part(names);
            let all = match self.shape(&part, chain) {
                Shape::Any => true,
                Shape::Cases(cases) => cases.iter().any(|case| matches!(case.set, Set::Text(_)) && case.is_all_of_a_kind()),
            };
            if !all {
                shape = self.doubted(shape, keywords, &["propertyNames"], Kinds::OBJECT, Rule::Names(part));
            }
        }
        if keywords.has_members("patternProperties") {
            let patterns =
                keywords.object("patternProperties").map(|(text, schema)| (self.document.pattern(text), self.part(schema))).collect();
            let declared = keywords.object("properties").map(|(name, _)| name.as_str().into()).collect();
            let rest = self.optional(keywords, "additionalProperties");
            let rule = Rule::Matching { patterns, declared, rest };
            let three = ["patternProperties", "additionalProperties", "properties"];
            shape = self.doubted(shape, keywords, &three, Kinds::OBJECT, rule);
        }
        if keywords.has_members("dependentRequired") {
            let names = |names: &Value| names.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let rule = Rule::Requires(keywords.object("dependentRequired").map(|(name, needed)| (name.clone(), names(needed))).collect());
            shape = self.doubted(shape, keywords, &["dependentRequired"], Kinds::OBJECT, rule);
        }
        if keywords.has_members("dependentSchemas") {
            let parts = keywords.object("dependentSchemas").map(|(name, schema)| (name.clone(), self.part(schema))).collect();
            shape = self.doubted(shape, keywords, &["dependentSchemas"], Kinds::OBJECT, Rule::Implies(parts));
        }
        if let Some(step) = keywords.get("multipleOf").and_then(Value::as_f64)
            && whole_step(keywords).is_none()
        {
            shape = self.doubted(shape, keywords, &["multipleOf"], Kinds::INTEGER, Rule::Multiple(step));
        }
        for (keyword, kind) in [("unevaluatedProperties", Kinds::OBJECT), ("unevaluatedItems", Kinds::ARRAY)] {
            if keywords.get(keyword).is_some_and(|schema| *schema != Value::Bool(true)) {
                // What was evaluated depends on everything beside it.
                let beside = Value::Object(keywords.members.clone());
                let root = if refers(&beside) { self.document.shared() } else { None };
                let added = doubt(keyword, beside, root, Rule::Unknown);
                let mut cases = shape.into_cases();
                cases.iter_mut().filter(|case| case.set.kinds().meets(kind)).for_each(|case| case.doubts.push(added.clone()));
                shape = Shape::Cases(cases);
            }
        }
        if keywords.has("$dynamicRef") {
            shape = self.doubted(shape, keywords, &["$dynamicRef"], EVERY_KIND, Rule::Unknown);
        }
        shape
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

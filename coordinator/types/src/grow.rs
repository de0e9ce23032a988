//! Grows the graph of a type: places are planned by number, filled one by one, and what has no value is taken out at the end.
//!
//! Planning before filling is what lets a schema refer to itself. A place is filled from what it combines about the same
//! value, which must be filled first; a place that needs itself for that says nothing and is doubtful.

use crate::doubt::{Doubt, Rule, all_known};
use crate::limits::{CASES_MAX, CHAIN_MAX, NODES_MAX};
use crate::number::{Numbers, Range};
use crate::read::Document;
use crate::shape::{Case, Graph, List, Member, Node, Object, Ref, Set, Type, all_kinds};
use crate::text::Texts;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// What a place admits, while the graph grows.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Any,
    Cases(Vec<Case>),
}

/// What a place will be.
pub(crate) enum Plan<'s> {
    Read(&'s Value),
    Literal(&'s Value),
    /// What both admit.
    Meet(Ref, Ref),
    /// What any admits.
    Join(Vec<Ref>),
}

enum Slot<'s> {
    Planned(Plan<'s>),
    /// Being filled; whoever asks for it now is part of it.
    Open,
    Filled(Node),
}

/// Grows one graph.
pub(crate) struct Builder<'s> {
    pub(crate) document: Document<'s>,
    slots: Vec<Slot<'s>>,
    names: BTreeMap<u32, Arc<str>>,
    schemas: BTreeMap<usize, u32>,
    /// The parts are kept with it, so that the address of one that is gone never stands for another.
    meets: BTreeMap<(Key, Key), (u32, Ref, Ref)>,
    tangled: bool,
}

/// Tells parts apart: the address of a foreign graph, or zero, and the number.
type Key = (usize, u32);

/// A type of which only is known that it could not be known.
static UNKNOWN: LazyLock<Type> = LazyLock::new(|| Type::of_cases(doubtful("limit", Value::Null)));

/// Every kind, each with one doubt about which nothing can be said.
pub(crate) fn doubtful(keyword: &'static str, written: Value) -> Vec<Case> {
    let doubt = Doubt::unknown(keyword, written);
    all_kinds().into_iter().map(|case| Case { set: case.set, doubts: vec![doubt.clone()] }).collect()
}

impl Shape {
    pub(crate) fn into_cases(self) -> Vec<Case> {
        match self {
            Self::Any => all_kinds(),
            Self::Cases(cases) => cases,
        }
    }
}

impl<'s> Builder<'s> {
    pub(crate) fn new(document: Document<'s>) -> Self {
        Self { document, slots: Vec::new(), names: BTreeMap::new(), schemas: BTreeMap::new(), meets: BTreeMap::new(), tangled: false }
    }

    /// A place for a schema; from the first reference on, the same one each time.
    pub(crate) fn plan_schema(&mut self, schema: &'s Value, name: Option<&str>) -> Ref {
        if !self.document.refers_to_itself() {
            return self.plan(Plan::Read(schema));
        }
        let key = std::ptr::from_ref(schema).addr();
        if let Some(known) = self.schemas.get(&key) {
            self.tangled = true;
            return Ref::Local(*known);
        }
        let part = self.plan(Plan::Read(schema));
        if let Ref::Local(at) = part {
            self.schemas.insert(key, at);
            if let Some(name) = name {
                self.tangled = true;
                self.names.insert(at, name.into());
            }
        }
        part
    }

    /// A new place.
    pub(crate) fn plan(&mut self, plan: Plan<'s>) -> Ref {
        match u32::try_from(self.slots.len()) {
            Ok(at) if self.slots.len() < NODES_MAX => {
                self.slots.push(Slot::Planned(plan));
                Ref::Local(at)
            }
            _ => Ref::Foreign(UNKNOWN.clone()),
        }
    }

    /// A place for what both admit.
    pub(crate) fn meet(&mut self, a: &Ref, b: &Ref) -> Ref {
        let key = |part: &Ref| match part {
            Ref::Local(at) => (0, *at),
            Ref::Foreign(other) => other.view().key(),
            Ref::Any | Ref::Never => (0, u32::MAX),
        };
        match (a, b) {
            (Ref::Never, _) | (_, Ref::Never) => return Ref::Never,
            (Ref::Any, other) | (other, Ref::Any) => return other.clone(),
            _ if key(a) == key(b) => return a.clone(),
            _ => {}
        }
        let pair = if key(a) <= key(b) { (key(a), key(b)) } else { (key(b), key(a)) };
        if let Some((known, _, _)) = self.meets.get(&pair) {
            self.tangled = true;
            return Ref::Local(*known);
        }
        let part = self.plan(Plan::Meet(a.clone(), b.clone()));
        if let Ref::Local(at) = part {
            self.meets.insert(pair, (at, a.clone(), b.clone()));
        }
        part
    }

    /// What a part admits, filling it first if it must be. `chain` counts what is being filled for one value.
    pub(crate) fn shape(&mut self, part: &Ref, chain: usize) -> Shape {
        match part {
            Ref::Any => Shape::Any,
            Ref::Never => Shape::Cases(Vec::new()),
            Ref::Foreign(other) if other.view().is_any() => Shape::Any,
            Ref::Foreign(other) => Shape::Cases(other.view().node().cases.iter().map(|case| case.lifted(&other.graph)).collect()),
            Ref::Local(at) => {
                if chain < CHAIN_MAX {
                    self.fill(*at, chain);
                }
                match &self.slots[*at as usize] {
                    Slot::Filled(node) if node.any => Shape::Any,
                    Slot::Filled(node) => Shape::Cases(node.cases.clone()),
                    Slot::Planned(_) | Slot::Open => Shape::Cases(doubtful("$ref", Value::Null)),
                }
            }
        }
    }

    fn fill(&mut self, at: u32, chain: usize) {
        if !matches!(self.slots[at as usize], Slot::Planned(_)) {
            return;
        }
        let Slot::Planned(plan) = std::mem::replace(&mut self.slots[at as usize], Slot::Open) else { return };
        let shape = match plan {
            Plan::Read(schema) => self.read(schema, chain + 1),
            Plan::Literal(value) => Shape::Cases(self.literal(value, chain + 1)),
            Plan::Meet(a, b) => {
                let (a, b) = (self.shape(&a, chain + 1), self.shape(&b, chain + 1));
                self.meet_shapes(a, b)
            }
            Plan::Join(parts) => {
                let shapes = parts.iter().map(|part| self.shape(part, chain + 1)).collect();
                join_shapes(shapes)
            }
        };
        let any = matches!(shape, Shape::Any);
        let node = Node { cases: shape.into_cases(), name: self.names.get(&at).cloned(), any };
        self.slots[at as usize] = Slot::Filled(node);
    }

    /// Fills everything that was planned and answers with the type of one part.
    pub(crate) fn finish(mut self, root: &Ref) -> Type {
        let root = match root {
            Ref::Any => return Type::any(),
            Ref::Never => return Type::never(),
            Ref::Foreign(other) => return other.clone(),
            Ref::Local(root) => *root,
        };
        let mut at = 0;
        while at < self.slots.len() {
            self.fill(at as u32, 0);
            at += 1;
        }
        let filled = |slot| match slot {
            Slot::Filled(node) => node,
            Slot::Planned(_) | Slot::Open => Node { cases: doubtful("limit", Value::Null), name: None, any: false },
        };
        let mut nodes: Vec<Node> = self.slots.into_iter().map(filled).collect();
        take_out_the_empty(&mut nodes);
        Type { graph: Arc::new(Graph { nodes, tangled: self.tangled }), at: root }
    }

    pub(crate) fn meet_shapes(&mut self, a: Shape, b: Shape) -> Shape {
        match (a, b) {
            (Shape::Any, other) | (other, Shape::Any) => other,
            (Shape::Cases(a), Shape::Cases(b)) => Shape::Cases(self.meet_cases(&a, &b)),
        }
    }

    fn meet_cases(&mut self, a: &[Case], b: &[Case]) -> Vec<Case> {
        let mut met = Vec::new();
        for one in a {
            for other in b.iter().filter(|other| one.set.is_like(&other.set)) {
                if met.len() >= CASES_MAX {
                    return widened(&met, a);
                }
                met.extend(self.meet_case(one, other));
            }
        }
        met
    }

    fn meet_case(&mut self, a: &Case, b: &Case) -> Option<Case> {
        let mut doubts = a.doubts.clone();
        doubts.extend(b.doubts.iter().filter(|doubt| !all_known(std::slice::from_ref(doubt), &a.doubts)).cloned());
        let set = match (&a.set, &b.set) {
            (set, other) | (other, set) if other.is_whole() => set.clone(),
            (Set::Boolean(a), Set::Boolean(b)) => match (a, b) {
                (None, one) | (one, None) => Set::Boolean(*one),
                (Some(a), Some(b)) if a == b => Set::Boolean(Some(*a)),
                _ => return None,
            },
            (Set::Number(a), Set::Number(b)) => Set::Number(Arc::new(a.meet(b)?)),
            (Set::Text(a), Set::Text(b)) => {
                let (texts, exact) = a.meet(b)?;
                if !exact {
                    // Words of which some may lack a pattern or format: a restriction that cannot be said exactly.
                    let free = [a, b].into_iter().find_map(|side| match &**side {
                        Texts::Free(free) => Some(free),
                        Texts::Words(_) => None,
                    })?;
                    let patterns: Vec<&str> = free.patterns.iter().map(|pattern| pattern.text()).collect();
                    let formats: Vec<&str> = free.formats.iter().map(|format| format.name()).collect();
                    let all = patterns.iter().map(|text| json!({ "pattern": text }));
                    let all: Vec<Value> = all.chain(formats.iter().map(|name| json!({ "format": name }))).collect();
                    doubts.push(Doubt::unknown("allOf", json!({ "allOf": all })));
                }
                Set::Text(Arc::new(texts))
            }
            (Set::List(a), Set::List(b)) => Set::List(Arc::new(self.meet_lists(a, b)?)),
            (Set::Object(a), Set::Object(b)) => Set::Object(Arc::new(self.meet_objects(a, b)?)),
            (Set::Null, Set::Null) => Set::Null,
            _ => return None,
        };
        Some(Case { set, doubts })
    }

    fn meet_lists(&mut self, a: &List, b: &List) -> Option<List> {
        let first = a.first.len().max(b.first.len());
        let first: Vec<Ref> = (0..first).map(|place| self.meet(a.element(place), b.element(place))).collect();
        let rest = self.meet(&a.rest, &b.rest);
        List { first, rest, min: a.min.max(b.min), max: lesser(a.max, b.max), unique: a.unique || b.unique }.settled()
    }

    fn meet_objects(&mut self, a: &Object, b: &Object) -> Option<Object> {
        let mut fields = BTreeMap::new();
        for name in a.fields.keys().chain(b.fields.keys()) {
            if !fields.contains_key(name) {
                let ((one, one_required), (other, other_required)) = (a.member(name), b.member(name));
                let member = Member { part: self.meet(one, other), required: one_required || other_required };
                fields.insert(name.clone(), member);
            }
        }
        let rest = self.meet(&a.rest, &b.rest);
        Object { fields, rest, min: a.min.max(b.min), max: lesser(a.max, b.max) }.settled()
    }

    /// Exactly this value.
    pub(crate) fn literal(&mut self, value: &'s Value, chain: usize) -> Vec<Case> {
        let set = match value {
            Value::Null => Set::Null,
            Value::Bool(flag) => Set::Boolean(Some(*flag)),
            Value::Number(number) => Set::Number(Arc::new(Numbers::Points(vec![crate::number::Num::of(number)]))),
            Value::String(text) => Set::Text(Arc::new(Texts::Words(vec![text.as_str().into()]))),
            Value::Array(items) => {
                let length = items.len() as u64;
                let first = items.iter().map(|item| self.literal_part(item, chain)).collect();
                Set::List(Arc::new(List { first, rest: Ref::Never, min: length, max: Some(length), unique: false }))
            }
            Value::Object(members) => {
                let member = |(name, value): (&'s String, &'s Value)| {
                    (name.as_str().into(), Member { part: self.literal_part(value, chain), required: true })
                };
                let fields = members.iter().map(member).collect();
                Set::Object(Arc::new(Object { fields, rest: Ref::Never, min: 0, max: None }))
            }
        };
        vec![Case::of(set)]
    }

    fn literal_part(&mut self, value: &'s Value, chain: usize) -> Ref {
        if chain > CHAIN_MAX { Ref::Foreign(UNKNOWN.clone()) } else { self.plan(Plan::Literal(value)) }
    }
}

fn lesser(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

impl List {
    /// Without elements that cannot be; `None` if no list is long enough.
    pub(crate) fn settled(mut self) -> Option<Self> {
        if let Some(place) = self.first.iter().position(|part| matches!(part, Ref::Never)) {
            self.first.truncate(place);
            self.rest = Ref::Never;
        }
        if matches!(self.rest, Ref::Never) {
            self.max = lesser(self.max, Some(self.first.len() as u64));
        }
        self.max.is_none_or(|max| self.min <= max).then_some(self)
    }
}

impl Object {
    /// `None` if no object has a fitting number of members.
    pub(crate) fn settled(self) -> Option<Self> {
        let required = self.required().count() as u64;
        let impossible = self.required().any(|(_, part)| matches!(part, Ref::Never));
        (!impossible && self.max.is_none_or(|max| required <= max && self.min <= max)).then_some(self)
    }
}

impl Set {
    /// Whether this is all of its kind.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Boolean(flag) => flag.is_none(),
            Self::Number(numbers) => **numbers == Numbers::Range(Range::default()),
            Self::Text(texts) => **texts == Texts::any(),
            Self::List(list) => {
                list.first.is_empty() && matches!(list.rest, Ref::Any) && list.min == 0 && list.max.is_none() && !list.unique
            }
            Self::Object(object) => object.fields.is_empty() && matches!(object.rest, Ref::Any) && object.min == 0 && object.max.is_none(),
            Self::Null => true,
        }
    }
}

/// What any of the shapes admits.
pub(crate) fn join_shapes(shapes: Vec<Shape>) -> Shape {
    let mut joined = Vec::new();
    for shape in shapes {
        match shape {
            Shape::Any => return Shape::Any,
            Shape::Cases(cases) => {
                for case in cases {
                    join_case(&mut joined, case);
                }
            }
        }
    }
    if joined.len() > CASES_MAX { Shape::Cases(widened(&joined, &[])) } else { Shape::Cases(joined) }
}

/// Adds an alternative, to one that is already there if that is exact.
fn join_case(joined: &mut Vec<Case>, case: Case) {
    if !case.doubts.is_empty() {
        let known = joined.iter().any(|known| known.set.is_same(&case.set) && all_known(&known.doubts, &case.doubts));
        if !known {
            joined.push(case);
        }
        return;
    }
    for known in joined.iter_mut().filter(|known| known.doubts.is_empty() && known.set.is_like(&case.set)) {
        let both = match (&known.set, &case.set) {
            (set, _) if set.is_whole() => return,
            (_, set) if set.is_whole() => set.clone(),
            (Set::Boolean(a), Set::Boolean(b)) => Set::Boolean(if a == b { *a } else { None }),
            (Set::Number(a), Set::Number(b)) => match (&**a, &**b) {
                (Numbers::Points(a), Numbers::Points(b)) => Set::Number(Arc::new(Numbers::Points(merged(a, b)))),
                (a, b) if a == b => return,
                _ => continue,
            },
            (Set::Text(a), Set::Text(b)) => match (&**a, &**b) {
                (Texts::Words(a), Texts::Words(b)) => Set::Text(Arc::new(Texts::Words(merged(a, b)))),
                (a, b) if a == b => return,
                _ => continue,
            },
            (a, b) if a.is_same(b) => return,
            _ => continue,
        };
        known.set = both;
        return;
    }
    joined.push(case);
}

/// Two sorted lists as one, each element once.
fn merged<T: Clone + Ord>(a: &[T], b: &[T]) -> Vec<T> {
    let mut all: Vec<T> = a.iter().chain(b).cloned().collect();
    // Two runs: a stable sort merges them in one pass.
    all.sort();
    all.dedup();
    all
}

impl Set {
    /// Whether both are surely the same, at a glance.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.first.len() == b.first.len()
                        && a.first.iter().zip(&b.first).all(|(a, b)| a.is_same(b))
                        && a.rest.is_same(&b.rest)
                        && (a.min, a.max, a.unique) == (b.min, b.max, b.unique))
            }
            (Self::Object(a), Self::Object(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.fields.len() == b.fields.len()
                        && a.fields
                            .iter()
                            .zip(&b.fields)
                            .all(|((a, one), (b, other))| a == b && one.required == other.required && one.part.is_same(&other.part))
                        && a.rest.is_same(&b.rest)
                        && (a.min, a.max) == (b.min, b.max))
            }
            (Self::Null, Self::Null) => true,
            _ => false,
        }
    }
}

impl Ref {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) | (Self::Never, Self::Never) => true,
            (Self::Local(a), Self::Local(b)) => a == b,
            (Self::Foreign(a), Self::Foreign(b)) => a.view().is(b.view()),
            _ => false,
        }
    }
}

/// Too many alternatives: all of each kind that occurs, with a doubt that equals nothing.
fn widened(joined: &[Case], more: &[Case]) -> Vec<Case> {
    let all = doubtful("limit", Value::Null).into_iter();
    all.filter(|case| joined.iter().chain(more).any(|known| known.set.is_like(&case.set))).collect()
}

/// Removes alternatives of which no value exists, such as an object that requires a member that cannot be. A value is finite,
/// so whatever is not shown to have one by going over the nodes again and again has none.
fn take_out_the_empty(nodes: &mut [Node]) {
    let mut lives = vec![false; nodes.len()];
    loop {
        let mut changed = false;
        for at in (0..nodes.len()).rev() {
            if !lives[at] && nodes[at].cases.iter().any(|case| has_value(case, &lives)) {
                lives[at] = true;
                changed = true;
            }
        }
        if !changed {
            break;
        }
        if lives.iter().all(|lives| *lives) {
            break;
        }
    }
    for node in nodes.iter_mut().filter(|node| node.cases.iter().any(|case| !has_value(case, &lives))) {
        node.cases.retain(|case| has_value(case, &lives));
    }
}

fn has_value(case: &Case, lives: &[bool]) -> bool {
    let lives = |part: &Ref| match part {
        Ref::Any => true,
        Ref::Never => false,
        Ref::Local(at) => lives[*at as usize],
        Ref::Foreign(other) => !other.view().is_never(),
    };
    match &case.set {
        Set::Boolean(_) | Set::Number(_) | Set::Text(_) | Set::Null => true,
        Set::List(list) => {
            let needed = usize::try_from(list.min).unwrap_or(usize::MAX);
            list.first.iter().take(needed).all(lives) && (needed <= list.first.len() || lives(&list.rest))
        }
        Set::Object(object) => {
            let possible = || object.fields.values().filter(|member| lives(&member.part)).count() as u64;
            object.required().all(|(_, part)| lives(part)) && (object.min == 0 || lives(&object.rest) || object.min <= possible())
        }
    }
}

/// Whether no value is in both, as far as can be seen a few levels down. `cases` answers with the cases of a part of the
/// first (`false`) or second (`true`) side.
pub(crate) fn are_disjoint(a: &Case, b: &Case, depth: usize, cases: &mut dyn FnMut(bool, &Ref) -> Vec<Case>) -> bool {
    if depth == 0 {
        return false;
    }
    let parts = |one: &Ref, other: &Ref, cases: &mut dyn FnMut(bool, &Ref) -> Vec<Case>| {
        if matches!((one, other), (Ref::Never, _) | (_, Ref::Never)) {
            return true;
        }
        if matches!((one, other), (Ref::Any, _) | (_, Ref::Any)) {
            return false;
        }
        let (ones, others) = (cases(false, one), cases(true, other));
        ones.iter().all(|one| others.iter().all(|other| are_disjoint(one, other, depth - 1, cases)))
    };
    match (&a.set, &b.set) {
        (Set::Boolean(Some(a)), Set::Boolean(Some(b))) => a != b,
        (Set::Number(a), Set::Number(b)) => a.meet(b).is_none(),
        (Set::Text(a), Set::Text(b)) => a.meet(b).is_none(),
        (Set::List(a), Set::List(b)) => {
            a.max.is_some_and(|max| b.min > max)
                || b.max.is_some_and(|max| a.min > max)
                || (a.min.max(b.min) > 0 && parts(a.element(0), b.element(0), cases))
        }
        (Set::Object(a), Set::Object(b)) => {
            let names = a.fields.keys().chain(b.fields.keys());
            let shared = names.filter(|name| a.member(name).1 || b.member(name).1);
            let mut shared: Vec<&Arc<str>> = shared.collect();
            shared.sort_unstable();
            shared.dedup();
            shared.into_iter().any(|name| parts(a.member(name).0, b.member(name).0, cases))
        }
        (Set::Boolean(_), Set::Boolean(_)) | (Set::Null, Set::Null) => false,
        (a, b) => !a.is_like(b),
    }
}

/// A doubt of a rule, with what is written, for the cases it speaks of.
pub(crate) fn doubt(keyword: &'static str, written: Value, root: Option<Arc<Value>>, rule: Rule) -> Arc<Doubt> {
    Arc::new(Doubt { keyword, written, root, rule })
}

//! Parts of a schema that are not taken apart: they restrict a case, and a comparison knows only whether both sides have
//! the same one. One value can still be held against most of them, which is how a counterexample is found all the same.

use crate::pattern::Pattern;
use crate::shape::{Graph, Ref};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One such part.
#[derive(Debug)]
pub(crate) struct Doubt {
    /// The keyword it comes from.
    pub(crate) keyword: &'static str,
    /// As written: an object of the keyword and whatever belongs to it.
    pub(crate) written: Value,
    /// The document, if the part refers into it.
    pub(crate) root: Option<Arc<Value>>,
    pub(crate) rule: Rule,
}

/// What the part asks of one value.
#[derive(Debug)]
pub(crate) enum Rule {
    /// Not this.
    Not(Ref),
    /// Exactly one of these.
    OneOf(Vec<Ref>),
    /// If the first, then the second, else the third.
    If(Ref, Ref, Ref),
    /// So many elements of a type.
    Contains { part: Ref, min: u64, max: Option<u64> },
    /// The names of members.
    Names(Ref),
    /// Members whose names match, and, where the names neither match nor are declared, the rest.
    Matching { patterns: Vec<(Pattern, Ref)>, declared: Vec<Arc<str>>, rest: Ref },
    /// A member that asks for other members.
    Requires(BTreeMap<String, Vec<String>>),
    /// A member that asks something of the whole.
    Implies(BTreeMap<String, Ref>),
    /// Multiples of a fraction.
    Multiple(f64),
    /// Cannot be said.
    Unknown,
}

impl Doubt {
    /// What it is called in messages.
    pub(crate) fn short(&self) -> &'static str {
        self.keyword
    }

    /// A part about which nothing can be said.
    pub(crate) fn unknown(keyword: &'static str, written: Value) -> Arc<Self> {
        Arc::new(Self { keyword, written, root: None, rule: Rule::Unknown })
    }

    /// Whether both surely ask the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        // What stands for a limit that was reached has nothing written, and equals nothing, not even itself.
        !self.written.is_null()
            && (std::ptr::eq(self, other) || (self.keyword == other.keyword && self.written == other.written && self.root == other.root))
    }

    pub(crate) fn lifted(&self, graph: &Arc<Graph>) -> Self {
        let lift = |part: &Ref| part.lifted(graph);
        let rule = match &self.rule {
            Rule::Not(part) => Rule::Not(lift(part)),
            Rule::OneOf(parts) => Rule::OneOf(parts.iter().map(lift).collect()),
            Rule::If(a, b, c) => Rule::If(lift(a), lift(b), lift(c)),
            Rule::Contains { part, min, max } => Rule::Contains { part: lift(part), min: *min, max: *max },
            Rule::Names(part) => Rule::Names(lift(part)),
            Rule::Matching { patterns, declared, rest } => Rule::Matching {
                patterns: patterns.iter().map(|(pattern, part)| (pattern.clone(), lift(part))).collect(),
                declared: declared.clone(),
                rest: lift(rest),
            },
            Rule::Requires(names) => Rule::Requires(names.clone()),
            Rule::Implies(parts) => Rule::Implies(parts.iter().map(|(name, part)| (name.clone(), lift(part))).collect()),
            Rule::Multiple(of) => Rule::Multiple(*of),
            Rule::Unknown => Rule::Unknown,
        };
        Self { keyword: self.keyword, written: self.written.clone(), root: self.root.clone(), rule }
    }
}

/// Whether every doubt of `of` is one of `among`.
pub(crate) fn all_known(of: &[Arc<Doubt>], among: &[Arc<Doubt>]) -> bool {
    of.iter().all(|doubt| among.iter().any(|known| doubt.is(known)))
}

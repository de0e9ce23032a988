//! What a type is: alternatives, each of one kind of JSON value, in a graph that types share.
//!
//! A node of the graph is a union of *cases*. A case says exactly which values of its kind it holds, except where it also
//! carries *doubts*: parts of the schema that restrict it further and are kept as they are written. Leaving a doubt away
//! makes a case larger, never smaller. Parts point to each other by number inside one graph, so a schema that refers to
//! itself is a cycle of numbers and never of owners; a type made of others points into their graphs.

use crate::doubt::Doubt;
use crate::kinds::Kinds;
use crate::number::Numbers;
use crate::text::Texts;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// What JSON values are admitted in one place. Cloning costs one counter.
///
/// Read from a schema by [`Type::of_schema`], or made by the constructors; asked by [`Type::admits`], [`Type::field`] and
/// their like; shown by `Display`. Two equal-looking types need not be `==`: compare with [`Type::admits`] in both directions.
#[derive(Clone)]
pub struct Type {
    pub(crate) graph: Arc<Graph>,
    pub(crate) at: u32,
}

/// The nodes of one schema, or of one constructed type.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// Whether a node may be reached in two ways, so that a walk must remember where it was.
    pub(crate) tangled: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) cases: Vec<Case>,
    /// The definition it was read from, to show a type that holds itself.
    pub(crate) name: Option<Arc<str>>,
    /// Nothing at all is said about the value: its cases are all kinds, and a comparison proves nothing.
    pub(crate) any: bool,
}

/// A part of a type.
#[derive(Clone)]
pub(crate) enum Ref {
    Any,
    Never,
    /// In the same graph.
    Local(u32),
    Foreign(Type),
}

/// One alternative. Cloning costs a counter or two.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) set: Set,
    /// Further restrictions that are not taken apart.
    pub(crate) doubts: Vec<Arc<Doubt>>,
}

/// Values of one kind.
#[derive(Debug, Clone)]
pub(crate) enum Set {
    /// Only `true`, only `false`, or with `None` both.
    Boolean(Option<bool>),
    Number(Arc<Numbers>),
    Text(Arc<Texts>),
    List(Arc<List>),
    Object(Arc<Object>),
    Null,
}

/// Lists of a length in elements; the first elements may have types of their own.
#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) first: Vec<Ref>,
    pub(crate) rest: Ref,
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
    pub(crate) unique: bool,
}

/// Objects of a number of members; members that are not named have the type of the rest.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) fields: BTreeMap<Arc<str>, Member>,
    pub(crate) rest: Ref,
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) part: Ref,
    pub(crate) required: bool,
}

/// A node, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct View<'t> {
    pub(crate) graph: &'t Arc<Graph>,
    pub(crate) at: u32,
}

static ANY: LazyLock<Type> = LazyLock::new(|| {
    let node = Node { cases: all_kinds(), name: None, any: true };
    Type { graph: Arc::new(Graph { nodes: vec![node], tangled: false }), at: 0 }
});

static NEVER: LazyLock<Type> = LazyLock::new(|| Type { graph: Arc::new(Graph { nodes: vec![Node::default()], tangled: false }), at: 0 });

/// One case for each kind, with everything of it.
pub(crate) fn one_of_each_kind() -> &'static [Case; 6] {
    static KINDS: LazyLock<[Case; 6]> = LazyLock::new(|| {
        let list = List { first: Vec::new(), rest: Ref::Any, min: 0, max: None, unique: false };
        let object = Object { fields: BTreeMap::new(), rest: Ref::Any, min: 0, max: None };
        let sets = [
            Set::Boolean(None),
            Set::Number(Arc::new(Numbers::Range(crate::number::Range::default()))),
            Set::Text(Arc::new(Texts::any())),
            Set::List(Arc::new(list)),
            Set::Object(Arc::new(object)),
            Set::Null,
        ];
        sets.map(Case::of)
    });
    &KINDS
}

pub(crate) fn all_kinds() -> Vec<Case> {
    one_of_each_kind().to_vec()
}

impl Type {
    /// A type that says nothing: every value is possible, and what it may be put into cannot be proven.
    pub fn any() -> Self {
        ANY.clone()
    }

    /// The type without a value: of what never happens.
    pub fn never() -> Self {
        NEVER.clone()
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { graph: &self.graph, at: self.at }
    }

    /// A type of one node whose parts are foreign.
    pub(crate) fn of_cases(cases: Vec<Case>) -> Self {
        Self { graph: Arc::new(Graph { nodes: vec![Node { cases, name: None, any: false }], tangled: false }), at: 0 }
    }
}

impl<'t> View<'t> {
    pub(crate) fn node(self) -> &'t Node {
        &self.graph.nodes[self.at as usize]
    }

    pub(crate) fn part(self, part: &'t Ref) -> Self {
        match part {
            Ref::Any => ANY.view(),
            Ref::Never => NEVER.view(),
            Ref::Local(at) => View { graph: self.graph, at: *at },
            Ref::Foreign(other) => other.view(),
        }
    }

    pub(crate) fn to_type(self) -> Type {
        Type { graph: self.graph.clone(), at: self.at }
    }

    pub(crate) fn is_never(self) -> bool {
        self.node().cases.is_empty()
    }

    pub(crate) fn is_any(self) -> bool {
        self.node().any
    }

    /// The same place of the same graph.
    pub(crate) fn is(self, other: View<'_>) -> bool {
        self.at == other.at && Arc::ptr_eq(self.graph, other.graph)
    }

    /// Something that differs for every node in memory, to remember where a walk has been.
    pub(crate) fn key(self) -> (usize, u32) {
        (Arc::as_ptr(self.graph).addr(), self.at)
    }

    pub(crate) fn kinds(self) -> Kinds {
        self.node().cases.iter().fold(Kinds::NONE, |kinds, case| kinds.with(case.set.kinds()))
    }
}

impl Case {
    pub(crate) fn of(set: Set) -> Self {
        Self { set, doubts: Vec::new() }
    }

    /// The case as a part of another graph.
    pub(crate) fn lifted(&self, graph: &Arc<Graph>) -> Self {
        let set = match &self.set {
            Set::List(list) => Set::List(Arc::new(List {
                first: list.first.iter().map(|part| part.lifted(graph)).collect(),
                rest: list.rest.lifted(graph),
                ..**list
            })),
            Set::Object(object) => {
                let member = |(name, member): (&Arc<str>, &Member)| {
                    (name.clone(), Member { part: member.part.lifted(graph), required: member.required })
                };
                Set::Object(Arc::new(Object {
                    fields: object.fields.iter().map(member).collect(),
                    rest: object.rest.lifted(graph),
                    ..**object
                }))
            }
            plain @ (Set::Boolean(_) | Set::Number(_) | Set::Text(_) | Set::Null) => plain.clone(),
        };
        Self { set, doubts: self.doubts.iter().map(|doubt| Arc::new(doubt.lifted(graph))).collect() }
    }
}

impl Ref {
    pub(crate) fn lifted(&self, graph: &Arc<Graph>) -> Self {
        match self {
            Self::Local(at) => Self::Foreign(Type { graph: graph.clone(), at: *at }),
            Self::Any | Self::Never | Self::Foreign(_) => self.clone(),
        }
    }
}

impl Set {
    pub(crate) fn kinds(&self) -> Kinds {
        match self {
            Self::Boolean(_) => Kinds::BOOLEAN,
            Self::Number(numbers) => numbers.kinds(),
            Self::Text(_) => Kinds::STRING,
            Self::List(_) => Kinds::ARRAY,
            Self::Object(_) => Kinds::OBJECT,
            Self::Null => Kinds::NULL,
        }
    }

    /// Whether both are of one kind, `integer` being a `number`.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl List {
    /// The type of the element at a place.
    pub(crate) fn element(&self, place: usize) -> &Ref {
        self.first.get(place).unwrap_or(&self.rest)
    }

    /// Whether a list of this type can have an element at a place.
    pub(crate) fn reaches(&self, place: usize) -> bool {
        self.max.is_none_or(|max| (place as u64) < max)
    }
}

impl Object {
    /// The type of the member of a name, and whether it is always there.
    pub(crate) fn member(&self, name: &str) -> (&Ref, bool) {
        self.fields.get(name).map_or((&self.rest, false), |member| (&member.part, member.required))
    }

    pub(crate) fn required(&self) -> impl Iterator<Item = (&Arc<str>, &Ref)> {
        self.fields.iter().filter(|(_, member)| member.required).map(|(name, member)| (name, &member.part))
    }
}

impl std::fmt::Debug for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Never => f.write_str("never"),
            Self::Local(at) => write!(f, "#{at}"),
            Self::Foreign(other) => write!(f, "{:p}#{}", Arc::as_ptr(&other.graph), other.at),
        }
    }
}

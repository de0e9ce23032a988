//! The types in a contract, as programmers and readers think of them: named objects, enums and unions, and what a field may hold.
//!
//! A schema can say more than a type. What a type cannot say is left out here and stays in the schema, which the coordinator checks;
//! so a stub never accepts less than its contract because of this room's ignorance: where in doubt, a value is of any kind.
//!
//! [`read`] makes types of a schema, [`names`] makes identifiers of names.

pub(crate) mod names;
mod read;

use serde_json::Value;

pub(crate) use read::Reader;

/// The most named types of one system. Beyond, whatever comes is of any kind.
pub const TYPES_MAX: usize = 2_000;
/// The deepest level of a schema that becomes types; a contract is not nested deeper than twice this.
pub const DEPTH_MAX: usize = 32;

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Type {
    pub kind: Kind,
    /// Whether it may also be null.
    pub nullable: bool,
    /// What the schema says beyond the kind, in the order of [`Rules::ALL`].
    pub rules: Rules,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Any,
    /// Nothing but null.
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List(Box<Type>),
    /// An object whose keys are data.
    Dictionary(Box<Type>),
    /// One of these values, which are not all texts.
    OneOf(Vec<Value>),
    /// The type at this place of the model.
    Named(usize),
}

/// Keywords of a schema that narrow a kind, with their values.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Rules(pub Vec<(&'static str, Value)>);

impl Rules {
    /// The keywords that are kept. Each stands for itself in every language.
    pub const ALL: [&'static str; 13] = [
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "exclusiveMinimum",
        "maximum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
    ];
}

/// A type with a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    /// In PascalCase, unique in the model.
    pub name: String,
    pub description: String,
    pub body: Body,
    /// Whether it contains itself, directly or through others.
    pub recursive: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Object {
        fields: Vec<Field>,
        closed: bool,
    },
    /// One of these texts.
    Enum(Vec<String>),
    Union(Vec<Type>),
    /// Being read; it is referred to from within itself.
    Open,
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// As it is called in JSON.
    pub wire: String,
    pub required: bool,
    pub of: Type,
    pub description: String,
}

/// Every named type of a system, children before those who use them, save where they contain each other.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub types: Vec<Named>,
    /// The places of `types` in the order in which their definitions were complete.
    pub order: Vec<usize>,
}

impl Type {
    pub fn of(kind: Kind) -> Self {
        Self { kind, nullable: false, rules: Rules::default() }
    }

    pub fn any() -> Self {
        Self::of(Kind::Any)
    }

    pub fn or_null(mut self) -> Self {
        self.nullable |= !matches!(self.kind, Kind::Any | Kind::Null);
        self
    }
}

impl Model {
    /// The named types in an order in which each comes after what it is made of.
    pub fn defined(&self) -> impl Iterator<Item = &Named> {
        self.order.iter().map(|place| &self.types[*place])
    }

    pub fn name(&self, place: usize) -> &str {
        &self.types[place].name
    }
}

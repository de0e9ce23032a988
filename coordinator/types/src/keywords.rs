//! The keywords of one schema object.

use serde_json::{Map, Value};

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

/// A schema object. Most of some forty keywords are absent from any one, so asking for an absent one costs next to nothing.
#[derive(Clone, Copy)]
pub(crate) struct Keywords<'s> {
    pub(crate) members: &'s Map<String, Value>,
    /// A bit for each member, which members may share.
    present: u64,
}

/// The bit of a name: its length and last letter tell the keywords well enough apart.
fn bit(name: &str) -> u64 {
    let last = name.as_bytes().last().copied().unwrap_or(0);
    1 << ((name.len() * 7 + usize::from(last)) % 64)
}

/// Whether a keyword restricts a value rather than describing it.
pub(crate) fn is_restricting(name: &str) -> bool {
    RESTRICTING.binary_search(&name).is_ok()
}

impl<'s> Keywords<'s> {
    pub(crate) fn of(members: &'s Map<String, Value>) -> Self {
        Self { members, present: members.keys().fold(0, |present, name| present | bit(name)) }
    }

    pub(crate) fn get(self, keyword: &str) -> Option<&'s Value> {
        if self.present & bit(keyword) == 0 { None } else { self.members.get(keyword) }
    }

    pub(crate) fn has(self, keyword: &str) -> bool {
        self.get(keyword).is_some()
    }

    /// The elements of a list; none if there is no list.
    pub(crate) fn list(self, keyword: &str) -> impl Iterator<Item = &'s Value> + use<'s> {
        self.get(keyword).and_then(Value::as_array).into_iter().flatten()
    }

    /// The members of an object; none if there is no object.
    pub(crate) fn object(self, keyword: &str) -> impl Iterator<Item = (&'s String, &'s Value)> + use<'s> {
        self.get(keyword).and_then(Value::as_object).into_iter().flatten()
    }

    /// Whether there is an object that is not empty.
    pub(crate) fn has_members(self, keyword: &str) -> bool {
        self.object(keyword).next().is_some()
    }

    pub(crate) fn text(self, keyword: &str) -> Option<&'s str> {
        self.get(keyword).and_then(Value::as_str)
    }

    /// A number of things; `2.0` is the same as `2`.
    pub(crate) fn count(self, keyword: &str) -> Option<u64> {
        let value = self.get(keyword)?;
        value.as_u64().or_else(|| value.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0).map(|float| float as u64))
    }

    /// Some of the keywords as a schema of their own.
    pub(crate) fn written(self, keywords: &[&str]) -> Value {
        let kept = keywords.iter().filter_map(|keyword| Some(((*keyword).to_owned(), self.get(keyword)?.clone())));
        Value::Object(kept.collect())
    }
}

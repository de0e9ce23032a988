//! Types that are made rather than read: what the checker of a manifest knows of expressions and mappings.

use crate::ask::FieldOf;
use crate::grow::{Builder, Plan, Shape, join_shapes};
use crate::kinds::Kinds;
use crate::number::{Edge, Num, Numbers, Range};
use crate::read::Document;
use crate::shape::{Case, List, Member, Object, Ref, Set, Type, all_kinds};
use crate::text::{Free, Texts};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// Above this many alternatives, a union does not look for ones that are inside others.
const TIDIED_MAX: usize = 16;

fn kept(made: &'static LazyLock<Type>) -> Type {
    Type::clone(made)
}

fn of_set(set: Set) -> Type {
    Type::of_cases(vec![Case::of(set)])
}

fn whole(kind: Kinds) -> Type {
    Type::of_cases(all_kinds().into_iter().filter(|case| case.set.kinds().meets(kind)).collect())
}

impl Type {
    /// `null`.
    pub fn null() -> Self {
        static MADE: LazyLock<Type> = LazyLock::new(|| whole(Kinds::NULL));
        kept(&MADE)
    }

    /// `true` and `false`.
    pub fn boolean() -> Self {
        static MADE: LazyLock<Type> = LazyLock::new(|| whole(Kinds::BOOLEAN));
        kept(&MADE)
    }

    /// Every number without a fraction.
    pub fn integer() -> Self {
        static MADE: LazyLock<Type> = LazyLock::new(|| of_set(Set::Number(Arc::new(Numbers::Range(Range::integers())))));
        kept(&MADE)
    }

    /// Integers from one to another, both included. Never if there are none.
    pub fn integer_between(low: Option<i64>, high: Option<i64>) -> Self {
        let edge = |at: i64| Edge { at: Num::Int(i128::from(at)), open: false };
        let range = Range { low: low.map(edge), high: high.map(edge), step: Some(1) };
        range.settled().map_or_else(Self::never, |numbers| of_set(Set::Number(Arc::new(numbers))))
    }

    /// Every number.
    pub fn number() -> Self {
        static MADE: LazyLock<Type> = LazyLock::new(|| whole(Kinds::NUMBER));
        kept(&MADE)
    }

    /// Every text.
    pub fn string() -> Self {
        static MADE: LazyLock<Type> = LazyLock::new(|| whole(Kinds::STRING));
        kept(&MADE)
    }

    /// Texts of at least and at most so many characters. Never if there are none.
    pub fn string_of(min: u64, max: Option<u64>) -> Self {
        if max.is_some_and(|max| min > max) {
            return Self::never();
        }
        of_set(Set::Text(Arc::new(Texts::Free(Free { min, max, ..Free::default() }))))
    }

    /// One of these texts. Never if there are none.
    pub fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut words: Vec<Arc<str>> = words.into_iter().map(Arc::from).collect();
        words.sort_unstable();
        words.dedup();
        if words.is_empty() { Self::never() } else { of_set(Set::Text(Arc::new(Texts::Words(words)))) }
    }

    /// Exactly this value.
    pub fn literal(value: &Value) -> Self {
        let mut builder = Builder::new(Document::default());
        let root = builder.plan(Plan::Literal(value));
        builder.finish(&root)
    }

    /// Lists of any length.
    pub fn list(element: Self) -> Self {
        Self::list_of(element, 0, None)
    }

    /// Lists of at least and at most so many elements. Never if there are none.
    pub fn list_of(element: Self, min: u64, max: Option<u64>) -> Self {
        let list = List { first: Vec::new(), rest: element.as_part(), min, max, unique: false };
        list.settled().map_or_else(Self::never, |list| of_set(Set::List(Arc::new(list))))
    }

    /// Lists of exactly these elements.
    pub fn tuple(elements: impl IntoIterator<Item = Self>) -> Self {
        let first: Vec<Ref> = elements.into_iter().map(|element| element.as_part()).collect();
        let length = first.len() as u64;
        let list = List { first, rest: Ref::Never, min: length, max: Some(length), unique: false };
        list.settled().map_or_else(Self::never, |list| of_set(Set::List(Arc::new(list))))
    }

    /// Objects of these members. A closed object has no others; an open one may have any. Of two members of one name the later
    /// counts. Never if a required member is never.
    pub fn object(fields: impl IntoIterator<Item = FieldOf>, closed: bool) -> Self {
        Self::object_with_rest(fields, if closed { Self::never() } else { Self::any() })
    }

    /// Objects of these members, whose other members have the type of the rest: a map, if no member is named.
    pub fn object_with_rest(fields: impl IntoIterator<Item = FieldOf>, rest: Self) -> Self {
        let member = |field: FieldOf| (field.name, Member { part: field.part.as_part(), required: field.required });
        let object = Object { fields: fields.into_iter().map(member).collect(), rest: rest.as_part(), min: 0, max: None };
        object.settled().map_or_else(Self::never, |object| of_set(Set::Object(Arc::new(object))))
    }

    /// What any of the types admits. Alternatives that are inside others are left out; of very many, all of their kind is taken.
    pub fn union(types: impl IntoIterator<Item = Self>) -> Self {
        let mut distinct: Vec<Self> = Vec::new();
        for one in types {
            if one.is_any() {
                return one;
            }
            if !one.is_never() && !distinct.iter().any(|known| known.view().is(one.view())) {
                distinct.push(one);
            }
        }
        match distinct.len() {
            0 => return Self::never(),
            1 => return distinct.swap_remove(0),
            _ => {}
        }
        let lifted = |one: &Self| Shape::Cases(one.view().node().cases.iter().map(|case| case.lifted(&one.graph)).collect());
        match join_shapes(distinct.iter().map(lifted).collect()) {
            Shape::Any => Self::any(),
            Shape::Cases(cases) => Self::of_cases(tidied(cases)),
        }
    }

    /// What both admit. Bounded; where the combination is too large, parts of it are left doubtful.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut builder = Builder::new(Document::default());
        let met = builder.meet(&self.as_part(), &other.as_part());
        builder.finish(&met)
    }

    /// The type or `null`.
    #[must_use]
    pub fn nullable(&self) -> Self {
        if self.is_nullable() { self.clone() } else { Self::union([self.clone(), Self::null()]) }
    }

    /// The type without `null`.
    #[must_use]
    pub fn without_null(&self) -> Self {
        self.without_kinds(Kinds::NULL)
    }

    /// The type without its values of these kinds: `integer` and `number` go together only if both are named.
    #[must_use]
    pub fn without_kinds(&self, kinds: Kinds) -> Self {
        self.kept_cases(|case| !case.set.kinds().only(kinds))
    }

    /// The type with only its values of these kinds, numbers with fractions counting as `integer` too.
    #[must_use]
    pub fn only_kinds(&self, kinds: Kinds) -> Self {
        self.kept_cases(|case| case.set.kinds().meets(kinds))
    }

    fn kept_cases(&self, keep: impl Fn(&Case) -> bool) -> Self {
        let cases = &self.view().node().cases;
        if cases.iter().all(&keep) {
            return self.clone();
        }
        Self::of_cases(cases.iter().filter(|case| keep(case)).map(|case| case.lifted(&self.graph)).collect())
    }
}

/// Without the alternatives that are inside others.
fn tidied(mut cases: Vec<Case>) -> Vec<Case> {
    if cases.len() > TIDIED_MAX {
        return cases;
    }
    let effort = crate::effort::Effort::one();
    let mut place = 0;
    while place < cases.len() {
        let one = Type::of_cases(vec![cases[place].clone()]);
        let inside = cases.iter().enumerate().any(|(other, case)| {
            other != place && case.set.is_like(&cases[place].set) && {
                let other = Type::of_cases(vec![case.clone()]);
                crate::cover::fits(one.view(), other.view(), &effort)
            }
        });
        if inside {
            cases.remove(place);
        } else {
            place += 1;
        }
    }
    cases
}

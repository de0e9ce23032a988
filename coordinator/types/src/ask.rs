//! Questions about one type: its kinds, members, elements, lengths and finite values.

use crate::kinds::Kinds;
use crate::limits::VALUES_MAX;
use crate::number::Numbers;
use crate::shape::{Object, Ref, Set, Type};
use crate::text::Texts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What reading a member by name gives.
#[derive(Debug, Clone)]
pub enum Field {
    /// The member is always there.
    Present(Type),
    /// The member may be missing; this is its type when it is there.
    Optional(Type),
    /// No object of this type has the member.
    Absent {
        /// The members that there are, in order, to suggest one.
        known: Vec<String>,
    },
    /// The type says nothing of the member: it may be there, with any value.
    Unknown,
}

/// One member of an object type.
#[derive(Debug, Clone)]
pub struct FieldOf {
    /// Its name.
    pub name: Arc<str>,
    /// Its type when it is there.
    pub part: Type,
    /// Whether it is always there.
    pub required: bool,
}

impl Type {
    /// The kinds of values it may have; none for what never happens.
    pub fn kinds(&self) -> Kinds {
        self.view().kinds()
    }

    /// Whether nothing at all is said about the value.
    pub fn is_any(&self) -> bool {
        self.view().is_any()
    }

    /// Whether there is no value.
    pub fn is_never(&self) -> bool {
        self.view().is_never()
    }

    /// Whether `null` may be the value.
    pub fn is_nullable(&self) -> bool {
        self.kinds().has(Kinds::NULL)
    }

    /// Whether parts of the schema are not understood at this place, so that the type may be narrower than it looks.
    pub fn is_doubtful(&self) -> bool {
        self.view().node().cases.iter().any(|case| !case.doubts.is_empty())
    }

    /// Reads a member of the objects of this type. Other kinds of values are left aside: ask [`Type::kinds`] about those.
    pub fn field(&self, name: &str) -> Field {
        if let Some(field) = self.field_of_one(name) {
            return field;
        }
        let mut parts: Vec<Type> = Vec::new();
        let (mut always, mut declared, mut unsaid) = (true, false, false);
        for object in self.objects() {
            let (part, required) = object.member(name);
            let view = self.view().part(part);
            always &= required;
            declared |= object.fields.contains_key(name) && !view.is_never();
            unsaid |= view.is_any() && !object.fields.contains_key(name);
            if !view.is_never() {
                parts.push(view.to_type());
            }
        }
        if parts.is_empty() {
            return Field::Absent { known: self.fields().into_iter().map(|field| field.name.to_string()).collect() };
        }
        if unsaid && !declared {
            return Field::Unknown;
        }
        let part = Self::union(parts);
        if always { Field::Present(part) } else { Field::Optional(part) }
    }

    /// The plain case: one object that declares the member.
    fn field_of_one(&self, name: &str) -> Option<Field> {
        let mut objects = self.objects();
        let (object, others) = (objects.next()?, objects.next());
        let member = object.fields.get(name)?;
        let part = self.view().part(&member.part);
        if others.is_some() || part.is_never() {
            return None;
        }
        Some(if member.required { Field::Present(part.to_type()) } else { Field::Optional(part.to_type()) })
    }

    /// The members that objects of this type declare, in order of name; over alternatives, required means in each of them.
    pub fn fields(&self) -> Vec<FieldOf> {
        let mut found: BTreeMap<&Arc<str>, (Vec<Type>, usize)> = BTreeMap::new();
        let mut objects = 0;
        for object in self.objects() {
            objects += 1;
            for (name, member) in &object.fields {
                let view = self.view().part(&member.part);
                if !view.is_never() {
                    let entry = found.entry(name).or_default();
                    entry.0.push(view.to_type());
                    entry.1 += usize::from(member.required);
                }
            }
        }
        let field = |(name, (parts, required)): (&Arc<str>, (Vec<Self>, usize))| FieldOf {
            name: name.clone(),
            part: Self::union(parts),
            required: required == objects,
        };
        found.into_iter().map(field).collect()
    }

    /// Whether objects of this type may have members that are not declared: not if each alternative is closed.
    pub fn is_open(&self) -> bool {
        self.objects().any(|object| !self.view().part(&object.rest).is_never())
    }

    /// The type of the members that are not declared, such as the values of a map. `None` without objects, or if all are closed.
    pub fn rest(&self) -> Option<Self> {
        let parts: Vec<Self> = self
            .objects()
            .map(|object| self.view().part(&object.rest))
            .filter(|view| !view.is_never())
            .map(|view| view.to_type())
            .collect();
        (!parts.is_empty()).then(|| Self::union(parts))
    }

    /// The type of the elements of its lists, whatever their place. `None` if it has no lists; never if all are empty.
    pub fn element(&self) -> Option<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut lists = false;
        for case in &self.view().node().cases {
            let Set::List(list) = &case.set else { continue };
            lists = true;
            let places = list.first.iter().enumerate().filter(|(place, _)| list.reaches(*place)).map(|(_, part)| part);
            let rest = list.reaches(list.first.len()).then_some(&list.rest);
            parts.extend(places.chain(rest).map(|part| self.view().part(part).to_type()));
        }
        lists.then(|| Self::union(parts))
    }

    /// The type of the element at a place. `None` if no list of this type has one.
    pub fn element_at(&self, place: usize) -> Option<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for case in &self.view().node().cases {
            if let Set::List(list) = &case.set
                && list.reaches(place)
            {
                parts.push(self.view().part(list.element(place)).to_type());
            }
        }
        parts.retain(|part| !part.is_never());
        (!parts.is_empty()).then(|| Self::union(parts))
    }

    /// The least and greatest number of elements of its lists. `None` if it has no lists.
    pub fn list_lengths(&self) -> Option<(u64, Option<u64>)> {
        let cases = self.view().node().cases.iter();
        let lists = cases.filter_map(|case| match &case.set {
            Set::List(list) => Some((list.min, list.max)),
            _ => None,
        });
        lists.reduce(|(min, max), (other_min, other_max)| (min.min(other_min), max.zip(other_max).map(|(a, b)| a.max(b))))
    }

    /// All values, if they are finitely and not too many (256): for `switch`, which must name each. Objects and lists have none.
    pub fn values(&self) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        for case in &self.view().node().cases {
            match &case.set {
                Set::Null => values.push(Value::Null),
                Set::Boolean(Some(flag)) => values.push(Value::Bool(*flag)),
                Set::Boolean(None) => values.extend([Value::Bool(false), Value::Bool(true)]),
                Set::Number(numbers) => values.extend(numbers.members(VALUES_MAX)?.into_iter().map(|number| number.to_value())),
                Set::Text(texts) => match &**texts {
                    Texts::Words(words) if words.len() <= VALUES_MAX => {
                        values.extend(words.iter().map(|word| Value::String(word.to_string())));
                    }
                    Texts::Words(_) | Texts::Free(_) => return None,
                },
                Set::List(_) | Set::Object(_) => return None,
            }
        }
        (values.len() <= VALUES_MAX).then_some(values)
    }

    /// Whether it is exactly one value, and which.
    pub fn as_literal(&self) -> Option<Value> {
        let mut values = self.values()?;
        if values.len() == 1 { values.pop() } else { None }
    }

    /// The least and greatest number, where there is one. `None` if it has no numbers.
    pub fn number_bounds(&self) -> Option<(Option<f64>, Option<f64>)> {
        let cases = self.view().node().cases.iter();
        let numbers = cases.filter_map(|case| match &case.set {
            Set::Number(numbers) => Some(match &**numbers {
                Numbers::Points(points) => (points.first().map(|point| point.to_float()), points.last().map(|point| point.to_float())),
                Numbers::Range(range) => (range.low.map(|edge| edge.at.to_float()), range.high.map(|edge| edge.at.to_float())),
            }),
            _ => None,
        });
        numbers.reduce(|(low, high), (other_low, other_high)| {
            (low.zip(other_low).map(|(a, b)| a.min(b)), high.zip(other_high).map(|(a, b)| a.max(b)))
        })
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.view().node().cases.iter().filter_map(|case| match &case.set {
            Set::Object(object) => Some(&**object),
            _ => None,
        })
    }

    pub(crate) fn as_part(&self) -> Ref {
        if self.is_any() {
            Ref::Any
        } else if self.is_never() {
            Ref::Never
        } else {
            Ref::Foreign(self.clone())
        }
    }
}

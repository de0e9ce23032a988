//! Holds one value against a type: yes, no, or cannot be said.
//!
//! It shares nothing with the comparison of types but the types themselves, so it judges every counterexample before it is
//! shown.

use crate::doubt::{Doubt, Rule};
use crate::effort::Effort;
use crate::limits::DEPTH_MAX;
use crate::number::Num;
use crate::shape::{Case, List, Object, Ref, Set, Type, View};
use serde_json::{Map, Value};

impl Type {
    /// Whether a value is of this type. `None` where only a validator can say, or where saying would take too long.
    pub fn contains(&self, value: &Value) -> Option<bool> {
        contains(self.view(), value, &Effort::one())
    }
}

pub(crate) fn contains(view: View<'_>, value: &Value, effort: &Effort) -> Option<bool> {
    Judge { effort }.holds(view, value, 0)
}

/// Whether a value is in one case of a type.
pub(crate) fn case_contains(view: View<'_>, case: &Case, value: &Value, effort: &Effort) -> Option<bool> {
    Judge { effort }.case(view, case, value, 0)
}

struct Judge<'e> {
    effort: &'e Effort,
}

/// True if all are true; false as soon as one is false.
fn all(answers: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => all = None,
        }
    }
    all
}

fn any(answers: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    all(answers.into_iter().map(not)).map(|none| !none)
}

fn not(answer: Option<bool>) -> Option<bool> {
    answer.map(|answer| !answer)
}

impl Judge<'_> {
    fn holds(&mut self, view: View<'_>, value: &Value, depth: usize) -> Option<bool> {
        if view.is_any() {
            return Some(true);
        }
        if depth > DEPTH_MAX * 2 {
            return None;
        }
        any(view.node().cases.iter().map(|case| self.case(view, case, value, depth)))
    }

    fn case(&mut self, view: View<'_>, case: &Case, value: &Value, depth: usize) -> Option<bool> {
        if !self.effort.evaluate() {
            return None;
        }
        let fits = match (&case.set, value) {
            (Set::Null, Value::Null) => Some(true),
            (Set::Boolean(wanted), Value::Bool(flag)) => Some(wanted.is_none_or(|wanted| wanted == *flag)),
            (Set::Number(numbers), Value::Number(number)) => Some(numbers.contains(Num::of(number))),
            (Set::Text(texts), Value::String(text)) => texts.contains(text),
            (Set::List(list), Value::Array(items)) => self.list(view, list, items, depth),
            (Set::Object(object), Value::Object(members)) => self.object(view, object, members, depth),
            _ => Some(false),
        };
        if fits == Some(false) {
            return fits;
        }
        all([fits].into_iter().chain(case.doubts.iter().map(|doubt| self.doubt(view, doubt, value, depth))))
    }

    fn list(&mut self, view: View<'_>, list: &List, items: &[Value], depth: usize) -> Option<bool> {
        let length = items.len() as u64;
        if length < list.min || list.max.is_some_and(|max| length > max) || (list.unique && has_twins(items)) {
            return Some(false);
        }
        if matches!(list.rest, Ref::Any) && list.first.is_empty() {
            return Some(true);
        }
        let elements = items.iter().enumerate();
        all(elements.map(|(place, item)| self.holds(view.part(list.element(place)), item, depth + 1)))
    }

    fn object(&mut self, view: View<'_>, object: &Object, members: &Map<String, Value>, depth: usize) -> Option<bool> {
        let count = members.len() as u64;
        if count < object.min || object.max.is_some_and(|max| count > max) {
            return Some(false);
        }
        if object.required().any(|(name, _)| !members.contains_key(&**name)) {
            return Some(false);
        }
        all(members.iter().map(|(name, value)| self.holds(view.part(object.member(name).0), value, depth + 1)))
    }

    fn doubt(&mut self, view: View<'_>, doubt: &Doubt, value: &Value, depth: usize) -> Option<bool> {
        let depth = depth + 1;
        match &doubt.rule {
            Rule::Not(part) => not(self.holds(view.part(part), value, depth)),
            Rule::OneOf(parts) => {
                let answers: Vec<Option<bool>> = parts.iter().map(|part| self.holds(view.part(part), value, depth)).collect();
                let yes = answers.iter().filter(|answer| **answer == Some(true)).count();
                let open = answers.contains(&None);
                if yes > 1 {
                    Some(false)
                } else if open {
                    None
                } else {
                    Some(yes == 1)
                }
            }
            Rule::If(test, then, otherwise) => match self.holds(view.part(test), value, depth) {
                Some(true) => self.holds(view.part(then), value, depth),
                Some(false) => self.holds(view.part(otherwise), value, depth),
                None => None,
            },
            Rule::Contains { part, min, max } => {
                let Value::Array(items) = value else { return Some(true) };
                let answers: Vec<Option<bool>> = items.iter().map(|item| self.holds(view.part(part), item, depth)).collect();
                let yes = answers.iter().filter(|answer| **answer == Some(true)).count() as u64;
                let most = yes + answers.iter().filter(|answer| answer.is_none()).count() as u64;
                let inside = |count: u64| count >= *min && max.is_none_or(|max| count <= max);
                match (inside(yes), inside(most), yes == most) {
                    (inside, _, true) => Some(inside),
                    (true, true, false) => Some(true),
                    _ => None,
                }
            }
            Rule::Names(part) => {
                let Value::Object(members) = value else { return Some(true) };
                all(members.keys().map(|name| self.holds(view.part(part), &Value::String(name.clone()), depth)))
            }
            Rule::Matching { patterns, declared, rest } => {
                let Value::Object(members) = value else { return Some(true) };
                all(members.iter().map(|(name, value)| {
                    let matched: Vec<Option<bool>> = patterns.iter().map(|(pattern, _)| pattern.is_in(name)).collect();
                    let by_pattern = all(patterns.iter().zip(&matched).map(|((_, part), matched)| match matched {
                        Some(false) => Some(true),
                        Some(true) => self.holds(view.part(part), value, depth),
                        None => self.holds(view.part(part), value, depth).filter(|fits| *fits),
                    }));
                    let known = declared.iter().any(|declared| **declared == **name);
                    let by_rest = match any(matched.iter().copied().chain([Some(known)])) {
                        Some(true) => Some(true),
                        Some(false) => self.holds(view.part(rest), value, depth),
                        None => self.holds(view.part(rest), value, depth).filter(|fits| *fits),
                    };
                    all([by_pattern, by_rest])
                }))
            }
            Rule::Requires(needs) => {
                let Value::Object(members) = value else { return Some(true) };
                let asked = needs.iter().filter(|(name, _)| members.contains_key(*name));
                Some(asked.flat_map(|(_, needed)| needed).all(|name| members.contains_key(name)))
            }
            Rule::Implies(parts) => {
                let Value::Object(members) = value else { return Some(true) };
                let asked = parts.iter().filter(|(name, _)| members.contains_key(*name));
                all(asked.map(|(_, part)| self.holds(view.part(part), value, depth)))
            }
            // Validators divide floats, each in its own way; nought is a multiple for all of them.
            Rule::Multiple(_) => match value.as_f64() {
                Some(0.0) => Some(true),
                Some(_) => None,
                None => Some(true),
            },
            Rule::Unknown => None,
        }
    }
}

/// Whether two elements are equal, `1` and `1.0` being so.
fn has_twins(items: &[Value]) -> bool {
    items.iter().enumerate().any(|(place, one)| items[place + 1..].iter().any(|other| are_equal(one, other)))
}

pub(crate) fn are_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Num::of(a) == Num::of(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| are_equal(a, b)))
        }
        (a, b) => a == b,
    }
}

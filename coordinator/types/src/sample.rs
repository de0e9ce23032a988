//! Example values of a type, as small as can be.

use crate::contains::{are_equal, case_contains};
use crate::effort::Effort;
use crate::limits::{SAMPLE_BYTES_MAX, SAMPLE_DEPTH_MAX, SAMPLE_LENGTH_MAX, SAMPLE_NODES_MAX, SAMPLES_MAX};
use crate::shape::{Case, List, Object, Ref, Set, Type, View};
use serde_json::{Map, Value};

impl Type {
    /// One value of this type, as small as can be: only required members, the least number of elements. `None` if there is
    /// none, or none is found within bounds.
    pub fn sample(&self) -> Option<Value> {
        samples(self.view(), 1, &Effort::one()).pop()
    }
}

/// Up to so many different values of a type.
pub(crate) fn samples(view: View<'_>, most: usize, effort: &Effort) -> Vec<Value> {
    deeper(effort, |maker, depth| maker.values(view, depth, most))
}

/// Up to so many different values of one case of a type.
pub(crate) fn case_samples(view: View<'_>, case: &Case, most: usize, effort: &Effort) -> Vec<Value> {
    deeper(effort, |maker, depth| maker.case(view, case, depth, most))
}

/// The least depth at which there is a value, so that a type that may hold itself is shown without.
fn deeper(effort: &Effort, mut make: impl FnMut(&mut Maker<'_>, usize) -> Vec<Value>) -> Vec<Value> {
    let mut depth = 2;
    while depth <= SAMPLE_DEPTH_MAX {
        let found = make(&mut Maker { left: SAMPLE_NODES_MAX, bytes: SAMPLE_BYTES_MAX, effort }, depth);
        if !found.is_empty() {
            return found;
        }
        depth *= 2;
    }
    Vec::new()
}

struct Maker<'e> {
    left: u32,
    bytes: usize,
    effort: &'e Effort,
}

impl Maker<'_> {
    fn values(&mut self, view: View<'_>, depth: usize, most: usize) -> Vec<Value> {
        let mut found = Vec::new();
        // A value from each alternative first, so that different kinds are among few samples.
        let share = if view.node().cases.len() < most { most } else { 1 };
        for case in &view.node().cases {
            if found.len() >= most {
                break;
            }
            let share = if found.is_empty() { share.min(most / 2 + 1) } else { share.min(most - found.len()) };
            found.extend(self.case(view, case, depth, share));
        }
        found
    }

    fn case(&mut self, view: View<'_>, case: &Case, depth: usize, most: usize) -> Vec<Value> {
        let Some(left) = self.left.checked_sub(1) else { return Vec::new() };
        self.left = left;
        if !self.effort.make() {
            return Vec::new();
        }
        let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
        // More are made where some may fall to a doubt.
        let wanted = if case.doubts.is_empty() { most } else { SAMPLES_MAX.max(most) };
        let mut made = match &case.set {
            Set::Null => vec![Value::Null],
            Set::Boolean(Some(flag)) => vec![Value::Bool(*flag)],
            Set::Boolean(None) => vec![Value::Bool(true), Value::Bool(false)],
            Set::Number(numbers) => numbers.samples().into_iter().map(|number| number.to_value()).collect(),
            Set::Text(texts) => texts.samples(wanted, self.effort).into_iter().map(Value::String).collect(),
            Set::List(list) => self.lists(view, list, depth, wanted),
            Set::Object(object) => self.objects(view, object, depth, wanted),
        };
        if !case.doubts.is_empty() {
            made.retain(|value| case_contains(view, case, value, self.effort) == Some(true));
        }
        made.truncate(most);
        match self.bytes.checked_sub(made.iter().map(weight).sum()) {
            Some(left) => {
                self.bytes = left;
                made
            }
            None => Vec::new(),
        }
    }

    fn lists(&mut self, view: View<'_>, list: &List, depth: usize, most: usize) -> Vec<Value> {
        if list.min > SAMPLE_LENGTH_MAX {
            return Vec::new();
        }
        let mut found: Vec<Vec<Value>> = self.list_of(view, list, list.min, depth, 0).into_iter().collect();
        if most > 1 {
            let longer = (1..=2).map(|more| list.min + more).filter(|length| list.max.is_none_or(|max| *length <= max));
            for length in longer {
                found.extend((0..3).filter_map(|turn| self.list_of(view, list, length, depth, turn)));
            }
        }
        let mut lists: Vec<Value> = Vec::new();
        for list in found.into_iter().map(Value::Array) {
            if !lists.contains(&list) {
                lists.push(list);
            }
        }
        lists
    }

    /// A list of a length; each `turn` takes other elements.
    fn list_of(&mut self, view: View<'_>, list: &List, length: u64, depth: usize, turn: usize) -> Option<Vec<Value>> {
        let length = usize::try_from(length).ok()?;
        let mut items: Vec<Value> = Vec::new();
        for place in 0..length {
            let part = view.part(list.element(place));
            let wanted = if list.unique {
                turn + items.len() + 1
            } else if turn > 0 {
                turn + 2
            } else {
                1
            };
            let values = self.values(part, depth, wanted);
            let item = if list.unique {
                values.into_iter().find(|value| !items.iter().any(|item| are_equal(item, value)))?
            } else {
                let choice = if turn == 0 { 0 } else { (turn + place) % values.len().max(1) };
                values.into_iter().nth(choice)?
            };
            // A long list repeats its last kind of element without making it again.
            if !list.unique && place >= list.first.len() && length - place > 1 && turn == 0 {
                if weight(&item).saturating_mul(length) > self.bytes {
                    return None;
                }
                items.resize(length, item);
                break;
            }
            items.push(item);
        }
        Some(items)
    }

    fn objects(&mut self, view: View<'_>, object: &Object, depth: usize, most: usize) -> Vec<Value> {
        let Some(least) = self.least(view, object, depth) else { return Vec::new() };
        let mut found = vec![least.clone()];
        if most > 1 {
            for (name, member) in object.fields.iter().take(most) {
                let with = object.max.is_none_or(|max| (least.len() as u64) < max) || member.required;
                if !with || found.len() >= most {
                    continue;
                }
                for value in self.values(view.part(&member.part), depth, most.min(4)) {
                    let mut other = least.clone();
                    other.insert(name.to_string(), value);
                    if !found.contains(&other) {
                        found.push(other);
                    }
                }
            }
        }
        found.into_iter().map(Value::Object).collect()
    }

    /// The object with the fewest members.
    fn least(&mut self, view: View<'_>, object: &Object, depth: usize) -> Option<Map<String, Value>> {
        let mut members = Map::new();
        for (name, part) in object.required() {
            members.insert(name.to_string(), self.one(view, part, depth)?);
        }
        for (name, member) in &object.fields {
            if (members.len() as u64) < object.min
                && !members.contains_key(&**name)
                && let Some(value) = self.one(view, &member.part, depth)
            {
                members.insert(name.to_string(), value);
            }
        }
        if object.min > SAMPLE_LENGTH_MAX {
            return None;
        }
        while (members.len() as u64) < object.min {
            let value = self.one(view, &object.rest, depth)?;
            let name = fresh_name(|name| members.contains_key(name) || object.fields.contains_key(name));
            members.insert(name, value);
        }
        Some(members)
    }

    fn one(&mut self, view: View<'_>, part: &Ref, depth: usize) -> Option<Value> {
        self.values(view.part(part), depth, 1).pop()
    }
}

/// About how much memory a value takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 8 + text.len(),
        Value::Array(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => 8 + members.iter().map(|(name, value)| 8 + name.len() + weight(value)).sum::<usize>(),
    }
}

/// A name of a member that is not taken.
pub(crate) fn fresh_name(taken: impl Fn(&str) -> bool) -> String {
    let plain = ["other", "another"].into_iter().find(|name| !taken(name)).map(str::to_owned);
    plain.unwrap_or_else(|| (1..).map(|number| format!("other_{number}")).find(|name| !taken(name)).unwrap_or_default())
}

//! The comparison of lists and objects part by part, and of an object cut into pieces.

use crate::cover::{Broken, Checker, Open, Outcome, Side, Step, broken, open};
use crate::limits::{PIECES_MAX, SAMPLE_LENGTH_MAX};
use crate::number::Numbers;
use crate::render::{short, short_case};
use crate::sample::{fresh_name, samples};
use crate::shape::{Case, List, Member, Object, Ref, Set, Type, View};
use crate::text::Texts;
use serde_json::Value;
use std::sync::Arc;

/// How often one comparison cuts a piece again.
const CUTS_MAX: usize = 3;

impl View<'_> {
    /// The cases, as parts of another graph.
    pub(crate) fn cases_here(self) -> Vec<Case> {
        self.node().cases.iter().map(|case| case.lifted(self.graph)).collect()
    }
}

impl Outcome {
    /// The outcome of a part as that of the whole. `whole` puts a value of the part into one of the whole; `always` says whether
    /// every value of the whole has the part.
    fn inside(self, step: Step, always: bool, whole: impl FnOnce(Value) -> Option<Value>) -> Self {
        match self {
            Self::Fits => Self::Fits,
            Self::Open(mut open) => {
                open.path.push(step);
                Self::Open(open)
            }
            Self::Broken(mut broken) => {
                broken.path.push(step);
                broken.all &= always;
                broken.witness = broken.witness.take().and_then(whole);
                Self::Broken(broken)
            }
        }
    }
}

impl Checker<'_> {
    pub(crate) fn lists(&mut self, sub: Side<'_>, own: &List, sup: Side<'_>, wanted: &List, depth: usize) -> Outcome {
        let never = |place: &usize| sub.view.part(own.element(*place)).is_never();
        let end = (0..=own.first.len()).find(never).map(|place| place as u64);
        let longest = match (own.max, end) {
            (Some(max), Some(end)) => Some(max.min(end)),
            (one, other) => one.or(other),
        };
        if own.min < wanted.min {
            return broken(sub, sup, list_of(sub, own, own.min), true, longest.is_some_and(|longest| longest < wanted.min));
        }
        if let Some(most) = wanted.max
            && longest.is_none_or(|longest| longest > most)
        {
            return broken(sub, sup, list_of(sub, own, own.min.max(most + 1)), true, own.min > most);
        }
        let mut worst = Outcome::Fits;
        let reached = |place: usize| longest.is_none_or(|longest| (place as u64) < longest);
        let places = own.first.len().max(wanted.first.len());
        for place in (0..=places).filter(|place| reached(*place)) {
            let (one, other) = (sub.view.part(own.element(place)), sup.view.part(wanted.element(place)));
            let step = if place < places { Step::Element(place) } else { Step::Each };
            let outcome = self.views(one, other, depth + 1);
            worst = worst.worse(outcome.inside(step, (place as u64) < own.min, |value| {
                let Value::Array(mut items) = list_of(sub, own, own.min.max(place as u64 + 1))? else { return None };
                items[place] = value;
                let whole = Value::Array(items);
                (sub.has(&whole) != Some(false)).then_some(whole)
            }));
        }
        if wanted.unique && !own.unique && longest.is_none_or(|longest| longest > 1) && worst.fits() {
            worst = repeats(sub, own, sup);
        }
        worst
    }

    pub(crate) fn objects(&mut self, sub: Side<'_>, own: &Object, sup: Side<'_>, wanted: &Object, depth: usize) -> Outcome {
        let mut worst = Outcome::Fits;
        for (name, member) in &wanted.fields {
            let (part, always) = own.member(name);
            let (part, declared) = (sub.view.part(part), own.fields.contains_key(name));
            if member.required && !always {
                worst = worst.worse(self.missing(sub, own, sup, name, member));
            }
            if !part.is_never() {
                let accepted = sup.view.part(&member.part);
                let outcome = if accepted.is_never() {
                    refused(sub, name, part, wanted, declared || !self.lenient)
                } else {
                    self.views(part, accepted, depth + 1)
                };
                worst = worst.worse(outcome.inside(Step::Member(name.clone()), always, |value| with_member(sub, name, value)));
            }
        }
        let accepted = sup.view.part(&wanted.rest);
        for (name, member) in own.fields.iter().filter(|(name, _)| !wanted.fields.contains_key(*name)) {
            let part = sub.view.part(&member.part);
            if part.is_never() || accepted.is_any() {
                continue;
            }
            let outcome = if accepted.is_never() { refused(sub, name, part, wanted, true) } else { self.views(part, accepted, depth + 1) };
            worst = worst.worse(outcome.inside(Step::Member(name.clone()), member.required, |value| with_member(sub, name, value)));
        }
        let others = sub.view.part(&own.rest);
        if !others.is_never() && !accepted.is_any() {
            let name = fresh_name(|name| own.fields.contains_key(name) || wanted.fields.contains_key(name));
            let outcome = if accepted.is_never() {
                refused(sub, &name, others, wanted, !(self.lenient && others.is_any()))
            } else {
                self.views(others, accepted, depth + 1)
            };
            worst = worst.worse(outcome.inside(Step::Each, false, |value| with_member(sub, &name, value)));
        }
        worst.worse(self.counts(sub, own, sup, wanted))
    }

    /// A member that is asked for and may not be there.
    fn missing(&self, sub: Side<'_>, own: &Object, sup: Side<'_>, name: &Arc<str>, member: &Member) -> Outcome {
        let part = sub.view.part(own.member(name).0);
        let declared = own.fields.contains_key(name);
        if self.lenient && own.fields.is_empty() && part.is_any() {
            let open = open(format!("`{name}` is required, and nothing is said about the members of the object"));
            return open.inside(Step::Member(name.clone()), false, Some);
        }
        let (found, reason) = if part.is_never() {
            ("nothing", format!("`{name}` is required, and is never there"))
        } else if declared {
            ("sometimes nothing", format!("`{name}` is required, and may be missing"))
        } else {
            ("nothing declared", format!("`{name}` is required, and is not declared"))
        };
        let without = sub.samples(4).into_iter().find(|value| value.get(&**name).is_none());
        Outcome::Broken(Box::new(Broken {
            path: vec![Step::Member(name.clone())],
            expected: short(sup.view.part(&member.part)),
            found: found.to_owned(),
            reason,
            witness: without,
            certain: true,
            all: part.is_never(),
        }))
    }

    /// The number of members.
    fn counts(&self, sub: Side<'_>, own: &Object, sup: Side<'_>, wanted: &Object) -> Outcome {
        let least = own.min.max(own.required().count() as u64);
        let closed = sub.view.part(&own.rest).is_never();
        let possible = own.fields.values().filter(|member| !sub.view.part(&member.part).is_never()).count() as u64;
        let most = match (closed, own.max) {
            (true, max) => Some(max.map_or(possible, |max| max.min(possible))),
            (false, max) => max,
        };
        if least < wanted.min {
            return broken(sub, sup, sub.samples(1).pop(), true, false);
        }
        let Some(max) = wanted.max.filter(|max| most.is_none_or(|most| most > *max)) else { return Outcome::Fits };
        if self.lenient && possible <= max && sub.view.part(&own.rest).is_any() {
            return open(format!("at most {max} members are accepted, and there may be undeclared ones"));
        }
        let bounded = Object { min: max + 1, ..own.clone() };
        let larger = Case { set: Set::Object(Arc::new(bounded)), doubts: Vec::new() };
        let witness = if max < 1_000 { Side { view: sub.view, case: &larger, effort: sub.effort }.samples(1).pop() } else { None };
        let certain = witness.is_some();
        broken(sub, sup, witness, certain, false)
    }

    /// The members at which the nearest outcome breaks or is open, first, and then all others that have alternatives.
    pub(crate) fn concerned(&self, nearest: &Outcome, sub: Side<'_>) -> Vec<Arc<str>> {
        let Set::Object(own) = &sub.case.set else { return Vec::new() };
        let path = match nearest {
            Outcome::Broken(broken) => broken.path.last(),
            Outcome::Open(open) => open.path.last(),
            Outcome::Fits => None,
        };
        let mut names: Vec<Arc<str>> = own.fields.keys().cloned().collect();
        if let Some(Step::Member(first)) = path {
            names.sort_by_key(|name| name != first);
        }
        names
    }

    /// Cuts an object along the alternatives of one member and compares the pieces. `None` if that settles nothing.
    pub(crate) fn cut(&mut self, sub: Side<'_>, sup: View<'_>, names: &[Arc<str>], depth: usize) -> Option<Outcome> {
        let Set::Object(own) = &sub.case.set else { return None };
        if self.cuts >= CUTS_MAX {
            return None;
        }
        self.cuts += 1;
        let mut settled = None;
        for name in names {
            let member = &own.fields[name];
            let mut pieces: Vec<Member> =
                atoms(sub.view.part(&member.part)).into_iter().map(|part| Member { part, required: true }).collect();
            if !member.required {
                pieces.push(Member { part: Ref::Never, required: false });
            }
            if !(2..=PIECES_MAX).contains(&pieces.len()) {
                continue;
            }
            let mut worst = Outcome::Fits;
            for piece in pieces {
                let mut object = (**own).clone();
                object.fields.insert(name.clone(), piece);
                let case = Case { set: Set::Object(Arc::new(object)), doubts: sub.case.doubts.clone() };
                worst = worst.worse(self.case(Side { view: sub.view, case: &case, effort: sub.effort }, sup, depth));
                if !worst.fits() {
                    break;
                }
            }
            if worst.fits() || matches!(worst, Outcome::Broken(_)) {
                settled = Some(worst);
                break;
            }
        }
        self.cuts -= 1;
        settled
    }
}

/// The alternatives of a part: its cases, and each value of those that have finitely many.
fn atoms(view: View<'_>) -> Vec<Ref> {
    let mut atoms = Vec::new();
    for case in &view.node().cases {
        let values: Vec<Set> = match &case.set {
            Set::Boolean(None) => vec![Set::Boolean(Some(true)), Set::Boolean(Some(false))],
            Set::Text(texts) => match &**texts {
                Texts::Words(words) if words.len() <= PIECES_MAX => {
                    words.iter().map(|word| Set::Text(Arc::new(Texts::Words(vec![word.clone()])))).collect()
                }
                Texts::Words(_) | Texts::Free(_) => vec![case.set.clone()],
            },
            Set::Number(numbers) => match numbers.members(PIECES_MAX) {
                Some(members) => members.into_iter().map(|number| Set::Number(Arc::new(Numbers::Points(vec![number])))).collect(),
                None => vec![case.set.clone()],
            },
            Set::Boolean(Some(_)) | Set::List(_) | Set::Object(_) | Set::Null => vec![case.set.clone()],
        };
        for set in values {
            let atom = Case { set, doubts: case.doubts.clone() }.lifted(view.graph);
            atoms.push(Ref::Foreign(Type::of_cases(vec![atom])));
        }
    }
    atoms
}

/// A list of a length, if one can be shown.
fn list_of(sub: Side<'_>, own: &List, length: u64) -> Option<Value> {
    if length > SAMPLE_LENGTH_MAX || own.max.is_some_and(|max| length > max) {
        return None;
    }
    let exact = List { min: length, max: Some(length), ..own.clone() };
    let case = Case { set: Set::List(Arc::new(exact)), doubts: Vec::new() };
    Side { view: sub.view, case: &case, effort: sub.effort }.samples(1).pop()
}

/// Two equal elements, where there must not be any.
fn repeats(sub: Side<'_>, own: &List, sup: Side<'_>) -> Outcome {
    let length = own.min.max(2);
    let twins = list_of(sub, own, length).and_then(|list| match list {
        Value::Array(mut items) if items.len() >= 2 => {
            items[1] = items[0].clone();
            Some(Value::Array(items))
        }
        _ => None,
    });
    match twins.filter(|list| sub.has(list) == Some(true)) {
        Some(list) => broken(sub, sup, Some(list), true, false),
        None => open("whether elements may repeat was not decided"),
    }
}

/// A member that is not accepted: it is there, or nothing forbids it.
fn refused(sub: Side<'_>, name: &str, part: View<'_>, wanted: &Object, declared: bool) -> Outcome {
    if !declared {
        return Outcome::Open(Box::new(Open {
            path: Vec::new(),
            reason: format!(
                "`{}` may have members that it does not declare, and others than {} are not accepted",
                short_case(sub.view, sub.case),
                names(wanted)
            ),
        }));
    }
    Outcome::Broken(Box::new(Broken {
        path: Vec::new(),
        expected: "no such member".to_owned(),
        found: short(part),
        reason: format!("`{name}` is not accepted: the object takes only {}", names(wanted)),
        witness: samples(part, 1, sub.effort).pop(),
        certain: true,
        all: true,
    }))
}

fn names(object: &Object) -> String {
    let known: Vec<String> =
        object.fields.iter().filter(|(_, member)| !matches!(member.part, Ref::Never)).map(|(name, _)| format!("`{name}`")).collect();
    match known.len() {
        0 => "no members".to_owned(),
        count if count > 8 => format!("{} and {} more", known[..8].join(", "), count - 8),
        _ => known.join(", "),
    }
}

/// The least object with one member set to a value.
fn with_member(sub: Side<'_>, name: &str, value: Value) -> Option<Value> {
    let bare = Case { set: sub.case.set.clone(), doubts: Vec::new() };
    let least = [sub.samples(1), Side { view: sub.view, case: &bare, effort: sub.effort }.samples(1)].into_iter().flatten().next()?;
    let Value::Object(mut members) = least else { return None };
    members.insert(name.to_owned(), value);
    let whole = Value::Object(members);
    (sub.has(&whole) != Some(false)).then_some(whole)
}

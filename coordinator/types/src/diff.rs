//! What changed from one schema to another, member by member.
//!
//! Whether a change does harm depends on the side: an input must not narrow, a result must not widen. So each change only says
//! which of the two it is, by inclusion in both directions.

use crate::admits::{Verdict, within};
use crate::doubt::all_known;
use crate::effort::Effort;
use crate::limits::{CHANGES_MAX, DEPTH_MAX};
use crate::number::Numbers;
use crate::render::{short, short_value};
use crate::shape::{Case, List, Object, Set, Type, View};
use crate::text::Texts;
use serde_json::Value;
use std::collections::BTreeSet;

/// One difference between two schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where in the value, as a JSON pointer in which `*` stands for any element or any undeclared member.
    pub path: String,
    /// One sentence.
    pub what: String,
    /// What it does to the values that are admitted.
    pub effect: Effect,
}

/// What a change does to the values that are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Only what describes the values changed.
    Annotation,
    /// A member that could be there before without being declared is declared and may be missing: harmless on either side as
    /// long as nobody used the name for something else.
    Declared,
    /// More is admitted than before: harmless for an input.
    Widened,
    /// Less is admitted than before: harmless for a result.
    Narrowed,
    /// Some of what was admitted is not, and some of what is admitted was not.
    Replaced,
    /// Which of these it is could not be shown.
    Unproven,
}

/// Every difference between two schemas, outer ones first, at most 500; empty if they admit and say the same.
pub fn diff(old: &Value, new: &Value) -> Vec<Change> {
    let (old_type, new_type) = (Type::of_schema(old), Type::of_schema(new));
    let mut comparison = Comparison { changes: Vec::new(), seen: BTreeSet::new(), effort: Effort::times(EFFORT) };
    comparison.views(old_type.view(), new_type.view(), "", 0);
    annotations(old, new, "", 0, &mut comparison.changes);
    comparison.changes.truncate(CHANGES_MAX);
    comparison.changes
}

/// How many comparisons' worth of effort all changes together may take.
const EFFORT: u32 = 10;

type Key = (usize, u32);

struct Comparison {
    changes: Vec<Change>,
    seen: BTreeSet<(Key, Key)>,
    effort: Effort,
}

/// What a change from one type to another does; `None` if it does nothing.
fn effect(old: View<'_>, new: View<'_>, effort: &Effort) -> Option<Effect> {
    match (within(old, new, false, effort), within(new, old, false, effort)) {
        (Verdict::Fits, Verdict::Fits) => None,
        (Verdict::Fits, Verdict::Breaks { .. }) => Some(Effect::Widened),
        (Verdict::Breaks { .. }, Verdict::Fits) => Some(Effect::Narrowed),
        (Verdict::Breaks { .. }, Verdict::Breaks { .. }) => Some(Effect::Replaced),
        (Verdict::Unproven { .. }, _) | (_, Verdict::Unproven { .. }) => Some(Effect::Unproven),
    }
}

impl Comparison {
    fn add(&mut self, path: &str, what: String, effect: Effect) {
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(Change { path: path.to_owned(), what, effect });
        }
    }

    fn views(&mut self, old: View<'_>, new: View<'_>, path: &str, depth: usize) {
        if depth > DEPTH_MAX || !self.seen.insert((old.key(), new.key())) {
            return;
        }
        let Some(whole) = effect(old, new, &self.effort) else { return };
        if old.is_any() || new.is_any() || old.is_never() || new.is_never() {
            return self.add(path, format!("`{}` became `{}`", short(old), short(new)), whole);
        }
        let before = self.changes.len();
        if !self.by_kind(old, new, path, depth) || self.changes.len() == before {
            self.changes.truncate(before);
            self.add(path, format!("`{}` became `{}`", short(old), short(new)), whole);
        }
    }

    /// Kind by kind, if each side has at most one alternative of each.
    fn by_kind(&mut self, old: View<'_>, new: View<'_>, path: &str, depth: usize) -> bool {
        let (olds, news) = (&old.node().cases, &new.node().cases);
        let single = |cases: &[Case]| {
            cases.iter().enumerate().all(|(place, case)| cases[place + 1..].iter().all(|other| !other.set.is_like(&case.set)))
        };
        let shared = olds.iter().any(|case| news.iter().any(|other| other.set.is_like(&case.set)));
        if !single(olds) || !single(news) || !shared {
            return false;
        }
        for case in news.iter().filter(|case| !olds.iter().any(|other| other.set.is_like(&case.set))) {
            self.add(path, format!("`{}` is accepted now", crate::render::short_case(new, case)), Effect::Widened);
        }
        for case in olds {
            match news.iter().find(|other| other.set.is_like(&case.set)) {
                None => self.add(path, format!("`{}` is no longer accepted", crate::render::short_case(old, case)), Effect::Narrowed),
                Some(other) => self.cases((old, case), (new, other), path, depth),
            }
        }
        true
    }

    fn cases(&mut self, (old, case): (View<'_>, &Case), (new, other): (View<'_>, &Case), path: &str, depth: usize) {
        match (&case.set, &other.set) {
            (Set::Object(case), Set::Object(other)) => self.objects((old, case), (new, other), path, depth),
            (Set::List(case), Set::List(other)) => self.lists((old, case), (new, other), path, depth),
            (Set::Text(case), Set::Text(other)) if let (Texts::Words(case), Texts::Words(other)) = (&**case, &**other) => {
                let value = |word: &std::sync::Arc<str>| Value::String(word.to_string());
                self.values(case.iter().map(value).collect(), other.iter().map(value).collect(), path);
            }
            (Set::Number(case), Set::Number(other)) if let (Numbers::Points(case), Numbers::Points(other)) = (&**case, &**other) => {
                self.values(case.iter().map(|one| one.to_value()).collect(), other.iter().map(|one| one.to_value()).collect(), path);
            }
            (case, other) => {
                let bare = |set: &Set, view: View<'_>| Type::of_cases(vec![Case::of(set.clone()).lifted(view.graph)]);
                let (case, other) = (bare(case, old), bare(other, new));
                if let Some(effect) = effect(case.view(), other.view(), &self.effort) {
                    self.add(path, format!("`{}` became `{}`", short(case.view()), short(other.view())), effect);
                }
            }
        }
        let (gone, come) = (!all_known(&case.doubts, &other.doubts), !all_known(&other.doubts, &case.doubts));
        let names = |doubts: &[std::sync::Arc<crate::doubt::Doubt>]| {
            let names: BTreeSet<String> = doubts.iter().map(|doubt| format!("`{}`", doubt.short())).collect();
            names.into_iter().collect::<Vec<_>>().join(", ")
        };
        match (gone, come) {
            (false, false) => {}
            (false, true) => self.add(path, format!("{} restricts it now", names(&other.doubts)), Effect::Narrowed),
            (true, false) => self.add(path, format!("{} no longer restricts it", names(&case.doubts)), Effect::Widened),
            (true, true) => self.add(path, format!("{} changed", names(&case.doubts)), Effect::Unproven),
        }
    }

    fn values(&mut self, old: Vec<Value>, new: Vec<Value>, path: &str) {
        for value in new.iter().filter(|value| !old.contains(value)) {
            self.add(path, format!("`{}` is accepted now", short_value(value)), Effect::Widened);
        }
        for value in old.iter().filter(|value| !new.contains(value)) {
            self.add(path, format!("`{}` is no longer accepted", short_value(value)), Effect::Narrowed);
        }
    }

    fn objects(&mut self, (old, case): (View<'_>, &Object), (new, other): (View<'_>, &Object), path: &str, depth: usize) {
        let names: BTreeSet<_> = case.fields.keys().chain(other.fields.keys()).collect();
        for name in names {
            let inner = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
            let ((one, was_required), (two, is_required)) = (case.member(name), other.member(name));
            let (one, two) = (old.part(one), new.part(two));
            match (case.fields.contains_key(name), other.fields.contains_key(name)) {
                (false, true) => {
                    let effect = match (one.is_never(), is_required) {
                        (true, true) => Effect::Replaced,
                        (true, false) => Effect::Widened,
                        (false, true) => Effect::Narrowed,
                        (false, false) if one.is_any() => Effect::Declared,
                        (false, false) => effect(one, two, &self.effort).unwrap_or(Effect::Declared),
                    };
                    let how = if is_required { "required" } else { "optional" };
                    self.add(&inner, format!("`{name}` was added, {how}: `{}`", short(two)), effect);
                }
                (true, false) => {
                    let effect = match (two.is_never(), was_required) {
                        (true, true) => Effect::Replaced,
                        (true, false) => Effect::Narrowed,
                        (false, _) => Effect::Widened,
                    };
                    let how = if was_required { "required" } else { "optional" };
                    self.add(&inner, format!("`{name}` was removed; it was {how}: `{}`", short(one)), effect);
                }
                (true, true) | (false, false) => {
                    match (was_required, is_required) {
                        (true, false) => self.add(&inner, format!("`{name}` may be missing now"), Effect::Widened),
                        (false, true) => self.add(&inner, format!("`{name}` is required now"), Effect::Narrowed),
                        (true, true) | (false, false) => {}
                    }
                    self.views(one, two, &inner, depth + 1);
                }
            }
        }
        let (one, two) = (old.part(&case.rest), new.part(&other.rest));
        match (one.is_never(), two.is_never()) {
            (true, true) => {}
            (false, true) => self.add(path, "members that are not declared are no longer accepted".to_owned(), Effect::Narrowed),
            (true, false) => self.add(path, "members that are not declared are accepted now".to_owned(), Effect::Widened),
            (false, false) => self.views(one, two, &format!("{path}/*"), depth + 1),
        }
        self.counts((case.min, case.max), (other.min, other.max), "members", path);
    }

    fn lists(&mut self, (old, case): (View<'_>, &List), (new, other): (View<'_>, &List), path: &str, depth: usize) {
        let places = case.first.len().max(other.first.len());
        for place in (0..=places).filter(|place| case.reaches(*place) && other.reaches(*place)) {
            let step = if place < places { place.to_string() } else { "*".to_owned() };
            self.views(old.part(case.element(place)), new.part(other.element(place)), &format!("{path}/{step}"), depth + 1);
        }
        self.counts((case.min, case.max), (other.min, other.max), "elements", path);
        match (case.unique, other.unique) {
            (true, false) => self.add(path, "elements may repeat now".to_owned(), Effect::Widened),
            (false, true) => self.add(path, "elements may not repeat any more".to_owned(), Effect::Narrowed),
            (true, true) | (false, false) => {}
        }
    }

    fn counts(&mut self, old: (u64, Option<u64>), new: (u64, Option<u64>), what: &str, path: &str) {
        let effect = |wider: bool| if wider { Effect::Widened } else { Effect::Narrowed };
        if old.0 != new.0 {
            self.add(path, format!("at least {} {what} are needed, and were {}", new.0, old.0), effect(new.0 < old.0));
        }
        if old.1 != new.1 {
            let say = |max: Option<u64>| max.map_or("any number".to_owned(), |max| format!("at most {max}"));
            let wider = new.1.is_none_or(|new| old.1.is_some_and(|old| new > old));
            self.add(path, format!("{} of {what} may be there, and was {}", say(new.1), say(old.1)), effect(wider));
        }
    }
}

/// Keywords that describe.
const DESCRIBING: &[&str] =
    &["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType"];

/// What describes the values, where both schemas are written alike.
fn annotations(old: &Value, new: &Value, path: &str, depth: usize, changes: &mut Vec<Change>) {
    let (Value::Object(olds), Value::Object(news)) = (old, new) else { return };
    if depth > DEPTH_MAX || changes.len() >= CHANGES_MAX {
        return;
    }
    for keyword in DESCRIBING.iter().filter(|keyword| olds.get(**keyword) != news.get(**keyword)) {
        let what = match (olds.get(*keyword), news.get(*keyword)) {
            (Some(_), None) => format!("`{keyword}` was removed"),
            (None, _) => format!("`{keyword}` was added"),
            (Some(_), Some(_)) => format!("`{keyword}` changed"),
        };
        changes.push(Change { path: path.to_owned(), what, effect: Effect::Annotation });
    }
    if let (Some(Value::Object(olds)), Some(Value::Object(news))) = (olds.get("properties"), news.get("properties")) {
        for (name, old) in olds {
            let inner = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
            annotations(old, news.get(name).unwrap_or(&Value::Null), &inner, depth + 1, changes);
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let (Some(old), Some(new)) = (olds.get(keyword), news.get(keyword)) {
            annotations(old, new, &format!("{path}/*"), depth + 1, changes);
        }
    }
}

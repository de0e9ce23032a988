//! What breaks when one contract follows another, for each side of it.
//!
//! The two sides want opposite things. Whoever *calls* sends what the old contract took: an input must not become narrower. Whoever
//! *depends* on the step reads what the old contract gave: a result, and the details of an error, must not become wider. A new error code
//! breaks every `on_error` that was complete without it.
//!
//! The comparison itself is made by `tasker_types`; here it is decided who is hurt. [`text`] says it for people.

mod source;
mod text;

pub use source::{Source, compare};

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use tasker_engine::contract::ErrorContract;
use tasker_engine::{Contract, Schema};
use tasker_types::{Effect, Type, Verdict as Inclusion};

/// How bad it is; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing changed that a value could show.
    Unchanged,
    /// What worked goes on working.
    Compatible,
    /// It could not be shown that it does.
    Unproven,
    /// Something that worked will not.
    Breaking,
}

/// What changed between two contracts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The worst of all sides.
    pub verdict: Verdict,
    /// For whoever sends inputs.
    pub input: Side,
    /// For whoever reads results.
    pub result: Side,
    /// For whoever handles errors; one entry for each code that changed.
    pub errors: Vec<ErrorChange>,
}

/// What changed in one schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// The worst of its changes.
    pub verdict: Verdict,
    /// Outer ones first; at most 500.
    pub changes: Vec<Change>,
    /// A value that worked and will not, if one could be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<Value>,
}

/// One change of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where in the value, as a JSON pointer; `*` stands for any element.
    pub path: String,
    /// One sentence.
    pub what: String,
    /// Whom it hurts on this side.
    pub verdict: Verdict,
}

/// What changed about one error code.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorChange {
    /// The code; `*` stands for all that are not declared.
    pub code: String,
    /// One sentence.
    pub what: String,
    /// The worst of it.
    pub verdict: Verdict,
    /// What changed in its details.
    pub details: Side,
}

/// Compares two contracts of one capability.
///
/// Pure; bounded by the limits of `tasker_types` on both schemas.
pub fn diff(old: &Contract, new: &Contract) -> Report {
    let input = side(old.input.as_ref(), new.input.as_ref(), Direction::In);
    let result = side(old.result.as_ref(), new.result.as_ref(), Direction::Out);
    let errors = errors(old, new);
    let worst = errors.iter().map(|change| change.verdict).chain([input.verdict, result.verdict]).max();
    Report { verdict: worst.unwrap_or(Verdict::Unchanged), input, result, errors }
}

/// Which way values go.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    In,
    Out,
}

fn side(old: Option<&Schema>, new: Option<&Schema>, direction: Direction) -> Side {
    if old.map(Schema::digest) == new.map(Schema::digest) {
        return Side { verdict: Verdict::Unchanged, changes: Vec::new(), counterexample: None };
    }
    // What is not declared may be anything.
    let source = |schema: Option<&Schema>| schema.map_or(Value::Bool(true), |schema| schema.source().clone());
    let (old, new) = (source(old), source(new));
    let changes: Vec<Change> = tasker_types::diff(&old, &new)
        .into_iter()
        .map(|change| Change { path: change.path, what: change.what, verdict: harm(change.effect, direction) })
        .collect();
    let mut verdict = changes.iter().map(|change| change.verdict).max().unwrap_or(Verdict::Unchanged);
    let (given, taken) = match direction {
        Direction::In => (&old, &new),
        Direction::Out => (&new, &old),
    };
    // The whole is asked too: changes may be too many to list, and a value that shows the harm says more than a sentence.
    let mut counterexample = None;
    if let Inclusion::Breaks { counterexample: found, .. } = Type::of_schema(taken).admits(&Type::of_schema(given)) {
        verdict = Verdict::Breaking;
        counterexample = found;
    }
    Side { verdict, changes, counterexample }
}

fn harm(effect: Effect, direction: Direction) -> Verdict {
    match (effect, direction) {
        (Effect::Annotation, _) => Verdict::Unchanged,
        (Effect::Declared, _) | (Effect::Widened, Direction::In) | (Effect::Narrowed, Direction::Out) => Verdict::Compatible,
        (Effect::Unproven, _) => Verdict::Unproven,
        (Effect::Replaced, _) | (Effect::Narrowed, Direction::In) | (Effect::Widened, Direction::Out) => Verdict::Breaking,
    }
}

fn errors(old: &Contract, new: &Contract) -> Vec<ErrorChange> {
    let (olds, news) = (&old.errors, &new.errors);
    let nothing = || Side { verdict: Verdict::Unchanged, changes: Vec::new(), counterexample: None };
    let whole = |what: &str, verdict| ErrorChange { code: "*".to_owned(), what: what.to_owned(), verdict, details: nothing() };
    match (olds.is_empty(), news.is_empty()) {
        (true, true) => return Vec::new(),
        (true, false) => {
            let what = "codes are declared now; before, any could come";
            return vec![whole(what, Verdict::Compatible)];
        }
        (false, true) => {
            let what = "codes are no longer declared, so any may come; no `on_error` without a `default` is complete";
            return vec![whole(what, Verdict::Breaking)];
        }
        (false, false) => {}
    }
    let codes: BTreeSet<_> = olds.keys().chain(news.keys()).collect();
    let changes = codes.into_iter().filter_map(|code| {
        let (what, verdict, details) = match (olds.get(code), news.get(code)) {
            (None, _) => ("new; an `on_error` without it and without a `default` is no longer complete", Verdict::Breaking, nothing()),
            (_, None) => {
                ("no longer comes; workflows that name it must drop it before they are applied again", Verdict::Compatible, nothing())
            }
            (Some(old), Some(new)) => {
                let details = side(old.details.as_ref(), new.details.as_ref(), Direction::Out);
                (meaning(old, new, &details)?, details.verdict, details)
            }
        };
        Some(ErrorChange { code: code.to_string(), what: what.to_owned(), verdict, details })
    });
    changes.collect()
}

/// What changed about an error that both contracts declare; nothing if nothing did.
fn meaning(old: &ErrorContract, new: &ErrorContract, details: &Side) -> Option<&'static str> {
    if !details.changes.is_empty() || details.verdict != Verdict::Unchanged {
        Some("its details changed")
    } else if old.description != new.description {
        Some("it is described differently")
    } else {
        None
    }
}

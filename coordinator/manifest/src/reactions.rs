//! Reads `on_error:` and `on_exhausted:`, what follows when a step fails.

use crate::codes;
use crate::fields::{Fields, entries, listed, name, short, text, wrong_type};
use crate::report::{Place, Problem, Report};
use crate::retry;
use crate::suggest::nearest;
use crate::yaml::{Kind, Node};
use tasker_engine::retry::RetryPolicy;
use tasker_engine::{Contract, ErrorCode};

/// What a step says about its failures, as written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reactions {
    /// The key `on_error`, if it is given.
    pub place: Option<Place>,
    /// One for each code, in the order of the file.
    pub arms: Vec<Arm>,
    /// `on_error.default`.
    pub default: Option<Reaction>,
    /// `on_exhausted`.
    pub exhausted: Option<Then>,
}

/// What follows from one code.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub code: ErrorCode,
    pub place: Place,
    pub reaction: Reaction,
}

/// What follows from a failure.
#[derive(Debug, Clone)]
pub(crate) struct Reaction {
    /// Another attempt before that; its own policy, if it has one.
    pub retry: Option<Retry>,
    /// What follows when no attempt does.
    pub then: Then,
}

/// Another attempt.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub policy: Option<RetryPolicy>,
    pub place: Place,
}

/// What follows when no further attempt is made, and where that is written.
#[derive(Debug, Clone)]
pub(crate) struct Then {
    pub how: How,
    pub place: Place,
}

/// The reactions of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    Compensate,
    Fail,
    Continue,
    Wait,
    Fallback(String),
}

const WORDS: [&str; 5] = ["compensate", "fail", "continue", "wait", "retry"];

impl How {
    /// The word used in manifests.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Compensate => "compensate",
            Self::Fail => "fail",
            Self::Continue => "continue",
            Self::Wait => "wait",
            Self::Fallback(_) => "fallback",
        }
    }
}

impl Reactions {
    /// Reads both fields of a step.
    pub fn read(fields: &Fields<'_>, contract: &Contract, report: &mut Report<'_>) -> Self {
        let mut reactions = Self { place: fields.key("on_error"), ..Self::default() };
        let written = fields.get("on_error").and_then(|node| entries(node, "`on_error`", report));
        for (key, node) in written.into_iter().flatten() {
            let reaction = reaction(node, contract, report);
            if key.text == "default" {
                reactions.default = reaction;
            } else if let Some(code) = name::<ErrorCode>(&key.text, key.place, report) {
                reactions.arms.extend(reaction.map(|reaction| Arm { code, place: key.place, reaction }));
            }
        }
        if let Some(node) = fields.get("on_exhausted") {
            reactions.exhausted = then(node, "`on_exhausted`", report);
            if let (Some(key), true) = (fields.key("on_exhausted"), reactions.default.is_some()) {
                let message = "`on_exhausted` and `on_error.default` both say what follows from any other failure";
                report.add(Problem::new(&codes::TWO_DEFAULTS, key, message).hint("keep one of the two; they mean the same"));
            }
        }
        reactions
    }

    /// Every reaction that is written.
    pub fn all(&self) -> impl Iterator<Item = &Reaction> {
        self.arms.iter().map(|arm| &arm.reaction).chain(&self.default)
    }

    /// Every end of a reaction that is written.
    pub fn thens(&self) -> impl Iterator<Item = &Then> {
        self.all().map(|reaction| &reaction.then).chain(&self.exhausted)
    }
}

/// A word, `{ fallback: step }`, or `{ retry: policy, then: reaction }`.
fn reaction(node: &Node, contract: &Contract, report: &mut Report<'_>) -> Option<Reaction> {
    let place = node.mark();
    let compensate = Then { how: How::Compensate, place };
    if let Kind::Text(text) = &node.kind
        && text == "retry"
    {
        return Some(Reaction { retry: Some(Retry { policy: None, place }), then: compensate });
    }
    let is_retry = matches!(&node.kind, Kind::Map(entries) if entries.iter().any(|(key, _)| key.text == "retry" || key.text == "then"));
    if !is_retry {
        return Some(Reaction { retry: None, then: then(node, "a reaction", report)? });
    }
    let fields = Fields::open(node, "a reaction", &["retry", "then"], report)?;
    let policy = fields.required("retry", "say how: `retry: { base: 5s, max_attempts: 20 }`", report);
    let policy = policy.map(|node| retry::read(node, contract, report));
    let then = fields.get("then").map_or(Some(compensate), |node| then(node, "`then`", report))?;
    let place = fields.key("retry").unwrap_or(place);
    Some(Reaction { retry: Some(Retry { policy: Some(policy?), place }), then })
}

/// What follows when no further attempt is made.
fn then(node: &Node, what: &'static str, report: &mut Report<'_>) -> Option<Then> {
    if let Kind::Map(_) = &node.kind {
        let fields = Fields::open(node, what, &["fallback"], report)?;
        let step = fields.required("fallback", "name the step that takes over: `{ fallback: charge_by_invoice }`", report)?;
        let how = How::Fallback(text(step, "the name of a step", report)?.to_owned());
        return Some(Then { how, place: step.place });
    }
    let Kind::Text(written) = &node.kind else {
        wrong_type(node, what, "one of `compensate`, `fail`, `continue`, `wait`, or `{ fallback: step }`", report);
        return None;
    };
    let how = match written.as_str() {
        "compensate" => How::Compensate,
        "fail" => How::Fail,
        "continue" => How::Continue,
        "wait" => How::Wait,
        "retry" => {
            let problem = Problem::new(
                &codes::UNKNOWN_CHOICE,
                node.place,
                format!("{what} cannot be `retry`: it says what follows when attempts run out"),
            );
            report.add(problem.hint("raise `max_attempts`, or give an arm of `on_error` the reaction `retry`"));
            return None;
        }
        other => {
            let close = nearest(report, other, WORDS);
            let problem = Problem::new(&codes::UNKNOWN_CHOICE, node.place, format!("{what} cannot be `{}`", short(other)));
            let hint = format!("it is one of {}, or `{{ fallback: step }}`", listed(&WORDS[..4]));
            report.add(problem.hint(hint).nearest(close));
            return None;
        }
    };
    Some(Then { how, place: node.place })
}

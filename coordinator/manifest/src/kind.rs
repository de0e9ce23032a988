//! Which kind a step is, and which fields belong to it.

use crate::codes;
use crate::fields::{Fields, listed};
use crate::report::{Place, Problem, Report};

/// What a step does, by the field that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Child,
    Wait,
    Sleep,
    Approval,
    Switch,
}

/// Every field that a step of some kind has.
pub(crate) const FIELDS: [&str; 24] = [
    "name",
    "description",
    "owner",
    "capability",
    "event_pattern",
    "handler",
    "workflow",
    "wait_for",
    "sleep",
    "approval",
    "switch",
    "depends_on",
    "join",
    "when",
    "input",
    "timeout",
    "retry",
    "for_each",
    "on_error",
    "on_exhausted",
    "compensate",
    "route",
    "rate_limit",
    "concurrency",
];

/// The fields that make a step what it is.
const MARKS: [(&str, Kind); 9] = [
    ("owner", Kind::Call),
    ("capability", Kind::Call),
    ("event_pattern", Kind::Call),
    ("handler", Kind::Call),
    ("workflow", Kind::Child),
    ("wait_for", Kind::Wait),
    ("sleep", Kind::Sleep),
    ("approval", Kind::Approval),
    ("switch", Kind::Switch),
];

impl Kind {
    /// Finds the kind; a step without one, or with two, is reported.
    pub fn of(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut found: Option<(&str, Self)> = None;
        for (name, kind) in MARKS {
            let Some(key) = fields.key(name) else { continue };
            match found {
                Some((first, other)) if other != kind => {
                    let message = format!("the step has both `{first}` and `{name}`, but is either {} or {}", other.noun(), kind.noun());
                    let problem = Problem::new(&codes::SEVERAL_KINDS, key, message);
                    report.add(problem.hint("make two steps of it, one after the other"));
                    return None;
                }
                _ => found = Some((name, kind)),
            }
        }
        if found.is_none() {
            let problem = Problem::new(&codes::STEP_WITHOUT_KIND, fields.mark(), "the step does not say what it does");
            let kinds: Vec<&str> =
                MARKS.iter().map(|(name, _)| *name).filter(|name| !["event_pattern", "handler"].contains(name)).collect();
            report.add(problem.hint(format!("add `owner` and `capability` for a call to a system, or one of {}", listed(&kinds[2..]))));
        }
        found.map(|(_, kind)| kind)
    }

    /// What such a step is called, with its article.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Call => "a call",
            Self::Child => "a child task",
            Self::Wait => "a wait",
            Self::Sleep => "a sleep",
            Self::Approval => "an approval",
            Self::Switch => "a switch",
        }
    }

    /// Whether somebody works on it in attempts.
    pub fn is_work(self) -> bool {
        match self {
            Self::Call | Self::Child => true,
            Self::Wait | Self::Sleep | Self::Approval | Self::Switch => false,
        }
    }

    /// Reports fields that mean nothing for this kind. They would be read and ignored otherwise.
    pub fn check_fields(self, fields: &Fields<'_>, report: &mut Report<'_>) {
        for name in ["input", "retry", "for_each", "compensate", "route", "rate_limit", "concurrency", "timeout"] {
            if let (Some(key), Some(reason)) = (fields.key(name), self.lacks(name)) {
                self.refuse(name, key, reason, report);
            }
        }
    }

    /// Why this kind has no such field; none if it has.
    fn lacks(self, field: &str) -> Option<&'static str> {
        match field {
            "timeout" => match self {
                Self::Call | Self::Child | Self::Wait | Self::Approval => None,
                Self::Sleep => Some("it takes as long as it says"),
                Self::Switch => Some("it decides at once"),
            },
            "route" => (self != Self::Call).then_some("no worker runs it"),
            "rate_limit" | "concurrency" => match self {
                Self::Call => None,
                Self::Child => Some("the child's own manifest limits how many run at once"),
                Self::Wait | Self::Sleep | Self::Approval | Self::Switch => Some("no worker runs it"),
            },
            _ if self.is_work() => None,
            "input" => Some("nobody is asked anything, so there is nothing to give them"),
            "retry" => Some("it is not tried in attempts, so there is nothing to try again"),
            "for_each" => Some("only calls and child tasks are done for each item"),
            _ => Some("it does nothing that could be undone"),
        }
    }

    /// Reports one field that means nothing here.
    pub fn refuse(self, field: &str, key: Place, reason: &str, report: &mut Report<'_>) {
        let problem = Problem::new(&codes::FIELD_OF_OTHER_KIND, key, format!("{} has no `{field}`: {reason}", self.noun()));
        report.add(problem.hint(format!("remove `{field}`")));
    }
}

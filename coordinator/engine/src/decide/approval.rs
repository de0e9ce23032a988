//! A person decides, or says something.

use super::dispatch::check;
use super::{Decision, Turn};
use crate::contract::Violation;
use crate::event::Event;
use crate::failure::cut;
use crate::ids::StepIndex;
use crate::payload::Payload;
use crate::task::{Task, Wait};
use crate::time::Timestamp;
use crate::workflow::StepKind;
use serde_json::json;

/// What a person decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Yes or no.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// The assignee that they stand for, if they are not one by name: a team.
    pub role: Option<String>,
    /// Why, for people.
    pub comment: Option<String>,
    /// What they filled in.
    pub form: Option<Payload>,
}

/// Why a decision is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The step does not wait for a decision, or not any more.
    #[error("step `{0}` does not wait for a decision")]
    NotWaiting(String),
    /// Somebody else is asked.
    #[error("`{by}` is not asked; asked are {}", .assignees.join(", "))]
    NotAssigned {
        /// Who decided.
        by: String,
        /// Who is asked.
        assignees: Vec<String>,
    },
    /// The form is missing or does not fit.
    #[error("the form does not fit what is asked")]
    FormViolated(Vec<Violation>),
}

/// Takes a decision: the step succeeds with it, whichever it is.
///
/// # Errors
/// See [`Refusal`]; nothing changed then. A second decision is refused, because the step does not wait any more.
pub fn decide(task: &mut Task, step: StepIndex, verdict: &Verdict, now: Timestamp) -> Result<Decision, Refusal> {
    let assignees = asked(task, step)?;
    let stands_for = |name: &Option<String>| name.as_ref().is_some_and(|name| assignees.contains(name));
    if !assignees.is_empty() && !assignees.contains(&verdict.by) && !stands_for(&verdict.role) {
        return Err(Refusal::NotAssigned { by: verdict.by.clone(), assignees });
    }
    let StepKind::Approval(definition) = &task.definition(step).kind else {
        return Err(Refusal::NotWaiting(task.label(step).to_string()));
    };
    let form = verdict.form.clone().unwrap_or_else(Payload::null);
    // Nobody has to fill in a form in order to say no.
    if verdict.approved || verdict.form.is_some() {
        check(&form, &[definition.form.as_ref()]).map_err(Refusal::FormViolated)?;
    }
    let result = Payload::of(&json!({
        "decision": if verdict.approved { "approved" } else { "rejected" },
        "by": verdict.by,
        "role": verdict.role,
        "comment": verdict.comment.clone().map(cut),
        "form": form.value(),
    }));
    let mut turn = Turn::new(task, now);
    turn.satisfy(step, result);
    Ok(turn.finish())
}

/// Records what somebody says without deciding.
///
/// # Errors
/// The step does not wait for a decision.
pub fn comment(task: &mut Task, step: StepIndex, by: &str, comment: &str, now: Timestamp) -> Result<Decision, Refusal> {
    asked(task, step)?;
    let mut turn = Turn::new(task, now);
    turn.emit(Event::ApprovalCommented { step, by: by.to_owned(), comment: cut(comment.to_owned()) });
    Ok(turn.finish())
}

fn asked(task: &Task, step: StepIndex) -> Result<Vec<String>, Refusal> {
    match task.steps.get(step.at()).and_then(|_| task.waiting(step)).map(|waiting| &waiting.wait) {
        Some(Wait::Approval { assignees, .. }) => Ok(assignees.clone()),
        Some(Wait::Signal { .. } | Wait::Event { .. } | Wait::Sleep) | None => Err(Refusal::NotWaiting(task.label(step).to_string())),
    }
}

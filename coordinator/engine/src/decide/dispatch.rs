//! A worker has a free slot for a ready step.

use super::{Decision, Effect, Turn, object_of, scope::TaskScope};
use crate::contract::{Contract, Schema};
use crate::event::{Event, Target};
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptToken, Digest, StepIndex};
use crate::payload::Payload;
use crate::task::{StepState, Task};
use crate::time::Timestamp;
use crate::workflow::Role;
use serde_json::json;
use std::time::Duration;

/// Who will run the attempt, and under which contract.
#[derive(Debug, Clone)]
pub struct Assignment<'c> {
    /// Drawn by the caller.
    pub token: AttemptToken,
    /// Who is asked.
    pub target: Target,
    /// The contract that the worker's build announced, and its digest.
    pub contract: Option<(Digest, &'c Contract)>,
}

/// How long a plain responder may take, if the step does not say. Responders do not heartbeat, so there is always a limit; it counts
/// from the moment somebody was there to ask, so the runtime watches it and reports [`super::lost::no_answer`].
pub const RESPONDER_TIMEOUT: Duration = Duration::from_secs(30);

/// The limit for one call of a plain responder.
pub fn responder_timeout(running: Option<Duration>) -> Duration {
    running.unwrap_or(RESPONDER_TIMEOUT)
}

/// How long a system may take to bring the outcome of a call over HTTP, if the step does not say: an answer or, later, a callback.
/// Counted, like [`RESPONDER_TIMEOUT`], from the moment somebody was there to ask.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(300);

/// The limit for one call over HTTP, callback included.
pub fn http_timeout(running: Option<Duration>) -> Duration {
    running.unwrap_or(HTTP_TIMEOUT)
}

/// Opens the next attempt of a ready step, or fails the step if its input cannot be built.
///
/// A step that is not ready, or whose task is paused, is left alone: the decision is empty. So a queue entry that is out of date does no harm.
pub fn dispatch(task: &mut Task, step: StepIndex, assignment: &Assignment<'_>, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    let StepState::Ready { since } = turn.task.progress(step).state else { return turn.finish() };
    if turn.task.paused.is_some() {
        return turn.finish();
    }
    let worker_contract = assignment.contract.map(|(_, contract)| contract);
    let input = match input_of(turn.task, step, worker_contract) {
        Ok(input) => input,
        Err(failure) => {
            turn.give_up(step, failure);
            return turn.finish();
        }
    };
    let timeouts = turn.task.definition(step).timeouts;
    let deadline = match &assignment.target {
        Target::Session(_) => timeouts.running.map(|running| now.after(running)),
        // Nobody knows whether a responder or a system is there before it is asked, so until one answers the step still waits.
        Target::Responders | Target::Http => timeouts.waiting.map(|waiting| since.after(waiting)),
        // A child is opened by `child::started`.
        Target::Child(_) => return turn.finish(),
    };
    let attempt = turn.task.next_attempt(step);
    turn.emit(Event::AttemptStarted {
        step,
        attempt,
        token: assignment.token,
        target: assignment.target.clone(),
        contract: assignment.contract.map(|(digest, _)| digest),
        deadline,
    });
    let dependencies = dependencies_of(turn.task, step);
    turn.effects.push(Effect::Ask { step, input, dependencies });
    turn.set_timer(step);
    turn.finish()
}

/// What an open attempt was asked, once more: for announcing it again. None if no attempt is open.
pub fn ask_again(task: &Task, step: StepIndex) -> Option<Effect> {
    task.open_attempt(step)?;
    let input = input_of(task, step, None).ok()?;
    Some(Effect::Ask { step, input, dependencies: dependencies_of(task, step) })
}

/// The results that a request brings along: those of the direct dependencies; of a handler: that of the step it belongs to.
fn dependencies_of(task: &Task, step: StepIndex) -> Payload {
    let definition = task.definition(step);
    let owner = match definition.role {
        Role::Compensation { of } | Role::Fallback { of } => Some(of),
        Role::Forward | Role::OnFailure => None,
    };
    object_of(task, definition.depends_on.iter().copied().chain(owner))
}

/// The step's input: the mapping's value, or the item, or the task's input; checked against the manifest's and the worker's contract.
pub(super) fn input_of(task: &Task, step: StepIndex, worker: Option<&Contract>) -> Result<Payload, Failure> {
    let definition = task.definition(step);
    let input = match (&definition.input, task.item(step)) {
        (None, None) => task.submission.input.clone(),
        (None, Some(item)) => item.value.clone(),
        (Some(template), _) => {
            let value = template
                .evaluate(&TaskScope::of(task, step))
                .map_err(|missing| Failure::new(FailureKind::Contract, code::expression_failed(), format!("input: {missing}")))?;
            Payload::of(&value)
        }
    };
    if input.bytes().len() > Payload::BYTES_MAX {
        let message = format!("the input is {} bytes; at most {} are sent", input.bytes().len(), Payload::BYTES_MAX);
        return Err(Failure::new(FailureKind::Contract, code::contract_input_violated(), message));
    }
    let schemas = [definition.contract.input.as_ref(), worker.and_then(|contract| contract.input.as_ref())];
    check(&input, &schemas).map_err(|violations| {
        Failure::new(
            FailureKind::Contract,
            code::contract_input_violated(),
            format!("the input of `{}` does not fit the contract: {}", asked(definition), first(&violations)),
        )
        .with_details(Payload::of(&json!({ "violations": violations })))
    })?;
    Ok(input)
}

/// What a step asks for, in a word.
fn asked(definition: &crate::workflow::Step) -> &str {
    definition.capability().map_or(definition.name.as_str(), crate::ids::CapabilityName::as_str)
}

/// Checks a payload against every schema that is there; reads its JSON only if one is.
pub(super) fn check(payload: &Payload, schemas: &[Option<&Schema>]) -> Result<(), Vec<crate::contract::Violation>> {
    if schemas.iter().all(Option::is_none) {
        return Ok(());
    }
    let value = payload.value();
    let mut checked: Option<Digest> = None;
    for schema in schemas.iter().flatten() {
        if checked == Some(schema.digest()) {
            continue;
        }
        let violations = schema.violations(&value);
        if !violations.is_empty() {
            return Err(violations);
        }
        checked = Some(schema.digest());
    }
    Ok(())
}

/// The first violation in words.
pub(super) fn first(violations: &[crate::contract::Violation]) -> String {
    violations.first().map_or_else(String::new, |violation| {
        let pointer = if violation.pointer.is_empty() { "the value itself" } else { &violation.pointer };
        format!("at {pointer}: {}", violation.message)
    })
}

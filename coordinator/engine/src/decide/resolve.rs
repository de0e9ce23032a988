//! A person decides what becomes of a step that failed for good.

use super::dispatch::check;
use super::fail::given_up;
use super::{Decision, Turn};
use crate::contract::Violation;
use crate::event::{Event, Resolution};
use crate::failure::cut;
use crate::ids::StepIndex;
use crate::payload::Payload;
use crate::reaction::Exhausted;
use crate::task::{SkipReason, StepState, Task};
use crate::time::Timestamp;
use crate::workflow::{StepKind, Switch};
use serde_json::Value;

/// Why a resolution is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The step does not wait for a person.
    #[error("step `{step}` is {state}; only a held step can be resolved")]
    NotHeld {
        /// Which step.
        step: String,
        /// Where it stands.
        state: &'static str,
    },
    /// The supplied result breaks the step's contract.
    #[error("the result does not fit the contract of step `{step}`")]
    ResultViolated {
        /// Which step.
        step: String,
        /// Where and why.
        violations: Vec<Violation>,
    },
}

/// A supplied result must fit the step's contract; of a fan-out it is a list with a place for each item, `null` or fitting.
fn fits(task: &Task, step: StepIndex, result: &Payload) -> Result<(), Vec<Violation>> {
    let definition = task.definition(step);
    let Some(schema) = &definition.contract.result else { return Ok(()) };
    if definition.for_each.is_none() || task.item(step).is_some() {
        return check(result, &[Some(schema)]);
    }
    let count = task.progress(step).fan.as_ref().map(|fan| fan.count as usize);
    let Value::Array(places) = result.value() else {
        return Err(vec![Violation { pointer: String::new(), message: "must be a list with a place for each item".into() }]);
    };
    if let Some(count) = count.filter(|count| *count != places.len()) {
        let message = format!("has {} places, there are {count} items", places.len());
        return Err(vec![Violation { pointer: String::new(), message }]);
    }
    let found = places.iter().enumerate().filter(|(_, place)| !place.is_null()).find_map(|(number, place)| {
        let mut violations = schema.violations(place);
        violations.iter_mut().for_each(|violation| violation.pointer = format!("/{number}{}", violation.pointer));
        (!violations.is_empty()).then_some(violations)
    });
    found.map_or(Ok(()), Err)
}

/// A switch can only be given one of its branches.
fn names_branch(switch: &Switch, result: &Payload) -> Result<(), Violation> {
    let value = result.value();
    let given = value.get("case").and_then(Value::as_str);
    let branches = switch.cases.len() as u32 + u32::from(switch.has_default);
    let known: Vec<&str> = (0..branches).map(|branch| switch.branch_name(branch)).collect();
    if given.is_some_and(|given| known.contains(&given)) {
        return Ok(());
    }
    Err(Violation { pointer: "/case".into(), message: format!("must be one of the cases: {}", known.join(", ")) })
}

/// Resolves a held step: `retry` with as many attempts as at first, `skip`, `supply` a result, or let it `fail`.
///
/// # Errors
/// See [`Refusal`]; nothing changed then.
pub fn resolve(
    task: &mut Task,
    step: StepIndex,
    resolution: &Resolution,
    by: &str,
    comment: Option<&str>,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let label = || task.label(step).to_string();
    let failure = match task.steps.get(step.at()).map(|progress| &progress.state) {
        Some(StepState::Held { failure, .. }) => failure.clone(),
        Some(state) => return Err(Refusal::NotHeld { step: label(), state: state.as_str() }),
        None => return Err(Refusal::NotHeld { step: "?".into(), state: "unknown" }),
    };
    if let Resolution::Supply(result) = resolution {
        fits(task, step, result).map_err(|violations| Refusal::ResultViolated { step: label(), violations })?;
        if let StepKind::Switch(switch) = &task.definition(step).kind {
            names_branch(switch, result).map_err(|violation| Refusal::ResultViolated { step: label(), violations: vec![violation] })?;
        }
    }
    let mut turn = Turn::new(task, now);
    let comment = comment.map(|comment| cut(comment.to_owned()));
    turn.emit(Event::StepResolved { step, resolution: resolution.clone(), by: by.to_owned(), comment });
    match resolution {
        Resolution::Retry => turn.begin_kind(step),
        Resolution::Skip => turn.skip(step, SkipReason::Person, "a person skipped it"),
        Resolution::Supply(_) => turn.over(step),
        Resolution::Fail => turn.fail(step, given_up(by, &failure), Exhausted::Compensate),
    }
    Ok(turn.finish())
}

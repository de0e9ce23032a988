//! A person decides what becomes of a step that failed for good.

use super::dispatch::check;
use super::fail::given_up;
use super::{Decision, Turn};
use crate::contract::Violation;
use crate::event::{Event, Resolution};
use crate::failure::cut;
use crate::ids::StepIndex;
use crate::reaction::Exhausted;
use crate::task::{SkipReason, StepState, Task};
use crate::time::Timestamp;

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
        check(result, &[task.definition(step).contract.result.as_ref()])
            .map_err(|violations| Refusal::ResultViolated { step: label(), violations })?;
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

//! What follows from a failure: another attempt, another step, a person, or the end.

use super::{Effect, Turn};
use crate::event::Event;
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptNumber, Digest, StepIndex};
use crate::reaction::{Exhausted, Reaction};
use crate::retry::mix;
use crate::task::{Cause, StepState, Task};
use crate::workflow::Role;
use std::time::Duration;

impl Turn<'_> {
    /// Closes the open attempt as failed; then a retry follows, or what is declared for when none does.
    pub(super) fn fail_attempt(&mut self, step: StepIndex, failure: Failure, reply: Option<Digest>) {
        let Some(open) = self.task.open_attempt(step).cloned() else { return };
        let retry_at = retry_delay(self.task, step, open.attempt, &failure).map(|delay| self.now.after(delay));
        self.emit(Event::AttemptFailed { step, attempt: open.attempt, failure: failure.clone(), reply, retry_at });
        self.then(Effect::AttemptClosed { step, token: open.token, target: open.target });
        match retry_at {
            None => self.give_up(step, failure),
            Some(at) if at <= self.now => self.ready(step),
            Some(_) => self.set_timer(step),
        }
    }

    /// No further attempt is made: does what the manifest declares for this failure.
    pub(super) fn give_up(&mut self, step: StepIndex, failure: Failure) {
        let how = self.task.definition(step).reaction(&failure.code).exhausted();
        // A task that ends does not wait for anybody, nor does it start anything for what it will undo.
        let ends = self.task.ending.is_some() && self.task.definition(step).role == Role::Forward;
        let is_item = self.task.item(step).is_some();
        match how {
            Exhausted::Wait if !ends => {
                self.withdraw_items(step, "the step waits for a person");
                self.emit(Event::StepHeld { step, failure });
            }
            Exhausted::Fallback(to) if !ends && !is_item && matches!(self.task.progress(to).state, StepState::Standby) => {
                self.withdraw_items(step, "another step takes over");
                self.emit(Event::FallbackStarted { step, to, failure });
                self.begin(to);
            }
            Exhausted::Compensate | Exhausted::Fail | Exhausted::Continue | Exhausted::Wait | Exhausted::Fallback(_) => {
                self.fail(step, failure, how);
            }
        }
    }

    /// The step will never have a result.
    pub(super) fn fail(&mut self, step: StepIndex, failure: Failure, how: Exhausted) {
        self.withdraw_items(step, "the step failed");
        self.emit(Event::StepFailed { step, failure: failure.clone() });
        if self.task.item(step).is_some() {
            return self.over(step);
        }
        match self.task.workflow.step(step).role {
            Role::Forward if self.task.ending.is_some() => {}
            Role::Forward => match how {
                Exhausted::Continue => self.over(step),
                Exhausted::Fail => self.begin_ending(Cause::Failed { step: Some(step), failure }, false),
                Exhausted::Compensate | Exhausted::Wait | Exhausted::Fallback(_) => {
                    self.begin_ending(Cause::Failed { step: Some(step), failure }, true);
                }
            },
            // The task ends whatever becomes of these.
            Role::Compensation { .. } | Role::OnFailure => {}
            Role::Fallback { of } => self.fail_in_place(of, how),
        }
    }

    /// The step that ran in the place of `step` failed too: both have.
    fn fail_in_place(&mut self, step: StepIndex, how: Exhausted) {
        if let StepState::FallingBack { failure, .. } = self.task.progress(step).state.clone() {
            self.fail(step, failure, how);
        }
    }

    /// The step that ran in the place of `step` is over.
    pub(super) fn fallback_over(&mut self, step: StepIndex, fallback: StepIndex) {
        let StepState::FallingBack { to, .. } = self.task.progress(step).state else { return };
        if to != fallback {
            return;
        }
        if self.task.step_result(fallback).is_some() {
            self.emit(Event::FallbackTaken { step });
            self.over(step);
        } else {
            self.fail_in_place(step, Exhausted::Compensate);
        }
    }
}

/// How long to wait before the next attempt; none if there is none.
fn retry_delay(task: &Task, step: StepIndex, attempt: AttemptNumber, failure: &Failure) -> Option<Duration> {
    let definition = task.definition(step);
    if task.ending.is_some() && definition.role == Role::Forward {
        return None;
    }
    // Whatever a manifest says: a further attempt would cost a further worker.
    if failure.code == code::worker_poisoned() {
        return None;
    }
    let seed = mix((task.id.as_number() as u64) ^ (u64::from(step.0) << 48));
    let counted = AttemptNumber(attempt.0.saturating_sub(task.progress(step).forgiven));
    match definition.reaction(&failure.code) {
        Reaction::Retry { policy, .. } => policy.as_deref().unwrap_or(&definition.retry).delay_whatever(counted, failure, seed),
        Reaction::Give(_) if definition.on_error.names(&failure.code) => None,
        Reaction::Give(_) => definition.retry.delay_after(counted, failure, seed),
    }
}

/// A time limit that ran out.
pub(super) fn timed_out(code: crate::ids::ErrorCode, message: String) -> Failure {
    Failure::new(FailureKind::TimedOut, code, message)
}

/// The failure of a step that a person let fail.
pub(super) fn given_up(by: &str, before: &Failure) -> Failure {
    let message = format!("{by} let the step fail; before that: {}", before.message);
    Failure::new(FailureKind::Permanent, code::step_given_up(), message)
}

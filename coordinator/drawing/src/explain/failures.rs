//! What follows when a step takes too long or fails.

use tasker_engine::duration::format;
use tasker_engine::reaction::{Exhausted, Reaction};
use tasker_engine::retry::{Backoff, RetryPolicy};
use tasker_engine::workflow::{Role, Step, StepKind, Workflow};

/// The limits of time.
pub(super) fn limits(definition: &Step) -> Vec<String> {
    let mut sentences = Vec::new();
    let timeouts = &definition.timeouts;
    if let Some(waiting) = timeouts.waiting {
        sentences.push(match &definition.kind {
            StepKind::Wait(_) => format!("If nothing comes within {}, it fails with `wait.timeout`.", format(waiting)),
            StepKind::Approval(_) => format!("If nobody decides within {}, it fails with `approval.timeout`.", format(waiting)),
            StepKind::Call(_) | StepKind::Child(_) | StepKind::Sleep(_) | StepKind::Switch(_) => {
                format!("Somebody must take it within {}.", format(waiting))
            }
        });
    }
    if let Some(running) = timeouts.running {
        sentences.push(format!("Each attempt may take {}.", format(running)));
    }
    if let Some(total) = timeouts.total {
        sentences.push(format!("All attempts together may take {}.", format(total)));
    }
    sentences
}

/// What follows from failures, by code.
pub(super) fn sentences(workflow: &Workflow, definition: &Step) -> Vec<String> {
    let mut sentences = Vec::new();
    let is_work = matches!(definition.kind, StepKind::Call(_) | StepKind::Child(_));
    if is_work && definition.retry != RetryPolicy::default() {
        sentences.push(format!("A failed attempt is {}.", tried(&definition.retry)));
        if !definition.retry.non_retryable.is_empty() {
            let codes: Vec<String> = definition.retry.non_retryable.iter().map(|code| format!("`{code}`")).collect();
            sentences.push(format!("After {} no attempt follows.", super::listed(&codes, "or")));
        }
    }
    sentences.extend(arms(workflow, definition));
    if let Some(handler) = definition.compensate {
        sentences.push(format!("If the task fails later, `{}` undoes it.", workflow.step(handler).name));
    }
    sentences
}

/// What follows by code; codes with the same consequence share a sentence.
fn arms(workflow: &Workflow, definition: &Step) -> Vec<String> {
    let mut ways: Vec<(String, Vec<String>)> = Vec::new();
    for (code, reaction) in &definition.on_error.arms {
        let text = reacts(workflow, definition, reaction);
        match ways.iter_mut().find(|(other, _)| *other == text) {
            Some((_, codes)) => codes.push(format!("`{code}`")),
            None => ways.push((text, vec![format!("`{code}`")])),
        }
    }
    let otherwise = &definition.on_error.otherwise;
    let default = reacts(workflow, definition, otherwise);
    let said = definition.role == Role::Forward && can_fail(definition) || *otherwise != Reaction::default();
    if ways.is_empty() {
        return if said { vec![format!("If it fails, {default}.")] } else { Vec::new() };
    }
    let same = ways.iter().position(|(text, _)| *text == default);
    let mut sentences: Vec<String> = Vec::new();
    for (_, (text, codes)) in ways.iter().enumerate().filter(|(place, _)| Some(*place) != same) {
        sentences.push(format!("If it fails with {}, {text}.", super::listed(codes, "or")));
    }
    sentences.push(match (same, sentences.is_empty()) {
        // Every code that is named comes to the same as any other.
        (Some(_), true) => format!("If it fails, {default}."),
        (Some(_), false) | (None, _) => format!("If it fails otherwise, {default}."),
    });
    sentences
}

/// Sleeping and choosing succeed unless an expression has no value.
fn can_fail(definition: &Step) -> bool {
    match definition.kind {
        StepKind::Call(_) | StepKind::Child(_) => true,
        StepKind::Wait(_) | StepKind::Approval(_) => definition.timeouts.waiting.is_some(),
        StepKind::Sleep(_) | StepKind::Switch(_) => false,
    }
}

fn reacts(workflow: &Workflow, definition: &Step, reaction: &Reaction) -> String {
    let then = exhausted(workflow, definition, reaction.exhausted());
    match reaction {
        Reaction::Give(_) => then,
        Reaction::Retry { policy: None, .. } => format!("it is tried again, whatever the worker says; when that is not enough, {then}"),
        Reaction::Retry { policy: Some(policy), .. } => format!("it is {}; when that is not enough, {then}", tried(policy)),
    }
}

fn exhausted(workflow: &Workflow, definition: &Step, exhausted: Exhausted) -> String {
    let handler = matches!(definition.role, Role::Compensation { .. } | Role::OnFailure);
    match exhausted {
        Exhausted::Compensate | Exhausted::Fail if handler => "the task ends all the same".to_owned(),
        Exhausted::Compensate if workflow.compensates() => "what was done is undone and the task fails".to_owned(),
        Exhausted::Compensate => "the task fails".to_owned(),
        Exhausted::Fail if workflow.compensates() => "the task fails, and nothing is undone".to_owned(),
        Exhausted::Fail => "the task fails".to_owned(),
        Exhausted::Continue => "the task goes on without it".to_owned(),
        Exhausted::Wait => "it waits for a person, who tries again, skips it, supplies a result or gives it up".to_owned(),
        Exhausted::Fallback(step) => format!("`{}` takes its place", workflow.step(step).name),
    }
}

fn tried(policy: &RetryPolicy) -> String {
    if policy.attempts_max <= 1 {
        return "not tried again".to_owned();
    }
    let base = format(policy.base);
    let pause = match policy.backoff {
        Backoff::Fixed => format!("{base} apart"),
        Backoff::Linear | Backoff::Exponential | Backoff::Fibonacci => {
            format!("after {base} at first and at most {} later", format(policy.cap))
        }
    };
    format!("tried again, {pause}, up to {} attempts in all", policy.attempts_max)
}

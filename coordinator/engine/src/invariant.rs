//! The promises that one task's state and history can show, written once: property tests, simulation and `tasker debug check` all ask
//! here.

mod history;

pub use history::check_history;

use crate::decide::{Verdict, readiness};
use crate::ids::{StepIndex, TaskId};
use crate::task::{StepState, Task};
use crate::workflow::Role;

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in the list of promises: `P7`.
    pub promise: &'static str,
    /// Whose state or history shows it.
    pub task: TaskId,
    /// What was seen.
    pub seen: String,
}

/// Checks what a state alone can show.
pub fn check_state(task: &Task) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |promise, seen: String| found.push(Violation { promise, task: task.id, seen });
    for (promise, seen) in check_counters(task) {
        report(promise, seen);
    }
    for step in task.indexes() {
        for (promise, seen) in check_step(task, step) {
            report(promise, format!("step `{}` {seen}", task.label(step)));
        }
    }
    found
}

type Seen = Vec<(&'static str, String)>;

fn check_counters(task: &Task) -> Seen {
    let mut seen = Seen::new();
    let open = task.workflow.indexes().filter(|step| !task.progress(*step).state.is_terminal()).count();
    if open != task.open_steps as usize {
        seen.push(("P19", format!("{open} steps are open, the counter says {}", task.open_steps)));
    }
    let working = task.indexes().filter(|step| task.definition(*step).is_work() && task.progress(*step).state.holds_place()).count();
    if working != task.working as usize {
        seen.push(("P19", format!("{working} steps are at work, the counter says {}", task.working)));
    }
    let forward = task.indexes().filter(|step| {
        let definition = task.definition(*step);
        definition.role == Role::Forward && definition.is_work() && task.progress(*step).state.holds_place()
    });
    if let Some(max) = task.workflow.max_parallel
        && forward.count() > max as usize
    {
        seen.push(("P22", format!("more than {max} steps are at work")));
    }
    let begun = |step: &StepIndex| {
        let state = &task.progress(*step).state;
        !state.is_terminal() && !matches!(state, StepState::Pending | StepState::Standby)
    };
    if task.queued && (task.submission.concurrency.is_none() || task.indexes().any(|step| begun(&step))) {
        seen.push(("P12", "waits for its turn, but has no concurrency key or has begun".into()));
    }
    if task.status.is_terminal() && open > 0 {
        seen.push(("P9", format!("the task is {} with {open} open steps", task.status.as_str())));
    }
    if !task.status.is_terminal() && open == 0 {
        seen.push(("P12", "every step is over, but the task is not".into()));
    }
    seen
}

fn check_step(task: &Task, step: StepIndex) -> Seen {
    let mut seen = Seen::new();
    let progress = task.progress(step);
    if let StepState::Running(open) = &progress.state
        && open.attempt != task.next_attempt(step)
    {
        seen.push(("P7", format!("runs attempt {} out of turn", open.attempt)));
    }
    match task.item(step) {
        Some(item) => seen.extend(check_item(task, item.of, item.number, &progress.state)),
        None => seen.extend(check_node(task, step)),
    }
    seen
}

/// Every item that is not over is at work, waits for a place, or belongs to a step that is over.
fn check_item(task: &Task, of: StepIndex, number: u32, state: &StepState) -> Seen {
    let mut seen = Seen::new();
    let Some(fan) = &task.progress(of).fan else { return vec![("P19", "is an item of a step that has none".into())] };
    let parent = &task.progress(of).state;
    match state {
        StepState::Pending if number < fan.next => seen.push(("P12", "was started and waits for nothing".into())),
        StepState::Pending if matches!(parent, StepState::FannedOut) => {
            let most = task.workflow.step(of).for_each.as_ref().and_then(|for_each| for_each.max_parallel);
            let full = most.is_some_and(|most| fan.working >= most) || !task.has_place();
            let ending = task.ending.is_some() && task.workflow.step(of).role == Role::Forward;
            if !full && !ending {
                seen.push(("P12", "could start, but does not".into()));
            }
        }
        state if !state.is_terminal() && !matches!(state, StepState::Pending) && parent.is_terminal() => {
            seen.push(("P12", format!("is {} although its step is over", state.as_str())));
        }
        _ => {}
    }
    seen
}

fn check_node(task: &Task, step: StepIndex) -> Seen {
    let mut seen = Seen::new();
    let (definition, progress) = (task.workflow.step(step), task.progress(step));
    let over = |step: &StepIndex| task.progress(*step).state.is_terminal();
    let open = definition.depends_on.iter().filter(|step| !over(step)).count();
    let met = definition.depends_on.iter().filter(|step| task.step_result(**step).is_some()).count();
    if open != progress.open_dependencies as usize || met != progress.met_dependencies as usize {
        let counted = (progress.open_dependencies, progress.met_dependencies);
        seen.push(("P4", format!("counts {counted:?} open and met dependencies, there are {:?}", (open, met))));
    }
    if let Some(fan) = &progress.fan {
        let items = fan.indexes().filter(|item| task.progress(*item).state.is_terminal()).count();
        if items != fan.over as usize {
            seen.push(("P19", format!("counts {} items that are over, {items} are", fan.over)));
        }
        let at_work = |item: &StepIndex| {
            let state = &task.progress(*item).state;
            !state.is_terminal() && !matches!(state, StepState::Pending)
        };
        let working = fan.indexes().filter(at_work).count();
        if working != fan.working as usize {
            seen.push(("P19", format!("counts {} items at work, {working} are", fan.working)));
        }
    }
    let forward = definition.role == Role::Forward;
    let goes_forward = task.ending.is_none() && !task.status.is_terminal();
    match &progress.state {
        StepState::Pending if task.queued && goes_forward => {}
        StepState::Pending if forward && goes_forward && readiness(task, step) != Verdict::Wait => {
            seen.push(("P12", "waits for nothing".into()));
        }
        StepState::Pending if !forward => seen.push(("P12", "is a handler that was called for and waits for nothing".into())),
        StepState::Standby if forward => seen.push(("P12", "is on standby, but nobody will call for it".into())),
        StepState::Parked if task.has_place() && goes_forward => seen.push(("P12", "waits for a place although one is free".into())),
        StepState::FannedOut if progress.fan.as_ref().is_none_or(|fan| fan.working == 0) && task.has_place() => {
            seen.push(("P12", "has items, but none is open".into()));
        }
        StepState::FallingBack { to, .. } if task.progress(*to).state.is_terminal() => {
            seen.push(("P12", "waits for the step in its place, which is over".into()));
        }
        StepState::Ready { .. } | StepState::Running(_) | StepState::BackingOff { .. } | StepState::Waiting(_)
            if forward && !may_have_begun(task, step) =>
        {
            seen.push(("P4", format!("is {} before its dependencies", progress.state.as_str())));
        }
        _ => {}
    }
    seen
}

/// Whether a step that is at work was allowed to begin: what its dependencies say cannot become worse afterwards, except that
/// they are withdrawn when the task ends.
fn may_have_begun(task: &Task, step: StepIndex) -> bool {
    task.ending.is_some() || readiness(task, step) == Verdict::Go
}

//! A second opinion on what may run: no counters, no queue, only the definition and how each step ended.

use std::collections::BTreeSet;
use tasker_engine::task::{SkipReason, StepState, Task};
use tasker_engine::workflow::{Join, Role, StepKind};
use tasker_engine::{StepIndex, TaskStatus};

#[derive(Debug, PartialEq)]
enum Opinion {
    NotYet,
    Goes,
    Never,
}

fn is_over(task: &Task, step: StepIndex) -> bool {
    matches!(
        task.steps[step.at()].state,
        StepState::Succeeded { .. } | StepState::Failed { .. } | StepState::Skipped { .. } | StepState::Cancelled { .. }
    )
}

fn has_succeeded(task: &Task, step: StepIndex) -> bool {
    matches!(task.steps[step.at()].state, StepState::Succeeded { .. })
}

fn case_taken(task: &Task, switch: StepIndex) -> Option<String> {
    let StepState::Succeeded { result, .. } = &task.steps[switch.at()].state else { return None };
    Some(result.value()["case"].as_str().expect("a switch names its case").to_owned())
}

fn opinion(task: &Task, step: StepIndex) -> Opinion {
    let definition = &task.workflow.steps[step.at()];
    for branch in &definition.branches {
        if !is_over(task, branch.switch) {
            continue;
        }
        let StepKind::Switch(switch) = &task.workflow.steps[branch.switch.at()].kind else { panic!("not a switch") };
        let allowed: Vec<&str> = definition
            .branches
            .iter()
            .filter(|other| other.switch == branch.switch)
            .map(|other| switch.cases.get(other.case as usize).map_or("default", |case| &case.name))
            .collect();
        if !case_taken(task, branch.switch).is_some_and(|taken| allowed.contains(&taken.as_str())) {
            return Opinion::Never;
        }
    }
    let own = |step: &StepIndex| definition.branches.iter().any(|branch| branch.switch == *step);
    let dependencies: Vec<StepIndex> = definition.depends_on.iter().copied().filter(|step| !own(step)).collect();
    let open = dependencies.iter().filter(|step| !is_over(task, **step)).count();
    let good = dependencies.iter().filter(|step| has_succeeded(task, **step)).count();
    let bad = dependencies.len() - open - good;
    let switches_known = definition.branches.iter().all(|branch| is_over(task, branch.switch));
    if !switches_known {
        return match definition.join {
            Join::All if bad > 0 => Opinion::Never,
            Join::AtLeast { count, .. } if good + open < count as usize => Opinion::Never,
            _ => Opinion::NotYet,
        };
    }
    match definition.join {
        Join::All if bad > 0 => Opinion::Never,
        Join::All if open > 0 => Opinion::NotYet,
        Join::All => Opinion::Goes,
        Join::Done if open > 0 => Opinion::NotYet,
        Join::Done => Opinion::Goes,
        Join::Any if open > 0 => Opinion::NotYet,
        Join::Any if good > 0 || dependencies.is_empty() => Opinion::Goes,
        Join::Any => Opinion::Never,
        Join::AtLeast { count, .. } if good >= count as usize => Opinion::Goes,
        Join::AtLeast { count, .. } if good + open < count as usize => Opinion::Never,
        Join::AtLeast { .. } => Opinion::NotYet,
    }
}

/// Compares the engine's state with the opinion, for a task that goes forward. About steps that were kept from an earlier task it has none.
pub fn agrees(task: &Task, kept: &BTreeSet<StepIndex>) {
    if task.ending.is_some() || task.status != TaskStatus::Running {
        return;
    }
    for (place, definition) in task.workflow.steps.iter().enumerate() {
        let step = StepIndex(place as u32);
        if definition.role != Role::Forward || kept.contains(&step) {
            continue;
        }
        let thought = opinion(task, step);
        let state = &task.steps[place].state;
        let expected = match state {
            // Nothing of a task that waits for its turn begins, whatever its dependencies say.
            StepState::Pending if task.queued => continue,
            StepState::Pending => Opinion::NotYet,
            // These say nothing about the dependencies.
            StepState::Skipped { reason: SkipReason::NotNeeded | SkipReason::Person, .. } => continue,
            StepState::Skipped { reason: SkipReason::Join | SkipReason::Branch, .. } => Opinion::Never,
            _ => Opinion::Goes,
        };
        assert_eq!(thought, expected, "step `{}` is {}", definition.name, state.as_str());
    }
}

//! What a whole history shows, event by event, judged without the engine's own counters.

use super::{Violation, check_state};
use crate::event::{Entry, Event};
use crate::ids::{StepIndex, TaskId};
use crate::task::{Task, TaskStatus};
use crate::workflow::{Join, Role, StepKind, Switch, Workflow};
use std::sync::Arc;

/// Checks a whole history, event by event, and that folding it gives a sound state.
pub fn check_history(task: TaskId, workflow: &Arc<Workflow>, entries: &[Entry]) -> Vec<Violation> {
    let folded = match Task::fold(workflow.clone(), entries) {
        Ok(folded) => folded,
        Err(broken) => return vec![Violation { promise: "P19", task, seen: broken.to_string() }],
    };
    let mut walk = Walk::new(task, workflow);
    for entry in entries {
        entry.events.iter().for_each(|event| walk.take(event));
    }
    walk.found.extend(check_state(&folded));
    walk.found
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeded,
    Otherwise,
}

struct Walk<'w> {
    task: TaskId,
    workflow: &'w Workflow,
    /// By step, then by item.
    ends: Vec<Option<End>>,
    branches: Vec<Option<u32>>,
    open: Vec<Option<u32>>,
    last_attempt: Vec<u32>,
    /// Which step an item belongs to.
    owners: Vec<StepIndex>,
    ending: bool,
    cancelled: bool,
    ended: Option<TaskStatus>,
    found: Vec<Violation>,
}

impl<'w> Walk<'w> {
    fn new(task: TaskId, workflow: &'w Workflow) -> Self {
        let steps = workflow.steps.len();
        Self {
            task,
            workflow,
            ends: vec![None; steps],
            branches: vec![None; steps],
            open: vec![None; steps],
            last_attempt: vec![0; steps],
            owners: workflow.indexes().collect(),
            ending: false,
            cancelled: false,
            ended: None,
            found: Vec::new(),
        }
    }

    fn report(&mut self, promise: &'static str, seen: String) {
        self.found.push(Violation { promise, task: self.task, seen });
    }

    fn name(&self, step: StepIndex) -> String {
        self.workflow.step(self.owners[step.at()]).name.to_string()
    }

    fn take(&mut self, event: &Event) {
        if let Some(status) = self.ended
            && !matches!(event, Event::ReplyConflicted { .. })
        {
            self.report("P9", format!("`{}` after the task was {}", event.name(), status.as_str()));
        }
        match event {
            Event::TaskAccepted(_)
            | Event::DeadlineSet { .. }
            | Event::ReplyConflicted { .. }
            | Event::ApprovalReminded { .. }
            | Event::ApprovalEscalated { .. }
            | Event::ApprovalCommented { .. }
            | Event::SignalReceived { .. }
            | Event::StepParked { .. }
            | Event::TaskAdmitted
            | Event::TaskPaused { .. }
            | Event::TaskResumed => {}
            Event::FallbackStarted { step, .. } | Event::StepHeld { step, .. } => self.open[step.at()] = None,
            Event::StepKept { step, result } => {
                self.end(*step, End::Succeeded);
                if let StepKind::Switch(switch) = &self.workflow.step(*step).kind {
                    self.branches[step.at()] = kept_branch(switch, &result.value());
                }
            }
            Event::StepReady { step } | Event::WaitStarted { step, .. } => self.starts(*step),
            Event::BranchTaken { step, branch } => {
                self.starts(*step);
                self.branches[step.at()] = Some(*branch);
                self.end(*step, End::Succeeded);
            }
            Event::StepFannedOut { step, items } => {
                self.starts(*step);
                let all = self.owners.len() + items.len();
                self.owners.resize(all, *step);
                self.ends.resize(all, None);
                self.open.resize(all, None);
                self.last_attempt.resize(all, 0);
            }
            Event::AttemptStarted { step, attempt, .. } => {
                self.starts(*step);
                if let Some(open) = self.open[step.at()] {
                    self.report("P7", format!("attempt {attempt} of `{}` starts while {open} is open", self.name(*step)));
                }
                if attempt.0 != self.last_attempt[step.at()] + 1 {
                    self.report("P7", format!("attempt {attempt} of `{}` is out of turn", self.name(*step)));
                }
                self.open[step.at()] = Some(attempt.0);
                self.last_attempt[step.at()] = attempt.0;
            }
            Event::AttemptFailed { step, attempt, .. } => self.closes(*step, attempt.0),
            Event::StepSucceeded { step, attempt, .. } => {
                self.closes(*step, attempt.0);
                self.end(*step, End::Succeeded);
            }
            Event::StepCollected { step } | Event::WaitSatisfied { step, .. } | Event::FallbackTaken { step } => {
                self.end(*step, End::Succeeded);
            }
            Event::StepResolved { step, resolution, .. } => {
                if matches!(resolution, crate::event::Resolution::Supply(_)) {
                    self.end(*step, End::Succeeded);
                }
            }
            Event::StepFailed { step, .. } | Event::StepCancelled { step } | Event::StepSkipped { step, .. } => {
                self.open[step.at()] = None;
                self.end(*step, End::Otherwise);
            }
            Event::CancelRequested { .. } => self.cancelled = true,
            Event::TaskEnding { .. } => self.ending = true,
            Event::TaskSucceeded { .. } => self.ended = Some(TaskStatus::Succeeded),
            Event::TaskFailed { .. } => self.ended = Some(TaskStatus::Failed),
            Event::TaskCancelled { .. } => self.ended = Some(TaskStatus::Cancelled),
        }
    }

    /// Something of the step begins: its dependencies must allow it, and the task must not be ending (P4, P10).
    fn starts(&mut self, step: StepIndex) {
        let node = self.owners[step.at()];
        let workflow = self.workflow;
        let definition = workflow.step(node);
        if definition.role != Role::Forward {
            return;
        }
        if self.ending || self.cancelled {
            let promise = if self.cancelled { "P10" } else { "P9" };
            self.report(promise, format!("step `{}` starts although the task is ending", definition.name));
        }
        // The switches of its own branches are judged as such, below.
        let counted = |step: &&StepIndex| definition.branches.iter().all(|branch| branch.switch != **step);
        let dependencies = || definition.depends_on.iter().filter(counted);
        let over = dependencies().filter(|step| self.ends[step.at()].is_some()).count();
        let met = dependencies().filter(|step| self.ends[step.at()] == Some(End::Succeeded)).count();
        let all = dependencies().count();
        let joined = match definition.join {
            Join::All => met == all,
            Join::Any => over == all && (met > 0 || all == 0),
            Join::Done => over == all,
            Join::AtLeast { count, .. } => met >= count as usize,
        };
        let branched = definition.branches.iter().all(|branch| {
            let taken = self.branches[branch.switch.at()];
            definition.branches.iter().any(|other| other.switch == branch.switch && taken == Some(other.case))
        });
        if !joined || !branched {
            self.report("P4", format!("step `{}` starts before its dependencies allow it", definition.name));
        }
    }

    fn end(&mut self, step: StepIndex, end: End) {
        if self.ends[step.at()] == Some(End::Succeeded) {
            self.report("P6", format!("step `{}` ends after it had its result", self.name(step)));
        }
        self.ends[step.at()] = Some(end);
    }

    fn closes(&mut self, step: StepIndex, attempt: u32) {
        if self.open[step.at()].take() != Some(attempt) {
            self.report("P6", format!("attempt {attempt} of `{}` is closed but was not open", self.name(step)));
        }
    }
}

fn kept_branch(switch: &Switch, result: &serde_json::Value) -> Option<u32> {
    let name = result.get("case")?.as_str()?;
    (0..=switch.cases.len() as u32).find(|branch| switch.branch_name(*branch) == name)
}

//! Counting what happens.

use super::Shard;
use crate::operations::Figures;
use std::collections::BTreeMap;
use tasker_engine::event::{Event, Target};
use tasker_engine::task::{StepState, TaskStatus};
use tasker_engine::{StepIndex, Task};

/// Counts since the start.
#[derive(Default)]
pub(super) struct Counters {
    pub tasks_accepted: u64,
    pub tasks_finished: BTreeMap<&'static str, u64>,
    attempts_started: u64,
    attempts_finished: BTreeMap<&'static str, u64>,
    replies: BTreeMap<&'static str, u64>,
    pub commits: u64,
    pub rows_committed: u64,
    pub commit_seconds: f64,
    pub reannounced: u64,
    pub children_started: u64,
    compensations_started: u64,
}

impl Counters {
    pub fn count(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::AttemptStarted { .. } => self.attempts_started += 1,
                Event::StepSucceeded { .. } => *self.attempts_finished.entry("succeeded").or_default() += 1,
                Event::AttemptFailed { failure, .. } => {
                    *self.attempts_finished.entry(failure.kind.as_str()).or_default() += 1;
                }
                Event::TaskEnding { compensate: true, .. } => self.compensations_started += 1,
                _ => {}
            }
        }
    }

    pub fn reply(&mut self, disposition: &'static str) {
        *self.replies.entry(disposition).or_default() += 1;
    }
}

/// What steps may wait for, as figures name it: all of them are there, also at zero.
const WAITS: [&str; 4] = ["signal", "event", "sleep", "approval"];

/// What all tasks that are not over show together.
#[derive(Default)]
struct Seen {
    uncovered: u64,
    waits: BTreeMap<&'static str, u64>,
    held: u64,
    paused: u64,
    children: u64,
}

impl Shard {
    pub(super) fn figures(&self) -> Figures {
        let counters = &self.counters;
        let seen = self.look_around();
        Figures {
            tasks_accepted: counters.tasks_accepted,
            tasks_finished: counters.tasks_finished.clone(),
            attempts_started: counters.attempts_started,
            attempts_finished: counters.attempts_finished.clone(),
            replies: counters.replies.clone(),
            tasks_active: self.residents.active() as u64,
            steps_waiting: self.scheduler.waiting() as u64,
            attempts_open: self.attempts.len() as u64,
            workers: self.registry.sessions().count() as u64,
            commits: counters.commits,
            rows_committed: counters.rows_committed,
            commit_seconds: counters.commit_seconds,
            uncovered_steps: seen.uncovered,
            reannounced: counters.reannounced,
            messages_refused: self.bus.refused(),
            breakers: self.breaker_figures(),
            waits: seen.waits,
            held_steps: seen.held,
            tasks_paused: seen.paused,
            workflows_paused: self.pauses.len() as u64,
            children_open: seen.children,
            children_waiting: self.nursery.len() as u64,
            children_started: counters.children_started,
            compensations_started: counters.compensations_started,
            events_kept: self.kept.len() as u64,
        }
    }

    /// Looks at every step of every task that is not over.
    fn look_around(&self) -> Seen {
        let mut seen = Seen { waits: WAITS.map(|what| (what, 0)).into(), ..Seen::default() };
        for resident in self.residents.iter().filter(|resident| resident.task.status == TaskStatus::Running) {
            let task = &resident.task;
            seen.paused += u64::from(task.paused.is_some());
            seen.children += u64::from(task.submission.parent.is_some_and(|parent| !parent.detached));
            for step in task.indexes() {
                match &task.progress(step).state {
                    StepState::Waiting(waiting) => *seen.waits.entry(waiting.wait.as_str()).or_default() += 1,
                    StepState::Held { .. } => seen.held += 1,
                    _ => seen.uncovered += u64::from(self.is_uncovered(task, step)),
                }
            }
        }
        seen
    }

    /// Whether a step is not over and waits for nothing that can ever wake it (P12): never.
    fn is_uncovered(&self, task: &Task, step: StepIndex) -> bool {
        match &task.progress(step).state {
            // An item waits for its turn among the others.
            StepState::Pending => task.item(step).is_none() && task.progress(step).open_dependencies == 0,
            StepState::Running(open) => match open.target {
                Target::Child(child) => self.residents.get(child).is_none_or(|child| child.task.status.is_terminal()),
                Target::Session(_) | Target::Responders | Target::Http => self.attempts.get(&open.token.0).is_none(),
            },
            StepState::Parked => task.parked.is_empty(),
            StepState::FannedOut => task.progress(step).fan.as_ref().is_none_or(|fan| fan.over == fan.count),
            StepState::FallingBack { to, .. } => task.progress(*to).state.is_terminal(),
            StepState::Ready { .. } | StepState::BackingOff { .. } | StepState::Waiting(_) | StepState::Held { .. } => false,
            StepState::Standby
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => false,
        }
    }
}

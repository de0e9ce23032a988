//! What all tasks that are not over show together, kept up to date as they change: nobody looks at every step of every task to know it.
//!
//! A task's share is counted anew whenever its row is swept, and once more in a round that goes on all the time, because whether a step is
//! covered (P12) depends on more than its task. The share of a task that left the memory stays as it was, because so does the task.

use super::Shard;
use std::collections::BTreeMap;
use tasker_engine::event::Target;
use tasker_engine::task::{StepState, TaskStatus, Wait};
use tasker_engine::{StepIndex, Task, TaskId};

/// What steps may wait for, as figures name it: all of them are there, also at zero.
const WAITS: [&str; 4] = ["signal", "event", "sleep", "approval"];

/// Tasks counted anew per tick.
const ROUND: usize = 256;
/// Changed tasks counted anew before figures are shown; with more of them figures are as old as the last sweep.
const FRESHENED: usize = 1_000;

/// What one task adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    waits: [u32; WAITS.len()],
    held: u32,
    /// Steps that wait for nothing that can ever wake them (P12): none.
    pub uncovered: u32,
    paused: bool,
    child: bool,
}

/// What all of them add up to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    waits: [u64; WAITS.len()],
    pub held: u64,
    pub uncovered: u64,
    pub paused: u64,
    pub children: u64,
    /// The tasks that are left of the round.
    round: Vec<TaskId>,
}

impl Tally {
    fn replace(&mut self, old: Share, new: Share) {
        let change = |total: &mut u64, old: u32, new: u32| *total = (*total + u64::from(new)).saturating_sub(u64::from(old));
        for (total, (old, new)) in self.waits.iter_mut().zip(old.waits.into_iter().zip(new.waits)) {
            change(total, old, new);
        }
        change(&mut self.held, old.held, new.held);
        change(&mut self.uncovered, old.uncovered, new.uncovered);
        change(&mut self.paused, old.paused.into(), new.paused.into());
        change(&mut self.children, old.child.into(), new.child.into());
    }

    /// Steps that wait, by what they wait for.
    pub fn waits(&self) -> BTreeMap<&'static str, u64> {
        WAITS.into_iter().zip(self.waits).collect()
    }
}

impl Shard {
    /// Counts a task in memory anew.
    pub(super) fn tally_up(&mut self, id: TaskId) {
        let Some(resident) = self.residents.get(id) else { return };
        let (old, new) = (resident.share, self.share_of(&resident.task));
        if old != new {
            self.tally.replace(old, new);
            if let Some(resident) = self.residents.get_mut(id) {
                resident.share = new;
            }
        }
    }

    /// Goes on with the round.
    pub(super) fn tally_round(&mut self) {
        if self.tally.round.is_empty() {
            self.tally.round = self.residents.iter().map(|resident| resident.task.id).collect();
        }
        let from = self.tally.round.len().saturating_sub(ROUND);
        for id in self.tally.round.split_off(from) {
            self.tally_up(id);
        }
    }

    /// Counts what has changed and was not swept yet.
    pub(super) fn freshen_tally(&mut self) {
        for id in self.projection.changed(FRESHENED) {
            self.tally_up(id);
        }
    }

    pub(super) fn share_of(&self, task: &Task) -> Share {
        let mut share = Share::default();
        if task.status != TaskStatus::Running {
            return share;
        }
        share.paused = task.paused.is_some();
        share.child = task.submission.parent.is_some_and(|parent| !parent.detached);
        for step in task.indexes() {
            match &task.progress(step).state {
                StepState::Waiting(waiting) => share.waits[place_of(&waiting.wait)] += 1,
                StepState::Held { .. } => share.held += 1,
                _ => share.uncovered += u32::from(self.is_uncovered(task, step)),
            }
        }
        share
    }

    /// Whether a step is not over and waits for nothing that can ever wake it (P12): never.
    fn is_uncovered(&self, task: &Task, step: StepIndex) -> bool {
        match &task.progress(step).state {
            // A task that waits for its turn stands in its line.
            StepState::Pending if task.queued => !self.turnstile.is_in_line(task),
            // An item waits for its turn among the others.
            StepState::Pending => task.item(step).is_none() && task.progress(step).open_dependencies == 0,
            StepState::Running(open) => match open.target {
                Target::Child(child) => !self.is_active(child),
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

/// The place in [`WAITS`].
fn place_of(wait: &Wait) -> usize {
    match wait {
        Wait::Signal { .. } => 0,
        Wait::Event { .. } => 1,
        Wait::Sleep => 2,
        Wait::Approval { .. } => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_adds_goes_with_it() {
        let mut tally = Tally::default();
        let waits = Share { waits: [1, 2, 0, 0], held: 1, uncovered: 0, paused: true, child: false };
        let over = Share::default();
        tally.replace(over, waits);
        tally.replace(over, Share { child: true, ..over });
        assert_eq!(tally.waits(), BTreeMap::from([("signal", 1), ("event", 2), ("sleep", 0), ("approval", 0)]));
        assert_eq!((tally.held, tally.paused, tally.children), (1, 1, 1));
        tally.replace(waits, over);
        assert_eq!(tally.waits().values().sum::<u64>(), 0);
        assert_eq!((tally.held, tally.paused, tally.children), (0, 0, 1));
    }

    #[test]
    fn every_wait_has_its_word() {
        let waits = [
            Wait::Signal { name: String::new() },
            Wait::Event { name: String::new(), key: String::new() },
            Wait::Sleep,
            Wait::Approval { title: String::new(), description: None, assignees: Vec::new() },
        ];
        for wait in waits {
            assert_eq!(WAITS[place_of(&wait)], wait.as_str());
        }
    }
}

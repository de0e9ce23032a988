//! Tasks leave the memory once nothing can happen to them until something comes from outside or a timer is due: then they take a few dozen bytes
//! instead of thousands ([`super::absent`]), and the first thing that concerns them brings them back ([`super::loading`]).
//!
//! A task may leave when its latest row is durable and projected, because from then on the store knows all of it. A parent leaves after the
//! last of its children that are in memory, so that whoever ends always finds whom to tell.

use super::Shard;
use super::absent::next_timer;
use std::time::Duration;
use tasker_engine::event::Target;
use tasker_engine::flow::{OnLimit, TaskConcurrency};
use tasker_engine::task::StepState;
use tasker_engine::{Task, TaskId, TaskStatus};

/// Tasks looked at per turn.
const LOOKED_AT: usize = 256;
/// A task whose timer is due sooner stays.
const NAP_MIN: Duration = Duration::from_millis(500);

/// Whether nothing happens to a task by itself, apart from timers: all that it has are waits, sleeps, back-offs, held steps, children, and what
/// comes after them.
pub(super) fn is_still(task: &Task) -> bool {
    let is_still = |state: &StepState| match state {
        StepState::Ready { .. } => task.paused.is_some(),
        StepState::Running(open) => matches!(open.target, Target::Child(_)),
        StepState::Pending
        | StepState::Standby
        | StepState::Parked
        | StepState::BackingOff { .. }
        | StepState::Waiting(_)
        | StepState::FannedOut
        | StepState::FallingBack { .. }
        | StepState::Held { .. }
        | StepState::Succeeded { .. }
        | StepState::Failed { .. }
        | StepState::Skipped { .. }
        | StepState::Cancelled { .. } => true,
    };
    task.status == TaskStatus::Running && !is_wanted_by_key(task) && task.steps.iter().all(|progress| is_still(&progress.state))
}

/// Whether another task's coming or going may admit or cancel a task at any moment: those stay.
fn is_wanted_by_key(task: &Task) -> bool {
    let cancels = |concurrency: &TaskConcurrency| concurrency.on_limit == OnLimit::CancelInProgress;
    task.queued || task.workflow.flow.concurrency.as_deref().is_some_and(cancels)
}

/// The child tasks that a task waits for.
pub(super) fn open_children(task: &Task) -> impl Iterator<Item = TaskId> {
    task.indexes().filter_map(|step| task.open_attempt(step)).filter_map(|open| match &open.target {
        Target::Child(child) => Some(*child),
        Target::Session(_) | Target::Responders | Target::Http => None,
    })
}

/// What becomes of a task that might leave.
enum Drowsy {
    Leaves,
    /// Not yet, but nothing else will ask again.
    Stays,
    /// It is at work; the sweep that writes its next row asks again.
    Awake,
}

impl Shard {
    /// Looks again, once per tick, at those that stayed.
    pub(super) fn look_at_dozing(&mut self) {
        self.drowsy.extend(std::mem::take(&mut self.dozing));
    }

    /// Lets tasks go that may.
    pub(super) fn put_to_sleep(&mut self) {
        for _ in 0..self.drowsy.len().min(LOOKED_AT) {
            let Some(id) = self.drowsy.pop_front() else { return };
            match self.how_drowsy(id) {
                Drowsy::Leaves => self.fall_asleep(id),
                Drowsy::Stays => self.dozing.push(id),
                Drowsy::Awake => {}
            }
        }
    }

    fn how_drowsy(&self, id: TaskId) -> Drowsy {
        let Some(resident) = self.residents.get(id) else { return Drowsy::Awake };
        if !self.projection.is_clean(id) || !is_still(&resident.task) || resident.share.uncovered > 0 {
            return Drowsy::Awake;
        }
        let soon = self.clock.now().after(NAP_MIN);
        let is_due = next_timer(&resident.task).is_some_and(|(due, _)| due <= soon);
        if is_due || resident.last > self.committed_to || self.loads.needs(id) {
            return Drowsy::Stays;
        }
        let mut children = open_children(&resident.task).peekable();
        // While tasks are read after a start, each parent would otherwise be read again for each of its children.
        if self.is_taking_in() && children.peek().is_some() {
            return Drowsy::Stays;
        }
        // The last of them to leave asks for its parent.
        if children.any(|child| self.loads.needs(child) || self.residents.is_active(child)) { Drowsy::Awake } else { Drowsy::Leaves }
    }

    fn fall_asleep(&mut self, id: TaskId) {
        let Some(resident) = self.residents.remove(id) else { return };
        self.absent.fall_asleep(&resident.task, resident.last);
        self.waits.fall_asleep(&resident.task);
        // It is there already, if the engine set it.
        if let Some((due, step)) = next_timer(&resident.task) {
            self.timers.set(due, id, step);
        }
        if let Some(parent) = resident.task.submission.parent.filter(|parent| !parent.detached) {
            self.drowsy.push_back(parent.task);
        }
    }

    /// How many tasks are not over, in memory or not.
    pub(super) fn active(&self) -> usize {
        self.residents.active() + self.absent.len()
    }

    /// Whether a task is known not to be over.
    pub(super) fn is_active(&self, id: TaskId) -> bool {
        self.absent.contains(id) || self.residents.is_active(id)
    }

    /// Where a task stands, as far as that is known without reading it.
    pub(super) fn status_of(&self, id: TaskId) -> Option<TaskStatus> {
        self.residents.get(id).map(|known| known.task.status).or_else(|| self.absent.contains(id).then_some(TaskStatus::Running))
    }
}

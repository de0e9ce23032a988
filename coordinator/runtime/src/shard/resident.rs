//! Tasks in memory, and the idempotency keys that the store may not show yet.

use super::catalog::Lanes;
use super::tally::Share;
use crate::operations::{COMMENTS_SHOWN_MAX, Comment};
use crate::port::store::{KeyUse, Sequence};
use crate::settings::{FINISHED_BYTES_KEPT, FINISHED_KEPT, KEY_LOOKUP_VALID};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use tasker_engine::event::{Entry, Event};
use tasker_engine::task::StepState;
use tasker_engine::{Namespace, Payload, StepIndex, Task, TaskId, Timestamp};
use tasker_scheduler::LaneId;

/// Room for so many tasks is kept in any case.
const SHRINK_FROM: usize = 16_384;

/// A task in memory.
pub(super) struct Resident {
    /// Its state, ahead of the store by what has been decided and not yet committed.
    pub task: Task,
    /// The place of its newest journal row.
    pub last: Sequence,
    /// The lane of each step of the workflow; none for those that ask no system.
    pub lanes: Arc<Lanes>,
    /// The latest progress of running steps.
    pub progress: BTreeMap<StepIndex, Payload>,
    /// The latest comments on its approvals, oldest first.
    pub comments: VecDeque<(StepIndex, Comment)>,
    /// What it adds to the figures, as counted last.
    pub share: Share,
}

impl Resident {
    pub fn new(task: Task, last: Sequence, lanes: Arc<Lanes>) -> Self {
        Self { task, last, lanes, progress: BTreeMap::new(), comments: VecDeque::new(), share: Share::default() }
    }

    /// Keeps what the task's state does not.
    pub fn note(&mut self, entry: &Entry) {
        for event in &entry.events {
            if let Event::ApprovalCommented { step, by, comment } = event {
                self.comments.push_back((*step, Comment { by: by.clone(), text: comment.clone(), at: entry.at }));
                if self.comments.len() > COMMENTS_SHOWN_MAX {
                    self.comments.pop_front();
                }
            }
        }
    }

    /// The lane of a step or item; none if it asks no system.
    pub fn lane(&self, step: StepIndex) -> Option<LaneId> {
        self.lanes.of(self.task.node(step))
    }
}

/// Tasks that something may happen to now, and the last ones that are over.
#[derive(Default)]
pub(super) struct Residents {
    tasks: HashMap<TaskId, Resident>,
    /// The last ones, and how much their payloads take.
    finished: VecDeque<(TaskId, usize)>,
    finished_bytes: usize,
    active: usize,
}

impl Residents {
    pub fn get(&self, id: TaskId) -> Option<&Resident> {
        self.tasks.get(&id)
    }

    pub fn get_mut(&mut self, id: TaskId) -> Option<&mut Resident> {
        self.tasks.get_mut(&id)
    }

    /// Whether a task is in memory and not over.
    pub fn is_active(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|known| !known.task.status.is_terminal())
    }

    pub fn active(&self) -> usize {
        self.active
    }

    pub fn iter(&self) -> impl Iterator<Item = &Resident> {
        self.tasks.values()
    }

    pub fn insert(&mut self, resident: Resident) {
        let id = resident.task.id;
        let over = resident.task.status.is_terminal();
        if self.tasks.insert(id, resident).is_none() {
            if over { self.remember(id) } else { self.active += 1 }
        }
    }

    /// Takes a task that is not over out of the memory.
    pub fn remove(&mut self, id: TaskId) -> Option<Resident> {
        let resident = self.tasks.remove(&id)?;
        self.active = self.active.saturating_sub(1);
        self.shrink();
        Some(resident)
    }

    /// Gives back the room of a crowd that has left.
    fn shrink(&mut self) {
        if self.tasks.capacity() > SHRINK_FROM && self.tasks.len() < self.tasks.capacity() / 8 {
            self.tasks.shrink_to(self.tasks.len() * 2);
        }
    }

    fn remember(&mut self, id: TaskId) {
        let bytes = self.tasks.get(&id).map_or(0, |resident| payload_bytes(&resident.task));
        self.finished.push_back((id, bytes));
        self.finished_bytes += bytes;
    }

    /// Takes in a task that has just been accepted. It counts as active although it may be over already, because its end is still to be noted.
    pub fn accept(&mut self, resident: Resident) {
        if self.tasks.insert(resident.task.id, resident).is_none() {
            self.active += 1;
        }
    }

    /// Notes that a task is over: it stays for a while.
    pub fn finish(&mut self, id: TaskId) {
        self.active = self.active.saturating_sub(1);
        self.remember(id);
    }

    /// Lets go of the oldest finished tasks that `may_go`, until few enough are left, with few enough bytes.
    pub fn evict(&mut self, may_go: impl Fn(&Resident) -> bool) {
        while self.finished.len() > FINISHED_KEPT || self.finished_bytes > FINISHED_BYTES_KEPT {
            let Some((oldest, bytes)) = self.finished.front().copied() else { break };
            if !self.tasks.get(&oldest).is_none_or(&may_go) {
                break;
            }
            self.tasks.remove(&oldest);
            self.finished.pop_front();
            self.finished_bytes -= bytes;
        }
        self.shrink();
    }
}

/// What the payloads of a task take.
fn payload_bytes(task: &Task) -> usize {
    let of_steps = task.steps.iter().map(|progress| match &progress.state {
        StepState::Succeeded { result, .. } => result.bytes().len(),
        _ => 0,
    });
    let items = task.items.iter().map(|item| item.value.bytes().len());
    let own = [Some(&task.submission.input), task.result.as_ref()];
    of_steps.chain(items).chain(own.into_iter().flatten().map(|payload| payload.bytes().len())).sum()
}

/// Keys accepted a moment ago: whoever looked into the store before their commit did not see them.
#[derive(Default)]
pub(super) struct Keys {
    recent: HashMap<(Namespace, String), KeyUse>,
    order: VecDeque<(Timestamp, (Namespace, String))>,
}

impl Keys {
    pub fn get(&self, namespace: &Namespace, key: &str) -> Option<&KeyUse> {
        self.recent.get(&(namespace.clone(), key.to_owned()))
    }

    pub fn insert(&mut self, used: KeyUse) {
        let name = (used.namespace.clone(), used.key.clone());
        self.order.push_back((used.used_at, name.clone()));
        self.recent.insert(name, used);
    }

    /// Forgets keys that every look-up which is still believed must have seen.
    pub fn forget_old(&mut self, now: Timestamp) {
        while let Some((used_at, _)) = self.order.front() {
            if now.since(*used_at) < 2 * KEY_LOOKUP_VALID {
                break;
            }
            if let Some((used_at, name)) = self.order.pop_front() {
                // A later use of the same key is not forgotten with the one whose window was over.
                if self.recent.get(&name).is_some_and(|known| known.used_at == used_at) {
                    self.recent.remove(&name);
                }
            }
        }
    }
}

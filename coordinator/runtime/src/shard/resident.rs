//! Tasks in memory, and the idempotency keys that the store may not show yet.

use crate::operations::{COMMENTS_SHOWN_MAX, Comment};
use crate::port::store::{KeyUse, Sequence};
use crate::settings::{FINISHED_KEPT, KEY_LOOKUP_VALID};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use tasker_engine::event::{Entry, Event};
use tasker_engine::{Namespace, Payload, StepIndex, Task, TaskId, Timestamp};
use tasker_scheduler::LaneId;

/// A task in memory.
pub(super) struct Resident {
    /// Its state, ahead of the store by what has been decided and not yet committed.
    pub task: Task,
    /// The place of its newest journal row.
    pub last: Sequence,
    /// The lane of each step of the workflow; none for those that ask no system.
    pub lanes: Arc<Vec<Option<LaneId>>>,
    /// The latest progress of running steps.
    pub progress: BTreeMap<StepIndex, Payload>,
    /// The latest comments on its approvals, oldest first.
    pub comments: VecDeque<(StepIndex, Comment)>,
}

impl Resident {
    pub fn new(task: Task, last: Sequence, lanes: Arc<Vec<Option<LaneId>>>) -> Self {
        Self { task, last, lanes, progress: BTreeMap::new(), comments: VecDeque::new() }
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
        self.lanes.get(self.task.node(step).at()).copied().flatten()
    }
}

/// Every task that is not over, and the last ones that are.
#[derive(Default)]
pub(super) struct Residents {
    tasks: HashMap<TaskId, Resident>,
    finished: VecDeque<TaskId>,
    active: usize,
    /// What waits for tasks that are being read from the store.
    pub loading: HashMap<TaskId, Vec<super::loading::Pending>>,
}

impl Residents {
    pub fn get(&self, id: TaskId) -> Option<&Resident> {
        self.tasks.get(&id)
    }

    pub fn get_mut(&mut self, id: TaskId) -> Option<&mut Resident> {
        self.tasks.get_mut(&id)
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
            if over { self.finished.push_back(id) } else { self.active += 1 }
        }
    }

    /// Notes that a task is over: it stays for a while.
    pub fn finish(&mut self, id: TaskId) {
        self.active = self.active.saturating_sub(1);
        self.finished.push_back(id);
    }

    /// Lets go of the oldest finished tasks that `may_go`.
    pub fn evict(&mut self, may_go: impl Fn(TaskId) -> bool) {
        while self.finished.len() > FINISHED_KEPT {
            match self.finished.front() {
                Some(oldest) if may_go(*oldest) => {
                    self.tasks.remove(oldest);
                    self.finished.pop_front();
                }
                _ => break,
            }
        }
    }
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

//! How many tasks of a workflow are at work at once, by key: `concurrency:` of a workflow.
//!
//! That a task waits is part of its history ([`tasker_engine::task::Concurrency::queued`]), and so is that its turn has come or that it was cancelled; who
//! counts is derived from the tasks that are not over. A task leaves the count in the same commit in which it ends, and the next one is admitted in it, too.

use super::Shard;
use std::collections::{BTreeMap, BTreeSet};
use tasker_engine::decide::{admit, cancel};
use tasker_engine::flow::{OnLimit, Priority, task_concurrency_key};
use tasker_engine::task::Concurrency;
use tasker_engine::{Namespace, Payload, Task, TaskId, Workflow, WorkflowName};

/// The most tasks that are named as being at work.
const NAMED_MAX: usize = 3;

type Key = (Namespace, WorkflowName, String);

/// Tasks of one key.
#[derive(Debug, Default)]
struct Counted {
    working: BTreeSet<TaskId>,
    /// By when their turn is: an earlier acceptance, or a priority that is worth as much.
    queued: BTreeSet<(i64, TaskId)>,
}

/// Every key that counts somebody.
#[derive(Default)]
pub(super) struct Turnstile {
    keys: BTreeMap<Key, Counted>,
    queued: usize,
}

impl Turnstile {
    /// How many tasks wait for their turn.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Takes a task into the count; one that is over, or is not counted, is left out.
    pub fn count(&mut self, task: &Task) {
        let (Some(key), false) = (key_of(task), task.status.is_terminal()) else { return };
        let counted = self.keys.entry(key).or_default();
        if !task.queued {
            counted.working.insert(task.id);
        } else if counted.queued.insert((turn_of(task), task.id)) {
            self.queued += 1;
        }
    }

    /// Takes a task out of the count.
    fn forget(&mut self, task: &Task) {
        let Some(key) = key_of(task) else { return };
        let Some(counted) = self.keys.get_mut(&key) else { return };
        counted.working.remove(&task.id);
        if counted.queued.remove(&(turn_of(task), task.id)) {
            self.queued -= 1;
        }
        if counted.working.is_empty() && counted.queued.is_empty() {
            self.keys.remove(&key);
        }
    }

    /// Whether a task waits in its line.
    pub fn is_in_line(&self, task: &Task) -> bool {
        key_of(task).and_then(|key| self.keys.get(&key)).is_some_and(|counted| counted.queued.contains(&(turn_of(task), task.id)))
    }
}

fn key_of(task: &Task) -> Option<Key> {
    let counted = task.submission.concurrency.as_ref()?;
    Some((task.workflow.namespace.clone(), task.workflow.name.clone(), counted.key.clone()))
}

fn turn_of(task: &Task) -> i64 {
    let lead = i64::from(task.submission.priority.get()) * Priority::LEAD.as_millis() as i64;
    task.accepted_at.as_millis().saturating_sub(lead)
}

/// The first few tasks, for people.
fn named(tasks: &BTreeSet<TaskId>) -> String {
    let shown: Vec<String> = tasks.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    match tasks.len().saturating_sub(NAMED_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Shard {
    /// How a task with this input is counted; none if its workflow does not count.
    pub(super) fn concurrency_of(&self, workflow: &Workflow, input: &Payload) -> Option<Concurrency> {
        let key = task_concurrency_key(workflow, input)?;
        let place = (workflow.namespace.clone(), workflow.name.clone(), key.clone());
        let limit = self.limit_of(workflow);
        let full = self
            .turnstile
            .keys
            .get(&place)
            .is_some_and(|counted| !counted.queued.is_empty() || limit.is_some_and(|limit| counted.working.len() >= limit as usize));
        // After a start it is not known at once who counts: whoever comes meanwhile waits for that.
        Some(Concurrency { key, queued: full || self.is_taking_in() })
    }

    /// The same for a child task. One whose parent holds the same key does not wait for it, because the parent waits for the child.
    pub(super) fn concurrency_of_child(&self, parent: &Task, workflow: &Workflow, input: &Payload) -> Option<Concurrency> {
        let mut concurrency = self.concurrency_of(workflow, input)?;
        let above = parent.submission.concurrency.as_ref();
        let same = parent.workflow.name == workflow.name && above.is_some_and(|above| above.key == concurrency.key);
        concurrency.queued &= !same;
        Some(concurrency)
    }

    /// How many tasks of a workflow may be at work for each key: what its current version says; none if that does not count.
    fn limit_of(&self, workflow: &Workflow) -> Option<u32> {
        let current = self.catalog.current(&workflow.namespace, &workflow.name).map(|entry| &entry.workflow);
        current.map_or(workflow, |current| current).flow.concurrency.as_ref().map(|concurrency| concurrency.limit)
    }

    /// A task was accepted: it is counted, and if it is one too many, what its workflow says becomes of it.
    pub(super) fn counted(&mut self, id: TaskId) {
        let Some(resident) = self.residents.get(id) else { return };
        let task = &resident.task;
        self.turnstile.count(task);
        let (Some(key), true) = (key_of(task), task.queued) else { return };
        let on_limit = task.workflow.flow.concurrency.as_ref().map_or(OnLimit::Queue, |concurrency| concurrency.on_limit);
        let Some(counted) = self.turnstile.keys.get(&key) else { return };
        match on_limit {
            // While it is not known who counts, nobody is cancelled for being one too many.
            _ if self.is_taking_in() => {}
            OnLimit::Queue => {}
            OnLimit::CancelNewest => {
                let working = named(&counted.working);
                self.cancel_for_key(id, format!("concurrency key `{}` is taken by {working}, and the newest is cancelled", key.2));
            }
            OnLimit::CancelInProgress => {
                let queued: Vec<TaskId> = counted.queued.iter().map(|(_, other)| *other).filter(|other| *other != id).collect();
                let still_working = |other: &&TaskId| self.residents.get(**other).is_none_or(|known| known.task.ending.is_none());
                let oldest = counted.working.iter().find(still_working).copied();
                for other in queued.into_iter().chain(oldest) {
                    self.cancel_for_key(other, format!("task {id} came with the same concurrency key `{}`", key.2));
                }
            }
        }
    }

    fn cancel_for_key(&mut self, id: TaskId, reason: String) {
        let now = self.clock.now();
        let Some(resident) = self.residents.get_mut(id) else { return };
        if let Ok(decision) = cancel::cancel(&mut resident.task, &reason, now) {
            self.record(id, decision, None);
        }
    }

    /// A task is over: the next one of its key may begin.
    pub(super) fn uncounted(&mut self, id: TaskId) {
        let Some(resident) = self.residents.get(id) else { return };
        let Some(key) = key_of(&resident.task) else { return };
        self.turnstile.forget(&resident.task);
        self.admit_next(&key);
    }

    /// After a start, or when a limit has changed: whoever may begin begins.
    pub(super) fn admit_all(&mut self, namespace: &Namespace) {
        let keys: Vec<Key> = self
            .turnstile
            .keys
            .iter()
            .filter(|((tenant, ..), counted)| tenant == namespace && !counted.queued.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        keys.iter().for_each(|key| self.admit_next(key));
    }

    fn admit_next(&mut self, key: &Key) {
        // What is not known yet may count, too; the end of the start asks again.
        if self.is_taking_in() {
            return;
        }
        while let Some(counted) = self.turnstile.keys.get(key) {
            let Some((turn, next)) = counted.queued.first().copied() else { return };
            let working = counted.working.len();
            let Some(resident) = self.residents.get(next) else { return };
            if self.limit_of(&resident.task.workflow).is_some_and(|limit| working >= limit as usize) {
                return;
            }
            let now = self.clock.now();
            let Some(resident) = self.residents.get_mut(next) else { return };
            let decision = admit::admit(&mut resident.task, now);
            if let Some(counted) = self.turnstile.keys.get_mut(key) {
                counted.queued.remove(&(turn, next));
                counted.working.insert(next);
                self.turnstile.queued -= 1;
            }
            self.record(next, decision, None);
        }
    }

    /// What a queued task waits for.
    pub(super) fn why_queued(&self, task: &Task) -> Option<super::why::Told> {
        let key = key_of(task).filter(|_| task.queued)?;
        let counted = self.turnstile.keys.get(&key)?;
        let ahead = counted.queued.iter().take_while(|(_, other)| *other != task.id).count();
        let limit = self.limit_of(&task.workflow).map_or("as many as may be".to_owned(), |limit| limit.to_string());
        let named = named(&counted.working);
        let what =
            if key.2.is_empty() { format!("workflow `{}`", key.1) } else { format!("concurrency key `{}` of workflow `{}`", key.2, key.1) };
        let text = format!(
            "waits for its turn: {what}: {} of {limit} running: {named}; priority {}, position {}",
            counted.working.len(),
            task.submission.priority,
            ahead + 1
        );
        Some((text, Some("it begins when one of them ends; `concurrency.limit` of the workflow says how many may run at once".to_owned())))
    }
}

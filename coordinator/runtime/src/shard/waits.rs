//! Who waits for what, so that it is found without looking at every task: listeners for events, tasks with a decision or a held step.
//!
//! All of it follows from the tasks' states: nothing here is stored, and an entry that is out of date does no harm. Tasks that left the memory
//! stay in the indexes, so what an index holds of a task is small: of the event that a step waits for a number that follows from it.

use super::dense::Dense;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use tasker_engine::event::Event;
use tasker_engine::task::{StepState, Wait};
use tasker_engine::{Namespace, StepIndex, Task, TaskId, Timestamp};

/// By what an event finds who waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EventKey {
    pub namespace: Namespace,
    pub name: String,
    pub key: String,
}

/// Stands for an event's key. Two keys that share a number are told apart by the tasks themselves: a step takes only what it waits for.
type KeyNumber = u64;

impl EventKey {
    fn number(&self) -> KeyNumber {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Who waits.
#[derive(Default)]
pub(super) struct Waits {
    /// Steps by the event that they wait for.
    listeners: Dense<(KeyNumber, TaskId, StepIndex), ()>,
    /// The event that a step of a task in memory waits for; the other direction of the same relation.
    heard: HashMap<(TaskId, StepIndex), KeyNumber>,
    /// Tasks of which a decision is awaited.
    approvals: BTreeMap<Namespace, BTreeSet<TaskId>>,
    /// Tasks with a held step.
    held: BTreeMap<Namespace, BTreeSet<TaskId>>,
}

impl Waits {
    /// Takes what was decided about a task into the indexes.
    pub fn note(&mut self, task: &Task, events: &[Event]) {
        for event in events {
            match event {
                Event::WaitStarted { wait: Wait::Approval { .. }, .. } => add(&mut self.approvals, task),
                Event::StepHeld { step, .. } => {
                    add(&mut self.held, task);
                    self.forget_listener(task.id, *step);
                }
                Event::WaitSatisfied { step, .. }
                | Event::StepFailed { step, .. }
                | Event::StepSkipped { step, .. }
                | Event::StepCancelled { step }
                | Event::FallbackStarted { step, .. } => self.forget_listener(task.id, *step),
                Event::TaskSucceeded { .. } | Event::TaskFailed { .. } | Event::TaskCancelled { .. } => {
                    remove(&mut self.approvals, &task.workflow.namespace, task.id);
                    remove(&mut self.held, &task.workflow.namespace, task.id);
                }
                Event::TaskAccepted(_)
                | Event::StepKept { .. }
                | Event::DeadlineSet { .. }
                | Event::StepReady { .. }
                | Event::AttemptStarted { .. }
                | Event::AttemptFailed { .. }
                | Event::StepSucceeded { .. }
                | Event::StepParked { .. }
                | Event::BranchTaken { .. }
                | Event::StepFannedOut { .. }
                | Event::StepCollected { .. }
                | Event::WaitStarted { .. }
                | Event::ApprovalReminded { .. }
                | Event::ApprovalEscalated { .. }
                | Event::ApprovalCommented { .. }
                | Event::SignalReceived { .. }
                | Event::FallbackTaken { .. }
                | Event::StepResolved { .. }
                | Event::TaskEnding { .. }
                | Event::TaskAdmitted
                | Event::TaskPaused { .. }
                | Event::TaskResumed
                | Event::ReplyConflicted { .. }
                | Event::CancelRequested { .. } => {}
            }
        }
    }

    /// Takes a task that was read from the store into the indexes.
    pub fn restore(&mut self, task: &Task) {
        for step in task.indexes() {
            match &task.progress(step).state {
                StepState::Waiting(waiting) if matches!(waiting.wait, Wait::Approval { .. }) => add(&mut self.approvals, task),
                StepState::Held { .. } => add(&mut self.held, task),
                _ => {}
            }
        }
    }

    /// A step waits for an event from now on.
    pub fn listen(&mut self, key: &EventKey, task: TaskId, step: StepIndex) {
        let number = key.number();
        if let Some(before) = self.heard.insert((task, step), number)
            && before != number
        {
            self.listeners.remove(&(before, task, step));
        }
        self.listeners.insert((number, task, step), ());
    }

    /// The steps that may wait for an event, those of the oldest tasks first.
    pub fn listeners(&self, key: &EventKey) -> Vec<(TaskId, StepIndex)> {
        let (number, none) = (key.number(), TaskId::first_at(Timestamp::from_millis(0)));
        let from = self.listeners.from(Bound::Included((number, none, StepIndex(0)))).map(|(listener, ())| listener);
        from.take_while(|(other, ..)| *other == number).map(|(_, task, step)| (task, step)).collect()
    }

    /// The task leaves the memory: what it waits for stays.
    pub fn fall_asleep(&mut self, task: &Task) {
        if !self.heard.is_empty() {
            for step in task.indexes() {
                self.heard.remove(&(task.id, step));
            }
        }
    }

    fn forget_listener(&mut self, task: TaskId, step: StepIndex) {
        if self.heard.is_empty() {
            return;
        }
        let Some(number) = self.heard.remove(&(task, step)) else { return };
        self.listeners.remove(&(number, task, step));
    }

    /// Tasks of a namespace for which a person may be awaited, from this one on, oldest first, at most so many.
    pub fn waiting_for(&self, what: Person, namespace: &Namespace, from: TaskId, most: usize) -> Vec<TaskId> {
        let index = match what {
            Person::Decides => &self.approvals,
            Person::Resolves => &self.held,
        };
        index.get(namespace).into_iter().flat_map(|tasks| tasks.range(from..).copied()).take(most).collect()
    }

    /// Notes that a task awaits no decision, or has no held step, any more.
    pub fn forget(&mut self, what: Person, namespace: &Namespace, task: TaskId) {
        match what {
            Person::Decides => remove(&mut self.approvals, namespace, task),
            Person::Resolves => remove(&mut self.held, namespace, task),
        }
    }
}

/// What a person is awaited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Person {
    /// An approval.
    Decides,
    /// A held step.
    Resolves,
}

fn add(index: &mut BTreeMap<Namespace, BTreeSet<TaskId>>, task: &Task) {
    match index.get_mut(&task.workflow.namespace) {
        Some(tasks) => drop(tasks.insert(task.id)),
        None => drop(index.insert(task.workflow.namespace.clone(), BTreeSet::from([task.id]))),
    }
}

fn remove(index: &mut BTreeMap<Namespace, BTreeSet<TaskId>>, namespace: &Namespace, task: TaskId) {
    if let Some(tasks) = index.get_mut(namespace) {
        tasks.remove(&task);
        if tasks.is_empty() {
            index.remove(namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EventKey {
        EventKey { namespace: Namespace::new("default").expect("valid"), name: name.to_owned(), key: "o-1".to_owned() }
    }

    fn task(number: i64) -> TaskId {
        TaskId::first_at(Timestamp::from_millis(number))
    }

    #[test]
    fn who_waits_for_an_event_is_found_once_and_forgotten_with_its_wait() {
        let mut waits = Waits::default();
        waits.listen(&key("paid"), task(2), StepIndex(0));
        waits.listen(&key("paid"), task(1), StepIndex(3));
        waits.listen(&key("paid"), task(1), StepIndex(3));
        waits.listen(&key("shipped"), task(1), StepIndex(4));
        assert_eq!(waits.listeners(&key("paid")), [(task(1), StepIndex(3)), (task(2), StepIndex(0))]);
        waits.forget_listener(task(1), StepIndex(3));
        waits.forget_listener(task(1), StepIndex(3));
        assert_eq!(waits.listeners(&key("paid")), [(task(2), StepIndex(0))]);
        waits.forget_listener(task(2), StepIndex(0));
        waits.forget_listener(task(1), StepIndex(4));
        assert!(waits.listeners.len() == 0 && waits.heard.is_empty(), "nothing is left of waits that are over");
    }

    #[test]
    fn an_event_of_another_namespace_reaches_nobody_here() {
        let mut waits = Waits::default();
        waits.listen(&key("paid"), task(1), StepIndex(0));
        let elsewhere = EventKey { namespace: Namespace::new("other").expect("valid"), ..key("paid") };
        assert!(waits.listeners(&elsewhere).is_empty());
    }
}

//! Tasks that are not over and not in memory: those that have not been read since the start, and those that left because nothing can happen to
//! them until something comes from outside or a timer is due.
//!
//! What stays of a task is a few dozen bytes: where its history ends, when it must be looked at again, and what the deploy gate asks. Everything
//! else is read from the store when it is needed ([`super::loading`]), and is then exactly what it was, because a task is a fold of its history.

use super::dense::Dense;
use super::gate::is_ahead;
use crate::port::store::Sequence;
use std::collections::HashMap;
use std::sync::Arc;
use tasker_engine::{Digest, Namespace, StepIndex, Task, TaskId, Timestamp, Workflow};

/// What stays of a task that sleeps.
#[derive(Debug, Clone, Copy)]
struct Asleep {
    /// The place of its newest journal row.
    last: Sequence,
    /// When its next timer is due.
    due: Option<Due>,
    /// Which of its workflow's steps are ahead, a bit each; the last bit stands for every step from the 64th on.
    ahead: u64,
    workflow: WorkflowNumber,
}

/// Milliseconds since 1970, never 0: so that a task without a timer takes no more room than one with.
type Due = std::num::NonZeroI64;

/// A workflow by the order in which tasks of it first fell asleep.
type WorkflowNumber = u32;

/// Tasks that are not over and not in memory.
#[derive(Default)]
pub(super) struct Absent {
    asleep: Dense<TaskId, Asleep>,
    /// Tasks that were active when the coordinator started and have not been read since.
    unread: Dense<TaskId, Sequence>,
    /// The workflows of those that sleep, and how many of each do. Workflows are never taken away.
    workflows: Vec<(Arc<Workflow>, usize)>,
    numbers: HashMap<(Namespace, Digest), WorkflowNumber>,
}

impl Absent {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.asleep.len() + self.unread.len()
    }

    /// How many sleep.
    pub fn asleep(&self) -> usize {
        self.asleep.len()
    }

    /// How many have not been read since the start.
    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    pub fn contains(&self, id: TaskId) -> bool {
        self.asleep.contains(&id) || self.unread.contains(&id)
    }

    /// The place of the task's newest journal row; none if it is in memory, over or unknown.
    pub fn last(&self, id: TaskId) -> Option<Sequence> {
        self.asleep.get(&id).map(|asleep| asleep.last).or_else(|| self.unread.get(&id).copied())
    }

    /// Whether the task has not been read since the start: then nobody knows yet what it waits for and who works for it.
    pub fn is_unread(&self, id: TaskId) -> bool {
        self.unread.contains(&id)
    }

    /// Notes a task that is active according to the store.
    pub fn put_unread(&mut self, id: TaskId, last: Sequence) {
        self.unread.insert(id, last);
    }

    /// Notes a task that leaves the memory.
    pub fn fall_asleep(&mut self, task: &Task, last: Sequence) {
        let workflow = self.number_of(&task.workflow);
        self.workflows[workflow as usize].1 += 1;
        let due = next_timer(task).and_then(|(due, _)| Due::new(due.as_millis()));
        self.asleep.insert(task.id, Asleep { last, due, ahead: ahead(task), workflow });
    }

    fn number_of(&mut self, workflow: &Arc<Workflow>) -> WorkflowNumber {
        let known = self.workflows.len() as WorkflowNumber;
        let number = *self.numbers.entry((workflow.namespace.clone(), workflow.digest)).or_insert(known);
        if number == known {
            self.workflows.push((workflow.clone(), 0));
        }
        number
    }

    /// The task is in memory again. Says whether it had been there before.
    pub fn wake(&mut self, id: TaskId) -> bool {
        self.unread.remove(&id);
        let asleep = self.asleep.remove(&id);
        if let Some(asleep) = asleep {
            self.workflows[asleep.workflow as usize].1 -= 1;
        }
        asleep.is_some()
    }

    /// Whether a timer is the one for which the task must be looked at next; none if the task does not sleep.
    pub fn is_due_at(&self, id: TaskId, due: Timestamp) -> Option<bool> {
        self.asleep.get(&id).map(|asleep| asleep.due.is_some_and(|next| next.get() == due.as_millis()))
    }

    /// Those that sleep and run a workflow for which this holds, oldest first.
    pub fn of_workflow(&self, is_it: impl Fn(&Workflow) -> bool) -> Vec<TaskId> {
        let wanted: Vec<bool> = self.workflows.iter().map(|(workflow, sleep)| *sleep > 0 && is_it(workflow)).collect();
        if !wanted.contains(&true) {
            return Vec::new();
        }
        self.asleep.iter().filter(|(_, asleep)| wanted[asleep.workflow as usize]).map(|(id, _)| id).collect()
    }

    /// Those that sleep, are pinned to this workflow, and still have the step before them, oldest first.
    pub fn ahead_of(&self, workflow: &Workflow, step: StepIndex) -> impl Iterator<Item = TaskId> {
        let number = self.numbers.get(&(workflow.namespace.clone(), workflow.digest)).copied();
        let some = number.filter(|number| self.workflows[*number as usize].1 > 0);
        let all = some.map(|number| self.asleep.iter().filter(move |(_, asleep)| asleep.workflow == number));
        all.into_iter().flatten().filter(move |(_, asleep)| asleep.ahead & bit(step) != 0).map(|(id, _)| id)
    }
}

/// When a task must be looked at again by itself, and for which of its steps; none of them for the task as a whole.
pub(super) fn next_timer(task: &Task) -> Option<(Timestamp, Option<StepIndex>)> {
    let of_steps = task.indexes().filter_map(|step| Some((task.step_due(step)?, Some(step))));
    of_steps.chain(task.task_due().map(|due| (due, None))).min()
}

fn ahead(task: &Task) -> u64 {
    task.workflow.indexes().filter(|step| is_ahead(&task.progress(*step).state)).map(bit).fold(0, |bits, bit| bits | bit)
}

fn bit(step: StepIndex) -> u64 {
    1 << step.0.min(u64::BITS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_task_takes_less_than_a_hundred_bytes() {
        let entry = size_of::<Asleep>() + size_of::<TaskId>();
        let timer = size_of::<(Timestamp, TaskId, Option<StepIndex>)>();
        assert!(entry + timer <= 64, "{entry} and {timer} bytes, beside those of an event that is waited for");
    }

    #[test]
    fn steps_beyond_the_sixty_third_share_a_bit() {
        assert_eq!(bit(StepIndex(0)), 1);
        assert_eq!(bit(StepIndex(63)), bit(StepIndex(1_000)));
        assert_ne!(bit(StepIndex(62)), bit(StepIndex(63)));
    }
}

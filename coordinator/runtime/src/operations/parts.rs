//! The parts of a task that may be many: the items of a fan-out.

use super::{Operations, PAGE_MAX, Unavailable, UnknownStep};
use crate::command::Command;
use std::collections::BTreeSet;
use tasker_engine::task::{Fan, StepProgress};
use tasker_engine::{Namespace, Payload, StepLabel, StepName, TaskId, TaskStatus};

/// Which items of a fan-out to list.
#[derive(Debug, Clone, Default)]
pub struct ListItems {
    /// Only items in one of these states, by the words of [`tasker_engine::task::StepState::as_str`]; empty: in any.
    pub states: BTreeSet<String>,
    /// Only items after this number: where the page before ended.
    pub after: Option<u32>,
    /// How many, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// A page of items in their order. Always fresh.
#[derive(Debug, Clone)]
pub struct ItemPage {
    /// The counts over all items.
    pub fan: Fan,
    /// Those on this page.
    pub items: Vec<ItemView>,
    /// Where the next page starts; none if this was the last.
    pub next: Option<u32>,
}

/// One item, or batch of items, of a fan-out.
#[derive(Debug, Clone)]
pub struct ItemView {
    /// How it is called: `resize[17]`.
    pub label: StepLabel,
    /// Its place in the list, from 0.
    pub number: u32,
    /// What it is.
    pub value: Payload,
    /// Where it stands, with its attempts.
    pub progress: StepProgress,
}

/// A task that a step of another started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildView {
    /// The child.
    pub task: TaskId,
    /// The step, or item, that started it.
    pub step: StepLabel,
    /// Whether nobody waits for it.
    pub detached: bool,
    /// Where it stands; none if that is not in memory: ask for the task itself.
    pub status: Option<TaskStatus>,
}

/// The most children of one task that a view of it carries, the latest; lists of tasks find all by their parent.
pub const CHILDREN_SHOWN_MAX: usize = 100;

/// Why the items of a step cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// There is no such task in the namespace.
    #[error("there is no task {0} here")]
    UnknownTask(TaskId),
    /// The task has no such step; code `step.unknown`.
    #[error(transparent)]
    UnknownStep(#[from] UnknownStep),
    /// The coordinator cannot answer now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Operations {
    /// A page of the items of a fan-out; empty before it fanned out, and for a step that has no items.
    ///
    /// # Errors
    /// There is no such task or step, or the coordinator cannot answer now.
    pub async fn items(&self, namespace: &Namespace, task: TaskId, step: StepName, list: ListItems) -> Result<ItemPage, ItemsError> {
        let list = ListItems { limit: list.limit.clamp(1, PAGE_MAX), ..list };
        self.ask(|answer| Command::Items { namespace: namespace.clone(), id: task, step, list, answer }).await?
    }
}

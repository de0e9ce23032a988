//! The parts of a task that may be many: the items of a fan-out.

use super::{Operations, PAGE_MAX, Unavailable, UnknownStep};
use crate::command::Command;
use std::collections::BTreeSet;
use std::sync::Arc;
use tasker_engine::event::{Entry, Event};
use tasker_engine::task::{Fan, StepProgress};
use tasker_engine::{Namespace, Payload, StepIndex, StepLabel, StepName, TaskId, TaskStatus, Workflow};

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

/// How the steps and items of a task are called, as far as its events have been seen: an item is known from the fan-out that made it.
#[derive(Debug, Clone)]
pub struct StepNames {
    workflow: Arc<Workflow>,
    /// Of each fan-out: the index of its first item, how many items it has, and which step it is; in the order of the indexes.
    fans: Vec<(u32, u32, StepIndex)>,
    next: u32,
}

impl StepNames {
    /// The names before any event.
    pub fn new(workflow: Arc<Workflow>) -> Self {
        Self { next: workflow.steps.len() as u32, fans: Vec::new(), workflow }
    }

    /// The workflow whose steps these are.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// Sees a task's events, in their order and each once.
    pub fn note(&mut self, entry: &Entry) {
        for event in &entry.events {
            if let Event::StepFannedOut { step, items } = event {
                let count = items.len() as u32;
                self.fans.push((self.next, count, *step));
                self.next += count;
            }
        }
    }

    /// How a step or item is called: `resize`, `resize[17]`; none if no event that was seen made it.
    pub fn label(&self, step: StepIndex) -> Option<StepLabel> {
        if let Some(definition) = self.workflow.steps.get(step.at()) {
            return Some(definition.name.clone().into());
        }
        let behind = self.fans.partition_point(|(first, _, _)| *first <= step.0);
        let (first, count, of) = self.fans.get(behind.checked_sub(1)?)?;
        let number = step.0 - first;
        (number < *count).then(|| StepLabel { name: self.workflow.step(*of).name.clone(), item: Some(number) })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::Timestamp;

    fn workflow() -> Arc<Workflow> {
        let source = r#"
name: pictures
version: 1.0.0
input: { type: object, properties: { list: { type: array } }, required: [list] }
systems: { images: { capabilities: [resize, store] } }
workflow_steps:
  - { name: resize, owner: images, capability: resize, for_each: { items: "${ task.input.list }" }, input: { item: "${ item }" } }
  - { name: store, owner: images, capability: store, for_each: { items: "${ task.input.list }" }, input: { item: "${ item }" } }
"#;
        let namespace = Namespace::new("default").expect("valid");
        let checked = tasker_manifest::check(source, "pictures.yaml", &namespace);
        Arc::new(checked.manifest.unwrap_or_else(|| panic!("{:?}", checked.diagnostics)).workflow)
    }

    fn fanned_out(step: u32, count: usize) -> Entry {
        let event = Event::StepFannedOut { step: StepIndex(step), items: vec![Payload::null(); count] };
        let (task, at) = (TaskId::first_at(Timestamp::from_millis(1)), Timestamp::from_millis(1));
        Entry { task, first: 1, at, events: vec![event] }
    }

    #[test]
    fn items_are_called_by_the_fan_out_that_made_them() {
        let mut names = StepNames::new(workflow());
        let called = |names: &StepNames, step: u32| names.label(StepIndex(step)).map(|label| label.to_string());
        assert_eq!(called(&names, 1).as_deref(), Some("store"));
        assert_eq!(called(&names, 2), None, "nobody has fanned out yet");
        names.note(&fanned_out(1, 2));
        names.note(&fanned_out(0, 3));
        let all: Vec<Option<String>> = (2..8).map(|step| called(&names, step)).collect();
        let expected = ["store[0]", "store[1]", "resize[0]", "resize[1]", "resize[2]"].map(|name| Some(name.to_owned()));
        assert_eq!(all[..5], expected);
        assert_eq!(all[5], None, "there are no more");
    }

    #[test]
    fn an_empty_fan_out_makes_no_item() {
        let mut names = StepNames::new(workflow());
        names.note(&fanned_out(0, 0));
        names.note(&fanned_out(1, 1));
        assert_eq!(names.label(StepIndex(2)).map(|label| label.to_string()).as_deref(), Some("store[0]"));
    }
}

//! Starting nothing new for a while. A task is paused by a person, with its whole workflow, or with the task whose child it is; the reason in
//! its history says which, and what paused it resumes it.
//!
//! From the answer on nothing of a paused workflow starts, because whoever would start something looks here first. That each of its tasks is
//! also marked as paused, so that time does not count against it, follows in the next turns, a bounded number at once.

use super::Shard;
use crate::operations::{ChangeError, TaskView, WorkflowPauseError, WorkflowPaused};
use crate::port::store::{PauseChange, WorkflowPause};
use crate::settings::{GROUP_ROWS_MAX, PAUSES_PER_TURN};
use std::collections::{BTreeMap, VecDeque};
use tasker_engine::decide::{Decision, pause};
use tasker_engine::{Namespace, Task, TaskId, WorkflowName};
use tasker_manifest::nearest_name;

/// The paused workflows, and the tasks that have still to be paused or resumed with theirs.
#[derive(Default)]
pub(super) struct Pauses {
    workflows: BTreeMap<(Namespace, WorkflowName), WorkflowPause>,
    sweep: VecDeque<TaskId>,
}

impl Pauses {
    pub fn is_empty(&self) -> bool {
        self.workflows.is_empty()
    }

    pub fn len(&self) -> usize {
        self.workflows.len()
    }

    /// The pause of a workflow, if it is paused.
    pub fn of(&self, namespace: &Namespace, name: &WorkflowName) -> Option<&WorkflowPause> {
        if self.workflows.is_empty() {
            return None;
        }
        self.workflows.get(&(namespace.clone(), name.clone()))
    }

    pub fn restore(&mut self, pause: WorkflowPause) {
        self.workflows.insert((pause.namespace.clone(), pause.name.clone()), pause);
    }
}

/// Why a task is paused whose workflow is.
fn reason_of_workflow(pause: &WorkflowPause) -> String {
    tasker_engine::failure::cut(format!("{}{}", workflow_prefix(&pause.name), pause.reason))
}

/// How such a reason begins.
fn workflow_prefix(name: &WorkflowName) -> String {
    format!("workflow `{name}` is paused: ")
}

/// Why a child task is paused whose parent is.
fn reason_of_parent(parent: TaskId) -> String {
    format!("its parent task {parent} is paused")
}

/// Whether a task was paused with its workflow or its parent, rather than by itself.
fn is_paused_with_others(task: &Task) -> bool {
    let parent = task.submission.parent.filter(|parent| !parent.detached).map(|parent| reason_of_parent(parent.task));
    task.paused.as_ref().is_some_and(|paused| {
        parent.is_some_and(|reason| reason == paused.reason) || paused.reason.starts_with(&workflow_prefix(&task.workflow.name))
    })
}

impl Shard {
    /// Pauses a task whose workflow or parent is paused, and resumes one that was paused with them once neither is.
    pub(super) fn settle_pause(&mut self, id: TaskId) {
        let Some(resident) = self.residents.get(id) else { return self.wake(id) };
        let task = &resident.task;
        let is_paused = task.paused.is_some();
        if (is_paused && !is_paused_with_others(task)) || task.status.is_terminal() || task.ending.is_some() {
            return;
        }
        let wanted = self.pause_with_others(task);
        if is_paused == wanted.is_some() {
            return;
        }
        let now = self.clock.now();
        let Some(resident) = self.residents.get_mut(id) else { return };
        let decision = match wanted {
            Some(reason) => pause::pause(&mut resident.task, &reason, now),
            None => pause::resume(&mut resident.task, now),
        };
        if let Ok(decision) = decision {
            self.record(id, decision, None);
        }
    }

    /// Why a task is to be paused with its workflow or its parent; none if it is not.
    fn pause_with_others(&self, task: &Task) -> Option<String> {
        if let Some(pause) = self.pauses.of(&task.workflow.namespace, &task.workflow.name) {
            return Some(reason_of_workflow(pause));
        }
        let parent = task.submission.parent.filter(|parent| !parent.detached)?.task;
        let paused = self.residents.get(parent).is_some_and(|known| known.task.paused.is_some());
        paused.then(|| reason_of_parent(parent))
    }

    pub(super) fn pause(&mut self, namespace: &Namespace, id: TaskId, reason: &str) -> Result<TaskView, ChangeError> {
        let now = self.clock.now();
        let resident = self.residents.get_mut(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(resident) = resident else { return Err(ChangeError::UnknownTask(id)) };
        // What a person pauses is not resumed with the workflow or the parent.
        let own = if is_paused_with_others(&resident.task) { pause::resume(&mut resident.task, now).ok() } else { None };
        let decision = pause::pause(&mut resident.task, reason, now).map_err(refused)?;
        self.record_all(id, [own, Some(decision)]);
        self.view_of(id)
    }

    pub(super) fn resume(&mut self, namespace: &Namespace, id: TaskId) -> Result<TaskView, ChangeError> {
        let resident = self.residents.get(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(task) = resident.map(|resident| &resident.task) else { return Err(ChangeError::UnknownTask(id)) };
        if task.paused.is_some() && self.pauses.of(namespace, &task.workflow.name).is_some() {
            return Err(ChangeError::WorkflowPaused(task.workflow.name.clone()));
        }
        if let (true, Some(parent), true) = (task.paused.is_some(), task.submission.parent, self.pause_with_others(task).is_some()) {
            return Err(ChangeError::ParentPaused(parent.task));
        }
        let Some(resident) = self.residents.get_mut(id) else { return Err(ChangeError::UnknownTask(id)) };
        let decision = pause::resume(&mut resident.task, self.clock.now()).map_err(refused)?;
        self.record(id, decision, None);
        self.view_of(id)
    }

    fn record_all(&mut self, id: TaskId, decisions: [Option<Decision>; 2]) {
        for decision in decisions.into_iter().flatten() {
            self.record(id, decision, None);
        }
    }

    /// With a reason: pauses a workflow; without: resumes it.
    pub(super) fn pause_workflow(
        &mut self,
        namespace: Namespace,
        name: WorkflowName,
        reason: Option<String>,
    ) -> Result<WorkflowPaused, WorkflowPauseError> {
        if self.catalog.current(&namespace, &name).is_none() {
            let similar = nearest_name(name.as_str(), self.catalog.names(&namespace).map(|name| name.as_str())).map(str::to_owned);
            return Err(WorkflowPauseError::UnknownWorkflow { name, namespace, similar });
        }
        let of_workflow = |task: &Task| task.workflow.namespace == namespace && task.workflow.name == name;
        let active = self.residents.iter().filter(|resident| !resident.task.status.is_terminal() && of_workflow(&resident.task));
        let mut active: Vec<TaskId> = active.map(|resident| resident.task.id).collect();
        active.extend(self.absent.of_workflow(|workflow| workflow.namespace == namespace && workflow.name == name));
        active.sort_unstable();
        let key = (namespace.clone(), name.clone());
        let changed = reason.is_some() != self.pauses.workflows.contains_key(&key);
        let tasks = active.len();
        if changed {
            let change = match reason {
                Some(reason) => {
                    let pause = WorkflowPause { namespace: namespace.clone(), name: name.clone(), reason, since: self.clock.now() };
                    self.pauses.workflows.insert(key.clone(), pause.clone());
                    tracing::warn!(%namespace, workflow = %name, tasks, reason = pause.reason, "workflow paused");
                    PauseChange::Set(pause)
                }
                None => {
                    self.pauses.workflows.remove(&key);
                    tracing::info!(%namespace, workflow = %name, tasks, "workflow resumed");
                    PauseChange::Cleared { namespace: namespace.clone(), name: name.clone() }
                }
            };
            self.group.batch.workflow_pauses.push(change);
            self.pauses.sweep.extend(active);
        }
        Ok(WorkflowPaused { name, pause: self.pauses.workflows.get(&key).cloned(), tasks, changed })
    }

    /// Whether tasks have still to be paused or resumed with their workflow: the loop does not rest then.
    pub(super) fn has_pauses_to_settle(&self) -> bool {
        let next = self.pauses.sweep.front();
        next.is_some_and(|next| !self.must_wait_to_be_read(*next)) && self.group.batch.journal.len() < GROUP_ROWS_MAX
    }

    /// Pauses or resumes the next tasks with their workflow.
    pub(super) fn sweep_pauses(&mut self) {
        for _ in 0..PAUSES_PER_TURN {
            if self.group.batch.journal.len() >= GROUP_ROWS_MAX {
                return;
            }
            let Some(id) = self.pauses.sweep.front().copied().filter(|id| !self.must_wait_to_be_read(*id)) else { return };
            self.pauses.sweep.pop_front();
            self.settle_pause(id);
        }
    }

    fn view_of(&self, id: TaskId) -> Result<TaskView, ChangeError> {
        self.residents.get(id).map(|resident| self.view(resident)).ok_or(ChangeError::UnknownTask(id))
    }
}

fn refused(refusal: pause::Refusal) -> ChangeError {
    match refusal {
        pause::Refusal::AlreadyFinished(status) => ChangeError::AlreadyFinished(status),
        pause::Refusal::Ending => ChangeError::Ending,
    }
}

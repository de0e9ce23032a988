//! Starting nothing new for a while: of one task, or of every task of a workflow.

use super::{ChangeError, Operations, TaskView, Unavailable};
use crate::command::Command;
use crate::port::store::WorkflowPause;
use tasker_engine::{Namespace, TaskId, WorkflowName};

/// A workflow whose tasks were paused, or go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowPaused {
    /// Which, in every version.
    pub name: WorkflowName,
    /// Since when and why it is paused; none: it is not.
    pub pause: Option<WorkflowPause>,
    /// How many of its tasks are not over.
    pub tasks: usize,
    /// False if it was so already.
    pub changed: bool,
}

/// Why a workflow was neither paused nor resumed. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowPauseError {
    /// There is no such workflow.
    #[error("there is no workflow `{name}` in namespace `{namespace}`{}", .similar.as_ref().map_or_else(String::new, |similar| format!("; did you mean `{similar}`?")))]
    UnknownWorkflow {
        /// What was asked for.
        name: WorkflowName,
        /// Where it was looked for.
        namespace: Namespace,
        /// The nearest name that exists.
        similar: Option<String>,
    },
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Operations {
    /// Pauses a task: open attempts finish, nothing new starts, its attached child tasks are paused, too; sleeps and waits go on. Answers with
    /// its state after the commit. Pausing a paused task changes nothing.
    ///
    /// # Errors
    /// Unknown, over ([`ChangeError::AlreadyFinished`]) or on its way to its end ([`ChangeError::Ending`]).
    pub async fn pause(&self, namespace: &Namespace, id: TaskId, reason: &str) -> Result<TaskView, ChangeError> {
        let reason = tasker_engine::failure::cut(reason.to_owned());
        self.ask(|answer| Command::Pause { namespace: namespace.clone(), id, reason, answer }).await?
    }

    /// Lets a paused task go on; answers with its state after the commit. Resuming a task that is not paused changes nothing.
    ///
    /// # Errors
    /// Unknown, over, on its way to its end, or its whole workflow is paused ([`ChangeError::WorkflowPaused`]).
    pub async fn resume(&self, namespace: &Namespace, id: TaskId) -> Result<TaskView, ChangeError> {
        self.ask(|answer| Command::Resume { namespace: namespace.clone(), id, answer }).await?
    }

    /// Pauses every task of a workflow, in every version, now and later, until it is resumed. From the answer on nothing new starts; the tasks
    /// are marked as paused soon after. Pausing a paused workflow again changes nothing.
    ///
    /// # Errors
    /// There is no such workflow.
    pub async fn pause_workflow(
        &self,
        namespace: &Namespace,
        name: &WorkflowName,
        reason: &str,
    ) -> Result<WorkflowPaused, WorkflowPauseError> {
        // The reason stands in a column of text, which holds no NUL.
        let reason = Some(tasker_engine::failure::cut(reason.replace('\0', "")));
        self.ask(|answer| Command::PauseWorkflow { namespace: namespace.clone(), name: name.clone(), reason, answer }).await?
    }

    /// Lets the tasks of a paused workflow go on; those that were paused by themselves stay so.
    ///
    /// # Errors
    /// There is no such workflow.
    pub async fn resume_workflow(&self, namespace: &Namespace, name: &WorkflowName) -> Result<WorkflowPaused, WorkflowPauseError> {
        self.ask(|answer| Command::PauseWorkflow { namespace: namespace.clone(), name: name.clone(), reason: None, answer }).await?
    }
}

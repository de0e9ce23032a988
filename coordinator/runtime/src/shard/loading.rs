//! Tasks that are not in memory are read from the store on behalf of what is about them.

use super::{Internal, Shard, recover};
use crate::command::Command;
use crate::operations::{
    ApplyError, ApprovalError, CallbackError, ChangeError, EventError, ItemsError, ResolveError, SignalError, SubmitError, Unavailable,
    WorkflowPauseError,
};
use tasker_engine::TaskId;
use tasker_registry::SessionKey;
use tasker_registry::message::WorkerReply;

/// Tasks that may be read from the store at once for late replies and questions; more are dropped and come again.
const LOADING_MAX: usize = 512;

/// Something that waits for a task to be read from the store.
pub(super) enum Pending {
    Reply(Box<LateReply>),
    Command(Box<Command>),
}

/// A reply for a task that is not in memory.
pub(super) struct LateReply {
    pub session: SessionKey,
    pub reply: WorkerReply,
}

/// The task that a command is about; none if it is about no single task.
pub(super) fn concerned(command: &Command) -> Option<TaskId> {
    match command {
        Command::Show { id, .. }
        | Command::Head { id, .. }
        | Command::WaitFinished { id, .. }
        | Command::Cancel { id, .. }
        | Command::Signal { id, .. }
        | Command::Decide { id, .. }
        | Command::Comment { id, .. }
        | Command::Resolve { id, .. }
        | Command::Pause { id, .. }
        | Command::Resume { id, .. }
        | Command::Items { id, .. }
        | Command::Retry { id, .. }
        | Command::Why { id, .. } => Some(*id),
        Command::Callback { call, .. } => Some(call.call.task),
        Command::Apply { .. }
        | Command::Workflows { .. }
        | Command::Submit { .. }
        | Command::SendEvent { .. }
        | Command::Approvals { .. }
        | Command::Held { .. }
        | Command::PauseWorkflow { .. }
        | Command::Systems { .. }
        | Command::Capabilities { .. }
        | Command::Status { .. }
        | Command::Figures { .. }
        | Command::OverrideBreaker { .. }
        | Command::DrainWorker { .. }
        | Command::DrainVersion { .. }
        | Command::Drain { .. } => None,
    }
}

impl Shard {
    /// Lets a command about one task through if the task is in memory; otherwise the command waits until it has been read.
    pub(super) fn unless_loading(&mut self, command: Command) -> Option<Command> {
        match concerned(&command) {
            Some(id) if self.residents.get(id).is_none() && id <= self.last_task => {
                self.load(id, Pending::Command(Box::new(command)));
                None
            }
            Some(_) | None => Some(command),
        }
    }

    /// Reads a task from the store on behalf of what waits for it.
    pub(super) fn load(&mut self, id: TaskId, pending: Pending) {
        if let Some(waiting) = self.residents.loading.get_mut(&id) {
            waiting.push(pending);
            return;
        }
        if self.residents.loading.len() >= LOADING_MAX {
            // A dropped command's caller is told that the outcome is unknown; a dropped reply is sent again.
            return;
        }
        self.residents.loading.insert(id, vec![pending]);
        let (store, internal) = (self.store.clone(), self.internal.clone());
        tokio::spawn(async move {
            let loaded = recover::load_task(&*store, id).await;
            let _ = internal.send(Internal::Loaded(id, loaded.map(|found| found.map(Box::new)))).await;
        });
    }

    pub(super) fn take_internal(&mut self, internal: Internal) {
        let Internal::Loaded(id, outcome) = internal;
        let pending = self.residents.loading.remove(&id).unwrap_or_default();
        let failed = match outcome.map(|found| found.map(|loaded| self.take_in(*loaded))) {
            Ok(Some(Ok(effects))) => {
                self.follow(id, effects, None);
                None
            }
            Ok(Some(Err(damaged))) => Some(damaged),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        for waiting in pending {
            match (waiting, &failed) {
                (Pending::Reply(late), None) => self.take_late(*late),
                // Unacknowledged, so it will be sent again.
                (Pending::Reply(_), Some(_)) => {}
                (Pending::Command(command), None) => self.take_known(*command),
                (Pending::Command(command), Some(error)) => refuse(*command, Unavailable::Read(error.clone())),
            }
        }
    }
}

/// Answers a command that cannot be carried out now.
pub(super) fn refuse(command: Command, why: Unavailable) {
    match command {
        Command::Show { answer, .. } | Command::WaitFinished { answer, .. } => drop(answer.send(Err(why))),
        Command::Head { answer, .. } => drop(answer.send(Err(why))),
        Command::Cancel { answer, .. } | Command::Pause { answer, .. } | Command::Resume { answer, .. } => {
            drop(answer.send(Err(ChangeError::Unavailable(why))));
        }
        Command::Retry { answer, .. } => drop(answer.send(Err(ChangeError::Unavailable(why)))),
        Command::Signal { answer, .. } => drop(answer.send(Err(SignalError::Unavailable(why)))),
        Command::Decide { answer, .. } | Command::Comment { answer, .. } => drop(answer.send(Err(ApprovalError::Unavailable(why)))),
        Command::Resolve { answer, .. } => drop(answer.send(Err(ResolveError::Unavailable(why)))),
        Command::Items { answer, .. } => drop(answer.send(Err(ItemsError::Unavailable(why)))),
        Command::Why { answer, .. } => drop(answer.send(Err(why))),
        Command::Callback { answer, .. } => drop(answer.send(Err(CallbackError::Unavailable(why)))),
        Command::Apply { answer, .. } => drop(answer.send(Err(ApplyError::Unavailable(why)))),
        Command::Submit { answer, .. } => drop(answer.send(Err(SubmitError::Unavailable(why)))),
        Command::SendEvent { answer, .. } => drop(answer.send(Err(EventError::Unavailable(why)))),
        Command::PauseWorkflow { answer, .. } => drop(answer.send(Err(WorkflowPauseError::Unavailable(why)))),
        Command::Workflows { .. }
        | Command::Approvals { .. }
        | Command::Held { .. }
        | Command::Systems { .. }
        | Command::Capabilities { .. }
        | Command::Status { .. }
        | Command::Figures { .. }
        | Command::OverrideBreaker { .. }
        | Command::DrainWorker { .. }
        | Command::DrainVersion { .. }
        | Command::Drain { .. } => unreachable!("only changes and commands about one task are refused"),
    }
}

//! Which tasks must be in memory for a command, besides none or the one that it names.

use super::Shard;
use super::sleep::open_children;
use super::waits::{EventKey, Person};
use crate::command::Command;
use crate::operations::{
    ApplyError, ApprovalError, CallbackError, ChangeError, EventError, ItemsError, LetterError, ListPeople, ResolveError, SignalError,
    SubmitError, Unavailable, WorkflowPauseError,
};
use tasker_engine::{Namespace, TaskId, Timestamp};

/// Open children that `debug why` of their parent looks into.
const CHILDREN_LOOKED_INTO: usize = 100;

/// Tasks looked at for one page of what waits for people, beyond those that fill it: a page that is for one assignee may find less than it
/// holds, and says where to go on.
const PEOPLE_LOOKED_AT: usize = 1_000;

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
        | Command::RequeueLetter { id, .. }
        | Command::Why { id, .. } => Some(*id),
        Command::Callback { call, .. } => Some(call.call.task),
        Command::Apply { .. }
        | Command::Workflows { .. }
        | Command::Submit { .. }
        | Command::SendEvent { .. }
        | Command::DiscardLetter { .. }
        | Command::Approvals { .. }
        | Command::Held { .. }
        | Command::PauseWorkflow { .. }
        | Command::Systems { .. }
        | Command::Capabilities { .. }
        | Command::Status { .. }
        | Command::Figures { .. }
        | Command::OverrideBreaker { .. }
        | Command::Queues { .. }
        | Command::ChangeQueue { .. }
        | Command::DrainWorker { .. }
        | Command::DrainVersion { .. }
        | Command::Drain { .. } => None,
    }
}

/// Whether a command is about tasks that are found by what they wait for or run: every task must have been read once.
pub(super) fn speaks_of_many(command: &Command) -> bool {
    matches!(command, Command::SendEvent { .. } | Command::Approvals { .. } | Command::Held { .. } | Command::PauseWorkflow { .. })
}

impl Shard {
    /// The tasks that a command needs in memory besides the one that it names.
    pub(super) fn companions(&self, command: &Command) -> Vec<TaskId> {
        match command {
            Command::SendEvent { namespace, name, key, .. } => {
                let key = EventKey { namespace: namespace.clone(), name: name.clone(), key: key.clone() };
                let mut tasks: Vec<TaskId> = self.waits.listeners(&key).into_iter().map(|(task, _)| task).collect();
                tasks.dedup();
                tasks
            }
            Command::Approvals { namespace, list, .. } => self.people_asked(Person::Decides, namespace, list),
            Command::Held { namespace, list, .. } => self.people_asked(Person::Resolves, namespace, list),
            Command::Submit { submission, .. } => {
                let keyed = submission.keyed.as_ref().and_then(|keyed| self.keys.get(&submission.namespace, &keyed.key));
                let identified = submission.identified.as_ref();
                let identified = identified.and_then(|known| self.keys.get(&submission.namespace, &known.key).or(known.used.as_ref()));
                let used = keyed.into_iter().chain(identified).map(|used| used.task);
                used.filter(|task| self.absent.contains(*task)).collect()
            }
            Command::Why { id, .. } => {
                let task = self.residents.get(*id).map(|known| &known.task);
                let children = task.into_iter().flat_map(open_children);
                children.filter(|child| self.absent.contains(*child)).take(CHILDREN_LOOKED_INTO).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The tasks that a page of what waits for people is looked for in.
    pub(super) fn people_asked(&self, what: Person, namespace: &Namespace, list: &ListPeople) -> Vec<TaskId> {
        let from = list.task.or(list.after.map(|after| after.task)).unwrap_or(TaskId::first_at(Timestamp::from_millis(0)));
        // One more than a page, and some that do not wait any more; for one assignee those of others stand in between.
        let beyond = if list.assignee.is_some() { PEOPLE_LOOKED_AT } else { PEOPLE_LOOKED_AT / 20 };
        let most = list.limit.saturating_add(beyond);
        let mut tasks = self.waits.waiting_for(what, namespace, from, most);
        tasks.retain(|task| list.task.is_none_or(|only| only == *task));
        tasks
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
        Command::RequeueLetter { answer, .. } | Command::DiscardLetter { answer, .. } => {
            drop(answer.send(Err(LetterError::Change(ChangeError::Unavailable(why)))));
        }
        Command::Retry { answer, .. } => drop(answer.send(Err(ChangeError::Unavailable(why)))),
        Command::Signal { answer, .. } => drop(answer.send(Err(SignalError::Unavailable(why)))),
        Command::Decide { answer, .. } | Command::Comment { answer, .. } => drop(answer.send(Err(ApprovalError::Unavailable(why)))),
        Command::Resolve { answer, .. } => drop(answer.send(Err(ResolveError::Unavailable(why)))),
        Command::Items { answer, .. } => drop(answer.send(Err(ItemsError::Unavailable(why)))),
        Command::Why { answer, .. } => drop(answer.send(Err(why))),
        Command::Callback { answer, .. } => drop(answer.send(Err(CallbackError::Unavailable(why)))),
        Command::Submit { answer, .. } => drop(answer.send(Err(SubmitError::Unavailable(why)))),
        Command::SendEvent { answer, .. } => drop(answer.send(Err(EventError::Unavailable(why)))),
        Command::Approvals { answer, .. } => drop(answer.send(Err(why))),
        Command::Held { answer, .. } => drop(answer.send(Err(why))),
        Command::PauseWorkflow { answer, .. } => drop(answer.send(Err(WorkflowPauseError::Unavailable(why)))),
        Command::Apply { answer, .. } => drop(answer.send(Err(ApplyError::Unavailable(why)))),
        Command::Workflows { .. }
        | Command::Systems { .. }
        | Command::Capabilities { .. }
        | Command::Status { .. }
        | Command::Figures { .. }
        | Command::OverrideBreaker { .. }
        | Command::Queues { .. }
        | Command::ChangeQueue { .. }
        | Command::DrainWorker { .. }
        | Command::DrainVersion { .. }
        | Command::Drain { .. } => unreachable!("only changes and commands about tasks are refused"),
    }
}

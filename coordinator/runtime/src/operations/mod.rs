//! What people and programs may ask of a running coordinator: the one door for the HTTP API and the bus API.
//!
//! Every answer that says that something was done is given after its commit (P5). Reads by id are fresh; searches may lag and carry `as_of`.

mod answer;
mod callback;
mod figures;
mod gate;
mod letters;
mod outside;
mod parts;
mod pauses;
mod people;
mod queues;
mod request;
pub(crate) mod submit;
mod watchers;

pub use answer::*;
pub use callback::{CallbackError, CallbackRefusal, Disposition};
pub(crate) use figures::Household;
pub use gate::*;
pub use letters::*;
pub use outside::*;
pub use parts::*;
pub use pauses::*;
pub use people::*;
pub use queues::{QueueChange, QueueState, Word};
pub use request::*;
pub(crate) use watchers::Watchers;

use crate::command::{Command, LookedUp};
use crate::host::{Door, Doors, Installation, Leave, Place};
use crate::port::bus::Bus;
use crate::port::egress::Egress;
use crate::port::shards::Shards;
use crate::port::store::{ReadError, Search};
use crate::port::surroundings::Clock;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::{Namespace, ShardId, SystemName, TaskId};
use tokio::runtime::RuntimeFlavor;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::time::Instant;

/// A handle on a running coordinator; cheap to clone.
#[derive(Clone)]
pub struct Operations {
    doors: Doors,
    shards: Arc<dyn Shards>,
    bus: Arc<dyn Bus>,
    egress: Arc<dyn Egress>,
    clock: Arc<dyn Clock>,
    household: Arc<Household>,
    leave: mpsc::Sender<Leave>,
    /// Shares for requests that settle many dead letters.
    bulk: Arc<Semaphore>,
}

/// The most tasks on one page of a list.
pub const PAGE_MAX: usize = 200;

impl Operations {
    pub(crate) fn new(installation: &Installation, household: Arc<Household>, leave: mpsc::Sender<Leave>) -> Self {
        let Installation { doors, shards, bus, egress, surroundings, .. } = installation;
        Self {
            doors: doors.clone(),
            shards: shards.clone(),
            bus: bus.clone(),
            egress: egress.clone(),
            clock: surroundings.clock.clone(),
            household,
            leave,
            bulk: Arc::new(Semaphore::new(letters::BULK_REQUESTS_MAX)),
        }
    }

    /// The shard of a namespace.
    pub fn shard_of(&self, namespace: &Namespace) -> ShardId {
        self.doors.shard_of(namespace)
    }

    /// The shard of the task that a callback's token is for; none if the token is not ours.
    pub fn shard_of_callback(&self, token: &str) -> Option<ShardId> {
        self.egress.task_of_callback(token).map(|task| self.doors.shard_of_task(task))
    }

    /// Where a shard runs. One that is being taken over is waited for, but not for longer than `at_most`.
    pub async fn place_of(&self, shard: ShardId, at_most: Duration) -> Place {
        self.doors.place_within(shard, at_most).await
    }

    /// Returns once a shard is no longer where it was.
    pub async fn moved_from(&self, shard: ShardId, before: &Place) {
        self.doors.moved_from(shard, before).await;
    }

    /// The door to the shard of a namespace.
    pub(crate) fn door(&self, namespace: &Namespace) -> Result<Door, Unavailable> {
        self.doors.door(self.doors.shard_of(namespace)).ok_or(Unavailable::Moving)
    }

    /// Checks a manifest and makes its workflow the current version of its name. Applying the same manifest again changes nothing.
    /// With `dry_run` nothing is changed at all, but everything is checked. With `force` it is applied although it does not fit the live
    /// fleet or the other workflows, and the log says who did so.
    ///
    /// # Errors
    /// The manifest is wrong, its version exists with another content, or it does not fit and nobody forces it.
    pub async fn apply_workflow(
        &self,
        namespace: &Namespace,
        source: &str,
        file: &str,
        dry_run: bool,
        force: Option<Force>,
    ) -> Result<Applied, ApplyError> {
        let checked = aside(|| tasker_manifest::check(source, file, namespace));
        let Some(manifest) = checked.manifest else { return Err(ApplyError::Invalid(checked.diagnostics)) };
        let source = Arc::from(source);
        let warnings = checked.diagnostics;
        self.ask(|answer| Command::Apply { manifest: Box::new(manifest), source, dry_run, force, warnings, answer }).await?
    }

    /// Every version of every workflow of a namespace.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn workflows(&self, namespace: &Namespace) -> Result<Vec<AppliedWorkflow>, Unavailable> {
        self.ask(|answer| Command::Workflows { namespace: namespace.clone(), answer }).await
    }

    /// One version of a workflow; absent: the current one.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn workflow(&self, namespace: &Namespace, name: &str, version: Option<&str>) -> Result<Option<AppliedWorkflow>, Unavailable> {
        let all = self.workflows(namespace).await?;
        Ok(all.into_iter().find(|applied| {
            applied.workflow.name.as_str() == name
                && version.map_or(applied.current, |version| applied.workflow.version.as_str() == version)
        }))
    }

    /// The task as it stands; none if there is no such task in the namespace.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn task(&self, namespace: &Namespace, id: TaskId) -> Result<Option<TaskView>, Unavailable> {
        self.ask(|answer| Command::Show { namespace: namespace.clone(), id, answer }).await?
    }

    /// The task's events; none if there is no such task in the namespace.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn history(&self, namespace: &Namespace, id: TaskId) -> Result<Option<History>, Unavailable> {
        let Some(head) = self.ask(|answer| Command::Head { namespace: namespace.clone(), id, answer }).await?? else {
            return Ok(None);
        };
        let history = self.door(namespace)?.store.history(id, Some(head.last)).await.map_err(unreadable)?;
        Ok(history.map(|history| History {
            finished: head.finished,
            workflow: head.workflow,
            entries: history.rows.into_iter().map(|row| row.entry).collect(),
        }))
    }

    /// Every commit of a task from now on. A receiver that falls behind is told so and reads the history again (P21).
    pub fn watch(&self, task: TaskId) -> broadcast::Receiver<Committed> {
        self.doors.committed().watch(task)
    }

    /// The task once it is over, or as it stands when the time is up; none if there is no such task.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn wait_finished(&self, namespace: &Namespace, id: TaskId, at_most: Duration) -> Result<Option<TaskView>, Unavailable> {
        let waiting = self.ask(|answer| Command::WaitFinished { namespace: namespace.clone(), id, answer });
        match tokio::time::timeout(at_most, waiting).await {
            Ok(finished) => finished?,
            Err(_) => self.task(namespace, id).await,
        }
    }

    /// Cancels the task; answers with its state after the commit. Cancelling a cancelled task again changes nothing.
    ///
    /// # Errors
    /// Unknown, or over otherwise.
    pub async fn cancel(&self, namespace: &Namespace, id: TaskId, reason: &str) -> Result<TaskView, ChangeError> {
        let reason = tasker_engine::failure::cut(reason.to_owned());
        self.ask(|answer| Command::Cancel { namespace: namespace.clone(), id, reason, answer }).await?
    }

    /// Starts a new task that names this one as its origin and reuses the results of the steps that succeeded (P9).
    ///
    /// # Errors
    /// Unknown, still running, or succeeded.
    pub async fn retry(&self, namespace: &Namespace, id: TaskId) -> Result<Submitted, ChangeError> {
        self.ask(|answer| Command::Retry { namespace: namespace.clone(), id, answer }).await?
    }

    /// A page of tasks, newest first.
    ///
    /// # Errors
    /// The database cannot be read now.
    pub async fn tasks(&self, namespace: &Namespace, list: ListTasks) -> Result<TaskPage, Unavailable> {
        let as_of = self.clock.now();
        let limit = list.limit.clamp(1, PAGE_MAX);
        let search = Search {
            namespace: namespace.clone(),
            statuses: list.statuses,
            workflow: list.workflow,
            error_code: list.error_code,
            labels: list.labels,
            parent: list.parent,
            waiting: list.waiting,
            accepted_from: list.accepted_from,
            accepted_before: list.accepted_before,
            before: list.before,
            limit: limit + 1,
        };
        let mut tasks = self.door(namespace)?.store.search(&search).await.map_err(unreadable)?;
        let more = tasks.len() > limit;
        tasks.truncate(limit);
        let next = tasks.last().filter(|_| more).map(|row| row.id);
        Ok(TaskPage { tasks, next, as_of })
    }

    /// Every known system of a namespace, with its live workers.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn systems(&self, namespace: &Namespace) -> Result<Vec<SystemView>, Unavailable> {
        self.ask(|answer| Command::Systems { namespace: namespace.clone(), answer }).await
    }

    /// Every known capability of a namespace, with what waits for it.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn capabilities(&self, namespace: &Namespace) -> Result<Vec<CapabilityView>, Unavailable> {
        self.ask(|answer| Command::Capabilities { namespace: namespace.clone(), answer }).await
    }

    /// Every live worker of a namespace.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn workers(&self, namespace: &Namespace) -> Result<Vec<WorkerView>, Unavailable> {
        let systems = self.systems(namespace).await?;
        Ok(systems.into_iter().flat_map(|system| system.workers).collect())
    }

    /// Opens or closes a capability's breaker by hand, or lets it follow its policy again. Not stored: a coordinator that starts anew follows
    /// the policies.
    ///
    /// # Errors
    /// Nobody ever spoke of the capability.
    pub async fn override_breaker(&self, target: Target, operator: Override) -> Result<CapabilityView, FleetError> {
        self.ask(|answer| Command::OverrideBreaker { target, operator, answer }).await?
    }

    /// Gives a worker nothing new and asks it to finish and leave. Asked again, it answers the same.
    ///
    /// # Errors
    /// No live worker has the session, or those of several systems do and none is named.
    pub async fn drain_worker(&self, namespace: &Namespace, session: &str, system: Option<SystemName>) -> Result<WorkerView, FleetError> {
        let (namespace, session) = (namespace.clone(), session.to_owned());
        self.ask(|answer| Command::DrainWorker { namespace, session, system, answer }).await?
    }

    /// Gives the workers of a build nothing new, those that join later included; `undo` takes that back. They stay, and finish what they hold.
    /// Not stored: a coordinator that starts anew gives work to every build.
    ///
    /// # Errors
    /// The system is unknown, or too many of its builds are drained.
    pub async fn drain_version(
        &self,
        namespace: &Namespace,
        system: SystemName,
        version: &str,
        undo: bool,
    ) -> Result<DrainedVersion, FleetError> {
        let (namespace, version) = (namespace.clone(), version.to_owned());
        self.ask(|answer| Command::DrainVersion { namespace, system, version, undo, answer }).await?
    }

    /// Why the task is not moving, step by step; none if there is no such task.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn why(&self, namespace: &Namespace, id: TaskId) -> Result<Option<Vec<Reason>>, Unavailable> {
        self.ask(|answer| Command::Why { namespace: namespace.clone(), id, answer }).await?
    }

    /// How the coordinator is. Never fails: what does not answer is reported as not well.
    pub async fn health(&self) -> Health {
        let here = self.doors.here();
        let mut components = vec![self.store_health(&here).await];
        match self.ask(|answer| Command::Status { answer }).await {
            Ok(status) => components.extend(status),
            // A coordinator without shards stands by: it is well, and others answer.
            Err(Unavailable::Moving) if self.doors.count() > 1 => {}
            Err(error) => components.push(("runtime", false, error.to_string())),
        }
        if self.doors.count() > 1 {
            let numbers: Vec<String> = here.iter().map(ToString::to_string).collect();
            let state = match numbers.is_empty() {
                true => format!("standing by: others run all {}", self.doors.count()),
                false => format!("runs {} of {}: {}", here.len(), self.doors.count(), numbers.join(", ")),
            };
            components.push(("shards", true, state));
        }
        Health { ready: components.iter().all(|(_, well, _)| *well), components }
    }

    async fn store_health(&self, here: &[ShardId]) -> (&'static str, bool, String) {
        let described = self.shards.describe();
        for door in here.iter().filter_map(|shard| self.doors.door(*shard)) {
            match tokio::time::timeout(PROBE, door.store.probe()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return ("store", false, format!("{described}: {error}")),
                Err(_) => return ("store", false, format!("{described}: no answer within {} s", PROBE.as_secs())),
            }
        }
        ("store", true, described)
    }

    /// Stops taking work, lets what is open be answered for at most `grace` unless another coordinator takes over, commits, and closes the ports.
    pub async fn drain(&self, grace: Duration) {
        let (done, answered) = oneshot::channel();
        if self.leave.send(Leave { grace, done }).await.is_ok() {
            let _ = answered.await;
        }
    }

    /// Before the store is asked for a key.
    fn looks_up(&self) -> LookedUp {
        LookedUp { wall: self.clock.now(), at: Instant::now() }
    }

    /// Sends a command and waits for its answer.
    async fn ask<A>(&self, command: impl FnOnce(oneshot::Sender<A>) -> Command) -> Result<A, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer))?;
        answered.await.map_err(|_| Unavailable::Unknown)
    }

    /// Sends a command to the shard that it is for.
    fn send(&self, command: Command) -> Result<(), Unavailable> {
        let door = self.doors.door_for(&command)?;
        enter(&door, command)
    }
}

/// How long a database may take to take a harmless row.
const PROBE: Duration = Duration::from_secs(2);

/// Does what takes more than a moment beside the runtime's threads, because one of them carries the loop. In a runtime of one thread, such as the
/// simulation's, nothing else is to be done meanwhile.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn enter(door: &Door, command: Command) -> Result<(), Unavailable> {
    door.commands.try_send(command).map_err(|refused| match refused {
        mpsc::error::TrySendError::Full(_) => Unavailable::Busy { retry_after: Duration::from_secs(1) },
        mpsc::error::TrySendError::Closed(_) => Unavailable::Draining,
    })
}

fn unreadable(error: ReadError) -> Unavailable {
    Unavailable::Read(error.to_string())
}

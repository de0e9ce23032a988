//! Tasks that are not in memory are read from the store on behalf of what is about them, many at a time.
//!
//! After a start every active task is read once, in the order in which the store names them, while the loop is already at work; what concerns a
//! task that has not been read yet has it read first. A child is taken in after the task that waits for it, so that a child in memory always
//! has its parent in memory, too.

use super::companions::{concerned, refuse, speaks_of_many};
use super::recover::Loaded;
use super::{Internal, Shard};
use crate::command::Command;
use crate::operations::Unavailable;
use crate::port::store::{History, ReadError, Sequence, Store};
use crate::settings::GROUP_ROWS_MAX;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::event::{Entry, Event};
use tasker_engine::{Namespace, TaskId};
use tasker_registry::SessionKey;
use tasker_registry::message::{Held, WorkerReply};

/// Questions, orders and late replies that may wait for tasks to be read; a sender of more is told to come again.
const OUTSIDE_MAX: usize = 4_096;
/// Tasks that may wait to be read before the loop itself asks for no more: it comes back to what it put off.
const WANTED_MAX: usize = 1_024;
/// Tasks read by one query: enough that its cost is shared, few enough that folding them does not hold up the loop.
const READ_TOGETHER: usize = 128;
/// Queries under way at once; reads of people need connections, too.
const READS_AT_ONCE: usize = 2;
/// Commands about many tasks that may wait until every task has been read after a start.
const HELD_MAX: usize = 1_024;
/// How long after a failed read it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Something that waits for a task to be read from the store.
pub(super) enum Pending {
    /// Somebody outside who will come again if need be.
    Reply(Box<LateReply>),
    /// Somebody outside who waits.
    Command(Box<Command>),
    /// A command that needs several tasks, by its number.
    Companion(u64),
    /// Its next timer, or a pause: what is to be done follows from its state.
    Wake,
    /// Its parent needs it no more.
    GiveUp(TaskId, String),
    /// Its parent, whose attempt is open although the task is over.
    Over,
    /// A child of it that was read before it.
    Child(Box<Loaded>),
    /// A worker says that it runs an attempt of it.
    Adopt(SessionKey, Box<Held>),
    /// Commits whose spans are told again after a start.
    Spans(Vec<Arc<Entry>>),
}

/// A reply for a task that is not in memory.
pub(super) struct LateReply {
    pub session: SessionKey,
    pub reply: WorkerReply,
}

/// A command that waits until all the tasks that it needs are in memory, and keeps them there until then.
struct Companions {
    missing: usize,
    tasks: Vec<TaskId>,
    command: Box<Command>,
    failed: Option<String>,
}

/// What is read and what waits for it.
#[derive(Default)]
pub(super) struct Loads {
    pending: HashMap<TaskId, Vec<Pending>>,
    /// Tasks that something waits for and that nobody has asked the store for, in order.
    wanted: VecDeque<TaskId>,
    /// Tasks that the store was asked for, or that were read and wait for their parent.
    under_way: BTreeSet<TaskId>,
    reads: usize,
    /// Tasks whose read failed and is tried again, whatever they wait for: their own timer may have been the reason for it.
    again: BTreeSet<TaskId>,
    outside: usize,
    companions: BTreeMap<u64, Companions>,
    numbered: u64,
    /// Tasks that commands keep in memory, and how many do.
    kept: BTreeMap<TaskId, usize>,
    start: Start,
}

/// What is left to be read after a start.
#[derive(Default)]
struct Start {
    /// In order.
    order: std::vec::IntoIter<(TaskId, Sequence)>,
    /// Tasks that are over and whose rows do not say so: not yet read.
    unprojected: BTreeSet<TaskId>,
    /// Up to where the tasks' rows reflect the journal.
    projected_to: Sequence,
    /// Commands that need every task to have been read.
    held: Vec<Command>,
    /// Tasks whose history is damaged.
    damaged: BTreeSet<TaskId>,
    /// Whether a damaged task's row does not reflect its newest journal row: then the projection's mark stays where it is.
    is_mark_held: bool,
    is_over: bool,
}

impl Loads {
    /// Whether the loop itself should ask for no more now.
    pub fn is_full(&self) -> bool {
        self.wanted.len() + self.under_way.len() >= WANTED_MAX
    }

    /// Whether nothing is read, and nothing will be before something asks for it.
    pub fn is_idle(&self) -> bool {
        self.start.is_over && self.pending.is_empty() && self.reads == 0
    }

    /// Whether somebody outside waits for a task to be read.
    pub fn is_awaited(&self) -> bool {
        self.outside > 0
    }

    /// Whether the projection's mark must stay where it is, because there are journal rows after it that are not projected and whose tasks are
    /// not in memory.
    pub fn holds_mark(&self) -> bool {
        !self.start.is_over || self.start.is_mark_held
    }

    /// Whether a task must stay in memory, because something that was asked for needs it, or is about to.
    pub fn needs(&self, id: TaskId) -> bool {
        self.kept.contains_key(&id) || self.pending.contains_key(&id)
    }

    /// Whether a task is read again because reading it failed.
    pub fn is_again(&self, id: TaskId) -> bool {
        self.again.contains(&id)
    }

    /// The same, and now is the time.
    pub fn take_again(&mut self, id: TaskId) -> bool {
        self.again.remove(&id)
    }

    pub fn is_damaged(&self, id: TaskId) -> bool {
        self.start.damaged.contains(&id)
    }

    pub fn is_unprojected_left(&self, id: TaskId) -> bool {
        self.start.unprojected.contains(&id)
    }

    /// What a parent said when it gave this task up, if it did while the task was not in memory.
    pub fn why_given_up(&self, id: TaskId) -> Option<String> {
        self.pending.get(&id)?.iter().find_map(|pending| match pending {
            Pending::GiveUp(_, reason) => Some(reason.clone()),
            _ => None,
        })
    }

    /// How many tasks' histories are damaged.
    pub fn damaged(&self) -> usize {
        self.start.damaged.len()
    }

    /// Notes that a task is wanted, and whether it had to be asked for.
    fn want(&mut self, id: TaskId, pending: Pending) {
        let waiting = self.pending.entry(id).or_default();
        waiting.push(pending);
        if waiting.len() == 1 && !self.under_way.contains(&id) {
            self.wanted.push_back(id);
        }
    }

    fn keep(&mut self, id: TaskId) {
        *self.kept.entry(id).or_default() += 1;
    }

    fn release(&mut self, id: TaskId) {
        if let Some(times) = self.kept.get_mut(&id) {
            *times -= 1;
            if *times == 0 {
                self.kept.remove(&id);
            }
        }
    }
}

impl Shard {
    /// Notes what the store says about tasks at start; they are read while the loop runs.
    pub(super) fn expect(&mut self, active: Vec<(TaskId, Sequence)>, unprojected: Vec<(TaskId, Sequence)>, projected_to: Sequence) {
        for (id, last) in &active {
            self.absent.put_unread(*id, *last);
        }
        let start = &mut self.loads.start;
        start.unprojected = unprojected.iter().map(|(id, _)| *id).collect();
        start.projected_to = projected_to;
        // Those that are over first: until their rows say so, lists show them as they were.
        let order: Vec<_> = if unprojected.is_empty() { active } else { unprojected.into_iter().chain(active).collect() };
        start.is_over = order.is_empty();
        start.order = order.into_iter();
    }

    /// Whether tasks have still to be read after the start.
    pub(super) fn is_taking_in(&self) -> bool {
        !self.loads.start.is_over
    }

    /// Lets a command through if the tasks that it is about are in memory; otherwise the command waits until they have been read.
    pub(super) fn unless_loading(&mut self, command: Command) -> Option<Command> {
        if let Some(id) = concerned(&command)
            && self.residents.get(id).is_none()
            && id <= self.last_task
        {
            self.load(id, Pending::Command(Box::new(command)));
            return None;
        }
        if self.is_taking_in() && speaks_of_many(&command) {
            match self.loads.start.held.len() < HELD_MAX {
                true => self.loads.start.held.push(command),
                false => refuse(command, busy()),
            }
            return None;
        }
        let companions = self.companions(&command);
        if companions.iter().all(|id| self.residents.get(*id).is_some()) {
            return Some(command);
        }
        self.load_all(companions, command);
        None
    }

    /// Reads the tasks that a command needs; those that are in memory stay there until all of them are.
    fn load_all(&mut self, tasks: Vec<TaskId>, command: Command) {
        if self.loads.outside >= OUTSIDE_MAX {
            return refuse(command, busy());
        }
        self.loads.numbered += 1;
        let number = self.loads.numbered;
        let missing: Vec<TaskId> = tasks.iter().copied().filter(|id| self.residents.get(*id).is_none()).collect();
        tasks.iter().for_each(|id| self.loads.keep(*id));
        self.loads.outside += 1;
        let companions = Companions { missing: missing.len(), tasks, command: Box::new(command), failed: None };
        self.loads.companions.insert(number, companions);
        missing.into_iter().for_each(|id| self.loads.want(id, Pending::Companion(number)));
    }

    /// Reads a task from the store on behalf of what waits for it.
    pub(super) fn load(&mut self, id: TaskId, pending: Pending) {
        match pending {
            // A worker's reply that is dropped is sent again.
            Pending::Reply(_) if self.loads.outside >= OUTSIDE_MAX => {}
            Pending::Command(command) if self.loads.outside >= OUTSIDE_MAX => refuse(*command, busy()),
            Pending::Reply(_) | Pending::Command(_) => {
                self.loads.outside += 1;
                self.loads.want(id, pending);
            }
            pending => self.loads.want(id, pending),
        }
    }

    /// Asks the store for what is wanted, and after a start for the next of what has not been read.
    pub(super) fn read_on(&mut self) {
        // What is read may decide something at once. Questions are answered also while the database takes no more.
        let may_read = self.is_roomy() || self.full.is_some();
        while may_read && self.loads.reads < READS_AT_ONCE {
            let batch = self.next_to_read();
            if batch.is_empty() {
                break;
            }
            self.loads.reads += 1;
            self.loads.under_way.extend(batch.iter().map(|(id, _)| *id));
            let (store, internal) = (self.store.clone(), self.internal.clone());
            tokio::spawn(async move { read(&*store, batch, &internal).await });
        }
        self.end_start();
    }

    fn next_to_read(&mut self) -> Vec<(TaskId, Option<Sequence>)> {
        let wanted = self.loads.wanted.len().min(READ_TOGETHER);
        if wanted > 0 {
            return self.loads.wanted.drain(..wanted).map(|id| (id, self.absent.last(id))).collect();
        }
        let mut batch = Vec::new();
        if self.group.batch.journal.len() >= GROUP_ROWS_MAX || self.draining.is_some() {
            return batch;
        }
        while batch.len() < READ_TOGETHER
            && let Some((id, last)) = self.loads.start.order.next()
        {
            let is_left = self.absent.is_unread(id) || self.loads.start.unprojected.contains(&id);
            if is_left && !self.loads.under_way.contains(&id) {
                batch.push((id, Some(last)));
            }
        }
        batch
    }

    /// Notes that every task has been read after the start, and lets through what waited for that.
    fn end_start(&mut self) {
        let start = &mut self.loads.start;
        if start.is_over || !start.order.as_slice().is_empty() || !start.unprojected.is_empty() || self.absent.unread() > 0 {
            return;
        }
        start.is_over = true;
        let held = std::mem::take(&mut start.held);
        let elapsed_ms = self.uptime().as_millis() as u64;
        tracing::info!(active = self.active(), asleep = self.absent.asleep(), elapsed_ms, "every active task has been read");
        // Who counts is known now, so whoever waited for that goes on.
        let namespaces: BTreeSet<Namespace> = self.catalog.all().map(|workflow| workflow.namespace.clone()).collect();
        namespaces.iter().for_each(|namespace| self.admit_all(namespace));
        held.into_iter().for_each(|command| self.take_command(command));
    }

    /// The loop ends before every task was read: whoever waits for that asks the next coordinator.
    pub(super) fn refuse_held(&mut self) {
        std::mem::take(&mut self.loads.start.held).into_iter().for_each(|command| refuse(command, Unavailable::Draining));
    }

    pub(super) fn take_internal(&mut self, internal: Internal) {
        match internal {
            Internal::Read(found) => found.into_iter().for_each(|(id, outcome)| self.take_read(id, outcome)),
            Internal::ReadOver => self.loads.reads -= 1,
            Internal::Spans(entries) => self.tell_spans_of(entries),
        }
    }

    fn take_read(&mut self, id: TaskId, outcome: Result<Option<History>, ReadError>) {
        match outcome {
            Ok(Some(history)) => match self.parent_to_read_first(id, &history) {
                Some(parent) => self.load(parent, Pending::Child(Box::new(Loaded { id, history }))),
                None => match self.take_in(Loaded { id, history }) {
                    Ok(()) => self.serve(id, None),
                    Err(damage) => self.set_aside(id, &damage),
                },
            },
            Ok(None) if self.absent.contains(id) => self.set_aside(id, &format!("task {id} is active, but has no history")),
            Ok(None) => self.serve(id, None),
            Err(ReadError::Damaged(damage)) => self.set_aside(id, &damage),
            Err(ReadError::Database(error)) => self.read_later(id, &error.to_string()),
        }
    }

    /// The task that waits for this one, if it is not in memory.
    fn parent_to_read_first(&self, id: TaskId, history: &History) -> Option<TaskId> {
        let Some(Event::TaskAccepted(submission)) = history.rows.first().and_then(|row| row.entry.events.first()) else { return None };
        let parent = submission.parent.filter(|parent| !parent.detached)?.task;
        (self.absent.contains(id) && self.absent.contains(parent)).then_some(parent)
    }

    /// A task's history cannot be understood: the task stays as it is, for a person to look at, and everything else goes on.
    fn set_aside(&mut self, id: TaskId, damage: &str) {
        if let Some(last) = self.absent.last(id) {
            tracing::error!(task_id = %id, code = "store.damaged", "an active task cannot be read and stays as it is: {damage}");
            self.loads.start.is_mark_held |= last > self.loads.start.projected_to;
            self.loads.start.damaged.insert(id);
            self.absent.wake(id);
        }
        self.loads.start.unprojected.remove(&id);
        self.serve(id, Some(damage.to_owned()));
    }

    /// The database did not answer: whoever asked is told, and what the loop itself needs is tried again.
    fn read_later(&mut self, id: TaskId, error: &str) {
        tracing::warn!(task_id = %id, "a task could not be read and is read again: {error}");
        self.timers.set(self.clock.now().after(RETRY_AFTER), id, None);
        self.loads.again.insert(id);
        self.serve(id, Some(error.to_owned()));
    }

    /// Serves what waited for a task, which is in memory now or does not exist, unless reading failed.
    fn serve(&mut self, id: TaskId, failed: Option<String>) {
        self.loads.under_way.remove(&id);
        if failed.is_none() {
            self.loads.again.remove(&id);
        }
        for waiting in self.loads.pending.remove(&id).unwrap_or_default() {
            if matches!(waiting, Pending::Reply(_) | Pending::Command(_)) {
                self.loads.outside -= 1;
            }
            match (waiting, &failed) {
                (Pending::Reply(late), None) => self.take_late(*late),
                (Pending::Command(command), None) => self.take_known(*command),
                (Pending::Command(command), Some(error)) => refuse(*command, Unavailable::Read(error.clone())),
                (Pending::Companion(number), failed) => self.companion_is_there(number, failed.as_deref()),
                (Pending::Child(child), None) => self.take_read(child.id, Ok(Some(child.history))),
                (Pending::Child(child), Some(error)) => self.take_read(child.id, Err(ReadError::Database(error.clone().into()))),
                (Pending::GiveUp(parent, reason), None) => self.give_up_child(parent, id, &reason),
                (Pending::Adopt(session, held), None) => self.adopt_one(&session, &held),
                (Pending::Over, None) => self.tell_parent(id),
                (Pending::Spans(entries), None) if self.residents.get(id).is_some() => self.tell_spans_of(entries),
                (Pending::Wake, _) => {}
                // A reply is sent again; an order of the parent follows from the states of both when they have been read; a worker beats again.
                (Pending::Reply(_) | Pending::GiveUp(..) | Pending::Adopt(..) | Pending::Over, Some(_)) | (Pending::Spans(_), _) => {}
            }
        }
    }

    fn companion_is_there(&mut self, number: u64, failed: Option<&str>) {
        let Some(companions) = self.loads.companions.get_mut(&number) else { return };
        companions.missing -= 1;
        if companions.failed.is_none() {
            companions.failed = failed.map(str::to_owned);
        }
        if companions.missing > 0 {
            return;
        }
        let Some(companions) = self.loads.companions.remove(&number) else { return };
        self.loads.outside -= 1;
        match companions.failed {
            None => self.take_known(*companions.command),
            Some(error) => refuse(*companions.command, Unavailable::Read(error)),
        }
        companions.tasks.iter().for_each(|id| self.loads.release(*id));
    }

    /// Whether a task's row may not reflect all of its history; asked once for each task that is read after a start.
    pub(super) fn is_unprojected(&mut self, id: TaskId, last: Sequence) -> bool {
        let start = &mut self.loads.start;
        start.unprojected.remove(&id) || last > start.projected_to
    }

    /// Whether a timer of this task must wait because too much is being read.
    pub(super) fn must_wait_to_be_read(&self, id: TaskId) -> bool {
        self.loads.is_full() && self.absent.contains(id)
    }

    /// Has a task read that is not in memory: what is due then follows from its state.
    pub(super) fn wake(&mut self, id: TaskId) {
        if self.is_to_be_read(id) {
            self.load(id, Pending::Wake);
        }
    }

    /// Whether a task is not in memory and should be, sooner or later.
    pub(super) fn is_to_be_read(&self, id: TaskId) -> bool {
        self.absent.contains(id) || self.loads.start.unprojected.contains(&id)
    }
}

fn busy() -> Unavailable {
    Unavailable::Busy { retry_after: Duration::from_secs(1) }
}

/// Reads tasks and hands them to the loop as they come: first those whose newest row is known, together.
async fn read(store: &dyn Store, asked: Vec<(TaskId, Option<Sequence>)>, internal: &tokio::sync::mpsc::Sender<Internal>) {
    let known: Vec<(TaskId, Sequence)> = asked.iter().filter_map(|(id, last)| Some((*id, (*last)?))).collect();
    let mut left = known.as_slice();
    while !left.is_empty() {
        match store.histories(left).await {
            Ok(found) if !found.is_empty() => {
                let (read, rest) = left.split_at(found.len().min(left.len()));
                left = rest;
                let found = read.iter().zip(found).map(|((id, _), history)| (*id, Ok(Some(history))));
                let _ = internal.send(Internal::Read(found.collect())).await;
            }
            // One of them cannot be read: each by itself, so that the others are.
            _ => {
                for (id, last) in std::mem::take(&mut left) {
                    let _ = internal.send(Internal::Read(vec![(*id, store.history(*id, Some(*last)).await)])).await;
                }
            }
        }
    }
    for (id, _) in asked.iter().filter(|(_, last)| last.is_none()) {
        let _ = internal.send(Internal::Read(vec![(*id, store.history(*id, None).await)])).await;
    }
    let _ = internal.send(Internal::ReadOver).await;
}

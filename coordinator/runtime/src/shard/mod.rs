//! The loop that owns the tasks of one shard.
//!
//! One turn: take what has arrived, let the engine decide, give ready steps to free slots, and, if no commit is running, commit what
//! was gathered. While a commit runs the next group gathers in memory; nothing of a group leaves the process before its commit
//! (P5). A commit that fails ends the loop, and with it the process: its outcome is unknown (P3).
//!
//! Start reading at [`Shard::run`].

mod absent;
mod asking;
mod attempts;
mod catalog;
mod change;
mod children;
mod companions;
mod counters;
mod deliver;
mod dense;
mod effects;
mod figures;
mod flow;
mod full;
mod gate;
mod group;
mod hearing;
mod http;
mod inbound;
mod letters;
mod limits;
mod loading;
mod measuring;
mod outside;
mod pauses;
mod people;
mod project;
mod reach;
mod recover;
mod resident;
mod responders;
mod routing;
mod sleep;
mod slots;
mod spans;
mod submit;
mod take_in;
mod tally;
mod timers;
mod turnstile;
mod views;
mod waits;
mod why;
mod why_flow;
mod why_limits;

pub use recover::StartError;

use crate::command::Command;
use crate::failpoint::{self, Failpoint};
use crate::operations::{TaskView, Unavailable, Watchers};
use crate::port::bus::{Bus, Inbound};
use crate::port::egress::Egress;
use crate::port::store::{CommitError, History, ReadError, Sequence, Store};
use crate::port::surroundings::{Chance, Clock, Surroundings};
use crate::settings::{COMMANDS_PER_TURN, GROUP_ROWS_MAX, INPUTS_PER_TURN, Settings, TICK, TICK_AT_REST};
use crate::trace::SpanSink;
use absent::Absent;
use attempts::{Attempts, TokenKey};
use catalog::Catalog;
use children::Nursery;
use counters::Counters;
use effects::Effects;
use futures::future::BoxFuture;
use group::{AfterCommit, Group};
use http::Manners;
use letters::Letters;
use loading::Loads;
use outside::Kept;
use pauses::Pauses;
use project::Projection;
use reach::Reach;
use resident::{Keys, Residents};
use slots::Slots;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use tasker_engine::event::Entry;
use tasker_engine::{TaskId, Timestamp};
use tasker_registry::Registry;
use tasker_scheduler::breaker::Permit;
use tasker_scheduler::{Scheduler, TargetId};
use timers::Timers;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use waits::Waits;

/// How a loop is reached, and whom it tells.
pub(crate) struct Ways {
    /// What people and programs ask.
    pub requests: mpsc::Receiver<Command>,
    /// What the bus brings.
    pub messages: mpsc::Receiver<Inbound>,
    /// Every commit, for whoever watches.
    pub committed: Watchers,
}

/// Something that was read from the store on behalf of the loop.
enum Internal {
    /// Tasks that were not in memory; none if there is no such task.
    Read(Vec<(TaskId, Result<Option<History>, ReadError>)>),
    /// One of the reads is over.
    ReadOver,
    /// What was committed in the last moments before the start.
    Spans(Vec<Arc<Entry>>),
}

/// Reads that may wait for the loop: each may hold megabytes.
const READS_BUFFERED: usize = 4;

/// Somebody who waits for a task's end.
type Waiter = oneshot::Sender<Result<Option<TaskView>, Unavailable>>;

/// The state of one shard. Owned by one asynchronous task; nobody else touches it.
pub(crate) struct Shard {
    settings: Settings,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    egress: Arc<dyn Egress>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    spans: SpanSink,
    committed: Watchers,
    internal: mpsc::Sender<Internal>,
    started: Instant,
    started_at: Timestamp,
    residents: Residents,
    absent: Absent,
    loads: Loads,
    /// Tasks that may leave the memory, and those that are looked at again at the next tick.
    drowsy: VecDeque<TaskId>,
    dozing: Vec<TaskId>,
    catalog: Catalog,
    registry: Registry,
    scheduler: Scheduler,
    responders: Reach,
    http: Reach,
    manners: Manners,
    attempts: Attempts,
    /// Of open attempts whose capability has a breaker: what it is told when they end.
    permits: HashMap<TokenKey, (TargetId, Permit)>,
    /// Of open attempts whose step has limits of its own: through which gates they went.
    passed: limits::Passed,
    /// Tasks that are counted by key.
    turnstile: turnstile::Turnstile,
    waiters: HashMap<TaskId, Vec<Waiter>>,
    effects: Effects,
    nursery: Nursery,
    waits: Waits,
    kept: Kept,
    pauses: Pauses,
    letters: Letters,
    slots: Slots,
    keys: Keys,
    timers: Timers,
    group: Group,
    in_flight: Option<InFlight>,
    last: Sequence,
    /// The newest journal row that is known to be durable.
    committed_to: Sequence,
    last_task: TaskId,
    projection: Projection,
    tally: Tally,
    counters: Counters,
    gate: gate::Gate,
    hearing: hearing::Hearing,
    full: Option<full::Full>,
    draining: Option<Draining>,
}

struct InFlight {
    /// Waited for in the loop itself: a task of its own would be one more thread to wake, twice.
    commit: BoxFuture<'static, Result<(), CommitError>>,
    after: Vec<AfterCommit>,
    rows: usize,
    /// Whether it pauses or resumes workflows, which is no row of any task.
    pauses: bool,
    /// The newest journal row of all that was decided before it began.
    last: Sequence,
    since: Instant,
}

struct Draining {
    until: Instant,
    answers: Vec<oneshot::Sender<()>>,
}

/// A loop that has recovered and decides nothing yet: it must not begin before its door is open, or answers to what it asks at once would find
/// nobody and be lost.
pub(crate) struct Ready {
    shard: Shard,
    requests: mpsc::Receiver<Command>,
    messages: mpsc::Receiver<Inbound>,
    loaded: mpsc::Receiver<Internal>,
}

impl Ready {
    /// Begins. The task ends when the loop ends: `Ok` after a drain, an error if a commit failed.
    pub fn run(self) -> JoinHandle<Result<(), CommitError>> {
        tokio::spawn(self.shard.run(self.requests, self.messages, self.loaded))
    }
}

/// Recovers what the store knows.
///
/// # Errors
/// The store cannot be read, or what it holds cannot be understood.
pub(crate) async fn recover(
    settings: Settings,
    store: Arc<dyn Store>,
    around: (Arc<dyn Bus>, Arc<dyn Egress>),
    ways: Ways,
    spans: SpanSink,
    surroundings: Surroundings,
) -> Result<Ready, StartError> {
    let (internal, loaded) = mpsc::channel(READS_BUFFERED);
    let Ways { requests, messages, committed } = ways;
    let shard = Shard::recover(settings, store, around, surroundings, spans, committed, internal).await?;
    Ok(Ready { shard, requests, messages, loaded })
}

impl Shard {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut inbox: mpsc::Receiver<Inbound>,
        mut loaded: mpsc::Receiver<Internal>,
    ) -> Result<(), CommitError> {
        let mut requests = Vec::with_capacity(INPUTS_PER_TURN);
        let mut messages = Vec::with_capacity(INPUTS_PER_TURN);
        let mut ticked = Instant::now();
        loop {
            let roomy = self.is_roomy();
            // Without space, changes are refused and questions answered: neither makes the group larger.
            let answering = roomy || self.full.is_some();
            let due = self.next_timer();
            let tick = ticked + if self.rests() { TICK_AT_REST } else { TICK };
            // Doors that are closed for good say nothing more; asking them again and again would keep the loop from resting.
            let ending = self.draining.is_some();
            tokio::select! {
                biased;
                outcome = finished(&mut self.in_flight) => self.after_commit(outcome)?,
                count = inbox.recv_many(&mut messages, INPUTS_PER_TURN), if roomy && !(ending && inbox.is_closed() && inbox.is_empty()) => {
                    if count == 0 { self.begin_drain(Duration::ZERO, None); }
                    (self.counters.received_at, self.counters.inbox) = (self.uptime(), inbox.len());
                    for message in messages.drain(..) { self.take_message(message); }
                }
                count = commands.recv_many(&mut requests, INPUTS_PER_TURN), if answering && !(ending && commands.is_closed() && commands.is_empty()) => {
                    if count == 0 { self.begin_drain(Duration::ZERO, None); }
                    for request in requests.drain(..) { self.take_command(request); }
                }
                Some(internal) = loaded.recv() => self.take_internal(internal),
                () = tokio::time::sleep(due), if roomy => {}
                () = tokio::time::sleep_until(tick) => {}
            }
            // Not a branch of its own: however much arrives, leases and sweeps are looked at.
            if Instant::now() >= tick {
                self.tick();
                ticked = Instant::now();
            }
            self.take_turns(&mut commands, &mut loaded);
            self.read_on();
            if self.is_roomy() {
                self.fire_timers();
                self.sweep_pauses();
                self.start_children();
                self.deliver();
            }
            self.put_to_sleep();
            self.begin_commit();
            if self.is_drained() {
                break;
            }
        }
        self.stop(commands).await;
        Ok(())
    }

    /// Whether the group that gathers may grow. If not, the loop waits for the commit that runs.
    fn is_roomy(&self) -> bool {
        self.group.batch.journal.len() < GROUP_ROWS_MAX
    }

    /// Whether nothing is going on: workers beat, and timers that are not due wait.
    fn rests(&self) -> bool {
        let decided = self.in_flight.is_some() || !self.group.is_empty() || self.full.is_some() || self.draining.is_some();
        let under_way = self.attempts.len() > 0 || self.scheduler.waiting() > 0 || !self.loads.is_idle();
        let to_tidy = !self.projection.is_idle() || !self.drowsy.is_empty() || !self.dozing.is_empty();
        !(decided || under_way || to_tidy)
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn tick(&mut self) {
        self.judge_silence(self.is_roomy());
        self.retry_calls();
        self.retry_http();
        if self.full.is_none() {
            self.sweep();
        }
        self.keys.forget_old(self.clock.now());
        self.forget_events();
        self.look_at_dozing();
        self.pick_timers();
        self.tally_round();
        self.forget_letters();
    }

    /// Whoever knocks all the time does not keep the others out: a few of each are taken in every turn.
    fn take_turns(&mut self, commands: &mut mpsc::Receiver<Command>, loaded: &mut mpsc::Receiver<Internal>) {
        if let Ok(internal) = loaded.try_recv() {
            self.take_internal(internal);
        }
        for _ in 0..COMMANDS_PER_TURN {
            if !self.is_roomy() && self.full.is_none() {
                break;
            }
            let Ok(command) = commands.try_recv() else { break };
            self.take_command(command);
        }
    }

    /// Starts a commit if something was gathered and none is running.
    fn begin_commit(&mut self) {
        if self.in_flight.is_some() || self.group.is_empty() {
            return;
        }
        self.sweep_along();
        let group = std::mem::take(&mut self.group);
        if group.batch.is_empty() {
            self.carry_out(group.into_effects());
            return;
        }
        let (rows, pauses) = (group.batch.journal.len(), !group.batch.workflow_pauses.is_empty());
        let (batch, after) = group.split();
        failpoint::pass(Failpoint::BeforeCommit);
        let store = self.store.clone();
        let commit = Box::pin(async move { store.commit(batch).await });
        self.in_flight = Some(InFlight { commit, after, rows, pauses, last: self.last, since: Instant::now() });
    }

    fn after_commit(&mut self, (done, outcome): (InFlight, Result<(), CommitError>)) -> Result<(), CommitError> {
        match outcome {
            Ok(()) => self.note_space(),
            Err(CommitError::Full { batch, source }) => return self.wait_for_space(done, batch, source),
            Err(stopping @ (CommitError::Fenced { .. } | CommitError::Unknown(_))) => return Err(stopping),
        }
        failpoint::pass(Failpoint::AfterCommitBeforeSend);
        self.committed_to = done.last;
        self.counters.rows_committed += done.rows as u64;
        self.counters.commit_rows.observe(done.rows as f64);
        self.counters.commit.observe_time(done.since.elapsed());
        self.carry_out(done.after);
        failpoint::pass(Failpoint::AfterSend);
        Ok(())
    }

    /// Does what was waiting for a commit. The only place where anything leaves the process.
    fn carry_out(&mut self, effects: Vec<AfterCommit>) {
        let (mut messages, mut answered) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                AfterCommit::Send(message) => messages.push(message),
                AfterCommit::Measure(received_at, replies) => answered.push((received_at, replies)),
                AfterCommit::Call(call) => self.bus.call(*call),
                AfterCommit::CallHttp(call) => self.egress.call(*call),
                AfterCommit::Answer(answer) => answer(),
                AfterCommit::Tell(committed) => {
                    self.spans_of(&committed);
                    self.committed.tell(committed);
                }
            }
        }
        if !messages.is_empty() {
            self.bus.send(messages);
        }
        self.note_overhead(&answered);
    }

    fn begin_drain(&mut self, grace: Duration, answer: Option<oneshot::Sender<()>>) {
        let until = Instant::now() + grace;
        let draining = self.draining.get_or_insert(Draining { until, answers: Vec::new() });
        draining.until = draining.until.min(until);
        draining.answers.extend(answer);
    }

    fn is_drained(&self) -> bool {
        let Some(draining) = &self.draining else { return false };
        let idle = self.in_flight.is_none() && self.group.is_empty() && !self.loads.is_awaited();
        idle && (self.attempts.is_idle() || Instant::now() >= draining.until)
    }

    /// The last things: what is projected, the lease let go.
    async fn stop(mut self, mut commands: mpsc::Receiver<Command>) {
        commands.close();
        self.refuse_held();
        self.sweep_all().await;
        self.egress.watch(self.settings.shard, Vec::new());
        self.store.close().await;
        for answer in self.draining.into_iter().flat_map(|draining| draining.answers) {
            let _ = answer.send(());
        }
    }
}

/// Waits for the running commit; for ever if none runs.
async fn finished(in_flight: &mut Option<InFlight>) -> (InFlight, Result<(), CommitError>) {
    match in_flight {
        None => std::future::pending().await,
        Some(running) => {
            let outcome = (&mut running.commit).await;
            let done = in_flight.take().expect("it was there a moment ago");
            (done, outcome)
        }
    }
}

//! One machine on which a coordinator runs, again and again: it stands by, takes the lease, recovers, serves, and dies in one way or another.

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::disk::LEASE;
use crate::fault::Fault;
use crate::ports::{BusPort, MachineClock, NoEgress, OneShard, Process, Tokens};
use crate::promises::tenant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tasker_engine::Timestamp;
use tasker_runtime::operations::Operations;
use tasker_runtime::port::bus::Inbound;
use tasker_runtime::port::store::CommitError;
use tasker_runtime::port::surroundings::Surroundings;
use tasker_runtime::trace::SpanSink;
use tasker_runtime::{Doors, Hosted, Installation, Settings};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

/// The wall clock at the beginning of every run.
const EPOCH_MILLIS: i64 = 1_800_000_000_000;
/// How often something that stands still looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Messages that a process may be behind.
const INBOX_MAX: usize = 8_192;
/// How often an owner says that it is there.
const RENEW_EVERY: Duration = Duration::from_millis(700);

#[derive(Default)]
struct State {
    frozen_until: Option<Instant>,
    cut_until: Option<Instant>,
    clock_offset: i64,
    operations: Option<Operations>,
    /// What was done to the owner last, while it owned.
    troubled_by: Option<&'static str>,
}

/// One machine.
pub struct Slot {
    pub number: usize,
    origin: Instant,
    state: Mutex<State>,
    kill: Notify,
    /// Whether it looks at its lease, and dies if another has it; otherwise only the database stops it.
    attentive: AtomicBool,
}

impl Slot {
    pub fn new(number: usize) -> Self {
        Self { number, origin: Instant::now(), state: Mutex::default(), kill: Notify::new(), attentive: AtomicBool::new(true) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(EPOCH_MILLIS + elapsed + self.lock().clock_offset)
    }

    /// The door, while it owns the shard or thinks so.
    pub fn operations(&self) -> Option<Operations> {
        self.lock().operations.clone()
    }

    pub fn is_frozen(&self) -> bool {
        self.lock().frozen_until.is_some_and(|until| until > Instant::now())
    }

    /// Returns once the machine is not paused.
    pub async fn thawed(&self) {
        loop {
            let until = self.lock().frozen_until;
            match until {
                // In pieces, because the machine may be healed before.
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until.min(Instant::now() + LOOK_EVERY)).await,
                _ => return,
            }
        }
    }

    pub fn freeze(&self, how_long: Duration) {
        let mut state = self.lock();
        state.frozen_until = Some(Instant::now() + how_long);
        state.troubled_by = Some("a take-over from an owner that was paused");
    }

    pub fn is_cut_off(&self) -> bool {
        self.lock().cut_until.is_some_and(|until| until > Instant::now())
    }

    pub fn cut_off(&self, how_long: Duration) {
        let mut state = self.lock();
        state.cut_until = Some(Instant::now() + how_long);
        state.troubled_by = Some("a take-over from an owner that was cut off from the database");
    }

    pub fn jump(&self, millis: i64) {
        self.lock().clock_offset += millis;
    }

    pub fn kill(&self) {
        self.lock().troubled_by = Some("a take-over after a crash");
        self.kill.notify_one();
    }

    pub fn leave(&self) {
        self.lock().troubled_by = Some("a take-over after an orderly stop");
    }

    /// Everything that was done to the machine is over.
    pub fn heal(&self) {
        let mut state = self.lock();
        (state.frozen_until, state.cut_until, state.clock_offset) = (None, None, 0);
    }
}

/// Runs a coordinator on a machine for ever.
pub async fn run(cluster: Arc<Cluster>, slot: Arc<Slot>, mut dice: Dice) {
    loop {
        sleep(dice.millis(50, 400)).await;
        slot.thawed().await;
        if slot.is_cut_off() || cluster.is_down() {
            continue;
        }
        let Some(epoch) = cluster.disk.take_lease() else { continue };
        cluster.took_over(&slot, epoch);
        slot.attentive.store(dice.percent(50), Ordering::Relaxed);
        let process = Arc::new(Process::new(cluster.clone(), slot.clone(), epoch, dice.fork()));
        serve(&cluster, &process, &mut dice).await;
        process.alive.store(false, Ordering::Relaxed);
        slot.lock().operations = None;
        cluster.network.forget_coordinator(slot.number);
        cluster.judge(|judge| judge.note("process ended", &[slot.number as u8]));
        sleep(dice.millis(200, 2_500)).await;
    }
}

/// From recovery to the end of one process.
async fn serve(cluster: &Arc<Cluster>, process: &Arc<Process>, dice: &mut Dice) {
    let slot = &process.slot;
    let (inbox, messages) = mpsc::channel(INBOX_MAX);
    let doors = Doors::new(1);
    let brought = tokio::spawn(bring(messages, doors.clone()));
    let settings = Settings {
        name: format!("coordinator-{}", slot.number),
        active_tasks_max: cluster.active_max,
        keep_keys: Duration::from_secs(24 * 3600),
        ..Settings::default()
    };
    let surroundings = Surroundings { clock: Arc::new(MachineClock(slot.clone())), chance: Arc::new(Tokens(Mutex::new(dice.fork()))) };
    let bus = Arc::new(BusPort { process: process.clone(), inbox: inbox.clone() });
    let egress = Arc::new(NoEgress(inbox.clone()));
    let shards = Arc::new(OneShard(process.clone()));
    let installation = Installation { settings, shards, doors, bus, egress, spans: SpanSink::default(), surroundings, url: None };
    let cuts = cluster.power_cuts();
    let Hosted { operations, mut ended } = match tasker_runtime::host(installation).await {
        Ok(running) => running,
        Err(error) => {
            if !slot.is_cut_off() && !cluster.is_down() && cluster.power_cuts() == cuts {
                cluster.judge(|judge| {
                    judge.violated(
                        "recovery",
                        format!("{error}: {}", std::error::Error::source(&error).map_or_else(String::new, ToString::to_string)),
                    )
                });
            }
            return brought.abort();
        }
    };
    cluster.network.add_coordinator(slot.clone(), inbox);
    slot.lock().operations = Some(operations);
    let renewals = renew(cluster.clone(), slot.clone(), process.epoch);
    tokio::pin!(renewals);
    let outcome = tokio::select! {
        biased;
        () = slot.kill.notified() => None,
        outcome = &mut ended => Some(outcome),
        () = &mut renewals => None,
    };
    // A killed process says nothing from now on; what its loop had handed to the database may still be written.
    process.alive.store(false, Ordering::Relaxed);
    brought.abort();
    match outcome {
        None => ended.abort(),
        Some(Ok(Ok(()))) => {}
        Some(Ok(Err(CommitError::Fenced { .. }))) => cluster.judge(|judge| judge.note("fenced", &[])),
        Some(Ok(Err(CommitError::Unknown(_) | CommitError::Full { .. }))) => {}
        Some(Err(panicked)) => cluster.judge(|judge| judge.violated("panic", panicked.to_string())),
    }
}

/// Hands on what the bus brings.
async fn bring(mut messages: mpsc::Receiver<Inbound>, doors: Doors) {
    while let Some(message) = messages.recv().await {
        match message {
            Inbound::Reconnected => doors.deliver_reconnected().await,
            message => doors.deliver(&tenant(), message).await,
        }
    }
}

/// Keeps the lease; ends when another has it, if the machine is one that looks.
async fn renew(cluster: Arc<Cluster>, slot: Arc<Slot>, epoch: i64) {
    loop {
        sleep(RENEW_EVERY).await;
        slot.thawed().await;
        if slot.is_cut_off() {
            continue;
        }
        if !cluster.disk.renew_lease(epoch) {
            cluster.sometimes("two coordinators that thought they owned the shard");
            if slot.attentive.load(Ordering::Relaxed) || cluster.is_healed() {
                return;
            }
        }
    }
}

impl Cluster {
    /// A machine has taken the lease.
    fn took_over(&self, slot: &Slot, epoch: i64) {
        self.judge(|judge| judge.note("lease taken", &epoch.to_le_bytes()));
        for other in &self.slots {
            if let Some(why) = other.lock().troubled_by.take()
                && other.number != slot.number
            {
                self.sometimes(why);
            }
        }
    }

    /// Asks one machine to leave in order.
    pub fn drain(&self, slot: &Slot) {
        if let Some(operations) = slot.operations() {
            slot.leave();
            tokio::spawn(async move { operations.drain(LEASE).await });
        }
    }

    /// Whether the seed has this kind of fault and faults still last.
    pub fn suffers(&self, fault: Fault) -> bool {
        !self.is_healed() && self.options.has(fault)
    }
}

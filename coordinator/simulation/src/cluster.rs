//! A whole cluster from one seed: faults first, then healing, then everything must end.

use crate::coordinator::Slot;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::fault::{Fault, Options};
use crate::judge::Judge;
use crate::network::Network;
use crate::sometimes::Sometimes;
use crate::{chaos, client, coordinator, worker};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tasker_proto::worker::v1::StepRequest;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How long faults last, in virtual time.
const FAULTS_LAST: (u64, u64) = (12_000, 35_000);
/// How long the cluster may take afterwards until everything is over.
const ENDS_WITHIN: Duration = Duration::from_secs(400);
/// Requests that liars remember.
const OVERHEARD_MAX: usize = 64;
/// Active tasks in seeds with a small limit.
const SMALL_LIMIT: (u64, u64) = (3, 12);

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Promises that did not hold; empty if all is well.
    pub violations: Vec<String>,
    /// Of the trace: the same for the same seed.
    pub hash: u64,
    /// How many things the trace has.
    pub noted: u64,
    /// What was rare.
    pub sometimes: Sometimes,
    /// Tasks, rows and epochs.
    pub figures: (usize, i64, i64),
    /// Virtual time.
    pub elapsed: Duration,
}

/// What all actors of a run know.
pub struct Cluster {
    pub options: Options,
    pub disk: Disk,
    pub network: Network,
    pub slots: Vec<Arc<Slot>>,
    pub active_max: usize,
    judge: Arc<Mutex<Judge>>,
    healed: AtomicBool,
    power_cuts: AtomicU64,
    full_until: Mutex<Option<Instant>>,
    down_until: Mutex<Option<Instant>>,
    overheard: Mutex<VecDeque<(&'static str, StepRequest)>>,
    workers: Vec<Notify>,
}

impl Cluster {
    fn new(options: Options, dice: &mut Dice) -> Self {
        let (low, high) = SMALL_LIMIT;
        let active_max = if options.has(Fault::SmallLimit) { dice.between(low, high) as usize } else { 10_000 };
        let judge = Arc::new(Mutex::new(Judge::new(options.clone(), active_max)));
        Self {
            disk: Disk::new(judge.clone()),
            network: Network::new(dice.fork()),
            slots: (0..dice.between(2, 3) as usize).map(|number| Arc::new(Slot::new(number))).collect(),
            active_max,
            judge,
            healed: AtomicBool::new(false),
            power_cuts: AtomicU64::new(0),
            full_until: Mutex::new(None),
            down_until: Mutex::new(None),
            overheard: Mutex::default(),
            workers: (0..dice.between(4, 9)).map(|_| Notify::new()).collect(),
            options,
        }
    }

    pub fn judge<T>(&self, with: impl FnOnce(&mut Judge) -> T) -> T {
        with(&mut self.judge.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn sometimes(&self, what: &'static str) {
        self.judge(|judge| judge.sometimes(what));
    }

    pub fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    pub fn power_cuts(&self) -> u64 {
        self.power_cuts.load(Ordering::Relaxed)
    }

    /// The database stops at once and takes a while to come back.
    pub fn cut_power(&self, how_long: Duration) {
        self.power_cuts.fetch_add(1, Ordering::Relaxed);
        *self.down_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + how_long);
    }

    pub fn is_down(&self) -> bool {
        self.down_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until > Instant::now())
    }

    pub fn fill_disk(&self, how_long: Duration) {
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + how_long);
    }

    pub fn is_full(&self) -> bool {
        self.full_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until > Instant::now())
    }

    pub fn clock_went_back(&self) {
        self.judge(|judge| {
            let timers = judge.open_tasks().any(|(_, known)| known.task.indexes().any(|step| known.task.step_due(step).is_some()));
            if timers {
                judge.sometimes("a clock that went backwards while a timer ran");
            }
        });
    }

    pub fn kill_worker(&self, dice: &mut Dice) {
        dice.pick(&self.workers).into_iter().for_each(Notify::notify_one);
    }

    pub async fn killed_worker(&self, number: usize) {
        self.workers[number].notified().await;
    }

    /// A request that anybody on the bus might have seen.
    pub fn overhear(&self, system: &'static str, request: &StepRequest) {
        let mut overheard = self.overheard.lock().unwrap_or_else(PoisonError::into_inner);
        overheard.push_back((system, request.clone()));
        if overheard.len() > OVERHEARD_MAX {
            overheard.pop_front();
        }
    }

    pub fn overheard(&self, dice: &mut Dice) -> Option<(&'static str, StepRequest)> {
        let overheard = self.overheard.lock().unwrap_or_else(PoisonError::into_inner);
        let recent: Vec<_> = overheard.iter().rev().take(12).cloned().collect();
        dice.pick(&recent).cloned()
    }

    /// Faults are over.
    fn heal(&self) {
        self.judge(|judge| judge.note("healed", &[]));
        self.healed.store(true, Ordering::Relaxed);
        self.slots.iter().for_each(|slot| slot.heal());
        self.network.heal();
        self.network.thaw();
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Hung handlers end with their processes; a corrupted hello is forgotten with the session that said it.
        if self.options.has(Fault::WorkerHang) || self.options.has(Fault::Corruption) {
            self.workers.iter().for_each(Notify::notify_one);
        }
    }
}

/// Runs one seed on a thread of its own making: nothing is shared with other runs.
pub fn run(options: Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime with nothing but time can always be made");
    runtime.block_on(play(options))
}

async fn play(options: Options) -> Outcome {
    let mut dice = Dice::new(options.seed);
    let cluster = Arc::new(Cluster::new(options, &mut dice));
    let carrier = cluster.clone();
    tokio::spawn(async move { carrier.network.carry(carrier.clone()).await });
    for slot in &cluster.slots {
        tokio::spawn(coordinator::run(cluster.clone(), slot.clone(), dice.fork()));
    }
    for number in 0..cluster.workers.len() {
        tokio::spawn(worker::run(cluster.clone(), number, dice.fork()));
    }
    let clients = client::start(&cluster, &mut dice);
    tokio::spawn(chaos::run(cluster.clone(), dice.fork()));
    sleep(dice.millis(FAULTS_LAST.0, FAULTS_LAST.1)).await;
    cluster.heal();
    let ended = tokio::time::timeout(ENDS_WITHIN, client::until_over(&cluster, clients)).await;
    let why = if ended.is_err() { client::why(&cluster).await } else { Vec::new() };
    cluster.judge(|judge| {
        if ended.is_err() {
            let unfinished = judge.unfinished();
            judge.violated(
                "P12",
                format!("{} s after healing, {} tasks are open: {unfinished:?}; {why:?}", ENDS_WITHIN.as_secs(), unfinished.len()),
            );
        }
    });
    if ended.is_ok() {
        client::compare_views(&cluster).await;
    }
    cluster.judge(|judge| {
        for id in judge.tasks.keys().copied().collect::<Vec<_>>() {
            judge.check_whole(id);
        }
        let (hash, noted) = judge.trace();
        Outcome {
            violations: std::mem::take(&mut judge.violations),
            hash,
            noted,
            sometimes: judge.sometimes.clone(),
            figures: (judge.tasks.len(), judge.last, judge.epoch),
            elapsed: judge.elapsed(),
        }
    })
}

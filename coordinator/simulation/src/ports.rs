//! The ports of one coordinator, as the simulation plays them: the way to the database with its faults, the bus in the real encoding, no way out
//! over HTTP, a clock that jumps and tokens from the seed.

use crate::cluster::Cluster;
use crate::coordinator::Slot;
use crate::dice::Dice;
use crate::disk::Refused;
use crate::fault::Fault;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tasker_engine::{Namespace, ShardId, SystemName, TaskId, Timestamp};
use tasker_runtime::port::bus::{Answer, Bus, Call, CallOutcome, Inbound, ToWorker};
use tasker_runtime::port::egress::{CallbackRefusal, Egress, Health, HttpAnswer, HttpCall, HttpOutcome, ProbeTarget};
use tasker_runtime::port::shards::{Claim, CoordinatorId, Lease, Peer, Shards, Standing};
use tasker_runtime::port::store::{
    Batch, CommitError, DeadLetter, History, JournalRow, KeyUse, LetterFilter, LetterGroups, LetterSearch, MissedLetters, ReadError,
    Recovery, Search, Sequence, Store, TaskRow,
};
use tasker_runtime::port::surroundings::{Chance, Clock};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Faults of single commits, in a thousand each.
const OFTEN: u64 = 4;

/// One run of a coordinator's process.
pub struct Process {
    pub cluster: Arc<Cluster>,
    pub slot: Arc<Slot>,
    pub epoch: i64,
    pub alive: AtomicBool,
    dice: Mutex<Dice>,
    failed: AtomicBool,
}

/// What becomes of one commit.
enum Luck {
    Good,
    Stalls(Duration),
    Fails(&'static str),
    Full,
    Unknown { written: bool },
}

impl Process {
    pub fn new(cluster: Arc<Cluster>, slot: Arc<Slot>, epoch: i64, dice: Dice) -> Self {
        Self { cluster, slot, epoch, alive: AtomicBool::new(true), dice: Mutex::new(dice), failed: AtomicBool::new(false) }
    }

    fn dice<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn luck(&self) -> Luck {
        let cluster = &self.cluster;
        if cluster.is_healed() {
            return Luck::Good;
        }
        if cluster.is_full() {
            return Luck::Full;
        }
        self.dice(|dice| {
            if cluster.options.has(Fault::IoError) && dice.per_mille(OFTEN) {
                Luck::Fails("input/output error")
            } else if cluster.options.has(Fault::UnknownCommit) && dice.per_mille(OFTEN) {
                Luck::Unknown { written: dice.percent(50) }
            } else if cluster.options.has(Fault::Stall) && dice.per_mille(OFTEN) {
                Luck::Stalls(dice.millis(500, 8_000))
            } else {
                Luck::Good
            }
        })
    }

    fn write(&self, batch: &Batch) -> Result<(), CommitError> {
        self.cluster.disk.write(self.epoch, batch).map_err(|refused| match refused {
            Refused::Fenced => {
                self.cluster.sometimes("a commit of a stale epoch");
                CommitError::Fenced { epoch: self.epoch }
            }
            Refused::Contradiction(what) => {
                self.cluster.judge(|judge| judge.violated("P11", format!("a coordinator contradicts the record: {what}")));
                unknown(&what)
            }
        })
    }

    async fn commit_now(&self, batch: Batch) -> Result<(), CommitError> {
        if !self.alive.load(Ordering::Relaxed) {
            // What is left of a killed process does nothing any more.
            return Err(unknown("killed"));
        }
        if self.failed.load(Ordering::Relaxed) {
            self.cluster.judge(|judge| judge.violated("P3", "a commit follows one that failed".into()));
        }
        let outcome = self.try_commit(batch).await;
        if matches!(outcome, Err(CommitError::Fenced { .. } | CommitError::Unknown(_))) {
            self.failed.store(true, Ordering::Relaxed);
        }
        outcome
    }

    async fn try_commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.slot.thawed().await;
        sleep(self.dice(|dice| dice.millis(0, 2))).await;
        let luck = self.luck();
        if let Luck::Stalls(how_long) = luck {
            sleep(how_long).await;
        }
        if self.slot.is_cut_off() {
            return self.lose(batch).await;
        }
        if matches!(luck, Luck::Full) {
            self.cluster.sometimes("a commit that found no space");
            return Err(CommitError::Full { batch: Box::new(batch), source: "no space left on device".into() });
        }
        if let Luck::Fails(why) = luck {
            self.cluster.sometimes("a commit failed and nothing was written");
            return Err(unknown(why));
        }
        let cuts = self.cluster.power_cuts();
        sleep(self.dice(|dice| dice.millis(1, 4))).await;
        self.slot.thawed().await;
        if self.cluster.power_cuts() != cuts || self.cluster.is_down() {
            self.cluster.sometimes("a power cut during a commit");
            return Err(unknown("the server closed the connection"));
        }
        // A killed process may have handed its commit over, or not.
        if !self.alive.load(Ordering::Relaxed) && self.dice(|dice| dice.percent(50)) {
            return Err(unknown("killed"));
        }
        if let Luck::Unknown { written } = luck {
            if written && self.write(&batch).is_ok() {
                self.cluster.sometimes("an unknown commit that was written");
                self.untold(&batch);
            } else if !written {
                self.cluster.sometimes("an unknown commit that was not written");
            }
            return Err(unknown("the connection was lost while committing"));
        }
        self.write(&batch)?;
        if !self.alive.load(Ordering::Relaxed) {
            self.untold(&batch);
        }
        Ok(())
    }

    /// Nobody will be told of what was written.
    fn untold(&self, batch: &Batch) {
        if batch.journal.iter().any(|row| row.previous == 0) {
            self.cluster.sometimes("a task accepted although its client was told nothing");
        }
    }

    /// The database is out of reach: the caller gives up after a while, and what it sent may still arrive later.
    async fn lose(&self, batch: Batch) -> Result<(), CommitError> {
        let (arrives, gives_up) = self.dice(|dice| (dice.percent(50), dice.millis(300, 3_000)));
        if arrives {
            let (cluster, slot, epoch) = (self.cluster.clone(), self.slot.clone(), self.epoch);
            let more = self.dice(|dice| dice.millis(0, 4_000));
            let patience = gives_up;
            tokio::spawn(async move {
                let began = Instant::now();
                while slot.is_cut_off() {
                    sleep(Duration::from_millis(50)).await;
                }
                sleep(more).await;
                if began.elapsed() > patience {
                    cluster.sometimes("a commit that arrived after its caller had given up");
                }
                if cluster.disk.write(epoch, &batch) == Err(Refused::Fenced) {
                    cluster.sometimes("a commit of a stale epoch");
                }
            });
        }
        sleep(gives_up).await;
        Err(unknown("the database cannot be reached"))
    }

    async fn reach(&self) -> Result<(), ReadError> {
        self.slot.thawed().await;
        sleep(self.dice(|dice| dice.millis(0, 2))).await;
        if self.slot.is_cut_off() || self.cluster.is_down() {
            sleep(Duration::from_millis(500)).await;
            return Err(ReadError::Database("the database cannot be reached".into()));
        }
        Ok(())
    }
}

fn unknown(why: &str) -> CommitError {
    CommitError::Unknown(why.into())
}

/// The store of one process.
pub struct DiskPort(pub Arc<Process>);

impl Store for DiskPort {
    fn recover(&self) -> BoxFuture<'_, Result<Recovery, ReadError>> {
        Box::pin(async {
            self.0.reach().await?;
            self.0.cluster.judge(|judge| judge.note_fail_over(self.0.slot.now()));
            Ok(self.0.cluster.disk.recovery())
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async {
            if batch.is_empty() {
                return Ok(());
            }
            // As the real ones do: a caller that is gone does not interrupt a commit.
            let process = self.0.clone();
            let commit = tokio::spawn(async move { process.commit_now(batch).await });
            commit.await.unwrap_or_else(|_| Err(unknown("the writer is gone")))
        })
    }

    fn history(&self, task: TaskId, last: Option<Sequence>) -> BoxFuture<'_, Result<Option<History>, ReadError>> {
        Box::pin(async move {
            self.0.reach().await?;
            self.0.cluster.disk.history(task, last)
        })
    }

    fn histories<'s>(&'s self, heads: &'s [(TaskId, Sequence)]) -> BoxFuture<'s, Result<Vec<History>, ReadError>> {
        Box::pin(async {
            self.0.reach().await?;
            // Never all of many, so that whoever asks has to ask again.
            let most = self.0.dice(|dice| dice.between(1, 8)) as usize;
            let histories = heads.iter().take(most).map(|(id, last)| self.0.cluster.disk.history(*id, Some(*last)));
            histories.filter_map(Result::transpose).collect()
        })
    }

    fn find_key<'s>(&'s self, namespace: &'s Namespace, key: &'s str) -> BoxFuture<'s, Result<Option<KeyUse>, ReadError>> {
        Box::pin(async {
            self.0.reach().await?;
            Ok(self.0.cluster.disk.find_key(namespace, key))
        })
    }

    fn search<'s>(&'s self, search: &'s Search) -> BoxFuture<'s, Result<Vec<TaskRow>, ReadError>> {
        Box::pin(async {
            self.0.reach().await?;
            Ok(self.0.cluster.disk.search(search))
        })
    }

    fn task_row(&self, task: TaskId) -> BoxFuture<'_, Result<Option<TaskRow>, ReadError>> {
        Box::pin(async move {
            self.0.reach().await?;
            Ok(self.0.cluster.disk.task_row(task))
        })
    }

    fn journal(&self, after: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<JournalRow>, ReadError>> {
        Box::pin(async move {
            self.0.reach().await?;
            self.0.cluster.disk.journal(after, limit)
        })
    }

    fn letters<'s>(&'s self, search: &'s LetterSearch) -> BoxFuture<'s, Result<Vec<DeadLetter>, ReadError>> {
        Box::pin(async {
            self.0.reach().await?;
            Ok(self.0.cluster.disk.letters(|letters| letters.page(search)))
        })
    }

    fn letter(&self, task: TaskId) -> BoxFuture<'_, Result<Option<DeadLetter>, ReadError>> {
        Box::pin(async move {
            self.0.reach().await?;
            Ok(self.0.cluster.disk.letters(|letters| letters.of(task)))
        })
    }

    fn letter_groups<'s>(&'s self, filter: &'s LetterFilter) -> BoxFuture<'s, Result<LetterGroups, ReadError>> {
        Box::pin(async {
            self.0.reach().await?;
            Ok(self.0.cluster.disk.letters(|letters| letters.groups(filter)))
        })
    }

    fn letters_missed<'s>(&'s self, namespace: &'s Namespace) -> BoxFuture<'s, Result<Option<MissedLetters>, ReadError>> {
        Box::pin(async {
            self.0.reach().await?;
            Ok(self.0.cluster.disk.letters(|letters| letters.missed(namespace)))
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        Box::pin(async { self.0.reach().await })
    }

    fn describe(&self) -> String {
        "simulated".into()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.0.alive.load(Ordering::Relaxed) {
                self.0.cluster.disk.give_lease_back(self.0.epoch);
            }
        })
    }
}

/// The ledger of the one shard, which the machine has taken before its process starts.
pub struct OneShard(pub Arc<Process>);

impl OneShard {
    fn standing(&self) -> Standing {
        let me = Peer { id: self.me(), name: format!("coordinator-{}", self.0.slot.number), url: None };
        Standing { coordinators: vec![me], leases: vec![Lease { shard: ShardId::default(), epoch: self.0.epoch, owner: None }] }
    }
}

impl Shards for OneShard {
    fn me(&self) -> CoordinatorId {
        CoordinatorId(self.0.epoch)
    }

    fn count(&self) -> u8 {
        1
    }

    fn beat<'s>(&'s self, _: Option<&'s str>) -> BoxFuture<'s, Result<Standing, ReadError>> {
        Box::pin(async { Ok(self.standing()) })
    }

    fn claim(&self, _: ShardId) -> BoxFuture<'_, Result<Option<Claim>, ReadError>> {
        Box::pin(async {
            let store: Arc<dyn Store> = Arc::new(DiskPort(self.0.clone()));
            Ok(Some(Claim { epoch: self.0.epoch, store }))
        })
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn callback_secret(&self) -> BoxFuture<'_, Result<[u8; 32], ReadError>> {
        Box::pin(async { Ok([7; 32]) })
    }

    fn describe(&self) -> String {
        "simulated".into()
    }
}

/// The bus of one process.
pub struct BusPort {
    pub process: Arc<Process>,
    pub inbox: mpsc::Sender<Inbound>,
}

impl Bus for BusPort {
    fn send(&self, messages: Vec<ToWorker>) {
        let cluster = &self.process.cluster;
        if !self.process.alive.load(Ordering::Relaxed) {
            return;
        }
        for message in messages {
            cluster.judge(|judge| judge.leaving(self.process.epoch, &message));
            let session = message.session.clone();
            for bytes in tasker_wire::worker::encode(message) {
                cluster.network.to_worker(cluster, self.process.slot.number, &session, bytes);
            }
        }
    }

    fn serve(&self, _: ShardId) {}

    fn leave(&self, _: ShardId) {}

    fn call(&self, call: Call) {
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(2)).await;
            let _ = inbox.send(Inbound::Answered(Answer { call: call.key, outcome: CallOutcome::NoResponders })).await;
        });
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn refused(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }

    fn describe(&self) -> String {
        "simulated".into()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Nobody is reached over HTTP.
pub struct NoEgress(pub mpsc::Sender<Inbound>);

impl Egress for NoEgress {
    fn call(&self, call: HttpCall) {
        let inbox = self.0.clone();
        tokio::spawn(async move {
            let outcome = HttpOutcome::Unreachable { reason: "simulated".into() };
            let _ = inbox.send(Inbound::HttpAnswered(HttpAnswer { call: call.key, outcome })).await;
        });
    }

    fn read_callback(&self, _: &str, _: Bytes) -> Result<HttpAnswer, CallbackRefusal> {
        Err(CallbackRefusal::TokenInvalid)
    }

    fn task_of_callback(&self, _: &str) -> Option<TaskId> {
        None
    }

    fn watch(&self, _: ShardId, _: Vec<ProbeTarget>) {}

    fn health(&self, _: &Namespace, _: &SystemName) -> Health {
        Health::UNKNOWN
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// The wall clock of one machine.
pub struct MachineClock(pub Arc<Slot>);

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// Tokens and ids of one process.
pub struct Tokens(pub Mutex<Dice>);

impl Chance for Tokens {
    fn draw(&self) -> [u8; 16] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sixteen()
    }
}

//! The bus between workers and coordinators: subjects and bytes as they are in reality, and everything that may happen to a message.

use crate::cluster::Cluster;
use crate::coordinator::Slot;
use crate::dice::Dice;
use crate::fault::Fault;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tasker_engine::SessionId;
use tasker_runtime::port::bus::Inbound;
use tasker_wire::worker::{Kind, Subjects, decode};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// What a worker's client library hands on.
pub enum ToWorkerPort {
    /// A message on its own subject.
    Message(Bytes),
    /// The connection was lost and has come back.
    Reconnected,
}

struct CoordinatorPort {
    slot: Arc<Slot>,
    inbox: mpsc::Sender<Inbound>,
    /// What arrived while the machine was paused.
    held: Vec<Inbound>,
}

/// Cut off until these instants: what it sends, what it receives.
#[derive(Default, Clone, Copy)]
struct Cut {
    out: Option<Instant>,
    into: Option<Instant>,
}

enum Parcel {
    ToCoordinator { slot: usize, subject: String, bytes: Bytes },
    ToWorker { session: SessionId, bytes: Bytes },
}

struct State {
    dice: Dice,
    coordinators: BTreeMap<usize, CoordinatorPort>,
    workers: BTreeMap<SessionId, mpsc::UnboundedSender<ToWorkerPort>>,
    under_way: BTreeMap<(Instant, u64), Parcel>,
    last: u64,
    cut_coordinators: BTreeMap<usize, Cut>,
    cut_workers: BTreeMap<SessionId, Cut>,
}

/// The bus.
pub struct Network {
    pub subjects: Subjects,
    state: Mutex<State>,
    wake: Notify,
}

impl Network {
    pub fn new(dice: Dice) -> Self {
        let state = State {
            dice,
            coordinators: BTreeMap::new(),
            workers: BTreeMap::new(),
            under_way: BTreeMap::new(),
            last: 0,
            cut_coordinators: BTreeMap::new(),
            cut_workers: BTreeMap::new(),
        };
        Self { subjects: Subjects::new("tasker").expect("a prefix"), state: Mutex::new(state), wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add_coordinator(&self, slot: Arc<Slot>, inbox: mpsc::Sender<Inbound>) {
        let number = slot.number;
        self.lock().coordinators.insert(number, CoordinatorPort { slot, inbox, held: Vec::new() });
    }

    pub fn forget_coordinator(&self, slot: usize) {
        self.lock().coordinators.remove(&slot);
    }

    pub fn add_worker(&self, session: SessionId, mailbox: mpsc::UnboundedSender<ToWorkerPort>) {
        self.lock().workers.insert(session, mailbox);
    }

    pub fn forget_worker(&self, session: &SessionId) {
        self.lock().workers.remove(session);
    }

    /// A worker publishes. Hello and poll go to one coordinator, the rest to all.
    pub fn send_from_worker(&self, cluster: &Cluster, session: &SessionId, subject: &str, body: Vec<u8>) {
        let mut state = self.lock();
        if lasts(state.cut_workers.get(session).and_then(|cut| cut.out)) {
            return;
        }
        let one = subject.ends_with(".hello") || subject.ends_with(".poll");
        let mut to: Vec<usize> = state.coordinators.keys().copied().collect();
        if one && to.len() > 1 {
            let chosen = state.dice.below(to.len() as u64) as usize;
            to = vec![to[chosen]];
        }
        let bytes = Bytes::from(body);
        for slot in to {
            if !lasts(state.cut_coordinators.get(&slot).and_then(|cut| cut.into)) {
                let subject = subject.to_owned();
                state.send(cluster, bytes.clone(), |bytes| Parcel::ToCoordinator { slot, subject: subject.clone(), bytes });
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// A coordinator publishes to one worker.
    pub fn to_worker(&self, cluster: &Cluster, slot: usize, session: &SessionId, bytes: Bytes) {
        let mut state = self.lock();
        let cut = lasts(state.cut_coordinators.get(&slot).and_then(|cut| cut.out))
            || lasts(state.cut_workers.get(session).and_then(|cut| cut.into));
        if !cut {
            state.send(cluster, bytes, |bytes| Parcel::ToWorker { session: session.clone(), bytes });
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Another, empty server takes the bus's place.
    pub fn wipe(&self) {
        let mut state = self.lock();
        state.under_way.clear();
        state.workers.values().for_each(|worker| drop(worker.send(ToWorkerPort::Reconnected)));
        for port in state.coordinators.values_mut() {
            let _ = port.inbox.try_send(Inbound::Reconnected);
        }
    }

    /// Cuts somebody off, in one direction or both.
    pub fn cut(&self, dice: &mut Dice, how_long: Duration) {
        let until = Instant::now() + how_long;
        let (out, into) = *dice.pick(&[(true, false), (false, true), (true, true)]).expect("three ways");
        let cut = Cut { out: out.then_some(until), into: into.then_some(until) };
        let mut state = self.lock();
        let coordinators: Vec<usize> = state.coordinators.keys().copied().collect();
        let workers: Vec<SessionId> = state.workers.keys().cloned().collect();
        if dice.percent(40) {
            dice.pick(&coordinators).map(|slot| state.cut_coordinators.insert(*slot, cut));
        } else {
            dice.pick(&workers).map(|session| state.cut_workers.insert(session.clone(), cut));
        }
    }

    pub fn heal(&self) {
        let mut state = self.lock();
        state.cut_coordinators.clear();
        state.cut_workers.clear();
    }

    /// Carries messages, for ever.
    pub async fn carry(&self, cluster: Arc<Cluster>) {
        loop {
            let next = self.lock().under_way.keys().next().map(|(at, _)| *at);
            match next {
                None => self.wake.notified().await,
                Some(at) if at > Instant::now() => {
                    tokio::select! {
                        biased;
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                Some(_) => self.deliver_due(&cluster),
            }
        }
    }

    fn deliver_due(&self, cluster: &Cluster) {
        let mut state = self.lock();
        let now = Instant::now();
        while let Some(first) = state.under_way.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                Parcel::ToWorker { session, bytes } => {
                    cluster.judge(|judge| judge.note("to worker", &bytes));
                    if let Some(worker) = state.workers.get(&session) {
                        let _ = worker.send(ToWorkerPort::Message(bytes));
                    }
                }
                Parcel::ToCoordinator { slot, subject, bytes } => {
                    cluster.judge(|judge| {
                        judge.note(&subject, &bytes);
                    });
                    let Some(inbound) = self.read(cluster, &subject, bytes) else { continue };
                    if let Some(port) = state.coordinators.get_mut(&slot) {
                        port.take(inbound);
                    }
                }
            }
        }
    }

    /// What the door of every bus does.
    fn read(&self, cluster: &Cluster, subject: &str, bytes: Bytes) -> Option<Inbound> {
        let arrival = self.subjects.read(subject)?;
        debug_assert!(matches!(arrival.kind, Kind::Hello | Kind::Poll | Kind::Beat | Kind::Reply));
        match decode(arrival, bytes) {
            Ok(heard) => Some(Inbound::Worker(heard.message)),
            Err(_) => {
                cluster.sometimes("a message that could not be read");
                None
            }
        }
    }

    /// What arrived while machines were paused reaches those that are not any more.
    pub fn thaw(&self) {
        for port in self.lock().coordinators.values_mut() {
            if !port.slot.is_frozen() {
                for inbound in std::mem::take(&mut port.held) {
                    let _ = port.inbox.try_send(inbound);
                }
            }
        }
    }
}

/// Whether a cut still lasts.
fn lasts(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until > Instant::now())
}

impl CoordinatorPort {
    fn take(&mut self, inbound: Inbound) {
        if self.slot.is_frozen() || !self.held.is_empty() {
            self.held.push(inbound);
        } else {
            // What does not fit is lost, as on a real bus with a slow consumer.
            let _ = self.inbox.try_send(inbound);
        }
    }
}

impl State {
    /// Puts a message on its way, with whatever happens to it there.
    fn send(&mut self, cluster: &Cluster, bytes: Bytes, parcel: impl Fn(Bytes) -> Parcel) {
        let dice = &mut self.dice;
        if cluster.suffers(Fault::Loss) && dice.per_mille(30) {
            return;
        }
        let copies = if cluster.suffers(Fault::Repeat) && dice.per_mille(40) { 2 } else { 1 };
        for _ in 0..copies {
            let mut after = Duration::from_millis(1);
            if cluster.suffers(Fault::Reorder) {
                after += dice.millis(0, 15);
            }
            if cluster.suffers(Fault::Delay) && dice.per_mille(30) {
                after += dice.millis(20, 4_000);
            }
            let bytes = if cluster.suffers(Fault::Corruption) && dice.per_mille(15) { corrupt(dice, &bytes) } else { bytes.clone() };
            self.last += 1;
            self.under_way.insert((Instant::now() + after, self.last), parcel(bytes));
        }
    }
}

fn corrupt(dice: &mut Dice, bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    if changed.is_empty() {
        return bytes.clone();
    }
    for _ in 0..dice.between(1, 3) {
        let at = dice.below(changed.len() as u64) as usize;
        changed[at] ^= dice.between(1, 255) as u8;
    }
    if dice.percent(20) {
        changed.truncate(dice.below(changed.len() as u64) as usize);
    }
    changed.into()
}

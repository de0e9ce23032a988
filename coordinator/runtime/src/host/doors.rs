//! The doors to the shards that run here, and the way to those that do not: for requests, for messages of workers, for answers of systems.

use crate::command::{Command, Whose};
use crate::operations::{Unavailable, Watchers};
use crate::port::bus::Inbound;
use crate::port::store::Store;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tasker_engine::{Namespace, ShardId};
use tasker_registry::SessionKey;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Sessions of other coordinators' workers that are remembered, so that a take-over can greet them. The oldest are forgotten past it.
const OVERHEARD_MAX: usize = 100_000;

/// Where a shard runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Here,
    /// In another coordinator, whose API is at this address, if it said so.
    Elsewhere(Option<Arc<str>>),
    /// Nowhere at this moment: it is being taken over.
    Nowhere,
}

/// The way into one shard's loop.
#[derive(Clone)]
pub(crate) struct Door {
    pub commands: mpsc::Sender<Command>,
    pub inbox: mpsc::Sender<Inbound>,
    pub store: Arc<dyn Store>,
}

/// The doors of a coordinator; cheap to clone.
#[derive(Clone)]
pub struct Doors(Arc<Table>);

struct Table {
    count: u8,
    doors: RwLock<Vec<Option<Door>>>,
    elsewhere: RwLock<Vec<Place>>,
    committed: Watchers,
    changes: watch::Sender<()>,
    overheard: Mutex<HashMap<SessionKey, Instant>>,
}

impl Doors {
    /// The doors of a coordinator of a database with `count` shards; all closed.
    pub fn new(count: u8) -> Self {
        let count = count.clamp(1, ShardId::COUNT_MAX);
        Self(Arc::new(Table {
            count,
            doors: RwLock::new(vec![None; usize::from(count)]),
            elsewhere: RwLock::new(vec![Place::Nowhere; usize::from(count)]),
            committed: Watchers::default(),
            changes: watch::channel(()).0,
            overheard: Mutex::new(HashMap::new()),
        }))
    }

    /// The shard of a namespace.
    pub fn shard_of(&self, namespace: &Namespace) -> ShardId {
        ShardId::of(namespace, self.0.count)
    }

    /// Where a shard runs.
    pub fn place(&self, shard: ShardId) -> Place {
        if self.door(shard).is_some() {
            return Place::Here;
        }
        let elsewhere = self.0.elsewhere.read().unwrap_or_else(PoisonError::into_inner);
        elsewhere.get(usize::from(shard.0)).cloned().unwrap_or(Place::Nowhere)
    }

    /// Where a shard runs, once that is known: a take-over is waited for, but not for longer than `at_most`.
    pub async fn place_within(&self, shard: ShardId, at_most: Duration) -> Place {
        let mut changes = self.0.changes.subscribe();
        let known = async {
            loop {
                let place = self.place(shard);
                if place != Place::Nowhere || changes.changed().await.is_err() {
                    return place;
                }
            }
        };
        tokio::time::timeout(at_most, known).await.unwrap_or(Place::Nowhere)
    }

    /// Returns once a shard is no longer where it was.
    pub async fn moved_from(&self, shard: ShardId, before: &Place) {
        let mut changes = self.0.changes.subscribe();
        while self.place(shard) == *before && changes.changed().await.is_ok() {}
    }

    /// Whether messages of a namespace are for this coordinator.
    pub fn is_here(&self, namespace: &Namespace) -> bool {
        self.door(self.shard_of(namespace)).is_some()
    }

    /// Hands a message to the shard of its namespace; waits while that is behind, so that the bus is slowed and nothing is lost (P22). A message
    /// for a shard that is not here goes nowhere: whoever sent it sends it again to the next owner.
    pub async fn deliver(&self, namespace: &Namespace, message: Inbound) {
        if let Some(door) = self.door(self.shard_of(namespace)) {
            // A loop that has ended has been replaced, or will be.
            let _ = door.inbox.send(message).await;
        }
    }

    /// Tells every shard that runs here that the bus was lost and has come back.
    pub async fn deliver_reconnected(&self) {
        for door in self.open() {
            let _ = door.inbox.send(Inbound::Reconnected).await;
        }
    }

    /// Remembers a worker of a namespace that runs elsewhere, as long as it goes on speaking.
    pub fn overhear(&self, session: SessionKey) {
        let mut overheard = self.0.overheard.lock().unwrap_or_else(PoisonError::into_inner);
        if overheard.len() >= OVERHEARD_MAX && !overheard.contains_key(&session) {
            let newest = overheard.values().max().copied();
            overheard.retain(|_, heard| newest.is_some_and(|newest| newest.saturating_duration_since(*heard) < Duration::from_secs(2)));
        }
        if overheard.len() < OVERHEARD_MAX {
            overheard.insert(session, Instant::now());
        }
    }

    /// Takes the workers of a shard that spoke within this time.
    pub(crate) fn take_overheard(&self, shard: ShardId, within: Duration) -> Vec<SessionKey> {
        let mut overheard = self.0.overheard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<SessionKey> = Vec::new();
        overheard.retain(|session, heard| {
            let of_shard = self.shard_of(&session.namespace) == shard;
            if of_shard && heard.elapsed() <= within {
                taken.push(session.clone());
            }
            !of_shard
        });
        taken.sort();
        taken
    }

    pub(crate) fn door(&self, shard: ShardId) -> Option<Door> {
        let doors = self.0.doors.read().unwrap_or_else(PoisonError::into_inner);
        doors.get(usize::from(shard.0)).cloned().flatten()
    }

    /// Every open door, in the order of shards.
    pub(crate) fn open(&self) -> Vec<Door> {
        self.0.doors.read().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }

    /// The shards that run here.
    pub(crate) fn here(&self) -> Vec<ShardId> {
        let doors = self.0.doors.read().unwrap_or_else(PoisonError::into_inner);
        doors.iter().enumerate().filter(|(_, door)| door.is_some()).map(|(at, _)| ShardId(at as u8)).collect()
    }

    pub(crate) fn count(&self) -> u8 {
        self.0.count
    }

    /// The door that a command goes through.
    pub(crate) fn door_for(&self, command: &Command) -> Result<Door, Unavailable> {
        let shard = match command.whose() {
            Whose::Namespace(namespace) => self.shard_of(namespace),
            Whose::Task(task) => self.shard_of_task(task),
            Whose::Loop => return self.open().into_iter().next().ok_or(Unavailable::Moving),
        };
        self.door(shard).ok_or(Unavailable::Moving)
    }

    /// The shard that gave a task its id.
    pub(crate) fn shard_of_task(&self, task: tasker_engine::TaskId) -> ShardId {
        if self.0.count == 1 { ShardId::default() } else { task.shard() }
    }

    pub(crate) fn committed(&self) -> Watchers {
        self.0.committed.clone()
    }

    pub(crate) fn set(&self, shard: ShardId, door: Option<Door>) {
        if let Some(place) = self.0.doors.write().unwrap_or_else(PoisonError::into_inner).get_mut(usize::from(shard.0)) {
            *place = door;
        }
        self.0.changes.send_replace(());
    }

    pub(crate) fn set_elsewhere(&self, shard: ShardId, place: Place) {
        if let Some(known) = self.0.elsewhere.write().unwrap_or_else(PoisonError::into_inner).get_mut(usize::from(shard.0))
            && *known != place
        {
            *known = place;
            self.0.changes.send_replace(());
        }
    }
}

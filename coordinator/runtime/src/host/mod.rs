//! Which shards this coordinator runs: beats, takes what is free, hands over what others should have, lets go of what it has lost.
//!
//! A shard's loop knows nothing of this. It is started with a store of its epoch and ends when its commits are refused, when it is asked to
//! drain, or when a commit failed; what that means for the process is decided here. On a database with one owner (SQLite) a failed commit
//! stops the process (P3); on one with several the shard is claimed again under a new epoch and recovered from what is committed.

mod doors;
mod plan;

pub(crate) use doors::Door;
pub use doors::{Doors, Place};

use crate::operations::{Household, Operations};
use crate::port::bus::{Bus, Inbound};
use crate::port::egress::Egress;
use crate::port::shards::{BEAT, Claim, Epoch, LEASE, Shards, Standing};
use crate::port::store::{CommitError, ReadError};
use crate::port::surroundings::Surroundings;
use crate::settings::{COMMANDS_MAX, INBOX_MAX, Settings};
use crate::shard::{self, StartError};
use crate::trace::SpanSink;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::ShardId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long after a failed start of a shard it is tried again.
const CLAIM_AGAIN: Duration = Duration::from_secs(2);

/// A coordinator that runs: the door to it and the end of it.
pub struct Hosted {
    /// The door.
    pub operations: Operations,
    /// Ends when the host ends: `Ok` after a drain, an error if a commit failed and nobody may repeat it.
    pub ended: JoinHandle<Result<(), CommitError>>,
}

/// What all shards of a coordinator share.
pub struct Installation {
    /// How the loops behave; each gets its own shard.
    pub settings: Settings,
    /// Who runs what.
    pub shards: Arc<dyn Shards>,
    /// Where messages and requests come in.
    pub doors: Doors,
    /// The wire to the workers.
    pub bus: Arc<dyn Bus>,
    /// The way out to systems over HTTP.
    pub egress: Arc<dyn Egress>,
    /// Where spans go.
    pub spans: SpanSink,
    /// Time and chance; each loop has a clock of its own start.
    pub surroundings: Surroundings,
    /// Where other coordinators reach the API of this one.
    pub url: Option<String>,
}

/// Asks the host to stop.
pub(crate) struct Leave {
    pub grace: Duration,
    pub done: oneshot::Sender<()>,
}

/// Why a shard's loop could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Whether the shard is free could not be found out.
    #[error("the database could not be asked for shard {0}")]
    Claim(ShardId, #[source] ReadError),
    /// It was taken, but its record could not be recovered.
    #[error("shard {0} could not be recovered")]
    Start(ShardId, #[source] StartError),
}

type Ended = (ShardId, Epoch, Result<(), CommitError>);

struct Host {
    installation: Installation,
    held: BTreeMap<ShardId, Held>,
    starting: BTreeMap<ShardId, Instant>,
    ended: FuturesUnordered<JoinHandle<Ended>>,
    /// When the database last said that this coordinator lives.
    confirmed: Instant,
    household: Arc<Household>,
    /// Failed starts, by when they may be tried again.
    resting: BTreeMap<ShardId, Instant>,
}

struct Held {
    epoch: Epoch,
    abort: tokio::task::AbortHandle,
    handing_over: bool,
}

/// A shard whose loop has been started elsewhere than in the host, so that a long recovery holds up no beat.
type Started = (ShardId, Result<Option<Recovered>, HostError>);

/// What is taken up: under which epoch, the loop, and its door.
type Recovered = (Epoch, shard::Ready, Door);

/// Takes the shards that are free now, starts their loops, and goes on keeping house.
///
/// # Errors
/// A shard that is ours to run cannot be recovered.
pub async fn host(installation: Installation) -> Result<Hosted, HostError> {
    let (leave, leaving) = mpsc::channel(4);
    let household = Arc::new(Household::default());
    let operations = Operations::new(&installation, household.clone(), leave);
    let mut host = Host {
        installation,
        held: BTreeMap::new(),
        starting: BTreeMap::new(),
        ended: FuturesUnordered::new(),
        confirmed: Instant::now(),
        household,
        resting: BTreeMap::new(),
    };
    let (started, starts) = mpsc::channel(usize::from(ShardId::COUNT_MAX));
    host.first_shards().await?;
    let ended = tokio::spawn(host.run(leaving, started, starts));
    Ok(Hosted { operations, ended })
}

impl Host {
    /// Before anybody is served: what is free is taken and recovered, and a fault in it is the caller's.
    async fn first_shards(&mut self) -> Result<(), HostError> {
        let standing = self.beat().await.map_err(|error| HostError::Claim(ShardId::default(), error))?;
        let plan = plan::plan(self.installation.shards.me(), &BTreeSet::new(), &standing);
        let starts = plan.take.into_iter().map(|shard| {
            let parts = self.parts();
            async move { (shard, start(parts, shard).await) }
        });
        for (shard, outcome) in futures::future::join_all(starts.collect::<Vec<_>>()).await {
            if let Some(started) = outcome? {
                self.take_up(shard, started);
            }
        }
        self.note_others(&standing);
        Ok(())
    }

    async fn run(
        mut self,
        mut leaving: mpsc::Receiver<Leave>,
        started: mpsc::Sender<Started>,
        mut starts: mpsc::Receiver<Started>,
    ) -> Result<(), CommitError> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shared = self.installation.doors.count() > 1;
        loop {
            tokio::select! {
                biased;
                Some(leave) = leaving.recv() => return self.leave(leave, starts).await,
                Some(ended) = self.ended.next(), if !self.ended.is_empty() => self.lost(ended, shared)?,
                Some((shard, outcome)) = starts.recv() => self.settle_start(shard, outcome),
                _ = beat.tick(), if shared => self.keep_house(&started).await,
            }
        }
    }

    async fn beat(&mut self) -> Result<Standing, ReadError> {
        let standing = self.installation.shards.beat(self.installation.url.as_deref()).await?;
        self.confirmed = Instant::now();
        Ok(standing)
    }

    /// One beat: says that we live, and does what follows from who else does.
    async fn keep_house(&mut self, started: &mpsc::Sender<Started>) {
        let before = self.confirmed;
        let asked = tokio::time::timeout(LEASE / 3, self.beat()).await;
        let standing = match asked {
            Ok(Ok(standing)) => {
                self.household.confirmed(self.confirmed.duration_since(before).saturating_sub(BEAT));
                standing
            }
            Ok(Err(error)) => return self.unconfirmed(&error.to_string()),
            Err(_) => return self.unconfirmed("the database does not answer"),
        };
        self.let_go_of_lost(&standing);
        let busy: BTreeSet<ShardId> = self.held.keys().chain(self.starting.keys()).copied().collect();
        let plan = plan::plan(self.installation.shards.me(), &busy, &standing);
        for shard in plan.take {
            if self.resting.get(&shard).is_some_and(|until| Instant::now() < *until) {
                continue;
            }
            self.starting.insert(shard, Instant::now());
            let (parts, started) = (self.parts(), started.clone());
            tokio::spawn(async move {
                let outcome = start(parts, shard).await;
                let _ = started.send((shard, outcome)).await;
            });
        }
        for shard in plan.hand_over {
            self.hand_over(shard);
        }
        self.note_others(&standing);
    }

    /// The database did not confirm that we live. After a lease others may have taken over: nothing is read or given out from memory any more.
    fn unconfirmed(&mut self, problem: &str) {
        let silent = self.confirmed.elapsed();
        if silent < LEASE {
            tracing::warn!(silent_ms = silent.as_millis() as u64, "the database did not take a sign of life: {problem}");
            return;
        }
        if !self.held.is_empty() {
            tracing::error!(shards = self.held.len(), "stepping down from every shard: no sign of life was taken for a lease: {problem}");
        }
        for shard in self.held.keys().copied().collect::<Vec<_>>() {
            self.drop_shard(shard);
        }
    }

    /// Steps down from shards that the database says are somebody else's.
    fn let_go_of_lost(&mut self, standing: &Standing) {
        let me = self.installation.shards.me();
        let ours = |shard: ShardId, epoch: Epoch| {
            standing.leases.iter().any(|lease| lease.shard == shard && lease.epoch == epoch && lease.owner == Some(me))
        };
        let lost: Vec<ShardId> =
            self.held.iter().filter(|(shard, held)| !held.handing_over && !ours(**shard, held.epoch)).map(|(shard, _)| *shard).collect();
        for shard in lost {
            tracing::warn!(shard = shard.0, "another coordinator has taken this shard: stepping down from it");
            self.drop_shard(shard);
        }
    }

    /// Ends a loop at once; what it had not committed never happened.
    fn drop_shard(&mut self, shard: ShardId) {
        self.installation.doors.set(shard, None);
        self.installation.bus.leave(shard);
        self.installation.egress.watch(shard, Vec::new());
        if let Some(held) = self.held.remove(&shard) {
            held.abort.abort();
        }
    }

    /// Lets a loop finish its commit, project, and let go of the lease; open attempts stay open, the next owner knows them.
    fn hand_over(&mut self, shard: ShardId) {
        let Some(door) = self.installation.doors.door(shard) else { return };
        let Some(held) = self.held.get_mut(&shard) else { return };
        held.handing_over = true;
        tracing::info!(shard = shard.0, "handing over to another coordinator");
        self.installation.doors.set(shard, None);
        let (answer, _) = oneshot::channel();
        let drain = crate::command::Command::Drain { grace: Duration::ZERO, answer };
        tokio::spawn(async move {
            // A loop that has ended has nothing to hand over.
            let _ = door.commands.send(drain).await;
        });
    }

    fn parts(&self) -> Parts {
        let Installation { settings, shards, doors, bus, egress, spans, surroundings, .. } = &self.installation;
        Parts {
            settings: settings.clone(),
            shards: shards.clone(),
            doors: doors.clone(),
            bus: bus.clone(),
            egress: egress.clone(),
            spans: spans.clone(),
            surroundings: surroundings.clone(),
        }
    }

    fn settle_start(&mut self, shard: ShardId, outcome: Result<Option<Recovered>, HostError>) {
        let took = self.starting.remove(&shard).map(|since| since.elapsed().as_millis() as u64);
        match outcome {
            Ok(Some(started)) => {
                self.resting.remove(&shard);
                tracing::info!(shard = shard.0, epoch = started.0, took_ms = took, "shard taken over");
                self.take_up(shard, started);
            }
            Ok(None) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(shard = shard.0, cause, "{error}; trying again");
                self.resting.insert(shard, Instant::now() + CLAIM_AGAIN);
            }
        }
    }

    /// Opens the door and lets the loop begin, in this order: what it asks in its first turn may be answered before the second.
    fn take_up(&mut self, shard: ShardId, (epoch, ready, door): Recovered) {
        let overheard = self.installation.doors.take_overheard(shard, self.installation.settings.lease);
        if !overheard.is_empty() {
            // The channel is new and holds more than one message.
            let _ = door.inbox.try_send(Inbound::Overheard(overheard));
        }
        self.installation.doors.set(shard, Some(door));
        let running = ready.run();
        self.held.insert(shard, Held { epoch, abort: running.abort_handle(), handing_over: false });
        let watched = tokio::spawn(async move { (shard, epoch, settled(running.await)) });
        self.ended.push(watched);
    }

    /// A loop has ended by itself, or after a hand-over.
    fn lost(&mut self, ended: Result<Ended, tokio::task::JoinError>, shared: bool) -> Result<(), CommitError> {
        let Ok((shard, epoch, outcome)) = ended else { return Ok(()) };
        // What was dropped before is nobody's any more.
        if self.held.get(&shard).is_none_or(|held| held.epoch != epoch) {
            return Ok(());
        }
        self.installation.doors.set(shard, None);
        self.installation.bus.leave(shard);
        self.held.remove(&shard);
        match outcome {
            Ok(()) => tracing::info!(shard = shard.0, "handed over"),
            Err(error) if !shared => return Err(error),
            Err(CommitError::Fenced { epoch }) => tracing::warn!(shard = shard.0, epoch, "fenced: another coordinator writes this shard"),
            Err(error @ (CommitError::Unknown(_) | CommitError::Full { .. })) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(
                    shard = shard.0,
                    code = "store.commit_failed",
                    cause,
                    "a commit failed; the shard is recovered from what is committed"
                );
            }
        }
        Ok(())
    }

    /// Where requests for the other shards go.
    fn note_others(&self, standing: &Standing) {
        let me = self.installation.shards.me();
        for lease in &standing.leases {
            let owner =
                lease.owner.filter(|owner| *owner != me).and_then(|owner| standing.coordinators.iter().find(|peer| peer.id == owner));
            let place = owner.map_or(Place::Nowhere, |peer| Place::Elsewhere(peer.url.as_deref().map(Arc::from)));
            self.installation.doors.set_elsewhere(lease.shard, place);
        }
    }

    /// The end: with others there, they take over at once; alone, open attempts may still be answered.
    async fn leave(mut self, leave: Leave, mut starts: mpsc::Receiver<Started>) -> Result<(), CommitError> {
        let alone = match self.beat().await {
            Ok(standing) => standing.coordinators.iter().all(|peer| peer.id == self.installation.shards.me()),
            Err(_) => true,
        };
        while !self.starting.is_empty() {
            let Some((shard, outcome)) = starts.recv().await else { break };
            self.settle_start(shard, outcome);
        }
        let grace = if alone { leave.grace } else { Duration::ZERO };
        let drains = self.installation.doors.open().into_iter().map(|door| async move {
            let (answer, answered) = oneshot::channel();
            if door.commands.send(crate::command::Command::Drain { grace, answer }).await.is_ok() {
                let _ = answered.await;
            }
        });
        futures::future::join_all(drains).await;
        self.installation.shards.leave().await;
        let mut outcome = Ok(());
        while let Some(ended) = self.ended.next().await {
            if let Ok((_, _, Err(error))) = ended {
                outcome = Err(error);
            }
        }
        self.installation.bus.close().await;
        self.installation.egress.close().await;
        let _ = leave.done.send(());
        outcome
    }
}

/// What starting one shard needs.
struct Parts {
    settings: Settings,
    shards: Arc<dyn Shards>,
    doors: Doors,
    bus: Arc<dyn Bus>,
    egress: Arc<dyn Egress>,
    spans: SpanSink,
    surroundings: Surroundings,
}

/// Takes a shard and recovers its loop. `None` if somebody was faster.
async fn start(parts: Parts, shard: ShardId) -> Result<Option<Recovered>, HostError> {
    let claimed = parts.shards.claim(shard).await.map_err(|error| HostError::Claim(shard, error))?;
    let Some(Claim { epoch, store }) = claimed else { return Ok(None) };
    let (commands, requests) = mpsc::channel(COMMANDS_MAX);
    let (inbox, messages) = mpsc::channel(INBOX_MAX);
    let door = Door { commands, inbox, store: store.clone() };
    // Subscribed before the loop begins, so that nothing is missed from then on; what arrives before is sent again.
    parts.bus.serve(shard);
    let settings = Settings { shard, ..parts.settings };
    let ways = shard::Ways { requests, messages, committed: parts.doors.committed() };
    match shard::recover(settings, store.clone(), (parts.bus.clone(), parts.egress), ways, parts.spans, parts.surroundings).await {
        Ok(ready) => Ok(Some((epoch, ready, door))),
        Err(error) => {
            parts.bus.leave(shard);
            store.close().await;
            Err(HostError::Start(shard, error))
        }
    }
}

fn settled(outcome: Result<Result<(), CommitError>, tokio::task::JoinError>) -> Result<(), CommitError> {
    match outcome {
        Ok(outcome) => outcome,
        Err(stopped) if stopped.is_cancelled() => Ok(()),
        Err(panicked) => Err(CommitError::Unknown(Box::new(panicked))),
    }
}

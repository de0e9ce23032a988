//! The wire to the workers. Implemented on core NATS and on the embedded listener; one suite runs on both.

use crate::host::Doors;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::task::Trace;
use tasker_engine::{AttemptNumber, AttemptToken, CapabilityName, Failure, Namespace, Payload, ShardId, StepLabel, SystemName, TaskId};
pub use tasker_registry::SessionKey;
pub use tasker_registry::message::{FromWorker, ToWorker};
use tokio::sync::mpsc;

/// Brings what the bus receives to where it is for. Bounded: when that is behind, the bus waits (P22).
#[derive(Clone)]
pub enum Inbox {
    /// To the shard of its namespace, if it runs here.
    Doors(Doors),
    /// Everything to one listener.
    One(mpsc::Sender<Inbound>),
}

impl Inbox {
    /// Whether messages of a namespace are heard here.
    pub fn is_here(&self, namespace: &Namespace) -> bool {
        match self {
            Self::Doors(doors) => doors.is_here(namespace),
            Self::One(_) => true,
        }
    }

    /// Hands a message on; it waits while the listener is behind. What nobody here listens to goes nowhere: whoever sent it says it again.
    pub async fn deliver(&self, namespace: &Namespace, message: Inbound) {
        match self {
            Self::Doors(doors) => doors.deliver(namespace, message).await,
            Self::One(listener) => drop(listener.send(message).await),
        }
    }

    /// Tells everybody who listens that the bus was lost and has come back.
    pub async fn deliver_reconnected(&self) {
        match self {
            Self::Doors(doors) => doors.deliver_reconnected().await,
            Self::One(listener) => drop(listener.send(Inbound::Reconnected).await),
        }
    }

    /// Remembers a worker whose namespace is not heard here.
    pub fn overhear(&self, session: SessionKey) {
        match self {
            Self::Doors(doors) => doors.overhear(session),
            Self::One(_) => {}
        }
    }
}

/// What arrives.
#[derive(Debug)]
pub enum Inbound {
    /// From a worker; its bytes were readable and its subject named namespace and system.
    Worker(FromWorker),
    /// The answer of a plain responder, or that there was none.
    Answered(Answer),
    /// What came of asking a system over HTTP.
    HttpAnswered(super::egress::HttpAnswer),
    /// The bus was lost and has come back, or another server took its place: whatever was on the way may be gone.
    Reconnected,
    /// Workers of this shard that spoke while another coordinator ran it: they are asked to introduce themselves at once.
    Overheard(Vec<SessionKey>),
}

/// What came of a [`Call`].
#[derive(Debug)]
pub struct Answer {
    /// To which attempt.
    pub call: CallKey,
    /// What came.
    pub outcome: CallOutcome,
}

/// Names the attempt that a call was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallKey {
    /// Of which task.
    pub task: TaskId,
    /// At which step, or item of a step.
    pub step: StepLabel,
    /// Which try.
    pub attempt: AttemptNumber,
    /// Which one exactly.
    pub token: AttemptToken,
}

/// What a plain responder did.
#[derive(Debug)]
pub enum CallOutcome {
    /// It gave a result.
    Succeeded(Payload),
    /// It gave an error, or something that is not JSON.
    Failed(Failure),
    /// Nobody is subscribed. The attempt stays open and is asked again.
    NoResponders,
    /// No answer within the timeout, or the bus was lost: the attempt ran out of time.
    NoAnswer,
}

/// A request to a plain responder: JSON in, JSON out, without an SDK.
#[derive(Debug, Clone)]
pub struct Call {
    /// The tenant.
    pub namespace: Namespace,
    /// Whose responders.
    pub system: SystemName,
    /// What to do.
    pub capability: CapabilityName,
    /// For which attempt.
    pub key: CallKey,
    /// The body.
    pub input: Payload,
    /// Stable across attempts.
    pub idempotency_key: String,
    /// How long to wait for the answer.
    pub timeout: Duration,
    /// The task's trace; `parent` is the producer span.
    pub trace: Trace,
}

/// The bus behind a coordinator.
pub trait Bus: Send + Sync + 'static {
    /// Sends to workers. Best effort and in order per worker: what is lost is sent again by whoever still holds the fact. Never blocks; what
    /// does not fit into the outgoing buffer is dropped and counted.
    fn send(&self, messages: Vec<ToWorker>);

    /// Asks plain responders. The answer arrives in the inbox as [`Inbound::Answered`], always exactly once per call.
    fn call(&self, call: Call);

    /// Replies to this shard come here from now on. Asked again, it changes nothing.
    fn serve(&self, shard: ShardId);

    /// Replies to this shard go to another coordinator from now on.
    fn leave(&self, shard: ShardId);

    /// Whether messages can be sent now; for readiness.
    fn is_connected(&self) -> bool;

    /// Messages that were refused at the door or dropped on the way out, by reason, since the start.
    fn refused(&self) -> BTreeMap<&'static str, u64>;

    /// What it is, for people: `embedded listener on 127.0.0.1:7422`.
    fn describe(&self) -> String;

    /// Sends what is buffered and closes.
    fn close(&self) -> BoxFuture<'_, ()>;
}

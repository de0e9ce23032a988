//! Calls to systems that are reached over HTTP. Implemented by the one client through which the coordinator calls out, and by the
//! simulation.
//!
//! Nothing here knows HTTP's types: a call says what is asked, an answer says what came of it.

use super::bus::CallKey;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::time::Duration;
use tasker_engine::task::Trace;
pub use tasker_engine::transport::{HttpMethod, HttpRoute};
use tasker_engine::{CapabilityName, Failure, Namespace, Payload, ShardId, SystemName, TaskId, Timestamp};

/// A request to a system over HTTP: JSON in, JSON out.
#[derive(Debug, Clone)]
pub struct HttpCall {
    /// The tenant.
    pub namespace: Namespace,
    /// Who is asked.
    pub system: SystemName,
    /// What to do.
    pub capability: CapabilityName,
    /// For which attempt.
    pub key: CallKey,
    /// Where the system is, from the manifest: an absolute http or https URL without credentials.
    pub base_url: String,
    /// How this capability is asked, below the base URL.
    pub route: HttpRoute,
    /// The step's input.
    pub input: Payload,
    /// Stable across attempts.
    pub idempotency_key: String,
    /// How long to wait for the answer, from the moment the request leaves.
    pub timeout: Duration,
    /// The task's trace; `parent` is the producer span.
    pub trace: Trace,
}

/// What came of an [`HttpCall`], at once or, after an acceptance, by a callback.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpAnswer {
    /// To which attempt.
    pub call: CallKey,
    /// What came.
    pub outcome: HttpOutcome,
}

/// What a system did when it was asked over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpOutcome {
    /// It gave a result.
    Succeeded(Payload),
    /// It gave an error, or something that is no answer.
    Failed(Failure),
    /// It has taken the request and will call back. The attempt stays open until it does or its running timeout is over.
    Accepted,
    /// The request did not reach it: no address, nobody listens, no secure connection. The attempt stays open and is asked again.
    Unreachable {
        /// Why, for people.
        reason: String,
    },
    /// It was reached and did not answer within the timeout.
    TimedOut,
}

/// A system whose health is watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeTarget {
    /// The tenant.
    pub namespace: Namespace,
    /// Whose health.
    pub system: SystemName,
    /// Asked with GET; 2xx means healthy.
    pub url: String,
}

/// What is known about the health of a system from its `health_check_url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What holds now.
    pub state: HealthState,
    /// Since when the state holds; none if nothing is known.
    pub since: Option<Timestamp>,
    /// When it was last asked.
    pub checked_at: Option<Timestamp>,
    /// What the last question found, if it found anything wrong.
    pub problem: Option<String>,
}

/// Whether a system is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HealthState {
    /// Not asked yet, or asked too rarely to tell. Counts as able to work.
    Unknown,
    /// The last question was answered with 2xx.
    Healthy,
    /// Several questions in a row were not. It gets no steps over HTTP until one is.
    Unhealthy,
}

impl HealthState {
    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Why a callback was not believed or could not be read. The sender has to change something before it may succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackRefusal {
    /// The token in the URL was not made by this coordinator's secret, or is damaged.
    #[error("the callback's token was not given out by this coordinator, or is damaged")]
    TokenInvalid,
    /// The body is not `{"result": …}` or `{"error": {…}}`.
    #[error("the callback's body cannot be read: {0}")]
    BodyMalformed(String),
    /// The body is larger than a payload may be.
    #[error("the callback's body is larger than {max} bytes")]
    BodyTooLarge {
        /// What is accepted.
        max: usize,
    },
}

impl CallbackRefusal {
    /// Stable, for programs; each has a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TokenInvalid => "callback.token_invalid",
            Self::BodyMalformed(_) => "callback.body_malformed",
            Self::BodyTooLarge { .. } => "callback.body_too_large",
        }
    }
}

/// The way out of a coordinator over HTTP.
pub trait Egress: Send + Sync + 'static {
    /// Asks a system. The answer arrives in the inbox as [`super::bus::Inbound::HttpAnswered`], exactly once per call unless the way out
    /// is closed first. Never blocks.
    fn call(&self, call: HttpCall);

    /// Reads a callback: believes its token, finds the attempt it is for, and reads its body. Says nothing about whether that attempt is
    /// still open.
    ///
    /// # Errors
    /// The token is not ours, or the body is not what a callback may say.
    fn read_callback(&self, token: &str, body: Bytes) -> Result<HttpAnswer, CallbackRefusal>;

    /// The task that a callback's token is for; none if the token is not ours.
    fn task_of_callback(&self, token: &str) -> Option<TaskId>;

    /// Watches the health of exactly these systems of a shard from now on, replacing what was watched for it before. What is known about a
    /// system that stays is kept.
    fn watch(&self, shard: ShardId, targets: Vec<ProbeTarget>);

    /// What is known about a system's health; unknown if it is not watched.
    fn health(&self, namespace: &Namespace, system: &SystemName) -> Health;

    /// Ends what is under way; answers that have not come will not come any more.
    fn close(&self) -> BoxFuture<'_, ()>;
}

impl Health {
    /// Of a system that nobody has asked.
    pub const UNKNOWN: Self = Self { state: HealthState::Unknown, since: None, checked_at: None, problem: None };
}

//! What workers say and what they are told, in our own words; `wire` turns these into bytes and back.

use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::decide::reply::Outcome;
use tasker_engine::task::Trace;
use tasker_engine::{
    AttemptNumber, AttemptToken, CapabilityName, Contract, Namespace, Payload, SessionId, StepLabel, SystemName, TaskId, WorkflowName,
    WorkflowVersion,
};

/// A message from a worker. Namespace and system were read from the subject on which it arrived, never from its body (P13).
#[derive(Debug, Clone, PartialEq)]
pub struct FromWorker {
    /// From the subject.
    pub namespace: Namespace,
    /// From the subject.
    pub system: SystemName,
    /// From the body; means something only together with the two above.
    pub session: SessionId,
    /// What it says.
    pub body: Said,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Here I am.
    Hello(Box<Announcement>),
    /// A hello that could be read but says something impossible: the worker is told what.
    Impossible {
        /// A stable code.
        code: &'static str,
        /// What is wrong, and where.
        message: String,
    },
    /// This much I can take.
    Poll(Credit),
    /// I am alive.
    Beat(Beat),
    /// These attempts are over.
    Replies {
        /// Each is acknowledged on its own.
        replies: Vec<WorkerReply>,
        /// The credit that came with them.
        credit: Option<Credit>,
    },
}

/// A worker's introduction.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// The build of the system.
    pub system_version: String,
    /// What it can do; at least one.
    pub capabilities: Vec<AnnouncedCapability>,
    /// How many slots it has: attempts that it runs at once, if each costs one.
    pub slots: u32,
    /// Whether it counts an attempt as as many slots as its request says; otherwise each counts as one.
    pub counts_costs: bool,
    /// `tasker-worker 0.1.0 (python)`.
    pub sdk: Sdk,
    /// For people.
    pub host: String,
    /// For people.
    pub process_id: u32,
    /// What it still holds.
    pub held: Vec<Held>,
    /// Where and on what it runs; steps may be routed by them. Within the limits below.
    pub labels: BTreeMap<String, String>,
}

impl Announcement {
    /// The most labels of a worker.
    pub const LABELS_MAX: usize = 32;
    /// The longest name or value of a label, in bytes. A name is not empty.
    pub const LABEL_BYTES_MAX: usize = 256;
}

/// Which library the worker uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sdk {
    /// The library.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its language.
    pub language: String,
}

/// A capability as a worker announces it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnouncedCapability {
    /// Its name.
    pub name: CapabilityName,
    /// Its contract, compiled.
    pub contract: Contract,
    /// One sentence for people.
    pub description: String,
    /// The running timeout its author asks for.
    pub timeout: Option<Duration>,
    /// How many slots of its worker one attempt takes; none: as the manifest says.
    pub slot_cost: Option<u32>,
}

/// How much more a session can take; absolute (`docs/protocol.md`, Credit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Slots free now: those that no attempt which it holds takes.
    pub free: u32,
    /// The highest step request it has received.
    pub highest_sequence: u64,
    /// The credit is void after this long without another message; zero means the lease.
    pub expires_in: Duration,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// Attempts that run, or whose reply is unacknowledged.
    pub held: Vec<Held>,
    /// How much more it can take.
    pub credit: Option<Credit>,
    /// Whether it still takes work.
    pub state: SessionState,
}

/// Whether a session takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Yes.
    Active,
    /// No, but it finishes what it holds.
    Draining,
    /// It is gone.
    Left,
}

impl SessionState {
    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Left => "left",
        }
    }
}

/// An attempt that a session holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Which one.
    pub attempt: AttemptKey,
    /// The handler's latest progress, for people.
    pub progress: Option<Payload>,
}

/// One attempt, as the wire names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptKey {
    /// Of which task.
    pub task: TaskId,
    /// At which step, or item of a step.
    pub step: StepLabel,
    /// Which try.
    pub attempt: AttemptNumber,
    /// What authorises the reply.
    pub token: AttemptToken,
}

/// One reply of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerReply {
    /// To which attempt.
    pub attempt: AttemptKey,
    /// What came of it, or why the reply cannot be read.
    pub outcome: Result<Outcome, Malformed>,
    /// How long the handler ran, on the worker's own clock.
    pub ran: Duration,
}

/// Why one reply in a batch cannot be believed although its attempt could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(
    /// What is wrong with it.
    pub String,
);

/// A message to one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct ToWorker {
    /// Whose.
    pub namespace: Namespace,
    /// Whose.
    pub system: SystemName,
    /// Which one.
    pub session: SessionId,
    /// What it is told, in order.
    pub directives: Vec<Directive>,
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Directive {
    /// The hello was accepted.
    Welcome(Welcome),
    /// The hello was not accepted.
    Refused {
        /// A stable code.
        code: String,
        /// Why, and what to do.
        message: String,
        /// Whether saying hello again can help.
        retryable: bool,
    },
    /// Say hello again.
    Rejoin,
    /// Run this.
    Request(Box<StepRequest>),
    /// This reply need not be kept any longer.
    Acknowledged {
        /// Which one.
        attempt: AttemptKey,
        /// What became of it.
        disposition: Acknowledgement,
    },
    /// Stop this.
    Cancel {
        /// Which one.
        attempt: AttemptKey,
        /// Why.
        reason: String,
    },
    /// Finish and leave.
    Drain {
        /// Why.
        reason: String,
    },
}

/// What became of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledgement {
    /// It is the attempt's result.
    Recorded,
    /// It had been recorded before.
    Repeated,
    /// The attempt is closed.
    Stale,
    /// Another reply had been recorded.
    Conflicting,
    /// Not believed.
    Refused {
        /// `reply.forged` or `reply.malformed`.
        code: &'static str,
        /// Why.
        message: String,
    },
}

/// What a session lives by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// How often to beat.
    pub heartbeat: Duration,
    /// How long silence is borne.
    pub lease: Duration,
    /// The largest payload.
    pub payload_bytes_max: usize,
    /// When to send an unacknowledged reply again.
    pub reply_resend: Duration,
    /// Who speaks, for the log.
    pub coordinator: String,
}

/// One attempt, as it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRequest {
    /// Counts the requests of the session.
    pub sequence: u64,
    /// Which attempt.
    pub attempt: AttemptKey,
    /// What to do.
    pub capability: CapabilityName,
    /// With what.
    pub input: Payload,
    /// JSON object: results of the direct dependencies.
    pub dependencies: Payload,
    /// Stable across attempts.
    pub idempotency_key: String,
    /// How many slots it takes.
    pub slot_cost: u32,
    /// How long it may run from receipt.
    pub timeout: Option<Duration>,
    /// Where to reply.
    pub shard: u32,
    /// The task's trace and the producer span.
    pub trace: Trace,
    /// The workflow.
    pub workflow: WorkflowName,
    /// Its version.
    pub version: WorkflowVersion,
    /// How many attempts there may be.
    pub attempts_max: u32,
}

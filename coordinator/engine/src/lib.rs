//! The engine decides what a task does next.
//!
//! It is a pure function: a task, an input and an instant give events (what must be remembered) and effects (what must be
//! done once they are remembered). Folding the events of a task gives its state again; nothing else is ever stored about it.
//!
//! Never here: async, clocks, randomness, I/O, hash order. The same engine runs in the server, in tests by seed, and in replays.
//!
//! Start reading at [`decide`]: one file per thing that can happen to a task. The words are in [`ids`], [`workflow`], [`task`] and [`event`].

pub mod breaker_policy;
pub mod canary;
pub mod contract;
pub mod decide;
pub mod duration;
pub mod event;
pub mod expression;
pub mod failure;
pub mod flow;
pub mod fold;
pub mod identity;
pub mod ids;
pub mod invariant;
pub mod payload;
pub mod reaction;
pub mod retry;
pub mod schema_cost;
pub mod task;
pub mod template;
pub mod time;
pub mod transport;
pub mod version;
pub mod workflow;

pub use event::{Entry, Event, Target};
pub use task::{Submission, Task, TaskStatus};
pub use workflow::Workflow;

pub use contract::{Contract, Schema};

pub use failure::{Failure, FailureKind};
pub use ids::{
    AttemptNumber, AttemptToken, CapabilityName, Digest, ErrorCode, Namespace, SessionId, ShardId, StepIndex, StepLabel, StepName,
    SystemName, TaskId, WorkflowName, WorkflowVersion,
};
pub use payload::Payload;

pub use time::Timestamp;

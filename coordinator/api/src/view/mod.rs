//! The shapes that leave the API, built from the runtime's answers. Names of members are a contract: they are never changed, only added to.

mod event;
mod letter;
mod registry;
mod task;
mod timeline;
mod workflow;

pub(crate) use event::{Event, end_of};
pub(crate) use letter::{LetterDetail, LetterGroupDetail, LetterItem, MissedDetail};
pub(crate) use registry::{CapabilityDetail, SystemDetail, WorkerDetail};
pub(crate) use task::{FailureDetail, TaskDetail, TaskResult, TaskSummary};
pub(crate) use timeline::Timeline;
pub use workflow::Diagnostic;
pub(crate) use workflow::{Applied, WorkflowDetail, WorkflowSummary};

use serde::Serialize;
use utoipa::ToSchema;

/// A list that is complete.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Items<T> {
    /// Everything there is.
    pub(crate) items: Vec<T>,
}

#[cfg(test)]
pub(crate) mod sample;

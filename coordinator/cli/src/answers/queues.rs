//! Answers about what waits for capabilities.

use jiff::Timestamp;
use serde::Deserialize;

/// The queue of a capability.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct QueueDetail {
    pub(crate) system: String,
    pub(crate) capability: String,
    pub(crate) waiting: u64,
    pub(crate) oldest_waiting: Option<Timestamp>,
    pub(crate) open: u64,
    pub(crate) starts_per_second: f64,
    pub(crate) paused: bool,
    pub(crate) limits: QueueLimits,
    pub(crate) declared: QueueLimits,
    pub(crate) system_rate: Option<String>,
    pub(crate) held_by: Option<QueueHold>,
    pub(crate) breaker: Option<String>,
}

/// What limits a queue.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct QueueLimits {
    pub(crate) rate_limit: Option<QueueRate>,
    pub(crate) max_concurrent: Option<u64>,
    pub(crate) max_backlog: Option<u64>,
}

/// A rate.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct QueueRate {
    pub(crate) rate: String,
    pub(crate) burst: u64,
}

/// What keeps every step of a queue from starting.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct QueueHold {
    pub(crate) by: String,
    pub(crate) next_in_ms: Option<i64>,
}

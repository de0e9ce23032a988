//! What may be set, and the limits that may not.

use crate::operations::GatePolicy;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::flow::Weight;
use tasker_engine::{Namespace, ShardId};

/// How the loop behaves. The server fills it in from its configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shown to workers and people: host and process id.
    pub name: String,
    /// Which shard the loop runs. Default 0, the only one of a database with one.
    pub shard: ShardId,
    /// How often workers beat. Default 1 s.
    pub heartbeat: Duration,
    /// How long a worker may be silent before its steps are given to others. Default 5 s.
    pub lease: Duration,
    /// How often the projection of tasks is swept into the store; zero: with each commit, so that tasks leave the memory as soon as they can.
    /// Default 1 s.
    pub sweep: Duration,
    /// How long idempotency keys are remembered. Default 7 days, at least 24 hours.
    pub keep_keys: Duration,
    /// The most tasks that may be active at once; beyond it submissions are answered with 429. Default 1,000,000.
    pub active_tasks_max: usize,
    /// The share of namespaces in what those of a shard wait for together; 1 for those that are not named.
    pub namespace_weights: Arc<BTreeMap<Namespace, Weight>>,
    /// What becomes of a worker whose contract does not fit the applied workflows. Default: it is refused.
    pub gate: GatePolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "tasker".into(),
            shard: ShardId::default(),
            heartbeat: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            sweep: Duration::from_secs(1),
            keep_keys: Duration::from_secs(7 * 24 * 3600),
            active_tasks_max: 1_000_000,
            namespace_weights: Arc::default(),
            gate: GatePolicy::default(),
        }
    }
}

/// Requests of people and programs that may wait for the loop; more are answered with 429.
pub(crate) const COMMANDS_MAX: usize = 8_192;
/// Messages of the bus that may wait for the loop; the bus waits when it is full.
pub(crate) const INBOX_MAX: usize = 8_192;
/// How many inputs are decided before the loop looks at the commit again.
pub(crate) const INPUTS_PER_TURN: usize = 256;
/// How many requests are taken in a turn that something else began.
pub(crate) const COMMANDS_PER_TURN: usize = 64;
/// Rows gathered while a commit runs; beyond it the loop takes no more input until the commit is done.
pub(crate) const GROUP_ROWS_MAX: usize = 4_096;
/// Rows of the projection in one commit, so that a sweep does not make commits long.
pub(crate) const SWEEP_ROWS_MAX: usize = 512;
/// Commits of its task a watcher may be behind before it has to read the history again.
pub(crate) const WATCH_BUFFER: usize = 256;
/// Finished tasks kept in memory for late replies and watchers.
pub(crate) const FINISHED_KEPT: usize = 1_000;
/// What the payloads of these may take together: one task's may take megabytes.
pub(crate) const FINISHED_BYTES_KEPT: usize = 16 * 1024 * 1024;
/// Child tasks started before the loop looks at the commit again.
pub(crate) const CHILDREN_PER_TURN: usize = 256;
/// Tasks that are paused or resumed with their workflow before the loop looks at the commit again.
pub(crate) const PAUSES_PER_TURN: usize = 512;
/// Calls of plain responders that may be open at once, per capability.
pub(crate) const CALLS_PER_LANE: usize = 64;
/// How long an unacknowledged reply is kept by a worker before it is sent again.
pub(crate) const REPLY_RESEND: Duration = Duration::from_secs(2);
/// How often leases, timers of the loop itself and the sweep are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// The same while nothing is going on.
pub(crate) const TICK_AT_REST: Duration = Duration::from_millis(500);
/// How long after a key was not found in the store a submission may still arrive: the loop remembers keys for twice as long.
pub(crate) const KEY_LOOKUP_VALID: Duration = Duration::from_secs(30);

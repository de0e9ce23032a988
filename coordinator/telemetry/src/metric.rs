//! Every metric: its name, what kind it is, its labels and what it means. Nothing is measured that is not in this table, and
//! `docs/metrics.md` is tested against it.
//!
//! Units are seconds and bytes, counters end in `_total`. A label is a name somebody declared (a namespace, a workflow, a step, a system, a
//! capability, an error code), which is capped at [`SERIES_MAX`], or a word of a closed set. Ids are never labels.

/// What a series beyond the cap is counted under.
pub const OTHER: &str = "other";

/// The most different sets of declared names that one metric shows; what comes later is counted under [`OTHER`]. A histogram has about 25
/// lines a series, so that a page stays below two megabytes however many capabilities and workflows there are.
pub const SERIES_MAX: usize = 200;

/// One metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// As Prometheus and OTLP know it.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// What tells its series apart, in this order.
    pub labels: &'static [&'static str],
    /// What becomes of the values that several loops of one process give for the same series.
    pub merge: Merge,
    /// One sentence for people.
    pub help: &'static str,
}

/// What a metric's numbers are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// How it is now.
    Gauge,
    /// How often a value was at most each of these bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word of Prometheus' text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// How two values of the same series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Each loop has its own part.
    Sum,
    /// The larger one: ages, states ordered by how bad they are, and what all loops see of one and the same thing.
    Largest,
    /// The smaller one: whether something works, if it must work for all.
    Smallest,
}

impl Metric {
    /// The unit as OTLP writes it (UCUM).
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        match name.rsplit('_').next() {
            Some("seconds") => "s",
            Some("bytes") => "By",
            _ => "1",
        }
    }
}

/// Bounds in seconds for what should take far less than a millisecond and is a fault above a few seconds: commits, what the coordinator
/// itself adds to a step, how late a timer fires.
pub const FINE: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds in seconds for what waits for others: milliseconds to an hour, as steps do, and beyond that for tasks which wait for people.
pub const LONG: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];

/// Bounds in seconds for answers of the API, from those out of memory to the longest long poll.
pub const REQUEST: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Bounds in journal rows of one commit.
pub const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

macro_rules! table {
    ($($(#[$section:meta])* $id:ident: $kind:expr, $merge:ident, $name:literal [$($label:literal)*] $help:literal)*) => {
        $(#[doc = $help] pub static $id: Metric =
            Metric { name: $name, kind: $kind, labels: &[$($label),*], merge: Merge::$merge, help: $help };)*
        /// Every metric, in the order in which pages show them.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

table! {
    BUILD_INFO: Gauge, Largest, "tasker_build_info" ["version"] "The build that runs; always 1."
    RUNTIME_ANSWERS: Gauge, Smallest, "tasker_runtime_answers" [] "Whether the loop answered this scrape; its figures are absent if not."

    TASKS_ACCEPTED: Counter, Sum, "tasker_tasks_accepted_total" ["namespace" "workflow"] "Tasks accepted."
    TASKS_FINISHED: Counter, Sum, "tasker_tasks_finished_total" ["namespace" "workflow" "outcome"] "Tasks over: succeeded, failed or cancelled."
    TASK_DURATION: Histogram(LONG), Sum, "tasker_task_duration_seconds" ["namespace" "workflow"] "Time from a task's acceptance to its end."
    TASKS_ACTIVE: Gauge, Sum, "tasker_tasks_active" ["state"] "Tasks that are not over: running or paused."
    TASKS_PLACE: Gauge, Sum, "tasker_tasks_place" ["place"] "Tasks that are not over, by where they are: in memory, asleep because they only wait, or unread since the start."
    WORKFLOWS_PAUSED: Gauge, Sum, "tasker_workflows_paused" [] "Workflows that are paused."
    CHILDREN_OPEN: Gauge, Sum, "tasker_children_open" [] "Attached child tasks that are not over."
    CHILDREN_WAITING: Gauge, Sum, "tasker_children_waiting" [] "Child steps that are ready but not started yet."
    CHILDREN_STARTED: Counter, Sum, "tasker_children_started_total" [] "Child tasks started."
    COMPENSATIONS_STARTED: Counter, Sum, "tasker_compensations_started_total" [] "Tasks that began to undo what they had done."

    STEPS_FINISHED: Counter, Sum, "tasker_steps_finished_total" ["namespace" "workflow" "step" "outcome"] "Steps and items over: succeeded, failed, skipped or cancelled."
    STEP_QUEUE: Histogram(LONG), Sum, "tasker_step_queue_seconds" ["namespace" "system" "capability"] "Time from a step's being ready to its attempt."
    STEP_RUN: Histogram(LONG), Sum, "tasker_step_run_seconds" ["namespace" "system" "capability"] "Time from sending an attempt's request to its end; a handler's run and both ways."
    STEP_OVERHEAD: Histogram(FINE), Sum, "tasker_step_overhead_seconds" [] "Time from taking a step's reply to having sent what follows: its acknowledgement and, to free slots, its successors."
    STEPS_WAITING: Gauge, Sum, "tasker_steps_waiting" ["for"] "Steps that wait for no worker, by what they wait for: a signal, an event, a sleep's end or an approval."
    STEPS_HELD: Gauge, Sum, "tasker_steps_held" [] "Steps that failed for good and wait for a person."
    DEAD_LETTERS: Gauge, Sum, "tasker_dead_letters" ["code"] "Tasks that failed for good and were neither requeued nor discarded, by error code."
    STEPS_HELD_BACK: Gauge, Sum, "tasker_steps_held_back" ["by"] "Steps that wait and are held back: by an operator (paused), a bulkhead, a rate, or a key of their own."
    TASKS_QUEUED: Gauge, Sum, "tasker_tasks_queued" [] "Tasks that wait for their turn among those of their concurrency key."
    LIMIT_KEYS: Gauge, Sum, "tasker_limit_keys" [] "Keys of single steps' limits in memory."
    BACKLOG_REFUSED: Counter, Sum, "tasker_backlog_refused_total" [] "Submissions that were refused because a backlog was full."
    EVENTS_KEPT: Gauge, Sum, "tasker_events_kept" [] "Events from outside that are kept until somebody waits for them."
    UNCOVERED_STEPS: Gauge, Sum, "tasker_uncovered_steps" [] "Steps that wait for nothing; must be 0 (P12)."
    VIOLATIONS: Counter, Sum, "tasker_invariant_violations_total" ["promise"] "Promises that a finished task's state was seen to break; must be 0."

    STEPS_DISPATCHED: Counter, Sum, "tasker_steps_dispatched_total" ["namespace" "system" "capability"] "Attempts started; without system and capability: child tasks."
    ATTEMPTS: Counter, Sum, "tasker_attempts_total" ["namespace" "system" "capability" "outcome"] "Attempts over: succeeded, or the kind of failure."
    ATTEMPT_FAILURES: Counter, Sum, "tasker_attempt_failures_total" ["code"] "Attempts that failed, by error code."
    ATTEMPTS_OPEN: Gauge, Sum, "tasker_attempts_open" [] "Attempts that are not over."
    REPLIES: Counter, Sum, "tasker_replies_total" ["disposition"] "Replies, by what became of them: recorded, repeated, stale, conflicting or refused."
    REANNOUNCED: Counter, Sum, "tasker_reannounced_total" [] "Open attempts that were announced again."

    BACKLOG: Gauge, Sum, "tasker_backlog" ["namespace" "system" "capability"] "Steps that wait for a worker."
    BACKLOG_OLDEST: Gauge, Largest, "tasker_backlog_oldest_seconds" ["namespace" "system" "capability"] "How long the oldest of them has waited; 0 if none waits."
    CAPABILITY_WORKERS: Gauge, Sum, "tasker_capability_workers" ["namespace" "system" "capability"] "Live workers that take work for a capability; absent if the system is asked over HTTP."
    BREAKER_STATE: Gauge, Largest, "tasker_breaker_state" ["namespace" "system" "capability"] "Where a capability's breaker stands: 0 closed, 1 half-open, 2 open."
    BREAKER_OPENED: Counter, Sum, "tasker_breaker_opened_total" ["namespace" "system" "capability"] "How often a breaker has opened by itself."

    WORKERS: Gauge, Sum, "tasker_workers" ["namespace" "system" "state"] "Live workers: active, draining, or withheld by an operator."
    WORKER_SLOTS: Gauge, Sum, "tasker_worker_slots" ["namespace" "system" "state"] "Slots of live workers: used by open attempts, or free as the workers last said."
    WORKERS_LOST: Counter, Sum, "tasker_workers_lost_total" ["namespace" "system"] "Workers that fell silent for longer than their lease."
    HEARTBEAT_LATENESS: Histogram(FINE), Sum, "tasker_heartbeat_lateness_seconds" [] "How much longer than the heartbeat's period a worker had been silent when it beat."
    TIMERS_PENDING: Gauge, Sum, "tasker_timers_pending" [] "Timers that have not fired, those included that nobody needs any more."
    TIMER_LATENESS: Histogram(FINE), Sum, "tasker_timer_lateness_seconds" [] "How long after its instant a timer fired."

    STORE_COMMIT: Histogram(FINE), Sum, "tasker_store_commit_seconds" [] "Time from handing a group to the database to its being durable."
    STORE_COMMIT_ROWS: Histogram(ROWS), Sum, "tasker_store_commit_rows" [] "Journal rows of one commit."
    STORE_ROWS: Counter, Sum, "tasker_store_rows_committed_total" [] "Journal rows committed."
    STORE_FSYNC: Histogram(FINE), Sum, "tasker_store_fsync_seconds" [] "Time that the database's own commit took, with its fsync; SQLite only."
    STORE_ERRORS: Counter, Sum, "tasker_store_errors_total" ["kind"] "Writes that failed: fenced by another coordinator, no space, unknown in their outcome, or a probe."
    LEASE_LATENESS: Histogram(FINE), Sum, "tasker_lease_lateness_seconds" [] "How much later than it should this coordinator's sign of life was confirmed by the database; PostgreSQL only."
    SHARDS_HELD: Gauge, Sum, "tasker_shards_held" [] "Shards that this coordinator runs."
    EPOCH: Gauge, Largest, "tasker_epoch" [] "The epoch of the lease under which this process writes."

    BUS_CONNECTED: Gauge, Smallest, "tasker_bus_connected" [] "Whether messages can be sent to workers now."
    BUS_RECONNECTS: Counter, Largest, "tasker_bus_reconnects_total" [] "How often the bus was lost and came back."
    BUS_REJECTED: Counter, Largest, "tasker_bus_rejected_messages_total" ["reason"] "Messages refused at the door, or dropped on the way out."
    INBOX: Gauge, Sum, "tasker_runtime_inbox_messages" [] "Messages that wait for the loop."

    HTTP_REQUESTS: Histogram(REQUEST), Sum, "tasker_http_requests_seconds" ["method" "route" "status"] "Time from a request's head to its answer's head."
    HTTP_WAITS: Gauge, Sum, "tasker_http_waits" [] "Streams and long polls that are open."
    STREAM_RESETS: Counter, Sum, "tasker_stream_resets_total" [] "Event streams that had to start again from the beginning."
    HTTP_PANICS: Counter, Sum, "tasker_http_panics_total" [] "Requests that were answered with coordinator.fault."

    PROCESS_CPU: Counter, Largest, "process_cpu_seconds_total" [] "Processor time that this process has used, in user and system mode."
    PROCESS_MEMORY: Gauge, Largest, "process_resident_memory_bytes" [] "Memory that this process holds."
    PROCESS_FDS: Gauge, Largest, "process_open_fds" [] "Files and sockets that this process has open."
    PROCESS_FDS_MAX: Gauge, Largest, "process_max_fds" [] "The most files and sockets that this process may have open."
    PROCESS_START: Gauge, Largest, "process_start_time_seconds" [] "When this process started, in seconds since 1970."
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_rules_and_none_is_there_twice() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} is there twice", metric.name);
            assert!(metric.name.starts_with("tasker_") || metric.name.starts_with("process_"), "{}", metric.name);
            assert!(metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(!metric.name.contains("milli") && metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn labels_are_names_that_somebody_declared_or_words_of_a_closed_set() {
        let declared = ["namespace", "workflow", "step", "system", "capability", "outcome", "code"];
        let closed = ["state", "for", "disposition", "reason", "kind", "promise", "place", "by", "method", "route", "status", "version"];
        for metric in ALL {
            for label in metric.labels {
                assert!(declared.contains(label) || closed.contains(label), "{}: {label}", metric.name);
            }
        }
    }

    #[test]
    fn bounds_grow() {
        for metric in ALL {
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.windows(2).all(|two| two[0] < two[1]), "{}", metric.name);
            }
        }
    }

    #[test]
    fn units_are_read_from_names() {
        assert_eq!([PROCESS_CPU.unit(), PROCESS_MEMORY.unit(), STEP_RUN.unit(), BACKLOG.unit()], ["s", "By", "s", "1"]);
    }
}

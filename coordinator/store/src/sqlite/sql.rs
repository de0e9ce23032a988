//! The questions that are asked of SQLite. Static, so that no text of a user's is ever part of one.

use tasker_runtime::port::store::WaitingFor;

macro_rules! columns {
    () => {
        "t.id, t.namespace, t.workflow, t.version, t.digest, t.status, t.accepted_at, t.finished_at, t.error_code, t.failed_step, \
         t.retries, t.labels, t.last, t.parent, t.waiting"
    };
}

/// Whether a task has all of the labels in a JSON object.
macro_rules! all_labels {
    ($labels:literal) => {
        concat!(
            "NOT EXISTS (
         SELECT 1 FROM json_each(",
            $labels,
            ") AS wanted
         WHERE NOT EXISTS (
             SELECT 1 FROM task_labels AS other
             WHERE other.namespace = ?1 AND other.name = wanted.key AND other.value = wanted.value AND other.task = t.id
         )
     )"
        )
    };
}

/// A search, by where its rows come from. Every condition holds whichever drives; the driver only says in which order
/// rows are looked at; it is named in the order too, because the planner would sort otherwise.
macro_rules! search {
    ($from:literal, $driver:expr, $order:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM ",
            $from,
            " WHERE ",
            $driver,
            " AND t.namespace = ?1
              AND t.id <= ?2
              AND (?3 IS NULL OR t.status IN (SELECT value FROM json_each(?3)))
              AND (?4 IS NULL OR t.workflow = ?4)
              AND (?5 IS NULL OR t.error_code = ?5)
              AND (?6 IS NULL OR t.accepted_at >= ?6)
              AND (?7 IS NULL OR t.accepted_at < ?7)
              AND (?9 IS NULL OR t.parent = ?9)
              AND (?10 IS NULL OR (t.waiting & ?10) <> 0)
            ORDER BY ",
            $order,
            " DESC LIMIT ?8"
        )
    };
}

pub const SEARCH_NAMESPACE: &str = search!("tasks AS t INDEXED BY tasks_by_namespace", "TRUE", "t.id");
pub const SEARCH_WORKFLOW: &str = search!("tasks AS t INDEXED BY tasks_by_workflow", "t.workflow = ?4", "t.id");
pub const SEARCH_ERROR_CODE: &str = search!("tasks AS t INDEXED BY tasks_by_error_code", "t.error_code = ?5", "t.id");
/// Driven by the parent; ?11 is all labels as JSON.
pub const SEARCH_PARENT: &str = search!("tasks AS t INDEXED BY tasks_by_parent", concat!("t.parent = ?9 AND ", all_labels!("?11")), "t.id");
pub const SEARCH_STATUS: &str = search!("tasks AS t INDEXED BY tasks_by_status", "t.status = ?11", "t.id");
const SEARCH_APPROVAL: &str = search!("tasks AS t INDEXED BY tasks_by_approval", "(t.waiting & 1) = 1", "t.id");
const SEARCH_HELD: &str = search!("tasks AS t INDEXED BY tasks_by_held", "(t.waiting & 2) = 2", "t.id");
const SEARCH_SIGNAL: &str = search!("tasks AS t INDEXED BY tasks_by_signal", "(t.waiting & 4) = 4", "t.id");
const SEARCH_EVENT: &str = search!("tasks AS t INDEXED BY tasks_by_event", "(t.waiting & 8) = 8", "t.id");
const SEARCH_SLEEP: &str = search!("tasks AS t INDEXED BY tasks_by_sleep", "(t.waiting & 16) = 16", "t.id");
const SEARCH_PAUSED: &str = search!("tasks AS t INDEXED BY tasks_by_paused", "(t.waiting & 32) = 32", "t.id");

/// The search that reads only tasks that wait for this; the number is the bit of its index.
pub fn search_waiting(waiting: WaitingFor) -> &'static str {
    match waiting {
        WaitingFor::Approval => SEARCH_APPROVAL,
        WaitingFor::Held => SEARCH_HELD,
        WaitingFor::Signal => SEARCH_SIGNAL,
        WaitingFor::Event => SEARCH_EVENT,
        WaitingFor::Sleep => SEARCH_SLEEP,
        WaitingFor::Paused => SEARCH_PAUSED,
    }
}

/// Driven by one label; ?11 and ?12 are its name and value, ?13 all labels as JSON.
pub const SEARCH_LABEL: &str = search!(
    "task_labels AS l CROSS JOIN tasks AS t ON t.id = l.task",
    concat!("l.namespace = ?1 AND l.name = ?11 AND l.value = ?12 AND l.task <= ?2 AND ", all_labels!("?13")),
    "l.task"
);

/// How many tasks have this label, counted only so far?
pub const COUNT_LABEL: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM task_labels WHERE namespace = ?1 AND name = ?2 AND value = ?3 LIMIT ?4)";

pub const TASK_ROW: &str = concat!("SELECT ", columns!(), " FROM tasks AS t WHERE t.id = ?1");

/// Where does this task's history end: what does its row say, and what does the journal after the projection's mark say?
pub const HEAD: &str = "SELECT (SELECT last FROM tasks WHERE id = ?1),
    (SELECT MAX(sequence) FROM journal
     WHERE sequence > (SELECT projected_to FROM projection WHERE sole = 0) AND task = ?1)";

/// Which rows come before this one in its task's history, newest first? A row always follows an older one, so the walk ends.
pub const CHAIN: &str = "WITH RECURSIVE chain (sequence, task, previous, checksum, entry) AS (
        SELECT sequence, task, previous, checksum, entry FROM journal WHERE sequence = ?1
        UNION ALL
        SELECT j.sequence, j.task, j.previous, j.checksum, j.entry
        FROM chain AS c CROSS JOIN journal AS j ON j.sequence = c.previous
        WHERE j.sequence < c.sequence
        LIMIT ?2
    )
    SELECT sequence, task, previous, checksum, entry FROM chain ORDER BY sequence DESC";

/// The histories of several tasks, from their newest rows backwards; in no order that one may rely on.
pub const CHAINS: &str = "WITH RECURSIVE chain (sequence, task, previous, checksum, entry) AS (
        SELECT j.sequence, j.task, j.previous, j.checksum, j.entry
        FROM json_each(?1) AS head CROSS JOIN journal AS j ON j.sequence = head.value
        UNION ALL
        SELECT j.sequence, j.task, j.previous, j.checksum, j.entry
        FROM chain AS c CROSS JOIN journal AS j ON j.sequence = c.previous
        WHERE j.sequence < c.sequence
        LIMIT ?2
    )
    SELECT sequence, task, previous, checksum, entry FROM chain";

pub const JOURNAL: &str = "SELECT sequence, task, previous, checksum, entry FROM journal WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";

pub const TAIL: &str = "SELECT sequence, task, previous, checksum, entry FROM journal
    WHERE sequence > (SELECT projected_to FROM projection WHERE sole = 0) ORDER BY sequence";

/// Where do the journal and the tasks' numbers end, as far as the projection and the journal's last row say?
pub const ENDS: &str = "SELECT (SELECT COALESCE(MAX(sequence), 0) FROM journal), (SELECT MAX(id) FROM tasks),
    (SELECT projected_to FROM projection WHERE sole = 0)";

pub const RUNNING: &str = "SELECT id, last, waiting <> 0 FROM tasks WHERE status = 'running'";

pub const STANDINGS: &str = "SELECT id, status, last FROM tasks WHERE id IN (SELECT value FROM json_each(?1))";

pub const FIND_KEY: &str = "SELECT fingerprint, task, used_at, valid_until FROM keys WHERE namespace = ?1 AND key = ?2";

pub const WORKFLOWS: &str = "SELECT namespace, name, version, digest, CAST(source AS BLOB), applied_at FROM workflows
    ORDER BY applied_at, namespace, name, version, digest";

pub const CONTRACTS: &str = "SELECT digest, body FROM contracts ORDER BY digest";

pub const SYSTEMS: &str =
    "SELECT namespace, name, CAST(base_url AS BLOB), CAST(health_check_url AS BLOB) FROM systems ORDER BY namespace, name";

pub const CAPABILITIES: &str =
    "SELECT namespace, system, name, contract, CAST(description AS BLOB), timeout_ms, source, declared_at FROM capabilities
    ORDER BY namespace, system, name";

/// Remembers a secret unless one is remembered under this name: the first coordinator of a database draws it for all that follow.
pub const DRAW_SECRET: &str = "INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";

/// Which secret is remembered under a name?
pub const SECRET: &str = "SELECT value FROM secrets WHERE name = ?1";

pub const EVENTS: &str =
    "SELECT number, namespace, CAST(name AS BLOB), CAST(key AS BLOB), payload, CAST(id AS BLOB), arrived_at FROM kept_events
    ORDER BY number";

pub const PAUSES: &str = "SELECT namespace, name, CAST(reason AS BLOB), since FROM workflow_pauses ORDER BY namespace, name";

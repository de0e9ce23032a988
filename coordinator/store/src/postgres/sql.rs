//! The questions that are asked of PostgreSQL. Static, so that no text of a user's is ever part of one.

use tasker_runtime::port::store::WaitingFor;

/// What is the server, and does it take writes?
pub const SERVER: &str = "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery()";

/// Commits wait for the disk whatever role and database say, and the server notices within ten seconds that this host is gone. Nothing that
/// is set for other people's sessions may end this one's transactions.
pub const PREPARE_SESSION: &str = "SELECT
    set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
    set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '1', false),
    set_config('tcp_keepalives_count', '5', false),
    set_config('statement_timeout', '0', false),
    set_config('idle_in_transaction_session_timeout', '0', false)";

pub const DURABILITY: &str = "SELECT current_setting('synchronous_commit'), current_setting('fsync')";

pub const LOCK_TIMEOUT: &str = "SELECT set_config('lock_timeout', $1, false)";

/// The lock's numbers spell `task`. A coordinator that is alone holds it for itself; those that share the database hold it together. It goes with
/// the session, however that ends.
pub const LOCK_ALONE: &str = "SELECT pg_advisory_lock(1952543595, 0)";
pub const LOCK_TOGETHER: &str = "SELECT pg_advisory_lock_shared(1952543595, 0)";

/// Who has the lock that another one waits for? Before there was more than one, only the lease's row said so.
pub const HOLDER: &str = "SELECT COALESCE(
    (SELECT string_agg(name, ' and ' ORDER BY name) FROM coordinators WHERE seen_at > clock_timestamp() - interval '10 s'),
    (SELECT holder FROM coordinator_lease WHERE shard = 0))";

/// Divides namespaces into shards, once: a database that was written before it could be divided stays whole.
pub const DIVIDE: &str = "INSERT INTO layout (sole, shards)
    SELECT 0, CASE WHEN EXISTS (SELECT 1 FROM journal) THEN 1 ELSE $1::smallint END ON CONFLICT DO NOTHING";

pub const LAYOUT: &str = "SELECT shards FROM layout WHERE sole = 0";

pub const ADD_LEASES: &str = "INSERT INTO coordinator_lease (shard, epoch, holder, taken_at, probed_at)
    SELECT n, 0, 'nobody', 0, 0 FROM generate_series(0, (SELECT shards FROM layout WHERE sole = 0) - 1) AS n ON CONFLICT DO NOTHING";

pub const ADD_MARKS: &str = "INSERT INTO projection (shard, projected_to)
    SELECT n, 0 FROM generate_series(0, (SELECT shards FROM layout WHERE sole = 0) - 1) AS n ON CONFLICT DO NOTHING";

/// Says that a coordinator lives, with the server process of the session that says so.
pub const BEAT: &str = "INSERT INTO coordinators (id, name, url, session, seen_at) VALUES ($1, $2, $3, pg_backend_pid(), clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET url = excluded.url, session = excluded.session, seen_at = excluded.seen_at";

pub const LEAVE: &str = "DELETE FROM coordinators WHERE id = $1";

/// Those that have been silent for so long that nobody asks for them any more.
pub const FORGET_COORDINATORS: &str = "DELETE FROM coordinators WHERE seen_at < clock_timestamp() - interval '1 hour'";

/// Whether the coordinator in `c` lives: $1 and $2 are the leases, in milliseconds, with and without a session.
macro_rules! lives {
    () => {
        "(c.seen_at > clock_timestamp() - $1 * interval '1 ms' AND (
            c.seen_at > clock_timestamp() - $2 * interval '1 ms' OR EXISTS (SELECT 1 FROM pg_stat_activity AS a WHERE a.pid = c.session)))"
    };
}

pub const LIVING: &str = concat!("SELECT c.id, c.name, c.url FROM coordinators AS c WHERE ", lives!(), " ORDER BY c.id");

/// Who holds which shard, and does the holder live?
pub const LEASES: &str = concat!(
    "SELECT l.shard, l.epoch, (SELECT c.id FROM coordinators AS c WHERE c.id = l.coordinator AND ",
    lives!(),
    ") FROM coordinator_lease AS l ORDER BY l.shard"
);

/// Ends the session with which a silent owner wrote, so that a transaction it left open holds up nobody.
pub const END_SESSION: &str = concat!(
    "SELECT pg_terminate_backend(l.session) FROM coordinator_lease AS l
    WHERE l.shard = $3 AND l.session IS NOT NULL AND l.session <> pg_backend_pid()
        AND EXISTS (SELECT 1 FROM pg_stat_activity AS a WHERE a.pid = l.session AND a.datname = current_database())
        AND l.coordinator IS DISTINCT FROM $4
        AND NOT EXISTS (SELECT 1 FROM coordinators AS c WHERE c.id = l.coordinator AND ",
    lives!(),
    ")"
);

/// Takes a shard that is free, ours, or whose owner is silent, under a new epoch: whoever wrote before is refused from now on. $5 says that nobody
/// else can be there.
pub const CLAIM: &str = concat!(
    "UPDATE coordinator_lease AS l
    SET epoch = epoch + 1, holder = $6, taken_at = $7, coordinator = $4, session = pg_backend_pid()
    WHERE l.shard = $3 AND ($5 OR l.coordinator IS NULL OR l.coordinator = $4 OR NOT EXISTS (
        SELECT 1 FROM coordinators AS c WHERE c.id = l.coordinator AND ",
    lives!(),
    ")) RETURNING epoch"
);

/// Lets go of a shard, unless somebody has taken it meanwhile.
pub const RELEASE: &str = "UPDATE coordinator_lease SET coordinator = NULL, session = NULL WHERE shard = $1 AND epoch = $2";

pub const LAST: &str = "SELECT COALESCE(MAX(sequence), 0) FROM journal WHERE shard = $1";

/// Is this still our epoch? The lock on the row makes a successor wait for this transaction.
pub const CHECK_LEASE: &str = "SELECT epoch FROM coordinator_lease WHERE shard = $1 AND epoch = $2 FOR SHARE";

/// Appends nothing if the lease is lost. One statement, so that a batch that only appends needs no other and no transaction around it.
pub const APPEND: &str = "WITH lease AS MATERIALIZED (
        SELECT epoch FROM coordinator_lease WHERE shard = $1 AND epoch = $2 FOR SHARE
    )
    INSERT INTO journal (shard, sequence, task, previous, checksum, entry)
    SELECT $1, * FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
    WHERE EXISTS (SELECT 1 FROM lease)";

pub const PROBE: &str = "UPDATE coordinator_lease SET probed_at = $3 WHERE shard = $1 AND epoch = $2";

// Every shard forgets the keys of all: what another one is just forgetting is left to it.
pub const FORGET_OLD_KEYS: &str = "DELETE FROM keys WHERE ctid IN (
    SELECT ctid FROM keys WHERE valid_until IS NULL AND used_at < $1 FOR UPDATE SKIP LOCKED)";

pub const FORGET_ENDED_KEYS: &str = "DELETE FROM keys WHERE ctid IN (
    SELECT ctid FROM keys WHERE valid_until <= $1 FOR UPDATE SKIP LOCKED)";

/// Takes keys, and those again whose own window is over. A key that is in use is left as it is, which shows in the count.
pub const INSERT_KEYS: &str = "INSERT INTO keys (namespace, key, fingerprint, task, used_at, valid_until)
    SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[])
    ON CONFLICT (namespace, key) DO UPDATE SET fingerprint = excluded.fingerprint, task = excluded.task, used_at = excluded.used_at,
        valid_until = excluded.valid_until
    WHERE keys.valid_until <= excluded.used_at";

pub const KEEP_EVENTS: &str = "INSERT INTO kept_events (number, namespace, name, key, payload, id, arrived_at)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[])";

pub const DROP_EVENTS: &str = "DELETE FROM kept_events WHERE number = ANY ($1)";

pub const SET_PAUSE: &str = "INSERT INTO workflow_pauses (namespace, name, reason, since) VALUES ($1, $2, $3, $4)
    ON CONFLICT (namespace, name) DO UPDATE SET reason = excluded.reason, since = excluded.since";

pub const CLEAR_PAUSE: &str = "DELETE FROM workflow_pauses WHERE namespace = $1 AND name = $2";

pub const UPSERT_WORKFLOW: &str = "INSERT INTO workflows (namespace, name, version, digest, source, applied_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (namespace, name, version, digest) DO UPDATE SET source = excluded.source, applied_at = excluded.applied_at";

pub const INSERT_CONTRACT: &str = "INSERT INTO contracts (digest, body) VALUES ($1, $2) ON CONFLICT DO NOTHING";

pub const UPSERT_SYSTEM: &str = "INSERT INTO systems (namespace, name, base_url, health_check_url) VALUES ($1, $2, $3, $4)
    ON CONFLICT (namespace, name) DO UPDATE SET base_url = excluded.base_url, health_check_url = excluded.health_check_url";

pub const UPSERT_CAPABILITY: &str =
    "INSERT INTO capabilities (namespace, system, name, contract, description, timeout_ms, source, declared_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (namespace, system, name) DO UPDATE SET contract = excluded.contract, description = excluded.description,
        timeout_ms = excluded.timeout_ms, source = excluded.source, declared_at = excluded.declared_at";

/// What a task was accepted with never changes, so a row that exists gets only what can have changed.
pub const UPSERT_TASKS: &str = "INSERT INTO tasks (id, namespace, workflow, version, digest, status, accepted_at, finished_at,
        error_code, failed_step, retries, labels, last, parent, waiting)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::bigint[], $8::bigint[],
        $9::text[], $10::text[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[])
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, finished_at = excluded.finished_at, error_code = excluded.error_code,
        failed_step = excluded.failed_step, retries = excluded.retries, last = excluded.last,
        waiting = excluded.waiting";

pub const INSERT_LABELS: &str = "INSERT INTO task_labels (namespace, name, value, task)
    SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[])
    ON CONFLICT DO NOTHING";

pub const MARK: &str = "UPDATE projection SET projected_to = $2 WHERE shard = $1";

macro_rules! columns {
    () => {
        "t.id, t.namespace, t.workflow, t.version, t.digest, t.status, t.accepted_at, t.finished_at, t.error_code, t.failed_step, \
         t.retries, t.labels, t.last, t.parent, t.waiting"
    };
}

/// Whether a task has all of the labels in two arrays, of names and of values.
macro_rules! all_labels {
    ($names:literal, $values:literal) => {
        concat!(
            "NOT EXISTS (
         SELECT 1 FROM unnest(",
            $names,
            "::bytea[], ",
            $values,
            "::bytea[]) AS wanted (name, value)
         WHERE NOT EXISTS (
             SELECT 1 FROM task_labels AS other
             WHERE other.namespace = $1 AND other.name = wanted.name AND other.value = wanted.value AND other.task = t.id
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
            " AND t.namespace = $1
              AND t.id <= $2
              AND ($3::text[] IS NULL OR t.status = ANY ($3))
              AND ($4::text IS NULL OR t.workflow = $4)
              AND ($5::text IS NULL OR t.error_code = $5)
              AND ($6::bigint IS NULL OR t.accepted_at >= $6)
              AND ($7::bigint IS NULL OR t.accepted_at < $7)
              AND ($9::bigint IS NULL OR t.parent = $9)
              AND ($10::bigint IS NULL OR (t.waiting & $10) <> 0)
            ORDER BY ",
            $order,
            " DESC LIMIT $8"
        )
    };
}

pub const SEARCH_NAMESPACE: &str = search!("tasks AS t", "TRUE", "t.id");
pub const SEARCH_WORKFLOW: &str = search!("tasks AS t", "t.workflow = $4", "t.id");
pub const SEARCH_ERROR_CODE: &str = search!("tasks AS t", "t.error_code = $5", "t.id");
/// Driven by the parent; $11 and $12 are the names and values of all labels.
pub const SEARCH_PARENT: &str = search!("tasks AS t", concat!("t.parent = $9 AND ", all_labels!("$11", "$12")), "t.id");
pub const SEARCH_STATUS: &str = search!("tasks AS t", "t.status = $11", "t.id");
// The order is that of the index for this bit; see the migration that added it.
const SEARCH_APPROVAL: &str = search!("tasks AS t", "(t.waiting & 1) = 1 AND t.id + 0 <= $2", "t.id + 0");
const SEARCH_HELD: &str = search!("tasks AS t", "(t.waiting & 2) = 2 AND t.id + 0 <= $2", "t.id + 0");
const SEARCH_SIGNAL: &str = search!("tasks AS t", "(t.waiting & 4) = 4 AND t.id + 0 <= $2", "t.id + 0");
const SEARCH_EVENT: &str = search!("tasks AS t", "(t.waiting & 8) = 8 AND t.id + 0 <= $2", "t.id + 0");
const SEARCH_SLEEP: &str = search!("tasks AS t", "(t.waiting & 16) = 16 AND t.id + 0 <= $2", "t.id + 0");
const SEARCH_PAUSED: &str = search!("tasks AS t", "(t.waiting & 32) = 32 AND t.id + 0 <= $2", "t.id + 0");

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

/// Driven by one label; $11 and $12 are its name and value, $13 and $14 the names and values of all.
pub const SEARCH_LABEL: &str = search!(
    "task_labels AS l JOIN tasks AS t ON t.id = l.task",
    concat!("l.namespace = $1 AND l.name = $11 AND l.value = $12 AND l.task <= $2 AND ", all_labels!("$13", "$14")),
    "l.task"
);

/// How many tasks have this label, counted only so far?
pub const COUNT_LABEL: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM task_labels WHERE namespace = $1 AND name = $2 AND value = $3 LIMIT $4) AS counted";

pub const TASK_ROW: &str = concat!("SELECT ", columns!(), " FROM tasks AS t WHERE t.id = $1");

/// Where does this task's history end: what does its row say, and what does the journal after the projection's mark say?
pub const HEAD: &str = "SELECT (SELECT last FROM tasks WHERE id = $2),
    (SELECT MAX(sequence) FROM journal
     WHERE shard = $1 AND sequence > (SELECT projected_to FROM projection WHERE shard = $1) AND task = $2)";

/// Which rows come before this one in its task's history, newest first? A row always follows an older one, so the walk ends.
pub const CHAIN: &str = "WITH RECURSIVE chain (sequence, task, previous, checksum, entry) AS (
        SELECT sequence, task, previous, checksum, entry FROM journal WHERE shard = $1 AND sequence = $2
        UNION ALL
        SELECT j.sequence, j.task, j.previous, j.checksum, j.entry
        FROM chain AS c JOIN journal AS j ON j.shard = $1 AND j.sequence = c.previous
        WHERE j.sequence < c.sequence
    )
    SELECT sequence, task, previous, checksum, entry FROM chain LIMIT $3";

/// The histories of several tasks, from their newest rows backwards; in no order that one may rely on.
pub const CHAINS: &str = "WITH RECURSIVE chain (sequence, task, previous, checksum, entry) AS (
        SELECT j.sequence, j.task, j.previous, j.checksum, j.entry
        FROM unnest($2::bigint[]) AS head (sequence) JOIN journal AS j ON j.shard = $1 AND j.sequence = head.sequence
        UNION ALL
        SELECT j.sequence, j.task, j.previous, j.checksum, j.entry
        FROM chain AS c JOIN journal AS j ON j.shard = $1 AND j.sequence = c.previous
        WHERE j.sequence < c.sequence
    )
    SELECT sequence, task, previous, checksum, entry FROM chain LIMIT $3";

pub const JOURNAL: &str = "SELECT sequence, task, previous, checksum, entry FROM journal
    WHERE shard = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";

pub const TAIL: &str = "SELECT sequence, task, previous, checksum, entry FROM journal
    WHERE shard = $1 AND sequence > (SELECT projected_to FROM projection WHERE shard = $1) ORDER BY sequence";

/// Where do the journal of a shard and the tasks' numbers end, as far as the projection and the journal's last row say?
pub const ENDS: &str = "SELECT (SELECT COALESCE(MAX(sequence), 0) FROM journal WHERE shard = $1), (SELECT MAX(id) FROM tasks),
    (SELECT projected_to FROM projection WHERE shard = $1)";

/// The tenants that have tasks, found by walking from one to the next along the index.
pub const NAMESPACES: &str = "WITH RECURSIVE tenants (namespace) AS (
        (SELECT namespace FROM tasks ORDER BY namespace LIMIT 1)
        UNION ALL
        SELECT (SELECT t.namespace FROM tasks AS t WHERE t.namespace > tenants.namespace ORDER BY t.namespace LIMIT 1)
        FROM tenants WHERE tenants.namespace IS NOT NULL
    )
    SELECT namespace FROM tenants WHERE namespace IS NOT NULL";

pub const RUNNING: &str = "SELECT id, last, waiting <> 0 FROM tasks WHERE status = 'running' AND namespace = ANY ($1)";

pub const STANDINGS: &str = "SELECT id, status, last FROM tasks WHERE id = ANY ($1)";

pub const FIND_KEY: &str = "SELECT fingerprint, task, used_at, valid_until FROM keys WHERE namespace = $1 AND key = $2";

pub const WORKFLOWS: &str = "SELECT namespace, name, version, digest, source, applied_at FROM workflows
    ORDER BY applied_at, namespace COLLATE \"C\", name COLLATE \"C\", version COLLATE \"C\", digest";

pub const CONTRACTS: &str = "SELECT digest, body FROM contracts ORDER BY digest";

pub const SYSTEMS: &str =
    "SELECT namespace, name, base_url, health_check_url FROM systems ORDER BY namespace COLLATE \"C\", name COLLATE \"C\"";

pub const CAPABILITIES: &str = "SELECT namespace, system, name, contract, description, timeout_ms, source, declared_at FROM capabilities
    ORDER BY namespace COLLATE \"C\", system COLLATE \"C\", name COLLATE \"C\"";

/// Recovery reads as long as it takes.
pub const NO_TIMEOUT: &str = "SET LOCAL statement_timeout = 0";

/// Remembers a secret unless one is remembered under this name: the first coordinator of a database draws it for all that follow.
pub const DRAW_SECRET: &str = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

/// Which secret is remembered under a name?
pub const SECRET: &str = "SELECT value FROM secrets WHERE name = $1";

pub const EVENTS: &str = "SELECT number, namespace, name, key, payload, id, arrived_at FROM kept_events ORDER BY number";

pub const PAUSES: &str = "SELECT namespace, name, reason, since FROM workflow_pauses ORDER BY namespace COLLATE \"C\", name COLLATE \"C\"";

//! From columns to words and back: the same for both databases.

use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::{Digest, Payload, TaskId, TaskStatus, Timestamp};
use tasker_runtime::port::store::{
    CapabilityRow, JournalRow, KeptEvent, KeyUse, ReadError, Sequence, SystemRow, TaskRow, WaitingFor, WorkflowPause, WorkflowRow,
};
use tasker_wire::journal;

/// The name under which the secret of callback URLs is remembered.
pub const CALLBACKS: &str = "callbacks";

/// `sequence, task, previous, checksum, entry`.
pub type JournalColumns = (i64, i64, i64, i64, Vec<u8>);

/// `id, namespace, workflow, version, digest, status, accepted_at, finished_at, error_code, failed_step, retries, labels, last, parent,
/// waiting`.
pub type TaskColumns =
    (i64, String, String, String, Vec<u8>, String, i64, Option<i64>, Option<String>, Option<String>, i64, String, i64, Option<i64>, i64);

/// `namespace, name, version, digest, source, applied_at`.
pub type WorkflowColumns = (String, String, String, Vec<u8>, Vec<u8>, i64);

/// `namespace, name, base_url, health_check_url`.
pub type SystemColumns = (String, String, Option<Vec<u8>>, Option<Vec<u8>>);

/// `namespace, system, name, contract, description, timeout_ms, source, declared_at`.
pub type CapabilityColumns = (String, String, String, Vec<u8>, Vec<u8>, Option<i64>, String, i64);

/// `fingerprint, task, used_at, valid_until`.
pub type KeyColumns = (Vec<u8>, i64, i64, Option<i64>);

/// `number, namespace, name, key, payload, id, arrived_at`.
pub type EventColumns = (i64, String, Vec<u8>, Vec<u8>, Vec<u8>, Option<Vec<u8>>, i64);

/// `namespace, name, reason, since`.
pub type PauseColumns = (String, String, Vec<u8>, i64);

/// For `map_err` on anything a client library says while reading.
pub fn database(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ReadError {
    ReadError::Database(error.into())
}

/// CRC-32 of a journal row, so that a bit that the disk has changed is noticed instead of believed (P18).
pub fn checksum(sequence: Sequence, task: i64, previous: Sequence, entry: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for number in [sequence, task, previous] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(entry);
    i64::from(hasher.finalize())
}

/// A journal row as it is stored.
pub fn journal_columns(row: &JournalRow) -> JournalColumns {
    let entry = journal::encode(&row.entry);
    let task = row.entry.task.as_number();
    (row.sequence, task, row.previous, checksum(row.sequence, task, row.previous, &entry), entry)
}

/// A journal row as it was written.
pub fn journal_row((sequence, task, previous, stored, entry): JournalColumns) -> Result<JournalRow, ReadError> {
    let damaged = |what: String| ReadError::Damaged(format!("journal row {sequence}: {what}"));
    check_journal(sequence, task, previous, stored, &entry)?;
    let entry = journal::decode(Bytes::from(entry)).map_err(|error| damaged(error.to_string()))?;
    if entry.task.as_number() != task {
        return Err(damaged(format!("the entry belongs to {}, the row to task number {task}", entry.task)));
    }
    Ok(JournalRow { sequence, previous, entry: Arc::new(entry) })
}

/// Whether a row still holds the bytes that were written.
pub fn check_journal(sequence: Sequence, task: i64, previous: Sequence, stored: i64, entry: &[u8]) -> Result<(), ReadError> {
    let found = checksum(sequence, task, previous, entry);
    if found == stored {
        return Ok(());
    }
    Err(ReadError::Damaged(format!("journal row {sequence}: its checksum is {found}, and {stored} was stored")))
}

/// A task's row as it was written.
pub fn task_row(columns: TaskColumns) -> Result<TaskRow, ReadError> {
    let (id, namespace, workflow, version, digest, status, accepted_at, finished_at, error_code, failed_step, retries, labels, last, ..) =
        columns;
    let (.., parent, waiting) = columns;
    let place = Place { table: "tasks", row: format!("number {id}") };
    Ok(TaskRow {
        id: place.task("id", id)?,
        namespace: place.parse("namespace", &namespace)?,
        workflow: place.parse("workflow", &workflow)?,
        version: place.parse("version", &version)?,
        digest: place.digest("digest", &digest)?,
        status: TaskStatus::from_word(&status).ok_or_else(|| place.damaged("status", "no status"))?,
        accepted_at: Timestamp::from_millis(accepted_at),
        finished_at: finished_at.map(Timestamp::from_millis),
        error_code,
        failed_step,
        retries: u32::try_from(retries).map_err(|error| place.damaged("retries", error))?,
        labels: serde_json::from_str(&labels).map_err(|error| place.damaged("labels", error))?,
        parent: parent.map(|number| place.task("parent", number)).transpose()?,
        waiting: waiting_of(waiting).ok_or_else(|| place.damaged("waiting", "a bit that means nothing"))?,
        last,
    })
}

/// What a task waits for, as a number: one bit each, as the migration that added the column lists them.
pub fn waiting_bits(waiting: &BTreeSet<WaitingFor>) -> i64 {
    waiting.iter().map(|one| waiting_bit(*one)).sum()
}

fn waiting_bit(waiting: WaitingFor) -> i64 {
    match waiting {
        WaitingFor::Approval => 1,
        WaitingFor::Held => 2,
        WaitingFor::Signal => 4,
        WaitingFor::Event => 8,
        WaitingFor::Sleep => 16,
        WaitingFor::Paused => 32,
    }
}

fn waiting_of(bits: i64) -> Option<BTreeSet<WaitingFor>> {
    let waiting: BTreeSet<WaitingFor> = WaitingFor::ALL.into_iter().filter(|one| bits & waiting_bit(*one) != 0).collect();
    (waiting_bits(&waiting) == bits).then_some(waiting)
}

/// Labels as the tasks table stores them.
pub fn labels_text(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).expect("a map of texts is always JSON")
}

/// A workflow's row as it was written.
pub fn workflow_row((namespace, name, version, digest, source, applied_at): WorkflowColumns) -> Result<WorkflowRow, ReadError> {
    let place = Place { table: "workflows", row: format!("{namespace}/{name} {version}") };
    Ok(WorkflowRow {
        namespace: place.parse("namespace", &namespace)?,
        name: place.parse("name", &name)?,
        version: place.parse("version", &version)?,
        digest: place.digest("digest", &digest)?,
        source: place.text("source", source)?,
        applied_at: Timestamp::from_millis(applied_at),
    })
}

/// A contract as it was written.
pub fn contract((digest, body): (Vec<u8>, String)) -> Result<(Digest, Value), ReadError> {
    let place = Place { table: "contracts", row: "a contract".into() };
    let digest = place.digest("digest", &digest)?;
    let place = Place { table: "contracts", row: digest.to_string() };
    Ok((digest, serde_json::from_str(&body).map_err(|error| place.damaged("body", error))?))
}

/// A system's row as it was written.
pub fn system_row((namespace, name, base_url, health_check_url): SystemColumns) -> Result<SystemRow, ReadError> {
    let place = Place { table: "systems", row: format!("{namespace}/{name}") };
    Ok(SystemRow {
        namespace: place.parse("namespace", &namespace)?,
        name: place.parse("name", &name)?,
        base_url: base_url.map(|text| place.text("base_url", text)).transpose()?,
        health_check_url: health_check_url.map(|text| place.text("health_check_url", text)).transpose()?,
    })
}

/// A capability's row as it was written.
pub fn capability_row(columns: CapabilityColumns) -> Result<CapabilityRow, ReadError> {
    let (namespace, system, name, contract, description, timeout_ms, source, declared_at) = columns;
    let place = Place { table: "capabilities", row: format!("{namespace}/{system}/{name}") };
    let timeout = timeout_ms.map(|millis| u64::try_from(millis).map_err(|error| place.damaged("timeout_ms", error))).transpose()?;
    Ok(CapabilityRow {
        namespace: place.parse("namespace", &namespace)?,
        system: place.parse("system", &system)?,
        name: place.parse("name", &name)?,
        contract: place.digest("contract", &contract)?,
        description: place.text("description", description)?,
        timeout: timeout.map(Duration::from_millis),
        source,
        declared_at: Timestamp::from_millis(declared_at),
    })
}

/// A timeout as it is stored: whole milliseconds, rounded up so that a short one never becomes none.
pub fn timeout_millis(timeout: Option<Duration>) -> Option<i64> {
    timeout.map(|timeout| i64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX))
}

/// A key's row as it was written.
pub fn key_use(namespace: &tasker_engine::Namespace, key: &str, columns: KeyColumns) -> Result<KeyUse, ReadError> {
    let (fingerprint, task, used_at, valid_until) = columns;
    let place = Place { table: "keys", row: format!("{namespace}/{key}") };
    Ok(KeyUse {
        namespace: namespace.clone(),
        key: key.to_owned(),
        fingerprint: place.digest("fingerprint", &fingerprint)?,
        task: place.task("task", task)?,
        used_at: Timestamp::from_millis(used_at),
        valid_until: valid_until.map(Timestamp::from_millis),
    })
}

/// A kept event as it was written.
pub fn kept_event((number, namespace, name, key, payload, id, arrived_at): EventColumns) -> Result<KeptEvent, ReadError> {
    let place = Place { table: "kept_events", row: format!("number {number}") };
    Ok(KeptEvent {
        number,
        namespace: place.parse("namespace", &namespace)?,
        name: place.text("name", name)?,
        key: place.text("key", key)?,
        payload: Payload::parse(Bytes::from(payload)).map_err(|error| place.damaged("payload", error))?,
        id: id.map(|id| place.text("id", id)).transpose()?,
        arrived_at: Timestamp::from_millis(arrived_at),
    })
}

/// A workflow's pause as it was written.
pub fn workflow_pause((namespace, name, reason, since): PauseColumns) -> Result<WorkflowPause, ReadError> {
    let place = Place { table: "workflow_pauses", row: format!("{namespace}/{name}") };
    Ok(WorkflowPause {
        namespace: place.parse("namespace", &namespace)?,
        name: place.parse("name", &name)?,
        reason: place.text("reason", reason)?,
        since: Timestamp::from_millis(since),
    })
}

/// A task's number as its id.
pub fn task_id(number: i64) -> Result<TaskId, ReadError> {
    Place { table: "journal", row: "a row".into() }.task("task", number)
}

/// Where something is stored, for the one who must find it.
pub struct Place {
    pub table: &'static str,
    pub row: String,
}

impl Place {
    pub fn damaged(&self, column: &str, what: impl std::fmt::Display) -> ReadError {
        ReadError::Damaged(format!("table `{}`, row {}, column `{column}`: {what}", self.table, self.row))
    }

    pub fn parse<T: FromStr<Err: std::fmt::Display>>(&self, column: &str, text: &str) -> Result<T, ReadError> {
        text.parse().map_err(|error| self.damaged(column, error))
    }

    pub fn digest(&self, column: &str, bytes: &[u8]) -> Result<Digest, ReadError> {
        bytes.try_into().map(Digest).map_err(|_| self.damaged(column, "not 32 bytes"))
    }

    pub fn task(&self, column: &str, number: i64) -> Result<TaskId, ReadError> {
        TaskId::from_number(number).ok_or_else(|| self.damaged(column, "a negative task number"))
    }

    pub fn count(&self, column: &str, number: i64) -> Result<u64, ReadError> {
        u64::try_from(number).map_err(|error| self.damaged(column, error))
    }

    pub fn text(&self, column: &str, bytes: Vec<u8>) -> Result<String, ReadError> {
        String::from_utf8(bytes).map_err(|error| self.damaged(column, error))
    }
}

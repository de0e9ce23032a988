//! The one thread that writes. A statement costs a few microseconds here; through an async client each would cost two thread hops.

use super::checkpoint::{Checkpointer, Log};
use super::letters;
use super::open::now_millis;
use crate::row::{journal_columns, labels_text, timeout_millis, waiting_bits};
use crate::writer::{Command, Failed, Handle, KeyInUse, Ledger};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tasker_runtime::port::store::{Batch, PauseChange, TaskRow};
use tokio::sync::mpsc::Receiver;

/// Statements kept prepared: all that this file and `letters.rs` have.
const STATEMENTS_MAX: usize = 48;

/// Starts the thread.
pub fn start(connection: Connection, ledger: Ledger, checkpointer: Checkpointer) -> std::io::Result<(Handle, JoinHandle<()>)> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let (handle, commands) = Handle::new(&ledger);
    let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || run(connection, ledger, checkpointer, commands))?;
    Ok((handle, thread))
}

fn run(mut connection: Connection, mut ledger: Ledger, checkpointer: Checkpointer, mut commands: Receiver<Command>) {
    let mut log = Log::new(&connection, checkpointer);
    let mut closing = None;
    // Ends when the store is closed or dropped.
    while let Some(command) = commands.blocking_recv() {
        match command {
            Command::Commit(batch, answer) => {
                let outcome = ledger.check(&batch).and_then(|()| {
                    let written = write(&mut connection, &batch, ledger.epoch())
                        .map(|took| ledger.synced(took))
                        .map_err(|failed| failed.full_if(is_full));
                    ledger.settle(batch, written)
                });
                let committed = outcome.is_ok();
                // A caller that has gone away has stopped; the commit stands.
                let _ = answer.send(outcome);
                if committed {
                    log.after_commit(&connection);
                }
            }
            Command::Probe(answer) => {
                let probed = probe(&mut connection, ledger.epoch());
                let _ = answer.send(ledger.probed(probed));
            }
            Command::Close(answer) => {
                closing = Some(answer);
                break;
            }
        }
    }
    log.close();
    if let Err((_, error)) = connection.close() {
        tracing::warn!(error = %error, "the database was not closed cleanly; the next start recovers it");
    }
    if let Some(answer) = closing {
        let _ = answer.send(());
    }
}

/// SQLite says FULL only if a write found no space: then the frame that would have committed the batch is not complete, and the batch is
/// rolled back. A sync that fails is an I/O error and leaves the outcome open; so does want of space for the index of the log.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// One batch, one transaction. Anything but `Ok` rolls it back, or leaves its outcome to recovery. Returns how long the database's own commit
/// took, which is writing the log and waiting for the disk.
fn write(connection: &mut Connection, batch: &Batch, epoch: i64) -> Result<Duration, Failed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    check_lease(&transaction, epoch)?;
    append(&transaction, batch)?;
    keys(&transaction, batch)?;
    outside(&transaction, batch)?;
    letters::write(&transaction, &batch.letters)?;
    registry(&transaction, batch)?;
    project(&transaction, batch)?;
    let began = Instant::now();
    transaction.commit()?;
    Ok(began.elapsed())
}

fn check_lease(transaction: &Transaction<'_>, epoch: i64) -> Result<(), Failed> {
    let mut lease = transaction.prepare_cached("SELECT epoch FROM coordinator_lease WHERE shard = 0")?;
    let found: i64 = lease.query_row((), |row| row.get(0))?;
    if found == epoch { Ok(()) } else { Err(Failed::LeaseLost) }
}

fn append(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut insert =
        transaction.prepare_cached("INSERT INTO journal (sequence, task, previous, checksum, entry) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in &batch.journal {
        insert.execute(journal_columns(row))?;
    }
    Ok(())
}

fn keys(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), Failed> {
    if let Some(forget) = batch.forget_keys {
        let mut old = transaction.prepare_cached("DELETE FROM keys WHERE valid_until IS NULL AND used_at < ?1")?;
        old.execute([forget.used_before.as_millis()])?;
        transaction.prepare_cached("DELETE FROM keys WHERE valid_until <= ?1")?.execute([forget.now.as_millis()])?;
    }
    if batch.keys.is_empty() {
        return Ok(());
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO keys (namespace, key, fingerprint, task, used_at, valid_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint, task = excluded.task, used_at = excluded.used_at,
             valid_until = excluded.valid_until
         WHERE keys.valid_until <= excluded.used_at",
    )?;
    for used in &batch.keys {
        let (task, used_at, until) = (used.task.as_number(), used.used_at.as_millis(), used.valid_until.map(|at| at.as_millis()));
        if insert.execute(params![used.namespace.as_str(), used.key, used.fingerprint.0, task, used_at, until])? == 0 {
            return Err(KeyInUse.into());
        }
    }
    Ok(())
}

/// What came from outside for nobody yet, and which workflows rest.
fn outside(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    for event in &batch.events_kept {
        transaction
            .prepare_cached(
                "INSERT INTO kept_events (number, namespace, name, key, payload, id, arrived_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                event.number,
                event.namespace.as_str(),
                event.name,
                event.key,
                event.payload.bytes().as_ref(),
                event.id,
                event.arrived_at.as_millis()
            ])?;
    }
    for number in &batch.events_gone {
        transaction.prepare_cached("DELETE FROM kept_events WHERE number = ?1")?.execute([number])?;
    }
    for change in &batch.workflow_pauses {
        match change {
            PauseChange::Set(pause) => transaction
                .prepare_cached(
                    "INSERT INTO workflow_pauses (namespace, name, reason, since) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET reason = excluded.reason, since = excluded.since",
                )?
                .execute(params![pause.namespace.as_str(), pause.name.as_str(), pause.reason, pause.since.as_millis()])?,
            PauseChange::Cleared { namespace, name } => transaction
                .prepare_cached("DELETE FROM workflow_pauses WHERE namespace = ?1 AND name = ?2")?
                .execute([namespace.as_str(), name.as_str()])?,
        };
    }
    Ok(())
}

fn registry(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    for row in &batch.workflows {
        transaction
            .prepare_cached(
                "INSERT INTO workflows (namespace, name, version, digest, source, applied_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET source = excluded.source, applied_at = excluded.applied_at",
            )?
            .execute(params![
                row.namespace.as_str(),
                row.name.as_str(),
                row.version.as_str(),
                row.digest.0,
                row.source,
                row.applied_at.as_millis()
            ])?;
    }
    for (digest, body) in &batch.contracts {
        transaction
            .prepare_cached("INSERT INTO contracts (digest, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![digest.0, body.to_string()])?;
    }
    for row in &batch.systems {
        transaction
            .prepare_cached(
                "INSERT INTO systems (namespace, name, base_url, health_check_url) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET base_url = excluded.base_url, health_check_url = excluded.health_check_url",
            )?
            .execute(params![row.namespace.as_str(), row.name.as_str(), row.base_url, row.health_check_url])?;
    }
    for row in &batch.capabilities {
        transaction
            .prepare_cached(
                "INSERT INTO capabilities (namespace, system, name, contract, description, timeout_ms, source, declared_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT DO UPDATE SET contract = excluded.contract, description = excluded.description,
                     timeout_ms = excluded.timeout_ms, source = excluded.source, declared_at = excluded.declared_at",
            )?
            .execute(params![
                row.namespace.as_str(),
                row.system.as_str(),
                row.name.as_str(),
                row.contract.0,
                row.description,
                timeout_millis(row.timeout),
                row.source,
                row.declared_at.as_millis()
            ])?;
    }
    Ok(())
}

/// The projection. What a task was accepted with never changes, so a row that exists gets only what can have changed.
fn project(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut update = transaction.prepare_cached(
        "UPDATE tasks SET status = ?2, finished_at = ?3, error_code = ?4, failed_step = ?5, retries = ?6, last = ?7, waiting = ?8
         WHERE id = ?1",
    )?;
    for row in &batch.tasks {
        let changed = update.execute(params![
            row.id.as_number(),
            row.status.as_str(),
            row.finished_at.map(|at| at.as_millis()),
            row.error_code,
            row.failed_step,
            row.retries,
            row.last,
            waiting_bits(&row.waiting)
        ])?;
        if changed == 0 {
            insert_task(transaction, row)?;
        }
    }
    if let Some(mark) = batch.projected_to {
        transaction.prepare_cached("UPDATE projection SET projected_to = ?1 WHERE sole = 0")?.execute([mark])?;
    }
    Ok(())
}

fn insert_task(transaction: &Transaction<'_>, row: &TaskRow) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO tasks (id, namespace, workflow, version, digest, status, accepted_at, finished_at, error_code, failed_step,
                 retries, labels, last, parent, waiting)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            row.id.as_number(),
            row.namespace.as_str(),
            row.workflow.as_str(),
            row.version.as_str(),
            row.digest.0,
            row.status.as_str(),
            row.accepted_at.as_millis(),
            row.finished_at.map(|at| at.as_millis()),
            row.error_code,
            row.failed_step,
            row.retries,
            labels_text(&row.labels),
            row.last,
            row.parent.map(|parent| parent.as_number()),
            waiting_bits(&row.waiting)
        ])?;
    let mut label = transaction.prepare_cached("INSERT INTO task_labels (namespace, name, value, task) VALUES (?1, ?2, ?3, ?4)")?;
    for (name, value) in &row.labels {
        label.execute(params![row.namespace.as_str(), name, value, row.id.as_number()])?;
    }
    Ok(())
}

/// Commits a harmless change, under the lease like everything else.
fn probe(connection: &mut Connection, epoch: i64) -> Result<(), Failed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    check_lease(&transaction, epoch)?;
    transaction.prepare_cached("UPDATE coordinator_lease SET probed_at = ?1 WHERE shard = 0")?.execute([now_millis()])?;
    Ok(transaction.commit()?)
}

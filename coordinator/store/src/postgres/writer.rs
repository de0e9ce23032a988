//! The one task that writes a shard, on a session of its own, under one epoch of its lease: every transaction checks that it still holds.

use super::letters;
use super::open::now_millis;
use super::sql;
use crate::row::{journal_columns, labels_text, timeout_millis, waiting_bits};
use crate::writer::{Command, Failed, Handle, KeyInUse, Ledger};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tasker_engine::ShardId;
use tasker_runtime::port::store::{Batch, JournalRow, PauseChange, TaskRow};
use tokio::sync::mpsc::Receiver;

/// Starts the task. It ends when the store is closed or dropped.
pub fn start(connection: PgConnection, shard: ShardId, ledger: Ledger) -> Handle {
    let (handle, commands) = Handle::new(&ledger);
    tokio::spawn(run(connection, shard, ledger, commands));
    handle
}

/// Under which lease a transaction is made.
#[derive(Clone, Copy)]
struct Lease {
    shard: i16,
    epoch: i64,
}

async fn run(mut connection: PgConnection, shard: ShardId, mut ledger: Ledger, mut commands: Receiver<Command>) {
    let lease = Lease { shard: i16::from(shard.0), epoch: ledger.epoch() };
    let mut closing = None;
    while let Some(command) = commands.recv().await {
        match command {
            Command::Commit(batch, answer) => {
                let outcome = match ledger.check(&batch) {
                    Ok(()) => {
                        let written = write(&mut connection, &batch, lease).await.map_err(|failed| failed.full_if(is_full));
                        ledger.settle(batch, written)
                    }
                    refused => refused,
                };
                // A caller that has gone away has stopped; the commit stands.
                let _ = answer.send(outcome);
            }
            Command::Probe(answer) => {
                let probed = probe(&mut connection, lease).await;
                let _ = answer.send(ledger.probed(probed));
            }
            Command::Close(answer) => {
                closing = Some(answer);
                break;
            }
        }
    }
    // A successor need not wait for the lease to run out. Whoever took over already is left alone.
    if let Err(error) = sqlx::query(sql::RELEASE).bind(lease.shard).bind(lease.epoch).execute(&mut connection).await {
        tracing::warn!(shard = lease.shard, %error, "the lease was not let go of; it runs out by itself");
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(error = %error, "the database connection was not closed cleanly; the server lets go of the lease by itself");
    }
    if let Some(answer) = closing {
        let _ = answer.send(());
    }
}

/// `disk_full`. An error that the server reports has ended the transaction; if it cannot write its own log it dies instead, which is an
/// unknown outcome.
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "53100")
}

/// One batch, one transaction. Anything but `Ok` rolls it back, or leaves its outcome to recovery.
async fn write(connection: &mut PgConnection, batch: &Batch, lease: Lease) -> Result<(), Failed> {
    if only_appends(batch) {
        return append(connection, &batch.journal, lease).await;
    }
    let mut transaction = connection.begin().await?;
    if batch.journal.is_empty() {
        check_lease(&mut transaction, lease).await?;
    } else {
        append(&mut transaction, &batch.journal, lease).await?;
    }
    keys(&mut transaction, batch).await?;
    outside(&mut transaction, batch).await?;
    letters::write(&mut transaction, &batch.letters).await?;
    registry(&mut transaction, batch).await?;
    project(&mut transaction, batch, lease).await?;
    Ok(transaction.commit().await?)
}

/// The hot path: one statement is a transaction by itself and needs one round trip.
fn only_appends(batch: &Batch) -> bool {
    let Batch {
        journal,
        tasks,
        projected_to,
        keys,
        workflows,
        contracts,
        systems,
        capabilities,
        forget_keys,
        events_kept,
        events_gone,
        workflow_pauses,
        letters,
    } = batch;
    !journal.is_empty()
        && tasks.is_empty()
        && projected_to.is_none()
        && keys.is_empty()
        && workflows.is_empty()
        && contracts.is_empty()
        && systems.is_empty()
        && capabilities.is_empty()
        && forget_keys.is_none()
        && events_kept.is_empty()
        && events_gone.is_empty()
        && workflow_pauses.is_empty()
        && letters.is_empty()
}

async fn check_lease(connection: &mut PgConnection, lease: Lease) -> Result<(), Failed> {
    match sqlx::query(sql::CHECK_LEASE).bind(lease.shard).bind(lease.epoch).fetch_optional(connection).await? {
        Some(_) => Ok(()),
        None => Err(Failed::LeaseLost),
    }
}

async fn append(connection: &mut PgConnection, rows: &[JournalRow], lease: Lease) -> Result<(), Failed> {
    let size = rows.len();
    let (mut sequences, mut tasks, mut previous) = (Vec::with_capacity(size), Vec::with_capacity(size), Vec::with_capacity(size));
    let (mut checksums, mut entries) = (Vec::with_capacity(size), Vec::with_capacity(size));
    for row in rows {
        let columns = journal_columns(row);
        sequences.push(columns.0);
        tasks.push(columns.1);
        previous.push(columns.2);
        checksums.push(columns.3);
        entries.push(columns.4);
    }
    let done = sqlx::query(sql::APPEND)
        .bind(lease.shard)
        .bind(lease.epoch)
        .bind(sequences)
        .bind(tasks)
        .bind(previous)
        .bind(checksums)
        .bind(entries)
        .execute(connection)
        .await?;
    if done.rows_affected() == 0 { Err(Failed::LeaseLost) } else { Ok(()) }
}

async fn keys(connection: &mut PgConnection, batch: &Batch) -> Result<(), Failed> {
    if let Some(forget) = batch.forget_keys {
        sqlx::query(sql::FORGET_OLD_KEYS).bind(forget.used_before.as_millis()).execute(&mut *connection).await?;
        sqlx::query(sql::FORGET_ENDED_KEYS).bind(forget.now.as_millis()).execute(&mut *connection).await?;
    }
    if batch.keys.is_empty() {
        return Ok(());
    }
    let done = sqlx::query(sql::INSERT_KEYS)
        .bind(batch.keys.iter().map(|used| used.namespace.as_str()).collect::<Vec<_>>())
        .bind(batch.keys.iter().map(|used| used.key.as_bytes()).collect::<Vec<_>>())
        .bind(batch.keys.iter().map(|used| used.fingerprint.0.to_vec()).collect::<Vec<_>>())
        .bind(batch.keys.iter().map(|used| used.task.as_number()).collect::<Vec<_>>())
        .bind(batch.keys.iter().map(|used| used.used_at.as_millis()).collect::<Vec<_>>())
        .bind(batch.keys.iter().map(|used| used.valid_until.map(|at| at.as_millis())).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    if done.rows_affected() == batch.keys.len() as u64 { Ok(()) } else { Err(KeyInUse.into()) }
}

/// What came from outside for nobody yet, and which workflows rest.
async fn outside(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let kept = &batch.events_kept;
    if !kept.is_empty() {
        sqlx::query(sql::KEEP_EVENTS)
            .bind(kept.iter().map(|event| event.number).collect::<Vec<_>>())
            .bind(kept.iter().map(|event| event.namespace.as_str()).collect::<Vec<_>>())
            .bind(kept.iter().map(|event| event.name.as_bytes()).collect::<Vec<_>>())
            .bind(kept.iter().map(|event| event.key.as_bytes()).collect::<Vec<_>>())
            .bind(kept.iter().map(|event| event.payload.bytes().as_ref()).collect::<Vec<_>>())
            .bind(kept.iter().map(|event| event.id.as_ref().map(String::as_bytes)).collect::<Vec<_>>())
            .bind(kept.iter().map(|event| event.arrived_at.as_millis()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    if !batch.events_gone.is_empty() {
        sqlx::query(sql::DROP_EVENTS).bind(&batch.events_gone).execute(&mut *connection).await?;
    }
    for change in &batch.workflow_pauses {
        let query = match change {
            PauseChange::Set(pause) => sqlx::query(sql::SET_PAUSE)
                .bind(pause.namespace.as_str())
                .bind(pause.name.as_str())
                .bind(pause.reason.as_bytes())
                .bind(pause.since.as_millis()),
            PauseChange::Cleared { namespace, name } => sqlx::query(sql::CLEAR_PAUSE).bind(namespace.as_str()).bind(name.as_str()),
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Rare, so row by row.
async fn registry(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    for row in &batch.workflows {
        sqlx::query(sql::UPSERT_WORKFLOW)
            .bind(row.namespace.as_str())
            .bind(row.name.as_str())
            .bind(row.version.as_str())
            .bind(row.digest.0.to_vec())
            .bind(row.source.as_bytes())
            .bind(row.applied_at.as_millis())
            .execute(&mut *connection)
            .await?;
    }
    // Contracts are shared by all shards: taken in one order, two writers never wait for each other in a circle.
    let mut contracts: Vec<_> = batch.contracts.iter().collect();
    contracts.sort_by_key(|(digest, _)| *digest);
    for (digest, body) in contracts {
        sqlx::query(sql::INSERT_CONTRACT).bind(digest.0.to_vec()).bind(body.to_string()).execute(&mut *connection).await?;
    }
    for row in &batch.systems {
        sqlx::query(sql::UPSERT_SYSTEM)
            .bind(row.namespace.as_str())
            .bind(row.name.as_str())
            .bind(row.base_url.as_ref().map(String::as_bytes))
            .bind(row.health_check_url.as_ref().map(String::as_bytes))
            .execute(&mut *connection)
            .await?;
    }
    for row in &batch.capabilities {
        sqlx::query(sql::UPSERT_CAPABILITY)
            .bind(row.namespace.as_str())
            .bind(row.system.as_str())
            .bind(row.name.as_str())
            .bind(row.contract.0.to_vec())
            .bind(row.description.as_bytes())
            .bind(timeout_millis(row.timeout))
            .bind(row.source.as_str())
            .bind(row.declared_at.as_millis())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn project(connection: &mut PgConnection, batch: &Batch, lease: Lease) -> Result<(), sqlx::Error> {
    // One statement must not touch a row twice; of several rows of one task, the last is the newest.
    let newest = |place: usize, row: &TaskRow| batch.tasks.get(place + 1).is_none_or(|next| next.id != row.id);
    let rows: Vec<&TaskRow> = batch.tasks.iter().enumerate().filter(|(place, row)| newest(*place, row)).map(|(_, row)| row).collect();
    if !rows.is_empty() {
        upsert_tasks(connection, &rows).await?;
        insert_labels(connection, &rows).await?;
    }
    if let Some(mark) = batch.projected_to {
        sqlx::query(sql::MARK).bind(lease.shard).bind(mark).execute(connection).await?;
    }
    Ok(())
}

async fn upsert_tasks(connection: &mut PgConnection, rows: &[&TaskRow]) -> Result<(), sqlx::Error> {
    fn column<'r, T>(rows: &[&'r TaskRow], pick: impl Fn(&'r TaskRow) -> T) -> Vec<T> {
        rows.iter().map(|row| pick(row)).collect()
    }
    sqlx::query(sql::UPSERT_TASKS)
        .bind(column(rows, |row| row.id.as_number()))
        .bind(column(rows, |row| row.namespace.as_str()))
        .bind(column(rows, |row| row.workflow.as_str()))
        .bind(column(rows, |row| row.version.as_str()))
        .bind(column(rows, |row| row.digest.0.to_vec()))
        .bind(column(rows, |row| row.status.as_str()))
        .bind(column(rows, |row| row.accepted_at.as_millis()))
        .bind(column(rows, |row| row.finished_at.map(|at| at.as_millis())))
        .bind(column(rows, |row| row.error_code.as_deref()))
        .bind(column(rows, |row| row.failed_step.as_deref()))
        .bind(column(rows, |row| i64::from(row.retries)))
        .bind(column(rows, |row| labels_text(&row.labels)))
        .bind(column(rows, |row| row.last))
        .bind(column(rows, |row| row.parent.map(|parent| parent.as_number())))
        .bind(column(rows, |row| waiting_bits(&row.waiting)))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_labels(connection: &mut PgConnection, rows: &[&TaskRow]) -> Result<(), sqlx::Error> {
    let (mut namespaces, mut names, mut values, mut tasks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        for (name, value) in &row.labels {
            namespaces.push(row.namespace.as_str());
            names.push(name.as_bytes());
            values.push(value.as_bytes());
            tasks.push(row.id.as_number());
        }
    }
    if tasks.is_empty() {
        return Ok(());
    }
    sqlx::query(sql::INSERT_LABELS).bind(namespaces).bind(names).bind(values).bind(tasks).execute(connection).await?;
    Ok(())
}

/// Commits a harmless change, under the lease like everything else.
async fn probe(connection: &mut PgConnection, lease: Lease) -> Result<(), Failed> {
    let done = sqlx::query(sql::PROBE).bind(lease.shard).bind(lease.epoch).bind(now_millis()).execute(connection).await?;
    if done.rows_affected() == 0 { Err(Failed::LeaseLost) } else { Ok(()) }
}

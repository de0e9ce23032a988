//! Opening a file: the lock first, then the tables, then the proof that commits are durable, then the lease.

use super::lock::Lock;
use super::{Held, SqliteStore, VERSION_MIN, checkpoint, sql, writer};
use crate::row::CALLBACKS;
use crate::writer::Ledger;
use crate::{OpenError, Options};
use rusqlite::{Connection as Writer, ErrorCode};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Four KiB: what was measured, and what disks write at once.
const PAGE_BYTES: u32 = 4096;

/// How long a statement waits for another connection. Only the checkpointer and a person with a shell can hold anything.
pub const BUSY: Duration = Duration::from_secs(5);

/// The writer's page cache, in KiB with SQLite's minus sign: the projection's sweep touches many pages, nearly all of them near the end. It is
/// enough for the throughput after ten million steps (`tasker bench --history`); what is not here is in the operating system's cache.
const WRITER_CACHE: i64 = -16_384;

/// Opens the file, see [`crate::open`].
pub async fn open(path: &Path, options: &Options) -> Result<SqliteStore, OpenError> {
    if rusqlite::version_number() < VERSION_MIN.0 {
        return Err(OpenError::SqliteTooOld { found: rusqlite::version() });
    }
    let lock = Lock::take(path, &options.holder_line())?;
    migrate(path).await?;
    let connection = connect_writer(path)?;
    make_durable(&connection).map_err(|error| refuse(path, "making the log of the last process durable", error))?;
    let ledger = take_lease(&connection, options).map_err(|error| refuse(path, "taking the lease", error))?;
    connection
        .execute(sql::DRAW_SECRET, (CALLBACKS, rand::random::<[u8; 32]>()))
        .map_err(|error| refuse(path, "drawing a secret", error))?;
    let epoch = ledger.epoch();
    let readers = SqlitePoolOptions::new()
        .max_connections(options.readers())
        .connect_with(connect_options(path).read_only(true))
        .await
        .map_err(OpenError::failed("opening it for reading"))?;
    let checkpointer = checkpoint::start(connect_writer(path)?).map_err(OpenError::failed("starting the checkpoint thread"))?;
    let (writer, thread) = writer::start(connection, ledger, checkpointer).map_err(OpenError::failed("starting the writer's thread"))?;
    tracing::info!(path = %path.display(), version = rusqlite::version(), "database opened");
    Ok(SqliteStore { epoch, writer, readers, threads: Mutex::new(Some(Held { writer: thread, lock })) })
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging()
}

async fn migrate(path: &Path) -> Result<(), OpenError> {
    let options = connect_options(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await.map_err(|error| refuse_sqlx(path, error))?;
    let migration = |number, what: &'static str, sql: &'static str| {
        Migration::new(number, what.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let migrations = vec![
        migration(1, "create journal", include_str!("../../migrations/sqlite/0001_create_journal.sql")),
        migration(2, "create secrets", include_str!("../../migrations/sqlite/0002_create_secrets.sql")),
        migration(3, "create kept events", include_str!("../../migrations/sqlite/0003_create_kept_events.sql")),
        migration(4, "create workflow pauses", include_str!("../../migrations/sqlite/0004_create_workflow_pauses.sql")),
        migration(5, "add key windows", include_str!("../../migrations/sqlite/0005_add_key_windows.sql")),
        migration(6, "add task parent", include_str!("../../migrations/sqlite/0006_add_task_parent.sql")),
        migration(7, "add task waiting", include_str!("../../migrations/sqlite/0007_add_task_waiting.sql")),
        migration(8, "create dead letters", include_str!("../../migrations/sqlite/0008_create_dead_letters.sql")),
    ];
    Migrator::with_migrations(migrations).run(&mut connection).await.map_err(OpenError::migration)?;
    connection.close().await.map_err(OpenError::failed("bringing the tables up to date"))
}

/// A connection that may write, with everything set that durability needs, read back.
fn connect_writer(path: &Path) -> Result<Writer, OpenError> {
    let connect = || -> rusqlite::Result<(Writer, String, i64)> {
        let connection = Writer::open(path)?;
        connection.busy_timeout(BUSY)?;
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Only macOS knows the difference: there a plain fsync stops at the disk's cache.
        connection.pragma_update(None, "fullfsync", "ON")?;
        connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
        connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let synchronous = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        Ok((connection, mode, synchronous))
    };
    let (connection, mode, synchronous) = connect().map_err(|error| refuse(path, "opening it for writing", error))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(OpenError::NotDurable { setting: "journal_mode", value: mode, wanted: "wal" });
    }
    // 2 is FULL; 3, EXTRA, is stricter still.
    if synchronous < 2 {
        return Err(OpenError::NotDurable { setting: "synchronous", value: synchronous.to_string(), wanted: "2 (FULL)" });
    }
    Ok(connection)
}

/// Moves everything that the log holds into the file, synced, before any of it is believed.
///
/// A process that ended because a sync failed may have left commits that only the operating system's cache holds: the kernel forgets that they
/// were never written once it has reported the error, and reading them back proves nothing. Moved into the file they are written anew, and this
/// sync covers them (P1). Whatever cannot be synced now keeps the coordinator from starting.
fn make_durable(connection: &Writer) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0)).map(|_| ())
}

/// Starts a new epoch, so that whoever wrote before is refused from now on.
fn take_lease(connection: &Writer, options: &Options) -> rusqlite::Result<Ledger> {
    let epoch = connection.query_row(
        "UPDATE coordinator_lease SET epoch = epoch + 1, holder = ?1, taken_at = ?2 WHERE shard = 0 RETURNING epoch",
        (options.holder_line(), now_millis()),
        |row| row.get(0),
    )?;
    let last = connection.query_row("SELECT COALESCE(MAX(sequence), 0) FROM journal", (), |row| row.get(0))?;
    Ok(Ledger::new(epoch, last))
}

/// The time that a lease and a probe are stamped with, for people.
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn refuse(path: &Path, doing: &'static str, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::DiskFull) => {
            OpenError::UnwritableDirectory { path: path.to_owned(), source: error.into() }
        }
        _ => OpenError::Failed { doing, source: error.into() },
    }
}

/// SQLite's result codes, of which sqlx gives only the number: READONLY 8, FULL 13, CANTOPEN 14, with extended codes above them.
fn refuse_sqlx(path: &Path, error: sqlx::Error) -> OpenError {
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i32>().ok());
    match code.map(|code| code & 0xff) {
        Some(8 | 13 | 14) => OpenError::UnwritableDirectory { path: path.to_owned(), source: error.into() },
        _ => OpenError::Failed { doing: "opening it", source: error.into() },
    }
}

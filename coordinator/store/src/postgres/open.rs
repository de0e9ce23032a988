//! Opening a database: the lease's lock first, then the tables, then the proof that commits are durable, then a new epoch.

use super::{PostgresStore, VERSION_MIN, read, sql, writer};
use crate::row::CALLBACKS;
use crate::target::describe;
use crate::writer::Ledger;
use crate::{OpenError, Options};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, SqlSafeStr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a connection may take; a server that takes longer is as good as gone.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a read may take. The longest, a search without an index's help, scans what it must within this.
const READ: &str = "30s";

/// SQLSTATE of a lock that was not to be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Opens the database, see [`crate::open`].
pub async fn open(connect: PgConnectOptions, options: &Options) -> Result<PostgresStore, OpenError> {
    let target = describe(&connect);
    let connect = connect.application_name("tasker").disable_statement_logging();
    let mut connection = reach(&connect, &target).await?;
    let version = check_server(&mut connection, &target).await?;
    take_lock(&mut connection, &target, options.lease_wait).await?;
    migrate(&mut connection).await?;
    let ledger = take_lease(&mut connection, options).await.map_err(OpenError::failed("taking the lease"))?;
    let secret = sqlx::query(sql::DRAW_SECRET).bind(CALLBACKS).bind(rand::random::<[u8; 32]>());
    secret.execute(&mut connection).await.map_err(OpenError::failed("drawing a secret"))?;
    let readers = PgPoolOptions::new()
        .max_connections(options.readers())
        .acquire_timeout(CONNECT)
        .connect_with(connect.options([("statement_timeout", READ), ("default_transaction_read_only", "on")]))
        .await
        .map_err(OpenError::failed("opening it for reading"))?;
    read::check(&readers).await.map_err(OpenError::failed("opening it for reading"))?;
    tracing::info!(target_database = %target, version = %version, "database opened");
    let description = format!("postgres {version}, synchronous_commit=on");
    Ok(PostgresStore { writer: writer::start(connection, ledger), readers, description })
}

async fn reach(connect: &PgConnectOptions, target: &str) -> Result<PgConnection, OpenError> {
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Unreachable { target: target.to_owned(), source };
    match tokio::time::timeout(CONNECT, connect.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(unreachable(error.into())),
        Err(elapsed) => Err(unreachable(elapsed.into())),
    }
}

/// Version, standby, and whether a commit survives a power cut (P1). Returns the version, for people.
async fn check_server(connection: &mut PgConnection, target: &str) -> Result<String, OpenError> {
    let failed = OpenError::failed::<sqlx::Error>;
    let doing = "checking the server";
    let (number, version, standby): (i32, String, bool) =
        sqlx::query_as(sql::SERVER).fetch_one(&mut *connection).await.map_err(failed(doing))?;
    if u32::try_from(number / 10_000).unwrap_or(0) < VERSION_MIN {
        return Err(OpenError::PostgresTooOld { found: version });
    }
    if standby {
        return Err(OpenError::ReadOnly { target: target.to_owned() });
    }
    sqlx::query(sql::PREPARE_SESSION).execute(&mut *connection).await.map_err(failed(doing))?;
    let (synchronous_commit, fsync): (String, String) =
        sqlx::query_as(sql::DURABILITY).fetch_one(&mut *connection).await.map_err(failed(doing))?;
    // remote_apply waits for more than on does.
    if !matches!(synchronous_commit.as_str(), "on" | "remote_apply") {
        return Err(OpenError::NotDurable { setting: "synchronous_commit", value: synchronous_commit, wanted: "on" });
    }
    if fsync != "on" {
        return Err(OpenError::NotDurable { setting: "fsync", value: fsync, wanted: "on" });
    }
    Ok(version)
}

/// The session's lock, waited for: whoever holds it may be a process that was just killed. It goes with the session, however that ends.
async fn take_lock(connection: &mut PgConnection, target: &str, wait: Duration) -> Result<(), OpenError> {
    let failed = OpenError::failed::<sqlx::Error>;
    let doing = "waiting for the lease";
    // Zero would mean to wait for ever.
    let millis = wait.as_millis().clamp(1, i32::MAX as u128);
    sqlx::query(sql::LOCK_TIMEOUT).bind(format!("{millis}ms")).execute(&mut *connection).await.map_err(failed(doing))?;
    match sqlx::query(sql::LOCK).execute(&mut *connection).await {
        Ok(_) => {}
        Err(error) if error.as_database_error().and_then(|error| error.code()).as_deref() == Some(LOCK_NOT_AVAILABLE) => {
            let holder = sqlx::query_as::<_, (String,)>(sql::HOLDER).fetch_one(&mut *connection).await;
            // The tables may not exist yet: then the other one is just creating them.
            let holder = holder.map_or_else(|_| "a process that has just started".into(), |(holder,)| holder);
            return Err(OpenError::InUse { target: target.to_owned(), holder });
        }
        Err(error) => return Err(failed(doing)(error)),
    }
    sqlx::query(sql::LOCK_TIMEOUT).bind("0").execute(&mut *connection).await.map_err(failed(doing))?;
    Ok(())
}

async fn migrate(connection: &mut PgConnection) -> Result<(), OpenError> {
    let migration = |number, what: &'static str, sql: &'static str| {
        Migration::new(number, what.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let migrations = vec![
        migration(1, "create journal", include_str!("../../migrations/postgres/0001_create_journal.sql")),
        migration(2, "create secrets", include_str!("../../migrations/postgres/0002_create_secrets.sql")),
        migration(3, "create kept events", include_str!("../../migrations/postgres/0003_create_kept_events.sql")),
        migration(4, "create workflow pauses", include_str!("../../migrations/postgres/0004_create_workflow_pauses.sql")),
        migration(5, "add key windows", include_str!("../../migrations/postgres/0005_add_key_windows.sql")),
        migration(6, "add task parent", include_str!("../../migrations/postgres/0006_add_task_parent.sql")),
        migration(7, "add task waiting", include_str!("../../migrations/postgres/0007_add_task_waiting.sql")),
    ];
    Migrator::with_migrations(migrations).run(connection).await.map_err(OpenError::migration)
}

/// Starts a new epoch, so that whoever wrote before is refused from now on.
async fn take_lease(connection: &mut PgConnection, options: &Options) -> Result<Ledger, sqlx::Error> {
    let (epoch,): (i64,) =
        sqlx::query_as(sql::TAKE_LEASE).bind(options.holder_line()).bind(now_millis()).fetch_one(&mut *connection).await?;
    let (last,): (i64,) = sqlx::query_as(sql::LAST).fetch_one(&mut *connection).await?;
    Ok(Ledger::new(epoch, last))
}

/// The time that a lease and a probe are stamped with, for people.
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

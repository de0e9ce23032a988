//! Opening a database: the proof that commits are durable, the lock that keeps the wrong others away, then the tables.

use super::read::Reader;
use super::{PostgresShards, PostgresStore, VERSION_MIN, ledger, read, sql};
use crate::row::CALLBACKS;
use crate::target::describe;
use crate::{OpenError, Options};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool, SqlSafeStr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tasker_engine::{Namespace, ShardId};
use tasker_runtime::port::shards::CoordinatorId;
use tokio::sync::Mutex;

/// How long a connection may take; a server that takes longer is as good as gone.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a read may take. The longest, a search without an index's help, scans what it must within this.
const READ: &str = "30s";

/// SQLSTATE of a lock that was not to be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Opens one shard of a database that nobody else uses, see [`crate::open_for`].
pub async fn open(connect: PgConnectOptions, options: &Options, namespace: Option<&Namespace>) -> Result<PostgresStore, OpenError> {
    let shards = shards(connect, &Options { alone: true, shards: 1, ..options.clone() }).await?;
    let doing = "taking the lease";
    let shard = match namespace {
        Some(namespace) => ShardId::of(namespace, shards.count),
        None if shards.count == 1 => ShardId::default(),
        None => return Err(OpenError::failed(doing)(format!("the database has {} shards, and none was named", shards.count))),
    };
    let claimed = shards.take(shard).await.map_err(OpenError::failed(doing))?;
    let (_, mut store) = claimed.ok_or_else(|| OpenError::failed(doing)("somebody else holds it"))?;
    store.alone = Some(Box::new(shards));
    Ok(store)
}

/// Opens a database whose shards this coordinator will take, see [`crate::shards`].
pub async fn shards(connect: PgConnectOptions, options: &Options) -> Result<PostgresShards, OpenError> {
    let target = describe(&connect);
    let connect = connect.application_name("tasker").disable_statement_logging();
    let mut session = reach(&connect, &target).await?;
    let version = check_server(&mut session, &target).await?;
    take_lock(&mut session, &target, options).await?;
    migrate(&mut session).await?;
    let count = divide(&mut session, options.shards).await.map_err(OpenError::failed("dividing it into shards"))?;
    let secret = sqlx::query(sql::DRAW_SECRET).bind(CALLBACKS).bind(rand::random::<[u8; 32]>());
    secret.execute(&mut session).await.map_err(OpenError::failed("drawing a secret"))?;
    let readers = readers(&connect, options).await?;
    tracing::info!(target_database = %target, version = %version, shards = count, "database opened");
    Ok(PostgresShards {
        // Never negative, so that it reads well where people see it.
        me: CoordinatorId(i64::from(rand::random::<u32>()) << 16 | i64::from(rand::random::<u16>())),
        count,
        holder: options.holder_line(),
        alone: options.alone,
        connect,
        session: Mutex::new(Some(session)),
        readers,
        description: format!("postgres {version}, synchronous_commit=on"),
    })
}

/// Looks at every shard without disturbing anybody who writes, see [`crate::inspect`].
pub async fn inspect(connect: PgConnectOptions, options: &Options) -> Result<Vec<PostgresStore>, OpenError> {
    let target = describe(&connect);
    let connect = connect.application_name("tasker").disable_statement_logging();
    let mut session = reach(&connect, &target).await?;
    let version = check_server(&mut session, &target).await?;
    let layout = sqlx::query_as::<_, (i16,)>(sql::LAYOUT).fetch_one(&mut session).await;
    let (count,) = layout.map_err(OpenError::failed("finding out its shards"))?;
    let count = u8::try_from(count).unwrap_or(1);
    let readers = readers(&connect, options).await?;
    let store = |shard| PostgresStore {
        writer: None,
        reader: Reader { pool: readers.clone(), shard: ShardId(shard), count },
        description: format!("postgres {version}"),
        alone: None,
    };
    Ok((0..count).map(store).collect())
}

async fn readers(connect: &PgConnectOptions, options: &Options) -> Result<PgPool, OpenError> {
    let readers = PgPoolOptions::new()
        .max_connections(options.readers())
        .acquire_timeout(CONNECT)
        .connect_with(connect.clone().options([("statement_timeout", READ), ("default_transaction_read_only", "on")]))
        .await
        .map_err(OpenError::failed("opening it for reading"))?;
    read::check(&readers).await.map_err(OpenError::failed("opening it for reading"))?;
    Ok(readers)
}

/// Divides namespaces into shards if nobody has; says how many there are.
async fn divide(session: &mut PgConnection, shards: u8) -> Result<u8, sqlx::Error> {
    sqlx::query(sql::DIVIDE).bind(i16::from(shards)).execute(&mut *session).await?;
    for statement in [sql::ADD_LEASES, sql::ADD_MARKS, sql::FORGET_COORDINATORS] {
        sqlx::query(statement).execute(&mut *session).await?;
    }
    let (count,): (i16,) = sqlx::query_as(sql::LAYOUT).fetch_one(session).await?;
    Ok(u8::try_from(count).unwrap_or(1))
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
    prepare(connection).await.map_err(failed(doing))?;
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

/// Makes a session one whose commits wait for the disk.
pub async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(sql::PREPARE_SESSION).execute(connection).await.map(|_| ())
}

/// The session's lock, waited for: whoever holds it may be a process that was just killed. It goes with the session, however that ends.
async fn take_lock(connection: &mut PgConnection, target: &str, options: &Options) -> Result<(), OpenError> {
    let failed = OpenError::failed::<sqlx::Error>;
    let doing = "waiting for the lease";
    // Zero would mean to wait for ever.
    let millis = options.lease_wait.as_millis().clamp(1, i32::MAX as u128);
    sqlx::query(sql::LOCK_TIMEOUT).bind(format!("{millis}ms")).execute(&mut *connection).await.map_err(failed(doing))?;
    let lock = if options.alone { sql::LOCK_ALONE } else { sql::LOCK_TOGETHER };
    match sqlx::query(lock).execute(&mut *connection).await {
        Ok(_) => {}
        Err(error) if error.as_database_error().and_then(|error| error.code()).as_deref() == Some(LOCK_NOT_AVAILABLE) => {
            return Err(ledger::in_use(connection, target).await);
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
        migration(8, "add shards", include_str!("../../migrations/postgres/0008_add_shards.sql")),
        migration(9, "create dead letters", include_str!("../../migrations/postgres/0009_create_dead_letters.sql")),
    ];
    Migrator::with_migrations(migrations).run(connection).await.map_err(OpenError::migration)
}

/// The time that a lease and a probe are stamped with, for people.
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

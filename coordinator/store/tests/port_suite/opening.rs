//! Opening and closing.

use crate::database::Database;
use crate::words::{accepted, at, journal, key, row, shop, task, task_row};
use tasker_integration_tests::postgres::Cluster;
use tasker_runtime::port::store::{Batch, CommitError, ForgetKeys};
use tasker_store::{OpenError, Options};

pub async fn a_second_coordinator_is_refused_and_told_who_is_there(database: Database) {
    let first = database.try_open("first").await.expect("opens");
    let refusal = database.try_open("second").await.err().expect("refused");
    assert_eq!(refusal.code(), "database.in_use");
    let holder = format!("first, process {}", std::process::id());
    assert!(refusal.to_string().contains(&holder), "{refusal}");
    first.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("the first one is not disturbed");
}

pub async fn a_closed_store_lets_the_next_one_in(database: Database) {
    for _ in 0..3 {
        let store = database.try_open("one after the other").await.expect("opens");
        store.close().await;
        store.close().await;
    }
}

pub async fn a_dropped_store_lets_the_next_one_in(database: Database) {
    drop(database.open().await);
    let next = database.open().await;
    next.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
}

pub async fn a_database_of_a_newer_version_is_refused(database: Database) {
    database.open().await.close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
                 SELECT 9999, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";
    assert_eq!(database.meddle(newer).await, 1);
    let refusal = database.try_open("older").await.err().expect("refused");
    assert_eq!(refusal.code(), "database.too_new");
    assert!(refusal.to_string().contains("9999"), "{refusal}");
    database.meddle("DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    database.try_open("same").await.expect("nothing was left locked");
}

pub async fn a_migration_that_was_changed_is_refused(database: Database) {
    database.open().await.close().await;
    let changed = match database.file() {
        Some(_) => "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
        None => "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1",
    };
    assert_eq!(database.meddle(changed).await, 1);
    assert_eq!(database.try_open("any").await.err().expect("refused").code(), "database.migration_changed");
}

pub async fn a_closed_store_refuses_to_commit(database: Database) {
    let store = database.open().await;
    store.close().await;
    assert!(matches!(store.commit(journal(vec![row(1, 1, 0, accepted())])).await, Err(CommitError::Unknown(_))));
    assert!(store.recover().await.is_err());
}

pub async fn the_secret_of_callbacks_is_drawn_once_per_database(database: Database) {
    let first = database.shards().await;
    let secret = first.callback_secret().await.expect("reads");
    assert_ne!(secret, [0; 32]);
    first.leave().await;
    drop(first);
    let second = database.shards().await;
    assert_eq!(second.callback_secret().await.expect("reads"), secret);
    assert_eq!(database.meddle("DELETE FROM secrets").await, 1);
    second.leave().await;
    drop(second);
    let drawn_again = database.shards().await.callback_secret().await.expect("reads");
    assert_ne!(drawn_again, secret, "it is random");
}

async fn refused(url: &str) -> OpenError {
    tasker_store::open(url, Options::new("suite")).await.err().expect("refused")
}

/// What the first version wrote is still there, and found by what has been added since.
pub async fn a_database_of_the_first_version_is_brought_up_to_date(database: Database) {
    let store = database.open().await;
    let rows = vec![row(1, 1, 0, accepted())];
    let batch = Batch { journal: rows.clone(), tasks: vec![task_row(1, 1)], keys: vec![key("one", 1, 5)], ..Batch::default() };
    store.commit(batch).await.expect("commits");
    store.close().await;
    for undo in [
        "DROP TABLE secrets",
        "DROP TABLE kept_events",
        "DROP TABLE workflow_pauses",
        "DROP TABLE dead_letters",
        "DROP TABLE dead_letters_missed",
        "DROP INDEX keys_by_age",
        "DROP INDEX keys_by_end",
        "ALTER TABLE keys DROP COLUMN valid_until",
        "CREATE INDEX keys_by_age ON keys (used_at)",
        "DROP INDEX tasks_by_parent",
        "ALTER TABLE tasks DROP COLUMN parent",
        "DROP INDEX tasks_by_approval",
        "DROP INDEX tasks_by_held",
        "DROP INDEX tasks_by_signal",
        "DROP INDEX tasks_by_event",
        "DROP INDEX tasks_by_sleep",
        "DROP INDEX tasks_by_paused",
        "ALTER TABLE tasks DROP COLUMN waiting",
        "DELETE FROM _sqlx_migrations WHERE version > 1",
    ] {
        database.meddle(undo).await;
    }
    if database.file().is_none() {
        for undo in WITHOUT_SHARDS {
            database.meddle(undo).await;
        }
    }
    let store = database.open().await;
    assert_eq!(store.journal(0, 10).await.expect("reads"), rows);
    assert_eq!(store.task_row(task(1)).await.expect("reads"), Some(task_row(1, 1)));
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), Some(key("one", 1, 5)));
    let forget_keys = Some(ForgetKeys { used_before: at(6), now: at(6) });
    store.commit(Batch { forget_keys, ..Batch::default() }).await.expect("commits");
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), None, "an old key has no window of its own");
}

/// PostgreSQL only, because a SQLite file has one shard.
const WITHOUT_SHARDS: [&str; 9] = [
    "ALTER TABLE journal DROP CONSTRAINT journal_pkey",
    "ALTER TABLE journal DROP COLUMN shard",
    "ALTER TABLE journal ADD PRIMARY KEY (sequence)",
    "ALTER TABLE projection RENAME COLUMN shard TO sole",
    "ALTER TABLE projection ADD CONSTRAINT projection_sole_check CHECK (sole = 0)",
    "DROP TABLE layout",
    "DROP TABLE coordinators",
    "ALTER TABLE coordinator_lease DROP COLUMN coordinator",
    "ALTER TABLE coordinator_lease DROP COLUMN session",
];

#[tokio::test]
async fn a_place_that_cannot_be_written_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing = directory.path().join("missing");
    let error = refused(&format!("sqlite:{}", missing.join("tasker.db").display())).await;
    assert_eq!(error.code(), "database.unwritable_directory");
    assert!(error.to_string().contains(&missing.display().to_string()), "{error}");

    let file = directory.path().join("file");
    std::fs::write(&file, b"in the way").expect("writes");
    let error = refused(&format!("sqlite:{}", file.join("tasker.db").display())).await;
    assert_eq!(error.code(), "database.unwritable_directory");

    let error = refused(&format!("sqlite:{}", directory.path().display())).await;
    assert_eq!(error.code(), "database.unwritable_directory", "a directory is no database: {error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("tasker.db");
    let text = "this is a letter, not a database, and somebody may want to keep it. ".repeat(100);
    std::fs::write(&file, &text).expect("writes");
    let error = refused(&format!("sqlite:{}", file.display())).await;
    assert_eq!(error.code(), "database.failed");
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), text);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let error = refused(&format!("postgres://user:secret@localhost/tasks?host={}", directory.path().display())).await;
    assert_eq!(error.code(), "database.unreachable");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_sync_is_refused() {
    let cluster = Cluster::start(&["fsync=off"]).await.expect("a PostgreSQL server");
    let error = refused(&cluster.create_database().await.expect("a database")).await;
    assert_eq!(error.code(), "database.not_durable");
    assert!(error.to_string().contains("fsync"), "{error}");
}

/// A role or a database may have it off; the store's own session has it on.
#[tokio::test]
async fn commits_wait_for_the_disk_whatever_the_database_says() {
    let database = Database::postgres().await;
    let off = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    database.meddle(off).await;
    let store = database.open().await;
    assert!(store.describe().contains("synchronous_commit=on"), "{}", store.describe());
}

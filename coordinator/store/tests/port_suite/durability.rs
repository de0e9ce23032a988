//! Killed processes and coordinators that have been replaced.

use crate::database::Database;
use crate::words::{accepted, journal, key, row, step_done, task, task_row};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use tasker_engine::{AttemptNumber, Event, Payload, StepIndex};
use tasker_runtime::port::store::{Batch, CommitError};
use tasker_store::Options;

/// Set for a child process: the database to write to until it is killed.
const CHILD: &str = "TASKER_STORE_SUITE_URL";

/// Acknowledged commits to wait for before the kill.
const ACKNOWLEDGED: usize = 40;

/// The child's half of [`everything_acknowledged_outlives_a_killed_process`]; without its environment variable there is nothing to do.
#[tokio::test]
async fn child_process_that_commits_until_it_is_killed() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let store = tasker_store::open(&url, Options::new("child")).await.expect("opens");
    for sequence in 1.. {
        let event = if sequence == 1 { accepted() } else { step_done(0) };
        store.commit(journal(vec![row(sequence, 1, sequence - 1, event)])).await.expect("commits");
        println!("acknowledged {sequence}");
        std::io::stdout().flush().expect("somebody reads");
    }
}

pub async fn everything_acknowledged_outlives_a_killed_process(database: Database) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "durability::child_process_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, database.url())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    // The test harness may write on the same line before the test does.
    let mut numbers = lines.map_while(Result::ok).filter_map(|line| line.split("acknowledged ").nth(1)?.parse::<i64>().ok());
    let last_seen = numbers.by_ref().nth(ACKNOWLEDGED).expect("the child commits");
    child.kill().expect("is running");
    let acknowledged = numbers.last().unwrap_or(last_seen);
    child.wait().expect("ends");

    let log = database.url().strip_prefix("sqlite:").map(|path| format!("{path}-wal"));
    let log_bytes = || log.as_ref().map(|log| std::fs::metadata(log).expect("the killed process left its log").len());
    let left = log_bytes();
    let store = database.open().await;
    // What only the system's cache may hold was written anew and synced before it was believed.
    assert!(log_bytes().is_none_or(|bytes| bytes < left.unwrap_or(0)), "the log of the killed process is still the truth");
    let recovery = store.recover().await.expect("recovers");
    assert!(recovery.last >= acknowledged, "{acknowledged} was acknowledged, {} is there", recovery.last);
    let history = store.history(task(1), None).await.expect("reads").expect("known");
    assert_eq!(history.rows.len() as i64, recovery.last, "without holes");
    store.commit(journal(vec![row(recovery.last + 1, 1, recovery.last, step_done(0))])).await.expect("goes on");
}

pub async fn a_coordinator_whose_epoch_has_passed_is_fenced(database: Database) {
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
    database.meddle("UPDATE coordinator_lease SET epoch = epoch + 1").await;
    assert!(matches!(store.commit(journal(vec![row(2, 1, 1, step_done(0))])).await, Err(CommitError::Fenced { epoch: 1 })));
    assert_eq!(store.journal(0, 10).await.expect("reads").len(), 1);
}

/// A batch that appends nothing is checked by another statement on PostgreSQL; after one refusal nothing is tried any more, so this needs a store of
/// its own.
pub async fn a_coordinator_whose_epoch_has_passed_writes_no_key(database: Database) {
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
    database.meddle("UPDATE coordinator_lease SET epoch = epoch + 1").await;
    let batch = Batch { keys: vec![key("one", 1, 1)], ..Batch::default() };
    assert!(matches!(store.commit(batch).await, Err(CommitError::Fenced { epoch: 1 })));
    assert_eq!(store.find_key(&crate::words::shop(), "one").await.expect("reads"), None);
}

pub async fn a_fenced_coordinator_writes_nothing_at_all(database: Database) {
    let store = database.open().await;
    database.meddle("UPDATE coordinator_lease SET epoch = epoch + 1").await;
    let batch = Batch {
        journal: vec![row(1, 1, 0, accepted())],
        tasks: vec![task_row(1, 1)],
        projected_to: Some(1),
        keys: vec![key("one", 1, 1)],
        ..Batch::default()
    };
    assert!(matches!(store.commit(batch).await, Err(CommitError::Fenced { .. })));
    assert_eq!(store.journal(0, 10).await.expect("reads"), vec![]);
    assert_eq!(store.task_row(task(1)).await.expect("reads"), None);
    assert_eq!(store.find_key(&crate::words::shop(), "one").await.expect("reads"), None);
}

/// The state of the disk at the instant of an acknowledgement, as a power cut would leave it, minus what only the page cache held.
#[tokio::test]
async fn files_copied_after_an_acknowledgement_hold_the_batch() {
    let database = Database::sqlite();
    let store = database.open().await;
    let file = database.file().expect("a file");
    for sequence in 1..=20 {
        let event = if sequence == 1 { accepted() } else { step_done(0) };
        store.commit(journal(vec![row(sequence, 1, sequence - 1, event)])).await.expect("commits");
    }
    let copy = Database::sqlite();
    let target = copy.file().expect("a file");
    std::fs::copy(&file, &target).expect("copies");
    std::fs::copy(file.with_extension("db-wal"), target.with_extension("db-wal")).expect("copies the log");
    let recovery = copy.open().await.recover().await.expect("recovers");
    assert_eq!((recovery.last, recovery.active), (20, vec![(task(1), 20)]));
}

/// Without anybody who starts the log over, it would end up as large as everything that was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_short_under_load() {
    const WRITTEN: u64 = 384 << 20;
    // What the writer lets it grow to before it waits, and one batch.
    const LOG_MAX: u64 = 136 << 20;
    let database = Database::sqlite();
    let store = database.open().await;
    let file = database.file().expect("a file");
    let size = |path: &std::path::Path| std::fs::metadata(path).expect("exists").len();
    let result = Payload::of(&serde_json::Value::String("x".repeat(64 << 10)));
    let mut sequence = 0;
    while sequence * (64 << 10) < WRITTEN as i64 {
        let done = || Event::StepSucceeded { step: StepIndex(0), attempt: AttemptNumber::FIRST, result: result.clone() };
        let rows = (sequence + 1..=sequence + 64).map(|place| row(place, place, 0, done())).collect();
        store.commit(journal(rows)).await.expect("commits");
        sequence += 64;
        let log = size(&file.with_extension("db-wal"));
        assert!(log < LOG_MAX, "after {sequence} rows the log has {log} bytes");
    }
    store.close().await;
    assert!(size(&file) > WRITTEN / 2, "most of it has moved into the database file");
}

/// If the session that holds the lock is gone, so is the right to write, even before anybody bumps the epoch.
#[tokio::test]
async fn a_lost_session_loses_the_right_to_write() {
    let database = Database::postgres().await;
    let first = database.open().await;
    first.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
    let holders = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    database.meddle(holders).await;
    let second = database.open().await;
    assert!(first.commit(journal(vec![row(2, 1, 1, step_done(0))])).await.is_err());
    second.commit(journal(vec![row(2, 1, 1, step_done(1))])).await.expect("commits");
    let rows = second.journal(0, 10).await.expect("reads");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1], row(2, 1, 1, step_done(1)), "what the second one wrote");
}

//! A task's history, and what damage does to it.

use crate::database::Database;
use crate::words::{accepted, at, journal, row, shop, step_done, succeeded, task, task_row};
use std::sync::Arc;
use tasker_engine::workflow::ForEach;
use tasker_engine::{Entry, Event, Payload, StepIndex};
use tasker_runtime::port::store::{Batch, JournalRow, ReadError, Store};

/// More than one page of the store's, so that pages must fit together.
const ROWS: i64 = 1_500;

/// Two tasks whose rows alternate, the first with ROWS rows.
async fn two_tasks(store: &Arc<dyn Store>) -> Vec<JournalRow> {
    let mut expected = Vec::new();
    let mut batch = Vec::new();
    for turn in 0..ROWS {
        let event = || if turn == 0 { accepted() } else { step_done(0) };
        let (one, other) = (2 * turn + 1, 2 * turn + 2);
        batch.push(row(one, 1, (one - 2).max(0), event()));
        expected.extend(batch.last().cloned());
        batch.push(row(other, 2, (other - 2).max(0), event()));
    }
    store.commit(journal(batch)).await.expect("commits");
    expected
}

pub async fn a_history_of_a_thousand_rows_comes_oldest_first(database: Database) {
    let store = database.open().await;
    let expected = two_tasks(&store).await;
    let history = store.history(task(1), Some(2 * ROWS - 1)).await.expect("reads").expect("known");
    assert_eq!(history.namespace, shop());
    assert_eq!(history.rows, expected);
}

pub async fn a_history_is_found_without_knowing_its_end(database: Database) {
    let store = database.open().await;
    let expected = two_tasks(&store).await;
    let read = async |why: &str| {
        let history = store.history(task(1), None).await.expect(why).expect(why);
        assert_eq!(history.rows, expected, "{why}");
    };
    read("the task has no row yet").await;
    store.commit(Batch { tasks: vec![task_row(1, 5)], projected_to: Some(6), ..Batch::default() }).await.expect("commits");
    read("the task's row is stale").await;
    let all = Batch { tasks: vec![task_row(1, 2 * ROWS - 1)], projected_to: Some(2 * ROWS), ..Batch::default() };
    store.commit(all).await.expect("commits");
    read("the task's row is up to date").await;
}

/// The largest fan-out is one row: ten thousand items that are as large as one payload together, and all of them start at once.
pub async fn a_fan_out_of_ten_thousand_items_is_stored(database: Database) {
    let store = database.open().await;
    let item = Payload::of(&serde_json::Value::String("x".repeat(Payload::BYTES_MAX / ForEach::ITEMS_MAX - 3)));
    let mut events = vec![Event::StepFannedOut { step: StepIndex(0), items: vec![item; ForEach::ITEMS_MAX] }];
    events.extend((1..=ForEach::ITEMS_MAX as u32).map(|item| Event::StepReady { step: StepIndex(item) }));
    let entry = Entry { task: task(1), first: 2, at: at(1), events };
    let rows = vec![row(1, 1, 0, accepted()), JournalRow { sequence: 2, previous: 1, entry: Arc::new(entry) }];
    store.commit(journal(rows.clone())).await.expect("commits");
    assert_eq!(store.history(task(1), None).await.expect("reads").expect("known").rows, rows);
    assert_eq!(store.recover().await.expect("recovers").active, vec![(task(1), 2)]);
}

pub async fn an_unknown_task_has_no_history(database: Database) {
    let store = database.open().await;
    assert_eq!(store.history(task(99), None).await.expect("reads"), None);
    assert_eq!(store.task_row(task(99)).await.expect("reads"), None);
}

async fn three_rows(database: &Database) -> Arc<dyn Store> {
    let store = database.open().await;
    let rows = vec![row(1, 1, 0, accepted()), row(2, 1, 1, step_done(0)), row(3, 1, 2, succeeded()), row(4, 2, 0, accepted())];
    store.commit(Batch { journal: rows, tasks: vec![task_row(1, 3)], projected_to: Some(4), ..Batch::default() }).await.expect("commits");
    assert!(store.history(task(1), None).await.expect("reads").is_some());
    store
}

async fn expect_damage(store: &Arc<dyn Store>, mention: &str) {
    match store.history(task(1), None).await {
        Err(ReadError::Damaged(what)) => assert!(what.contains(mention), "{what}"),
        other => panic!("damage goes unnoticed: {other:?}"),
    }
}

pub async fn a_changed_byte_is_damage(database: Database) {
    let store = three_rows(&database).await;
    // The entry of another row decodes well and belongs to the right task: only the checksum can tell.
    let changed = "UPDATE journal SET entry = (SELECT entry FROM journal WHERE sequence = 1) WHERE sequence = 2";
    assert_eq!(database.meddle(changed).await, 1);
    expect_damage(&store, "row 2").await;
    assert!(matches!(store.journal(0, 10).await, Err(ReadError::Damaged(_))));
}

pub async fn a_missing_row_is_damage(database: Database) {
    let store = three_rows(&database).await;
    assert_eq!(database.meddle("DELETE FROM journal WHERE sequence = 2").await, 1);
    expect_damage(&store, "row 2 is missing").await;
}

pub async fn another_tasks_row_is_damage(database: Database) {
    let store = three_rows(&database).await;
    match store.history(task(1), Some(4)).await {
        Err(ReadError::Damaged(what)) => assert!(what.contains("belongs to"), "{what}"),
        other => panic!("a foreign row goes unnoticed: {other:?}"),
    }
}

pub async fn a_damaged_task_row_is_damage(database: Database) {
    let store = three_rows(&database).await;
    assert_eq!(database.meddle("UPDATE tasks SET labels = 'no JSON' WHERE id = 1").await, 1);
    match store.task_row(task(1)).await {
        Err(ReadError::Damaged(what)) => assert!(what.contains("labels"), "{what}"),
        other => panic!("damage goes unnoticed: {other:?}"),
    }
    assert_eq!(database.meddle("UPDATE tasks SET labels = '{}', waiting = 64 WHERE id = 1").await, 1);
    match store.task_row(task(1)).await {
        Err(ReadError::Damaged(what)) => assert!(what.contains("waiting"), "{what}"),
        other => panic!("damage goes unnoticed: {other:?}"),
    }
}

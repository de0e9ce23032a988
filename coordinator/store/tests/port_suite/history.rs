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

pub async fn several_histories_are_read_together_in_the_order_asked_for(database: Database) {
    let store = database.open().await;
    let expected = two_tasks(&store).await;
    let rows = (1..=500).map(|number| row(2 * ROWS + number, 100 + number, 0, accepted())).collect();
    store.commit(journal(rows)).await.expect("commits");
    let mut heads: Vec<_> = (1..=500).rev().map(|number| (task(100 + number), 2 * ROWS + number)).collect();
    heads.insert(250, (task(1), 2 * ROWS - 1));
    let found = store.histories(&heads).await.expect("reads");
    let places: Vec<_> = found.iter().map(|history| (history.rows[0].entry.task, history.rows.last().expect("one row").sequence)).collect();
    assert_eq!(places, heads);
    assert_eq!(found[250].rows, expected);
    assert!(store.histories(&[]).await.expect("reads").is_empty());
}

/// More than is read at once comes in pieces, and never nothing.
pub async fn histories_that_are_too_long_to_be_read_together_come_in_pieces(database: Database) {
    let store = database.open().await;
    const LONG: i64 = 9_000;
    for one in 1..=3 {
        let first = (one - 1) * LONG;
        let rows = (1..=LONG).map(|turn| match turn {
            1 => row(first + 1, one, 0, accepted()),
            turn => row(first + turn, one, first + turn - 1, step_done(0)),
        });
        store.commit(journal(rows.collect())).await.expect("commits");
    }
    let heads: Vec<_> = (1..=3).map(|one| (task(one), one * LONG)).collect();
    let mut read = Vec::new();
    while read.len() < heads.len() {
        let found = store.histories(&heads[read.len()..]).await.expect("reads");
        assert!(!found.is_empty() && found.len() < heads.len(), "{}", found.len());
        read.extend(found);
    }
    let lengths: Vec<_> = read.iter().map(|history| (history.rows[0].entry.task, history.rows.len() as i64)).collect();
    assert_eq!(lengths, [(task(1), LONG), (task(2), LONG), (task(3), LONG)]);
}

pub async fn one_damaged_history_among_several_is_damage(database: Database) {
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, accepted()), row(2, 2, 0, accepted()), row(3, 1, 1, step_done(0))])).await.expect("commits");
    assert_eq!(database.meddle("DELETE FROM journal WHERE sequence = 1").await, 1);
    assert!(matches!(store.histories(&[(task(1), 3), (task(2), 2)]).await, Err(ReadError::Damaged(_))));
    assert_eq!(store.histories(&[(task(2), 2)]).await.expect("reads").len(), 1);
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

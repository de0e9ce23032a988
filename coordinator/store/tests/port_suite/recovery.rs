//! What a coordinator learns at start.

use crate::database::Database;
use crate::words::{accepted, at, failed, journal, row, shop, step_done, succeeded, task, task_row};
use tasker_engine::{Digest, TaskStatus, WorkflowName, WorkflowVersion};
use tasker_runtime::port::store::{Batch, ReadError, WaitingFor, WorkflowRow};

fn workflow(content: &str, applied_at: i64) -> WorkflowRow {
    WorkflowRow {
        namespace: shop(),
        name: WorkflowName::new("order").expect("of the right form"),
        version: WorkflowVersion::new("1.0.0").expect("of the right form"),
        digest: Digest::of(content.as_bytes()),
        source: content.into(),
        applied_at: at(applied_at),
    }
}

pub async fn what_was_committed_is_recovered(database: Database) {
    let store = database.open().await;
    let rows = vec![row(1, 10, 0, accepted()), row(2, 20, 0, accepted()), row(3, 10, 1, step_done(0))];
    let batch = Batch { journal: rows.clone(), workflows: vec![workflow("a", 5)], ..Batch::default() };
    store.commit(batch).await.expect("commits");
    store.close().await;

    let store = database.open().await;
    let recovery = store.recover().await.expect("recovers");
    assert_eq!(recovery.last, 3);
    assert_eq!(recovery.last_task, Some(task(20)));
    assert_eq!(recovery.active, vec![(task(10), 3), (task(20), 2)]);
    assert_eq!(recovery.finished_unprojected, vec![]);
    assert_eq!(recovery.workflows, vec![workflow("a", 5)]);
    assert_eq!(store.journal(0, 10).await.expect("reads"), rows);
    store.commit(journal(vec![row(4, 20, 2, step_done(0))])).await.expect("goes on where it ended");
}

pub async fn an_empty_database_recovers_nothing(database: Database) {
    let recovery = database.open().await.recover().await.expect("recovers");
    assert_eq!((recovery.last, recovery.last_task), (0, None));
    assert!(recovery.active.is_empty() && recovery.finished_unprojected.is_empty());
    assert!(recovery.workflows.is_empty() && recovery.contracts.is_empty());
    assert!(recovery.systems.is_empty() && recovery.capabilities.is_empty());
}

pub async fn the_journals_tail_corrects_the_projection(database: Database) {
    let store = database.open().await;
    let head = vec![
        row(1, 1, 0, accepted()), // stays as projected
        row(2, 2, 0, accepted()), // goes on in the tail
        row(3, 3, 0, accepted()), // ends in the tail, unprojected
        row(4, 4, 0, accepted()), // ends in the tail, its row is swept already
    ];
    let tasks = vec![task_row(1, 1), task_row(2, 2), task_row(3, 3), task_row(4, 4)];
    store.commit(Batch { journal: head, tasks, projected_to: Some(4), ..Batch::default() }).await.expect("commits");
    let tail = vec![
        row(5, 2, 2, step_done(0)),
        row(6, 3, 3, failed()),
        row(7, 4, 4, succeeded()),
        row(8, 5, 0, accepted()), // begins in the tail
        row(9, 6, 0, accepted()), // begins and ends in the tail
        row(10, 6, 9, succeeded()),
    ];
    let mut swept = task_row(4, 7);
    swept.status = TaskStatus::Succeeded;
    store.commit(Batch { journal: tail, tasks: vec![swept], ..Batch::default() }).await.expect("commits");

    let recovery = store.recover().await.expect("recovers");
    assert_eq!(recovery.active, vec![(task(1), 1), (task(2), 5), (task(5), 8)]);
    assert_eq!(recovery.finished_unprojected, vec![(task(3), 6), (task(6), 10)]);
    assert_eq!((recovery.last, recovery.last_task), (10, Some(task(6))));
}

pub async fn tasks_that_wait_are_recovered_after_the_others(database: Database) {
    let store = database.open().await;
    let rows = (1..=4).map(|number| row(number, number, 0, accepted())).collect();
    let mut tasks: Vec<_> = (1..=4).map(|number| task_row(number, number)).collect();
    tasks[0].waiting = [WaitingFor::Event].into();
    tasks[1].waiting = [WaitingFor::Sleep].into();
    store.commit(Batch { journal: rows, tasks, projected_to: Some(4), ..Batch::default() }).await.expect("commits");
    store.commit(journal(vec![row(5, 2, 2, step_done(0))])).await.expect("commits");
    let recovery = store.recover().await.expect("recovers");
    let expected = vec![(task(2), 5), (task(3), 3), (task(4), 4), (task(1), 1)];
    assert_eq!(recovery.active, expected, "the second has done something since its row said that it waits");
    assert_eq!(recovery.projected_to, 4);
}

pub async fn a_task_that_continues_after_its_end_is_projected_again(database: Database) {
    let store = database.open().await;
    let mut over = task_row(1, 2);
    over.status = TaskStatus::Succeeded;
    let rows = vec![row(1, 1, 0, accepted()), row(2, 1, 1, succeeded())];
    store.commit(Batch { journal: rows, tasks: vec![over], projected_to: Some(2), ..Batch::default() }).await.expect("commits");
    store.commit(journal(vec![row(3, 1, 2, step_done(0))])).await.expect("commits");
    let recovery = store.recover().await.expect("recovers");
    assert_eq!(recovery.active, vec![]);
    assert_eq!(recovery.finished_unprojected, vec![(task(1), 3)], "its row must learn the newest place");
}

pub async fn rows_before_the_mark_are_not_read(database: Database) {
    let store = database.open().await;
    let rows = vec![row(1, 1, 0, accepted()), row(2, 2, 0, accepted())];
    store.commit(Batch { journal: rows, tasks: vec![task_row(1, 1)], projected_to: Some(1), ..Batch::default() }).await.expect("commits");
    assert_eq!(database.meddle("UPDATE journal SET checksum = checksum + 1 WHERE sequence = 1").await, 1);
    let recovery = store.recover().await.expect("what is projected is not read again");
    assert_eq!(recovery.active, vec![(task(1), 1), (task(2), 2)]);
}

pub async fn a_damaged_tail_is_not_recovered_from(database: Database) {
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
    assert_eq!(database.meddle("UPDATE journal SET checksum = checksum + 1").await, 1);
    assert!(matches!(store.recover().await, Err(ReadError::Damaged(_))));
}

pub async fn a_task_that_nothing_accepted_is_damage(database: Database) {
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, step_done(0))])).await.expect("commits");
    assert!(matches!(store.recover().await, Err(ReadError::Damaged(_))));
}

pub async fn a_stored_contract_is_left_as_it_is(database: Database) {
    let store = database.open().await;
    let digest = Digest::of(b"contract");
    for body in [serde_json::json!({ "type": "object" }), serde_json::json!(false)] {
        store.commit(Batch { contracts: vec![(digest, body)], ..Batch::default() }).await.expect("commits");
    }
    let recovery = store.recover().await.expect("recovers");
    assert_eq!(recovery.contracts, vec![(digest, serde_json::json!({ "type": "object" }))]);
}

pub async fn a_workflow_applied_again_keeps_what_tasks_are_pinned_to(database: Database) {
    let store = database.open().await;
    for row in [workflow("a", 1), workflow("b", 2), workflow("a", 3)] {
        store.commit(Batch { workflows: vec![row], ..Batch::default() }).await.expect("commits");
    }
    let recovery = store.recover().await.expect("recovers");
    assert_eq!(recovery.workflows, vec![workflow("b", 2), workflow("a", 3)], "oldest first; `a` is what new tasks run");
}

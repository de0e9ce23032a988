//! Commits and plain reads.

use crate::database::Database;
use crate::words::{accepted, at, journal, key, row, shop, step_done, task, task_row};
use std::sync::Arc;
use tasker_engine::{CapabilityName, Digest, Namespace, SystemName, TaskStatus, WorkflowName, WorkflowVersion};
use tasker_runtime::port::store::{Batch, CapabilityRow, CommitError, ForgetKeys, KeyUse, ReadError, SystemRow, WaitingFor, WorkflowRow};

pub async fn a_batch_is_committed_whole_or_not_at_all(database: Database) {
    let store = database.open().await;
    store.commit(Batch { keys: vec![key("one", 1, 5)], ..Batch::default() }).await.expect("commits");
    let batch = Batch {
        journal: vec![row(1, 2, 0, accepted())],
        tasks: vec![task_row(2, 1)],
        projected_to: Some(1),
        keys: vec![key("two", 2, 6), key("one", 2, 6)],
        ..Batch::default()
    };
    assert!(matches!(store.commit(batch).await, Err(CommitError::Unknown(_))), "the second key is taken");
    store.close().await;

    let store = database.open().await;
    assert_eq!(store.journal(0, 10).await.expect("reads"), vec![]);
    assert_eq!(store.task_row(task(2)).await.expect("reads"), None);
    assert_eq!(store.find_key(&shop(), "two").await.expect("reads"), None);
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), Some(key("one", 1, 5)));
}

pub async fn a_gap_in_the_journal_is_refused(database: Database) {
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
    assert!(matches!(store.commit(journal(vec![row(3, 1, 1, step_done(0))])).await, Err(CommitError::Unknown(_))));
    store.close().await;
    let store = database.open().await;
    let hole = vec![row(2, 1, 1, step_done(0)), row(4, 1, 2, step_done(1))];
    assert!(matches!(store.commit(journal(hole)).await, Err(CommitError::Unknown(_))), "a gap within the batch");
    assert_eq!(store.journal(0, 10).await.expect("reads").len(), 1);
}

pub async fn a_repeated_journal_place_is_refused(database: Database) {
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
    assert!(matches!(store.commit(journal(vec![row(1, 1, 0, accepted())])).await, Err(CommitError::Unknown(_))));
    store.close().await;
    let store = database.open().await;
    // A row that somebody else wrote meanwhile, which the store's memory cannot know.
    let copied = "INSERT INTO journal (sequence, task, previous, checksum, entry) SELECT 2, task, 1, checksum, entry FROM journal";
    assert_eq!(database.meddle(copied).await, 1);
    assert!(matches!(store.commit(journal(vec![row(2, 1, 1, step_done(0))])).await, Err(CommitError::Unknown(_))));
}

pub async fn a_mark_beyond_the_journal_is_refused(database: Database) {
    let store = database.open().await;
    let batch = Batch { journal: vec![row(1, 1, 0, accepted())], projected_to: Some(2), ..Batch::default() };
    assert!(matches!(store.commit(batch).await, Err(CommitError::Unknown(_))));
    assert_eq!(store.journal(0, 10).await.expect("reads"), vec![]);
}

pub async fn after_a_failure_nothing_more_is_written(database: Database) {
    let store = database.open().await;
    let twice = Batch { keys: vec![key("one", 1, 5), key("one", 2, 5)], ..Batch::default() };
    assert!(matches!(store.commit(twice).await, Err(CommitError::Unknown(_))));
    let refused = store.commit(journal(vec![row(1, 1, 0, accepted())])).await;
    assert!(matches!(refused, Err(CommitError::Unknown(_))), "the process must recover first");
    assert!(store.probe().await.is_err(), "and must not look ready");
    assert_eq!(store.journal(0, 10).await.expect("reads"), vec![]);
}

pub async fn an_empty_batch_is_nothing(database: Database) {
    let store = database.open().await;
    store.commit(Batch::default()).await.expect("commits");
    assert_eq!(store.recover().await.expect("recovers").last, 0);
}

pub async fn a_key_is_used_once(database: Database) {
    let store = database.open().await;
    store.commit(Batch { keys: vec![key("one", 1, 5)], ..Batch::default() }).await.expect("commits");
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), Some(key("one", 1, 5)));
    let elsewhere = Namespace::new("elsewhere").expect("of the right form");
    assert_eq!(store.find_key(&elsewhere, "one").await.expect("reads"), None, "tenants do not share keys");
    assert!(store.commit(Batch { keys: vec![key("one", 2, 9)], ..Batch::default() }).await.is_err());
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), Some(key("one", 1, 5)), "the first use stands");
}

pub async fn keys_used_before_an_instant_are_forgotten(database: Database) {
    let store = database.open().await;
    let keys = vec![key("early", 1, 10), key("just", 2, 20), key("late", 3, 30)];
    store.commit(Batch { keys, ..Batch::default() }).await.expect("commits");
    store.commit(Batch { forget_keys: Some(ForgetKeys { used_before: at(20), now: at(99) }), ..Batch::default() }).await.expect("commits");
    assert_eq!(store.find_key(&shop(), "early").await.expect("reads"), None);
    assert_eq!(store.find_key(&shop(), "just").await.expect("reads"), Some(key("just", 2, 20)));
    assert_eq!(store.find_key(&shop(), "late").await.expect("reads"), Some(key("late", 3, 30)));
}

pub async fn a_forgotten_key_can_be_used_again_in_the_same_batch(database: Database) {
    let store = database.open().await;
    store.commit(Batch { keys: vec![key("one", 1, 10)], ..Batch::default() }).await.expect("commits");
    let forget_keys = Some(ForgetKeys { used_before: at(20), now: at(30) });
    let again = Batch { keys: vec![key("one", 2, 30)], forget_keys, ..Batch::default() };
    store.commit(again).await.expect("commits");
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), Some(key("one", 2, 30)));
}

/// An identity key, whose window its workflow declares.
fn identity(name: &str, task_number: i64, used_at: i64, valid_until: i64) -> KeyUse {
    KeyUse { valid_until: Some(at(valid_until)), ..key(name, task_number, used_at) }
}

pub async fn a_key_with_a_window_of_its_own_lives_for_that_window(database: Database) {
    let store = database.open().await;
    let keys = vec![identity("short", 1, 10, 15), identity("long", 2, 10, 90), key("plain", 3, 10)];
    store.commit(Batch { keys, ..Batch::default() }).await.expect("commits");
    store.commit(Batch { forget_keys: Some(ForgetKeys { used_before: at(5), now: at(14) }), ..Batch::default() }).await.expect("commits");
    assert_eq!(store.find_key(&shop(), "short").await.expect("reads"), Some(identity("short", 1, 10, 15)), "a moment before its end");
    store.commit(Batch { forget_keys: Some(ForgetKeys { used_before: at(50), now: at(15) }), ..Batch::default() }).await.expect("commits");
    assert_eq!(store.find_key(&shop(), "short").await.expect("reads"), None, "at its end");
    assert_eq!(store.find_key(&shop(), "long").await.expect("reads"), Some(identity("long", 2, 10, 90)), "older than other keys may get");
    assert_eq!(store.find_key(&shop(), "plain").await.expect("reads"), None);
}

pub async fn a_key_whose_window_is_over_is_used_again_before_it_is_forgotten(database: Database) {
    let store = database.open().await;
    store.commit(Batch { keys: vec![identity("one", 1, 10, 20)], ..Batch::default() }).await.expect("commits");
    let again = Batch { keys: vec![key("other", 7, 20), identity("one", 2, 20, 30)], ..Batch::default() };
    store.commit(again).await.expect("its window is over at 20");
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), Some(identity("one", 2, 20, 30)));
    let early = Batch { keys: vec![key("third", 8, 29), identity("one", 3, 29, 40)], ..Batch::default() };
    assert!(matches!(store.commit(early).await, Err(CommitError::Unknown(_))), "its window is not over at 29");
    store.close().await;
    let store = database.open().await;
    assert_eq!(store.find_key(&shop(), "one").await.expect("reads"), Some(identity("one", 2, 20, 30)), "the earlier use stands");
    assert_eq!(store.find_key(&shop(), "third").await.expect("reads"), None, "all or nothing");
}

pub async fn any_text_a_person_can_write_is_stored_as_it_is(database: Database) {
    let store = database.open().await;
    let odd = "a\0b'\"\\;--\u{1F980}\u{FEFF}\n";
    let workflow = WorkflowRow {
        namespace: shop(),
        name: WorkflowName::new("order").expect("of the right form"),
        version: WorkflowVersion::new("1").expect("of the right form"),
        digest: Digest::of(b"1"),
        source: odd.into(),
        applied_at: at(1),
    };
    let system = SystemRow {
        namespace: shop(),
        name: SystemName::new("payments").expect("of the right form"),
        base_url: Some(odd.into()),
        health_check_url: None,
    };
    let capability = CapabilityRow {
        namespace: shop(),
        system: system.name.clone(),
        name: CapabilityName::new("payment.charge").expect("of the right form"),
        contract: Digest::of(b"contract"),
        description: odd.into(),
        timeout: Some(std::time::Duration::from_millis(1_500)),
        source: "worker".into(),
        declared_at: at(2),
    };
    let contract = (Digest::of(b"contract"), serde_json::json!({ "const": odd, odd: [1.5, null, u64::MAX] }));
    let mut labelled = task_row(1, 1);
    labelled.labels.insert(odd.into(), odd.into());
    let batch = Batch {
        journal: vec![row(1, 1, 0, accepted())],
        tasks: vec![labelled.clone()],
        keys: vec![key(odd, 1, 5)],
        workflows: vec![workflow.clone()],
        contracts: vec![contract.clone()],
        systems: vec![system.clone()],
        capabilities: vec![capability.clone()],
        ..Batch::default()
    };
    store.commit(batch).await.expect("commits");
    assert_eq!(store.find_key(&shop(), odd).await.expect("reads"), Some(key(odd, 1, 5)));
    assert_eq!(store.task_row(task(1)).await.expect("reads"), Some(labelled));
    let recovery = store.recover().await.expect("recovers");
    assert_eq!(recovery.workflows, vec![workflow]);
    assert_eq!(recovery.systems, vec![system]);
    assert_eq!(recovery.capabilities, vec![capability]);
    assert_eq!(recovery.contracts, vec![contract]);
}

pub async fn a_task_row_that_exists_gets_what_changed(database: Database) {
    let store = database.open().await;
    let mut first = task_row(1, 1);
    first.labels.insert("order".into(), "42".into());
    first.parent = Some(task(77));
    first.waiting = WaitingFor::ALL.into();
    let batch =
        Batch { journal: vec![row(1, 1, 0, accepted()), row(2, 1, 1, step_done(0))], tasks: vec![first.clone()], ..Batch::default() };
    store.commit(batch).await.expect("commits");
    assert_eq!(store.task_row(task(1)).await.expect("reads"), Some(first.clone()));
    first.status = TaskStatus::Failed;
    first.finished_at = Some(at(9_000));
    first.error_code = Some("card_declined".into());
    first.failed_step = Some("charge".into());
    first.retries = u32::MAX;
    first.waiting = [WaitingFor::Sleep].into();
    first.last = 2;
    store.commit(Batch { tasks: vec![first.clone(), task_row(2, 0)], ..Batch::default() }).await.expect("commits");
    assert_eq!(store.task_row(task(1)).await.expect("reads"), Some(first));
    assert_eq!(store.task_row(task(2)).await.expect("reads"), Some(task_row(2, 0)));
}

pub async fn the_journal_is_read_in_order_and_in_pieces(database: Database) {
    let store = database.open().await;
    let rows: Vec<_> =
        (1..=50).map(|sequence| row(sequence, 1, sequence - 1, if sequence == 1 { accepted() } else { step_done(0) })).collect();
    store.commit(journal(rows.clone())).await.expect("commits");
    let mut read = Vec::new();
    loop {
        let after = read.last().map_or(0, |row: &tasker_runtime::port::store::JournalRow| row.sequence);
        let piece = store.journal(after, 7).await.expect("reads");
        if piece.is_empty() {
            break;
        }
        assert!(piece.len() <= 7);
        read.extend(piece);
    }
    assert_eq!(read, rows);
}

pub async fn reads_go_on_while_batches_are_committed(database: Database) {
    const BATCHES: i64 = 200;
    let store = database.open().await;
    store.commit(journal(vec![row(1, 1, 0, accepted())])).await.expect("commits");
    let reader = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut seen = 0;
            while seen <= BATCHES {
                let history = store.history(task(1), None).await.expect("reads").expect("known");
                let last = history.rows.last().expect("not empty").sequence;
                assert_eq!(history.rows.len() as i64, last, "a history without holes");
                assert!(last >= seen, "what was once seen stays");
                seen = last;
            }
        })
    };
    for sequence in 2..=BATCHES + 1 {
        store.commit(journal(vec![row(sequence, 1, sequence - 1, step_done(0))])).await.expect("commits");
    }
    tokio::time::timeout(std::time::Duration::from_secs(60), reader).await.expect("in time").expect("no panic");
}

pub async fn a_probe_says_whether_writing_works(database: Database) {
    let store = database.open().await;
    store.probe().await.expect("works");
    assert!(store.describe().contains("sqlite 3.") || store.describe().contains("postgres 1"), "{}", store.describe());
    database.meddle("UPDATE coordinator_lease SET epoch = epoch + 1").await;
    assert!(matches!(store.probe().await, Err(ReadError::Database(_))), "another coordinator has taken over");
    store.close().await;
    assert!(store.probe().await.is_err(), "closed");
}

//! What comes from outside before anybody waits for it, and workflows that rest.

use crate::database::Database;
use crate::words::{accepted, at, journal, row, shop};
use tasker_engine::{Namespace, Payload, WorkflowName};
use tasker_runtime::port::store::{Batch, CommitError, KeptEvent, PauseChange, ReadError, WorkflowPause};

fn event(number: i64) -> KeptEvent {
    KeptEvent {
        number,
        namespace: shop(),
        name: "payment.settled".into(),
        key: format!("order-{number}"),
        payload: Payload::of(&serde_json::json!({ "amount": number })),
        id: (number % 2 == 0).then(|| format!("id-{number}")),
        arrived_at: at(number),
    }
}

fn kept(events: Vec<KeptEvent>) -> Batch {
    Batch { events_kept: events, ..Batch::default() }
}

pub async fn kept_events_come_back_in_the_order_in_which_they_came(database: Database) {
    let store = database.open().await;
    store.commit(kept(vec![event(2), event(1)])).await.expect("commits");
    store.commit(kept(vec![event(10), event(9)])).await.expect("commits");
    store.close().await;
    let recovery = database.open().await.recover().await.expect("recovers");
    assert_eq!(recovery.events, vec![event(1), event(2), event(9), event(10)]);
}

pub async fn a_kept_event_goes_in_the_commit_that_takes_it(database: Database) {
    let store = database.open().await;
    store.commit(kept((1..=5).map(event).collect())).await.expect("commits");
    let batch = Batch {
        journal: vec![row(1, 1, 0, accepted())],
        events_kept: vec![event(6), event(7)],
        // 7 came and was taken in the same commit; 99 is nobody's.
        events_gone: vec![2, 4, 7, 99],
        ..Batch::default()
    };
    store.commit(batch).await.expect("commits");
    let numbers = |events: Vec<KeptEvent>| events.into_iter().map(|event| event.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.recover().await.expect("recovers").events), [1, 3, 5, 6]);

    let impossible = Batch { journal: vec![row(9, 1, 1, accepted())], events_gone: vec![1], ..Batch::default() };
    assert!(matches!(store.commit(impossible).await, Err(CommitError::Unknown(_))), "a gap in the journal");
    store.close().await;
    let store = database.open().await;
    assert_eq!(numbers(store.recover().await.expect("recovers").events), [1, 3, 5, 6], "what was not taken is still there");
    assert!(matches!(store.commit(kept(vec![event(1)])).await, Err(CommitError::Unknown(_))), "one number, one event");
}

pub async fn ten_thousand_events_are_kept_and_let_go_at_once(database: Database) {
    const EVENTS: i64 = KeptEvent::PER_NAMESPACE_MAX as i64;
    let store = database.open().await;
    store.commit(kept((1..=EVENTS).map(event).collect())).await.expect("commits");
    let found = store.recover().await.expect("recovers").events;
    assert_eq!(found.len(), KeptEvent::PER_NAMESPACE_MAX);
    assert_eq!(found.last(), Some(&event(EVENTS)));
    store.commit(Batch { events_gone: (1..=EVENTS).collect(), ..Batch::default() }).await.expect("commits");
    assert_eq!(store.recover().await.expect("recovers").events, vec![]);
}

pub async fn a_kept_event_may_hold_any_text_and_the_largest_payload(database: Database) {
    let store = database.open().await;
    let odd = "a\0b'\"\\;--\u{1F980}\u{FEFF}\n";
    let largest = Payload::of(&serde_json::Value::String("x".repeat(Payload::BYTES_MAX - 2)));
    let event = KeptEvent { name: odd.into(), key: odd.into(), id: Some(odd.into()), payload: largest, ..event(1) };
    store.commit(kept(vec![event.clone()])).await.expect("commits");
    assert_eq!(store.recover().await.expect("recovers").events, vec![event]);
}

pub async fn a_damaged_kept_event_is_damage(database: Database) {
    let store = database.open().await;
    store.commit(kept(vec![event(1)])).await.expect("commits");
    let no_json = match database.file() {
        Some(_) => "UPDATE kept_events SET payload = x'7b'",
        None => "UPDATE kept_events SET payload = '\\x7b'",
    };
    assert_eq!(database.meddle(no_json).await, 1);
    match store.recover().await {
        Err(ReadError::Damaged(what)) => assert!(what.contains("kept_events") && what.contains("payload"), "{what}"),
        other => panic!("damage goes unnoticed: {other:?}"),
    }
}

fn pause(workflow: &str, reason: &str, since: i64) -> WorkflowPause {
    let name = WorkflowName::new(workflow).expect("of the right form");
    WorkflowPause { namespace: shop(), name, reason: reason.into(), since: at(since) }
}

fn cleared(workflow: &str) -> PauseChange {
    PauseChange::Cleared { namespace: shop(), name: WorkflowName::new(workflow).expect("of the right form") }
}

pub async fn a_paused_workflow_stays_paused_until_it_is_resumed(database: Database) {
    let store = database.open().await;
    let elsewhere = WorkflowPause { namespace: Namespace::new("elsewhere").expect("of the right form"), ..pause("order", "theirs", 1) };
    let changes = vec![
        PauseChange::Set(pause("order", "at first", 1)),
        cleared("order"),
        PauseChange::Set(pause("order", "the shop\0 is closed", 2)),
        PauseChange::Set(pause("refund", "short", 3)),
        cleared("refund"),
        cleared("never_paused"),
        PauseChange::Set(elsewhere.clone()),
    ];
    store.commit(Batch { workflow_pauses: changes, ..Batch::default() }).await.expect("commits");
    store.close().await;

    let store = database.open().await;
    let found = store.recover().await.expect("recovers").workflow_pauses;
    assert_eq!(found, vec![elsewhere.clone(), pause("order", "the shop\0 is closed", 2)], "what was said last holds");
    store.commit(Batch { workflow_pauses: vec![PauseChange::Set(pause("order", "again", 9))], ..Batch::default() }).await.expect("commits");
    let found = store.recover().await.expect("recovers").workflow_pauses;
    assert_eq!(found, vec![elsewhere.clone(), pause("order", "again", 9)], "a pause replaces the one before");
    let resumed =
        Batch { journal: journal(vec![row(1, 1, 0, accepted())]).journal, workflow_pauses: vec![cleared("order")], ..Batch::default() };
    store.commit(resumed).await.expect("commits");
    assert_eq!(store.recover().await.expect("recovers").workflow_pauses, vec![elsewhere]);
}

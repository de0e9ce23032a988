//! Things to store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tasker_engine::task::{Submission, Trace};
use tasker_engine::{
    AttemptNumber, Digest, Entry, ErrorCode, Event, Failure, FailureKind, Namespace, Payload, StepIndex, TaskId, TaskStatus, Timestamp,
    WorkflowName, WorkflowVersion,
};
use tasker_runtime::port::store::{Batch, JournalRow, KeyUse, Sequence, TaskRow};

pub fn task(number: i64) -> TaskId {
    TaskId::from_number(number).expect("not negative")
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn shop() -> Namespace {
    Namespace::new("shop").expect("of the right form")
}

/// A journal row with one event.
pub fn row(sequence: Sequence, task_number: i64, previous: Sequence, event: Event) -> JournalRow {
    let first = if previous == 0 { 1 } else { sequence as u64 };
    let entry = Entry { task: task(task_number), first, at: at(1_000 + sequence), events: vec![event] };
    JournalRow { sequence, previous, entry: Arc::new(entry) }
}

pub fn accepted() -> Event {
    Event::TaskAccepted(Box::new(Submission {
        namespace: shop(),
        workflow: Digest::of(b"workflow"),
        input: Payload::null(),
        labels: BTreeMap::new(),
        idempotency_key: None,
        origin: None,
        trace: Trace { trace_id: [7; 16], parent: None, sampled: true },
        parent: None,
        priority: tasker_engine::flow::Priority::default(),
        concurrency: None,
    }))
}

/// A step's result, as large as measured ones.
pub fn step_done(step: u32) -> Event {
    let result = Payload::of(&serde_json::Value::String("x".repeat(280)));
    Event::StepSucceeded { step: StepIndex(step), attempt: AttemptNumber::FIRST, result }
}

pub fn succeeded() -> Event {
    Event::TaskSucceeded { result: Payload::null() }
}

pub fn failed() -> Event {
    let code = ErrorCode::new("card_declined").expect("of the right form");
    Event::TaskFailed { step: Some(StepIndex(0)), failure: Failure::new(FailureKind::Permanent, code, "no money") }
}

pub fn journal(rows: Vec<JournalRow>) -> Batch {
    Batch { journal: rows, ..Batch::default() }
}

/// A running task's row.
pub fn task_row(number: i64, last: Sequence) -> TaskRow {
    TaskRow {
        id: task(number),
        namespace: shop(),
        workflow: WorkflowName::new("order").expect("of the right form"),
        version: WorkflowVersion::new("1.0.0").expect("of the right form"),
        digest: Digest::of(b"workflow"),
        status: TaskStatus::Running,
        accepted_at: at(1_000),
        finished_at: None,
        error_code: None,
        failed_step: None,
        retries: 0,
        labels: BTreeMap::new(),
        parent: None,
        waiting: BTreeSet::new(),
        last,
    }
}

pub fn key(name: &str, task_number: i64, used_at: i64) -> KeyUse {
    let fingerprint = Digest::of(name.as_bytes());
    KeyUse { namespace: shop(), key: name.into(), fingerprint, task: task(task_number), used_at: at(used_at), valid_until: None }
}

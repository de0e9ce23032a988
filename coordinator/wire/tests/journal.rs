//! What is written to the journal is what is read back.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::time::Duration;
use tasker_engine::task::{Submission, Trace};
use tasker_engine::{
    AttemptNumber, AttemptToken, Digest, Entry, ErrorCode, Event, Failure, FailureKind, Namespace, Payload, SessionId, StepIndex, Target,
    TaskId, TaskStatus, Timestamp,
};
use tasker_wire::journal::{Outline, Undecodable, decode, encode, outline};

fn payload() -> impl Strategy<Value = Payload> {
    ".{0,40}".prop_map(|text| Payload::of(&serde_json::Value::String(text)))
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn task() -> impl Strategy<Value = TaskId> {
    (0..=i64::MAX).prop_map(|number| TaskId::from_number(number).expect("not negative"))
}

fn step() -> impl Strategy<Value = StepIndex> {
    any::<u32>().prop_map(StepIndex)
}

fn attempt() -> impl Strategy<Value = AttemptNumber> {
    any::<u32>().prop_map(AttemptNumber)
}

fn failure() -> impl Strategy<Value = Failure> {
    let kind = prop_oneof![
        Just(FailureKind::Retryable),
        Just(FailureKind::Permanent),
        Just(FailureKind::Contract),
        Just(FailureKind::Cancelled),
        Just(FailureKind::TimedOut),
        Just(FailureKind::Lost),
    ];
    let span = (any::<u64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
    (kind, "[a-z]{1,8}(\\.[a-z_]{1,8})?", ".{0,30}", option::of(payload()), option::of(span)).prop_map(
        |(kind, code, message, details, retry_after)| Failure {
            kind,
            code: ErrorCode::new(&code).expect("of the right form"),
            message,
            details,
            retry_after,
        },
    )
}

fn submission() -> impl Strategy<Value = Submission> {
    let trace = (any::<[u8; 16]>(), option::of(any::<[u8; 8]>()), any::<bool>()).prop_map(|(trace_id, parent, sampled)| Trace {
        trace_id,
        parent,
        sampled,
    });
    ("[A-Za-z0-9_-]{1,64}", digest(), payload(), btree_map(".{0,8}", ".{0,8}", 0..5), option::of(".{0,20}"), option::of(task()), trace)
        .prop_map(|(namespace, workflow, input, labels, idempotency_key, origin, trace)| Submission {
            namespace: Namespace::new(&namespace).expect("of the right form"),
            workflow,
            input,
            labels,
            idempotency_key,
            origin,
            trace,
        })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        "[A-Za-z0-9_-]{8,64}".prop_map(|text| Target::Session(SessionId::new(&text).expect("of the right form"))),
        Just(Target::Responders),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        submission().prop_map(|submission| Event::TaskAccepted(Box::new(submission))),
        (step(), payload()).prop_map(|(step, result)| Event::StepKept { step, result }),
        step().prop_map(|step| Event::StepReady { step }),
        (step(), attempt(), any::<[u8; 16]>(), target(), option::of(digest()), option::of(instant())).prop_map(
            |(step, attempt, token, target, contract, deadline)| Event::AttemptStarted {
                step,
                attempt,
                token: AttemptToken(token),
                target,
                contract,
                deadline,
            }
        ),
        (step(), attempt(), failure(), option::of(digest()), option::of(instant()))
            .prop_map(|(step, attempt, failure, reply, retry_at)| Event::AttemptFailed { step, attempt, failure, reply, retry_at }),
        (step(), attempt(), payload()).prop_map(|(step, attempt, result)| Event::StepSucceeded { step, attempt, result }),
        (step(), failure()).prop_map(|(step, failure)| Event::StepFailed { step, failure }),
        step().prop_map(|step| Event::StepCancelled { step }),
        (step(), attempt(), digest()).prop_map(|(step, attempt, reply)| Event::ReplyConflicted { step, attempt, reply }),
        ".{0,30}".prop_map(|reason| Event::CancelRequested { reason }),
        payload().prop_map(|result| Event::TaskSucceeded { result }),
        (option::of(step()), failure()).prop_map(|(step, failure)| Event::TaskFailed { step, failure }),
        ".{0,30}".prop_map(|reason| Event::TaskCancelled { reason }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    (task(), any::<u64>(), instant(), vec(event(), 1..6)).prop_map(|(task, first, at, events)| Entry { task, first, at, events })
}

/// What the outline must say, from the events themselves.
fn expected_outline(entry: &Entry) -> Outline {
    let ends = |event: &Event| match event {
        Event::TaskSucceeded { .. } => Some(TaskStatus::Succeeded),
        Event::TaskFailed { .. } => Some(TaskStatus::Failed),
        Event::TaskCancelled { .. } => Some(TaskStatus::Cancelled),
        _ => None,
    };
    Outline {
        accepts: entry.events.iter().any(|event| matches!(event, Event::TaskAccepted(_))),
        ends: entry.events.iter().rev().find_map(ends),
    }
}

proptest! {
    #[test]
    fn every_entry_survives_writing_and_reading(entry in entry()) {
        let bytes = encode(&entry);
        prop_assert_eq!(&bytes, &encode(&entry), "the same entry gives the same bytes");
        prop_assert_eq!(outline(&bytes).expect("readable"), expected_outline(&entry));
        prop_assert_eq!(decode(Bytes::from(bytes)).expect("readable"), entry);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = outline(&bytes);
        let _ = decode(Bytes::from(bytes));
    }

    #[test]
    fn a_row_with_a_changed_byte_never_panics_and_the_outline_agrees_with_the_reader(
        entry in entry(), place in any::<prop::sample::Index>(), flip in 1u8..=255
    ) {
        let mut bytes = encode(&entry);
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        if let (Ok(read), Ok(outlined)) = (decode(Bytes::from(bytes.clone())), outline(&bytes)) {
            prop_assert_eq!(outlined.accepts, expected_outline(&read).accepts);
        }
    }
}

#[test]
fn an_entry_without_events_is_refused() {
    assert!(matches!(decode(Bytes::from_static(&[8, 1])), Err(Undecodable::Missing("events"))));
    assert!(outline(&[8, 1]).is_err());
}

#[test]
fn a_fact_that_a_newer_version_wrote_is_refused_instead_of_skipped() {
    // One event that holds only field 99, a length-delimited fact that does not exist yet.
    let newer = Bytes::from_static(&[0x22, 0x03, 0x9a, 0x06, 0x00]);
    assert!(matches!(decode(newer), Err(Undecodable::Missing("fact"))));
}

/// Rows are read for ever: this one was written by the first version.
#[test]
fn the_bytes_of_the_first_version_are_still_read() {
    let entry = Entry {
        task: TaskId::from_number(7).expect("not negative"),
        first: 3,
        at: Timestamp::from_millis(1_000),
        events: vec![
            Event::StepSucceeded { step: StepIndex(1), attempt: AttemptNumber(2), result: Payload::null() },
            Event::StepReady { step: StepIndex(2) },
        ],
    };
    let bytes: &[u8] = &[
        0x08, 0xe8, 0x07, 0x10, 0x07, 0x18, 0x03, 0x22, 0x0c, 0x32, 0x0a, 0x08, 0x01, 0x10, 0x02, 0x1a, 0x04, b'n', b'u', b'l', b'l', 0x22,
        0x04, 0x1a, 0x02, 0x08, 0x02,
    ];
    assert_eq!(encode(&entry), bytes);
    assert_eq!(decode(Bytes::from_static(bytes)).expect("readable"), entry);
}

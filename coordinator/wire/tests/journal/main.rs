//! What is written to the journal is what is read back.

mod facts;

use bytes::Bytes;
use facts::{entry, every_fact, number_of};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::encoding::decode_key;
use std::collections::BTreeSet;
use tasker_engine::workflow::ForEach;
use tasker_engine::{AttemptNumber, Entry, Event, Payload, StepIndex, TaskId, TaskStatus, Timestamp};
use tasker_wire::journal::{Outline, Undecodable, decode, encode, outline};

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

/// A row is read by its facts' numbers for as long as its task is kept.
#[test]
fn every_fact_is_stored_under_the_number_it_has_for_ever() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for fact in every_fact() {
        let event = fact.new_tree(&mut runner).expect("nothing is rejected").current();
        let number = number_of(&event);
        assert!(seen.insert(number), "{} comes twice", event.name());
        let name = event.name();
        let bytes = encode(&Entry {
            task: TaskId::from_number(0).expect("not negative"),
            first: 0,
            at: Timestamp::from_millis(0),
            events: vec![event],
        });
        // Nothing but the one event is not zero, so the bytes begin with its field, its length, and the fact's field.
        let mut rest = bytes.as_slice();
        assert_eq!(decode_key(&mut rest).expect("readable").0, 4, "{name}");
        prost::encoding::decode_varint(&mut rest).expect("readable");
        assert_eq!(decode_key(&mut rest).expect("readable").0, number, "{name}");
    }
    assert_eq!(seen, (1..=33).collect(), "the facts drawn in these tests are all there are");
}

/// The largest fan-out: ten thousand items that are as large as one payload together, and all of them start at once.
#[test]
fn a_fan_out_of_ten_thousand_items_is_one_entry() {
    let item = Payload::of(&serde_json::Value::String("x".repeat(Payload::BYTES_MAX / ForEach::ITEMS_MAX - 3)));
    let items = vec![item; ForEach::ITEMS_MAX];
    let ready = (0..ForEach::ITEMS_MAX as u32).map(|item| Event::StepReady { step: StepIndex(10_000 + item) });
    let mut events = vec![Event::StepFannedOut { step: StepIndex(9_999), items }];
    events.extend(ready);
    let entry = Entry { task: TaskId::from_number(7).expect("not negative"), first: 3, at: Timestamp::from_millis(1), events };
    let bytes = encode(&entry);
    assert!(
        bytes.len() < Payload::BYTES_MAX + 16 * ForEach::ITEMS_MAX,
        "{} bytes: little more than the items and their starts",
        bytes.len()
    );
    assert_eq!(outline(&bytes).expect("readable"), Outline { accepts: false, ends: None });
    assert_eq!(decode(Bytes::from(bytes)).expect("readable"), entry);
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

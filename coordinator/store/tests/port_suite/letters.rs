//! Dead letters: opened with the failure, settled once, searched, counted and forgotten.

use crate::database::Database;
use crate::words::{accepted, at, failed, journal, row, shop, task};
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use tasker_engine::{CapabilityName, Namespace, StepName, SystemName, WorkflowName, WorkflowVersion};
use tasker_runtime::port::store::{
    Batch, CommitError, DeadLetter, LetterChanges, LetterFilter, LetterGroups, LetterPlace, LetterSearch, LetterState, LetterWord,
    MissedLetters, OpenLetter, Settlement,
};

const LETTERS: usize = 300;
const SEARCHES: usize = 300;

fn letter(number: i64) -> DeadLetter {
    DeadLetter {
        task: task(number),
        namespace: shop(),
        workflow: WorkflowName::new("order").expect("of the right form"),
        version: WorkflowVersion::new("1").expect("of the right form"),
        code: "card_declined".into(),
        message: "no money\0'\"; \u{1F980}".into(),
        step: Some(StepName::new("charge").expect("of the right form")),
        system: Some(SystemName::new("payments").expect("of the right form")),
        capability: Some(CapabilityName::new("payment.charge").expect("of the right form")),
        failed_at: at(1_000 + number),
        state: LetterState::Open,
    }
}

fn settlement(millis: i64) -> Settlement {
    Settlement { at: at(millis), by: Some("ada\0".into()), reason: Some("the bank is back\0".into()) }
}

fn requeued(to: i64, millis: i64) -> LetterState {
    LetterState::Requeued { to: task(to), settled: settlement(millis) }
}

fn discarded(millis: i64) -> LetterState {
    LetterState::Discarded { settled: settlement(millis) }
}

fn opened(letters: Vec<DeadLetter>) -> Batch {
    Batch { letters: LetterChanges { opened: letters, ..LetterChanges::default() }, ..Batch::default() }
}

fn settled(settled: Vec<(i64, LetterState)>) -> Batch {
    let settled = settled.into_iter().map(|(number, state)| (task(number), state)).collect();
    Batch { letters: LetterChanges { settled, ..LetterChanges::default() }, ..Batch::default() }
}

fn open(number: i64) -> OpenLetter {
    OpenLetter { task: task(number), namespace: shop(), code: "card_declined".into() }
}

pub async fn a_letter_is_opened_in_the_commit_that_fails_its_task(database: Database) {
    let store = database.open().await;
    let whole = DeadLetter { step: None, system: None, capability: None, ..letter(2) };
    let batch = Batch { journal: vec![row(1, 1, 0, accepted()), row(2, 1, 1, failed())], ..opened(vec![letter(1), whole.clone()]) };
    store.commit(batch).await.expect("commits");
    let impossible = Batch { journal: vec![row(9, 1, 1, failed())], ..opened(vec![letter(3)]) };
    assert!(matches!(store.commit(impossible).await, Err(CommitError::Unknown(_))), "a gap in the journal");
    store.close().await;

    let store = database.open().await;
    assert_eq!(store.letter(task(1)).await.expect("reads"), Some(letter(1)));
    assert_eq!(store.letter(task(2)).await.expect("reads"), Some(whole));
    assert_eq!(store.letter(task(3)).await.expect("reads"), None, "all or nothing");
    assert_eq!(store.recover().await.expect("recovers").open_letters, vec![open(1), open(2)]);
}

pub async fn a_letter_is_settled_once_and_in_the_commit_of_what_follows(database: Database) {
    let store = database.open().await;
    store.commit(opened(vec![letter(1), letter(2), letter(3)])).await.expect("commits");
    let unnamed = LetterState::Requeued { to: task(12), settled: Settlement { at: at(6_000), by: None, reason: None } };
    let follows = Batch {
        journal: journal(vec![row(1, 11, 0, accepted()), row(2, 12, 0, accepted())]).journal,
        ..settled(vec![(1, requeued(11, 5_000)), (2, unnamed.clone())])
    };
    store.commit(follows).await.expect("commits");
    // One that was opened in the very same commit, and one from before.
    let mut both = opened(vec![letter(4)]);
    both.letters.settled = vec![(task(4), discarded(7_000)), (task(3), discarded(7_000))];
    store.commit(both).await.expect("commits");
    for (number, state) in [(1, requeued(11, 5_000)), (2, unnamed), (3, discarded(7_000)), (4, discarded(7_000))] {
        let found = store.letter(task(number)).await.expect("reads").expect("still known");
        assert_eq!(found, DeadLetter { state, ..letter(number) });
    }
    assert_eq!(store.recover().await.expect("recovers").open_letters, vec![]);
    let again = Batch { journal: vec![row(3, 13, 0, accepted())], ..settled(vec![(1, requeued(13, 8_000))]) };
    assert!(matches!(store.commit(again).await, Err(CommitError::Unknown(_))), "it was settled before");
    store.close().await;

    let store = database.open().await;
    assert_eq!(store.journal(0, 10).await.expect("reads").len(), 2, "what was to follow did not happen either");
    assert_eq!(store.letter(task(1)).await.expect("reads").map(|letter| letter.state), Some(requeued(11, 5_000)));
}

pub async fn letters_settled_long_ago_are_forgotten_and_open_ones_never(database: Database) {
    let store = database.open().await;
    store.commit(opened((1..=4).map(letter).collect())).await.expect("commits");
    store.commit(settled(vec![(1, discarded(5_000)), (2, discarded(6_000)), (3, requeued(9, 7_000))])).await.expect("commits");
    let forget =
        LetterChanges { missed: BTreeMap::from([(shop(), (7, at(5_500)))]), forget_before: Some(at(6_000)), ..LetterChanges::default() };
    store.commit(Batch { letters: forget, ..Batch::default() }).await.expect("commits");
    let mut left = Vec::new();
    for number in 1..=4 {
        left.push(store.letter(task(number)).await.expect("reads").is_some());
    }
    assert_eq!(left, [false, true, true, true], "what was settled before the instant, and nothing else");
    assert_eq!(store.letters_missed(&shop()).await.expect("reads"), None, "an old count is forgotten, too");
}

pub async fn failures_without_a_letter_are_counted(database: Database) {
    let store = database.open().await;
    let elsewhere = Namespace::new("elsewhere").expect("of the right form");
    assert_eq!(store.letters_missed(&shop()).await.expect("reads"), None);
    for (count, millis) in [(3, 10), (4, 20)] {
        let missed = LetterChanges { missed: BTreeMap::from([(shop(), (count, at(millis)))]), ..LetterChanges::default() };
        store.commit(Batch { letters: missed, ..Batch::default() }).await.expect("commits");
    }
    store.close().await;
    let store = database.open().await;
    assert_eq!(store.letters_missed(&shop()).await.expect("reads"), Some(MissedLetters { count: 7, last_at: at(20) }));
    assert_eq!(store.letters_missed(&elsewhere).await.expect("reads"), None, "tenants do not share counts");
}

fn any_letter(number: i64) -> impl Strategy<Value = DeadLetter> {
    let name = |names: [&'static str; 2]| prop_oneof![3 => Just(names[0]), 1 => Just(names[1])];
    let called = |text: &str| StepName::new(text).expect("of the right form");
    let place = (name(["shop", "other"]), name(["order", "refund"]), name(["card_declined", "worker.poisoned"]), 0i64..40);
    let step =
        option::weighted(0.8, (name(["charge", "ship"]), option::weighted(0.8, (name(["payments", "stock"]), name(["x.do", "x.undo"])))));
    let state = prop_oneof![2 => Just(0), 1 => Just(1), 1 => Just(2)];
    (place, step, state).prop_map(move |((namespace, workflow, code, failed_at), step, state)| DeadLetter {
        namespace: Namespace::new(namespace).expect("of the right form"),
        workflow: WorkflowName::new(workflow).expect("of the right form"),
        code: code.into(),
        step: step.map(|(step, _)| called(step)),
        system: step.and_then(|(_, asked)| asked).map(|(system, _)| SystemName::new(system).expect("of the right form")),
        capability: step.and_then(|(_, asked)| asked).map(|(_, name)| CapabilityName::new(name).expect("of the right form")),
        // Few instants, so that several letters share one.
        failed_at: at(failed_at),
        state: match state {
            0 => LetterState::Open,
            1 => requeued(number + 10_000, 9_000),
            _ => discarded(9_000),
        },
        ..letter(number)
    })
}

fn any_search() -> impl Strategy<Value = LetterSearch> {
    let seldom = 0.25;
    let filter = (
        prop_oneof![4 => Just("shop"), 1 => Just("other")],
        option::weighted(0.6, prop::sample::select(LetterWord::ALL.to_vec())),
        option::weighted(seldom, prop::sample::select(vec!["card_declined", "worker.poisoned", "nothing"])),
        option::weighted(seldom, prop::sample::select(vec!["order", "refund"])),
        option::weighted(seldom, prop::sample::select(vec!["charge", "ship"])),
        option::weighted(
            seldom,
            (prop::sample::select(vec!["payments", "stock"]), option::of(prop::sample::select(vec!["x.do", "x.undo"]))),
        ),
        (option::weighted(seldom, 0i64..40), option::weighted(seldom, 0i64..40)),
    );
    (filter, any::<bool>(), option::of((0i64..40, 0i64..LETTERS as i64)), 1usize..40).prop_map(|(filter, newest_first, after, limit)| {
        let (namespace, state, code, workflow, step, asked, (from, before)) = filter;
        let filter = LetterFilter {
            state,
            code: code.map(str::to_owned),
            workflow: workflow.map(|name| WorkflowName::new(name).expect("of the right form")),
            step: step.map(|name| StepName::new(name).expect("of the right form")),
            system: asked.map(|(system, _)| SystemName::new(system).expect("of the right form")),
            capability: asked.and_then(|(_, name)| name).map(|name| CapabilityName::new(name).expect("of the right form")),
            failed_from: from.map(at),
            failed_before: before.map(at),
            ..LetterFilter::open(Namespace::new(namespace).expect("of the right form"))
        };
        let after = after.map(|(failed_at, number)| LetterPlace { failed_at: at(failed_at), task: task(number) });
        LetterSearch { filter, newest_first, after, limit }
    })
}

/// What a search should find, by looking at every letter.
fn naive(letters: &[DeadLetter], search: &LetterSearch) -> Vec<DeadLetter> {
    let mut found: Vec<&DeadLetter> = letters.iter().filter(|letter| search.filter.fits(letter)).collect();
    found.sort_by_key(|letter| LetterPlace::of(letter));
    if search.newest_first {
        found.reverse();
    }
    let beyond = |letter: &&&DeadLetter| {
        let place = LetterPlace::of(letter);
        search.after.is_none_or(|after| if search.newest_first { place < after } else { place > after })
    };
    found.iter().filter(beyond).take(search.limit).map(|letter| (*letter).clone()).collect()
}

fn check_groups(letters: &[DeadLetter], filter: &LetterFilter, found: &LetterGroups) {
    let mut expected: BTreeMap<&str, Vec<&DeadLetter>> = BTreeMap::new();
    for letter in letters.iter().filter(|letter| filter.fits(letter)) {
        expected.entry(&letter.code).or_default().push(letter);
    }
    assert_eq!((found.codes, found.groups.len()), (expected.len() as u64, expected.len()), "{filter:?}");
    assert_eq!(found.letters, expected.values().map(|group| group.len() as u64).sum::<u64>(), "{filter:?}");
    assert!(found.groups.windows(2).all(|pair| pair[0].count >= pair[1].count), "the largest first");
    for group in &found.groups {
        let all = &expected[group.code.as_str()];
        let failed = || all.iter().map(|letter| letter.failed_at);
        assert_eq!((group.count, Some(group.oldest), Some(group.newest)), (all.len() as u64, failed().min(), failed().max()));
        assert_eq!(Some(group.example), all.iter().map(|letter| letter.task).max());
    }
}

pub async fn every_page_and_group_of_letters_is_what_a_naive_filter_finds(database: Database) {
    let mut runner = TestRunner::deterministic();
    let mut draw = |number: usize| any_letter(number as i64).new_tree(&mut runner).expect("draws").current();
    let letters: Vec<DeadLetter> = (0..LETTERS).map(&mut draw).collect();
    let store = database.open().await;
    store.commit(opened(letters.clone())).await.expect("commits");
    let settle = letters.iter().filter(|letter| letter.state != LetterState::Open);
    store.commit(settled(settle.map(|letter| (letter.task.as_number(), letter.state.clone())).collect())).await.expect("commits");
    let mut hits = 0;
    for _ in 0..SEARCHES {
        let search = any_search().new_tree(&mut runner).expect("draws").current();
        let found = store.letters(&search).await.expect("reads");
        hits += usize::from(!found.is_empty());
        assert_eq!(found, naive(&letters, &search), "{search:?}");
        check_groups(&letters, &search.filter, &store.letter_groups(&search.filter).await.expect("reads"));
    }
    assert!(hits > SEARCHES / 4, "searches that find nothing prove little: {hits}");
}

pub async fn pages_of_letters_follow_each_other_without_gap_or_repeat(database: Database) {
    let store = database.open().await;
    // All of them fail within four instants.
    let letters: Vec<DeadLetter> = (0..100).map(|number| DeadLetter { failed_at: at(number % 4), ..letter(number) }).collect();
    store.commit(opened(letters.clone())).await.expect("commits");
    for newest_first in [true, false] {
        let mut search = LetterSearch { filter: LetterFilter::open(shop()), newest_first, after: None, limit: 7 };
        let mut found = Vec::new();
        loop {
            let page = store.letters(&search).await.expect("reads");
            let Some(last) = page.last() else { break };
            search.after = Some(LetterPlace::of(last));
            found.extend(page);
        }
        assert_eq!(found, naive(&letters, &LetterSearch { after: None, limit: 1_000, ..search }));
    }
}

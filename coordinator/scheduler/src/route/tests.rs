use super::*;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

fn constraint(text: &str) -> VersionConstraint {
    VersionConstraint::parse(text).expect("a constraint")
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A worker as it lives in the registry.
struct Worker {
    session: String,
    version: Option<Version>,
    labels: BTreeMap<String, String>,
}

fn worker(session: &str, version: &str, pairs: &[(&str, &str)]) -> Worker {
    Worker { session: session.to_owned(), version: Version::parse(version), labels: labels(pairs) }
}

fn offers(workers: &[Worker]) -> Vec<Offer<'_>> {
    workers.iter().map(|worker| Offer { session: &worker.session, version: worker.version.as_ref(), labels: &worker.labels }).collect()
}

fn ruled(version: Option<&str>, pairs: &[(&str, &str)]) -> RouteKey {
    let rule = Rule::new(version.map(constraint), labels(pairs)).map(Arc::new);
    RouteKey { rule, ..RouteKey::default() }
}

fn fleet() -> Vec<Worker> {
    vec![
        worker("one", "1.4.0", &[("region", "eu"), ("gpu", "yes")]),
        worker("two", "1.5.0", &[("region", "us")]),
        worker("three", "2.0.0", &[("region", "eu")]),
        worker("four", "5f3a91c", &[("region", "eu")]),
    ]
}

#[test]
fn a_rule_lets_through_those_that_are_what_it_demands() {
    let table: [(RouteKey, &[&str]); 6] = [
        (RouteKey::default(), &["one", "two", "three", "four"]),
        (ruled(Some(">=1.4.0, <2"), &[]), &["one", "two"]),
        (ruled(None, &[("region", "eu")]), &["one", "three", "four"]),
        (ruled(Some(">=1"), &[("region", "eu")]), &["one", "three"]),
        (ruled(None, &[("region", "eu"), ("gpu", "yes")]), &["one"]),
        (ruled(None, &[("region", "")]), &[]),
    ];
    let workers = fleet();
    let offers = offers(&workers);
    for (route, expected) in table {
        let found: Vec<&str> = eligible(&route, None, &offers).into_iter().map(|place| offers[place].session).collect();
        assert_eq!(found, expected, "{route:?}");
    }
}

#[test]
fn a_route_that_demands_nothing_is_no_rule() {
    assert_eq!(Rule::new(None, BTreeMap::new()), None);
    assert!(!ruled(None, &[]).is_demanding());
    assert!(ruled(Some(">1"), &[]).is_demanding());
    assert_eq!(ruled(Some(">=1.4.0, <2"), &[("region", "eu")]).rule.expect("demands").to_string(), "version >=1.4.0, <2 and region=eu");
}

#[test]
fn each_side_of_a_canary_keeps_to_itself_while_both_live() {
    let canary = Canary::new(constraint(">=2"), 10).expect("in range");
    let on = |side| RouteKey { side: Some(side), ..RouteKey::default() };
    let workers = fleet();
    let all = offers(&workers);
    assert_eq!(eligible(&on(Side::Canary), Some(&canary), &all), [2]);
    assert_eq!(eligible(&on(Side::Stable), Some(&canary), &all), [0, 1, 3], "a build that cannot be compared is no canary");
    assert_eq!(eligible(&on(Side::Canary), Some(&canary), &all[..2]), [0, 1], "no canary lives");
    assert_eq!(eligible(&on(Side::Stable), Some(&canary), &all[2..3]), [0], "only the canary lives");
    assert_eq!(eligible(&on(Side::Canary), None, &all), [0, 1, 2, 3], "the canary was withdrawn");
}

#[test]
fn a_rule_holds_on_both_sides_of_a_canary() {
    let canary = Canary::new(constraint(">=2"), 10).expect("in range");
    let workers = fleet();
    let all = offers(&workers);
    for side in [Side::Canary, Side::Stable] {
        let route = RouteKey { side: Some(side), ..ruled(Some("<1.5"), &[]) };
        assert_eq!(eligible(&route, Some(&canary), &all), [0], "the other side takes it, but never what the rule forbids");
    }
}

#[test]
fn buckets_are_even_and_the_same_on_every_machine() {
    let mut counts = HashMap::new();
    (0..256_000).for_each(|number| *counts.entry(Bucket::of(&format!("customer-{number}"))).or_insert(0) += 1);
    assert_eq!(counts.len(), Bucket::COUNT);
    assert!(counts.values().all(|count| (800..1_200).contains(count)));
    // Other builds and other coordinators must agree, so the values themselves are part of the contract.
    assert_eq!([Bucket::of(""), Bucket::of("customer-1"), Bucket::of("ü")].map(|bucket| bucket.0), [245, 44, 119]);
}

#[test]
fn a_sticky_step_waits_for_its_worker_but_not_for_ever() {
    let short = STICKY_PATIENCE - Duration::from_millis(1);
    assert_eq!(sticky_choice(true, Duration::ZERO), StickyChoice::Preferred);
    assert_eq!(sticky_choice(true, STICKY_PATIENCE * 2), StickyChoice::Preferred);
    assert_eq!(sticky_choice(false, short), StickyChoice::Nobody);
    assert_eq!(sticky_choice(false, STICKY_PATIENCE), StickyChoice::Any);
}

/// Which session each bucket prefers.
fn preferences(workers: &[Worker]) -> Vec<String> {
    let offers = offers(workers);
    let all: Vec<usize> = (0..offers.len()).collect();
    let preferred = |bucket| preferred(Bucket(bucket), &offers, &all).expect("somebody lives");
    (0..=u8::MAX).map(|bucket| offers[preferred(bucket)].session.to_owned()).collect()
}

proptest! {
    /// When a worker leaves, only what preferred it moves; whoever is eligible is preferred by some; order does not matter.
    #[test]
    fn only_the_keys_of_a_worker_that_leaves_move(names in prop::collection::btree_set("[a-zA-Z0-9_-]{8,22}", 2..12), gone in any::<prop::sample::Index>()) {
        let workers: Vec<Worker> = names.iter().map(|name| worker(name, "1.0", &[])).collect();
        let before = preferences(&workers);
        let reversed: Vec<Worker> = names.iter().rev().map(|name| worker(name, "1.0", &[])).collect();
        prop_assert_eq!(&before, &preferences(&reversed));
        prop_assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), names.len(), "each gets a share of 256 buckets");
        let gone = workers[gone.index(workers.len())].session.clone();
        let left: Vec<Worker> = names.iter().filter(|name| **name != gone).map(|name| worker(name, "1.0", &[])).collect();
        for (bucket, (was, is)) in before.iter().zip(preferences(&left)).enumerate() {
            prop_assert!(*was == gone || *was == is, "bucket {bucket} moved from {was} to {is} although {gone} left");
        }
    }

    /// Whatever the fleet: nobody is eligible who does not fulfil the rule, and a canary never leaves a step without the workers it has.
    #[test]
    fn a_canary_never_empties_what_a_rule_leaves(
        versions in prop::collection::vec(prop_oneof![Just("1.0"), Just("1.5"), Just("2.0"), Just("x")], 0..6),
        rule in prop::option::of(prop_oneof![Just(">=1.5"), Just("<2"), Just("=2")]),
        on_canary in any::<bool>(),
    ) {
        let workers: Vec<Worker> = versions.iter().enumerate().map(|(place, version)| worker(&format!("session-{place}"), version, &[])).collect();
        let offers = offers(&workers);
        let canary = Canary::new(constraint(">=2"), 50).expect("in range");
        let side = Some(if on_canary { Side::Canary } else { Side::Stable });
        let route = RouteKey { side, ..ruled(rule, &[]) };
        let without: BTreeSet<usize> = eligible(&ruled(rule, &[]), None, &offers).into_iter().collect();
        let with: BTreeSet<usize> = eligible(&route, Some(&canary), &offers).into_iter().collect();
        prop_assert!(with.is_subset(&without));
        prop_assert_eq!(with.is_empty(), without.is_empty());
    }
}

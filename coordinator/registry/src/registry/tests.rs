use super::*;
use crate::message::{Credit, Sdk, SessionState};
use std::collections::BTreeMap;
use tasker_engine::SessionId;

const LEASE: Duration = Duration::from_secs(5);

fn namespace() -> Namespace {
    Namespace::new("default").expect("valid")
}

fn system(name: &str) -> SystemName {
    SystemName::new(name).expect("valid")
}

fn charge() -> CapabilityName {
    CapabilityName::new("payment.charge").expect("valid")
}

/// A worker of `payments` says hello and has two free slots.
fn join(registry: &mut Registry, owner: &str, session: &str, version: &str) -> SessionKey {
    let key = SessionKey { namespace: namespace(), system: system(owner), session: SessionId::new(session).expect("valid") };
    let announcement = Announcement {
        system_version: version.to_owned(),
        capabilities: vec![AnnouncedCapability {
            name: charge(),
            contract: Contract::default(),
            description: String::new(),
            timeout: None,
            slot_cost: None,
        }],
        slots: 2,
        counts_costs: true,
        sdk: Sdk::default(),
        host: String::new(),
        process_id: 0,
        held: Vec::new(),
        labels: BTreeMap::new(),
    };
    registry.announce(key.clone(), announcement, Duration::ZERO, Timestamp::from_millis(0)).expect("accepted");
    let credit = Credit { free: 2, highest_sequence: 0, expires_in: Duration::ZERO };
    registry.session_mut(&key).expect("joined").grant(credit, Duration::ZERO);
    key
}

fn available(registry: &Registry, key: &SessionKey) -> u32 {
    registry.session(key).expect("joined").available(Duration::ZERO, LEASE)
}

#[test]
fn a_drained_worker_gets_nothing_more_even_if_it_says_hello_again() {
    let mut registry = Registry::default();
    let (one, other) = (join(&mut registry, "payments", "session-1", "1.0"), join(&mut registry, "payments", "session-2", "1.0"));
    assert_eq!(registry.drain_worker(&namespace(), "session-1", None), Ok(one.clone()));
    assert_eq!(registry.drain_worker(&namespace(), "session-1", None), Ok(one.clone()), "asked again");
    assert_eq!([&one, &other].map(|key| available(&registry, key)), [0, 2]);
    join(&mut registry, "payments", "session-1", "1.0");
    assert_eq!(available(&registry, &one), 0);
    assert!(registry.is_offered(&namespace(), &system("payments"), &charge()), "the other still takes work");
    registry.drain_worker(&namespace(), "session-2", None).expect("it lives");
    assert!(!registry.is_offered(&namespace(), &system("payments"), &charge()));
}

#[test]
fn a_session_that_two_systems_have_must_be_named_with_its_system() {
    let mut registry = Registry::default();
    join(&mut registry, "payments", "session-1", "1.0");
    let other = join(&mut registry, "refunds", "session-1", "1.0");
    let refused = registry.drain_worker(&namespace(), "session-1", None).expect_err("ambiguous");
    assert_eq!(refused, DrainRefusal::AmbiguousWorker("`payments`, `refunds`".to_owned()));
    assert_eq!(registry.drain_worker(&namespace(), "session-1", Some(&system("refunds"))), Ok(other));
    let gone = registry.drain_worker(&namespace(), "session-9", None).expect_err("nobody has it");
    assert_eq!(gone, DrainRefusal::UnknownWorker("session-9".to_owned()));
    let elsewhere = Namespace::new("other").expect("valid");
    assert!(registry.drain_worker(&elsewhere, "session-1", None).is_err(), "another tenant's worker is unknown");
}

#[test]
fn a_drained_version_gets_nothing_new_until_it_is_undone() {
    let mut registry = Registry::default();
    let (old, new) = (join(&mut registry, "payments", "session-1", "1.0"), join(&mut registry, "payments", "session-2", "2.0"));
    assert_eq!(registry.drain_version(&namespace(), &system("payments"), "2.0", false), Ok(1));
    let late = join(&mut registry, "payments", "session-3", "2.0");
    assert_eq!([&old, &new, &late].map(|key| available(&registry, key)), [2, 0, 0]);
    assert_eq!(registry.drained_versions(&namespace(), &system("payments")).collect::<Vec<_>>(), ["2.0"]);
    registry.drain_worker(&namespace(), "session-3", None).expect("it lives");
    assert_eq!(registry.drain_version(&namespace(), &system("payments"), "2.0", true), Ok(2));
    assert_eq!([&old, &new, &late].map(|key| available(&registry, key)), [2, 2, 0], "the worker's own drain stays");
    assert_eq!(registry.drained_versions(&namespace(), &system("payments")).count(), 0);
}

#[test]
fn versions_are_drained_only_of_systems_that_are_known_and_not_without_limit() {
    let mut registry = Registry::default();
    let refused = registry.drain_version(&namespace(), &system("paymnets"), "1.0", false);
    assert_eq!(refused, Err(DrainRefusal::UnknownSystem(system("paymnets"))));
    join(&mut registry, "payments", "session-1", "1.0");
    for number in 0..Registry::DRAINED_MAX {
        registry.drain_version(&namespace(), &system("payments"), &number.to_string(), false).expect("room");
    }
    assert_eq!(registry.drain_version(&namespace(), &system("payments"), "7", false), Ok(0), "again");
    let refused = registry.drain_version(&namespace(), &system("payments"), "one more", false);
    assert_eq!(refused, Err(DrainRefusal::TooManyVersions(system("payments"))));
}

#[test]
fn a_worker_that_drains_by_itself_takes_no_work() {
    let mut registry = Registry::default();
    let key = join(&mut registry, "payments", "session-1", "1.0");
    registry.session_mut(&key).expect("joined").state = SessionState::Draining;
    assert_eq!(available(&registry, &key), 0);
}

use super::*;
use crate::backlog::{Lane, Standing, Taken, Waiting};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tasker_engine::flow::Priority;
use tasker_engine::{CapabilityName, StepIndex, StepName, TaskId, Timestamp};

fn target(namespace: &str, capability: &str) -> Target {
    Target {
        namespace: Namespace::new(namespace).expect("valid"),
        system: SystemName::new("payments").expect("valid"),
        capability: CapabilityName::new(capability).expect("valid"),
    }
}

fn lane(scheduler: &mut Scheduler, namespace: &str, capability: &str) -> LaneId {
    scheduler.lane(&Lane { target: target(namespace, capability), route: None })
}

fn rule_name(is_rate: bool) -> RuleName {
    RuleName {
        namespace: Namespace::new("default").expect("valid"),
        workflow: WorkflowName::new("order").expect("valid"),
        step: StepName::new("charge").expect("valid"),
        is_rate,
    }
}

fn add(scheduler: &mut Scheduler, lane: LaneId, number: i64, gates: [Option<GateId>; 2]) {
    let flow = scheduler.flow(&Namespace::new("default").expect("valid"), &WorkflowName::new("order").expect("valid"));
    let waiting =
        Waiting { task: TaskId::from_number(number).expect("not negative"), step: StepIndex(0), since: Timestamp::from_millis(number) };
    scheduler.enqueue(lane, waiting, Standing { flow, priority: Priority::default(), returned: false, gates });
}

/// Everything that may start now.
fn start_all(scheduler: &mut Scheduler, now: Duration) -> Vec<Taken> {
    let mut started = Vec::new();
    let mut turns = scheduler.turns(now);
    while let Some(lane) = scheduler.next_turn(&mut turns) {
        if !scheduler.admits(lane, now) {
            continue;
        }
        let taken = scheduler.take(lane, now).expect("it admits");
        scheduler.opened(lane, now);
        started.push(taken);
        scheduler.served(&mut turns, lane);
    }
    started
}

fn end(scheduler: &mut Scheduler, taken: &Taken, now: Duration) {
    scheduler.closed(taken.lane);
    scheduler.leave_gates(taken.gates, false, now);
}

fn rate(text: &str, burst: u32) -> Rate {
    Rate::parse(text).and_then(|rate| rate.with_burst(burst)).expect("in range")
}

#[test]
fn a_bulkhead_holds_for_all_lanes_of_a_capability_and_lets_the_next_through_when_one_ends() {
    let mut scheduler = Scheduler::default();
    let charge = lane(&mut scheduler, "default", "charge");
    let limits = CapabilityLimits { max_concurrent: Some(2), ..CapabilityLimits::default() };
    scheduler.declare_limits(&target("default", "charge"), limits, Duration::ZERO);
    (0..5).for_each(|number| add(&mut scheduler, charge, number, [None; 2]));
    let started = start_all(&mut scheduler, Duration::ZERO);
    assert_eq!(started.len(), 2);
    let view = scheduler.queue(&target("default", "charge"), Duration::ZERO).expect("known");
    assert_eq!((view.waiting, view.open, view.hold), (3, 2, Some(Hold::Full { open: 2, limit: 2 })));
    end(&mut scheduler, &started[0], Duration::ZERO);
    assert_eq!(start_all(&mut scheduler, Duration::ZERO).len(), 1);
}

#[test]
fn a_rate_names_the_instant_of_its_next_token_and_the_slower_of_two_holds() {
    let mut scheduler = Scheduler::default();
    let charge = lane(&mut scheduler, "default", "charge");
    let of_capability = CapabilityLimits { rate: Some(rate("10/s", 1)), ..CapabilityLimits::default() };
    scheduler.declare_limits(&target("default", "charge"), of_capability, Duration::ZERO);
    let payments = target("default", "charge");
    scheduler.set_system_rate(&payments.namespace, &payments.system, Some(rate("5/s", 1)), Duration::ZERO);
    (0..3).for_each(|number| add(&mut scheduler, charge, number, [None; 2]));
    assert_eq!(start_all(&mut scheduler, Duration::ZERO).len(), 1);
    assert_eq!(scheduler.next_due(), Some(Duration::from_millis(200)));
    assert_eq!(start_all(&mut scheduler, Duration::from_millis(199)).len(), 0);
    assert_eq!(start_all(&mut scheduler, Duration::from_millis(200)).len(), 1);
    let hold = scheduler.queue(&payments, Duration::from_millis(200)).and_then(|view| view.hold);
    assert_eq!(hold, Some(Hold::Rate { rate: rate("5/s", 1), of_system: true, next_at: Duration::from_millis(400) }));
}

#[test]
fn a_restart_does_not_exceed_a_rate() {
    let mut scheduler = Scheduler::default();
    scheduler.set_cold();
    let charge = lane(&mut scheduler, "default", "charge");
    let limits = CapabilityLimits { rate: Some(rate("10/s", 10)), ..CapabilityLimits::default() };
    scheduler.declare_limits(&target("default", "charge"), limits, Duration::ZERO);
    (0..50).for_each(|number| add(&mut scheduler, charge, number, [None; 2]));
    assert_eq!(start_all(&mut scheduler, Duration::ZERO).len(), 0);
    assert_eq!(start_all(&mut scheduler, Duration::from_millis(500)).len(), 5);
}

#[test]
fn an_operators_word_goes_before_the_manifests_and_a_pause_before_everything() {
    let mut scheduler = Scheduler::default();
    let charge = lane(&mut scheduler, "default", "charge");
    let name = target("default", "charge");
    scheduler.declare_limits(&name, CapabilityLimits { max_concurrent: Some(1), ..CapabilityLimits::default() }, Duration::ZERO);
    (0..9).for_each(|number| add(&mut scheduler, charge, number, [None; 2]));
    scheduler.order(&name, Orders { paused: true, ..Orders::default() }, Duration::ZERO);
    assert_eq!(start_all(&mut scheduler, Duration::ZERO).len(), 0);
    scheduler.order(&name, Orders { max_concurrent: Some(Some(3)), ..Orders::default() }, Duration::ZERO);
    assert_eq!(start_all(&mut scheduler, Duration::ZERO).len(), 3);
    scheduler.order(&name, Orders { max_concurrent: Some(None), ..Orders::default() }, Duration::ZERO);
    assert_eq!(start_all(&mut scheduler, Duration::ZERO).len(), 6);
}

#[test]
fn a_full_backlog_says_when_there_is_room_at_the_pace_of_late() {
    let mut scheduler = Scheduler::default();
    let charge = lane(&mut scheduler, "default", "charge");
    let name = target("default", "charge");
    scheduler.declare_limits(&name, CapabilityLimits { max_backlog: Some(10), ..CapabilityLimits::default() }, Duration::ZERO);
    (0..40).for_each(|number| add(&mut scheduler, charge, number, [None; 2]));
    assert_eq!(scheduler.backlog_full(charge, Duration::ZERO).map(|full| full.retry_after), Some(RETRY_MAX), "nothing moves");
    let now = Duration::from_secs(1);
    for _ in 0..30 {
        scheduler.take(charge, now).expect("forty wait");
        scheduler.opened(charge, now);
    }
    let full = scheduler.backlog_full(charge, now).expect("ten still wait");
    assert_eq!((full.waiting, full.limit), (10, 10));
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&full.retry_after), "{full:?}");
    scheduler.take(charge, now);
    assert_eq!(scheduler.backlog_full(charge, now), None);
}

#[test]
fn a_key_that_is_used_up_does_not_stand_in_the_way_of_others() {
    let mut scheduler = Scheduler::default();
    let charge = lane(&mut scheduler, "default", "charge");
    let rule = scheduler.rule(&rule_name(false));
    scheduler.set_rule(rule, Some(Allowed::AtOnce(1)), Duration::ZERO);
    for number in 0..6 {
        let key = if number < 4 { "busy" } else { "other" };
        let gate = scheduler.enter_gate(rule, key, Duration::ZERO);
        add(&mut scheduler, charge, number, [Some(gate), None]);
    }
    let started: Vec<i64> = start_all(&mut scheduler, Duration::ZERO).iter().map(|taken| taken.waiting.task.as_number()).collect();
    assert_eq!(started, [0, 4]);
    let gate = scheduler.find_gate(rule, "busy").expect("it is used");
    assert_eq!(scheduler.position_at(gate, TaskId::from_number(3).expect("valid"), StepIndex(0)), Some(2));
    let view = scheduler.gate(gate, Duration::ZERO).expect("it is used");
    assert_eq!((view.held, view.waiting, view.allowed), (1, 3, Some(Allowed::AtOnce(1))));
    assert_eq!(scheduler.waiting(), 4, "who is put aside waits as well");
}

#[test]
fn keys_that_nobody_needs_are_forgotten_once_their_buckets_are_full() {
    let mut scheduler = Scheduler::default();
    let charge = lane(&mut scheduler, "default", "charge");
    let rule = scheduler.rule(&rule_name(true));
    scheduler.set_rule(rule, Some(Allowed::Rate(rate("1/s", 2))), Duration::ZERO);
    for number in 0..100 {
        let gate = scheduler.enter_gate(rule, &format!("key-{number}"), Duration::ZERO);
        add(&mut scheduler, charge, number, [Some(gate), None]);
    }
    let started = start_all(&mut scheduler, Duration::ZERO);
    assert_eq!(started.len(), 100);
    started.iter().for_each(|taken| end(&mut scheduler, taken, Duration::ZERO));
    assert_eq!(scheduler.gate_count(), 100, "each has a token less than it may have");
    scheduler.enter_gate(rule, "another", Duration::from_secs(1));
    assert_eq!(scheduler.gate_count(), 1);
}

#[test]
fn namespaces_share_the_turns_by_their_weights() {
    let mut scheduler = Scheduler::default();
    let many: Vec<LaneId> = (0..5).map(|number| lane(&mut scheduler, "many", &format!("work-{number}"))).collect();
    let one = lane(&mut scheduler, "one", "work");
    scheduler.set_namespace_weight(&Namespace::new("one").expect("valid"), Weight::new(2).expect("in range"));
    for number in 0..600 {
        many.iter().chain([&one]).for_each(|lane| add(&mut scheduler, *lane, number, [None; 2]));
    }
    let mut turns = scheduler.turns(Duration::ZERO);
    let mut served = 0;
    for _ in 0..300 {
        let lane = scheduler.next_turn(&mut turns).expect("something waits");
        scheduler.take(lane, Duration::ZERO).expect("something waits");
        served += usize::from(lane == one);
        scheduler.served(&mut turns, lane);
    }
    assert!((199..=201).contains(&served), "{served} of 300 turns, although five lanes stood against one");
}

/// What may happen to steps with keys.
#[derive(Debug, Clone)]
enum Move {
    Add { by_count: Option<u8>, by_rate: Option<u8> },
    End(usize),
    Refuse,
    Wait(u32),
    Limit(u32),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let key = || proptest::option::weighted(0.8, 0..3u8);
    let one = prop_oneof![
        6 => (key(), key()).prop_map(|(by_count, by_rate)| Move::Add { by_count, by_rate }),
        4 => any::<prop::sample::Index>().prop_map(|place| Move::End(place.index(64))),
        2 => Just(Move::Refuse),
        3 => (0..3_000u32).prop_map(Move::Wait),
        1 => (1..4u32).prop_map(Move::Limit),
    ];
    proptest::collection::vec(one, 1..150)
}

proptest! {
    /// However steps come, end, are withdrawn on the way, and limits change: never more at work than a key allows when they start, and at the end, when
    /// everything ends and time passes, nobody is left behind.
    #[test]
    fn no_key_is_exceeded_and_nobody_in_line_is_forgotten(moves in moves()) {
        let mut scheduler = Scheduler::default();
        let charge = lane(&mut scheduler, "default", "charge");
        let (count, fast) = (scheduler.rule(&rule_name(false)), scheduler.rule(&rule_name(true)));
        let mut limit = 2;
        scheduler.set_rule(count, Some(Allowed::AtOnce(limit)), Duration::ZERO);
        scheduler.set_rule(fast, Some(Allowed::Rate(rate("2/s", 2))), Duration::ZERO);
        let (mut now, mut number) = (Duration::ZERO, 0i64);
        let mut keys: Vec<Option<u8>> = Vec::new();
        let mut open: Vec<Taken> = Vec::new();
        let mut seen = BTreeSet::new();
        for one in moves {
            let mut refuse = false;
            match one {
                Move::Add { by_count, by_rate } => {
                    let gates = [
                        by_count.map(|key| scheduler.enter_gate(count, &key.to_string(), now)),
                        by_rate.map(|key| scheduler.enter_gate(fast, &key.to_string(), now)),
                    ];
                    add(&mut scheduler, charge, number, gates);
                    keys.push(by_count);
                    number += 1;
                }
                Move::End(place) if !open.is_empty() => {
                    let taken = open.swap_remove(place % open.len());
                    end(&mut scheduler, &taken, now);
                }
                Move::End(_) => {}
                Move::Refuse => refuse = true,
                Move::Wait(millis) => now += Duration::from_millis(millis.into()),
                Move::Limit(most) => {
                    limit = most;
                    scheduler.set_rule(count, Some(Allowed::AtOnce(limit)), now);
                }
            }
            if refuse {
                // The step was withdrawn while it waited: it takes nothing.
                let _ = scheduler.turns(now);
                if scheduler.admits(charge, now) && let Some(taken) = scheduler.take(charge, now) {
                    prop_assert!(seen.insert(taken.waiting.task));
                    scheduler.give_back(&taken, now);
                }
            }
            for taken in start_all(&mut scheduler, now) {
                prop_assert!(seen.insert(taken.waiting.task), "a step starts once");
                let key = keys[taken.waiting.task.as_number() as usize];
                let same = open.iter().filter(|other| key.is_some() && keys[other.waiting.task.as_number() as usize] == key).count();
                prop_assert!(same < limit as usize, "{same} of {limit} were at work already");
                open.push(taken);
            }
        }
        for _ in 0..2 * number + 2 {
            for taken in open.drain(..) {
                end(&mut scheduler, &taken, now);
            }
            now = scheduler.next_due().unwrap_or(now).max(now);
            open = start_all(&mut scheduler, now);
            seen.extend(open.iter().map(|taken| taken.waiting.task));
        }
        open.iter().for_each(|taken| end(&mut scheduler, taken, now));
        prop_assert_eq!(seen.len() as i64, number, "somebody was forgotten in a line");
        prop_assert_eq!((scheduler.waiting(), scheduler.put_aside_count()), (0, 0));
    }
}

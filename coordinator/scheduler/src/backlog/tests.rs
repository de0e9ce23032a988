use super::*;
use crate::route::Rule;
use tasker_engine::version::VersionConstraint;

fn target(capability: &str) -> Target {
    Target {
        namespace: Namespace::new("default").expect("valid"),
        system: SystemName::new("payments").expect("valid"),
        capability: CapabilityName::new(capability).expect("valid"),
    }
}

fn lane(capability: &str) -> Lane {
    Lane { target: target(capability), route: None }
}

fn waiting(number: i64) -> Waiting {
    Waiting { task: TaskId::from_number(number).expect("not negative"), step: StepIndex(0), since: Timestamp::from_millis(number) }
}

fn canary(share: u64) -> Canary {
    Canary::new(VersionConstraint::parse(">=2").expect("valid"), share).expect("in range")
}

/// How a step of the workflow stands that has no limits of its own.
fn standing(scheduler: &mut Scheduler, returned: bool) -> Standing {
    let workflow = tasker_engine::WorkflowName::new("order").expect("valid");
    let flow = scheduler.flow(&target("charge").namespace, &workflow);
    Standing { flow, priority: Priority::default(), returned, gates: [None; 2] }
}

fn enqueue(scheduler: &mut Scheduler, lane: LaneId, waiting: Waiting, returned: bool) {
    let standing = standing(scheduler, returned);
    scheduler.enqueue(lane, waiting, standing);
}

fn take(scheduler: &mut Scheduler, lane: LaneId) -> Option<Waiting> {
    scheduler.take(lane, Duration::ZERO).map(|taken| taken.waiting)
}

fn busy(scheduler: &mut Scheduler) -> Vec<LaneId> {
    let mut turns = scheduler.turns(Duration::ZERO);
    std::iter::from_fn(|| scheduler.next_turn(&mut turns)).collect()
}

#[test]
fn a_lane_is_first_come_first_served() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    (0..3).for_each(|number| enqueue(&mut scheduler, charge, waiting(number), false));
    assert_eq!(scheduler.head(charge), Some(&waiting(0)));
    let taken: Vec<_> = std::iter::from_fn(|| take(&mut scheduler, charge)).collect();
    assert_eq!(taken, [waiting(0), waiting(1), waiting(2)]);
    assert_eq!(scheduler.waiting(), 0);
    assert!(busy(&mut scheduler).is_empty());
}

#[test]
fn a_step_whose_worker_died_goes_ahead_of_those_that_never_had_a_turn() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    enqueue(&mut scheduler, charge, waiting(1), false);
    enqueue(&mut scheduler, charge, waiting(2), false);
    enqueue(&mut scheduler, charge, waiting(3), true);
    enqueue(&mut scheduler, charge, waiting(4), true);
    assert_eq!(scheduler.position(charge, waiting(1).task, StepIndex(0)), Some(2));
    let taken: Vec<_> = std::iter::from_fn(|| take(&mut scheduler, charge)).collect();
    assert_eq!(taken, [waiting(3), waiting(4), waiting(1), waiting(2)]);
}

#[test]
fn lanes_take_turns_at_being_first() {
    let mut scheduler = Scheduler::default();
    let (charge, refund) = (scheduler.lane(&lane("charge")), scheduler.lane(&lane("refund")));
    enqueue(&mut scheduler, charge, waiting(0), false);
    enqueue(&mut scheduler, refund, waiting(1), false);
    let first: BTreeSet<_> = (0..2).map(|_| busy(&mut scheduler)[0]).collect();
    assert_eq!(first, BTreeSet::from([charge, refund]));
    assert_eq!(scheduler.lane(&lane("charge")), charge, "a lane keeps its number");
}

#[test]
fn steps_with_equal_routes_share_a_lane_and_others_do_not() {
    let mut scheduler = Scheduler::default();
    let routed = |version: &str| {
        let version = Some(VersionConstraint::parse(version).expect("valid"));
        let rule = Rule::new(version, BTreeMap::new()).map(Arc::new);
        Lane { target: target("charge"), route: Some(RouteKey { rule, ..RouteKey::default() }) }
    };
    let one = scheduler.lane(&routed(">=1"));
    assert_eq!(scheduler.lane(&routed(">=1")), one);
    assert_ne!(scheduler.lane(&routed(">=2")), one);
    assert_ne!(scheduler.lane(&lane("charge")), one);
    let sticky = scheduler.lane_of(one, waiting(1).task, Some(Bucket::of("customer-1")));
    assert_ne!(sticky, one);
    assert_eq!(scheduler.lane_of(one, waiting(2).task, Some(Bucket::of("customer-1"))), sticky);
    assert_eq!(scheduler.base(sticky), one);
    let kept = scheduler.name(sticky).route.clone().and_then(|route| route.rule);
    assert_eq!(kept, routed(">=1").route.and_then(|route| route.rule), "the rule holds in the sticky lane, too");
}

#[test]
fn without_route_canary_or_key_a_step_waits_in_the_lane_of_its_capability() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    (0..100).for_each(|number| assert_eq!(scheduler.lane_of(charge, waiting(number).task, None), charge));
    assert_eq!(scheduler.places.len(), 1);
}

#[test]
fn a_canary_splits_the_lanes_of_its_system_old_and_new() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    scheduler.set_canary(&target("charge").namespace, &target("charge").system, Some(canary(50)));
    let refund = scheduler.lane(&lane("refund"));
    for base in [charge, refund] {
        let lanes: BTreeSet<_> = (0..100).map(|number| scheduler.lane_of(base, waiting(number).task, None)).collect();
        assert_eq!(lanes.len(), 2);
        assert!(!lanes.contains(&base));
        assert!(lanes.iter().all(|lane| scheduler.base(*lane) == base));
    }
    scheduler.set_canary(&target("charge").namespace, &target("charge").system, None);
    assert_eq!(scheduler.lane_of(charge, waiting(1).task, None), charge);
}

#[test]
fn the_backlog_of_a_capability_is_that_of_all_its_lanes() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    let sticky = scheduler.lane_of(charge, waiting(0).task, Some(Bucket::of("key")));
    enqueue(&mut scheduler, charge, waiting(5), false);
    enqueue(&mut scheduler, sticky, waiting(3), false);
    enqueue(&mut scheduler, sticky, waiting(4), false);
    assert_eq!(scheduler.backlog()[&target("charge")], (3, Some(Timestamp::from_millis(3))));
    assert_eq!(scheduler.waiting_for(&target("charge")), 3);
    assert_eq!(scheduler.waiting_for(&target("refund")), 0);
}

#[test]
fn one_breaker_holds_back_every_lane_of_its_capability_and_no_other() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    let refund = scheduler.lane(&lane("refund"));
    let (second, now) = (Duration::from_secs(1), Duration::from_secs(5));
    scheduler.set_breaker(&target("charge"), Some(BreakerPolicy::new(2, second, second, 1).expect("in range")), now);
    let sticky = scheduler.lane_of(charge, waiting(0).task, Some(Bucket::of("key")));
    assert_eq!(scheduler.begin(refund, now), None, "nobody asks");
    let permits = [charge, sticky].map(|lane| scheduler.begin(lane, now).expect("it has a breaker"));
    assert_eq!(scheduler.report(permits[0], Verdict::Ill, now), None);
    assert_eq!(scheduler.report(permits[1], Verdict::Ill, now), Some((State::Closed, State::Open)));
    assert_eq!([charge, sticky, refund].map(|lane| scheduler.admits(lane, now)), [false, false, true]);
    assert!(scheduler.admits(sticky, now + second));
    let probe = scheduler.begin(sticky, now + second).expect("it has a breaker");
    assert!(!scheduler.admits(charge, now + second), "the probe of one lane is that of all");
    assert_eq!(scheduler.report(probe, Verdict::Well, now + second), Some((State::HalfOpen, State::Closed)));
    assert!(scheduler.admits(charge, now + second));
}

#[test]
fn declaring_the_same_breaker_again_does_not_close_it() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    let (second, now) = (Duration::from_secs(1), Duration::ZERO);
    let policy = Some(BreakerPolicy::new(1, second, second, 1).expect("in range"));
    scheduler.set_breaker(&target("charge"), policy, now);
    let permit = scheduler.begin(charge, now).expect("it has a breaker");
    scheduler.report(permit, Verdict::Ill, now);
    scheduler.set_breaker(&target("charge"), policy, now);
    assert!(!scheduler.admits(charge, now));
    scheduler.set_breaker(&target("charge"), None, now);
    assert!(scheduler.admits(charge, now));
    assert_eq!(scheduler.breakers().count(), 0);
}

#[test]
fn an_operator_opens_what_has_no_breaker_of_its_own() {
    let mut scheduler = Scheduler::default();
    let charge = scheduler.lane(&lane("charge"));
    scheduler.override_breaker(&target("charge"), Override::Open, Duration::ZERO);
    assert!(!scheduler.admits(charge, Duration::from_secs(3600)));
    scheduler.override_breaker(&target("charge"), Override::Auto, Duration::ZERO);
    assert!(scheduler.admits(charge, Duration::ZERO));
    assert!(scheduler.breaker(&target("charge")).is_none());
}

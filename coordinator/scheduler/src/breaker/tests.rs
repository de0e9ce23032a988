use super::*;
use proptest::prelude::*;

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Three failures in 30 s open it for 10 s; two probes close it.
fn policy() -> BreakerPolicy {
    BreakerPolicy::new(3, seconds(30), seconds(10), 2).expect("in range")
}

fn breaker() -> Breaker {
    Breaker::new(Some(policy()), Duration::ZERO)
}

/// One attempt that starts and ends at an instant.
fn attempt(breaker: &mut Breaker, verdict: Verdict, now: Duration) {
    assert!(breaker.admits(now), "at {now:?}");
    let permit = breaker.begin(now);
    breaker.report(permit, verdict, now);
}

/// A breaker that opened at `at`.
fn opened(at: Duration) -> Breaker {
    let mut breaker = breaker();
    (0..3).for_each(|_| attempt(&mut breaker, Verdict::Ill, at));
    assert_eq!(breaker.state(at), State::Open);
    breaker
}

#[test]
fn enough_failures_within_the_window_open_it() {
    let table: [(&[u64], bool); 5] =
        [(&[0, 1, 2], true), (&[0, 15, 29], true), (&[0, 1, 30], false), (&[0, 29, 31, 40], true), (&[0, 31, 62, 93], false)];
    for (failures, opens) in table {
        let mut breaker = breaker();
        failures.iter().for_each(|at| attempt(&mut breaker, Verdict::Ill, seconds(*at)));
        let last = seconds(*failures.last().expect("not empty"));
        assert_eq!(breaker.state(last) == State::Open, opens, "failures at {failures:?}");
    }
}

#[test]
fn successes_between_failures_do_not_hide_them() {
    let mut breaker = breaker();
    for verdict in [Verdict::Ill, Verdict::Well, Verdict::Ill, Verdict::Well, Verdict::Ill] {
        attempt(&mut breaker, verdict, seconds(1));
    }
    assert_eq!(breaker.state(seconds(1)), State::Open);
}

#[test]
fn only_failures_about_health_count() {
    let counted = [FailureKind::Retryable, FailureKind::TimedOut, FailureKind::Lost];
    let not_counted = [FailureKind::Permanent, FailureKind::Contract, FailureKind::Cancelled];
    assert!(counted.into_iter().all(|kind| Verdict::of(kind) == Verdict::Ill));
    assert!(not_counted.into_iter().all(|kind| Verdict::of(kind) == Verdict::Unknown));
    let mut breaker = breaker();
    (0..100).for_each(|_| attempt(&mut breaker, Verdict::Unknown, seconds(1)));
    assert_eq!(breaker.view(seconds(1)).failures, 0);
}

#[test]
fn while_open_nothing_starts_and_then_probes_do() {
    let mut breaker = opened(seconds(5));
    assert!(!breaker.admits(seconds(14)));
    assert_eq!(breaker.view(seconds(14)).next_probe_at, Some(seconds(15)));
    assert!(breaker.admits(seconds(15)));
    breaker.begin(seconds(15));
    assert!(breaker.admits(seconds(16)), "two probes at once");
    breaker.begin(seconds(16));
    assert!(!breaker.admits(seconds(25)), "and no third");
    assert_eq!(breaker.state(seconds(25)), State::HalfOpen);
}

#[test]
fn a_probe_that_hangs_holds_up_the_next_only_for_another_pause() {
    let mut breaker = opened(seconds(0));
    assert!(breaker.admits(seconds(10)));
    let hanging = [breaker.begin(seconds(10)), breaker.begin(seconds(10))];
    assert!(!breaker.admits(seconds(19)));
    assert!(breaker.admits(seconds(20)));
    let next = [breaker.begin(seconds(20)), breaker.begin(seconds(20))];
    breaker.report(hanging[0], Verdict::Unknown, seconds(21));
    assert!(!breaker.admits(seconds(21)), "the end of a probe that no longer counts makes no room");
    breaker.report(hanging[1], Verdict::Well, seconds(22));
    assert_eq!(breaker.state(seconds(22)), State::HalfOpen);
    breaker.report(next[0], Verdict::Well, seconds(23));
    assert_eq!(breaker.state(seconds(23)), State::Closed, "what a slow probe found out still counts");
}

#[test]
fn fewer_probes_than_have_succeeded_do_not_leave_it_half_open() {
    let mut breaker = opened(seconds(0));
    attempt(&mut breaker, Verdict::Well, seconds(10));
    breaker.set_policy(Some(BreakerPolicy::new(3, seconds(30), seconds(10), 1).expect("in range")), seconds(11));
    attempt(&mut breaker, Verdict::Well, seconds(12));
    assert_eq!(breaker.state(seconds(12)), State::Closed);
}

#[test]
fn it_closes_once_all_probes_succeeded() {
    let mut breaker = opened(seconds(0));
    attempt(&mut breaker, Verdict::Well, seconds(10));
    assert_eq!(breaker.state(seconds(10)), State::HalfOpen, "one of two");
    attempt(&mut breaker, Verdict::Well, seconds(11));
    assert_eq!(breaker.state(seconds(11)), State::Closed);
    assert_eq!(breaker.view(seconds(11)).failures, 0, "the window begins anew");
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_another() {
    let mut breaker = opened(seconds(0));
    (0..50).for_each(|_| attempt(&mut breaker, Verdict::Unknown, seconds(10)));
    assert_eq!(breaker.state(seconds(10)), State::HalfOpen);
    (0..2).for_each(|_| attempt(&mut breaker, Verdict::Well, seconds(11)));
    assert_eq!(breaker.state(seconds(11)), State::Closed);
}

#[test]
fn each_failed_probe_doubles_the_pause_up_to_sixteen_times() {
    let mut breaker = opened(seconds(0));
    let mut now = Duration::ZERO;
    for pause in [10, 20, 40, 80, 160, 160, 160] {
        assert!(!breaker.admits(now + seconds(pause) - Duration::from_millis(1)), "{pause} s from {now:?}");
        now += seconds(pause);
        attempt(&mut breaker, Verdict::Ill, now);
    }
    assert_eq!(breaker.view(now).opened, 8);
    now += seconds(160);
    (0..2).for_each(|_| attempt(&mut breaker, Verdict::Well, now));
    (0..3).for_each(|_| attempt(&mut breaker, Verdict::Ill, now));
    assert_eq!(breaker.view(now).next_probe_at, Some(now + seconds(10)), "closing forgets the doubling");
}

#[test]
fn an_attempt_that_began_in_an_earlier_period_changes_nothing() {
    let mut breaker = breaker();
    let early: Vec<Permit> = (0..3).map(|_| breaker.begin(seconds(0))).collect();
    (0..3).for_each(|_| attempt(&mut breaker, Verdict::Ill, seconds(0)));
    assert!(breaker.admits(seconds(10)));
    let probe = breaker.begin(seconds(10));
    breaker.report(early[0], Verdict::Well, seconds(10));
    breaker.report(early[1], Verdict::Ill, seconds(10));
    assert_eq!(breaker.state(seconds(10)), State::HalfOpen);
    breaker.report(probe, Verdict::Well, seconds(10));
    attempt(&mut breaker, Verdict::Well, seconds(10));
    breaker.report(early[2], Verdict::Ill, seconds(11));
    assert_eq!(breaker.view(seconds(11)).failures, 0);
}

#[test]
fn an_operator_has_the_last_word() {
    let mut breaker = breaker();
    breaker.set_override(Override::Open, seconds(1));
    assert!(!breaker.admits(seconds(1_000_000)), "not even a probe");
    assert_eq!(breaker.view(seconds(2)).next_probe_at, None);
    breaker.set_override(Override::Closed, seconds(2));
    (0..100).for_each(|_| attempt(&mut breaker, Verdict::Ill, seconds(3)));
    assert_eq!(breaker.state(seconds(3)), State::Closed);
    breaker.set_override(Override::Auto, seconds(4));
    (0..3).for_each(|_| attempt(&mut breaker, Verdict::Ill, seconds(5)));
    assert_eq!(breaker.state(seconds(5)), State::Open);
    assert_eq!(breaker.view(seconds(5)).opened, 1, "an operator's opening is not counted");
}

#[test]
fn a_new_policy_counts_what_the_old_one_saw_and_no_policy_closes() {
    let mut breaker = breaker();
    (0..2).for_each(|_| attempt(&mut breaker, Verdict::Ill, seconds(1)));
    breaker.set_policy(Some(BreakerPolicy::new(1, seconds(30), seconds(10), 1).expect("in range")), seconds(1));
    assert_eq!(breaker.state(seconds(1)), State::Closed, "a declaration opens nothing by itself");
    attempt(&mut breaker, Verdict::Ill, seconds(2));
    assert_eq!(breaker.state(seconds(2)), State::Open);
    breaker.set_policy(None, seconds(3));
    assert!(breaker.admits(seconds(3)));
    assert!(!breaker.is_needed());
}

#[test]
fn the_words_of_an_override_are_read_back() {
    for known in [Override::Auto, Override::Open, Override::Closed] {
        assert_eq!(Override::from_word(known.as_str()), Some(known));
    }
    assert_eq!(Override::from_word("half_open"), None);
}

/// What may happen to a breaker.
#[derive(Debug, Clone)]
enum Move {
    Wait(u64),
    Begin,
    End(usize, Verdict),
    Override(Override),
    Policy(Option<(u64, u64, u64, u64)>),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let verdict = prop_oneof![1 => Just(Verdict::Well), 3 => Just(Verdict::Ill), 1 => Just(Verdict::Unknown)];
    let demand = prop_oneof![Just(Override::Auto), Just(Override::Open), Just(Override::Closed)];
    let one = prop_oneof![
        4 => (0..20_000u64).prop_map(Move::Wait),
        8 => Just(Move::Begin),
        8 => (any::<usize>(), verdict).prop_map(|(which, verdict)| Move::End(which, verdict)),
        1 => demand.prop_map(Move::Override),
        1 => prop::option::of((1..5u64, 1..60u64, 1..20u64, 1..4u64)).prop_map(Move::Policy),
    ];
    prop::collection::vec(one, 0..120)
}

proptest! {
    /// Whatever happens: nothing starts while it is open, never more probes than allowed run at once, it opens only after enough failures, it
    /// never stays open for longer than sixteen times its pause, and what it keeps is bounded.
    #[test]
    fn the_rules_hold_whatever_happens(moves in moves()) {
        let mut breaker = breaker();
        let mut now = Duration::ZERO;
        let mut running: Vec<(Permit, bool)> = Vec::new();
        for one in moves {
            let before = breaker.state(now);
            match one {
                Move::Wait(millis) => now += Duration::from_millis(millis),
                Move::Begin => {
                    let admitted = breaker.admits(now);
                    prop_assert!(!(admitted && before == State::Open), "started while open");
                    if admitted {
                        let probe = breaker.state(now) == State::HalfOpen;
                        running.push((breaker.begin(now), probe));
                    }
                }
                Move::End(_, _) if running.is_empty() => {}
                Move::End(which, verdict) => {
                    let (permit, _) = running.swap_remove(which % running.len());
                    breaker.report(permit, verdict, now);
                    if breaker.state(now) == State::Open && before != State::Open {
                        prop_assert_eq!(verdict, Verdict::Ill, "only a failure opens");
                    }
                }
                Move::Override(demand) => breaker.set_override(demand, now),
                Move::Policy(drawn) => {
                    let policy = drawn.map(|(failures, window, open_for, probes)| {
                        BreakerPolicy::new(failures, seconds(window), seconds(open_for), probes).expect("in range")
                    });
                    breaker.set_policy(policy, now);
                }
            }
            let view = breaker.view(now);
            prop_assert_eq!(view.state, breaker.state(now));
            prop_assert!(view.since <= now);
            if let Phase::Closed { failures } = &breaker.phase {
                prop_assert!(failures.len() < breaker.policy.map_or(1, |policy| policy.failures() as usize));
            }
            if let Some(at) = view.next_probe_at {
                prop_assert!(at > now && at - now <= seconds(20) * OPEN_FOR_FACTOR_MAX);
                breaker.clone().admits(at);
                prop_assert!(breaker.clone().admits(at), "its time comes");
            }
            if let (Override::Auto, Phase::HalfOpen(probing)) = (breaker.operator, &breaker.phase) {
                let of_wave = |permit: &Permit| permit.period == breaker.period && permit.wave == probing.wave;
                let probes = running.iter().filter(|(permit, probe)| *probe && of_wave(permit)).count();
                prop_assert!(probes <= breaker.probes() as usize, "{probes} probes at once");
                prop_assert!(breaker.clone().admits(now + probing.open_for), "half-open is never for ever");
            }
        }
    }
}

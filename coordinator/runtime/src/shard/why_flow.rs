//! Why a step that could run is not given to anybody: a breaker, a route, a canary, a drain.

use super::Shard;
use super::resident::Resident;
use super::routing::{bucket_of, offer};
use super::why::{Told, short};
use crate::operations::BreakerView;
use tasker_engine::workflow::Call;
use tasker_engine::{Namespace, StepIndex};
use tasker_registry::Session;
use tasker_scheduler::breaker::{Override, State};
use tasker_scheduler::route::{Offer, Rule, STICKY_PATIENCE, eligible, preferred};
use tasker_scheduler::{LaneId, Target};

/// The most workers that are named as not fitting a route.
const NAMED_MAX: usize = 3;

impl Shard {
    /// The lane in which a step or item waits; none if it asks no system, or no such step ever waited.
    pub(super) fn lane_of(&self, resident: &Resident, step: StepIndex) -> Option<LaneId> {
        self.scheduler.known_lane_of(resident.lane(step)?, resident.task.id, bucket_of(&resident.task, step))
    }

    /// What is told if a breaker holds the steps of a capability back.
    pub(super) fn why_held_back(&self, namespace: &Namespace, call: &Call) -> Option<Told> {
        let breaker = self.breaker_view(namespace, &call.system, &call.capability)?;
        let target = Target { namespace: namespace.clone(), system: call.system.clone(), capability: call.capability.clone() };
        let waiting = self.scheduler.waiting_for(&target);
        told_of_breaker(
            &breaker,
            call,
            waiting,
            self.clock.now().since(breaker.since),
            breaker.next_probe_at.map(|at| at.since(self.clock.now())),
        )
    }

    /// What is told if workers take work, but none of them may take this step, or the one it prefers is busy.
    pub(super) fn why_not_routed(&self, resident: &Resident, step: StepIndex, call: &Call, offering: &[&Session]) -> Option<Told> {
        let lane = self.lane_of(resident, step)?;
        let route = self.scheduler.name(lane).route.as_ref()?;
        let living: Vec<&Session> = offering.iter().copied().filter(|session| session.takes_work()).collect();
        let offers: Vec<Offer<'_>> = living.iter().map(|session| offer(session)).collect();
        let places = eligible(route, self.scheduler.canary_of(lane), &offers);
        if let (true, Some(rule)) = (places.is_empty(), &route.rule) {
            return Some(told_of_rule(rule, call, &living));
        }
        let favourite = living[preferred(route.bucket?, &offers, &places)?];
        if self.is_free(favourite, lane) {
            return None;
        }
        let text = format!(
            "waits for worker {}, which its sticky key prefers; it has no free slot, and after {} any other takes the step",
            favourite.key.session,
            short(STICKY_PATIENCE)
        );
        Some((text, Some("give the workers more slots, or start more of them".to_owned())))
    }
}

fn told_of_breaker(
    breaker: &BreakerView,
    call: &Call,
    waiting: usize,
    since: std::time::Duration,
    next_probe_in: Option<std::time::Duration>,
) -> Option<Told> {
    let (name, system) = (&call.capability, &call.system);
    let parked = match waiting {
        1 => "1 step is parked".to_owned(),
        more => format!("{more} steps are parked"),
    };
    match (breaker.state, breaker.operator) {
        (State::Closed, _) => None,
        (_, Override::Open) => {
            let text = format!("the breaker of `{name}` was opened by an operator {} ago; {parked}", short(since));
            Some((text, Some(format!("`tasker capability breaker {system} {name} auto` lets it follow its policy again"))))
        }
        (State::Open, _) => {
            let because = breaker.policy.map(|policy| format!(", after {} failures within {}", policy.failures(), short(policy.window())));
            let probe = next_probe_in.map(|left| format!("; next probe in {}", short(left)));
            let text = format!(
                "the breaker of `{name}` is open since {}{}{}; {parked}",
                short(since),
                because.unwrap_or_default(),
                probe.unwrap_or_default()
            );
            let hint = format!("repair `{system}`; `tasker capability breaker {system} {name} close` sends it everything at once");
            Some((text, Some(hint)))
        }
        (State::HalfOpen, _) => {
            let probes = breaker.policy.map_or(1, |policy| policy.probes());
            let text = format!(
                "the breaker of `{name}` is half-open since {}: it closes once {probes} of its probes succeeded; {parked}",
                short(since)
            );
            Some((text, Some(format!("`tasker capability show {system} {name}` shows how it stands"))))
        }
    }
}

fn told_of_rule(rule: &Rule, call: &Call, living: &[&Session]) -> Told {
    let described = living.iter().take(NAMED_MAX).map(|session| {
        let announced = &session.announcement;
        let version = Some(announced.system_version.as_str()).filter(|version| !version.is_empty()).unwrap_or("no version");
        let labels: Vec<String> = announced.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        [version.to_owned(), labels.join(" ")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    });
    let described = described.collect::<Vec<_>>().join("; ");
    let more = living.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let text = format!(
        "waits for a worker of `{}` with {rule}: {} offer `{}`, none of them is that ({described}{more})",
        call.system,
        living.len(),
        call.capability
    );
    (
        text,
        Some("start a worker that fits the step's `route`, or change the route; `tasker worker list` shows versions and labels".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tasker_engine::Timestamp;
    use tasker_engine::breaker_policy::BreakerPolicy;

    fn told(state: State, operator: Override, waiting: usize, next_probe_in: Option<u64>) -> Option<String> {
        let call = Call {
            system: "node_payments".parse().expect("valid"),
            capability: "payment.charge".parse().expect("valid"),
            route: None,
            limits: None,
        };
        let breaker = BreakerView {
            state,
            since: Timestamp::from_millis(0),
            failures: 0,
            next_probe_at: None,
            operator,
            opened: 1,
            policy: Some(BreakerPolicy::DEFAULT),
        };
        let probe = next_probe_in.map(Duration::from_secs);
        told_of_breaker(&breaker, &call, waiting, Duration::from_secs(3), probe).map(|(text, hint)| {
            assert!(hint.is_some_and(|hint| hint.contains("node_payments")), "every reason names a way on");
            text
        })
    }

    #[test]
    fn a_breaker_that_holds_back_is_named_with_the_next_probe_and_the_backlog() {
        let table = [
            (State::Closed, Override::Auto, None, None),
            (State::Closed, Override::Closed, None, None),
            (
                State::Open,
                Override::Auto,
                Some(7),
                Some(
                    "the breaker of `payment.charge` is open since 3.0 s, after 5 failures within 30.0 s; next probe in 7.0 s; 4 steps are parked",
                ),
            ),
            (
                State::HalfOpen,
                Override::Auto,
                None,
                Some(
                    "the breaker of `payment.charge` is half-open since 3.0 s: it closes once 1 of its probes succeeded; 4 steps are parked",
                ),
            ),
            (
                State::Open,
                Override::Open,
                None,
                Some("the breaker of `payment.charge` was opened by an operator 3.0 s ago; 4 steps are parked"),
            ),
        ];
        for (state, operator, probe, expected) in table {
            assert_eq!(told(state, operator, 4, probe).as_deref(), expected);
        }
        assert!(told(State::Open, Override::Auto, 1, None).is_some_and(|text| text.ends_with("1 step is parked")));
    }
}

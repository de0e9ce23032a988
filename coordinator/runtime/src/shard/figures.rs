//! The snapshot behind `/metrics`: the counts, and how things stand at this moment.
//!
//! A scrape asks the loop for it like any other question. It costs what is shown, not what is there: a walk over capabilities, systems and
//! sessions, never over the backlog.

use super::Shard;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::{Namespace, SystemName};
use tasker_registry::message::SessionState;
use tasker_telemetry::metric::{self, OTHER, SERIES_MAX};
use tasker_telemetry::reading::Readings;

/// The live workers of one system together.
#[derive(Default)]
struct Fleet {
    active: u64,
    draining: u64,
    withheld: u64,
    used: u64,
    free: u64,
}

impl Shard {
    pub(super) fn figures(&mut self) -> Readings {
        self.freshen_tally();
        let mut readings = Readings::default();
        self.counters.read(&mut readings);
        self.read_tasks(&mut readings);
        self.read_capabilities(&mut readings);
        self.read_workers(&mut readings);
        self.store.measure(&mut readings);
        readings.add(&metric::ATTEMPTS_OPEN, &[], self.attempts.len());
        readings.add(&metric::TIMERS_PENDING, &[], self.timers.len());
        readings.add(&metric::EVENTS_KEPT, &[], self.kept.len());
        for (code, count) in self.letters.figures() {
            readings.add(&metric::DEAD_LETTERS, &[&code], count);
        }
        readings
    }

    fn read_tasks(&self, readings: &mut Readings) {
        let tally = &self.tally;
        let running = (self.active() as u64).saturating_sub(tally.paused);
        readings.add(&metric::TASKS_ACTIVE, &["running"], running);
        readings.add(&metric::TASKS_ACTIVE, &["paused"], tally.paused);
        readings.add(&metric::TASKS_PLACE, &["memory"], self.residents.active());
        readings.add(&metric::TASKS_PLACE, &["asleep"], self.absent.asleep());
        readings.add(&metric::TASKS_PLACE, &["unread"], self.absent.unread());
        // What cannot be read waits for a person.
        readings.add(&metric::UNCOVERED_STEPS, &[], tally.uncovered + self.loads.damaged() as u64);
        for (wait, count) in tally.waits() {
            readings.add(&metric::STEPS_WAITING, &[wait], count);
        }
        readings.add(&metric::STEPS_HELD, &[], tally.held);
        for (by, count) in self.held_back() {
            readings.add(&metric::STEPS_HELD_BACK, &[by], count);
        }
        readings.add(&metric::TASKS_QUEUED, &[], self.turnstile.queued());
        readings.add(&metric::LIMIT_KEYS, &[], self.scheduler.gate_count());
        readings.add(&metric::WORKFLOWS_PAUSED, &[], self.pauses.len());
        readings.add(&metric::CHILDREN_OPEN, &[], tally.children);
        readings.add(&metric::CHILDREN_WAITING, &[], self.nursery.len());
    }

    /// What waits for each capability, for whom, and where its breaker stands. Capabilities beyond the cap are one.
    fn read_capabilities(&self, readings: &mut Readings) {
        let now = self.clock.now();
        for (number, (target, (waiting, oldest))) in self.scheduler.backlog().into_iter().enumerate() {
            let (namespace, system, capability) = (&target.namespace, &target.system, &target.capability);
            let known = number < SERIES_MAX;
            let labels = if known { [namespace.as_str(), system.as_str(), capability.as_str()] } else { [OTHER; 3] };
            readings.add(&metric::BACKLOG, &labels, waiting);
            readings.add(&metric::BACKLOG_OLDEST, &labels, oldest.map_or(Duration::ZERO, |since| now.since(since)).as_secs_f64());
            let located = self.registry.system(namespace, system).is_some_and(|system| system.base_url.is_some());
            let workers = self.registry.offering(namespace, system, capability).filter(|session| session.takes_work()).count();
            if known && (workers > 0 || !located) {
                readings.add(&metric::CAPABILITY_WORKERS, &labels, workers);
            }
        }
        for breaker in self.breaker_figures() {
            let labels = [breaker.target.namespace.as_str(), breaker.target.system.as_str(), breaker.target.capability.as_str()];
            readings.add(&metric::BREAKER_STATE, &labels, breaker.state.as_figure());
            readings.add(&metric::BREAKER_OPENED, &labels, breaker.opened);
        }
    }

    fn read_workers(&self, readings: &mut Readings) {
        let (uptime, lease) = (self.uptime(), self.settings.lease);
        let mut systems: BTreeMap<(&Namespace, &SystemName), Fleet> = BTreeMap::new();
        // Systems that have a worker no more show that they have none.
        for (namespace, system, _) in self.registry.systems() {
            systems.insert((namespace, system), Fleet::default());
        }
        for session in self.registry.sessions() {
            let fleet = systems.entry((&session.key.namespace, &session.key.system)).or_default();
            match (session.state, session.withheld) {
                (SessionState::Active, None) => fleet.active += 1,
                (SessionState::Active, Some(_)) => fleet.withheld += 1,
                (SessionState::Draining | SessionState::Left, _) => fleet.draining += 1,
            }
            fleet.used += self.slots_used(session);
            fleet.free += u64::from(session.available(uptime, lease));
        }
        for (number, ((namespace, system), fleet)) in systems.into_iter().enumerate() {
            let (namespace, system) = if number < SERIES_MAX { (namespace.as_str(), system.as_str()) } else { (OTHER, OTHER) };
            // There from the start, so that the first one that is lost is seen as a rise.
            readings.add(&metric::WORKERS_LOST, &[namespace, system], 0_u64);
            for (state, count) in [("active", fleet.active), ("draining", fleet.draining), ("withheld", fleet.withheld)] {
                readings.add(&metric::WORKERS, &[namespace, system, state], count);
            }
            for (state, count) in [("used", fleet.used), ("free", fleet.free)] {
                readings.add(&metric::WORKER_SLOTS, &[namespace, system, state], count);
            }
        }
    }
}

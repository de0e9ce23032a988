//! Taking times, where the loop passes by: how long steps wait, attempts run and answers take.

use super::Shard;
use std::time::Duration;
use tasker_engine::task::StepState;
use tasker_engine::{AttemptToken, StepIndex, TaskId};
use tasker_registry::SessionKey;
use tasker_scheduler::{LaneId, Waiting};

impl Shard {
    /// Takes in how long a step has waited that gets its attempt now. One that was withdrawn meanwhile gets none.
    pub(super) fn note_wait(&mut self, lane: LaneId, waiting: &Waiting) {
        let Some(resident) = self.residents.get(waiting.task) else { return };
        if resident.task.progress(waiting.step).state == (StepState::Ready { since: waiting.since }) {
            let waited = self.clock.now().since(waiting.since);
            self.counters.waited(lane, waited, |lane| self.scheduler.name(lane).target.clone());
        }
    }

    /// Takes in how long an attempt was open, before it is forgotten. One that was open when the coordinator started is not known to have
    /// begun then.
    pub(super) fn note_run(&mut self, id: TaskId, step: StepIndex, token: &AttemptToken) {
        let Some(open) = self.attempts.get(&token.0).filter(|open| open.sent_at > Duration::ZERO) else { return };
        let Some(lane) = self.residents.get(id).and_then(|resident| resident.lane(step)) else { return };
        let ran = self.uptime().saturating_sub(open.sent_at);
        self.counters.ran(lane, ran, |lane| self.scheduler.name(lane).target.clone());
    }

    /// Takes in by how much a worker's beat is later than it promised.
    pub(super) fn note_beat(&mut self, key: &SessionKey) {
        if let Some(session) = self.registry.session(key) {
            let silent = self.uptime().saturating_sub(session.heard_at);
            self.counters.heartbeat_lateness.observe_time(silent.saturating_sub(self.settings.heartbeat));
        }
    }

    /// Takes in how long it took from receiving replies to having sent what follows from them.
    pub(super) fn note_overhead(&mut self, answered: &[(Duration, u64)]) {
        let now = self.uptime();
        for (received_at, replies) in answered {
            self.counters.overhead.observe_many(now.saturating_sub(*received_at).as_secs_f64(), *replies);
        }
    }
}

//! From decisions to the group: the one place where a decision's events are given their place in the journal and its effects are sorted into
//! what happens in memory at once and what waits for the commit.

use super::Shard;
use super::attempts::Carrier;
use super::change::view;
use super::group::AfterCommit;
use super::routing::bucket_of;
use crate::operations::Committed;
use crate::port::store::JournalRow;
use std::cmp::Reverse;
use std::sync::Arc;
use tasker_engine::decide::{Decision, Effect, timer};
use tasker_engine::event::Target;
use tasker_engine::task::StepState;
use tasker_engine::{StepIndex, TaskId, Timestamp};
use tasker_registry::SessionKey;
use tasker_registry::message::{AttemptKey, Directive};
use tasker_scheduler::Waiting;

/// Who is asked by a decision that opens an attempt.
pub(super) enum Asked {
    Session(SessionKey),
    Responders,
}

impl Shard {
    /// Something that was waited for has come.
    pub(super) fn fire(&mut self, id: TaskId, step: Option<StepIndex>, now: Timestamp) {
        if step.is_some_and(|step| self.is_being_called(id, step)) {
            return;
        }
        let Some(resident) = self.residents.get_mut(id) else { return };
        let decision = match step {
            Some(step) => timer::step_timer(&mut resident.task, step, now),
            None => timer::task_timer(&mut resident.task, now),
        };
        self.record(id, decision, None);
    }

    /// Whether an attempt that was opened for plain responders is being worked on, by them or by a worker that joined since: then the limit of
    /// that work holds, not the waiting timeout.
    fn is_being_called(&self, id: TaskId, step: StepIndex) -> bool {
        let open = self.residents.get(id).and_then(|resident| resident.task.open_attempt(step));
        let Some(open) = open.filter(|open| open.target == Target::Responders) else { return false };
        self.attempts.get(&open.token.0).is_some_and(|known| known.carrier != Carrier::Parked)
    }

    /// Takes a decision into the group.
    pub(super) fn record(&mut self, id: TaskId, decision: Decision, asked: Option<Asked>) {
        if let Some(entry) = decision.entry {
            let entry = Arc::new(entry);
            self.last += 1;
            let Some(resident) = self.residents.get_mut(id) else { return };
            let previous = std::mem::replace(&mut resident.last, self.last);
            self.counters.count(&entry.events);
            self.projection.touch(id);
            self.group.batch.journal.push(JournalRow { sequence: self.last, previous, entry: entry.clone() });
            self.group.then(AfterCommit::Tell(Committed { task: id, entry }));
        }
        for effect in decision.effects {
            self.effect(id, effect, asked.as_ref());
        }
    }

    pub(super) fn effect(&mut self, id: TaskId, effect: Effect, asked: Option<&Asked>) {
        match effect {
            Effect::Enqueue { step } => {
                let Some(resident) = self.residents.get(id) else { return };
                let StepState::Ready { since } = resident.task.progress(step).state else { return };
                let waiting = Waiting { task: id, step, since };
                let returned = !resident.task.progress(step).closed.is_empty();
                let (Some(lane), bucket) = (resident.lane(step), bucket_of(&resident.task, step)) else { return };
                let lane = self.scheduler.lane_of(lane, id, bucket);
                self.scheduler.enqueue(lane, waiting, returned);
            }
            Effect::SetStepTimer { step, due } => self.timers.push(Reverse((due, id, Some(step)))),
            Effect::SetTaskTimer { due } => self.timers.push(Reverse((due, id, None))),
            Effect::Ask { step, input, dependencies } => match asked {
                Some(Asked::Session(session)) => self.ask_session(id, step, &session.clone(), input, dependencies),
                Some(Asked::Responders) => self.ask_responders(id, step, input),
                None => {}
            },
            Effect::CancelAttempt { step, attempt, token, target, reason } => {
                let carrier = self.attempts.get(&token.0).map(|open| open.carrier.clone());
                if let (Some(Carrier::Session(session, _)), Some(resident)) = (carrier, self.residents.get(id)) {
                    let attempt = AttemptKey { task: id, step: resident.task.label(step), attempt, token };
                    self.group.direct(&session, Directive::Cancel { attempt, reason });
                }
                let _ = target;
            }
            Effect::AttemptClosed { step, token, .. } => {
                self.attempts.remove(&token.0);
                self.report_health(id, step, token);
                if let Some(resident) = self.residents.get_mut(id) {
                    resident.progress.remove(&step);
                }
            }
            Effect::StartChild { .. } | Effect::Listen { .. } | Effect::PauseChild { .. } => {}
            Effect::Finished => self.finished(id),
        }
    }

    fn finished(&mut self, id: TaskId) {
        self.residents.finish(id);
        let Some(resident) = self.residents.get(id) else { return };
        *self.counters.tasks_finished.entry(resident.task.status.as_str()).or_default() += 1;
        let view = view(resident);
        for waiter in self.waiters.remove(&id).unwrap_or_default() {
            self.answer(waiter, Ok(Some(view.clone())));
        }
    }
}

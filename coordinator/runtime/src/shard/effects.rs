//! From decisions to the group: the one place where a decision's events are given their place in the journal and its effects are sorted into
//! what happens in memory at once and what waits for the commit.
//!
//! An effect may lead to another decision, of the same task or of another: a child that ends lets its parent go on. Effects are carried out
//! from a queue, so that a tree of tasks needs no stack.

use super::Shard;
use super::attempts::Carrier;
use super::group::AfterCommit;
use super::routing::bucket_of;
use crate::operations::Committed;
use crate::port::store::JournalRow;
use std::collections::VecDeque;
use std::sync::Arc;
use tasker_engine::decide::{Decision, Effect, timer};
use tasker_engine::event::Target;
use tasker_engine::task::StepState;
use tasker_engine::{StepIndex, TaskId, Timestamp};
use tasker_registry::SessionKey;
use tasker_registry::message::{AttemptKey, Directive};
use tasker_scheduler::Waiting;

/// Who is asked by a decision that opens an attempt.
#[derive(Clone)]
pub(super) enum Asked {
    Session(SessionKey),
    Responders,
    Http,
}

/// Effects that have not been carried out yet.
#[derive(Default)]
pub(super) struct Effects {
    queue: VecDeque<(TaskId, Effect, Option<Asked>)>,
    /// Whether somebody further up the stack carries them out.
    running: bool,
}

impl Shard {
    /// Something that was waited for has come.
    pub(super) fn fire(&mut self, id: TaskId, step: Option<StepIndex>, now: Timestamp) {
        if step.is_some_and(|step| self.is_being_called(id, step)) {
            return;
        }
        self.settle_pause(id);
        let Some(resident) = self.residents.get_mut(id) else { return };
        let decision = match step {
            Some(step) => timer::step_timer(&mut resident.task, step, now),
            None => timer::task_timer(&mut resident.task, now),
        };
        self.record(id, decision, None);
    }

    /// Whether an attempt that was opened for plain responders or for HTTP is being worked on, by whom it was opened for or by a worker that
    /// joined since: then the limit of that work holds, not the waiting timeout.
    fn is_being_called(&self, id: TaskId, step: StepIndex) -> bool {
        let open = self.residents.get(id).and_then(|resident| resident.task.open_attempt(step));
        let Some(open) = open.filter(|open| matches!(open.target, Target::Responders | Target::Http)) else { return false };
        self.attempts.get(&open.token.0).is_some_and(|known| known.carrier != Carrier::Parked)
    }

    /// Takes a decision into the group, and whatever follows from it.
    pub(super) fn record(&mut self, id: TaskId, decision: Decision, asked: Option<Asked>) {
        if let Some(entry) = decision.entry {
            let entry = Arc::new(entry);
            self.last += 1;
            let Some(resident) = self.residents.get_mut(id) else { return };
            let previous = std::mem::replace(&mut resident.last, self.last);
            let target = |lane| self.scheduler.name(lane).target.clone();
            self.counters.count(&resident.task, &entry, |step| resident.lane(step), target);
            resident.note(&entry);
            self.waits.note(&resident.task, &entry.events);
            self.projection.touch(id);
            self.group.batch.journal.push(JournalRow { sequence: self.last, previous, entry: entry.clone() });
            self.group.then(AfterCommit::Tell(Committed { task: id, entry }));
        }
        self.follow(id, decision.effects, asked);
    }

    /// Carries out effects, and those that follow from them.
    pub(super) fn follow(&mut self, id: TaskId, effects: Vec<Effect>, asked: Option<Asked>) {
        self.effects.queue.extend(effects.into_iter().map(|effect| (id, effect, asked.clone())));
        if self.effects.running {
            return;
        }
        self.effects.running = true;
        while let Some((id, effect, asked)) = self.effects.queue.pop_front() {
            self.effect(id, effect, asked);
        }
        self.effects.running = false;
    }

    fn effect(&mut self, id: TaskId, effect: Effect, asked: Option<Asked>) {
        match effect {
            Effect::Enqueue { step } => {
                let Some(resident) = self.residents.get(id) else { return };
                let StepState::Ready { since } = resident.task.progress(step).state else { return };
                let waiting = Waiting { task: id, step, since };
                let (Some(lane), bucket) = (resident.lane(step), bucket_of(&resident.task, step)) else { return };
                let lane = self.scheduler.lane_of(lane, id, bucket);
                self.enqueue(lane, waiting);
            }
            Effect::StartChild { step } => self.await_child(id, step),
            Effect::Listen { step, name, key } => self.listen(id, step, name, key),
            // The parent has changed already; what that means for the child is read from it.
            Effect::PauseChild { child, .. } => self.settle_pause(child),
            Effect::SetStepTimer { step, due } => self.timers.set(due, id, Some(step)),
            Effect::SetTaskTimer { due } => self.timers.set(due, id, None),
            Effect::Ask { step, input, dependencies } => match asked {
                Some(Asked::Session(session)) => self.ask_session(id, step, &session, input, dependencies),
                Some(Asked::Responders) => self.ask_responders(id, step, input),
                Some(Asked::Http) => self.ask_http(id, step, input),
                None => {}
            },
            Effect::CancelAttempt { step, attempt, token, target, reason } => match target {
                Target::Child(child) => self.give_up_child(id, child, &reason),
                Target::Session(_) | Target::Responders | Target::Http => {
                    let carrier = self.attempts.get(&token.0).map(|open| open.carrier.clone());
                    if let (Some(Carrier::Session(session, _)), Some(resident)) = (carrier, self.residents.get(id)) {
                        let attempt = AttemptKey { task: id, step: resident.task.label(step), attempt, token };
                        self.group.direct(&session, Directive::Cancel { attempt, reason });
                    }
                }
            },
            Effect::AttemptClosed { step, token, .. } => {
                self.note_run(id, step, &token);
                if self.attempts.remove(&token.0).is_some() {
                    self.closed(id, step, token);
                }
                self.responders.forget(&token.0);
                self.http.forget(&token.0);
                self.report_health(id, step, token);
                if let Some(resident) = self.residents.get_mut(id) {
                    resident.progress.remove(&step);
                }
            }
            Effect::Finished => self.finished(id),
        }
    }

    fn finished(&mut self, id: TaskId) {
        self.residents.finish(id);
        let Some(resident) = self.residents.get(id) else { return };
        self.counters.finished(&resident.task);
        if let Some(waiters) = self.waiters.remove(&id) {
            let view = self.view(resident);
            for waiter in waiters {
                self.answer(waiter, Ok(Some(view.clone())));
            }
        }
        self.open_letter(id);
        self.uncounted(id);
        self.tell_parent(id);
    }
}

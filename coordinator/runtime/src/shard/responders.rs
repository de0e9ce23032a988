//! Plain responders: whether somebody is there is only known by asking.
//!
//! While nobody answers, one attempt per lane is open and *parked*; it is asked again from time to time, with growing pauses, and is
//! handed to the first worker that joins. No attempt is burnt by waiting.

use super::Shard;
use super::attempts::{Carrier, TokenKey};
use super::inbound::late_outcome;
use crate::operations::now;
use crate::port::bus::{Answer, CallOutcome};
use crate::settings::CALLS_PER_LANE;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tasker_engine::AttemptToken;
use tasker_engine::decide::Effect;
use tasker_engine::decide::dispatch::{ask_again, responder_timeout};
use tasker_engine::decide::lost::no_answer;
use tasker_engine::decide::reply::Outcome;
use tasker_registry::message::{AttemptKey, Directive};
use tasker_scheduler::LaneId;

/// Pauses between questions while nobody is there.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is known about each lane's plain responders.
#[derive(Default)]
pub(super) struct Responders {
    lanes: BTreeMap<LaneId, LaneState>,
    /// Attempts that were handed to workers, and until when they may run, as time since the start.
    handed_over: BTreeMap<TokenKey, Duration>,
}

#[derive(Default)]
struct LaneState {
    /// Whether the last call found somebody.
    there: bool,
    /// Calls whose answer has not come.
    calls: usize,
    /// Attempts that found nobody.
    parked: VecDeque<TokenKey>,
    /// Not asked again before this.
    retry_at: Duration,
    pause: Duration,
}

impl Responders {
    /// Whether one more call may be made.
    pub fn may_call(&mut self, lane: LaneId, uptime: Duration) -> bool {
        let state = self.lanes.entry(lane).or_default();
        if state.there { state.calls < CALLS_PER_LANE } else { state.calls == 0 && state.parked.is_empty() && uptime >= state.retry_at }
    }

    pub fn called(&mut self, lane: LaneId) {
        self.lanes.entry(lane).or_default().calls += 1;
    }

    fn answered(&mut self, lane: LaneId, found: Option<bool>) {
        let state = self.lanes.entry(lane).or_default();
        state.calls = state.calls.saturating_sub(1);
        if let Some(there) = found {
            state.there = there;
        }
        if state.there {
            state.pause = Duration::ZERO;
        }
    }

    pub fn park(&mut self, lane: LaneId, token: TokenKey, uptime: Duration) {
        let state = self.lanes.entry(lane).or_default();
        state.parked.push_back(token);
        state.pause = (state.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
        state.retry_at = uptime + state.pause;
    }

    pub fn hand_over(&mut self, token: TokenKey, until: Duration) {
        self.handed_over.insert(token, until);
    }

    /// The handed-over attempts whose time is up.
    fn overdue(&mut self, uptime: Duration) -> Vec<TokenKey> {
        let due: Vec<TokenKey> = self.handed_over.iter().filter(|(_, until)| **until <= uptime).map(|(token, _)| *token).collect();
        self.handed_over.retain(|_, until| *until > uptime);
        due
    }

    pub fn lanes_with_parked(&self) -> Vec<LaneId> {
        self.lanes.iter().filter(|(_, state)| !state.parked.is_empty()).map(|(lane, _)| *lane).collect()
    }

    pub fn first_parked(&self, lane: LaneId) -> Option<TokenKey> {
        self.lanes.get(&lane)?.parked.front().copied()
    }

    pub fn unpark(&mut self, lane: LaneId) -> Option<TokenKey> {
        self.lanes.get_mut(&lane)?.parked.pop_front()
    }

    /// How long ago nobody was there, for people; none if nobody was ever looked for or somebody is there.
    pub fn missing_since(&self, lane: LaneId) -> bool {
        self.lanes.get(&lane).is_some_and(|state| !state.there && !state.parked.is_empty())
    }
}

impl Shard {
    /// The answer to a call, or that there was none.
    pub(super) fn take_answer(&mut self, answer: Answer) {
        let key = answer.call;
        let open = self.attempts.get(&key.token.0).cloned();
        let lane = self.residents.get(key.task).and_then(|resident| {
            let step = resident.task.find(&key.step)?;
            Some((step, resident.lane(step)?))
        });
        let Some((step, lane)) = lane else { return };
        match answer.outcome {
            CallOutcome::NoResponders => {
                self.responders.answered(lane, Some(false));
                if let Some(open) = open {
                    let uptime = self.uptime();
                    self.attempts.put(key.token.0, super::attempts::Open { carrier: Carrier::Parked, ..open });
                    self.responders.park(lane, key.token.0, uptime);
                    self.fire(key.task, Some(step), now());
                }
            }
            CallOutcome::NoAnswer => {
                self.responders.answered(lane, None);
                let Some(resident) = self.residents.get_mut(key.task) else { return };
                let limit = responder_timeout(resident.task.definition(step).timeouts.running);
                let decision = no_answer(&mut resident.task, step, key.token, limit, now());
                self.record(key.task, decision, None);
            }
            CallOutcome::Succeeded(result) => {
                self.responders.answered(lane, Some(true));
                self.take_outcome(key.task, step, key.attempt, key.token, Outcome::Succeeded(result));
            }
            CallOutcome::Failed(failure) => {
                self.responders.answered(lane, Some(true));
                self.take_outcome(key.task, step, key.attempt, key.token, Outcome::Failed(failure));
            }
        }
    }

    fn take_outcome(
        &mut self,
        task: tasker_engine::TaskId,
        step: tasker_engine::StepIndex,
        attempt: tasker_engine::AttemptNumber,
        token: tasker_engine::AttemptToken,
        outcome: Outcome,
    ) {
        let Some(resident) = self.residents.get_mut(task) else { return };
        let reply = tasker_engine::decide::reply::Reply { step, attempt, token, outcome };
        let (disposition, decision) = tasker_engine::decide::reply::reply(&mut resident.task, &reply, None, now());
        self.counters.reply(late_outcome(disposition));
        self.record(task, decision, None);
    }

    /// Asks again where nobody was there: one attempt per lane, and all of them once somebody is.
    pub(super) fn retry_calls(&mut self) {
        if self.draining.is_some() {
            return;
        }
        let uptime = self.uptime();
        for token in self.responders.overdue(uptime) {
            self.end_overdue(token);
        }
        for lane in self.responders.lanes_with_parked() {
            let ask_all = self.responders.lanes.get(&lane).is_some_and(|state| state.there);
            let due = self.responders.lanes.get(&lane).is_some_and(|state| uptime >= state.retry_at && state.calls == 0);
            if (!ask_all && !due) || self.is_held_back(lane) {
                continue;
            }
            while let Some(token) = self.responders.unpark(lane) {
                let parked = self.attempts.get(&token).filter(|open| open.carrier == Carrier::Parked).cloned();
                let Some(open) = parked else { continue };
                let Some(resident) = self.residents.get(open.task) else { continue };
                if let Some(Effect::Ask { input, .. }) = ask_again(&resident.task, open.step) {
                    self.ask_responders(open.task, open.step, input);
                }
                if !ask_all {
                    break;
                }
            }
        }
    }

    /// A worker took over an attempt from absent responders and did not answer in time.
    fn end_overdue(&mut self, token: TokenKey) {
        let Some(open) = self.attempts.get(&token).cloned() else { return };
        let Some(resident) = self.residents.get_mut(open.task) else { return };
        let limit = responder_timeout(resident.task.definition(open.step).timeouts.running);
        let attempt = resident.task.open_attempt(open.step).map(|known| AttemptKey {
            task: open.task,
            step: resident.task.label(open.step),
            attempt: known.attempt,
            token: known.token,
        });
        let decision = no_answer(&mut resident.task, open.step, AttemptToken(token), limit, now());
        if let (Carrier::Session(session, _), Some(attempt)) = (&open.carrier, attempt) {
            let reason = "the attempt ran out of time".to_owned();
            self.group.direct(session, Directive::Cancel { attempt, reason });
        }
        self.record(open.task, decision, None);
    }
}

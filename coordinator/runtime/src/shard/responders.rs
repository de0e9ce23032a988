//! Plain responders: whether somebody is there is only known by asking ([`super::reach`]).
//!
//! An attempt that found nobody is asked again from time to time, and is handed to the first worker that joins.

use super::Shard;
use super::attempts::{Carrier, TokenKey};
use super::inbound::late_outcome;
use crate::port::bus::{Answer, CallOutcome};
use std::time::Duration;
use tasker_engine::AttemptToken;
use tasker_engine::decide::Effect;
use tasker_engine::decide::dispatch::{ask_again, responder_timeout};
use tasker_engine::decide::lost::no_answer;
use tasker_engine::decide::reply::Outcome;
use tasker_registry::message::{AttemptKey, Directive};

impl Shard {
    /// The answer to a call, or that there was none.
    pub(super) fn take_answer(&mut self, answer: Answer) {
        let (key, uptime) = (answer.call, self.uptime());
        let nobody = matches!(answer.outcome, CallOutcome::NoResponders | CallOutcome::NoAnswer);
        if nobody && !self.responders.is_called(&key.token.0) {
            // The bus was lost meanwhile, and the attempt has been asked for again, or a worker has it.
            return;
        }
        let open = self.attempts.get(&key.token.0).cloned();
        let found = match &answer.outcome {
            CallOutcome::Succeeded(_) | CallOutcome::Failed(_) => Some(true),
            CallOutcome::NoResponders => Some(false),
            CallOutcome::NoAnswer => None,
        };
        self.responders.answered(&key.token.0, found, uptime);
        let lane = self.residents.get(key.task).and_then(|resident| {
            let step = resident.task.find(&key.step)?;
            Some((step, resident.lane(step)?))
        });
        let Some((step, lane)) = lane else { return };
        match answer.outcome {
            CallOutcome::NoResponders => {
                if let Some(open) = open {
                    self.attempts.put(key.token.0, super::attempts::Open { carrier: Carrier::Parked, ..open });
                    self.responders.park(lane, key.token.0, uptime);
                    self.fire(key.task, Some(step), self.clock.now());
                }
            }
            CallOutcome::NoAnswer => {
                let Some(resident) = self.residents.get_mut(key.task) else { return };
                let limit = responder_timeout(resident.task.definition(step).timeouts.running);
                let decision = no_answer(&mut resident.task, step, key.token, limit, self.clock.now());
                self.record(key.task, decision, None);
            }
            CallOutcome::Succeeded(result) => self.take_outcome(key.task, step, key.attempt, key.token, Outcome::Succeeded(result)),
            CallOutcome::Failed(failure) => self.take_outcome(key.task, step, key.attempt, key.token, Outcome::Failed(failure)),
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
        let (disposition, decision) = tasker_engine::decide::reply::reply(&mut resident.task, &reply, None, self.clock.now());
        self.counters.reply(late_outcome(disposition));
        self.record(task, decision, None);
    }

    /// After the bus was lost: whoever was asked may never have heard, or their answer was lost. The same attempts are asked for again, of
    /// workers if there are any by now, instead of waiting for their time limits. Who did hear may do it twice, and one result counts.
    pub(super) fn ask_interrupted_again(&mut self) {
        let uptime = self.uptime();
        for (token, lane) in self.responders.interrupted() {
            let Some(open) = self.attempts.get(&token).filter(|open| open.carrier == Carrier::Called).cloned() else { continue };
            self.attempts.put(token, super::attempts::Open { carrier: Carrier::Parked, ..open });
            self.responders.park(lane, token, uptime);
        }
    }

    /// Asks again where nobody was there: one attempt per lane, and all of them once somebody is.
    pub(super) fn retry_calls(&mut self) {
        if self.draining.is_some() {
            return;
        }
        let uptime = self.uptime();
        for (token, limit) in self.responders.overdue(uptime) {
            self.end_overdue(token, limit);
        }
        for lane in self.responders.lanes_with_parked() {
            if self.goes_over_http(lane) {
                self.over_to_http(lane);
                continue;
            }
            if self.is_held_back(lane) {
                continue;
            }
            for _ in 0..self.responders.due(lane, uptime) {
                let Some(token) = self.responders.unpark(lane) else { break };
                let parked = self.attempts.get(&token).filter(|open| open.carrier == Carrier::Parked).cloned();
                let Some(open) = parked else { continue };
                let Some(resident) = self.residents.get(open.task) else { continue };
                if let Some(Effect::Ask { input, .. }) = ask_again(&resident.task, open.step) {
                    self.ask_responders(open.task, open.step, input);
                }
            }
        }
    }

    /// A worker took over an attempt from absent responders and did not answer in time.
    fn end_overdue(&mut self, token: TokenKey, limit: Duration) {
        let Some(open) = self.attempts.get(&token).cloned() else { return };
        let Some(resident) = self.residents.get_mut(open.task) else { return };
        let attempt = resident.task.open_attempt(open.step).map(|known| AttemptKey {
            task: open.task,
            step: resident.task.label(open.step),
            attempt: known.attempt,
            token: known.token,
        });
        let decision = no_answer(&mut resident.task, open.step, AttemptToken(token), limit, self.clock.now());
        if let (Carrier::Session(session, _), Some(attempt)) = (&open.carrier, attempt) {
            let reason = "the attempt ran out of time".to_owned();
            self.group.direct(session, Directive::Cancel { attempt, reason });
        }
        self.record(open.task, decision, None);
    }
}

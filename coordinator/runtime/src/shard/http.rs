//! Systems over HTTP: which ones, when, and what their answers mean for the attempt.
//!
//! The bookkeeping is that of plain responders ([`super::reach`]). What is different: whether a system is reached over HTTP follows from what
//! its manifest says, an answer may come later as a callback, and a system that is known to be unhealthy is not asked.

use super::Shard;
use super::attempts::{Carrier, Open, TokenKey};
use super::effects::Asked;
use super::group::AfterCommit;
use super::inbound::late_outcome;
use crate::operations::CallbackError;
use crate::port::bus::CallKey;
use crate::port::egress::{Health, HealthState, HttpAnswer, HttpCall, HttpOutcome, ProbeTarget};
use crate::trace::context_of_attempt;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::decide::Effect;
use tasker_engine::decide::dispatch::{Assignment, ask_again, dispatch, http_timeout};
use tasker_engine::decide::lost::no_answer;
use tasker_engine::decide::reply::{Disposition, Outcome, Reply, reply};
use tasker_engine::event::Target;
use tasker_engine::transport::{HttpRoute, Transport};
use tasker_engine::workflow::Call;
use tasker_engine::{AttemptToken, CapabilityName, Namespace, Payload, StepIndex, SystemName, TaskId};
use tasker_scheduler::LaneId;

/// How long nobody must have answered on the bus before a system that may be reached either way is called over HTTP.
const BUS_SILENCE: Duration = Duration::from_secs(10);

/// What manifests say about reaching systems over HTTP; where they are is known to the registry.
#[derive(Default)]
pub(super) struct Manners {
    transports: BTreeMap<(Namespace, SystemName), Transport>,
    routes: BTreeMap<(Namespace, SystemName, CapabilityName), HttpRoute>,
}

impl Manners {
    /// Takes in what a manifest says. One that names the system without saying where it is or how it is reached changes nothing: it only uses it.
    pub fn learn(&mut self, namespace: &Namespace, declared: &tasker_manifest::DeclaredSystem) {
        let system = (namespace.clone(), declared.name.clone());
        if declared.base_url.is_some() || declared.transport != Transport::Auto {
            self.transports.insert(system, declared.transport);
        }
        for capability in &declared.capabilities {
            if let Some(route) = &capability.http {
                self.routes.insert((namespace.clone(), declared.name.clone(), capability.name.clone()), route.clone());
            }
        }
    }

    pub fn transport(&self, namespace: &Namespace, system: &SystemName) -> Transport {
        self.transports.get(&(namespace.clone(), system.clone())).copied().unwrap_or_default()
    }

    fn route(&self, namespace: &Namespace, system: &SystemName, capability: &CapabilityName) -> HttpRoute {
        let declared = self.routes.get(&(namespace.clone(), system.clone(), capability.clone()));
        declared.cloned().unwrap_or_else(|| HttpRoute::default_of(capability))
    }
}

impl Shard {
    /// Whether steps of the lane go over HTTP now.
    pub(super) fn goes_over_http(&self, lane: LaneId) -> bool {
        let target = &self.scheduler.name(lane).target;
        if self.registry.system(&target.namespace, &target.system).is_none_or(|system| system.base_url.is_none()) {
            return false;
        }
        match self.manners.transport(&target.namespace, &target.system) {
            Transport::Bus => false,
            Transport::Http => true,
            Transport::Auto => {
                let silent = self.responders.absent_for(self.scheduler.base(lane), self.uptime());
                let has_worker = || {
                    self.registry.sessions().any(|session| session.key.system == target.system && session.key.namespace == target.namespace)
                };
                silent.is_some_and(|silent| silent >= BUS_SILENCE) && !has_worker()
            }
        }
    }

    /// Whether an attempt that was opened for HTTP, perhaps before a restart, may go there again.
    fn may_stay_on_http(&self, lane: LaneId) -> bool {
        let target = &self.scheduler.name(lane).target;
        let is_located = self.registry.system(&target.namespace, &target.system).is_some_and(|system| system.base_url.is_some());
        is_located
            && match self.manners.transport(&target.namespace, &target.system) {
                Transport::Bus => false,
                Transport::Http => true,
                Transport::Auto => !self.is_offered(lane),
            }
    }

    /// What is known about the health of the system that the lane asks.
    pub(super) fn health_of(&self, lane: LaneId) -> Health {
        let target = &self.scheduler.name(lane).target;
        self.egress.health(&target.namespace, &target.system)
    }

    fn is_unhealthy(&self, lane: LaneId) -> bool {
        self.health_of(lane).state == HealthState::Unhealthy
    }

    /// Gives one step of the lane to its system over HTTP. False if nothing more can be given from this lane now.
    pub(super) fn give_to_http(&mut self, lane: LaneId) -> bool {
        // A system over HTTP announces neither build nor labels, so it cannot be what a route demands.
        let demanding = self.scheduler.name(lane).route.as_ref().is_some_and(|route| route.is_demanding());
        if demanding || !self.http.may_call(self.scheduler.base(lane), self.uptime()) || self.is_unhealthy(lane) {
            return false;
        }
        let Some(taken) = self.take_step(lane) else { return false };
        let waiting = taken.waiting;
        let assignment = Assignment { token: AttemptToken(self.chance.draw()), target: Target::Http, contract: None };
        let Some(resident) = self.residents.get_mut(waiting.task) else {
            self.scheduler.give_back(&taken, self.uptime());
            return true;
        };
        let decision = dispatch(&mut resident.task, waiting.step, &assignment, self.clock.now());
        self.opened(&taken, assignment.token, &decision);
        self.permit(lane, assignment.token, &decision);
        self.record(waiting.task, decision, Some(Asked::Http));
        true
    }

    /// Calls a system over HTTP for an open attempt.
    pub(super) fn ask_http(&mut self, id: TaskId, step: StepIndex, input: Payload) {
        let uptime = self.uptime();
        let Some(resident) = self.residents.get(id) else { return };
        let task = &resident.task;
        let (Some(open), Some(asked), Some(lane)) = (task.open_attempt(step), task.definition(step).call(), resident.lane(step)) else {
            return;
        };
        let namespace = &task.workflow.namespace;
        let base_url = self.registry.system(namespace, &asked.system).and_then(|system| system.base_url.clone());
        let call = HttpCall {
            namespace: namespace.clone(),
            system: asked.system.clone(),
            capability: asked.capability.clone(),
            key: CallKey { task: id, step: task.label(step), attempt: open.attempt, token: open.token },
            // A system that nobody located is not asked over HTTP; an empty URL would be refused with a code that says so.
            base_url: base_url.unwrap_or_default(),
            route: self.manners.route(namespace, &asked.system, &asked.capability),
            input,
            idempotency_key: task.idempotency_key(step),
            timeout: http_timeout(task.definition(step).timeouts.running),
            trace: context_of_attempt(task, step, open.attempt),
        };
        self.http.called(lane, open.token.0);
        self.attempts.put(open.token.0, Open { task: id, step, carrier: Carrier::Called, sent_at: uptime });
        self.group.then(AfterCommit::CallHttp(Box::new(call)));
    }

    /// How long a call over HTTP and its callback may take together.
    fn http_limit(&self, id: TaskId, step: StepIndex) -> Duration {
        http_timeout(self.residents.get(id).and_then(|resident| resident.task.definition(step).timeouts.running))
    }

    /// What came of a call.
    pub(super) fn take_http_answer(&mut self, answer: HttpAnswer) {
        let (key, uptime) = (answer.call, self.uptime());
        let found = match &answer.outcome {
            HttpOutcome::Succeeded(_) | HttpOutcome::Failed(_) | HttpOutcome::Accepted => Some(true),
            HttpOutcome::Unreachable { .. } => Some(false),
            HttpOutcome::TimedOut => None,
        };
        self.http.answered(&key.token.0, found, uptime);
        let Some(step) = self.residents.get(key.task).and_then(|resident| resident.task.find(&key.step)) else { return };
        match answer.outcome {
            HttpOutcome::Succeeded(result) => {
                self.take_http_outcome(&key, step, Outcome::Succeeded(result));
            }
            HttpOutcome::Failed(failure) => {
                self.take_http_outcome(&key, step, Outcome::Failed(failure));
            }
            HttpOutcome::Accepted => {
                let limit = self.http_limit(key.task, step);
                // The callback may have been faster than the answer 202; then the attempt is over.
                if let Some(open) = self.attempts.get(&key.token.0).cloned() {
                    self.http.limit(key.token.0, open.sent_at, limit);
                    self.attempts.put(key.token.0, Open { carrier: Carrier::Accepted, ..open });
                }
            }
            HttpOutcome::Unreachable { reason } => {
                let lane = self.residents.get(key.task).and_then(|resident| resident.lane(step));
                if let (Some(open), Some(lane)) = (self.attempts.get(&key.token.0).cloned(), lane) {
                    tracing::debug!(task_id = %key.task, step = %key.step, reason, "system not reached over HTTP");
                    self.http.because(lane, reason);
                    self.http.park(lane, key.token.0, uptime);
                    self.attempts.put(key.token.0, Open { carrier: Carrier::Parked, ..open });
                    self.fire(key.task, Some(step), self.clock.now());
                }
            }
            HttpOutcome::TimedOut => {
                let limit = self.http_limit(key.task, step);
                let Some(resident) = self.residents.get_mut(key.task) else { return };
                let decision = no_answer(&mut resident.task, step, key.token, limit, self.clock.now());
                self.record(key.task, decision, None);
            }
        }
    }

    fn take_http_outcome(&mut self, key: &CallKey, step: StepIndex, outcome: Outcome) -> Disposition {
        let Some(resident) = self.residents.get_mut(key.task) else { return Disposition::Stale };
        let input = Reply { step, attempt: key.attempt, token: key.token, outcome };
        let (disposition, decision) = reply(&mut resident.task, &input, None, self.clock.now());
        self.counters.reply(late_outcome(disposition));
        self.record(key.task, decision, None);
        disposition
    }

    /// A system finishes what it has accepted. Its token was believed at the door; whether the attempt is still open is seen here.
    pub(super) fn take_callback(&mut self, answer: HttpAnswer) -> Result<Disposition, CallbackError> {
        let key = answer.call;
        let step = self.residents.get(key.task).and_then(|resident| resident.task.find(&key.step)).ok_or(CallbackError::Forgotten)?;
        let outcome = match answer.outcome {
            HttpOutcome::Succeeded(result) => Outcome::Succeeded(result),
            HttpOutcome::Failed(failure) => Outcome::Failed(failure),
            HttpOutcome::Accepted | HttpOutcome::Unreachable { .. } | HttpOutcome::TimedOut => return Err(CallbackError::Forgotten),
        };
        match self.take_http_outcome(&key, step, outcome) {
            disposition @ (Disposition::Recorded | Disposition::Repeated) => Ok(disposition),
            Disposition::Stale => Err(CallbackError::Stale),
            Disposition::Conflicting => Err(CallbackError::Conflicting),
            // The token in the URL was ours, so the attempt existed; its task was folded anew without it.
            Disposition::Forged => Err(CallbackError::Forgotten),
        }
    }

    /// Asks again where nobody was there, and ends what was accepted and never finished.
    pub(super) fn retry_http(&mut self) {
        let uptime = self.uptime();
        for (token, limit) in self.http.overdue(uptime) {
            let Some(open) = self.attempts.get(&token).filter(|open| open.carrier == Carrier::Accepted).cloned() else { continue };
            let Some(resident) = self.residents.get_mut(open.task) else { continue };
            let decision = no_answer(&mut resident.task, open.step, AttemptToken(token), limit, self.clock.now());
            self.record(open.task, decision, None);
        }
        for lane in self.http.lanes_with_parked() {
            if !self.may_stay_on_http(lane) {
                self.back_to_the_bus(lane);
                continue;
            }
            if self.is_held_back(lane) || self.is_unhealthy(lane) {
                continue;
            }
            for _ in 0..self.http.due(lane, uptime) {
                let Some(token) = self.http.unpark(lane) else { break };
                self.ask_http_again(token);
            }
        }
    }

    fn ask_http_again(&mut self, token: TokenKey) {
        let parked = self.attempts.get(&token).filter(|open| open.carrier == Carrier::Parked).cloned();
        let Some(open) = parked else { return };
        let Some(resident) = self.residents.get(open.task) else { return };
        if let Some(Effect::Ask { input, .. }) = ask_again(&resident.task, open.step) {
            self.ask_http(open.task, open.step, input);
        }
    }

    /// Attempts that waited for plain responders go over HTTP, because nobody answered on the bus for long enough.
    pub(super) fn over_to_http(&mut self, lane: LaneId) {
        while let Some(token) = self.responders.unpark(lane) {
            self.http.park(lane, token, Duration::ZERO);
        }
    }

    /// Attempts that waited for a system over HTTP go to the bus, because a worker has joined or the manifest says so now.
    fn back_to_the_bus(&mut self, lane: LaneId) {
        while let Some(token) = self.http.unpark(lane) {
            self.responders.park(lane, token, Duration::ZERO);
        }
    }

    /// Why a step does not go over HTTP although it should; none if it does not go over HTTP, or nothing is in its way.
    pub(super) fn why_not_over_http(&self, lane: LaneId, call: &Call) -> Option<(String, Option<String>)> {
        if !self.goes_over_http(lane) && !self.http.is_missed(lane) {
            return None;
        }
        let what = format!("waits for capability `{}` of system `{}` over HTTP", call.capability, call.system);
        let health = self.health_of(lane);
        if health.state == HealthState::Unhealthy {
            let problem = health.problem.unwrap_or_default();
            let hint = format!("the step goes on as soon as the health check succeeds; `tasker system show {}`", call.system);
            return Some((format!("{what}, which is unhealthy: {problem}"), Some(hint)));
        }
        let reason = self.http.reason(lane)?;
        let hint = "correct `base_url` in the manifest, or start the system; it is asked again every few seconds".to_owned();
        Some((format!("{what}, which cannot be reached: {reason}"), Some(hint)))
    }

    /// Tells the way out whose health it should watch.
    pub(super) fn watch_health(&self) {
        let targets = self.registry.systems().filter_map(|(namespace, system, known)| {
            Some(ProbeTarget { namespace: namespace.clone(), system: system.clone(), url: known.health_check_url.clone()? })
        });
        self.egress.watch(self.settings.shard, targets.collect());
    }
}

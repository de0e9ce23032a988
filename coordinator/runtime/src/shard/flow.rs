//! What holds steps back or keeps them away from workers: breakers and drains, as attempts end and as operators say.
//!
//! None of this is stored. Breakers are closed when the coordinator starts, because it knows nothing yet of anybody's health; an operator's
//! orders end with the process that took them, and the log keeps them.

use super::Shard;
use super::limits::DeclaredLimits;
use crate::operations::{BreakerFigure, BreakerView, CapabilityView, DrainedVersion, FleetError, WorkerView};
use std::collections::BTreeMap;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_engine::canary::Canary;
use tasker_engine::decide::{Decision, Effect};
use tasker_engine::task::StepState;
use tasker_engine::{AttemptToken, CapabilityName, Namespace, StepIndex, SystemName, TaskId};
use tasker_manifest::DeclaredSystem;
use tasker_registry::message::{Directive, SessionState};
use tasker_registry::{SessionKey, Withheld};
use tasker_scheduler::breaker::{Override, State, Verdict};
use tasker_scheduler::{LaneId, Target};

/// What a worker that is drained by an operator is told.
const DRAIN_REASON: &str = "an operator drains this worker";

/// What a manifest declares about breakers and canaries.
#[derive(Debug, Default)]
pub(super) struct DeclaredFlow {
    breakers: Vec<(SystemName, CapabilityName, BreakerPolicy)>,
    canaries: Vec<(SystemName, Canary)>,
    costs: Vec<(SystemName, CapabilityName, u32)>,
    pub limits: DeclaredLimits,
}

impl DeclaredFlow {
    pub fn of(namespace: &Namespace, systems: &[DeclaredSystem]) -> Self {
        let breakers = systems.iter().flat_map(|system| {
            let declared = system.capabilities.iter().filter_map(|capability| Some((capability.name.clone(), capability.breaker?)));
            declared.map(|(capability, policy)| (system.name.clone(), capability, policy))
        });
        let canaries = systems.iter().filter_map(|system| Some((system.name.clone(), system.canary.clone()?)));
        let costs = systems.iter().flat_map(|system| {
            let declared = system.capabilities.iter().filter_map(|capability| Some((capability.name.clone(), capability.slot_cost?)));
            declared.map(|(capability, cost)| (system.name.clone(), capability, cost))
        });
        let limits = DeclaredLimits::of(namespace, systems);
        Self { breakers: breakers.collect(), canaries: canaries.collect(), costs: costs.collect(), limits }
    }
}

impl Shard {
    /// Makes the breakers and canaries of a namespace those that the current versions of its workflows declare; if several speak of the same, the
    /// one that was applied last. What none of them declares any more is withdrawn.
    pub(super) fn declare_flow(&mut self, namespace: &Namespace) {
        let (mut breakers, mut canaries) = (BTreeMap::new(), BTreeMap::new());
        let mut costs = Vec::new();
        let flows = self.catalog.flows(namespace);
        for flow in &flows {
            for (system, capability, policy) in &flow.breakers {
                let target = Target { namespace: namespace.clone(), system: system.clone(), capability: capability.clone() };
                breakers.insert(target, Some(*policy));
            }
            costs.extend(flow.costs.iter().cloned());
            canaries.extend(flow.canaries.iter().map(|(system, canary)| (system.clone(), Some(canary.clone()))));
        }
        for (target, _) in self.scheduler.breakers().filter(|(target, _)| target.namespace == *namespace) {
            breakers.entry(target.clone()).or_insert(None);
        }
        for system in self.scheduler.systems_with_canary(namespace) {
            canaries.entry(system.clone()).or_insert(None);
        }
        self.slots.declare(namespace, costs);
        let uptime = self.uptime();
        for (target, policy) in breakers {
            self.scheduler.set_breaker(&target, policy, uptime);
        }
        for (system, canary) in canaries {
            self.scheduler.set_canary(namespace, &system, canary);
        }
        self.declare_limits(namespace, &flows);
        self.admit_all(namespace);
    }

    /// Tells the breaker of a lane, if it has one, that an attempt has started. A decision that asks nobody (the step was withdrawn meanwhile, or its
    /// input cannot be built) started none.
    pub(super) fn permit(&mut self, lane: LaneId, token: AttemptToken, decision: &Decision) {
        if decision.effects.iter().any(|effect| matches!(effect, Effect::Ask { .. }))
            && let Some(permit) = self.scheduler.begin(lane, self.uptime())
        {
            self.permits.insert(token.0, permit);
        }
    }

    /// Tells the breaker, if it was told of the attempt's start, how it ended.
    pub(super) fn report_health(&mut self, task: TaskId, step: StepIndex, token: AttemptToken) {
        if self.permits.is_empty() {
            return;
        }
        let Some(permit) = self.permits.remove(&token.0) else { return };
        let verdict = self.residents.get(task).map_or(Verdict::Unknown, |resident| {
            let progress = resident.task.progress(step);
            let failure = progress.closed.iter().rfind(|closed| closed.token == token).and_then(|closed| closed.failure.as_ref());
            match (failure, &progress.state) {
                (Some(failure), _) => Verdict::of(failure.kind),
                (None, StepState::Succeeded { .. }) => Verdict::Well,
                (None, _) => Verdict::Unknown,
            }
        });
        let uptime = self.uptime();
        let changed = self.scheduler.report(permit, verdict, uptime);
        let target = self.scheduler.target_name(permit.0);
        match changed {
            Some((_, State::Open)) => {
                let waiting = self.scheduler.waiting_for(target);
                let view = self.breaker_view(&target.namespace, &target.system, &target.capability);
                let next_probe_in_ms = view.and_then(|view| Some(view.next_probe_at?.since(self.clock.now()).as_millis() as u64));
                tracing::warn!(namespace = %target.namespace, system = %target.system, capability = %target.capability, waiting, next_probe_in_ms, "breaker opened");
            }
            Some((_, State::Closed)) => {
                tracing::info!(namespace = %target.namespace, system = %target.system, capability = %target.capability, "breaker closed");
            }
            Some((_, State::HalfOpen)) | None => {}
        }
    }

    /// Whether a breaker that is open holds this lane back. Unlike the scheduler's own question this one changes nothing.
    pub(super) fn is_held_back(&self, lane: LaneId) -> bool {
        let breaker = self.scheduler.breaker(&self.scheduler.name(lane).target);
        breaker.is_some_and(|breaker| breaker.state(self.uptime()) == State::Open)
    }

    pub(super) fn breaker_view(&self, namespace: &Namespace, system: &SystemName, capability: &CapabilityName) -> Option<BreakerView> {
        let target = Target { namespace: namespace.clone(), system: system.clone(), capability: capability.clone() };
        let view = self.scheduler.breaker(&target)?.view(self.uptime());
        Some(BreakerView {
            state: view.state,
            since: self.started_at.after(view.since),
            failures: view.failures,
            next_probe_at: view.next_probe_at.map(|at| self.started_at.after(at)),
            operator: view.operator,
            opened: view.opened,
            policy: view.policy,
        })
    }

    pub(super) fn breaker_figures(&self) -> Vec<BreakerFigure> {
        let uptime = self.uptime();
        let figure = |(target, breaker): (&Target, &tasker_scheduler::breaker::Breaker)| {
            let view = breaker.view(uptime);
            BreakerFigure { target: target.clone(), state: view.state, opened: view.opened }
        };
        self.scheduler.breakers().map(figure).collect()
    }

    pub(super) fn override_breaker(&mut self, target: Target, operator: Override) -> Result<CapabilityView, FleetError> {
        let is_it = |view: &CapabilityView| view.system == target.system && view.name == target.capability;
        if !self.capabilities(&target.namespace).iter().any(is_it) {
            return Err(FleetError::UnknownCapability(target));
        }
        self.scheduler.override_breaker(&target, operator, self.uptime());
        let demand = operator.as_str();
        tracing::warn!(namespace = %target.namespace, system = %target.system, capability = %target.capability, demand, "breaker overridden by an operator");
        self.capabilities(&target.namespace).into_iter().find(is_it).ok_or(FleetError::UnknownCapability(target))
    }

    pub(super) fn drain_worker(
        &mut self,
        namespace: &Namespace,
        session: &str,
        system: Option<&SystemName>,
    ) -> Result<WorkerView, FleetError> {
        let key = self.registry.drain_worker(namespace, session, system)?;
        let carried = self.attempts.count_of(&key);
        tracing::warn!(namespace = %key.namespace, system = %key.system, session = %key.session, carried, "worker drained by an operator");
        self.group.direct(&key, Directive::Drain { reason: DRAIN_REASON.to_owned() });
        let unknown = || tasker_registry::DrainRefusal::UnknownWorker(session.to_owned());
        let session = self.registry.session(&key).ok_or_else(unknown)?;
        Ok(self.worker(session))
    }

    /// The order to leave may have been lost on the way: a drained worker that still says it is active hears it again.
    pub(super) fn remind_of_drain(&mut self, key: &SessionKey) {
        let session = self.registry.session(key);
        if session.is_some_and(|session| session.withheld == Some(Withheld::Worker) && session.state == SessionState::Active) {
            self.group.direct(key, Directive::Drain { reason: DRAIN_REASON.to_owned() });
        }
    }

    pub(super) fn drain_version(
        &mut self,
        namespace: &Namespace,
        system: SystemName,
        version: String,
        undo: bool,
    ) -> Result<DrainedVersion, FleetError> {
        let workers = self.registry.drain_version(namespace, &system, &version, undo)?;
        tracing::warn!(%namespace, %system, version, undo, workers, "version drained by an operator");
        Ok(DrainedVersion { system, version, drained: !undo, workers })
    }
}

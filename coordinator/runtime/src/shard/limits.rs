//! Limits of capabilities, systems and single steps, as steps come into the backlog and attempts start and end.
//!
//! Nothing of it is stored: what is used is what open attempts and waiting steps use, and both are derived from tasks at a start. Buckets begin empty then,
//! because attempts may have started just before.

use super::Shard;
use super::attempts::{Attempts, TokenKey};
use super::flow::DeclaredFlow;
use crate::operations::{CapabilityView, FleetError, Hold, QueueChange, QueueState};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tasker_engine::decide::{Decision, Effect};
use tasker_engine::flow::{CapabilityLimits, Rate, step_keys};
use tasker_engine::{AttemptToken, Namespace, StepIndex, SystemName, Task, TaskId};
use tasker_manifest::DeclaredSystem;
use tasker_scheduler::gates::{Allowed, GateId};
use tasker_scheduler::limits::BacklogFull;
use tasker_scheduler::{LaneId, Standing, Taken, Target, Waiting};

/// What a manifest declares about limits.
#[derive(Debug, Default)]
pub(super) struct DeclaredLimits {
    capabilities: Vec<(Target, CapabilityLimits)>,
    systems: Vec<(SystemName, Rate)>,
}

impl DeclaredLimits {
    pub fn of(namespace: &Namespace, systems: &[DeclaredSystem]) -> Self {
        let capabilities = systems.iter().flat_map(|system| {
            let limited = system.capabilities.iter().filter(|capability| capability.limits != CapabilityLimits::default());
            limited.map(|capability| {
                let (system, name) = (system.name.clone(), capability.name.clone());
                (Target { namespace: namespace.clone(), system, capability: name }, capability.limits)
            })
        });
        let rated = systems.iter().filter_map(|system| Some((system.name.clone(), system.rate?)));
        Self { capabilities: capabilities.collect(), systems: rated.collect() }
    }
}

/// Through which gates the open attempts went; most went through none.
#[derive(Default)]
pub(super) struct Passed(HashMap<TokenKey, [Option<GateId>; 2]>);

impl Passed {
    /// The tasks whose attempts went through a gate, oldest first.
    pub fn tasks_of(&self, gate: GateId, attempts: &Attempts) -> BTreeSet<TaskId> {
        let through = self.0.iter().filter(|(_, gates)| gates.contains(&Some(gate)));
        through.filter_map(|(token, _)| Some(attempts.get(token)?.task)).collect()
    }
}

impl Shard {
    /// Makes the limits of a namespace those that the current versions of its workflows declare; if several speak of the same, the one that was applied
    /// last. What none of them declares any more is lifted.
    pub(super) fn declare_limits(&mut self, namespace: &Namespace, flows: &[std::sync::Arc<DeclaredFlow>]) {
        let (mut capabilities, mut systems) = (BTreeMap::new(), BTreeMap::new());
        for target in self.scheduler.limited(namespace) {
            capabilities.insert(target, CapabilityLimits::default());
        }
        for system in self.scheduler.rated_systems(namespace) {
            systems.insert(system, None);
        }
        for limits in flows.iter().map(|flow| &flow.limits) {
            capabilities.extend(limits.capabilities.iter().cloned());
            systems.extend(limits.systems.iter().map(|(system, rate)| (system.clone(), Some(*rate))));
        }
        let uptime = self.uptime();
        for (target, limits) in capabilities {
            self.scheduler.declare_limits(&target, limits, uptime);
        }
        for (system, rate) in systems {
            self.scheduler.set_system_rate(namespace, &system, rate, uptime);
        }
        self.declare_steps(namespace);
    }

    /// Makes shares, and the limits of single steps, those of the current versions. A step that an older version limited and the current one does
    /// not is limited no more.
    fn declare_steps(&mut self, namespace: &Namespace) {
        let uptime = self.uptime();
        let mut allowed: BTreeMap<_, Option<Allowed>> = BTreeMap::new();
        for entry in self.catalog.of_namespace(namespace) {
            for step in entry.workflow.indexes() {
                allowed.extend(entry.lanes.rules(step).into_iter().flatten().map(|rule| (rule, None)));
            }
        }
        for entry in self.catalog.currents(namespace) {
            self.scheduler.set_weight(entry.lanes.flow, entry.workflow.flow.weight);
            for step in entry.workflow.indexes() {
                let [at_once, fast] = entry.lanes.rules(step);
                let limits = entry.workflow.step(step).call().and_then(|call| call.limits.as_deref());
                let limit = limits.and_then(|limits| limits.concurrency.as_ref()).map(|keyed| Allowed::AtOnce(keyed.limit));
                let rate = limits.and_then(|limits| limits.rate.as_ref()).map(|keyed| Allowed::Rate(keyed.rate));
                allowed.extend(at_once.map(|rule| (rule, limit)));
                allowed.extend(fast.map(|rule| (rule, rate)));
            }
        }
        for (rule, allowed) in allowed {
            self.scheduler.set_rule(rule, allowed, uptime);
        }
    }

    /// Puts a ready step into the backlog.
    pub(super) fn enqueue(&mut self, lane: LaneId, waiting: Waiting) {
        let Some(resident) = self.residents.get(waiting.task) else { return };
        let task = &resident.task;
        let returned = !task.progress(waiting.step).closed.is_empty();
        let (flow, priority) = (resident.lanes.flow, task.submission.priority);
        let rules = resident.lanes.rules(task.node(waiting.step));
        let gates = self.enter_gates(waiting.task, waiting.step, rules);
        self.scheduler.enqueue(lane, waiting, Standing { flow, priority, returned, gates });
    }

    fn enter_gates(&mut self, id: TaskId, step: StepIndex, rules: [Option<tasker_scheduler::gates::RuleId>; 2]) -> [Option<GateId>; 2] {
        if rules == [None; 2] {
            return [None; 2];
        }
        let Some(resident) = self.residents.get(id) else { return [None; 2] };
        let (at_once, fast) = step_keys(&resident.task, step);
        let uptime = self.uptime();
        let mut enter = |rule: Option<_>, key: Option<String>| Some(self.scheduler.enter_gate(rule?, &key?, uptime));
        [enter(rules[0], at_once), enter(rules[1], fast)]
    }

    /// An attempt was to start. If the decision asks nobody (the step was withdrawn meanwhile, or its input cannot be built), none did, and what the
    /// step took is there for the next one.
    pub(super) fn opened(&mut self, taken: &Taken, token: AttemptToken, decision: &Decision) {
        let uptime = self.uptime();
        if !decision.effects.iter().any(|effect| matches!(effect, Effect::Ask { .. })) {
            self.scheduler.give_back(taken, uptime);
            return;
        }
        self.scheduler.opened(taken.lane, uptime);
        if taken.gates != [None; 2] {
            self.passed.0.insert(token.0, taken.gates);
        }
    }

    /// An attempt is over, so the next one of its capability or key may start.
    pub(super) fn closed(&mut self, id: TaskId, step: StepIndex, token: AttemptToken) {
        let Some(lane) = self.residents.get(id).and_then(|resident| resident.lane(step)) else { return };
        self.scheduler.closed(lane);
        if !self.passed.0.is_empty()
            && let Some(gates) = self.passed.0.remove(&token.0)
        {
            let uptime = self.uptime();
            self.scheduler.leave_gates(gates, false, uptime);
        }
    }

    /// An attempt was open before the coordinator started: it counts as it did before.
    pub(super) fn still_open(&mut self, task: &Task, step: StepIndex, token: AttemptToken) {
        let Some(entry) = self.catalog.pinned(&task.workflow.namespace, task.workflow.digest).cloned() else { return };
        let (node, uptime) = (task.node(step), self.uptime());
        let Some(lane) = entry.lanes.of(node) else { return };
        self.scheduler.opened(lane, uptime);
        let [at_once, _] = entry.lanes.rules(node);
        let (key, _) = step_keys(task, step);
        if let (Some(rule), Some(key)) = (at_once, key) {
            let gate = self.scheduler.enter_gate(rule, &key, uptime);
            self.scheduler.resume_at(gate, uptime);
            self.passed.0.insert(token.0, [Some(gate), None]);
        }
    }

    /// Whether nothing starts from a lane now, however many slots are free. What is open already goes on.
    pub(super) fn starts_nothing(&self, lane: LaneId) -> bool {
        self.is_held_back(lane) || self.scheduler.is_held(lane, self.uptime())
    }

    /// How long until a token is due that a waiting step lacks; none if nothing is given out, or nothing lacks one.
    pub(super) fn next_token(&self) -> Option<std::time::Duration> {
        let gives = self.draining.is_none() && self.scheduler.waiting() > 0;
        self.scheduler.next_due().filter(|_| gives).map(|due| due.saturating_sub(self.uptime()))
    }

    /// Why no more tasks of a workflow are accepted now: one of the capabilities that it asks has too many waiting steps.
    pub(super) fn backlog_full(&self, lanes: &super::catalog::Lanes) -> Option<BacklogFull> {
        let uptime = self.uptime();
        let lanes: BTreeSet<LaneId> = lanes.all().collect();
        lanes.into_iter().find_map(|lane| self.scheduler.backlog_full(lane, uptime))
    }

    /// How many waiting steps are held back, by what.
    pub(super) fn held_back(&self) -> BTreeMap<&'static str, u64> {
        let uptime = self.uptime();
        let aside = self.scheduler.put_aside_count() as u64;
        let mut held = BTreeMap::from([("paused", 0), ("bulkhead", 0), ("rate", 0), ("key", aside)]);
        for view in self.scheduler.queues().filter_map(|target| self.scheduler.queue(target, uptime)) {
            let by = match view.hold {
                None => continue,
                Some(Hold::Paused) => "paused",
                Some(Hold::Full { .. }) => "bulkhead",
                Some(Hold::Rate { .. }) => "rate",
            };
            *held.entry(by).or_default() += view.waiting as u64;
        }
        held
    }

    /// The queue of every capability that a workflow or worker of the namespace speaks of.
    pub(super) fn queues(&self, namespace: &Namespace) -> Vec<QueueState> {
        let views = self.capabilities(namespace);
        views.into_iter().map(|view| self.queue_of(view)).collect()
    }

    fn queue_of(&self, view: CapabilityView) -> QueueState {
        let target = Target { namespace: view.namespace.clone(), system: view.system.clone(), capability: view.name.clone() };
        let (queue, uptime) = (self.scheduler.queue(&target, self.uptime()), self.uptime());
        let next_in = queue.and_then(|queue| queue.hold).and_then(|hold| match hold {
            Hold::Rate { next_at, .. } => Some(next_at.saturating_sub(uptime)),
            Hold::Paused | Hold::Full { .. } => None,
        });
        QueueState { target, oldest_waiting: view.oldest_waiting, breaker: view.breaker.map(|breaker| breaker.state), queue, next_in }
    }

    /// Takes an operator's word about a queue; what it does not speak of stays as it is.
    pub(super) fn order_queue(&mut self, target: Target, change: QueueChange) -> Result<QueueState, FleetError> {
        let is_it = |view: &CapabilityView| view.system == target.system && view.name == target.capability;
        if !self.capabilities(&target.namespace).iter().any(is_it) {
            return Err(FleetError::UnknownCapability(target));
        }
        let uptime = self.uptime();
        let mut orders = self.scheduler.queue(&target, uptime).map(|view| view.orders).unwrap_or_default();
        change.apply(&mut orders);
        self.scheduler.order(&target, orders, uptime);
        tracing::warn!(namespace = %target.namespace, system = %target.system, capability = %target.capability, ?change, "queue changed by an operator");
        let view = self.capabilities(&target.namespace).into_iter().find(is_it);
        view.map(|view| self.queue_of(view)).ok_or(FleetError::UnknownCapability(target))
    }
}

//! The backlog: a lane per capability. Whose turn it is within a lane is decided in [`crate::queue`]: by the shares of workflows, then by
//! priority and waiting time; a step which had its turn before (its worker died, its attempt failed) goes ahead, because it has waited longer already.
//! Lanes that share workers take turns, so that a long backlog of one capability does not starve another.
//!
//! What holds a whole lane back (a breaker, a rate, a bulkhead, an operator) is asked before its first step is looked at ([`crate::limits`]); what holds
//! back single steps puts them aside ([`crate::gates`]).
//!
//! A capability has one lane for the steps without a route. Steps with a route, with a sticky key or of a system with a canary wait in lanes of
//! their own, which are opened when they are first needed. Steps without any of these cost two look-ups in a vector, nothing else.
//!
//! An entry may be out of date (its task was cancelled meanwhile): whoever takes it asks the engine, which then does nothing.

use crate::breaker::{Breaker, Override, Permit, State, Verdict};
use crate::gates::{GateId, Gates};
use crate::limits::{Flows, Guard};
use crate::queue::{FlowId, Queue, Rank, rank};
use crate::route::{Bucket, RouteKey};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_engine::canary::{Canary, Side};
use tasker_engine::flow::Priority;
use tasker_engine::{CapabilityName, Namespace, StepIndex, SystemName, TaskId, Timestamp};

/// What is asked: a capability of a system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The tenant.
    pub namespace: Namespace,
    /// Who owns the capability.
    pub system: SystemName,
    /// What waits for it.
    pub capability: CapabilityName,
}

/// A small number that stands for a [`Target`], given out once per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub(crate) u32);

/// What a queue is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// What its steps ask.
    pub target: Target,
    /// What sets them apart from other steps that ask the same; none for most.
    pub route: Option<RouteKey>,
}

/// A small number that stands for a [`Lane`], given out once per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub(crate) u32);

/// A step that waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Of which task.
    pub task: TaskId,
    /// Which step.
    pub step: StepIndex,
    /// Since when.
    pub since: Timestamp,
}

/// What decides whose turn it is, and what has to admit the step besides its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The workflow, which has its share.
    pub flow: FlowId,
    /// How urgent the task is.
    pub priority: Priority,
    /// Whether the step had an attempt before.
    pub returned: bool,
    /// The gates of the step's own limits, entered for this step.
    pub gates: [Option<GateId>; 2],
}

/// A step in the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub waiting: Waiting,
    pub rank: Rank,
    pub flow: FlowId,
    pub priority: Priority,
    pub returned: bool,
    pub gates: [Option<GateId>; 2],
}

impl Ticket {
    /// Whether its rank is its age.
    pub fn is_plain(&self) -> bool {
        self.priority == Priority::default() && !self.returned
    }

    fn is(&self, task: TaskId, step: StepIndex) -> bool {
        self.waiting.task == task && self.waiting.step == step
    }

    fn gates(&self) -> impl Iterator<Item = GateId> + use<> {
        self.gates.into_iter().flatten()
    }
}

/// A step that was taken out of the backlog, and what it took with it: to be kept until its attempt ends, or given back if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The step.
    pub waiting: Waiting,
    /// The lane it came from.
    pub lane: LaneId,
    /// The gates through which it went.
    pub gates: [Option<GateId>; 2],
}

/// A lane with what waits in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) lane: Lane,
    pub(crate) target: TargetId,
    /// The lane of the same rule without side and bucket; itself, if it is that.
    base: LaneId,
    pub(crate) queue: Queue,
    /// Lanes of the same rule, for a side, a bucket or both.
    branches: HashMap<(Option<Side>, Option<Bucket>), LaneId>,
}

/// What is known of a target, besides what waits for it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) name: Target,
    lanes: Vec<LaneId>,
    breaker: Option<Box<Breaker>>,
    canary: Option<Arc<Canary>>,
    /// What limits it.
    pub(crate) guard: Guard,
}

/// The backlog, with what holds it back.
#[derive(Debug, Default)]
pub struct Scheduler {
    pub(crate) places: Vec<Place>,
    lanes: HashMap<Lane, LaneId>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) targets: HashMap<Target, TargetId>,
    canaries: HashMap<(Namespace, SystemName), Arc<Canary>>,
    /// Lanes in which something waits that may be looked at.
    pub(crate) busy: BTreeSet<LaneId>,
    pub(crate) turn: u32,
    waiting: usize,
    /// How many steps were ever added: of two with the same rank the one that came first goes first.
    added: u64,
    pub(crate) gates: Gates,
    pub(crate) flows: Flows,
}

impl Scheduler {
    /// The number of a lane; opens it if it is new.
    pub fn lane(&mut self, lane: &Lane) -> LaneId {
        if let Some(id) = self.lanes.get(lane) {
            return *id;
        }
        let rule = lane.route.as_ref().and_then(|route| route.rule.clone());
        let own = Lane { target: lane.target.clone(), route: rule.map(|rule| RouteKey { rule: Some(rule), ..RouteKey::default() }) };
        let base = (own != *lane).then(|| self.lane(&own));
        let target = self.target(&lane.target);
        let id = LaneId(self.places.len() as u32);
        let place = Place { lane: lane.clone(), target, base: base.unwrap_or(id), queue: Queue::default(), branches: HashMap::new() };
        self.places.push(place);
        self.lanes.insert(lane.clone(), id);
        self.asked[target.0 as usize].lanes.push(id);
        id
    }

    /// The lane in which a task's step waits: the given one, unless the system has a canary or the step a sticky key.
    pub fn lane_of(&mut self, lane: LaneId, task: TaskId, bucket: Option<Bucket>) -> LaneId {
        if let Some(known) = self.known_lane_of(lane, task, bucket) {
            return known;
        }
        let place = &self.places[lane.0 as usize];
        let side = self.side_of(lane, task);
        let rule = place.lane.route.as_ref().and_then(|route| route.rule.clone());
        let branch = Lane { target: place.lane.target.clone(), route: Some(RouteKey { rule, side, bucket }) };
        let branch = self.lane(&branch);
        self.places[lane.0 as usize].branches.insert((side, bucket), branch);
        branch
    }

    /// The same without opening a lane: none if no such step ever waited.
    pub fn known_lane_of(&self, lane: LaneId, task: TaskId, bucket: Option<Bucket>) -> Option<LaneId> {
        let side = self.side_of(lane, task);
        if side.is_none() && bucket.is_none() {
            return Some(lane);
        }
        self.places[lane.0 as usize].branches.get(&(side, bucket)).copied()
    }

    fn side_of(&self, lane: LaneId, task: TaskId) -> Option<Side> {
        self.canary_of(lane).map(|canary| canary.side(task))
    }

    /// What a lane's number stands for.
    pub fn name(&self, lane: LaneId) -> &Lane {
        &self.places[lane.0 as usize].lane
    }

    /// The lane of the same rule without side and bucket. What is known of a capability's plain responders is kept there.
    pub fn base(&self, lane: LaneId) -> LaneId {
        self.places[lane.0 as usize].base
    }

    /// The number of a target; known from now on.
    pub fn target(&mut self, target: &Target) -> TargetId {
        if let Some(id) = self.targets.get(target) {
            return *id;
        }
        let id = TargetId(self.asked.len() as u32);
        let canary = self.canaries.get(&(target.namespace.clone(), target.system.clone())).cloned();
        let guard = Guard::new(self.flows.tenant(&target.namespace), self.flows.system(&target.namespace, &target.system));
        self.asked.push(Asked { name: target.clone(), lanes: Vec::new(), breaker: None, canary, guard });
        self.targets.insert(target.clone(), id);
        id
    }

    /// Adds a step.
    pub fn enqueue(&mut self, lane: LaneId, waiting: Waiting, standing: Standing) {
        let Standing { flow, priority, returned, gates } = standing;
        self.added += 1;
        let rank = rank(waiting.since, priority, returned, self.added);
        self.put(lane, Ticket { waiting, rank, flow, priority, returned, gates });
        self.waiting += 1;
        self.asked[self.places[lane.0 as usize].target.0 as usize].guard.waiting += 1;
    }

    fn put(&mut self, lane: LaneId, ticket: Ticket) {
        let weight = self.flows.weight(ticket.flow);
        self.places[lane.0 as usize].queue.push(ticket, weight);
        self.busy.insert(lane);
    }

    fn put_all(&mut self, freed: impl IntoIterator<Item = (LaneId, Ticket)>) {
        for (lane, ticket) in freed {
            self.put(lane, ticket);
        }
    }

    /// The step whose turn it is, left where it is. Whoever asked [`Self::admits`] before may take it.
    pub fn head(&self, lane: LaneId) -> Option<&Waiting> {
        self.places[lane.0 as usize].queue.head().map(|ticket| &ticket.waiting)
    }

    /// Takes the step whose turn it is, of a lane that [`Self::admits`].
    pub fn take(&mut self, lane: LaneId, now: Duration) -> Option<Taken> {
        let ticket = self.pop(lane, true)?;
        self.waiting -= 1;
        for gate in ticket.gates() {
            self.gates.begin(gate, now);
        }
        let target = self.places[lane.0 as usize].target;
        self.take_tokens(target, now);
        Some(Taken { waiting: ticket.waiting, lane, gates: ticket.gates })
    }

    fn pop(&mut self, lane: LaneId, served: bool) -> Option<Ticket> {
        let queue = &mut self.places[lane.0 as usize].queue;
        let ticket = queue.pop(served)?;
        if queue.len() == 0 {
            self.busy.remove(&lane);
        }
        Some(ticket)
    }

    /// Gives back what a step took with it that has no attempt now.
    pub fn give_back(&mut self, taken: &Taken, now: Duration) {
        let target = self.places[taken.lane.0 as usize].target;
        self.give_tokens_back(target);
        self.leave_gates(taken.gates, true, now);
    }

    /// Lets the next ones through the gates through which an attempt went that is over.
    pub fn leave_gates(&mut self, gates: [Option<GateId>; 2], unused: bool, now: Duration) {
        for gate in gates.into_iter().flatten() {
            let next = self.gates.end(gate, unused, now);
            self.put_all(next);
            self.gates.leave(gate, now);
        }
    }

    /// Puts the first steps of a lane aside whose own limits are used up. False if that leaves nothing.
    pub(crate) fn put_aside(&mut self, lane: LaneId, now: Duration) -> bool {
        let mut moved = false;
        while let Some(head) = self.places[lane.0 as usize].queue.head() {
            let Some(closed) = head.gates().find(|gate| !self.gates.admits(*gate, now)) else { return true };
            let Some(ticket) = self.pop(lane, false) else { return false };
            self.gates.line_up(closed, lane, ticket, now);
            moved = true;
            // It may have come from the line of another of its gates, in which the next one tries now.
            for gate in ticket.gates().filter(|gate| *gate != closed) {
                let next = self.gates.next(gate, now);
                self.put_all(next);
            }
        }
        !moved
    }

    /// Brings those back into their lanes for whom a token is due.
    pub(crate) fn bring_back(&mut self, now: Duration) {
        if self.gates.next_due().is_some_and(|due| due <= now) {
            let freed = self.gates.due(now);
            self.put_all(freed);
        }
    }

    /// How many steps wait, over all lanes.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many steps wait for a capability, over all its lanes.
    pub fn waiting_for(&self, target: &Target) -> usize {
        self.targets.get(target).map_or(0, |id| self.asked[id.0 as usize].guard.waiting)
    }

    /// How many steps wait for each capability, and since when the oldest does.
    pub fn backlog(&self) -> BTreeMap<&Target, (usize, Option<Timestamp>)> {
        let mut backlog: BTreeMap<&Target, (usize, Option<Timestamp>)> = BTreeMap::new();
        for asked in &self.asked {
            backlog.insert(&asked.name, (asked.guard.waiting, None));
        }
        let in_lanes = self.places.iter().filter_map(|place| Some((&place.lane.target, place.queue.oldest()?)));
        let in_lines = self.gates.waiting().map(|(lane, ticket)| (&self.places[lane.0 as usize].lane.target, ticket.waiting.since));
        for (target, since) in in_lanes.chain(in_lines) {
            let (_, oldest) = backlog.entry(target).or_default();
            *oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
        }
        backlog
    }

    /// How many of the same workflow are ahead of a step in its lane; none if it does not wait there.
    pub fn position(&self, lane: LaneId, task: TaskId, step: StepIndex) -> Option<usize> {
        self.places[lane.0 as usize].queue.position(|ticket| ticket.is(task, step))
    }

    /// How many are ahead of a step in the line of a gate; none if it does not stand there.
    pub fn position_at(&self, gate: GateId, task: TaskId, step: StepIndex) -> Option<usize> {
        self.gates.position(gate, |ticket| ticket.is(task, step))
    }
}

/// Canaries.
impl Scheduler {
    /// Declares or withdraws a system's canary. Steps that wait already keep their lane: it means what the canary means when they are taken.
    pub fn set_canary(&mut self, namespace: &Namespace, system: &SystemName, canary: Option<Canary>) {
        let canary = canary.map(Arc::new);
        let owner = (namespace.clone(), system.clone());
        match &canary {
            Some(canary) => self.canaries.insert(owner, canary.clone()),
            None => self.canaries.remove(&owner),
        };
        for asked in self.asked.iter_mut().filter(|asked| asked.name.namespace == *namespace && asked.name.system == *system) {
            asked.canary = canary.clone();
        }
    }

    /// A system's canary.
    pub fn canary(&self, namespace: &Namespace, system: &SystemName) -> Option<&Canary> {
        self.canaries.get(&(namespace.clone(), system.clone())).map(|canary| &**canary)
    }

    /// The systems of a namespace that have a canary, in no order.
    pub fn systems_with_canary(&self, namespace: &Namespace) -> impl Iterator<Item = &SystemName> {
        self.canaries.keys().filter(move |(tenant, _)| tenant == namespace).map(|(_, system)| system)
    }

    /// The canary of a lane's system.
    pub fn canary_of(&self, lane: LaneId) -> Option<&Canary> {
        self.asked[self.places[lane.0 as usize].target.0 as usize].canary.as_deref()
    }
}

/// Breakers: one per target, for all its lanes.
impl Scheduler {
    /// Declares or withdraws a capability's breaker.
    pub fn set_breaker(&mut self, target: &Target, policy: Option<BreakerPolicy>, now: Duration) {
        self.change_breaker(target, policy.is_some(), now, |breaker| {
            if breaker.view(now).policy != policy {
                breaker.set_policy(policy, now);
            }
        });
    }

    /// Takes an operator's demand.
    pub fn override_breaker(&mut self, target: &Target, operator: Override, now: Duration) {
        self.change_breaker(target, operator != Override::Auto, now, |breaker| breaker.set_override(operator, now));
    }

    /// Changes a breaker, which is there only while somebody needs it.
    fn change_breaker(&mut self, target: &Target, create: bool, now: Duration, change: impl FnOnce(&mut Breaker)) {
        if !create && !self.targets.contains_key(target) {
            return;
        }
        let id = self.target(target);
        let place = &mut self.asked[id.0 as usize].breaker;
        if place.is_none() && create {
            *place = Some(Box::new(Breaker::new(None, now)));
        }
        if let Some(breaker) = place {
            change(breaker);
            if !breaker.is_needed() {
                *place = None;
            }
        }
    }

    /// Whether an attempt may start from this lane now; then its first step is one that may. An open breaker whose time is up becomes half-open by being
    /// asked.
    pub fn admits(&mut self, lane: LaneId, now: Duration) -> bool {
        let target = self.places[lane.0 as usize].target;
        self.is_let_through(target, now)
            && self.asked[target.0 as usize].breaker.as_mut().is_none_or(|breaker| breaker.admits(now))
            && self.put_aside(lane, now)
    }

    /// Notes that an attempt starts from this lane. What it answers is given back when the attempt ends; none if nobody asks.
    pub fn begin(&mut self, lane: LaneId, now: Duration) -> Option<(TargetId, Permit)> {
        let target = self.places[lane.0 as usize].target;
        let breaker = self.asked[target.0 as usize].breaker.as_mut()?;
        Some((target, breaker.begin(now)))
    }

    /// Notes how an attempt ended. Answers with the states before and after, if the breaker changed.
    pub fn report(&mut self, (target, permit): (TargetId, Permit), verdict: Verdict, now: Duration) -> Option<(State, State)> {
        let breaker = self.asked[target.0 as usize].breaker.as_mut()?;
        let before = breaker.state(now);
        breaker.report(permit, verdict, now);
        let after = breaker.state(now);
        (before != after).then_some((before, after))
    }

    /// What a target's number stands for.
    pub fn target_name(&self, target: TargetId) -> &Target {
        &self.asked[target.0 as usize].name
    }

    /// A capability's breaker, if it has one.
    pub fn breaker(&self, target: &Target) -> Option<&Breaker> {
        self.asked[self.targets.get(target)?.0 as usize].breaker.as_deref()
    }

    /// Every breaker.
    pub fn breakers(&self) -> impl Iterator<Item = (&Target, &Breaker)> {
        self.asked.iter().filter_map(|asked| Some((&asked.name, asked.breaker.as_deref()?)))
    }
}

#[cfg(test)]
mod tests;

//! The backlog: a lane per capability, first come first served, except that a step which had its turn before (its worker died, its
//! attempt failed) goes ahead of those that never had one: it has waited longer already. Lanes that share workers take turns, so that a long backlog
//! of one capability does not starve another.
//!
//! A capability has one lane for the steps without a route. Steps with a route, with a sticky key or of a system with a canary wait in lanes of
//! their own, which are opened when they are first needed. Steps without any of these cost two look-ups in a vector, nothing else.
//!
//! An entry may be out of date (its task was cancelled meanwhile): whoever takes it asks the engine, which then does nothing.

use crate::breaker::{Breaker, Override, Permit, State, Verdict};
use crate::route::{Bucket, RouteKey};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_engine::canary::{Canary, Side};
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
pub struct TargetId(u32);

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
pub struct LaneId(u32);

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

/// What waits in one lane.
#[derive(Debug, Default)]
struct Queue {
    /// Steps that had an attempt before.
    returned: VecDeque<Waiting>,
    /// Steps that never had one.
    fresh: VecDeque<Waiting>,
}

impl Queue {
    fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.returned.iter().chain(&self.fresh)
    }

    fn take(&mut self) -> Option<Waiting> {
        self.returned.pop_front().or_else(|| self.fresh.pop_front())
    }

    /// Both parts are in the order of time, so the oldest is first in one of them.
    fn oldest(&self) -> Option<Timestamp> {
        [self.returned.front(), self.fresh.front()].into_iter().flatten().map(|waiting| waiting.since).min()
    }

    fn len(&self) -> usize {
        self.returned.len() + self.fresh.len()
    }
}

/// A lane with what waits in it.
#[derive(Debug)]
struct Place {
    lane: Lane,
    target: TargetId,
    /// The lane of the same rule without side and bucket; itself, if it is that.
    base: LaneId,
    queue: Queue,
    /// Lanes of the same rule, for a side, a bucket or both.
    branches: HashMap<(Option<Side>, Option<Bucket>), LaneId>,
}

/// What is known of a target, besides what waits for it.
#[derive(Debug)]
struct Asked {
    name: Target,
    lanes: Vec<LaneId>,
    breaker: Option<Box<Breaker>>,
    canary: Option<Arc<Canary>>,
}

/// The backlog, with what holds it back.
#[derive(Debug, Default)]
pub struct Scheduler {
    places: Vec<Place>,
    lanes: HashMap<Lane, LaneId>,
    asked: Vec<Asked>,
    targets: HashMap<Target, TargetId>,
    canaries: HashMap<(Namespace, SystemName), Arc<Canary>>,
    busy: BTreeSet<LaneId>,
    turn: u32,
    waiting: usize,
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
        self.asked.push(Asked { name: target.clone(), lanes: Vec::new(), breaker: None, canary });
        self.targets.insert(target.clone(), id);
        id
    }

    /// Adds a step: behind all others, or, if it `returned` from an attempt, behind those that did so too.
    pub fn enqueue(&mut self, lane: LaneId, waiting: Waiting, returned: bool) {
        let queue = &mut self.places[lane.0 as usize].queue;
        if returned {
            queue.returned.push_back(waiting)
        } else {
            queue.fresh.push_back(waiting)
        }
        self.busy.insert(lane);
        self.waiting += 1;
    }

    /// The step whose turn it is, left where it is.
    pub fn head(&self, lane: LaneId) -> Option<&Waiting> {
        self.places[lane.0 as usize].queue.iter().next()
    }

    /// Takes the step whose turn it is.
    pub fn take(&mut self, lane: LaneId) -> Option<Waiting> {
        let queue = &mut self.places[lane.0 as usize].queue;
        let taken = queue.take()?;
        self.waiting -= 1;
        if queue.len() == 0 {
            self.busy.remove(&lane);
        }
        Some(taken)
    }

    /// The lanes in which something waits, beginning with another one at each call, so that every lane is first in its turn.
    pub fn busy(&mut self) -> Vec<LaneId> {
        self.turn = self.turn.wrapping_add(1);
        let mut lanes: Vec<LaneId> = self.busy.iter().copied().collect();
        if !lanes.is_empty() {
            let first = self.turn as usize % lanes.len();
            lanes.rotate_left(first);
        }
        lanes
    }

    /// How many steps wait, over all lanes.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many steps wait for a capability, over all its lanes.
    pub fn waiting_for(&self, target: &Target) -> usize {
        let Some(id) = self.targets.get(target) else { return 0 };
        self.asked[id.0 as usize].lanes.iter().map(|lane| self.places[lane.0 as usize].queue.len()).sum()
    }

    /// How many steps wait for each capability, and since when the oldest does.
    pub fn backlog(&self) -> BTreeMap<&Target, (usize, Option<Timestamp>)> {
        let mut backlog: BTreeMap<&Target, (usize, Option<Timestamp>)> = BTreeMap::new();
        for place in &self.places {
            let (waiting, oldest) = backlog.entry(&place.lane.target).or_default();
            *waiting += place.queue.len();
            *oldest = [*oldest, place.queue.oldest()].into_iter().flatten().min();
        }
        backlog
    }

    /// How many are ahead of a step in its lane; none if it does not wait there.
    pub fn position(&self, lane: LaneId, task: TaskId, step: StepIndex) -> Option<usize> {
        self.places[lane.0 as usize].queue.iter().position(|waiting| waiting.task == task && waiting.step == step)
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

    /// Whether an attempt may start from this lane now. An open breaker whose time is up becomes half-open by being asked.
    pub fn admits(&mut self, lane: LaneId, now: Duration) -> bool {
        let target = self.places[lane.0 as usize].target;
        self.asked[target.0 as usize].breaker.as_mut().is_none_or(|breaker| breaker.admits(now))
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

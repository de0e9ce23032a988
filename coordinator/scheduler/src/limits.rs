//! What limits capabilities and systems as a whole, and the turns of namespaces: rates, bulkheads, backlog limits, pauses by operators, weights.
//!
//! A lane whose capability is limited is not looked at until that is over: all its steps want the same. So none of this depends on how many wait.

use crate::backlog::{LaneId, Scheduler, Target, TargetId};
use crate::bucket::Bucket;
use crate::gates::{Allowed, GateId, GateView, RuleId, RuleName};
use crate::queue::{FlowId, TURN};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;
use tasker_engine::flow::{CapabilityLimits, Rate, Weight};
use tasker_engine::{Namespace, SystemName, WorkflowName};

/// Over how long the pace of starts is averaged, which tells refused submitters when to come again.
const PACE_OVER: Duration = Duration::from_secs(30);
/// The soonest that a refused submitter is asked back: less would be a storm.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The latest: whoever waits longer than a minute should look again anyway.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What an operator says instead of the manifests. What is absent is as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orders {
    /// How fast; the inner none lifts the limit.
    pub rate: Option<Option<Rate>>,
    /// How many attempts at once; the inner none lifts the limit.
    pub max_concurrent: Option<Option<u32>>,
    /// How many steps may wait; the inner none lifts the limit.
    pub max_backlog: Option<Option<u32>>,
    /// Whether nothing starts.
    pub paused: bool,
}

/// What limits one capability, and how far it is used.
#[derive(Debug)]
pub(crate) struct Guard {
    tenant: usize,
    system: usize,
    declared: CapabilityLimits,
    orders: Orders,
    bucket: Option<Bucket>,
    /// Attempts that are open.
    open: u32,
    /// Steps that wait, in lanes and lines.
    pub waiting: usize,
    /// How many attempts started in the last while; older ones count less.
    pace: f64,
    paced_at: Duration,
}

impl Guard {
    pub fn new(tenant: usize, system: usize) -> Self {
        Self {
            tenant,
            system,
            declared: CapabilityLimits::default(),
            orders: Orders::default(),
            bucket: None,
            open: 0,
            waiting: 0,
            pace: 0.0,
            paced_at: Duration::ZERO,
        }
    }

    /// What holds now: the operator's word, or the manifests'.
    fn limits(&self) -> CapabilityLimits {
        let CapabilityLimits { rate, max_concurrent, max_backlog } = self.declared;
        CapabilityLimits {
            rate: self.orders.rate.unwrap_or(rate),
            max_concurrent: self.orders.max_concurrent.unwrap_or(max_concurrent),
            max_backlog: self.orders.max_backlog.unwrap_or(max_backlog),
        }
    }

    fn pace_at(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.paced_at).as_secs_f64();
        self.pace * (-passed / PACE_OVER.as_secs_f64()).exp()
    }
}

/// Workflows, systems and namespaces, as far as they are limited or have shares.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    weights: Vec<Weight>,
    workflows: HashMap<(Namespace, WorkflowName), FlowId>,
    systems: Vec<Option<Bucket>>,
    system_places: HashMap<(Namespace, SystemName), usize>,
    tenants: Vec<Tenant>,
    tenant_places: HashMap<Namespace, usize>,
    /// The tag of the namespace that was served last: one that was idle begins here.
    clock: i64,
    /// The soonest instant at which a lane that lacked a token has one.
    due: Option<Duration>,
}

#[derive(Debug)]
struct Tenant {
    weight: Weight,
    tag: i64,
}

impl Flows {
    pub fn weight(&self, flow: FlowId) -> Weight {
        self.weights.get(flow.0 as usize).copied().unwrap_or_default()
    }

    pub fn tenant(&mut self, namespace: &Namespace) -> usize {
        if let Some(place) = self.tenant_places.get(namespace) {
            return *place;
        }
        self.tenants.push(Tenant { weight: Weight::default(), tag: self.clock });
        self.tenant_places.insert(namespace.clone(), self.tenants.len() - 1);
        self.tenants.len() - 1
    }

    pub fn system(&mut self, namespace: &Namespace, system: &SystemName) -> usize {
        let name = (namespace.clone(), system.clone());
        if let Some(place) = self.system_places.get(&name) {
            return *place;
        }
        self.systems.push(None);
        self.system_places.insert(name, self.systems.len() - 1);
        self.systems.len() - 1
    }
}

/// Who may look for work, in turns: namespaces by their weights, the lanes of each in a circle.
#[derive(Debug)]
pub struct Turns {
    /// By namespace.
    lanes: BTreeMap<usize, VecDeque<LaneId>>,
    order: BinaryHeap<Reverse<(i64, usize)>>,
}

/// What keeps every step of a capability from starting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Hold {
    /// An operator paused it.
    Paused,
    /// So many attempts are open as may be.
    Full {
        /// How many are.
        open: u32,
        /// How many may be.
        limit: u32,
    },
    /// No token is there.
    Rate {
        /// Which rate.
        rate: Rate,
        /// Whether it is that of the whole system.
        of_system: bool,
        /// When the next token is there.
        next_at: Duration,
    },
}

/// How a capability's queue stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueView {
    /// How many steps wait.
    pub waiting: usize,
    /// How many attempts are open.
    pub open: u32,
    /// What the manifests say.
    pub declared: CapabilityLimits,
    /// What an operator says instead.
    pub orders: Orders,
    /// What holds.
    pub limits: CapabilityLimits,
    /// How fast its whole system may be asked.
    pub system_rate: Option<Rate>,
    /// How many attempts start per second, over the last half minute or so.
    pub starts_per_second: f64,
    /// What keeps every step from starting now.
    pub hold: Option<Hold>,
}

/// Why a submission is refused: a capability that it needs has as many waiting steps as it may.
#[derive(Debug, Clone, PartialEq)]
pub struct BacklogFull {
    /// Which capability.
    pub target: Target,
    /// How many steps wait.
    pub waiting: usize,
    /// How many may.
    pub limit: u32,
    /// When there is room again, at the pace of the last while.
    pub retry_after: Duration,
}

/// Limits of capabilities and systems.
impl Scheduler {
    /// Says that attempts may have started shortly before the coordinator did: buckets begin empty at its start, so that a restart does not exceed a rate.
    pub fn set_cold(&mut self) {
        self.gates.cold = true;
    }

    /// Takes what the manifests declare of a capability.
    pub fn declare_limits(&mut self, target: &Target, declared: CapabilityLimits, now: Duration) {
        if declared == CapabilityLimits::default() && !self.targets.contains_key(target) {
            return;
        }
        let id = self.target(target);
        self.asked[id.0 as usize].guard.declared = declared;
        self.settle_bucket(id, now);
    }

    /// Takes what an operator says of a capability.
    pub fn order(&mut self, target: &Target, orders: Orders, now: Duration) {
        let id = self.target(target);
        self.asked[id.0 as usize].guard.orders = orders;
        self.settle_bucket(id, now);
    }

    fn settle_bucket(&mut self, id: TargetId, now: Duration) {
        let cold = self.gates.cold;
        let guard = &mut self.asked[id.0 as usize].guard;
        let rate = guard.limits().rate;
        settle(&mut guard.bucket, rate, cold, now);
    }

    /// Declares or withdraws the rate of a whole system.
    pub fn set_system_rate(&mut self, namespace: &Namespace, system: &SystemName, rate: Option<Rate>, now: Duration) {
        let place = self.flows.system(namespace, system);
        settle(&mut self.flows.systems[place], rate, self.gates.cold, now);
    }

    /// The capabilities of a namespace that have declared limits.
    pub fn limited(&self, namespace: &Namespace) -> Vec<Target> {
        let declared = |asked: &&crate::backlog::Asked| asked.guard.declared != CapabilityLimits::default();
        let of_namespace = self.asked.iter().filter(|asked| asked.name.namespace == *namespace).filter(declared);
        of_namespace.map(|asked| asked.name.clone()).collect()
    }

    /// The systems of a namespace that have a rate.
    pub fn rated_systems(&self, namespace: &Namespace) -> Vec<SystemName> {
        let rated =
            self.flows.system_places.iter().filter(|((tenant, _), place)| tenant == namespace && self.flows.systems[**place].is_some());
        let mut systems: Vec<SystemName> = rated.map(|((_, system), _)| system.clone()).collect();
        systems.sort();
        systems
    }

    /// Whether operators and limits let anything start; if a token is missing, notes when it is there.
    pub(crate) fn is_let_through(&mut self, target: TargetId, now: Duration) -> bool {
        match self.hold_of(target, now) {
            None => true,
            Some(Hold::Paused | Hold::Full { .. }) => false,
            Some(Hold::Rate { next_at, .. }) => {
                self.flows.due = Some(self.flows.due.map_or(next_at, |due| due.min(next_at)));
                false
            }
        }
    }

    /// Whether an operator or a limit of its capability or system holds a lane back.
    pub fn is_held(&self, lane: LaneId, now: Duration) -> bool {
        self.hold_of(self.places[lane.0 as usize].target, now).is_some()
    }

    fn hold_of(&self, target: TargetId, now: Duration) -> Option<Hold> {
        let guard = &self.asked[target.0 as usize].guard;
        if guard.orders.paused {
            return Some(Hold::Paused);
        }
        if let Some(limit) = guard.limits().max_concurrent.filter(|limit| guard.open >= *limit) {
            return Some(Hold::Full { open: guard.open, limit });
        }
        let own = guard.bucket.as_ref().map(|bucket| (bucket, false));
        let of_system = self.flows.systems[guard.system].as_ref().map(|bucket| (bucket, true));
        let short = own.into_iter().chain(of_system).filter(|(bucket, _)| bucket.tokens(now) == 0);
        short.map(|(bucket, of_system)| Hold::Rate { rate: bucket.rate(), of_system, next_at: bucket.next_at(now) }).max_by_key(|hold| {
            match hold {
                Hold::Rate { next_at, .. } => *next_at,
                Hold::Paused | Hold::Full { .. } => Duration::ZERO,
            }
        })
    }

    pub(crate) fn take_tokens(&mut self, target: TargetId, now: Duration) {
        let guard = &mut self.asked[target.0 as usize].guard;
        guard.waiting = guard.waiting.saturating_sub(1);
        for bucket in guard.bucket.iter_mut().chain(self.flows.systems[guard.system].iter_mut()) {
            bucket.take(now);
        }
    }

    pub(crate) fn give_tokens_back(&mut self, target: TargetId) {
        let guard = &mut self.asked[target.0 as usize].guard;
        for bucket in guard.bucket.iter_mut().chain(self.flows.systems[guard.system].iter_mut()) {
            bucket.give_back();
        }
    }

    /// Notes that an attempt was opened from a lane, or was open before the coordinator started.
    pub fn opened(&mut self, lane: LaneId, now: Duration) {
        let target = self.places[lane.0 as usize].target;
        let guard = &mut self.asked[target.0 as usize].guard;
        guard.open += 1;
        (guard.pace, guard.paced_at) = (guard.pace_at(now) + 1.0, now);
    }

    /// Whether how many attempts are open decides about a lane's next step.
    pub fn is_counted(&self, lane: LaneId) -> bool {
        let place = &self.places[lane.0 as usize];
        let bulkhead = self.asked[place.target.0 as usize].guard.limits().max_concurrent.is_some();
        bulkhead || place.queue.head().is_some_and(|head| head.gates != [None; 2])
    }

    /// Notes that an attempt is over that was opened from a lane.
    pub fn closed(&mut self, lane: LaneId) {
        let target = self.places[lane.0 as usize].target;
        let guard = &mut self.asked[target.0 as usize].guard;
        guard.open = guard.open.saturating_sub(1);
    }

    /// Whether a lane's capability has as many waiting steps as it may, so that no more tasks are accepted which need it.
    pub fn backlog_full(&self, lane: LaneId, now: Duration) -> Option<BacklogFull> {
        let asked = &self.asked[self.places[lane.0 as usize].target.0 as usize];
        let limit = asked.guard.limits().max_backlog?;
        let waiting = asked.guard.waiting;
        let over = (waiting + 1).checked_sub(limit as usize).filter(|over| *over > 0)?;
        let pace = asked.guard.pace_at(now) / PACE_OVER.as_secs_f64();
        let wait = if pace > 0.0 { over as f64 / pace } else { RETRY_MAX.as_secs_f64() };
        let retry_after = Duration::from_secs_f64(wait.clamp(RETRY_MIN.as_secs_f64(), RETRY_MAX.as_secs_f64()));
        Some(BacklogFull { target: asked.name.clone(), waiting, limit, retry_after })
    }

    /// How a capability's queue stands; none if nothing ever asked for it.
    pub fn queue(&self, target: &Target, now: Duration) -> Option<QueueView> {
        let id = *self.targets.get(target)?;
        let guard = &self.asked[id.0 as usize].guard;
        Some(QueueView {
            waiting: guard.waiting,
            open: guard.open,
            declared: guard.declared,
            orders: guard.orders,
            limits: guard.limits(),
            system_rate: self.flows.systems[guard.system].as_ref().map(Bucket::rate),
            starts_per_second: guard.pace_at(now) / PACE_OVER.as_secs_f64(),
            hold: self.hold_of(id, now),
        })
    }

    /// Every capability that anything ever asked for, or that is limited.
    pub fn queues(&self) -> impl Iterator<Item = &Target> {
        self.asked.iter().map(|asked| &asked.name)
    }
}

/// A bucket that is there exactly if there is a rate.
fn settle(bucket: &mut Option<Bucket>, rate: Option<Rate>, cold: bool, now: Duration) {
    match (bucket.as_mut(), rate) {
        (Some(known), Some(rate)) if known.rate() != rate => known.set_rate(rate, now),
        (Some(_), Some(_)) => {}
        (None, Some(rate)) if cold => *bucket = Some(Bucket::empty(rate, Duration::ZERO)),
        (None, Some(rate)) => *bucket = Some(Bucket::full(rate, now)),
        (_, None) => *bucket = None,
    }
}

/// Limits of single steps.
impl Scheduler {
    /// The number of a step's rule; known from now on.
    pub fn rule(&mut self, name: &RuleName) -> RuleId {
        self.gates.rule(name)
    }

    /// Declares or withdraws what a step's rule allows.
    pub fn set_rule(&mut self, rule: RuleId, allowed: Option<Allowed>, now: Duration) {
        for (lane, ticket) in self.gates.set(rule, allowed, now) {
            let weight = self.flows.weight(ticket.flow);
            self.places[lane.0 as usize].queue.push(ticket, weight);
            self.busy.insert(lane);
        }
    }

    /// The gate of a rule's key, for one step that is about to wait or has an open attempt.
    pub fn enter_gate(&mut self, rule: RuleId, key: &str, now: Duration) -> GateId {
        self.gates.enter(rule, key, now)
    }

    /// Takes a place at a gate for an attempt that was open before the coordinator started.
    pub fn resume_at(&mut self, gate: GateId, now: Duration) {
        self.gates.begin(gate, now);
    }

    /// The gate of a rule's key, if anybody needs it now.
    pub fn find_gate(&self, rule: RuleId, key: &str) -> Option<GateId> {
        self.gates.find(rule, key)
    }

    /// How a gate stands.
    pub fn gate(&self, gate: GateId, now: Duration) -> Option<GateView<'_>> {
        self.gates.view(gate, now)
    }

    /// How many steps are put aside by limits of their own.
    pub fn put_aside_count(&self) -> usize {
        self.gates.in_line()
    }

    /// How many gates there are.
    pub fn gate_count(&self) -> usize {
        self.gates.len()
    }
}

/// Shares and turns.
impl Scheduler {
    /// The number of a workflow, which has its share in every lane its steps wait in.
    pub fn flow(&mut self, namespace: &Namespace, workflow: &WorkflowName) -> FlowId {
        let name = (namespace.clone(), workflow.clone());
        if let Some(flow) = self.flows.workflows.get(&name) {
            return *flow;
        }
        let flow = FlowId(self.flows.weights.len() as u32);
        self.flows.weights.push(Weight::default());
        self.flows.workflows.insert(name, flow);
        flow
    }

    /// Declares a workflow's share.
    pub fn set_weight(&mut self, flow: FlowId, weight: Weight) {
        if let Some(known) = self.flows.weights.get_mut(flow.0 as usize) {
            *known = weight;
        }
    }

    /// Says what share a namespace has in the coordinator's own time.
    pub fn set_namespace_weight(&mut self, namespace: &Namespace, weight: Weight) {
        let place = self.flows.tenant(namespace);
        self.flows.tenants[place].weight = weight;
    }

    /// The lanes in which something waits that may be looked at.
    pub fn busy(&self) -> Vec<LaneId> {
        self.busy.iter().copied().collect()
    }

    /// Begins a round: brings back whoever's token is due, and gathers the lanes in which something waits.
    pub fn turns(&mut self, now: Duration) -> Turns {
        self.bring_back(now);
        self.flows.due = None;
        self.turn = self.turn.wrapping_add(1);
        let mut lanes: BTreeMap<usize, VecDeque<LaneId>> = BTreeMap::new();
        for lane in &self.busy {
            let asked = &self.asked[self.places[lane.0 as usize].target.0 as usize];
            lanes.entry(asked.guard.tenant).or_default().push_back(*lane);
        }
        let mut order = BinaryHeap::with_capacity(lanes.len());
        for (tenant, lanes) in &mut lanes {
            // Another lane is first each time.
            let first = self.turn as usize % lanes.len();
            lanes.rotate_left(first);
            let known = &mut self.flows.tenants[*tenant];
            known.tag = known.tag.max(self.flows.clock);
            order.push(Reverse((known.tag, *tenant)));
        }
        Turns { lanes, order }
    }

    /// The next lane that may give a step away.
    pub fn next_turn(&mut self, turns: &mut Turns) -> Option<LaneId> {
        while let Some(Reverse((_, tenant))) = turns.order.peek() {
            if let Some(lane) = turns.lanes.get_mut(tenant).and_then(VecDeque::pop_front) {
                return Some(lane);
            }
            turns.order.pop();
        }
        None
    }

    /// A lane has given a step away, and may give more when its turn comes again.
    pub fn served(&mut self, turns: &mut Turns, lane: LaneId) {
        let tenant = self.asked[self.places[lane.0 as usize].target.0 as usize].guard.tenant;
        if self.places[lane.0 as usize].queue.len() > 0 {
            turns.lanes.entry(tenant).or_default().push_back(lane);
        }
        let known = &mut self.flows.tenants[tenant];
        self.flows.clock = self.flows.clock.max(known.tag);
        known.tag += TURN / i64::from(known.weight.get());
        if turns.order.len() > 1 {
            turns.order.pop();
            turns.order.push(Reverse((known.tag, tenant)));
        }
    }

    /// When something that lacks a token may go on, if nothing else happens before.
    pub fn next_due(&self) -> Option<Duration> {
        [self.flows.due, self.gates.next_due()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;

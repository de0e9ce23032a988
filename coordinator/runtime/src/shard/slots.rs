//! Steps that take more than one slot of their worker: what they cost, and how they get slots that cheaper steps would always take first.
//!
//! A step that needs four slots finds them only if four are free at once, and where cheap steps wait, too, each slot that comes free is gone
//! before the next does. So once the step at the head of a costly lane has waited for a while, the worker that has most slots free is
//! **reserved** for it: other lanes take nothing from that worker until the step fits. A reservation ends when it is used, when its reason is
//! gone, or after a while, because whoever holds the slots may hold them for hours; and a lane that just had one waits before it gets another, so
//! that cheap steps are not starved in their turn.

use super::Shard;
use super::attempts::Open;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tasker_engine::{CapabilityName, Namespace, SystemName};
use tasker_registry::{Session, SessionKey};
use tasker_scheduler::LaneId;

/// How long a costly step waits before a worker is reserved for it: most find their slots by themselves within that time.
const RESERVE_AFTER: Duration = Duration::from_millis(500);
/// How long a reservation lasts: longer than most handlers run, and no longer than free slots may lie idle.
const RESERVED_MAX: Duration = Duration::from_secs(60);

/// What steps cost, and who waits for several slots at once.
#[derive(Default)]
pub(super) struct Slots {
    /// What manifests declare, for handlers that do not say so themselves; one, unless it is here.
    declared: BTreeMap<Namespace, HashMap<(SystemName, CapabilityName), u32>>,
    reserved: BTreeMap<SessionKey, Reservation>,
    /// When the last reservation of a lane ended.
    ended: HashMap<LaneId, Duration>,
}

struct Reservation {
    lane: LaneId,
    since: Duration,
}

impl Slots {
    /// What the current workflows of a namespace declare; if several speak of the same capability, the one that was applied last.
    pub fn declare(&mut self, namespace: &Namespace, costs: Vec<(SystemName, CapabilityName, u32)>) {
        if costs.is_empty() {
            self.declared.remove(namespace);
            return;
        }
        let costs = costs.into_iter().map(|(system, capability, cost)| ((system, capability), cost));
        self.declared.insert(namespace.clone(), costs.collect());
    }

    /// What is declared for a capability.
    pub fn declared(&self, namespace: &Namespace, system: &SystemName, capability: &CapabilityName) -> u32 {
        let of_namespace = self.declared.get(namespace);
        of_namespace.and_then(|costs| costs.get(&(system.clone(), capability.clone()))).copied().unwrap_or(1)
    }
}

impl Shard {
    /// Whether any step may take more than one slot: without that, nothing here is looked at.
    pub(super) fn has_costs(&self) -> bool {
        !self.slots.declared.is_empty() || self.registry.has_costs()
    }

    /// How many slots of a session a step of the lane takes.
    pub(super) fn cost(&self, session: &Session, lane: LaneId) -> u32 {
        let target = &self.scheduler.name(lane).target;
        session.cost(&target.capability, self.slots.declared(&target.namespace, &target.system, &target.capability))
    }

    /// What takes more than one slot of a session, and how many.
    pub(super) fn costs_of(&self, session: &Session) -> BTreeMap<CapabilityName, u32> {
        let cost = |capability: &CapabilityName| {
            session.cost(capability, self.slots.declared(&session.key.namespace, &session.key.system, capability))
        };
        let costs = session.capabilities.keys().map(|capability| (capability.clone(), cost(capability)));
        costs.filter(|(_, cost)| *cost > 1).collect()
    }

    /// How many slots of a session its open attempts take.
    pub(super) fn slots_used(&self, session: &Session) -> u64 {
        if !self.has_costs() {
            return self.attempts.count_of(&session.key) as u64;
        }
        let cost = |open: &Open| {
            let asked = self.residents.get(open.task).and_then(|known| known.task.definition(open.step).call());
            asked.map_or(1, |asked| {
                session.cost(&asked.capability, self.slots.declared(&session.key.namespace, &session.key.system, &asked.capability))
            })
        };
        self.attempts.of_session(&session.key).iter().map(|(_, open)| u64::from(cost(open))).sum()
    }

    /// Whether a session keeps its free slots for a step of another lane.
    pub(super) fn is_reserved_from(&self, session: &SessionKey, lane: LaneId) -> bool {
        !self.slots.reserved.is_empty() && self.slots.reserved.get(session).is_some_and(|reserved| reserved.lane != lane)
    }

    /// The session that keeps its free slots for the lane.
    pub(super) fn reserved_for(&self, lane: LaneId) -> Option<&SessionKey> {
        self.slots.reserved.iter().find(|(_, reserved)| reserved.lane == lane).map(|(session, _)| session)
    }

    /// A step of the lane went to a session: if that was reserved for it, it need not be any longer.
    pub(super) fn reservation_used(&mut self, lane: LaneId, session: &SessionKey) {
        if !self.slots.reserved.is_empty() && self.slots.reserved.get(session).is_some_and(|reserved| reserved.lane == lane) {
            self.slots.reserved.remove(session);
            self.slots.ended.insert(lane, self.uptime());
        }
    }

    /// Ends the reservations whose reason is gone, or that have lasted long enough.
    pub(super) fn release_reservations(&mut self) {
        if self.slots.reserved.is_empty() {
            return;
        }
        let uptime = self.uptime();
        let over = |(session, reserved): (&SessionKey, &Reservation)| {
            let takes_work = self.registry.session(session).is_some_and(Session::takes_work);
            let waits = self.scheduler.head(reserved.lane).is_some() && !self.starts_nothing(reserved.lane);
            let lasts = uptime.saturating_sub(reserved.since) < RESERVED_MAX;
            (!(takes_work && waits && lasts)).then(|| (session.clone(), reserved.lane))
        };
        let over: Vec<(SessionKey, LaneId)> = self.slots.reserved.iter().filter_map(over).collect();
        for (session, lane) in over {
            self.slots.reserved.remove(&session);
            self.slots.ended.insert(lane, uptime);
        }
    }

    /// Reserves a worker for each lane whose head has waited long enough for several slots at once.
    pub(super) fn reserve_slots(&mut self, lanes: &[LaneId]) {
        for lane in lanes.iter().copied() {
            if let Some(session) = self.worth_reserving(lane) {
                tracing::debug!(session = %session.session, "free slots are kept for a step that takes several");
                self.slots.reserved.insert(session, Reservation { lane, since: self.uptime() });
            }
        }
    }

    fn worth_reserving(&self, lane: LaneId) -> Option<SessionKey> {
        let head = self.scheduler.head(lane)?;
        let uptime = self.uptime();
        let patient = self.clock.now().since(head.since) < RESERVE_AFTER
            || self.slots.ended.get(&lane).is_some_and(|ended| uptime.saturating_sub(*ended) < RESERVE_AFTER);
        if patient || self.starts_nothing(lane) || self.reserved_for(lane).is_some() {
            return None;
        }
        let able = self.able(lane).into_iter().filter(|session| self.cost(session, lane) > 1 && !self.is_reserved_from(&session.key, lane));
        let room = |session: &Session| session.available(uptime, self.settings.lease);
        // One that has the slots is held back by something else than slots.
        let tight: Vec<&Session> = able.filter(|session| room(session) < self.cost(session, lane)).collect();
        let nearest = tight.into_iter().min_by_key(|session| (self.cost(session, lane) - room(session), session.key.clone()))?;
        Some(nearest.key.clone())
    }

    /// Of a step that waits: how many slots at once, if it takes more than one wherever it can go, and what becomes of it.
    pub(super) fn why_several_slots(&self, lane: LaneId, what: &str) -> Option<(String, Option<String>)> {
        let able = self.able(lane);
        let cost = able.iter().map(|session| self.cost(session, lane)).min().filter(|cost| *cost > 1)?;
        let room = able.iter().map(|session| session.available(self.uptime(), self.settings.lease)).max().unwrap_or_default();
        let workers = able.len();
        let kept = match self.reserved_for(lane) {
            Some(session) => format!("; worker {} keeps its free slots for it", session.session),
            None => String::new(),
        };
        let text = format!("waits for {cost} free slots of one worker: {workers} workers offer {what}, and the freest has {room}{kept}");
        Some((text, Some("give the workers more slots, start more of them, or lower the capability's `slot_cost`".to_owned())))
    }
}

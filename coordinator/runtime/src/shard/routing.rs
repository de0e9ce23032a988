//! Who may take from a lane.

use super::Shard;
use tasker_engine::decide::sticky::sticky_key;
use tasker_engine::{StepIndex, Task};
use tasker_registry::{Session, SessionKey};
use tasker_scheduler::LaneId;
use tasker_scheduler::route::{Bucket, Offer, RouteKey, StickyChoice, eligible, preferred, sticky_choice};

/// The sessions that may take from a lane, in turn.
pub(super) struct Candidates {
    sessions: Vec<SessionKey>,
    next: usize,
    /// Of a sticky lane: the one that its keys prefer, whether or not it has a free slot.
    preferred: Option<SessionKey>,
}

impl Candidates {
    /// Whether nobody has a free slot.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

/// What routing knows of a session.
pub(super) fn offer(session: &Session) -> Offer<'_> {
    Offer { session: session.key.session.as_str(), version: session.version.as_ref(), labels: &session.announcement.labels }
}

/// The bucket of a step's sticky key, if it has one. Without a route this looks at one pointer.
pub(super) fn bucket_of(task: &Task, step: StepIndex) -> Option<Bucket> {
    sticky_key(task, step).map(|key| Bucket::of(&key))
}

impl Shard {
    /// Whether a worker that takes work offers what the lane asks for, whatever else its steps demand.
    pub(super) fn is_offered(&self, lane: LaneId) -> bool {
        let target = &self.scheduler.name(lane).target;
        self.registry.is_offered(&target.namespace, &target.system, &target.capability)
    }

    pub(super) fn candidates(&self, lane: LaneId) -> Candidates {
        let lane_name = self.scheduler.name(lane);
        let target = &lane_name.target;
        let offering = self.registry.offering(&target.namespace, &target.system, &target.capability);
        let (sessions, preferred): (Vec<SessionKey>, _) = match &lane_name.route {
            None => (offering.filter(|session| self.is_free(session, lane)).map(|session| session.key.clone()).collect(), None),
            Some(route) => self.routed(lane, route, &offering.filter(|session| session.takes_work()).collect::<Vec<_>>()),
        };
        // Another worker is first each time, so that few steps do not always go to the same one.
        let next = if sessions.is_empty() { 0 } else { self.last as usize % sessions.len() };
        Candidates { sessions, next, preferred }
    }

    /// The sessions that could take from the lane if they had the slots; of a sticky lane the preferred one.
    pub(super) fn able(&self, lane: LaneId) -> Vec<&Session> {
        let lane_name = self.scheduler.name(lane);
        let target = &lane_name.target;
        let offering = self.registry.offering(&target.namespace, &target.system, &target.capability);
        let living: Vec<&Session> = offering.filter(|session| session.takes_work()).collect();
        let Some(route) = &lane_name.route else { return living };
        let offers: Vec<Offer<'_>> = living.iter().map(|session| offer(session)).collect();
        let places = eligible(route, self.scheduler.canary_of(lane), &offers);
        match route.bucket.and_then(|bucket| preferred(bucket, &offers, &places)) {
            Some(place) => vec![living[place]],
            None => places.into_iter().map(|place| living[place]).collect(),
        }
    }

    /// Those that may take from a lane with a route and have a free slot, and the one that its sticky keys prefer.
    fn routed(&self, lane: LaneId, route: &RouteKey, living: &[&Session]) -> (Vec<SessionKey>, Option<SessionKey>) {
        let offers: Vec<Offer<'_>> = living.iter().map(|session| offer(session)).collect();
        let places = eligible(route, self.scheduler.canary_of(lane), &offers);
        let preferred = route.bucket.and_then(|bucket| preferred(bucket, &offers, &places));
        let free = places.iter().map(|place| living[*place]).filter(|session| self.is_free(session, lane));
        (free.map(|session| session.key.clone()).collect(), preferred.map(|place| living[place].key.clone()))
    }

    /// Whether a session has as many free slots as a step of the lane takes, and does not keep them for another lane.
    pub(super) fn is_free(&self, session: &Session, lane: LaneId) -> bool {
        session.available(self.uptime(), self.settings.lease) >= self.cost(session, lane) && !self.is_reserved_from(&session.key, lane)
    }

    fn has_free_slot(&self, key: &SessionKey, lane: LaneId) -> bool {
        self.registry.session(key).is_some_and(|session| self.is_free(session, lane))
    }

    /// The session that takes the step at the head of the lane: of a sticky lane the preferred one or, after a while, any; of others the next in
    /// turn that has a free slot.
    pub(super) fn pick(&self, lane: LaneId, candidates: &mut Candidates) -> Option<SessionKey> {
        if let Some(preferred) = &candidates.preferred {
            let waited = self.scheduler.head(lane).map(|head| self.clock.now().since(head.since)).unwrap_or_default();
            match sticky_choice(self.has_free_slot(preferred, lane), waited) {
                StickyChoice::Preferred => return Some(preferred.clone()),
                StickyChoice::Nobody => return None,
                StickyChoice::Any => {}
            }
        }
        while !candidates.sessions.is_empty() {
            candidates.next %= candidates.sessions.len();
            let key = &candidates.sessions[candidates.next];
            if self.has_free_slot(key, lane) {
                let key = key.clone();
                candidates.next += 1;
                return Some(key);
            }
            candidates.sessions.swap_remove(candidates.next);
        }
        None
    }
}

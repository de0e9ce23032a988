//! Giving ready steps to free slots.

use super::Shard;
use super::attempts::Carrier;
use super::effects::Asked;
use super::routing::Candidates;
use std::collections::HashMap;
use tasker_engine::AttemptToken;
use tasker_engine::decide::Effect;
use tasker_engine::decide::dispatch::{Assignment, ask_again, dispatch};
use tasker_engine::event::Target;
use tasker_registry::SessionKey;
use tasker_scheduler::{LaneId, Taken};

impl Shard {
    /// Gives out steps until nobody has a free slot for anything that waits, or the group is full. Namespaces and their lanes take turns, a step at a time.
    pub(super) fn deliver(&mut self) {
        if self.draining.is_some() {
            return;
        }
        self.hand_over_parked();
        if self.scheduler.waiting() == 0 {
            return;
        }
        self.release_reservations();
        let costly = if self.has_costs() { self.scheduler.busy() } else { Vec::new() };
        let mut turns = self.scheduler.turns(self.uptime());
        let mut candidates: HashMap<LaneId, Candidates> = HashMap::new();
        // A group that is full is committed first, so that nobody's turn is so long that others wait for it; the end of the commit wakes the loop.
        while self.is_roomy() {
            let Some(lane) = self.scheduler.next_turn(&mut turns) else { break };
            // How many attempts are open is not known before every task was read after a start.
            let unknown = self.is_taking_in() && self.scheduler.is_counted(lane);
            if !unknown && self.scheduler.admits(lane, self.uptime()) && self.give(lane, &mut candidates) {
                self.scheduler.served(&mut turns, lane);
            }
        }
        self.reserve_slots(&costly);
    }

    /// Gives one step of the lane to whoever may take it. False if nothing more can be given from this lane now.
    fn give(&mut self, lane: LaneId, candidates: &mut HashMap<LaneId, Candidates>) -> bool {
        if self.goes_over_http(lane) {
            return self.give_to_http(lane);
        }
        let known = candidates.entry(lane).or_insert_with(|| self.candidates(lane));
        if known.is_empty() && !self.is_offered(lane) {
            return self.give_to_responders(lane);
        }
        self.give_to_session(lane, known)
    }

    /// Gives one step of the lane to a session. False if nothing more can be given from this lane now.
    fn give_to_session(&mut self, lane: LaneId, candidates: &mut Candidates) -> bool {
        let Some(session) = self.pick(lane, candidates) else { return false };
        let Some(taken) = self.take_step(lane) else { return false };
        let waiting = taken.waiting;
        self.reservation_used(lane, &session);
        let capability = &self.scheduler.name(lane).target.capability;
        let contract = self.registry.session(&session).and_then(|worker| self.registry.contract_of(worker, capability));
        let token = AttemptToken(self.chance.draw());
        let assignment = Assignment {
            token,
            target: Target::Session(session.session.clone()),
            contract: contract.map(|(digest, contract)| (digest, &**contract)),
        };
        let Some(resident) = self.residents.get_mut(waiting.task) else {
            self.scheduler.give_back(&taken, self.uptime());
            return true;
        };
        let decision = dispatch(&mut resident.task, waiting.step, &assignment, self.clock.now());
        self.opened(&taken, token, &decision);
        self.permit(lane, token, &decision);
        self.record(waiting.task, decision, Some(Asked::Session(session)));
        true
    }

    /// Gives one step of the lane to plain responders, if they may be asked. False if nothing more can be given from this lane now.
    fn give_to_responders(&mut self, lane: LaneId) -> bool {
        // Responders announce neither build nor labels, so they cannot be what a route demands.
        let demanding = self.scheduler.name(lane).route.as_ref().is_some_and(|route| route.is_demanding());
        if demanding || !self.responders.may_call(self.scheduler.base(lane), self.uptime()) {
            return false;
        }
        let Some(taken) = self.take_step(lane) else { return false };
        let waiting = taken.waiting;
        let assignment = Assignment { token: AttemptToken(self.chance.draw()), target: Target::Responders, contract: None };
        let Some(resident) = self.residents.get_mut(waiting.task) else {
            self.scheduler.give_back(&taken, self.uptime());
            return true;
        };
        let decision = dispatch(&mut resident.task, waiting.step, &assignment, self.clock.now());
        self.opened(&taken, assignment.token, &decision);
        self.permit(lane, assignment.token, &decision);
        self.record(waiting.task, decision, Some(Asked::Responders));
        true
    }

    /// Takes the step whose turn it is. If its workflow is paused, so is its task from now on, and the dispatch leaves it alone.
    pub(super) fn take_step(&mut self, lane: LaneId) -> Option<Taken> {
        let taken = self.scheduler.take(lane, self.uptime())?;
        self.note_wait(lane, &taken.waiting);
        if !self.pauses.is_empty() {
            self.settle_pause(taken.waiting.task);
        }
        Some(taken)
    }

    /// Attempts that found no responder go to workers that have joined since.
    fn hand_over_parked(&mut self) {
        for lane in self.responders.lanes_with_parked() {
            if self.is_held_back(lane) {
                continue;
            }
            let mut candidates = self.candidates(lane);
            while let Some(token) = self.responders.first_parked(lane) {
                let parked = self.attempts.get(&token).filter(|open| open.carrier == Carrier::Parked).cloned();
                let Some(open) = parked else {
                    self.responders.unpark(lane);
                    continue;
                };
                let Some(session) = self.pick(lane, &mut candidates) else { break };
                self.responders.unpark(lane);
                let running = self.residents.get(open.task).and_then(|known| known.task.definition(open.step).timeouts.running);
                if let Some(limit) = running {
                    self.responders.limit(token, self.uptime(), limit);
                }
                self.announce_again(open.task, open.step, &session);
            }
        }
    }

    /// Sends an open attempt to a session once more; never opens one (P7).
    pub(super) fn announce_again(&mut self, task: tasker_engine::TaskId, step: tasker_engine::StepIndex, session: &SessionKey) {
        let Some(resident) = self.residents.get(task) else { return };
        if let Some(Effect::Ask { input, dependencies, .. }) = ask_again(&resident.task, step) {
            self.counters.reannounced += 1;
            self.ask_session(task, step, session, input, dependencies);
        }
    }
}

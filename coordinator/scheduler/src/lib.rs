//! Which ready step goes next, and to whom.
//!
//! Ready steps wait here, in the coordinator, until a live worker has a free slot (design, decision 4). Pure: credit and time are
//! parameters. One queue per capability, first come first served, except that a step which had its turn before (its worker died, its
//! attempt failed) goes ahead of those that never had one: it has waited longer already. Queues that share workers take turns, so that a long backlog of one
//! capability does not starve another.
//!
//! An entry may be out of date (its task was cancelled meanwhile): whoever takes it asks the engine, which then does nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use tasker_engine::{CapabilityName, Namespace, StepIndex, SystemName, TaskId, Timestamp};

/// What a queue is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The tenant.
    pub namespace: Namespace,
    /// Who owns the capability.
    pub system: SystemName,
    /// What waits for it.
    pub capability: CapabilityName,
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

/// The backlog.
#[derive(Debug, Default)]
pub struct Scheduler {
    lanes: Vec<(Lane, Queue)>,
    ids: HashMap<Lane, LaneId>,
    busy: BTreeSet<LaneId>,
    turn: u32,
    waiting: usize,
}

impl Scheduler {
    /// The number of a lane; opens it if it is new.
    pub fn lane(&mut self, lane: &Lane) -> LaneId {
        if let Some(id) = self.ids.get(lane) {
            return *id;
        }
        let id = LaneId(self.lanes.len() as u32);
        self.lanes.push((lane.clone(), Queue::default()));
        self.ids.insert(lane.clone(), id);
        id
    }

    /// What a lane's number stands for.
    pub fn name(&self, lane: LaneId) -> &Lane {
        &self.lanes[lane.0 as usize].0
    }

    /// Adds a step: behind all others, or, if it `returned` from an attempt, behind those that did so too.
    pub fn enqueue(&mut self, lane: LaneId, waiting: Waiting, returned: bool) {
        let queue = &mut self.lanes[lane.0 as usize].1;
        if returned {
            queue.returned.push_back(waiting)
        } else {
            queue.fresh.push_back(waiting)
        }
        self.busy.insert(lane);
        self.waiting += 1;
    }

    /// Takes the step whose turn it is.
    pub fn take(&mut self, lane: LaneId) -> Option<Waiting> {
        let queue = &mut self.lanes[lane.0 as usize].1;
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

    /// How many steps wait in each lane, and since when the oldest does.
    pub fn backlog(&self) -> BTreeMap<&Lane, (usize, Option<Timestamp>)> {
        self.lanes.iter().map(|(lane, queue)| (lane, (queue.len(), queue.oldest()))).collect()
    }

    /// How many are ahead of a step in its lane; none if it does not wait there.
    pub fn position(&self, lane: LaneId, task: TaskId, step: StepIndex) -> Option<usize> {
        self.lanes[lane.0 as usize].1.iter().position(|waiting| waiting.task == task && waiting.step == step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(capability: &str) -> Lane {
        Lane {
            namespace: Namespace::new("default").expect("valid"),
            system: SystemName::new("payments").expect("valid"),
            capability: CapabilityName::new(capability).expect("valid"),
        }
    }

    fn waiting(number: i64) -> Waiting {
        Waiting { task: TaskId::from_number(number).expect("not negative"), step: StepIndex(0), since: Timestamp::from_millis(number) }
    }

    #[test]
    fn a_lane_is_first_come_first_served() {
        let mut scheduler = Scheduler::default();
        let charge = scheduler.lane(&lane("charge"));
        (0..3).for_each(|number| scheduler.enqueue(charge, waiting(number), false));
        let taken: Vec<_> = std::iter::from_fn(|| scheduler.take(charge)).collect();
        assert_eq!(taken, [waiting(0), waiting(1), waiting(2)]);
        assert_eq!(scheduler.waiting(), 0);
        assert!(scheduler.busy().is_empty());
    }

    #[test]
    fn a_step_whose_worker_died_goes_ahead_of_those_that_never_had_a_turn() {
        let mut scheduler = Scheduler::default();
        let charge = scheduler.lane(&lane("charge"));
        scheduler.enqueue(charge, waiting(1), false);
        scheduler.enqueue(charge, waiting(2), false);
        scheduler.enqueue(charge, waiting(3), true);
        scheduler.enqueue(charge, waiting(4), true);
        assert_eq!(scheduler.position(charge, waiting(1).task, StepIndex(0)), Some(2));
        let taken: Vec<_> = std::iter::from_fn(|| scheduler.take(charge)).collect();
        assert_eq!(taken, [waiting(3), waiting(4), waiting(1), waiting(2)]);
    }

    #[test]
    fn lanes_take_turns_at_being_first() {
        let mut scheduler = Scheduler::default();
        let (charge, refund) = (scheduler.lane(&lane("charge")), scheduler.lane(&lane("refund")));
        scheduler.enqueue(charge, waiting(0), false);
        scheduler.enqueue(refund, waiting(1), false);
        let first: BTreeSet<_> = (0..2).map(|_| scheduler.busy()[0]).collect();
        assert_eq!(first, BTreeSet::from([charge, refund]));
        assert_eq!(scheduler.lane(&lane("charge")), charge, "a lane keeps its number");
    }
}

//! Which ready step goes next, and to whom.
//!
//! Ready steps wait here, in the coordinator, until a live worker has a free slot (design, decision 4). Pure: credit and time are
//! parameters. One queue per capability, first come first served; queues that share workers take turns, so that a long backlog of one
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

/// The backlog.
#[derive(Debug, Default)]
pub struct Scheduler {
    lanes: Vec<(Lane, VecDeque<Waiting>)>,
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
        self.lanes.push((lane.clone(), VecDeque::new()));
        self.ids.insert(lane.clone(), id);
        id
    }

    /// What a lane's number stands for.
    pub fn name(&self, lane: LaneId) -> &Lane {
        &self.lanes[lane.0 as usize].0
    }

    /// Adds a step at the end of its lane.
    pub fn enqueue(&mut self, lane: LaneId, waiting: Waiting) {
        self.lanes[lane.0 as usize].1.push_back(waiting);
        self.busy.insert(lane);
        self.waiting += 1;
    }

    /// Takes the step that has waited longest.
    pub fn take(&mut self, lane: LaneId) -> Option<Waiting> {
        let queue = &mut self.lanes[lane.0 as usize].1;
        let taken = queue.pop_front()?;
        self.waiting -= 1;
        if queue.is_empty() {
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
        self.lanes.iter().map(|(lane, queue)| (lane, (queue.len(), queue.front().map(|first| first.since)))).collect()
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
        (0..3).for_each(|number| scheduler.enqueue(charge, waiting(number)));
        let taken: Vec<_> = std::iter::from_fn(|| scheduler.take(charge)).collect();
        assert_eq!(taken, [waiting(0), waiting(1), waiting(2)]);
        assert_eq!(scheduler.waiting(), 0);
        assert!(scheduler.busy().is_empty());
    }

    #[test]
    fn lanes_take_turns_at_being_first() {
        let mut scheduler = Scheduler::default();
        let (charge, refund) = (scheduler.lane(&lane("charge")), scheduler.lane(&lane("refund")));
        scheduler.enqueue(charge, waiting(0));
        scheduler.enqueue(refund, waiting(1));
        let first: BTreeSet<_> = (0..2).map(|_| scheduler.busy()[0]).collect();
        assert_eq!(first, BTreeSet::from([charge, refund]));
        assert_eq!(scheduler.lane(&lane("charge")), charge, "a lane keeps its number");
    }
}

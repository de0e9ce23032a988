//! What waits in one lane, and whose turn it is.
//!
//! Two questions, asked one after the other. *Which workflow?* Start-time fair queueing: each workflow has a sub-queue with a tag that grows by
//! one turn divided by its weight whenever it is served, and the smallest tag is next; so a workflow that floods gets its share and no more,
//! whenever its steps came. *Which of its steps?* The one that has waited longest, where a priority counts as waiting time ([`Priority::LEAD`] for each
//! step on the scale) and so does having had an attempt before; the order of two steps never changes, so it needs no re-sorting.
//!
//! Across workflows a priority is a loan: the tag of a sub-queue whose first step has priority 30 counts as 30 turns smaller, so urgent work goes ahead
//! of everybody's bulk at once, but a workflow that is always urgent pays the loan back and has its share like the others. Nothing starves.
//!
//! The common case, one workflow and steps that come in the order of their ranks, is a ring buffer.

use crate::backlog::Ticket;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use tasker_engine::Timestamp;
use tasker_engine::flow::{Priority, Weight};

/// A small number that stands for a workflow of a namespace, given out once per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub(crate) u32);

/// One turn of a workflow of weight 1, in units of tags: divisible by every weight to within a millionth.
pub(crate) const TURN: i64 = 1 << 30;

/// How much waiting time it is worth to have had an attempt before: as much as the highest priority, so that a step whose worker died goes before all
/// that never had a turn and came before its failure, and a stream of failures still starves nobody.
const RETURNED_LEAD: i64 = Priority::HIGHEST.get() as i64 * Priority::LEAD.as_millis() as i64;

/// The place of a ticket among those of its workflow: the smaller goes first.
pub(crate) type Rank = (i64, u64);

/// The rank of a step that became ready at an instant, as the `number`-th one.
pub(crate) fn rank(since: Timestamp, priority: Priority, returned: bool, number: u64) -> Rank {
    let lead = i64::from(priority.get()) * Priority::LEAD.as_millis() as i64 + if returned { RETURNED_LEAD } else { 0 };
    (since.as_millis().saturating_sub(lead), number)
}

/// What waits in one lane.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    flows: Vec<SubQueue>,
    /// Where each workflow's sub-queue is; filled once there are two.
    places: HashMap<FlowId, usize>,
    /// Sub-queues in which something waits, by what decides whose turn it is; filled once there are two.
    turns: BTreeSet<(i64, usize)>,
    /// The same by tag, for the tag of whoever comes next.
    tags: BTreeSet<(i64, usize)>,
    /// Where the others are: a sub-queue that was empty begins here.
    clock: i64,
    len: usize,
}

/// The steps of one workflow.
#[derive(Debug)]
struct SubQueue {
    flow: FlowId,
    weight: Weight,
    tag: i64,
    /// Those that came in the order of their ranks.
    ordered: VecDeque<Ticket>,
    /// Those that did not.
    others: BinaryHeap<Reverse<ByRank>>,
    /// Whether all that ever waited had one priority and no attempt before, so that the first is the oldest.
    plain: bool,
}

/// A ticket that is compared by its rank, which no two share.
#[derive(Debug)]
struct ByRank(Ticket);

impl PartialEq for ByRank {
    fn eq(&self, other: &Self) -> bool {
        self.0.rank == other.0.rank
    }
}

impl Eq for ByRank {}

impl PartialOrd for ByRank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByRank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.rank.cmp(&other.0.rank)
    }
}

impl SubQueue {
    fn push(&mut self, ticket: Ticket) {
        self.plain &= ticket.is_plain();
        if self.ordered.back().is_none_or(|last| last.rank < ticket.rank) {
            self.ordered.push_back(ticket);
        } else {
            self.others.push(Reverse(ByRank(ticket)));
        }
    }

    fn head(&self) -> Option<&Ticket> {
        match (self.ordered.front(), self.others.peek()) {
            (Some(first), Some(Reverse(other))) if other.0.rank < first.rank => Some(&other.0),
            (Some(first), _) => Some(first),
            (None, other) => other.map(|Reverse(other)| &other.0),
        }
    }

    fn pop(&mut self) -> Option<Ticket> {
        let from_others = match (self.ordered.front(), self.others.peek()) {
            (Some(first), Some(Reverse(other))) => other.0.rank < first.rank,
            (first, _) => first.is_none(),
        };
        if from_others { self.others.pop().map(|Reverse(other)| other.0) } else { self.ordered.pop_front() }
    }

    fn len(&self) -> usize {
        self.ordered.len() + self.others.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Ticket> {
        self.ordered.iter().chain(self.others.iter().map(|Reverse(other)| &other.0))
    }

    /// What decides whose turn it is.
    fn turn(&self) -> i64 {
        self.tag - self.head().map_or(0, |head| i64::from(head.priority.get()) * TURN)
    }
}

impl Queue {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, ticket: Ticket, weight: Weight) {
        let place = self.place(ticket.flow, weight);
        self.len += 1;
        if self.flows.len() == 1 {
            return self.flows[0].push(ticket);
        }
        self.leave(place);
        let flow = &mut self.flows[place];
        flow.weight = weight;
        if flow.len() == 0 {
            flow.tag = flow.tag.max(self.clock);
        }
        flow.push(ticket);
        self.join(place);
    }

    /// Takes the ticket whose turn it is. It counts as served, unless it is only put aside.
    pub fn pop(&mut self, served: bool) -> Option<Ticket> {
        if self.flows.len() == 1 {
            let ticket = self.flows[0].pop()?;
            self.len -= 1;
            return Some(ticket);
        }
        let place = self.turns.first()?.1;
        if served {
            self.clock = self.clock.max(self.tags.first()?.0);
        }
        self.leave(place);
        let flow = &mut self.flows[place];
        let ticket = flow.pop()?;
        if served {
            flow.tag += TURN / i64::from(flow.weight.get());
        }
        self.len -= 1;
        self.join(place);
        Some(ticket)
    }

    /// The ticket whose turn it is, left where it is.
    pub fn head(&self) -> Option<&Ticket> {
        match self.flows.as_slice() {
            [] => None,
            [only] => only.head(),
            many => many[self.turns.first()?.1].head(),
        }
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Ticket> {
        self.flows.iter().flat_map(SubQueue::iter)
    }

    /// How many of the same workflow go before a ticket; none if no such ticket waits here.
    pub fn position(&self, is_it: impl Fn(&Ticket) -> bool) -> Option<usize> {
        let (flow, ticket) = self.flows.iter().find_map(|flow| Some((flow, flow.iter().find(|ticket| is_it(ticket))?)))?;
        Some(flow.iter().filter(|other| other.rank < ticket.rank).count())
    }

    pub fn oldest(&self) -> Option<Timestamp> {
        let of = |flow: &SubQueue| match flow.plain {
            true => flow.head().map(|head| head.waiting.since),
            false => flow.iter().map(|ticket| ticket.waiting.since).min(),
        };
        self.flows.iter().filter_map(of).min()
    }

    /// The place of a workflow's sub-queue. With the second workflow the first one's is entered into the order of turns.
    fn place(&mut self, flow: FlowId, weight: Weight) -> usize {
        match self.flows.as_slice() {
            [only] if only.flow == flow => return 0,
            [] | [_] => {}
            _ => {
                if let Some(place) = self.places.get(&flow) {
                    return *place;
                }
            }
        }
        let place = self.flows.len();
        self.flows.push(SubQueue { flow, weight, tag: self.clock, ordered: VecDeque::new(), others: BinaryHeap::new(), plain: true });
        if place == 1 {
            self.places.insert(self.flows[0].flow, 0);
            self.join(0);
        }
        if place > 0 {
            self.places.insert(flow, place);
        }
        place
    }

    fn leave(&mut self, place: usize) {
        let flow = &self.flows[place];
        if flow.len() > 0 {
            self.turns.remove(&(flow.turn(), place));
            self.tags.remove(&(flow.tag, place));
        }
    }

    fn join(&mut self, place: usize) {
        let flow = &self.flows[place];
        if flow.len() > 0 {
            self.turns.insert((flow.turn(), place));
            self.tags.insert((flow.tag, place));
        }
    }
}

#[cfg(test)]
mod tests;

use super::*;
use crate::backlog::Waiting;
use proptest::prelude::*;
use tasker_engine::{StepIndex, TaskId};

fn ticket(number: i64, flow: u32, since: i64, priority: i64, returned: bool) -> Ticket {
    let priority = Priority::new(priority).expect("on the scale");
    let since = Timestamp::from_millis(since);
    let waiting = Waiting { task: TaskId::from_number(number).expect("not negative"), step: StepIndex(0), since };
    Ticket { waiting, rank: rank(since, priority, returned, number as u64), flow: FlowId(flow), priority, returned, gates: [None; 2] }
}

fn weight(number: u32) -> Weight {
    Weight::new(number).expect("in range")
}

fn drain(queue: &mut Queue) -> Vec<Ticket> {
    std::iter::from_fn(|| queue.pop(true)).collect()
}

const LEAD_MS: i64 = Priority::LEAD.as_millis() as i64;

#[test]
fn a_priority_is_worth_its_lead_in_waiting_time_and_no_more() {
    let mut queue = Queue::default();
    queue.push(ticket(1, 0, 0, 0, false), weight(1));
    queue.push(ticket(2, 0, 20 * LEAD_MS - 1, 20, false), weight(1));
    queue.push(ticket(3, 0, 20 * LEAD_MS + 1, 20, false), weight(1));
    let order: Vec<i64> = drain(&mut queue).iter().map(|ticket| ticket.waiting.task.as_number()).collect();
    assert_eq!(order, [2, 1, 3]);
}

#[test]
fn urgent_work_of_one_workflow_goes_before_the_bulk_of_another() {
    let mut queue = Queue::default();
    (0..1_000).for_each(|number| queue.push(ticket(number, 0, 0, 0, false), weight(1)));
    queue.pop(true);
    queue.push(ticket(5_000, 1, 60_000, 50, false), weight(1));
    assert_eq!(queue.pop(true).map(|ticket| ticket.flow), Some(FlowId(1)));
}

#[test]
fn a_workflow_that_comes_late_gets_its_share_at_once_and_no_arrears() {
    let mut queue = Queue::default();
    (0..500).for_each(|number| queue.push(ticket(number, 0, 0, 0, false), weight(1)));
    (0..100).for_each(|_| assert!(queue.pop(true).is_some()));
    (500..700).for_each(|number| queue.push(ticket(number, 1, 1_000, 0, false), weight(1)));
    let served: usize = (0..100).filter(|_| queue.pop(true).is_some_and(|ticket| ticket.flow == FlowId(1))).count();
    assert!((49..=51).contains(&served), "{served}");
}

proptest! {
    /// Within a workflow nobody is overtaken by whoever came later than the whole scale is worth, returned or not.
    #[test]
    fn waiting_is_bounded_within_a_workflow(
        tickets in proptest::collection::vec((0..3_600_000i64, -100..=100i64, any::<bool>()), 1..200),
    ) {
        let mut queue = Queue::default();
        for (number, (since, priority, returned)) in tickets.iter().enumerate() {
            queue.push(ticket(number as i64, 0, *since, *priority, *returned), weight(1));
        }
        let order = drain(&mut queue);
        prop_assert_eq!(order.len(), tickets.len());
        let most = 300 * LEAD_MS;
        let mut newest = i64::MIN;
        for ticket in order {
            let since = ticket.waiting.since.as_millis();
            prop_assert!(since + most >= newest, "a step of {since} was overtaken by one of {newest}");
            newest = newest.max(since);
        }
    }

    /// A step of the lowest priority is served although fresh urgent ones never cease to come as fast as they are served.
    #[test]
    fn the_least_urgent_is_served_in_time(gap in 50..5_000i64) {
        let mut queue = Queue::default();
        queue.push(ticket(0, 0, 0, -100, false), weight(1));
        let mut now = 0;
        let mut number = 1;
        loop {
            queue.push(ticket(number, 0, now, 100, false), weight(1));
            let served = queue.pop(true).expect("something waits");
            if served.waiting.task.as_number() == 0 {
                break;
            }
            number += 1;
            now += gap;
            prop_assert!(now <= 200 * LEAD_MS + gap, "it waits for {now} ms");
        }
    }

    /// Over a long run the shares are those of the weights, whatever the order of arrival and the priorities.
    #[test]
    fn shares_approach_weights_whatever_comes_when(
        weights in proptest::collection::vec(1..=100u32, 2..6),
        urgent in 0..6usize,
        seed in any::<u64>(),
    ) {
        let total: u32 = weights.iter().sum();
        let rounds = 40_000i64;
        let mut queue = Queue::default();
        let mut next = 0i64;
        let mut push = |queue: &mut Queue, flow: usize| {
            let priority = if flow == urgent { 100 } else { 0 };
            queue.push(ticket(next, flow as u32, next, priority, false), weight(weights[flow]));
            next += 1;
        };
        // Floods of different sizes, one after the other, then every workflow refills as it is served: all are always backlogged.
        for (flow, _) in weights.iter().enumerate() {
            let flood = 1 + (seed >> (flow * 8)) % 256;
            (0..flood).for_each(|_| push(&mut queue, flow));
        }
        let mut served = vec![0i64; weights.len()];
        for _ in 0..rounds {
            let flow = queue.pop(true).expect("something waits").flow.0 as usize;
            served[flow] += 1;
            push(&mut queue, flow);
        }
        for (flow, served) in served.iter().enumerate() {
            let ideal = rounds * i64::from(weights[flow]) / i64::from(total);
            // A loan of 100 turns of weight 1 is worth 100 times the weight in steps, and each workflow is at most one step early or late.
            let loan = 100 * i64::from(weights[flow]) + weights.len() as i64;
            let slack = if urgent < weights.len() { 100 * i64::from(total) + loan } else { i64::from(total) / i64::from(weights[flow]) + 2 + weights.len() as i64 };
            prop_assert!((served - ideal).abs() <= slack, "workflow {flow} of weights {weights:?} got {served}, not {ideal}");
        }
    }

    /// Nothing is lost or doubled, and the first one is always what is taken next.
    #[test]
    fn what_is_put_in_comes_out_once(
        moves in proptest::collection::vec((any::<bool>(), 0..4u32, 0..10_000i64, -100..=100i64, any::<bool>()), 1..300),
    ) {
        let mut queue = Queue::default();
        let mut inside = std::collections::BTreeSet::new();
        for (number, (push, flow, since, priority, served)) in moves.into_iter().enumerate() {
            if push {
                queue.push(ticket(number as i64, flow, since, priority, false), weight(1 + flow));
                inside.insert(number as i64);
            } else {
                let head = queue.head().map(|head| head.waiting.task);
                let taken = queue.pop(served).map(|ticket| ticket.waiting.task);
                prop_assert_eq!(head, taken);
                prop_assert_eq!(taken.is_some(), !inside.is_empty());
                if let Some(taken) = taken {
                    prop_assert!(inside.remove(&taken.as_number()));
                }
            }
            prop_assert_eq!(queue.len(), inside.len());
            prop_assert_eq!(queue.iter().count(), inside.len());
        }
    }
}

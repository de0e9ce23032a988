//! What it costs to put a step into the backlog and to take the next one, with and without what flow control adds.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use tasker_engine::flow::Priority;
use tasker_engine::{CapabilityName, Namespace, StepIndex, StepName, SystemName, TaskId, Timestamp, WorkflowName};
use tasker_scheduler::gates::{Allowed, RuleName};
use tasker_scheduler::{FlowId, Lane, LaneId, Scheduler, Standing, Target, Waiting};

/// Steps that wait all the time.
const BACKLOG: i64 = 100_000;

struct Stage {
    scheduler: Scheduler,
    lane: LaneId,
    flows: Vec<FlowId>,
    next: i64,
}

impl Stage {
    fn new(workflows: usize) -> Self {
        let mut scheduler = Scheduler::default();
        let namespace = Namespace::new("default").expect("valid");
        let target = Target {
            namespace: namespace.clone(),
            system: SystemName::new("payments").expect("valid"),
            capability: CapabilityName::new("charge").expect("valid"),
        };
        let lane = scheduler.lane(&Lane { target, route: None });
        let names = (0..workflows).map(|number| WorkflowName::new(&format!("workflow_{number}")).expect("valid"));
        let flows = names.map(|name| scheduler.flow(&namespace, &name)).collect();
        Self { scheduler, lane, flows, next: 0 }
    }

    fn add(&mut self, priority: i64, rule: Option<tasker_scheduler::gates::RuleId>) {
        self.next += 1;
        let gate = rule.map(|rule| self.scheduler.enter_gate(rule, KEYS[self.next as usize % KEYS.len()], Duration::ZERO));
        let waiting = Waiting {
            task: TaskId::from_number(self.next).expect("valid"),
            step: StepIndex(0),
            since: Timestamp::from_millis(self.next / 50),
        };
        let flow = self.flows[self.next as usize % self.flows.len()];
        let priority = Priority::new(priority).expect("on the scale");
        self.scheduler.enqueue(self.lane, waiting, Standing { flow, priority, returned: false, gates: [gate, None] });
    }

    fn take(&mut self) {
        let now = Duration::ZERO;
        assert!(self.scheduler.admits(self.lane, now));
        let taken = black_box(self.scheduler.take(self.lane, now)).expect("something waits");
        self.scheduler.leave_gates(taken.gates, false, now);
    }
}

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn picking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("add_and_take_of_100000");
    let mut stage = Stage::new(1);
    (0..BACKLOG).for_each(|_| stage.add(0, None));
    group.bench_function("plain", |bencher| {
        bencher.iter(|| {
            stage.add(0, None);
            stage.take();
        });
    });
    let mut stage = Stage::new(1);
    (0..BACKLOG).for_each(|number| stage.add(number % 201 - 100, None));
    group.bench_function("priorities", |bencher| {
        bencher.iter(|| {
            let priority = stage.next * 7 % 201 - 100;
            stage.add(priority, None);
            stage.take();
        });
    });
    let mut stage = Stage::new(100);
    (0..BACKLOG).for_each(|_| stage.add(0, None));
    group.bench_function("a_hundred_workflows", |bencher| {
        bencher.iter(|| {
            stage.add(0, None);
            stage.take();
        });
    });
    let mut stage = Stage::new(1);
    let name = RuleName {
        namespace: Namespace::new("default").expect("valid"),
        workflow: WorkflowName::new("workflow_0").expect("valid"),
        step: StepName::new("charge").expect("valid"),
        is_rate: false,
    };
    let rule = stage.scheduler.rule(&name);
    stage.scheduler.set_rule(rule, Some(Allowed::AtOnce(1)), Duration::ZERO);
    (0..BACKLOG).for_each(|_| stage.add(0, Some(rule)));
    group.bench_function("keys", |bencher| {
        bencher.iter(|| {
            stage.add(0, Some(rule));
            stage.take();
        });
    });
    group.finish();
}

criterion_group!(benches, picking);
criterion_main!(benches);

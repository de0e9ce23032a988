//! What it costs to know what may run next: after one completion in a graph of 1,000 steps, for the whole graph, and in a fan-out.
//!
//! `cargo bench -p tasker-engine`

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::json;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use tasker_engine::decide::accept::accept;
use tasker_engine::decide::dispatch::{Assignment, dispatch};
use tasker_engine::decide::readiness;
use tasker_engine::decide::reply::{Outcome, Reply, reply};
use tasker_engine::event::Target;
use tasker_engine::expression::Expression;
use tasker_engine::reaction::OnError;
use tasker_engine::retry::RetryPolicy;
use tasker_engine::task::{Submission, Task, Trace};
use tasker_engine::workflow::{Call, ForEach, Join, Role, Step, StepKind, Stop, Timeouts, Workflow};
use tasker_engine::{
    AttemptToken, CapabilityName, Contract, Digest, Namespace, Payload, SessionId, StepIndex, StepName, SystemName, TaskId, Timestamp,
    WorkflowName, WorkflowVersion,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LAYERS: usize = 100;
const WIDTH: usize = 10;

fn step(number: usize, depends_on: SmallVec<[StepIndex; 4]>) -> Step {
    Step {
        name: StepName::new(&format!("step_{number}")).expect("valid"),
        kind: StepKind::Call(Call {
            system: SystemName::new("system").expect("valid"),
            capability: CapabilityName::new("do.it").expect("valid"),
            route: None,
            limits: None,
        }),
        role: Role::Forward,
        depends_on,
        successors: SmallVec::new(),
        join: Join::All,
        branches: SmallVec::new(),
        when: None,
        for_each: None,
        input: None,
        contract: Contract::default(),
        retry: RetryPolicy::default(),
        timeouts: Timeouts::default(),
        on_error: OnError::default(),
        compensate: None,
    }
}

fn workflow(steps: Vec<Step>) -> Arc<Workflow> {
    let mut workflow = Workflow {
        namespace: Namespace::new("default").expect("valid"),
        name: WorkflowName::new("bench").expect("valid"),
        version: WorkflowVersion::new("1").expect("valid"),
        digest: Digest::of(b"bench"),
        input: None,
        result: None,
        timeout: None,
        deadline: None,
        max_parallel: None,
        identity: None,
        flow: tasker_engine::flow::WorkflowFlow::default(),
        on_failure: Vec::new(),
        steps,
        places: BTreeMap::new(),
    };
    workflow.link();
    Arc::new(workflow)
}

/// A thousand steps in layers; each depends on two of the layer before.
fn layered() -> Arc<Workflow> {
    let steps = (0..LAYERS * WIDTH).map(|number| {
        let (layer, place) = (number / WIDTH, number % WIDTH);
        let above = |place: usize| StepIndex(((layer - 1) * WIDTH + place % WIDTH) as u32);
        let depends_on = if layer == 0 { SmallVec::new() } else { SmallVec::from_slice(&[above(place), above(place + 1)]) };
        step(number, depends_on)
    });
    workflow(steps.collect())
}

fn submission(workflow: &Workflow, input: Payload) -> Submission {
    Submission {
        namespace: workflow.namespace.clone(),
        workflow: workflow.digest,
        input,
        labels: BTreeMap::new(),
        idempotency_key: None,
        origin: None,
        trace: Trace { trace_id: [1; 16], parent: None, sampled: false },
        parent: None,
        priority: tasker_engine::flow::Priority::default(),
        concurrency: None,
    }
}

fn start(workflow: &Arc<Workflow>, input: Payload) -> Task {
    let id = TaskId::first_at(NOW);
    accept(id, workflow, submission(workflow, input), Vec::new(), NOW).expect("no schema").0
}

fn ask(task: &mut Task, step: StepIndex) -> Reply {
    let assignment =
        Assignment { token: AttemptToken([7; 16]), target: Target::Session(SessionId::new("session-1").expect("valid")), contract: None };
    dispatch(task, step, &assignment, NOW);
    let attempt = task.open_attempt(step).expect("it was ready").attempt;
    Reply { step, attempt, token: AttemptToken([7; 16]), outcome: Outcome::Succeeded(Payload::trusted(Bytes::from_static(b"true"))) }
}

fn benches(criterion: &mut Criterion) {
    let layered = layered();
    // Half of the graph is done: what is measured does not depend on how much lies behind or ahead.
    let mut half = start(&layered, Payload::null());
    for number in 0..LAYERS * WIDTH / 2 {
        let answer = ask(&mut half, StepIndex(number as u32));
        reply(&mut half, &answer, None, NOW);
    }
    let next = StepIndex((LAYERS * WIDTH / 2) as u32);
    let answer = ask(&mut half, next);
    criterion.bench_function("completion in 1,000 steps", |bencher| {
        bencher.iter_batched_ref(|| half.clone(), |task| black_box(reply(task, &answer, None, NOW)), BatchSize::PerIteration);
    });
    criterion.bench_function("readiness of one step", |bencher| bencher.iter(|| black_box(readiness(&half, black_box(next)))));
    criterion.bench_function("readiness of the whole graph, 1,000 steps", |bencher| {
        bencher.iter(|| layered.indexes().filter(|step| black_box(readiness(&half, *step)).goes()).count());
    });
    criterion.bench_function("acceptance of 1,000 steps", |bencher| {
        bencher.iter(|| black_box(start(&layered, Payload::null())));
    });
    let mut fan = step(0, SmallVec::new());
    let items = Expression::compile("task.input.items").expect("valid");
    fan.for_each = Some(Box::new(ForEach { items, max_parallel: Some(50), batch_size: None, stop: Stop::Never }));
    let fan = workflow(vec![fan]);
    let input = Payload::of(&json!({ "items": (0..10_000).collect::<Vec<_>>() }));
    criterion.bench_function("fan-out of 10,000 items, from its start to its result", |bencher| {
        bencher.iter(|| {
            let mut task = start(&fan, input.clone());
            for item in 1..=10_000 {
                let answer = ask(&mut task, StepIndex(item));
                reply(&mut task, &answer, None, NOW);
            }
            assert!(task.status.is_terminal());
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);

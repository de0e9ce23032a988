//! Real tasks for tests, driven through the engine itself.

use smallvec::smallvec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_engine::canary::Canary;
use tasker_engine::decide::dispatch::{Assignment, dispatch};
use tasker_engine::decide::reply::{Outcome, Reply, reply};
use tasker_engine::decide::{Decision, accept, cancel};
use tasker_engine::event::{Entry, Target};
use tasker_engine::reaction::OnError;
use tasker_engine::retry::{Jitter, RetryPolicy};
use tasker_engine::task::Trace;
use tasker_engine::transport::Transport;
use tasker_engine::version::VersionConstraint;
use tasker_engine::workflow::{Call, Join, Role, Step, StepKind, Timeouts};
use tasker_engine::{
    AttemptToken, CapabilityName, Contract, Digest, ErrorCode, Failure, FailureKind, Namespace, Payload, SessionId, StepIndex, StepName,
    Submission, SystemName, Task, TaskId, Timestamp, Workflow, WorkflowName, WorkflowVersion,
};
use tasker_registry::message::{Sdk, SessionState};
use tasker_registry::registry::{Capability, Source, System};
use tasker_runtime::operations::{
    AppliedWorkflow, BreakerView, CapabilityView, HealthState, Override, State, SystemHealth, SystemView, TaskView, Withheld, WorkerView,
};

/// Every attempt token in these samples consists of this byte.
pub(crate) const TOKEN_BYTE: u8 = 0xd7;

const START: i64 = 1_795_000_000_000;

/// So many milliseconds after the samples' beginning.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a valid name")
}

fn payload(text: &str) -> Payload {
    Payload::parse(text.to_owned().into()).expect("JSON")
}

fn step(step: &str, system: &str, capability: &str, depends_on: &[u32]) -> Step {
    Step {
        name: name::<StepName>(step),
        kind: StepKind::Call(Call {
            system: name::<SystemName>(system),
            capability: name::<CapabilityName>(capability),
            route: None,
            limits: None,
        }),
        role: Role::Forward,
        depends_on: depends_on.iter().map(|index| StepIndex(*index)).collect(),
        successors: smallvec![],
        join: Join::All,
        branches: smallvec![],
        when: None,
        for_each: None,
        on_error: OnError::default(),
        compensate: None,
        input: None,
        contract: Contract::default(),
        retry: RetryPolicy {
            jitter: Jitter::None,
            attempts_max: 3,
            non_retryable: [name::<ErrorCode>("card_declined")].into(),
            ..RetryPolicy::default()
        },
        timeouts: Timeouts { running: Some(Duration::from_secs(45)), ..Timeouts::default() },
    }
}

/// Validate; then reserve and charge side by side.
pub(crate) fn workflow() -> Arc<Workflow> {
    let mut workflow = Workflow {
        namespace: name::<Namespace>("default"),
        name: name::<WorkflowName>("order"),
        version: name::<WorkflowVersion>("2.0.0"),
        digest: Digest::of(b"order 2.0.0"),
        input: None,
        result: None,
        timeout: None,
        deadline: None,
        max_parallel: None,
        identity: None,
        flow: tasker_engine::flow::WorkflowFlow::default(),
        on_failure: Vec::new(),
        places: BTreeMap::new(),
        steps: vec![
            step("validate", "orders", "order.validate", &[]),
            step("reserve", "inventory", "stock.reserve", &[0]),
            step("charge", "payments", "payment.charge", &[0]),
        ],
    };
    workflow.link();
    Arc::new(workflow)
}

/// A task that takes notes of its own history.
struct Story {
    task: Task,
    entries: Vec<Arc<Entry>>,
}

impl Story {
    fn begin() -> Self {
        let submission = Submission {
            namespace: name::<Namespace>("default"),
            workflow: workflow().digest,
            input: payload(r#"{"order_id": "A-7", "amount": 10.000000000000000000001}"#),
            labels: BTreeMap::from([("tenant".to_owned(), "acme".to_owned())]),
            idempotency_key: Some("order-A-7".into()),
            origin: None,
            trace: Trace { trace_id: [0xab; 16], parent: None, sampled: true },
            parent: None,
            priority: tasker_engine::flow::Priority::default(),
            concurrency: None,
        };
        let id = TaskId::first_at(at(0));
        let (task, decision) = accept::accept(id, &workflow(), submission, Vec::new(), at(0)).expect("accepted");
        let mut story = Self { task, entries: Vec::new() };
        story.note(decision);
        story
    }

    fn note(&mut self, decision: Decision) {
        self.entries.extend(decision.entry.map(Arc::new));
    }

    fn dispatch(&mut self, step: u32, target: Target, millis: i64) {
        let assignment = Assignment { token: AttemptToken([TOKEN_BYTE; 16]), target, contract: None };
        let decision = dispatch(&mut self.task, StepIndex(step), &assignment, at(millis));
        self.note(decision);
    }

    fn reply(&mut self, step: u32, outcome: Outcome, millis: i64) {
        let attempt = self.task.open_attempt(StepIndex(step)).expect("an open attempt").attempt;
        let said = Reply { step: StepIndex(step), attempt, token: AttemptToken([TOKEN_BYTE; 16]), outcome };
        let (_, decision) = reply(&mut self.task, &said, None, at(millis));
        self.note(decision);
    }

    fn view(self) -> TaskView {
        TaskView { task: self.task, progress: BTreeMap::new(), children: Vec::new(), workflow_pause: None }
    }
}

fn session(text: &str) -> Target {
    Target::Session(name::<SessionId>(text))
}

fn failure(kind: FailureKind, code: &str, message: &str) -> Outcome {
    Outcome::Failed(Failure::new(kind, name(code), message))
}

/// Nothing has started.
pub(crate) fn accepted() -> TaskView {
    Story::begin().view()
}

fn run() -> Story {
    let mut story = Story::begin();
    story.dispatch(0, session("orders-worker-1"), 120);
    story.reply(0, Outcome::Succeeded(payload(r#"{"valid":true}"#)), 400);
    story.dispatch(1, session("inventory-worker-1"), 450);
    story.dispatch(2, Target::Responders, 460);
    story.reply(2, failure(FailureKind::Retryable, "gateway_down", "the bank did not answer"), 900);
    story
}

/// One step is done, one runs, one backs off.
pub(crate) fn running() -> TaskView {
    let mut view = run().view();
    view.progress.insert(StepIndex(1), payload(r#"{"percent":40}"#));
    view
}

/// Every step has its result.
pub(crate) fn succeeded() -> TaskView {
    let mut story = Story::begin();
    story.dispatch(0, session("orders-worker-1"), 120);
    story.reply(0, Outcome::Succeeded(payload(r#"{"valid":true}"#)), 400);
    story.dispatch(1, session("inventory-worker-1"), 450);
    story.reply(1, Outcome::Succeeded(payload(r#"{"reserved":3}"#)), 600);
    story.dispatch(2, Target::Responders, 460);
    story.reply(2, Outcome::Succeeded(payload(r#"{"charge":12345678901234567890123}"#)), 900);
    story.view()
}

fn fail() -> Story {
    let mut story = Story::begin();
    story.dispatch(0, session("orders-worker-1"), 120);
    story.reply(0, Outcome::Succeeded(payload(r#"{"valid":true}"#)), 400);
    story.dispatch(1, session("inventory-worker-1"), 450);
    story.dispatch(2, session("payments-worker-1"), 460);
    story.reply(2, failure(FailureKind::Permanent, "card_declined", "the bank says no"), 900);
    story
}

/// One step failed while another ran.
pub(crate) fn failed() -> TaskView {
    fail().view()
}

/// Cancelled before anything started.
pub(crate) fn cancelled() -> TaskView {
    let mut story = Story::begin();
    let decision = cancel::cancel(&mut story.task, "wrong customer", at(50)).expect("running");
    story.note(decision);
    story.view()
}

/// A history with a failure, a withdrawn attempt and a conflicting reply.
pub(crate) fn history() -> (Arc<Workflow>, Vec<Arc<Entry>>) {
    let mut story = fail();
    let attempt = story.task.progress(StepIndex(0)).closed[0].attempt;
    let said = Reply {
        step: StepIndex(0),
        attempt,
        token: AttemptToken([TOKEN_BYTE; 16]),
        outcome: Outcome::Succeeded(payload("{\r\n  \"valid\": false\r\n}")),
    };
    let (_, decision) = reply(&mut story.task, &said, None, at(1_000));
    story.note(decision);
    (story.task.workflow.clone(), story.entries)
}

/// The workflow as applied.
pub(crate) fn applied_workflow() -> AppliedWorkflow {
    AppliedWorkflow {
        workflow: workflow(),
        description: "Takes an order.".into(),
        source: Arc::from("name: order\nversion: 2.0.0\n"),
        applied_at: at(0),
        current: true,
        pause: None,
    }
}

fn capability() -> Capability {
    let contract = Contract::from_json(&serde_json::json!({
        "input": { "type": "object" },
        "result": null,
        "errors": { "card_declined": { "details": null, "description": "the bank says no" } },
    }));
    let contract = Arc::new(contract.expect("a contract"));
    Capability {
        digest: contract.digest(),
        contract,
        description: "Charges a card.".into(),
        timeout: Some(Duration::from_secs(20)),
        source: Source::Worker,
        declared_at: at(0),
    }
}

/// A system with one worker.
pub(crate) fn system() -> SystemView {
    let worker = WorkerView {
        namespace: name("default"),
        system: name("payments"),
        session: "payments-worker-1".into(),
        system_version: "1.4.2".into(),
        sdk: Sdk { name: "tasker-worker".into(), version: "0.1.0".into(), language: "rust".into() },
        host: "pay-1".into(),
        process_id: 4711,
        labels: BTreeMap::from([("region".into(), "eu".into())]),
        state: SessionState::Active,
        withheld: Some(Withheld::Version),
        capabilities: vec![name("payment.charge")],
        slots: 8,
        slot_costs: BTreeMap::from([(name("payment.charge"), 2)]),
        running: 1,
        joined_at: at(0),
        silent_for: Duration::from_millis(1_500),
    };
    SystemView {
        namespace: name("default"),
        name: name("payments"),
        system: System {
            base_url: Some("https://payments.internal".into()),
            health_check_url: Some("https://payments.internal/health".into()),
            capabilities: BTreeMap::from([(name("payment.charge"), capability())]),
        },
        workers: vec![worker],
        canary: Some(Canary::new(VersionConstraint::parse(">=2.0.0").expect("valid"), 10).expect("in range")),
        drained_versions: vec!["1.4.2".into()],
        transport: Transport::Auto,
        health: SystemHealth {
            state: HealthState::Unhealthy,
            since: Some(at(2_000)),
            checked_at: Some(at(2_500)),
            problem: Some("it answered 503".into()),
        },
    }
}

/// Five failures have opened it; the next probe starts in ten seconds.
fn breaker() -> BreakerView {
    BreakerView {
        state: State::Open,
        since: at(0),
        failures: 0,
        next_probe_at: Some(at(10_000)),
        operator: Override::Auto,
        opened: 1,
        policy: Some(BreakerPolicy::DEFAULT),
    }
}

/// One that was declared, and one that only a workflow speaks of.
pub(crate) fn capabilities() -> [CapabilityView; 2] {
    let view = |capability, text: &str, waiting| CapabilityView {
        namespace: name("default"),
        system: name("payments"),
        name: name(text),
        capability,
        workers: 1,
        waiting,
        oldest_waiting: (waiting > 0).then(|| at(250)),
        breaker: (waiting > 0).then(breaker),
    };
    [view(Some(capability()), "payment.charge", 0), view(None, "payment.refund", 2)]
}

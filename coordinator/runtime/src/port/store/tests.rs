use super::*;
use tasker_engine::event::Event;
use tasker_engine::retry::RetryPolicy;
use tasker_engine::task::{Submission, Trace};
use tasker_engine::workflow::{Call, Join, Role, Step, StepKind, Timeouts, Workflow};
use tasker_engine::{Contract, ErrorCode, Failure, FailureKind, StepIndex, StepName};

fn step(name: &str) -> Step {
    let system = SystemName::new("shop").expect("of the right form");
    let capability = CapabilityName::new("do.it").expect("of the right form");
    Step {
        name: StepName::new(name).expect("of the right form"),
        kind: StepKind::Call(Call { system, capability, route: None, limits: None }),
        role: Role::Forward,
        depends_on: Default::default(),
        successors: Default::default(),
        join: Join::All,
        branches: Default::default(),
        when: None,
        for_each: None,
        input: None,
        contract: Contract::default(),
        retry: RetryPolicy::default(),
        timeouts: Timeouts::default(),
        on_error: Default::default(),
        compensate: None,
    }
}

/// A task of five steps to which these things have happened.
fn task(events: Vec<Event>) -> Task {
    let namespace = Namespace::new("shop").expect("of the right form");
    let mut workflow = Workflow {
        namespace: namespace.clone(),
        name: WorkflowName::new("order").expect("of the right form"),
        version: WorkflowVersion::new("1").expect("of the right form"),
        digest: Digest::of(b"order"),
        input: None,
        result: None,
        timeout: None,
        deadline: None,
        max_parallel: None,
        identity: None,
        flow: tasker_engine::flow::WorkflowFlow::default(),
        on_failure: Vec::new(),
        steps: ["a", "b", "c", "d", "e"].map(step).into(),
        places: BTreeMap::new(),
    };
    workflow.link();
    let accepted = Event::TaskAccepted(Box::new(Submission {
        namespace,
        workflow: workflow.digest,
        input: Payload::null(),
        labels: BTreeMap::new(),
        idempotency_key: None,
        origin: None,
        trace: Trace { trace_id: [1; 16], parent: None, sampled: false },
        parent: None,
        priority: tasker_engine::flow::Priority::default(),
        concurrency: None,
    }));
    let id = TaskId::from_number(1).expect("not negative");
    let entry = Entry { task: id, first: 1, at: Timestamp::from_millis(0), events: [vec![accepted], events].concat() };
    Task::fold(Arc::new(workflow), [&entry]).expect("a history")
}

fn waits(step: u32, wait: Wait) -> Event {
    Event::WaitStarted { step: StepIndex(step), wait, until: None }
}

fn failure() -> Failure {
    Failure::new(FailureKind::Permanent, ErrorCode::new("no").expect("of the right form"), "no")
}

#[test]
fn a_task_waits_for_everything_that_one_of_its_steps_waits_for() {
    assert_eq!(WaitingFor::of(&task(vec![Event::StepReady { step: StepIndex(0) }])), BTreeSet::new());
    let everything = vec![
        waits(0, Wait::Approval { title: String::new(), description: None, assignees: Vec::new() }),
        waits(1, Wait::Signal { name: "go".into() }),
        waits(2, Wait::Event { name: "paid".into(), key: "1".into() }),
        waits(3, Wait::Sleep),
        Event::StepHeld { step: StepIndex(4), failure: failure() },
        Event::TaskPaused { reason: String::new() },
    ];
    assert_eq!(WaitingFor::of(&task(everything.clone())), BTreeSet::from(WaitingFor::ALL));
    let satisfied = Event::WaitSatisfied { step: StepIndex(3), result: Payload::null() };
    let fewer = [everything.clone(), vec![satisfied, Event::TaskResumed]].concat();
    let expected = [WaitingFor::Approval, WaitingFor::Held, WaitingFor::Signal, WaitingFor::Event];
    assert_eq!(WaitingFor::of(&task(fewer)), BTreeSet::from(expected));
    let over = [everything, vec![Event::TaskFailed { step: None, failure: failure() }]].concat();
    assert_eq!(WaitingFor::of(&task(over)), BTreeSet::new(), "what is over waits for nothing");
}

#[test]
fn every_word_is_read_as_what_it_was_written_for() {
    for waiting in WaitingFor::ALL {
        assert_eq!(WaitingFor::from_word(waiting.as_str()), Some(waiting));
    }
    assert_eq!(WaitingFor::from_word("running"), None);
}

#[test]
fn a_key_is_over_from_the_end_of_its_own_window_on() {
    let at = Timestamp::from_millis;
    let namespace = Namespace::new("shop").expect("of the right form");
    let id = TaskId::from_number(1).expect("not negative");
    let mut used = KeyUse { namespace, key: "k".into(), fingerprint: Digest::of(b""), task: id, used_at: at(1), valid_until: Some(at(5)) };
    assert!(!used.is_over(at(4)) && used.is_over(at(5)));
    used.valid_until = None;
    assert!(!used.is_over(at(i64::MAX)), "it lives until it is forgotten");
}

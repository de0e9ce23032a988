//! Random workflows of up to twelve steps in which every construct occurs.

use proptest::prelude::*;
use serde_json::{Value, json};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::expression::Expression;
use tasker_engine::reaction::{Exhausted, OnError, Reaction};
use tasker_engine::retry::{Backoff, Jitter, RetryPolicy};
use tasker_engine::template::Template;
use tasker_engine::workflow::{
    Approval, Branch, Call, Case, Child, Escalation, ForEach, Join, Role, SleepFor, Step, StepKind, Stop, Switch, Timeouts, WaitFor,
    WaitSource, Workflow,
};
use tasker_engine::{
    CapabilityName, Contract, Digest, ErrorCode, Namespace, Schema, StepIndex, StepName, SystemName, WorkflowName, WorkflowVersion,
};

/// The codes that failing workers give.
pub const CODES: [&str; 3] = ["busy", "broken", "declined"];

/// What is drawn for one step.
#[derive(Debug, Clone)]
struct Drawn {
    kind: u8,
    mask: u16,
    join: u8,
    when: u8,
    attempts_max: u32,
    waiting: Option<u64>,
    running: Option<u64>,
    total: Option<u64>,
    reactions: [u8; 4],
    fan: (u8, u8, u8),
    branch: u8,
    compensated: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let shape = (0..24u8, any::<u16>(), 0..12u8, 0..40u8, 1..4u32);
    let limits = (prop::option::of(100..2_000u64), prop::option::of(100..2_000u64), prop::option::weighted(0.2, 100..9_000u64));
    let rest = (any::<[u8; 4]>(), any::<(u8, u8, u8)>(), any::<u8>(), any::<bool>());
    (shape, limits, rest).prop_map(|(shape, limits, rest)| Drawn {
        kind: shape.0,
        mask: shape.1,
        join: shape.2,
        when: shape.3,
        attempts_max: shape.4,
        waiting: limits.0,
        running: limits.1,
        total: limits.2,
        reactions: rest.0,
        fan: rest.1,
        branch: rest.2,
        compensated: rest.3,
    })
}

/// A workflow and an input for it. A step depends only on earlier ones, so there is no cycle; handlers come last.
pub fn workflow() -> impl Strategy<Value = (Arc<Workflow>, Value)> {
    let steps = proptest::collection::vec(drawn(), 1..=12);
    let whole = (prop::option::weighted(0.3, 1_000..90_000u64), prop::option::weighted(0.3, 1..4u32), 0..5usize, any::<bool>());
    let input = (0..4u8, 0..6usize, any::<bool>());
    (steps, whole, input).prop_map(|(steps, (timeout, max_parallel, handlers, tells), (choice, items, flag))| {
        let input =
            json!({ "choice": choice, "items": (0..items).collect::<Vec<_>>(), "flag": flag, "key": "k", "due": "1970-01-01T00:20:00Z" });
        (build(&steps, timeout, max_parallel, handlers, tells), input)
    })
}

fn expression(source: &str) -> Expression {
    Expression::compile(source).expect("valid")
}

fn build(drawn: &[Drawn], timeout: Option<u64>, max_parallel: Option<u32>, handlers: usize, tells: bool) -> Arc<Workflow> {
    let forward = drawn.len();
    let mut steps: Vec<Step> = drawn.iter().enumerate().map(|(place, drawn)| step(place, drawn, false)).collect();
    for (place, drawn) in drawn.iter().enumerate() {
        join_up(&mut steps, place, drawn);
    }
    // Handlers: the first belongs to `on_failure` if it tells, each other to one owner.
    let mut on_failure = Vec::new();
    for number in 0..handlers {
        let handler = StepIndex(steps.len() as u32);
        let template = &drawn[number % forward];
        let mut made = step(steps.len(), &Drawn { kind: template.kind % 14, ..template.clone() }, true);
        made.for_each = None;
        let owner = number % forward;
        if number == 0 && tells {
            on_failure.push(handler);
            made.on_error = reactions_of_handler(template.reactions);
        } else if template.compensated && steps[owner].is_work() && steps[owner].compensate.is_none() {
            steps[owner].compensate = Some(handler);
            made.on_error = reactions_of_handler(template.reactions);
        } else if !matches!(steps[owner].kind, StepKind::Switch(_)) {
            let code = ErrorCode::new(CODES[number % CODES.len()]).expect("valid");
            steps[owner].on_error.arms.insert(code, Reaction::Give(Exhausted::Fallback(handler)));
        } else {
            continue;
        }
        steps.push(made);
    }
    let mut workflow = Workflow {
        namespace: Namespace::new("default").expect("valid"),
        name: WorkflowName::new("random").expect("valid"),
        version: WorkflowVersion::new("1").expect("valid"),
        digest: Digest::of(b"random"),
        input: None,
        result: None,
        timeout: timeout.map(Duration::from_millis),
        deadline: timeout.filter(|timeout| timeout.is_multiple_of(3)).map(|_| expression("task.input.due")),
        max_parallel,
        identity: None,
        flow: tasker_engine::flow::WorkflowFlow::default(),
        on_failure,
        steps,
        places: BTreeMap::new(),
    };
    workflow.link();
    Arc::new(workflow)
}

fn step(place: usize, drawn: &Drawn, handler: bool) -> Step {
    let call = || {
        StepKind::Call(Call {
            system: SystemName::new("system").expect("valid"),
            capability: CapabilityName::new("do.it").expect("valid"),
            route: None,
            limits: None,
        })
    };
    let kind = match drawn.kind {
        0..=9 => call(),
        10 | 11 => {
            StepKind::Child(Child { workflow: WorkflowName::new("child").expect("valid"), version: None, detached: drawn.kind == 11 })
        }
        12 | 13 => call(),
        14 | 15 => StepKind::Wait(WaitFor {
            source: WaitSource::Signal("go".into()),
            payload: Some(Schema::compile(json!({ "type": "integer" })).expect("valid")),
        }),
        16 => {
            StepKind::Wait(WaitFor { source: WaitSource::Event { name: "paid".into(), key: expression("task.input.key") }, payload: None })
        }
        17 => StepKind::Sleep(SleepFor::Fixed(Duration::from_secs(5))),
        18 => StepKind::Sleep(SleepFor::For(expression("task.input.choice"))),
        19 | 20 => StepKind::Approval(Box::new(Approval {
            title: Template::compile_text("approve ${ task.id }").expect("valid"),
            description: None,
            form: None,
            assignees: Vec::new(),
            remind_every: Some(Duration::from_millis(700)),
            escalate: Some(Escalation { after: Duration::from_secs(1), to: vec![Template::Literal("chief".into())] }),
        })),
        _ => StepKind::Switch(Box::new(Switch {
            on: expression("task.input.choice"),
            cases: (0..2u8).map(|value| Case { name: value.to_string(), value: value.into() }).collect(),
            has_default: !drawn.fan.0.is_multiple_of(4),
        })),
    };
    let fans = matches!(drawn.kind, 7..=10) && !handler;
    let for_each = fans.then(|| {
        Box::new(ForEach {
            items: expression("task.input.items"),
            max_parallel: (!drawn.fan.0.is_multiple_of(3)).then_some(u32::from(drawn.fan.0 % 3)),
            batch_size: drawn.fan.1.is_multiple_of(3).then_some(2),
            stop: [Stop::OnFailure, Stop::Never, Stop::Failures(2), Stop::Successes(2)][usize::from(drawn.fan.2 % 4)],
        })
    });
    let when = match drawn.when {
        0 => Some("task.input.flag"),
        1 => Some("task.input.choice > 1"),
        2 => Some("false"),
        // Not a boolean: a mistake that only shows when it runs.
        3 => Some("task.input.choice"),
        _ => None,
    };
    Step {
        name: StepName::new(&format!("step_{place}")).expect("valid"),
        kind,
        role: Role::Forward,
        depends_on: SmallVec::new(),
        successors: SmallVec::new(),
        join: Join::All,
        branches: SmallVec::new(),
        when: when.map(expression),
        for_each,
        input: None,
        contract: Contract::default(),
        retry: retry(drawn.attempts_max),
        timeouts: Timeouts {
            waiting: drawn.waiting.map(Duration::from_millis),
            running: drawn.running.map(Duration::from_millis),
            total: drawn.total.map(Duration::from_millis),
        },
        on_error: reactions(drawn.reactions),
        compensate: None,
    }
}

fn retry(attempts_max: u32) -> RetryPolicy {
    RetryPolicy {
        backoff: Backoff::Exponential,
        base: Duration::from_millis(100),
        cap: Duration::from_secs(1),
        jitter: Jitter::Full,
        attempts_max,
        ..RetryPolicy::default()
    }
}

fn exhausted(drawn: u8) -> Exhausted {
    match drawn % 6 {
        0 => Exhausted::Compensate,
        1 => Exhausted::Fail,
        2 | 3 => Exhausted::Continue,
        _ => Exhausted::Wait,
    }
}

fn reactions(drawn: [u8; 4]) -> OnError {
    let mut on_error = OnError { arms: BTreeMap::new(), otherwise: Reaction::Give(exhausted(drawn[3])) };
    for (code, choice) in CODES.iter().zip(drawn) {
        let reaction = match choice % 4 {
            0 => continue,
            1 => Reaction::Retry { policy: None, then: exhausted(choice / 4) },
            2 => Reaction::Retry { policy: Some(Box::new(retry(2))), then: exhausted(choice / 4) },
            _ => Reaction::Give(exhausted(choice / 4)),
        };
        on_error.arms.insert(ErrorCode::new(code).expect("valid"), reaction);
    }
    on_error
}

fn reactions_of_handler(drawn: [u8; 4]) -> OnError {
    let otherwise = if drawn[0].is_multiple_of(2) { Exhausted::Wait } else { Exhausted::Continue };
    OnError { arms: BTreeMap::new(), otherwise: Reaction::Give(otherwise) }
}

/// Gives a step its dependencies on earlier steps; on a switch it depends as one of its branches, sometimes as two.
fn join_up(steps: &mut [Step], place: usize, drawn: &Drawn) {
    let depends_on: SmallVec<[StepIndex; 4]> =
        (0..place).filter(|earlier| drawn.mask & (1 << earlier) != 0).take(4).map(|earlier| StepIndex(earlier as u32)).collect();
    for dependency in &depends_on {
        if matches!(steps[dependency.at()].kind, StepKind::Switch(_)) && !drawn.branch.is_multiple_of(3) {
            steps[place].branches.push(Branch { switch: *dependency, case: u32::from(drawn.branch % 3) });
            if drawn.branch.is_multiple_of(5) {
                steps[place].branches.push(Branch { switch: *dependency, case: u32::from((drawn.branch + 1) % 3) });
            }
        }
    }
    let count = depends_on.len() as u32;
    steps[place].join = match drawn.join {
        0 => Join::Any,
        1 => Join::Done,
        2 if count > 0 => Join::AtLeast { count: 1, cancel_others: true },
        3 if count > 0 => Join::AtLeast { count: 1, cancel_others: false },
        4 if count > 1 => Join::AtLeast { count: 2, cancel_others: drawn.mask.is_multiple_of(2) },
        _ => Join::All,
    };
    steps[place].depends_on = depends_on;
}

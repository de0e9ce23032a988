//! Pages of systems and workflows.

mod depot;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_contracts::docs::{self, WorkflowPage};
use tasker_engine::expression::Expression;
use tasker_engine::ids::{Digest, StepIndex};
use tasker_engine::reaction::{Exhausted, OnError, Reaction};
use tasker_engine::retry::RetryPolicy;
use tasker_engine::template::Template;
use tasker_engine::workflow::{
    Approval, Branch, Call, Case, Escalation, ForEach, Join, Role, SleepFor, Step, StepKind, Stop, Switch, Timeouts, WaitFor, WaitSource,
};
use tasker_engine::{Contract, Schema, Workflow};

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a valid name")
}

fn expression(source: &str) -> Expression {
    Expression::compile(source).expect("an expression")
}

fn step(of: &str, kind: StepKind) -> Step {
    Step {
        name: name(of),
        kind,
        role: Role::Forward,
        depends_on: [].into_iter().collect(),
        successors: [].into_iter().collect(),
        join: Join::All,
        branches: [].into_iter().collect(),
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

fn call(of: &str, capability: &str) -> Step {
    step(of, StepKind::Call(Call { system: name("depot"), capability: name(capability), route: None, limits: None }))
}

fn template(value: Value) -> Template {
    Template::compile(&value).expect("a template")
}

/// One of each, as far as their words differ.
fn workflow() -> Workflow {
    let accept = Step {
        contract: depot::system().capabilities[0].contract.clone(),
        timeouts: Timeouts { waiting: None, running: Some(Duration::from_secs(10)), total: Some(Duration::from_secs(90)) },
        input: Some(template(json!({ "order": "${ task.input.order }", "note": "for ${ task.input.name } | urgent", "count": 1 }))),
        on_error: OnError {
            arms: BTreeMap::from([
                (name("too_heavy"), Reaction::Give(Exhausted::Fallback(StepIndex(6)))),
                (name("depot.closed"), Reaction::Retry { policy: Some(Box::default()), then: Exhausted::Wait }),
            ]),
            otherwise: Reaction::Give(Exhausted::Fail),
        },
        compensate: Some(StepIndex(5)),
        ..call("accept", "parcel.accept")
    };
    let cases = vec![Case { name: "small".to_owned(), value: json!("small") }];
    let route = Step {
        depends_on: [StepIndex(0)].into_iter().collect(),
        ..step("route", StepKind::Switch(Box::new(Switch { on: expression("steps.accept.result.type"), cases, has_default: true })))
    };
    let branch = |case| [Branch { switch: StepIndex(1), case }].into_iter().collect();
    let plan = Step {
        depends_on: [StepIndex(1)].into_iter().collect(),
        branches: branch(0),
        for_each: Some(Box::new(ForEach {
            items: expression("task.input.stops"),
            max_parallel: Some(5),
            batch_size: Some(10),
            stop: Stop::Failures(3),
        })),
        ..call("plan", "tour.plan")
    };
    let wait = Step {
        depends_on: [StepIndex(1)].into_iter().collect(),
        branches: branch(1),
        when: Some(expression("task.input.express || true")),
        timeouts: Timeouts { waiting: Some(Duration::from_secs(86_400)), ..Timeouts::default() },
        ..step(
            "wait",
            StepKind::Wait(WaitFor {
                source: WaitSource::Event { name: "truck.came".to_owned(), key: expression("task.input.order") },
                payload: None,
            }),
        )
    };
    let sleep = Step {
        depends_on: [StepIndex(2), StepIndex(3)].into_iter().collect(),
        join: Join::AtLeast { count: 1, cancel_others: true },
        ..step("sleep", StepKind::Sleep(SleepFor::Fixed(Duration::from_secs(3_600))))
    };
    let approve = Step {
        depends_on: [StepIndex(4)].into_iter().collect(),
        timeouts: Timeouts { waiting: Some(Duration::from_secs(86_400 * 14)), ..Timeouts::default() },
        ..step(
            "approve",
            StepKind::Approval(Box::new(Approval {
                title: template(json!("Send ${ task.input.order }?")),
                description: None,
                form: Some(
                    Schema::compile(json!({ "type": "object", "properties": { "by": { "enum": ["truck", "bike"] } } })).expect("a schema"),
                ),
                assignees: vec![template(json!("depot"))],
                remind_every: Some(Duration::from_secs(3_600)),
                escalate: Some(Escalation { after: Duration::from_secs(86_400), to: vec![template(json!("head"))] }),
            })),
        )
    };
    let mut workflow = Workflow {
        namespace: name("default"),
        name: name("parcels"),
        version: name("1.2.0"),
        digest: Digest::of(b"x"),
        input: Some(Schema::compile(json!({ "type": "object", "required": ["order"], "properties": { "order": { "type": "string", "description": "Which | order." } } })).expect("a schema")),
        result: None,
        timeout: Some(Duration::from_secs(7_200)),
        deadline: None,
        max_parallel: Some(20),
        identity: None,
        flow: tasker_engine::flow::WorkflowFlow::default(),
        on_failure: vec![StepIndex(7)],
        steps: vec![accept, route, plan, wait, sleep, call("give_back", "parcel.return"), call("split", "parcel.split"), call("tell", "people.tell"), approve],
        places: BTreeMap::new(),
    };
    workflow.link();
    workflow
}

#[test]
fn the_page_of_a_system_reads_well() {
    insta::assert_snapshot!(docs::system(&depot::system()));
}

#[test]
fn the_page_of_a_workflow_reads_well() {
    let workflow = workflow();
    let page =
        WorkflowPage { workflow: &workflow, description: "Brings parcels *home*.\nEvery day.", graph: "flowchart TD\n  accept --> route" };
    insta::assert_snapshot!(docs::workflow(page));
}

/// Every row of every table has as many cells as its head: nothing from outside can break a table.
#[test]
fn no_text_breaks_a_table() {
    let mut system = depot::system();
    for capability in &mut system.capabilities {
        capability.description = "a | b\n| c |\n# d `".to_owned();
    }
    for page in [docs::system(&system), docs::workflow(WorkflowPage { workflow: &workflow(), description: "|", graph: "" })] {
        let mut cells = None;
        for line in page.lines() {
            let bars = line.replace("\\|", "").matches('|').count();
            match (line.starts_with('|') && bars > 1, cells) {
                (true, None) => cells = Some(bars),
                (true, Some(head)) => assert_eq!(bars, head, "{line}"),
                (false, _) => cells = None,
            }
        }
    }
}

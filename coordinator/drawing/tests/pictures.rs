//! Pictures of workflows that were put together by hand: what stands in them, and that nothing in a name or an expression can get out of
//! its place. The pictures of real manifests are looked at in the command line's tests.

use serde_json::json;
use smallvec::smallvec;
use tasker_drawing::{Live, LiveStates, SVG_STEPS_MAX, Scene, Tone, TooLarge, dot, explain, mermaid, svg};
use tasker_engine::expression::Expression;
use tasker_engine::reaction::{Exhausted, OnError, Reaction};
use tasker_engine::retry::RetryPolicy;
use tasker_engine::workflow::{Branch, Call, Case, ForEach, Join, Step, StepKind, Stop, Switch, Timeouts};
use tasker_engine::{
    CapabilityName, Contract, Digest, ErrorCode, Namespace, StepIndex, StepName, SystemName, Workflow, WorkflowName, WorkflowVersion,
};

fn step(name: &str, depends_on: &[u32]) -> Step {
    Step {
        name: StepName::new(name).expect("valid"),
        kind: StepKind::Call(Call {
            system: SystemName::new("shop").expect("valid"),
            capability: CapabilityName::new("shop.work").expect("valid"),
            route: None,
            limits: None,
        }),
        role: tasker_engine::workflow::Role::Forward,
        depends_on: depends_on.iter().map(|step| StepIndex(*step)).collect(),
        successors: smallvec![],
        join: Join::All,
        branches: smallvec![],
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

fn workflow(steps: Vec<Step>) -> Workflow {
    let mut workflow = Workflow {
        namespace: Namespace::new("default").expect("valid"),
        name: WorkflowName::new("shop").expect("valid"),
        version: WorkflowVersion::new("1.0.0").expect("valid"),
        digest: Digest::of(b""),
        input: None,
        result: None,
        timeout: None,
        deadline: None,
        max_parallel: None,
        identity: None,
        flow: tasker_engine::flow::WorkflowFlow::default(),
        on_failure: Vec::new(),
        steps,
        places: Default::default(),
    };
    workflow.link();
    workflow
}

/// A step of each look: a switch, its branches, a fan-out, a join, handlers of each kind, and a step that is called as nobody should.
fn everything() -> Workflow {
    let mut route = step("end", &[0]);
    route.kind = StepKind::Switch(Box::new(Switch {
        on: Expression::compile("steps.check.result.risk").expect("valid"),
        cases: vec![Case { name: "a \"b\" <c> | & `d`".into(), value: json!("x") }, Case { name: "low".into(), value: json!("low") }],
        has_default: true,
    }));
    let in_branch = |name, case| {
        let mut step = step(name, &[1]);
        step.branches = smallvec![Branch { switch: StepIndex(1), case }];
        step
    };
    let mut review = in_branch("review", 0);
    review.when = Some(Expression::compile("task.input.note != \"</text><script>alert(1)</script>\"").expect("valid"));
    let mut pack = in_branch("pack", 1);
    pack.for_each = Some(Box::new(ForEach {
        items: Expression::compile("task.input.lines").expect("valid"),
        max_parallel: Some(5),
        batch_size: Some(10),
        stop: Stop::Failures(3),
    }));
    pack.compensate = Some(StepIndex(6));
    let mut ship = step("ship", &[2, 3, 4]);
    ship.join = Join::Any;
    ship.on_error.arms.insert(ErrorCode::new("no_courier").expect("valid"), Reaction::Give(Exhausted::Fallback(StepIndex(7))));
    let steps = vec![
        step("check", &[]),
        route,
        review,
        pack,
        in_branch("refuse", 2),
        ship,
        step("unpack", &[]),
        step("ship_by_post", &[]),
        step("tell_somebody", &[]),
    ];
    let mut workflow = workflow(steps);
    workflow.on_failure = vec![StepIndex(8)];
    workflow.link();
    workflow
}

fn live() -> LiveStates {
    let states =
        [("check", "succeeded", None), ("end", "succeeded", None), ("review", "skipped", None), ("pack", "fanned_out", Some((17, 40)))];
    let mut live: LiveStates =
        states.into_iter().map(|(step, state, items)| (step.to_owned(), Live { state: state.to_owned(), items })).collect();
    live.insert("ship".into(), Live { state: "held".into(), items: None });
    live
}

#[test]
fn mermaid_shows_kinds_branches_handlers_and_nothing_gets_out_of_its_quotes() {
    insta::assert_snapshot!(mermaid(&Scene::of(&everything(), &LiveStates::new())));
}

#[test]
fn mermaid_shows_where_the_steps_of_a_task_stand() {
    insta::assert_snapshot!(mermaid(&Scene::of(&everything(), &live())));
}

#[test]
fn dot_shows_the_same() {
    insta::assert_snapshot!(dot(&Scene::of(&everything(), &live())));
}

#[test]
fn svg_shows_the_same() {
    insta::assert_snapshot!(svg(&Scene::of(&everything(), &live())).expect("small enough"));
}

#[test]
fn sentences_say_the_same() {
    insta::assert_snapshot!(explain(&everything(), "Ships what is\n in order."));
}

#[test]
fn markup_in_a_manifest_stays_text() {
    let scene = Scene::of(&everything(), &LiveStates::new());
    let picture = svg(&scene).expect("small enough");
    assert!(!picture.contains("<script"), "{picture}");
    assert_eq!(picture.matches("<text").count(), picture.matches("</text>").count());
    let chart = mermaid(&scene);
    assert!(!chart.contains("<script"));
    // Every line of nodes and edges has an even number of quotes: none was let through from a name.
    assert!(chart.lines().all(|line| line.matches('"').count() % 2 == 0), "{chart}");
}

#[test]
fn a_workflow_too_large_for_a_picture_is_still_written() {
    let chain = |count: u32| workflow((0..count).map(|place| step(&format!("s{place}"), if place == 0 { &[] } else { &[0] })).collect());
    let most = SVG_STEPS_MAX as u32;
    assert!(svg(&Scene::of(&chain(most), &LiveStates::new())).is_ok());
    let large = Scene::of(&chain(most + 1), &LiveStates::new());
    assert_eq!(svg(&large).expect_err("too many steps"), TooLarge { steps: SVG_STEPS_MAX + 1, arrows: SVG_STEPS_MAX });
    let huge = Scene::of(&chain(5_000), &LiveStates::new());
    assert_eq!(mermaid(&huge).matches(" --> ").count(), 4_999);
    assert_eq!(dot(&huge).matches(" -> ").count(), 4_999);
}

#[test]
fn every_state_of_a_step_has_a_tone() {
    let tones =
        [("succeeded", Tone::Good), ("failed", Tone::Bad), ("backing_off", Tone::Busy), ("held", Tone::Waits), ("pending", Tone::Dim)];
    for (state, tone) in tones {
        assert_eq!(Tone::of(state), tone, "{state}");
    }
}

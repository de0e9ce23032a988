//! What a rehearsal does with what a case gives it.

use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::{ErrorCode, Failure, FailureKind, Namespace, Payload, Workflow};
use tasker_rehearsal::{
    Act, Answer, Case, CaseReport, Coverage, Given, Mock, Outcome, Plan, Status, SuiteReport, Workflows, judge, points, read, rehearse,
};

fn example(name: &str) -> Arc<Workflow> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples").join(name);
    let source = std::fs::read_to_string(path).expect("an example");
    let checked = tasker_manifest::check(&source, name, &Namespace::new("default").expect("valid"));
    Arc::new(checked.manifest.expect("no errors").workflow)
}

/// The report of one case of an example, given as YAML below `cases:`.
fn played(manifest: &str, case: &str) -> CaseReport {
    let workflow = example(manifest);
    let suite = read(&format!("cases:\n{case}"), "a.cases.yaml", &workflow).unwrap_or_else(|found| panic!("{found:#?}"));
    SuiteReport::of("a.cases.yaml", &Workflows::new(workflow), &suite.cases, true).cases.remove(0)
}

#[test]
fn a_broken_mock_is_named_and_treated_as_production_would() {
    let report = played(
        "pack_parcel.yaml",
        "  - { name: a, input: { parcel_id: a, fragile: false }, mocks: { take: { result: { weight: heavy } } }, expect: { status: failed, error: contract.result_violated } }",
    );
    assert!(report.passed, "{report:#?}");
    let notes: Vec<&String> = report.notes.iter().collect();
    assert!(notes[0].starts_with("the mock of `take` breaks its contract"), "{notes:?}");
}

#[test]
fn an_input_that_does_not_fit_fails_the_case_and_says_where() {
    let report = played("pack_parcel.yaml", "  - { name: a, input: { parcel_id: 7 }, expect: { status: succeeded } }");
    assert!(!report.passed && report.status.is_none());
    assert!(report.problems[0].contains("does not fit the input schema"), "{:?}", report.problems);
}

#[test]
fn what_is_refused_from_outside_fails_the_case() {
    let signal = "  - { name: a, input: { email: abc, name: A, plan: free, newsletter: false }, signals: [{ name: email_confirmd }], expect: { status: waiting } }";
    let report = played("user_onboarding.yaml", signal);
    assert!(report.problems[0].contains("`email_confirmd` was refused after 0s: no step waits for the signal"), "{:?}", report.problems);
    let decision = "  - { name: a, input: { document_id: d, title: T, owner: o, confidential: true }, mocks: { summarise: { result: { summary: s, risk: high } } }, decisions: [{ step: legal_review, decision: approved, by: nobody }], expect: { status: waiting } }";
    let report = played("document_approval.yaml", decision);
    assert!(report.problems[0].contains("`nobody` is not asked; asked are legal"), "{:?}", report.problems);
}

#[test]
fn what_never_came_fails_the_case() {
    let report = played(
        "pack_parcel.yaml",
        "  - { name: a, input: { parcel_id: a, fragile: false }, cancel: { after: 1h }, resolve: [{ step: take, resolution: retry }], expect: { status: succeeded } }",
    );
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    assert!(report.problems[0].contains("`cancel`, planned after 1h, never came"), "{:?}", report.problems);
    assert!(report.problems[1].contains("resolution of `take` was never asked for"), "{:?}", report.problems);
}

#[test]
fn a_child_that_was_not_given_is_asked_for() {
    let input = "  - { name: a, input: { order_id: a, parcels: [{ parcel_id: a, fragile: false }] }, expect: { status: succeeded } }";
    let report = played("order_fulfilment.yaml", input);
    assert!(report.problems[0].contains("runs the workflow `pack_parcel`, which was not given"), "{:?}", report.problems);
}

#[test]
fn an_approval_that_reminds_for_ever_is_waiting() {
    // Without its time limits nothing ends the wait but a person.
    let mut workflow = (*example("document_approval.yaml")).clone();
    workflow.timeout = None;
    for step in &mut workflow.steps {
        step.timeouts.waiting = None;
    }
    let workflow = Arc::new(workflow);
    let source = "cases: [{ name: a, input: { document_id: d, title: T, owner: o, confidential: true }, mocks: { summarise: { result: { summary: s, risk: high } } }, expect: { status: waiting, waits: [legal_review] } }]";
    let suite = read(source, "a", &workflow).expect("reads");
    let outcome = rehearse(&Workflows::new(workflow), &suite.cases[0]);
    assert_eq!(judge(&suite.cases[0].expect, &outcome), []);
    assert!(outcome.ended.expect("accepted").took <= Duration::from_secs(4 * 24 * 3600));
}

#[test]
fn mismatches_name_both_sides_and_coverage_names_what_was_missed() {
    let workflow = example("order_with_compensation.yaml");
    let source = "cases:
  - name: a declined card
    input: { order_id: o, customer_id: c, amount: 1, answer_by: '2027-01-05T00:00:00Z', lines: [{ sku: s, quantity: 1 }] }
    mocks: { charge: [{ fail: { code: rate_limited, retryable: true } }, { fail: card_declined }] }
    expect:
      status: succeeded
      result: {}
      error: no_courier
      path: [charge, reserve]
      ran: [book_courier]
      not_run: [release]
      skipped: [charge]
      failed: [reserve]
      waits: [charge]
      attempts: { charge: 7 }
      inputs: { charge: { amount: 2 }, refund: {} }
      results: { reserve: { reservation_id: other } }
      compensated: [refund]
      took: 1s
      items: { reserve: 3 }
";
    let suite = read(source, "order.cases.yaml", &workflow).expect("reads");
    let report = SuiteReport::of("order.cases.yaml", &Workflows::new(workflow), &suite.cases, true);
    insta::assert_snapshot!(report.render(&|passed| if passed { "✓" } else { "✗" }.to_owned()));
}

fn answers() -> impl Strategy<Value = Answer> {
    let code =
        prop::sample::select(vec!["card_declined", "rate_limited", "gateway_down", "address_unknown", "out_of_stock", "handler.error"]);
    let failure = (code, any::<bool>()).prop_map(|(code, retryable)| {
        let kind = if retryable { FailureKind::Retryable } else { FailureKind::Permanent };
        Given::Failure(Failure::new(kind, ErrorCode::new(code).expect("valid"), "as drawn"))
    });
    let results = prop::sample::select(vec!["null", "{\"reservation_id\":\"r\"}", "{\"charge_id\":\"c\"}", "{\"tracking\":\"t\"}"]);
    let result = results.prop_map(|text| Given::Result(Payload::trusted(text.into())));
    let given = prop_oneof![4 => result, 4 => failure, 1 => Just(Given::Silence), 1 => Just(Given::Lost), 1 => Just(Given::Unclaimed)];
    (given, 0_u64..7_200).prop_map(|(given, after)| Answer { given, after: Duration::from_secs(after) })
}

fn acts() -> impl Strategy<Value = Plan> {
    let act = prop_oneof![
        Just(Act::Pause { reason: "drawn".into() }),
        Just(Act::Resume),
        Just(Act::Cancel { reason: "drawn".into() }),
        Just(Act::Event { name: "x".into(), key: "y".into(), payload: Payload::null() }),
    ];
    (act, 0_u64..20_000).prop_map(|(act, after)| Plan { act, after: Duration::from_secs(after) })
}

fn drawn(mocks: Vec<(usize, Vec<Answer>)>, plan: Vec<Plan>) -> Outcome {
    let workflow = example("order_with_compensation.yaml");
    let input = "{\"order_id\":\"o\",\"customer_id\":\"c\",\"amount\":1,\"answer_by\":\"2027-01-05T00:00:00Z\",\"lines\":[{\"sku\":\"s\",\"quantity\":1}]}";
    let names: Vec<String> = workflow.steps.iter().map(|step| step.name.to_string()).collect();
    let case = Case {
        name: "drawn".into(),
        input: Payload::trusted(input.into()),
        start: Case::START,
        mocks: mocks.into_iter().map(|(step, answers)| (names[step % names.len()].clone(), Mock { answers })).collect(),
        plan,
        prompts: Vec::new(),
        expect: Default::default(),
    };
    rehearse(&Workflows::new(workflow), &case)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_systems_and_people_do_no_promise_breaks_and_a_repeat_is_the_same(
        mocks in prop::collection::vec((0_usize..7, prop::collection::vec(answers(), 1..4)), 0..7),
        plan in prop::collection::vec(acts(), 0..3),
    ) {
        let first = drawn(mocks.clone(), plan.clone());
        // Acts that come too late are refused; nothing else may be a problem.
        for problem in &first.problems {
            prop_assert!(problem.contains("was refused after") || problem.contains("never came"), "{problem}");
        }
        let ended = first.ended.as_ref().expect("accepted");
        if first.problems.is_empty() && ended.status == Status::Waiting {
            prop_assert!(!ended.waits.is_empty() || ended.task.paused.is_some());
        }
        let again = drawn(mocks, plan);
        prop_assert_eq!(&first.history, &again.history);
        prop_assert_eq!(&first.reached, &again.reached);
    }
}

#[test]
fn coverage_counts_only_ways_that_the_workflow_has() {
    let workflow = example("price_quotes.yaml");
    let all = points(&workflow);
    let coverage = Coverage::of(&workflow, &all.iter().cloned().collect());
    assert_eq!((coverage.percent, coverage.reached), (100, all.len()));
    let none = Coverage::of(&workflow, &Default::default());
    assert_eq!((none.percent, none.missed.len()), (0, all.len()));
}

/// One step with many attempts, and what it says about errors.
fn grinding(on_error: &str) -> Result<Arc<Workflow>, Vec<String>> {
    let retry = "retry: { kind: fixed, base: 1s, max_attempts: 100 }";
    let step = format!(
        "{{ name: grind, owner: mill, capability: grind, {retry} {} }}",
        if on_error.is_empty() { String::new() } else { format!(", {on_error}") }
    );
    let source = format!("name: poison\nversion: 1.0.0\nsystems: {{ mill: {{ capabilities: [grind] }} }}\nworkflow_steps:\n  - {step}\n");
    let checked = tasker_manifest::check(&source, "poison.yaml", &Namespace::new("default").expect("valid"));
    let codes = || checked.diagnostics.iter().map(|found| found.code.to_string()).collect();
    checked.manifest.as_ref().map(|manifest| Arc::new(manifest.workflow.clone())).ok_or_else(codes)
}

#[test]
fn a_step_that_kills_five_workers_in_a_row_gets_no_sixth_whatever_the_manifest_says() {
    let lost = |times: usize| vec!["{ lost: true }"; times].join(", ");
    let between = format!("{}, {{ fail: {{ code: jammed, retryable: true }} }}, {}, {{ result: {{}} }}", lost(4), lost(4));
    let always = "on_error: { default: { retry: { kind: fixed, base: 1s, max_attempts: 100 } } }";
    let poisoned = "{ status: failed, error: worker.poisoned, attempts: { grind: 5 } }";
    for (on_error, mock, expect) in [
        ("", lost(9), poisoned),
        (always, lost(9), poisoned),
        ("on_error: { worker.lost: { retry: { kind: fixed, base: 1s, max_attempts: 100 } }, default: fail }", lost(9), poisoned),
        (
            "on_error: { worker.poisoned: continue, default: fail }",
            lost(9),
            "{ status: succeeded, failed: [grind], attempts: { grind: 5 } }",
        ),
        ("", between, "{ status: succeeded, attempts: { grind: 10 } }"),
    ] {
        let workflow = grinding(on_error).expect("no errors");
        let case = format!("cases: [{{ name: a, input: {{}}, mocks: {{ grind: [{mock}] }}, expect: {expect} }}]");
        let suite = read(&case, "a.cases.yaml", &workflow).unwrap_or_else(|found| panic!("{found:#?}"));
        let report = SuiteReport::of("a.cases.yaml", &Workflows::new(workflow), &suite.cases, true).cases.remove(0);
        assert!(report.passed, "{on_error} {mock}: {report:#?}");
    }
    let refused = grinding("on_error: { worker.poisoned: retry, default: fail }").expect_err("nobody can ask for another attempt");
    assert_eq!(refused, ["manifest.retry_impossible"]);
}

//! What is wrong with a file of cases is said with its place and its cure, and nothing is ignored.

use std::path::PathBuf;
use std::sync::Arc;
use tasker_engine::{Namespace, Workflow};
use tasker_manifest::Diagnostic;
use tasker_rehearsal::{CODES, read, workflow_of};

fn example(name: &str) -> Arc<Workflow> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples").join(name);
    let source = std::fs::read_to_string(path).expect("an example");
    let checked = tasker_manifest::check(&source, name, &Namespace::new("default").expect("valid"));
    Arc::new(checked.manifest.expect("no errors").workflow)
}

fn problems(source: &str) -> Vec<Diagnostic> {
    read(source, "order.cases.yaml", &example("order_with_compensation.yaml")).expect_err("it is wrong")
}

#[test]
fn every_mistake_is_shown_with_its_place_and_its_cure() {
    let source = "\
workflow: order.yaml
cases:
  - name: a
    inputs: {}
    mocks:
      chrge: { result: {} }
      refund: { result: null, silent: true }
      charge: { fail: { message: no code } }
      release: []
    signals: [{ nam: x }]
    decisions: [{ step: charge, decision: maybe }]
    resolve: [{ step: chargee, resolution: { supplie: 1 } }]
    expect: { stauts: failed, path: [reserv], took: 5, attempts: { charge: two }, waits: [refnd] }
  - name: b
    expect: {}
  - mocks: {}
";
    let rendered: String = problems(source).iter().map(|found| found.render() + "\n").collect();
    insta::assert_snapshot!(rendered);
}

#[test]
fn a_case_that_expects_nothing_is_refused() {
    let found = problems("cases: [{ name: a, expect: {} }]");
    assert_eq!(found.iter().map(|found| found.code.as_str()).collect::<Vec<_>>(), ["cases.no_expectation"]);
}

#[test]
fn two_cases_of_one_name_and_answers_that_say_nothing_or_too_much_are_refused() {
    let found = problems("cases:\n  - { name: a, expect: { status: failed } }\n  - { name: a, expect: { status: failed } }\n");
    assert_eq!(found[0].code, "cases.duplicate_name");
    for answer in ["{ after: 1s }", "{ result: 1, lost: true }", "{ silent: false }", "[]"] {
        let found = problems(&format!("cases: [{{ name: a, mocks: {{ charge: {answer} }}, expect: {{ status: failed }} }}]"));
        assert_eq!(found[0].code, "cases.bad_answer", "{answer}");
    }
    let many = format!("cases: [{}]", vec!["{ name: a, expect: { status: failed } }"; 1_001].join(", "));
    assert_eq!(problems(&many)[0].code, "cases.too_many");
    assert!(CODES.iter().all(|code| code.code.starts_with("cases.")));
}

#[test]
fn what_a_mock_is_for_must_exist_and_ask_somebody() {
    let workflow = example("document_approval.yaml");
    let source = |key: &str| format!("cases: [{{ name: a, mocks: {{ \"{key}\": {{ result: 1 }} }}, expect: {{ status: failed }} }}]");
    for key in ["publish", "publish[3]", "document.publish"] {
        assert!(read(&source(key), "a", &workflow).is_ok(), "{key}");
    }
    for key in ["publsh", "document.publsh", "legal_review", "by_risk", "x/y"] {
        let found = read(&source(key), "a", &workflow).expect_err("nothing of that name");
        assert_eq!(found[0].code, "cases.unknown_mock", "{key}");
    }
}

#[test]
fn a_file_may_name_its_manifest() {
    assert_eq!(workflow_of("workflow: ../order.yaml\ncases: []", "a").expect("reads"), Some("../order.yaml".to_owned()));
    assert_eq!(workflow_of("cases: []", "a").expect("reads"), None);
    assert_eq!(workflow_of("case: []", "a").expect_err("a typing error")[0].fix.as_deref(), Some("cases"));
}

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tasker_engine::contract::ErrorContract;
use tasker_engine::reaction::OnError;
use tasker_engine::retry::RetryPolicy;
use tasker_engine::template::Template;
use tasker_engine::workflow::{Call, Join, Role, StepKind, Timeouts};
use tasker_engine::{Digest, Namespace};

fn schema(source: Value) -> Option<Schema> {
    (!source.is_null()).then(|| Schema::compile(source).expect("a schema"))
}

/// `null` stands for what is not declared.
fn contract(input: Value, result: Value, errors: &[(&str, Value)]) -> Contract {
    let errors = errors.iter().map(|(code, details)| {
        let error = ErrorContract { details: schema(details.clone()), description: String::new() };
        (ErrorCode::new(code).expect("a code"), error)
    });
    Contract { input: schema(input), result: schema(result), errors: errors.collect() }
}

fn step(name: &str, mapping: Option<Value>, contract: Contract) -> Step {
    let call = Call { system: bank(), capability: charge(), route: None, limits: None };
    Step {
        name: StepName::new(name).expect("a name"),
        kind: StepKind::Call(call),
        role: Role::Forward,
        depends_on: Default::default(),
        successors: Default::default(),
        join: Join::All,
        branches: Default::default(),
        when: None,
        for_each: None,
        input: mapping.map(|mapping| Template::compile(&mapping).expect("a mapping")),
        contract,
        retry: RetryPolicy::default(),
        timeouts: Timeouts::default(),
        on_error: OnError::default(),
        compensate: None,
    }
}

fn workflow(steps: Vec<Step>) -> Workflow {
    let mut workflow = Workflow {
        namespace: Namespace::new("default").expect("valid"),
        name: WorkflowName::new("order").expect("valid"),
        version: WorkflowVersion::new("1.0.0").expect("valid"),
        digest: Digest::of(b"order"),
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
    workflow
}

fn bank() -> SystemName {
    SystemName::new("bank").expect("valid")
}

fn charge() -> CapabilityName {
    CapabilityName::new("card.charge").expect("valid")
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

/// Compares a step that expects one contract with another that is announced; says certainty, side and path of the first finding.
fn check(mapping: Option<Value>, expected: Contract, announced: Contract) -> Option<(Certainty, Side, String)> {
    let workflow = workflow(vec![step("pay", mapping, expected)]);
    let found = compare(&workflow, &bank(), &charge(), &announced);
    found.first().map(|found| {
        assert!(found.to_string().contains("step `pay` of workflow `order` 1.0.0"), "{found}");
        (found.certainty, found.side.clone(), found.path.clone())
    })
}

fn input(manifest: Value, worker: Value) -> Option<(Certainty, Side, String)> {
    check(None, contract(manifest, Value::Null, &[]), contract(worker, Value::Null, &[]))
}

fn result(worker: Value, manifest: Value) -> Option<(Certainty, Side, String)> {
    check(None, contract(Value::Null, manifest, &[]), contract(Value::Null, worker, &[]))
}

#[test]
fn a_worker_must_accept_every_shape_that_the_manifest_sends() {
    let amount = object(&["amount"], json!({ "amount": { "type": "string" } }));
    let table = [
        ("the same", amount.clone(), None),
        ("accepts more", object(&[], json!({ "amount": { "type": ["string", "number"] }, "note": { "type": "string" } })), None),
        ("another kind", object(&["amount"], json!({ "amount": { "type": "integer" } })), Some(Certainty::Breaks)),
        ("one of few", object(&["amount"], json!({ "amount": { "enum": ["1", "2"] } })), Some(Certainty::Breaks)),
        (
            "asks for more",
            object(&["amount", "currency"], json!({ "amount": { "type": "string" }, "currency": { "type": "string" } })),
            Some(Certainty::Breaks),
        ),
        ("does not know it", object(&[], json!({})), Some(Certainty::Breaks)),
        (
            "only some texts",
            object(&["amount"], json!({ "amount": { "type": "string", "pattern": "^[0-9]+$" } })),
            Some(Certainty::Narrower),
        ),
        ("anything", Value::Null, None),
    ];
    for (what, worker, expected) in table {
        let found = input(amount.clone(), worker);
        assert_eq!(found.as_ref().map(|(certainty, ..)| *certainty), expected, "{what}: {found:?}");
        assert!(found.is_none_or(|(_, side, _)| side == Side::Input), "{what}");
    }
}

#[test]
fn a_manifest_must_expect_every_shape_that_the_worker_answers() {
    let done = object(&["id", "state"], json!({ "id": { "type": "string" }, "state": { "enum": ["done"] } }));
    let table = [
        ("the same", done.clone(), None),
        (
            "answers less",
            object(&["id", "state"], json!({ "id": { "type": "string", "maxLength": 9 }, "state": { "const": "done" } })),
            None,
        ),
        (
            "may leave it out",
            object(&["state"], json!({ "id": { "type": "string" }, "state": { "enum": ["done"] } })),
            Some(Certainty::Breaks),
        ),
        (
            "may be null",
            object(&["id", "state"], json!({ "id": { "type": ["string", "null"] }, "state": { "enum": ["done"] } })),
            Some(Certainty::Breaks),
        ),
        (
            "a new state",
            object(&["id", "state"], json!({ "id": { "type": "string" }, "state": { "enum": ["done", "held"] } })),
            Some(Certainty::Breaks),
        ),
        (
            "a member more",
            object(&["id", "state", "at"], json!({ "id": { "type": "string" }, "state": { "enum": ["done"] }, "at": {} })),
            Some(Certainty::Breaks),
        ),
        ("says nothing", Value::Null, None),
    ];
    for (what, worker, expected) in table {
        let found = result(worker, done.clone());
        assert_eq!(found.as_ref().map(|(certainty, ..)| *certainty), expected, "{what}: {found:?}");
        assert!(found.is_none_or(|(_, side, _)| side == Side::Result), "{what}");
    }
}

#[test]
fn a_finding_names_the_field_and_an_example() {
    let lines = |kind: &str| json!({ "type": "array", "items": object(&["quantity"], json!({ "quantity": { "type": kind } })) });
    let sends = object(&["lines"], json!({ "lines": lines("number") }));
    let takes = object(&["lines"], json!({ "lines": lines("integer") }));
    let (certainty, side, path) = input(sends.clone(), takes.clone()).expect("a finding");
    assert_eq!((certainty, side, path.as_str()), (Certainty::Breaks, Side::Input, "/lines/*/quantity"));
    let workflow = workflow(vec![step("pay", None, contract(sends, Value::Null, &[]))]);
    let found = compare(&workflow, &bank(), &charge(), &contract(takes, Value::Null, &[]));
    let text = found[0].to_string();
    assert!(text.contains("`/lines/*/quantity` in the input of `card.charge`") && text.contains("for example {"), "{text}");
}

#[test]
fn a_new_error_code_is_found_unless_the_manifest_declares_none() {
    let declined = [("card_declined", Value::Null)];
    let both = [("card_declined", Value::Null), ("card_expired", Value::Null)];
    let with = |errors: &[(&str, Value)]| contract(Value::Null, Value::Null, errors);
    let code = |code: &str| Side::Error(ErrorCode::new(code).expect("a code"));
    let new = check(None, with(&declined), with(&both)).expect("a finding");
    assert_eq!(new, (Certainty::Breaks, code("card_expired"), String::new()));
    assert_eq!(check(None, with(&both), with(&declined)), None, "a code that no longer comes does no harm");
    assert_eq!(check(None, with(&[]), with(&both)), None, "without declared errors any may come");
    assert_eq!(check(None, with(&declined), with(&[("card_declined", Value::Null), ("input.invalid", Value::Null)])), None);
    let details = |kind: &str| [("card_declined", object(&["reason"], json!({ "reason": { "type": kind } })))];
    let changed = check(None, with(&details("string")), with(&details("integer"))).expect("a finding");
    assert_eq!(changed, (Certainty::Breaks, code("card_declined"), "/reason".to_owned()));
}

#[test]
fn limits_that_languages_add_are_warnings_and_what_cannot_be_shown_too() {
    let count = |more: Value| {
        let mut number = json!({ "type": "integer" });
        number.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        object(&["count"], json!({ "count": number }))
    };
    let javascript = json!({ "minimum": -9_007_199_254_740_991_i64, "maximum": 9_007_199_254_740_991_i64 });
    assert_eq!(input(count(json!({})), count(javascript)).expect("a finding").0, Certainty::Narrower);
    assert_eq!(input(count(json!({ "minimum": 1 })), count(json!({ "format": "uint32", "minimum": 0 }))).map(|found| found.0), None);
    // An object of which nothing is said may be what is asked for.
    let open = json!({ "type": "object", "required": ["count"] });
    let found = input(open, count(json!({})));
    assert!(found.as_ref().is_none_or(|found| found.0 == Certainty::Unproven), "{found:?}");
    // A sum of alternatives that differ in values alone.
    let either =
        object(&["count"], json!({ "count": { "oneOf": [{ "type": "integer", "maximum": 0 }, { "type": "integer", "minimum": 10 }] } }));
    assert_eq!(input(count(json!({})), either).expect("a finding").0, Certainty::Narrower);
}

#[test]
fn a_mapping_is_compared_although_the_manifest_declares_no_contract() {
    let nothing = || contract(Value::Null, Value::Null, &[]);
    let takes = |required: &[&str]| contract(object(required, json!({ "amount": {}, "currency": { "type": "string" } })), Value::Null, &[]);
    let mapping = || Some(json!({ "amount": "${ task.input.amount }" }));
    assert_eq!(check(mapping(), nothing(), takes(&["amount"])), None);
    let missing = check(mapping(), nothing(), takes(&["amount", "currency"])).expect("a finding");
    assert_eq!((missing.0, missing.1), (Certainty::Breaks, Side::Input));
    let literal = check(Some(json!({ "amount": 1, "currency": 2 })), nothing(), takes(&[])).expect("a finding");
    assert_eq!((literal.0, literal.2.as_str()), (Certainty::Breaks, "/currency"));
    assert_eq!(check(None, nothing(), takes(&["amount", "currency"])), None, "nothing is known of the task's input");
}

#[test]
fn what_the_mapping_never_sends_is_not_held_against_a_worker() {
    let may_send = contract(object(&["amount"], json!({ "amount": { "type": "string" }, "note": { "type": "string" } })), Value::Null, &[]);
    let takes = contract(object(&["amount"], json!({ "amount": { "type": "string" } })), Value::Null, &[]);
    assert_eq!(check(Some(json!({ "amount": "${ task.input.amount }" })), may_send.clone(), takes.clone()), None);
    assert_eq!(check(None, may_send, takes).expect("a finding").0, Certainty::Breaks);
}

#[test]
fn equal_steps_are_compared_once_and_each_is_named() {
    let sends = || contract(object(&["n"], json!({ "n": { "type": "string" } })), Value::Null, &[]);
    let steps = (0..2_000).map(|number| step(&format!("step_{number}"), None, sends())).collect();
    let takes = contract(object(&["n"], json!({ "n": { "type": "integer" } })), Value::Null, &[]);
    let found = compare(&workflow(steps), &bank(), &charge(), &takes);
    assert_eq!(found.len(), FINDINGS_MAX);
    assert_ne!(found[0].step, found[1].step);
    let other = CapabilityName::new("card.refund").expect("valid");
    assert!(compare(&workflow(vec![step("pay", None, sends())]), &bank(), &other, &takes).is_empty());
}

#[test]
fn very_many_different_inputs_end_as_unproven() {
    let takes = contract(object(&["n"], json!({ "n": { "type": "integer" } })), Value::Null, &[]);
    let nothing = || contract(Value::Null, Value::Null, &[]);
    let steps = (0..=INPUTS_MAX).map(|number| step(&format!("step_{number}"), Some(json!({ "n": number })), nothing())).collect();
    let found = compare(&workflow(steps), &bank(), &charge(), &takes);
    assert_eq!(found.iter().map(|found| found.certainty).collect::<Vec<_>>(), [Certainty::Unproven]);
}

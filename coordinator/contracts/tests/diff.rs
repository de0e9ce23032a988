//! `contract diff`: who is hurt when one contract follows another.

use serde_json::{Value, json};
use tasker_contracts::diff::{Report, Source, Verdict, diff};
use tasker_engine::Contract;

fn compare(old: Value, new: Value) -> Report {
    let read = |contract: Value| Contract::from_json(&contract).expect("a contract");
    diff(&read(old), &read(new))
}

fn object(fields: &[(&str, Value)], required: &[&str]) -> Value {
    let fields: serde_json::Map<String, Value> = fields.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": fields, "required": required })
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// Both directions of one change of a schema: as an input, and as a result.
#[track_caller]
fn check(old: Value, new: Value, input: Verdict, result: Verdict) {
    let report = compare(json!({ "input": old }), json!({ "input": new }));
    assert_eq!(report.input.verdict, input, "as an input: {}", report.to_text());
    let report = compare(json!({ "result": old }), json!({ "result": new }));
    assert_eq!(report.result.verdict, result, "as a result: {}", report.to_text());
    assert_eq!(report.verdict, report.result.verdict);
}

#[test]
fn what_one_side_welcomes_hurts_the_other() {
    use Verdict::{Breaking, Compatible, Unchanged};
    let one = object(&[("a", text())], &["a"]);
    check(one.clone(), one.clone(), Unchanged, Unchanged);
    let optional = object(&[("a", text())], &[]);
    check(one.clone(), optional.clone(), Compatible, Breaking);
    check(optional, one.clone(), Breaking, Compatible);
    let two = object(&[("a", text()), ("b", text())], &["a", "b"]);
    check(one.clone(), two, Breaking, Breaking);
    let nullable = object(&[("a", json!({ "type": ["string", "null"] }))], &["a"]);
    check(one.clone(), nullable, Compatible, Breaking);
    let number = object(&[("a", json!({ "type": "integer" }))], &["a"]);
    check(one.clone(), number, Breaking, Breaking);
    let described =
        json!({ "type": "object", "additionalProperties": false, "properties": { "a": text() }, "required": ["a"], "description": "x" });
    check(one, described, Unchanged, Unchanged);
    let words = |words: &[&str]| json!({ "enum": words });
    check(words(&["a"]), words(&["a", "b"]), Compatible, Breaking);
    check(json!({ "type": "integer" }), json!({ "type": "integer", "minimum": 1 }), Breaking, Compatible);
}

#[test]
fn a_schema_that_appears_narrows_and_one_that_goes_widens() {
    check(Value::Null, text(), Verdict::Breaking, Verdict::Compatible);
    check(text(), Value::Null, Verdict::Compatible, Verdict::Breaking);
}

#[test]
fn a_breaking_change_comes_with_a_value_that_shows_it() {
    let old = object(&[("a", text())], &[]);
    let new = object(&[("a", text())], &["a"]);
    let report = compare(json!({ "input": old }), json!({ "input": new }));
    let example = report.input.counterexample.expect("a value");
    let schema = |source: &Value| tasker_engine::Schema::compile(source.clone()).expect("a schema");
    assert_eq!(schema(&old).violations(&example), [], "callers may send {example}");
    assert_ne!(schema(&new).violations(&example), [], "which is refused now");
}

#[test]
fn a_new_error_code_breaks_what_was_complete() {
    let errors = |codes: &[&str]| {
        let errors: serde_json::Map<String, Value> = codes.iter().map(|code| ((*code).to_owned(), json!({ "details": null }))).collect();
        json!({ "errors": errors })
    };
    let verdict = |old: &[&str], new: &[&str]| compare(errors(old), errors(new)).verdict;
    assert_eq!(verdict(&["a"], &["a", "b"]), Verdict::Breaking);
    assert_eq!(verdict(&["a", "b"], &["a"]), Verdict::Compatible);
    assert_eq!(verdict(&["a"], &[]), Verdict::Breaking);
    assert_eq!(verdict(&[], &["a"]), Verdict::Compatible);
    assert_eq!(verdict(&["a"], &["a"]), Verdict::Unchanged);
    let details = |of: Value| json!({ "errors": { "a": { "details": of } } });
    assert_eq!(compare(details(json!({ "type": "integer" })), details(json!({ "type": "number" }))).verdict, Verdict::Breaking);
}

#[test]
fn the_report_reads_well() {
    let old = json!({
        "input": object(&[("order_id", text()), ("express", json!({ "type": "boolean" }))], &["order_id"]),
        "result": object(&[("payment_id", text())], &["payment_id"]),
        "errors": { "card_declined": { "details": { "type": "object", "required": ["reason"], "properties": { "reason": { "enum": ["limit", "stolen"] } } } }, "gateway_busy": { "details": null } },
    });
    let new = json!({
        "input": object(&[("order_id", text()), ("express", json!({ "type": "boolean" })), ("currency", text())], &["order_id", "currency"]),
        "result": object(&[("payment_id", text())], &[]),
        "errors": { "card_declined": { "details": { "type": "object", "required": ["reason"], "properties": { "reason": { "enum": ["limit", "stolen", "expired"] } } } }, "rate_limited": { "details": null } },
    });
    let report = compare(old, new);
    insta::assert_snapshot!("report_text", report.to_text());
    insta::assert_snapshot!("report_json", serde_json::to_string_pretty(&report).expect("a report prints"));
}

#[test]
fn what_is_no_contract_is_refused_in_one_line() {
    let table = [
        (json!([]), "a contract is a mapping"),
        (json!({ "inputs": {} }), "a contract has no field `inputs`"),
        (json!({ "errors": 1 }), "`errors` is a mapping of codes, or a list of them"),
        (json!({ "errors": [1] }), "1 is not the text of an error code"),
        (json!({ "errors": { "a": 1 } }), "the error `a` is not described by a mapping"),
    ];
    for (document, expected) in table {
        assert_eq!(Source::read(&document).expect_err("no contract"), expected);
    }
    assert!(Source::read(&json!({ "input": { "type": "strnig" } })).is_err());
    let list = Source::read(&json!({ "errors": ["a", "b"] })).expect("a contract");
    let map = Source::read(&json!({ "errors": { "a": null, "b": {} }, "description": "x" })).expect("a contract");
    assert_eq!(list, map);
}

//! `contract stubs`: what is generated is committed, compiled, and does what it says.
//!
//! The Python and TypeScript files beside the Rust one are imported and type-checked by the integration tests.

mod depot;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};
use tasker_contracts::stubs::{Language, NOT_WRITTEN, stubs};
use tasker_contracts::{Capability, System};
use tasker_worker::testing::call;

/// The committed file, compiled.
mod generated {
    include!("stubs/parcel_depot.rs");
}

/// `UPDATE_STUBS=1 cargo test -p tasker-contracts --test stubs` writes the files anew.
#[test]
fn what_is_generated_is_what_is_committed() {
    for language in [Language::Rust, Language::Python, Language::TypeScript] {
        let stub = stubs(&depot::system(), language);
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stubs").join(&stub.file_name);
        if std::env::var_os("UPDATE_STUBS").is_some() {
            std::fs::write(&path, &stub.text).expect("writable");
        }
        let committed = std::fs::read_to_string(&path).expect("committed");
        assert_eq!(stub.text, committed, "{}", path.display());
    }
}

fn input() -> Value {
    json!({
        "type": "2-man", "order-id": "A1", "weight": 2.5, "lines": [{ "sku": "x", "quantity": 2 }], "note": null, "status": "open",
        "labels": { "a": "b" }, "size": { "height": 1.0 }, "priority": "express", "2nd_try": true, "model_year": 1, "schema": [1], "__proto__": "p", "größe": 3,
    })
}

#[test]
fn rust_types_read_and_write_what_the_contract_admits() {
    let schema = depot::system().capabilities[0].contract.input.clone().expect("an input schema");
    let read: generated::ParcelAcceptInput = serde_json::from_value(input()).expect("the input fits the type");
    assert_eq!(read.deliver_on, None);
    let written = serde_json::to_value(&read).expect("it writes");
    assert_eq!(schema.violations(&written), []);
    assert_eq!(written, input());
    let tour = json!({ "place": "a", "next": { "place": "b" }, "others": [{ "place": "c" }] });
    let read: generated::TourPlanInputStop = serde_json::from_value(tour.clone()).expect("a type that contains itself");
    assert_eq!(serde_json::to_value(&read).expect("it writes"), tour);
}

#[test]
fn rust_schemas_refuse_what_the_contract_refuses() {
    let announced = schemars::SchemaGenerator::from(schemars::generate::SchemaSettings::draft2020_12())
        .into_root_schema_for::<generated::ParcelAcceptInput>();
    let announced = jsonschema::draft202012::new(announced.as_value()).expect("a schema");
    let contract = depot::system().capabilities[0].contract.input.clone().expect("an input schema");
    assert!(announced.is_valid(&input()), "{:?}", announced.iter_errors(&input()).map(|error| error.to_string()).collect::<Vec<_>>());
    for (field, value) in [
        ("order-id", json!("a1")),
        ("order-id", json!("")),
        ("weight", json!(0)),
        ("weight", json!(40)),
        ("lines", json!([])),
        ("lines", json!([{ "sku": "x", "quantity": 0 }])),
        ("note", json!("x".repeat(201))),
        ("type", json!("large")),
        ("status", json!("closed")),
        ("2nd_try", json!(null)),
        ("labels", json!({ "a": 1 })),
        ("unknown", json!(1)),
    ] {
        let mut broken = input();
        broken[field] = value.clone();
        assert!(!contract.violations(&broken).is_empty(), "the contract refuses {field} = {value}");
        assert!(!announced.is_valid(&broken), "the generated type admits {field} = {value}");
    }
}

#[test]
fn a_handler_says_that_it_is_not_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let failure =
        runtime.block_on(call(generated::tour_plan, generated::TourPlanInputStop { place: "a".to_owned(), next: None, others: None }));
    let failure = failure.expect_err("nobody wrote it");
    assert_eq!(failure.code(), NOT_WRITTEN);
    assert!(failure.to_string().contains("tour.plan"), "{failure}");
    let _ = generated::worker();
}

#[test]
fn a_system_without_capabilities_has_a_stub_too() {
    for language in [Language::Rust, Language::Python, Language::TypeScript] {
        let empty = System { name: "no_one".to_owned(), base_url: None, capabilities: Vec::new() };
        assert!(stubs(&empty, language).text.contains("no_one"));
    }
}

fn schema() -> impl Strategy<Value = Value> {
    let name = prop_oneof!["[a-z_]{1,6}", "[A-Za-z0-9_ .$-]{0,8}", "\\PC{0,4}", Just("type".to_owned()), Just("Self".to_owned())];
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!(true)),
        prop::sample::select(vec!["string", "integer", "number", "boolean", "null", "object", "array"])
            .prop_map(|of| json!({ "type": of })),
        vec(name.clone(), 1..4).prop_map(|values| json!({ "enum": values })),
        Just(json!({ "enum": [1, "a", null, [2], 1.5] })),
        Just(json!({ "$ref": "#" })),
        Just(json!({ "$ref": "#/properties/type" })),
        Just(json!({ "$ref": "#/nowhere" })),
        ("\\PC{0,12}", 0u32..9)
            .prop_map(|(text, number)| json!({ "type": ["string", "null"], "description": text, "pattern": text, "minLength": number })),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let fields = btree_map(name.clone(), inner.clone(), 0..5);
        prop_oneof![
            (fields, any::<bool>(), vec(name.clone(), 0..2)).prop_map(|(fields, open, required)| {
                json!({ "type": "object", "properties": fields, "additionalProperties": open, "required": required })
            }),
            inner.clone().prop_map(|items| json!({ "type": ["array", "string"], "items": items, "uniqueItems": true })),
            inner.clone().prop_map(|values| json!({ "type": "object", "additionalProperties": values })),
            vec(inner.clone(), 0..4).prop_map(|parts| json!({ "anyOf": parts })),
            vec(inner, 0..4).prop_map(|parts| json!({ "allOf": parts })),
        ]
    })
}

proptest! {
    /// Whatever a contract says, each name is defined once, and the same contract gives the same text.
    #[test]
    fn any_schema_gives_a_stub_with_names_of_its_own(input in schema(), result in schema()) {
        let contract = json!({ "input": input, "result": result, "errors": { "e": { "details": input, "description": "*/ \"\"\" \\" } } });
        let Ok(contract) = tasker_engine::Contract::from_json(&contract) else { return Ok(()) };
        let capability = |name: &str| Capability { name: name.to_owned(), description: "\"\"\" */".to_owned(), timeout: None, contract: contract.clone() };
        let system = System { name: "s".to_owned(), base_url: None, capabilities: ["a.b", "a_b", "class", "a.b"].map(capability).to_vec() };
        for (language, starts) in [
            (Language::Rust, ["pub struct ", "pub enum ", "pub async fn "]),
            (Language::Python, ["class ", "async def ", "= Union["]),
            (Language::TypeScript, ["export const ", "export const ", "export const "]),
        ] {
            let stub = stubs(&system, language);
            prop_assert_eq!(&stub, &stubs(&system, language));
            let defined: Vec<&str> = stub.text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect();
            let names: Vec<&str> = defined.iter().filter_map(|line| line.split([' ', '(', '{', ':', ';']).find(|word| !["pub", "struct", "enum", "async", "fn", "class", "def", "export", "const", ""].contains(word))).collect();
            let different: std::collections::BTreeSet<&&str> = names.iter().collect();
            prop_assert_eq!(different.len(), names.len(), "{}", stub.text);
            prop_assert!(names.len() >= 3, "{}", stub.text);
        }
    }
}

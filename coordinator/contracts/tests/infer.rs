//! `contract infer`: what samples show, and nothing else.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};
use tasker_contracts::infer::{self, Options, Refusal, infer};
use tasker_engine::Schema;

#[track_caller]
fn check(samples: Vec<Value>, expected: Value) {
    assert_eq!(infer(&samples, Options::default()), Ok(expected));
}

#[test]
fn what_every_sample_has_is_required() {
    check(
        vec![json!({ "a": 1, "b": null }), json!({ "a": 2.5, "c": [1, "x"] })],
        json!({
            "type": "object",
            "required": ["a"],
            "properties": { "a": { "type": "number" }, "b": { "type": "null" }, "c": { "type": "array", "items": { "type": ["string", "integer"] } } },
        }),
    );
}

#[test]
fn null_and_a_value_make_a_union() {
    check(vec![json!("x"), json!(null)], json!({ "type": ["string", "null"] }));
    check(vec![json!(1), json!(null)], json!({ "type": ["integer", "null"] }));
}

#[test]
fn an_integer_is_no_number_until_a_fraction_is_seen() {
    check(vec![json!(1), json!(2)], json!({ "type": "integer" }));
    check(vec![json!(1), json!(2.0)], json!({ "type": "number" }));
}

#[test]
fn objects_and_arrays_at_one_place_are_both_described() {
    check(
        vec![json!([]), json!({ "x": true })],
        json!({ "type": ["object", "array"], "required": ["x"], "properties": { "x": { "type": "boolean" } } }),
    );
}

#[test]
fn a_format_is_said_if_all_agree() {
    check(vec![json!("2026-11-21"), json!("2026-01-02")], json!({ "type": "string", "format": "date" }));
    check(vec![json!("2026-11-21"), json!("soon")], json!({ "type": "string" }));
    check(vec![json!("ada@example.com"), json!(null)], json!({ "type": ["string", "null"], "format": "email" }));
    let plain = infer(&[json!("2026-11-21")], Options { formats: false, enums: true });
    assert_eq!(plain, Ok(json!({ "type": "string" })));
}

#[test]
fn few_words_that_repeat_are_an_enum_and_nothing_less_is() {
    let states = |count: usize| (0..count).map(|place| json!(["open", "paid", "sent"][place % 3])).collect::<Vec<_>>();
    check(states(30), json!({ "type": "string", "enum": ["open", "paid", "sent"] }));
    check(states(29), json!({ "type": "string" }));
    let mut rare = states(40);
    rare.push(json!("lost"));
    check(rare, json!({ "type": "string" }));
    check((0..40).map(|place| json!(format!("customer {}", place % 9))).collect(), json!({ "type": "string" }));
    check(vec![json!("open"); 40], json!({ "type": "string" }));
    let mut nullable = states(30);
    nullable.push(json!(null));
    check(nullable, json!({ "type": ["string", "null"], "enum": ["open", "paid", "sent", null] }));
    assert_eq!(infer(&states(30), Options { formats: true, enums: false }), Ok(json!({ "type": "string" })));
}

#[test]
fn an_object_whose_keys_are_data_is_a_dictionary() {
    let samples: Vec<Value> = (0..100).map(|number| json!({ format!("sku_{number}"): { "count": number } })).collect();
    check(
        samples,
        json!({
            "type": "object",
            "additionalProperties": { "type": "object", "required": ["count"], "properties": { "count": { "type": "integer" } } },
        }),
    );
}

#[test]
fn what_is_too_much_is_refused_with_a_code() {
    let code = |samples: &[Value]| infer(samples, Options::default()).map_err(|refusal: Refusal| refusal.code());
    assert_eq!(code(&[]), Err("samples.none"));
    assert_eq!(code(&vec![Value::Null; infer::SAMPLES_MAX + 1]), Err("samples.too_many"));
    assert_eq!(code(&[json!(vec![0; infer::NODES_MAX])]), Err("samples.too_large"));
}

#[test]
fn wide_and_deep_samples_give_a_schema_that_a_contract_accepts() {
    let wide: serde_json::Map<String, Value> = (0..20_000).map(|number| (format!("field_{number}"), json!(number))).collect();
    let deep = (0..100).fold(json!(1), |inner, _| json!({ "inner": inner }));
    for sample in [Value::Object(wide), deep] {
        let schema = infer(std::slice::from_ref(&sample), Options::default()).expect("a sample");
        let schema = Schema::compile(schema).expect("a contract accepts it");
        assert_eq!(schema.violations(&sample), []);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,3}",
        Just("2026-11-21".to_owned()),
        (0u32..30, 0u32..14, 0u32..30, 0u32..70)
            .prop_map(|(day, month, hour, second)| format!("2026-{month:02}-{day:02}T{hour:02}:00:{second:02}Z")),
        "[a-z.+-]{1,5}@[a-z-]{1,5}(\\.[a-z]{1,4}){0,2}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "(https?|nats)://[a-z.-]{0,8}(:[0-9]{1,6})?(/[a-z%?#&=]{0,6})?",
        any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map("[a-d]|[a-z]{1,3}", inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_sample_fits_and_order_does_not_matter(samples in vec(value(), 1..40), repeats in 1usize..40) {
        let samples: Vec<Value> = samples.iter().cycle().take(samples.len() * repeats).cloned().collect();
        let inferred = infer(&samples, Options::default()).expect("samples");
        let schema = Schema::compile(inferred.clone()).expect("a contract accepts it");
        for sample in &samples {
            prop_assert_eq!(schema.violations(sample), [], "{} against {}", sample, inferred);
        }
        // Another judge of the same schema, with formats checked.
        let judge = jsonschema::draft202012::options().should_validate_formats(true).build(&inferred).expect("a schema");
        prop_assert!(samples.iter().all(|sample| judge.is_valid(sample)));
        let backwards: Vec<Value> = samples.iter().rev().cloned().collect();
        prop_assert_eq!(infer(&backwards, Options::default()), Ok(inferred));
    }
}

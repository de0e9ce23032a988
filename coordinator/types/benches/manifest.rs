//! What the types of a manifest of 1,000 steps cost: read each contract, check each mapping.

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Map, Value, json};
use std::hint::black_box;
use tasker_types::{Field, FieldOf, Type};

const STEPS: usize = 1_000;

/// A contract of twenty members, each step's a little different.
fn contract(step: usize) -> Value {
    let member = |number: usize| {
        let part = match number % 5 {
            0 => json!({ "type": "string", "pattern": "^[0-9]+$" }),
            1 => json!({ "type": "integer", "minimum": 1, "maximum": 100 + step }),
            2 => json!({ "type": ["string", "null"], "maxLength": 255 }),
            3 => json!({ "enum": ["new", "paid", "shipped"] }),
            _ => {
                json!({ "type": "array", "items": { "type": "object", "properties": { "sku": { "type": "string" }, "quantity": { "type": "integer" } }, "required": ["sku"] } })
            }
        };
        (format!("member_{number}"), part)
    };
    let members: Map<String, Value> = (0..20).map(member).collect();
    let required: Vec<String> = (0..20).step_by(2).map(|number| format!("member_{number}")).collect();
    json!({ "type": "object", "properties": members, "required": required, "additionalProperties": false })
}

fn manifest(c: &mut Criterion) {
    let contracts: Vec<Value> = (0..STEPS).map(contract).collect();
    c.bench_function("read 1,000 contracts", |b| {
        b.iter(|| contracts.iter().map(|contract| Type::of_schema(black_box(contract))).collect::<Vec<_>>())
    });
    let types: Vec<Type> = contracts.iter().map(Type::of_schema).collect();
    c.bench_function("hand 1,000 results on", |b| b.iter(|| types.windows(2).filter(|two| two[1].admits(&two[0]).fits()).count()));
    c.bench_function("map 20,000 members", |b| {
        b.iter(|| {
            types
                .windows(2)
                .filter(|two| {
                    let fields = two[0].fields().into_iter().map(|field| match two[0].field(&field.name) {
                        Field::Present(part) => FieldOf { part, ..field },
                        Field::Optional(part) => FieldOf { part, required: false, ..field },
                        Field::Absent { .. } | Field::Unknown => field,
                    });
                    two[1].admits(&Type::object(fields, true)).fits()
                })
                .count()
        });
    });
}

criterion_group!(benches, manifest);
criterion_main!(benches);

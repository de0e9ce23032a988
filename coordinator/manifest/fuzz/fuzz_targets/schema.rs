//! No JSON makes the compiler of schemas or the types made of them panic or hang, and a sample of a type is never refused by it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tasker_engine::Schema;
use tasker_types::Type;

fuzz_target!(|text: &str| {
    let Ok(source) = serde_json::from_str::<Value>(text) else { return };
    let of = Type::of_schema(&source);
    if let Some(sample) = of.sample() {
        assert_ne!(of.contains(&sample), Some(false));
    }
    // A type may be dear to compare with itself, but it ends.
    let _ = of.admits(&of);
    if let Ok(schema) = Schema::compile(source) {
        let _ = schema.violations(&Value::Null);
    }
});

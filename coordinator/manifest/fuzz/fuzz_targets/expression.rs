//! No source makes the compiler or the evaluation of expressions panic or hang, and the same scope gives the same value twice.
//!
//! The first line is the expression; what follows is the task's input, as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tasker_engine::expression::{Expression, Scope};

struct Given(Value);

impl Scope for Given {
    fn task_input(&self) -> &Value {
        &self.0
    }

    fn step_result(&self, _: &str) -> Option<&Value> {
        Some(&self.0)
    }
}

fuzz_target!(|text: &str| {
    let (source, input) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(expression) = Expression::compile(source) else { return };
    let scope = Given(serde_json::from_str(input).unwrap_or_default());
    assert_eq!(expression.evaluate(&scope), expression.evaluate(&scope));
});

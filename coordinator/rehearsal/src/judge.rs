//! Compares what came of a case with what it expects.

use crate::case::Expect;
use crate::outcome::{Ended, Outcome};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tasker_engine::duration;
use tasker_engine::task::StepState;

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The expectation, as it is called in the case: `attempts.charge`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub actual: String,
}

/// The longest value shown in a mismatch, in characters.
const SHOWN_MAX: usize = 400;

/// Everything that is not as expected; empty if all is. What the case fails by itself ([`Outcome::problems`]) is not among it.
pub fn judge(expect: &Expect, outcome: &Outcome) -> Vec<Mismatch> {
    let Some(ended) = &outcome.ended else { return Vec::new() };
    let mut judge = Judge { outcome, ended, found: Vec::new() };
    judge.end(expect);
    judge.steps(expect);
    judge.values(expect);
    judge.found
}

struct Judge<'o> {
    outcome: &'o Outcome,
    ended: &'o Ended,
    found: Vec<Mismatch>,
}

impl Judge<'_> {
    fn differ(&mut self, what: impl Into<String>, expected: impl Into<String>, actual: impl Into<String>) {
        self.found.push(Mismatch { what: what.into(), expected: expected.into(), actual: actual.into() });
    }

    fn end(&mut self, expect: &Expect) {
        let actual = self.ended.status;
        if let Some(status) = expect.status.filter(|status| *status != actual) {
            let why = match &self.ended.failure {
                Some(failure) => format!("{}: {}: {}", actual.as_str(), failure.code, failure.message),
                None if !self.ended.waits.is_empty() => format!("{} for {}", actual.as_str(), self.ended.waits.join(", ")),
                None => actual.as_str().to_owned(),
            };
            self.differ("status", status.as_str(), why);
        }
        if let Some(code) = &expect.error {
            match &self.ended.failure {
                Some(failure) if failure.code.as_str() == code => {}
                Some(failure) => self.differ("error", code, format!("{}: {}", failure.code, failure.message)),
                None => self.differ("error", code, format!("none; the task is {}", self.ended.status.as_str())),
            }
        }
        let result = self.ended.result.as_ref().map(tasker_engine::Payload::value);
        if let Some(expected) = &expect.result {
            match &result {
                Some(actual) if same(expected, actual) => {}
                actual => self.differ("result", shown(expected), actual.as_ref().map_or("none".to_owned(), shown)),
            }
        }
        if let Some(expected) = &expect.result_contains {
            self.contains("result_contains", expected, result.as_ref());
        }
        if let Some(longest) = expect.took.filter(|longest| self.ended.took > *longest) {
            self.differ("took", format!("at most {}", duration::format(longest)), duration::format(self.ended.took));
        }
    }

    fn steps(&mut self, expect: &Expect) {
        let began = &self.outcome.began;
        if let Some(path) = &expect.path {
            let mut rest = began.iter();
            if !path.iter().all(|step| rest.any(|other| other == step)) {
                self.differ("path", path.join(" → "), began.join(" → "));
            }
        }
        for step in expect.ran.iter().filter(|step| !began.contains(step)) {
            let actual = self.state(step);
            self.differ("ran", format!("`{step}`"), format!("`{step}` {actual}"));
        }
        for step in expect.not_run.iter().filter(|step| began.contains(step)) {
            self.differ("not_run", format!("`{step}` never begins"), format!("it began and {}", self.state(step)));
        }
        for (what, steps, word) in [("skipped", &expect.skipped, "skipped"), ("failed", &expect.failed, "failed")] {
            for step in steps {
                let actual = self.word(step);
                if actual != Some(word) {
                    self.differ(what, format!("`{step}` {}", if word == "failed" { "has failed" } else { "is skipped" }), self.state(step));
                }
            }
        }
        if let Some(waits) = &expect.waits {
            let (mut expected, mut actual) = (waits.clone(), self.ended.waits.clone());
            expected.sort();
            actual.sort();
            if expected != actual {
                self.differ("waits", expected.join(", "), if actual.is_empty() { "nothing waits".into() } else { actual.join(", ") });
            }
        }
        if let Some(expected) = expect.compensated.as_ref().filter(|expected| **expected != self.outcome.compensated) {
            let actual = &self.outcome.compensated;
            self.differ("compensated", expected.join(" → "), if actual.is_empty() { "nothing".into() } else { actual.join(" → ") });
        }
        for (step, expected) in &expect.attempts {
            let actual = self.outcome.attempts.get(step).copied().unwrap_or_default();
            if actual != *expected {
                self.differ(format!("attempts.{step}"), expected.to_string(), actual.to_string());
            }
        }
        for (step, expected) in &expect.items {
            let task = &self.ended.task;
            let fan = task.workflow.find(step).and_then(|step| task.progress(step).fan.as_ref());
            let actual = fan.map(|fan| u64::from(fan.count));
            if actual != Some(*expected) {
                self.differ(
                    format!("items.{step}"),
                    expected.to_string(),
                    actual.map_or("it did not fan out".into(), |count| count.to_string()),
                );
            }
        }
    }

    fn values(&mut self, expect: &Expect) {
        let last: BTreeMap<&str, Value> = expect
            .inputs
            .keys()
            .filter_map(|step| Some((step.as_str(), self.outcome.sent.iter().rfind(|sent| sent.step == *step)?.input.value())))
            .collect();
        for (step, expected) in &expect.inputs {
            match last.get(step.as_str()) {
                Some(actual) => self.contains(&format!("inputs.{step}"), expected, Some(actual)),
                None => self.differ(format!("inputs.{step}"), shown(expected), "nothing was sent"),
            }
        }
        for (step, expected) in &expect.results {
            let task = &self.ended.task;
            let label = step.parse().ok().and_then(|label| task.find(&label));
            let actual = label.and_then(|step| task.step_result(step)).map(tasker_engine::Payload::value);
            self.contains(&format!("results.{step}"), expected, actual.as_ref());
        }
    }

    fn contains(&mut self, what: &str, expected: &Value, actual: Option<&Value>) {
        let Some(actual) = actual else { return self.differ(what, shown(expected), "none") };
        let mut place = String::new();
        if let Some((expected, actual)) = first_missing(expected, actual, &mut place) {
            self.differ(format!("{what}{place}"), expected, actual);
        }
    }

    fn word(&self, step: &str) -> Option<&'static str> {
        let task = &self.ended.task;
        let found = step.parse().ok().and_then(|label| task.find(&label))?;
        Some(task.progress(found).state.as_str())
    }

    /// Where a step stands, in words.
    fn state(&self, step: &str) -> String {
        let task = &self.ended.task;
        let Some(found) = step.parse().ok().and_then(|label| task.find(&label)) else { return "did not begin".to_owned() };
        match &task.progress(found).state {
            StepState::Skipped { reason, .. } => format!("is skipped ({})", reason.as_str().replace('_', " ")),
            StepState::Failed { failure, .. } => format!("failed with {}: {}", failure.code, failure.message),
            StepState::Succeeded { .. } => "has succeeded".to_owned(),
            state => format!("is {}", state.as_str().replace('_', " ")),
        }
    }
}

/// The first place where `actual` lacks something of `expected`, and both sides there. Objects may have more fields; everything else
/// must be the same.
fn first_missing(expected: &Value, actual: &Value, place: &mut String) -> Option<(String, String)> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected.iter().find_map(|(name, expected)| {
            let before = place.len();
            place.push('.');
            place.push_str(name);
            let found = match actual.get(name) {
                Some(actual) => first_missing(expected, actual, place),
                None => Some((shown(expected), "no such field".to_owned())),
            };
            if found.is_none() {
                place.truncate(before);
            }
            found
        }),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            expected.iter().zip(actual).enumerate().find_map(|(number, (expected, actual))| {
                let before = place.len();
                place.push_str(&format!("[{number}]"));
                let found = first_missing(expected, actual, place);
                if found.is_none() {
                    place.truncate(before);
                }
                found
            })
        }
        (expected, actual) => (!same(expected, actual)).then(|| (shown(expected), shown(actual))),
    }
}

/// Whether two values are the same; numbers are if they are the same number, however written.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len() && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        (left, right) => left == right,
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_missing_thing_is_named_by_its_place_with_both_sides() {
        let table = [
            (json!({}), json!({ "a": 1 }), None),
            (json!({ "a": 1 }), json!({ "a": 1.0, "b": 2 }), None),
            (json!({ "a": { "b": [1, { "c": 2 }] } }), json!({ "a": { "b": [1, { "c": 3, "d": 4 }] } }), Some((".a.b[1].c", "2", "3"))),
            (json!({ "a": 1 }), json!({}), Some((".a", "1", "no such field"))),
            (json!([1, 2]), json!([1]), Some(("", "[1,2]", "[1]"))),
            (json!({ "a": 1 }), json!(null), Some(("", "{\"a\":1}", "null"))),
        ];
        for (expected, actual, found) in table {
            let mut place = String::new();
            let missing = first_missing(&expected, &actual, &mut place).map(|(expected, actual)| (place.clone(), expected, actual));
            assert_eq!(missing, found.map(|(place, left, right)| (place.into(), left.into(), right.into())), "{expected} in {actual}");
        }
    }
}

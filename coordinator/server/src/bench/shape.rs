//! The workflows that are run: `linear:4`, `diamond:8`, `fanout:1000`, `for_each:10000`.

use serde_json::{Value, json};
use std::fmt::Write;
use std::str::FromStr;

/// A workflow by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Steps one after the other.
    Linear(usize),
    /// One step, many beside each other, one step.
    Diamond(usize),
    /// Many steps beside each other, one step.
    Fanout(usize),
    /// One step for each of many items, one step.
    ForEach(usize),
    /// One step that sleeps for longer than any benchmark runs.
    Sleep,
}

/// The most steps that are named in one manifest here.
const STEPS_MAX: usize = 5_000;

/// The most items of a fan-out that the engine takes.
const ITEMS_MAX: usize = 10_000;

impl FromStr for Shape {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is no shape; give linear:N, diamond:N or fanout:N with N from 1 to {STEPS_MAX}, or for_each:N with N from 1 to {ITEMS_MAX}"
            )
        };
        let (kind, number) = text.split_once(':').ok_or_else(expected)?;
        let number: usize = number.parse().map_err(|_| expected())?;
        let (shape, most) = match kind {
            "linear" => (Self::Linear(number), STEPS_MAX),
            "diamond" => (Self::Diamond(number), STEPS_MAX),
            "fanout" => (Self::Fanout(number), STEPS_MAX),
            "for_each" => (Self::ForEach(number), ITEMS_MAX),
            _ => return Err(expected()),
        };
        if (1..=most).contains(&number) { Ok(shape) } else { Err(expected()) }
    }
}

impl Shape {
    /// How many steps a task has that a worker runs.
    pub fn steps(self) -> usize {
        match self {
            Self::Linear(number) => number,
            Self::Diamond(number) => number + 2,
            Self::Fanout(number) | Self::ForEach(number) => number + 1,
            Self::Sleep => 0,
        }
    }

    /// What a task is submitted with.
    pub fn input(self, payload: usize) -> Value {
        match self {
            Self::Linear(_) | Self::Diamond(_) | Self::Fanout(_) | Self::Sleep => json!({ "pad": "x".repeat(payload) }),
            Self::ForEach(number) => json!({ "items": (0..number).collect::<Vec<_>>() }),
        }
    }

    /// The manifest. The version names the payload, so that runs on one database do not collide.
    pub fn manifest(self, payload: usize) -> String {
        let mut steps = String::new();
        let mut step = |name: &str, more: &str| {
            let _ = writeln!(steps, "  - {{ name: {name}, owner: bench, capability: bench.noop{more} }}");
        };
        let middle = |number: usize| (0..number).map(|place| format!("middle_{place}")).collect::<Vec<_>>();
        let name = match self {
            Self::Linear(number) => {
                for place in 0..number {
                    let depends_on = if place == 0 { String::new() } else { format!(", depends_on: step_{}", place - 1) };
                    step(&format!("step_{place}"), &depends_on);
                }
                format!("bench_linear_{number}")
            }
            Self::Diamond(number) => {
                step("first", "");
                middle(number).iter().for_each(|name| step(name, ", depends_on: first"));
                step("last", &format!(", depends_on: [{}]", middle(number).join(", ")));
                format!("bench_diamond_{number}")
            }
            Self::Fanout(number) => {
                middle(number).iter().for_each(|name| step(name, ""));
                step("last", &format!(", depends_on: [{}]", middle(number).join(", ")));
                format!("bench_fanout_{number}")
            }
            Self::ForEach(number) => {
                step("each", ", for_each: { items: \"${ task.input.items }\" }, input: { item: \"${ item }\" }");
                step("last", ", depends_on: each, input: { }");
                format!("bench_for_each_{number}")
            }
            Self::Sleep => {
                steps.push_str("  - { name: rest, sleep: 30d }\n");
                "bench_sleep".to_owned()
            }
        };
        format!("name: {name}\nversion: 1.0.{payload}\nsystems:\n  bench: {{ capabilities: [bench.noop] }}\nworkflow_steps:\n{steps}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::Namespace;

    fn checked(shape: Shape) -> usize {
        let checked = tasker_manifest::check(&shape.manifest(256), "bench.yaml", &Namespace::new("default").expect("valid"));
        checked.manifest.unwrap_or_else(|| panic!("{:?}", checked.diagnostics)).workflow.steps.len()
    }

    #[test]
    fn every_shape_is_an_acceptable_manifest_with_the_steps_it_claims() {
        for text in ["linear:4", "diamond:8", "fanout:1000"] {
            let shape: Shape = text.parse().expect(text);
            assert_eq!(checked(shape), shape.steps());
        }
        assert_eq!(checked("for_each:10000".parse().expect("a shape")), 2);
        assert_eq!(checked(Shape::Sleep), 1);
        for text in ["linear", "linear:0", "linear:x", "star:3", "fanout:5001", "for_each:10001"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}

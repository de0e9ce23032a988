//! The workflows that are run: `linear:4`, `diamond:8`, `fanout:1000`.

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
}

impl FromStr for Shape {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is no shape; give linear:N, diamond:N or fanout:N with N from 1 to 5000");
        let (kind, number) = text.split_once(':').ok_or_else(expected)?;
        let number: usize = number.parse().map_err(|_| expected())?;
        if !(1..=5_000).contains(&number) {
            return Err(expected());
        }
        match kind {
            "linear" => Ok(Self::Linear(number)),
            "diamond" => Ok(Self::Diamond(number)),
            "fanout" => Ok(Self::Fanout(number)),
            _ => Err(expected()),
        }
    }
}

impl Shape {
    /// How many steps a task has.
    pub fn steps(self) -> usize {
        match self {
            Self::Linear(number) => number,
            Self::Diamond(number) => number + 2,
            Self::Fanout(number) => number + 1,
        }
    }

    /// The manifest. The version names the payload, so that runs on one database do not collide.
    pub fn manifest(self, payload: usize) -> String {
        let (name, mut steps) = match self {
            Self::Linear(number) => (format!("bench_linear_{number}"), String::new()),
            Self::Diamond(number) => (format!("bench_diamond_{number}"), String::new()),
            Self::Fanout(number) => (format!("bench_fanout_{number}"), String::new()),
        };
        let mut step = |name: &str, depends_on: &str| {
            let _ = writeln!(steps, "  - {{ name: {name}, owner: bench, capability: bench.noop{depends_on} }}");
        };
        let middle = |number: usize| (0..number).map(|place| format!("middle_{place}")).collect::<Vec<_>>();
        match self {
            Self::Linear(number) => (0..number).for_each(|place| {
                let depends_on = if place == 0 { String::new() } else { format!(", depends_on: step_{}", place - 1) };
                step(&format!("step_{place}"), &depends_on);
            }),
            Self::Diamond(number) | Self::Fanout(number) => {
                let first = if matches!(self, Self::Diamond(_)) { ", depends_on: first" } else { "" };
                if !first.is_empty() {
                    step("first", "");
                }
                middle(number).iter().for_each(|name| step(name, first));
                step("last", &format!(", depends_on: [{}]", middle(number).join(", ")));
            }
        }
        format!("name: {name}\nversion: 1.0.{payload}\nsystems:\n  bench: {{ capabilities: [bench.noop] }}\nworkflow_steps:\n{steps}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::Namespace;

    #[test]
    fn every_shape_is_an_acceptable_manifest_with_the_steps_it_claims() {
        for text in ["linear:4", "diamond:8", "fanout:1000"] {
            let shape: Shape = text.parse().expect(text);
            let checked = tasker_manifest::check(&shape.manifest(256), "bench.yaml", &Namespace::new("default").expect("valid"));
            let manifest = checked.manifest.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
            assert_eq!(manifest.workflow.steps.len(), shape.steps());
        }
        for text in ["linear", "linear:0", "linear:x", "star:3", "fanout:5001"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}

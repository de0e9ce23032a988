//! What a client saw, held against what the database says. One JSON object per line:
//!
//! `{"op":"submit","key":"k","t_start":1,"t_end":2,"outcome":"accepted","id":"tsk_…"}` with the outcomes `accepted`, `existing`, `refused` (certainly
//! nothing was done) and `unknown`; `{"op":"reply","id":"tsk_…","step":"pay","attempt":1,"outcome":"stale"}` with `recorded`, `repeated`, `stale`,
//! `conflicting` and `refused`. Times are milliseconds since 1970 by the client's clock, for people: no promise is
//! judged by them. Keys are those of the namespace `default`.

use super::Findings;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tasker_engine::TaskId;

/// The tenant that a log is about.
pub const NAMESPACE: &str = "default";

/// One thing that a client did.
#[derive(Debug, Deserialize)]
struct Line {
    op: Op,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    step: Option<String>,
    #[serde(default)]
    attempt: Option<u32>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Submit,
    Reply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Accepted,
    Existing,
    Refused,
    Unknown,
    Recorded,
    Repeated,
    Stale,
    Conflicting,
}

/// What the database knows that a client can have seen.
#[derive(Default)]
pub struct Known {
    /// Every task.
    pub tasks: BTreeSet<TaskId>,
    /// Idempotency keys and where they led.
    pub keys: BTreeMap<String, TaskId>,
    /// Attempts that brought their step's result: task, step, number.
    pub results: BTreeSet<(TaskId, String, u32)>,
    /// Attempts that a reply closed without a result.
    pub failures: BTreeSet<(TaskId, String, u32)>,
}

/// Reads the log and reports what contradicts the database.
///
/// # Errors
/// The log cannot be read; names the line.
pub fn examine(file: &Path, known: &Known, findings: &mut Findings) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("[file.unreadable]: {}", file.display()))?;
    compare(&text, known, findings).with_context(|| format!("[file.malformed]: {}", file.display()))
}

fn compare(text: &str, known: &Known, findings: &mut Findings) -> anyhow::Result<()> {
    let mut submissions = Submissions::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("line {}", number + 1);
        let line: Line = serde_json::from_str(line).with_context(place)?;
        match line.op {
            Op::Submit => submissions.note(&line).with_context(place)?,
            Op::Reply => reply(&line, known, findings).with_context(place)?,
        }
    }
    submissions.examine(known, findings);
    Ok(())
}

/// What became of submissions, key by key.
#[derive(Default)]
struct Submissions {
    acknowledged: BTreeSet<(TaskId, Option<String>)>,
    /// Keys of which no submission had any other outcome than a refusal.
    refused: BTreeSet<String>,
    possible: BTreeSet<String>,
}

impl Submissions {
    fn note(&mut self, line: &Line) -> anyhow::Result<()> {
        match line.outcome {
            Outcome::Accepted | Outcome::Existing => {
                let id = line.id.as_deref().context("an accepted submission has an `id`")?;
                self.acknowledged.insert((id.parse()?, line.key.clone()));
                self.possible.extend(line.key.clone());
            }
            Outcome::Refused => self.refused.extend(line.key.clone()),
            Outcome::Unknown => self.possible.extend(line.key.clone()),
            Outcome::Recorded | Outcome::Repeated | Outcome::Stale | Outcome::Conflicting => {
                bail!("a submission is accepted, existing, refused or unknown")
            }
        }
        Ok(())
    }

    fn examine(&self, known: &Known, findings: &mut Findings) {
        let mut led: BTreeMap<&str, TaskId> = BTreeMap::new();
        for (id, key) in &self.acknowledged {
            if !known.tasks.contains(id) {
                findings.report("P1", format!("{id} was acknowledged, but is not in the journal"));
            }
            let Some(key) = key else { continue };
            if let Some(other) = led.insert(key, *id).filter(|other| other != id) {
                findings.report("P2", format!("key `{key}` was answered with {other} and with {id}"));
            }
            if known.keys.get(key).is_some_and(|stored| stored != id) {
                findings.report("P2", format!("key `{key}` was answered with {id}, but leads to {}", known.keys[key]));
            }
        }
        for key in self.refused.difference(&self.possible) {
            if let Some(id) = known.keys.get(key) {
                findings.report("P3", format!("every submission of key `{key}` was refused, but {id} exists"));
            }
        }
    }
}

fn reply(line: &Line, known: &Known, findings: &mut Findings) -> anyhow::Result<()> {
    let (Some(id), Some(step), Some(attempt)) = (&line.id, &line.step, line.attempt) else {
        bail!("a reply has `id`, `step` and `attempt`")
    };
    let place = (id.parse::<TaskId>()?, step.clone(), attempt);
    let counted = known.results.contains(&place);
    match line.outcome {
        Outcome::Recorded | Outcome::Repeated if !counted && !known.failures.contains(&place) => {
            findings.report("P6", format!("{id}: the reply of attempt {attempt} of `{step}` was acknowledged, but is not in the journal"));
        }
        Outcome::Stale if counted => {
            findings.report("P8", format!("{id}: attempt {attempt} of `{step}` was answered as stale, but brought the result"));
        }
        // A second or forged reply says nothing of the first.
        Outcome::Recorded | Outcome::Repeated | Outcome::Stale | Outcome::Conflicting | Outcome::Refused | Outcome::Unknown => {}
        Outcome::Accepted | Outcome::Existing => bail!("a reply is recorded, repeated, stale, conflicting, refused or unknown"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> (Known, TaskId, TaskId) {
        let (one, two) = (TaskId::from_number(7).expect("a task id"), TaskId::from_number(8).expect("a task id"));
        let known = Known {
            tasks: [one, two].into(),
            keys: [("a".to_owned(), one), ("b".to_owned(), two)].into(),
            results: [(one, "pay".to_owned(), 2)].into(),
            failures: [(one, "pay".to_owned(), 1)].into(),
        };
        (known, one, two)
    }

    /// The promises that a log breaks.
    fn broken(log: &str) -> Vec<&'static str> {
        let mut findings = Findings::default();
        compare(log, &known().0, &mut findings).expect("the log can be read");
        findings.violations.into_keys().collect()
    }

    #[test]
    fn a_log_that_agrees_breaks_nothing() {
        let (_, one, two) = known();
        let log = format!(
            r#"{{"op":"submit","key":"a","t_start":1,"t_end":2,"outcome":"unknown","id":null}}
               {{"op":"submit","key":"a","t_start":3,"t_end":4,"outcome":"existing","id":"{one}"}}
               {{"op":"submit","key":"b","outcome":"accepted","id":"{two}"}}
               {{"op":"submit","key":"c","outcome":"refused"}}
               {{"op":"reply","id":"{one}","step":"pay","attempt":1,"outcome":"recorded"}}
               {{"op":"reply","id":"{one}","step":"pay","attempt":2,"outcome":"recorded"}}
               {{"op":"reply","id":"{one}","step":"pay","attempt":1,"outcome":"stale"}}
               {{"op":"reply","id":"{one}","step":"pay","attempt":2,"outcome":"conflicting"}}"#
        );
        assert_eq!(broken(&log), Vec::<&str>::new());
    }

    #[test]
    fn each_promise_that_a_client_can_see_broken_is_named() {
        let (_, one, two) = known();
        let lost = TaskId::from_number(9).expect("a task id");
        assert_eq!(broken(&format!(r#"{{"op":"submit","outcome":"accepted","id":"{lost}"}}"#)), ["P1"]);
        assert_eq!(broken(&format!(r#"{{"op":"submit","key":"a","outcome":"accepted","id":"{two}"}}"#)), ["P2"]);
        assert_eq!(broken(r#"{"op":"submit","key":"a","outcome":"refused"}"#), ["P3"]);
        assert_eq!(broken(&format!(r#"{{"op":"reply","id":"{one}","step":"pay","attempt":3,"outcome":"recorded"}}"#)), ["P6"]);
        assert_eq!(broken(&format!(r#"{{"op":"reply","id":"{one}","step":"pay","attempt":2,"outcome":"stale"}}"#)), ["P8"]);
    }

    #[test]
    fn a_log_that_cannot_be_read_names_the_line() {
        for wrong in ["{\"op\":\"submit\"}", "{\"op\":\"submit\",\"outcome\":\"stale\"}", "{\"op\":\"reply\",\"outcome\":\"stale\"}", "x"] {
            let log = format!("\n{wrong}\n");
            let error = compare(&log, &Known::default(), &mut Findings::default()).expect_err(wrong);
            assert!(format!("{error:#}").contains("line 2"), "{error:#}");
        }
    }
}

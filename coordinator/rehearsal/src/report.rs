//! What people and programs are told about the cases of a workflow.

use crate::case::{Case, Status};
use crate::coverage::Coverage;
use crate::judge::{Mismatch, judge};
use crate::outcome::Outcome;
use crate::stage::rehearse;
use crate::workflows::Workflows;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;
use tasker_engine::duration;

/// Everything about one run of `tasker workflow test`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// One for each file of cases.
    pub items: Vec<SuiteReport>,
    /// How many cases passed.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
}

/// Everything about the cases of one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteReport {
    /// The file, as the caller named it.
    pub file: String,
    /// The workflow under test.
    pub workflow: String,
    /// One for each case, in the order of the file.
    pub cases: Vec<CaseReport>,
    /// The ways that the cases took together; none if only some cases were run.
    pub coverage: Option<Coverage>,
}

/// Everything about one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Whether all is as expected.
    pub passed: bool,
    /// How the task ended; none if it was never accepted.
    pub status: Option<Status>,
    /// The virtual time that went by, as manifests write it.
    pub took: String,
    /// The steps in the order in which they began, with attempts and failures: `reserve → charge ×2 ✗ → release`.
    pub path: String,
    /// What is not as expected.
    pub mismatches: Vec<Mismatch>,
    /// Why the case fails whatever it expects.
    pub problems: Vec<String>,
    /// Steps whose results were made up.
    pub made_up: BTreeSet<String>,
    /// What the author should know.
    pub notes: BTreeSet<String>,
}

/// The most steps of a path that are written.
const PATH_STEPS_MAX: usize = 40;
/// The most missed ways that are listed for people; `-o json` has all.
const MISSED_MAX: usize = 40;

impl Report {
    /// Puts the reports of several files together.
    pub fn of(items: Vec<SuiteReport>) -> Self {
        let passed = items.iter().flat_map(|suite| &suite.cases).filter(|case| case.passed).count();
        let all: usize = items.iter().map(|suite| suite.cases.len()).sum();
        Self { items, passed, failed: all - passed }
    }

    /// Files whose coverage is below what is asked for.
    pub fn below(&self, least: u32) -> impl Iterator<Item = &SuiteReport> {
        self.items.iter().filter(move |suite| suite.coverage.as_ref().is_some_and(|coverage| coverage.percent < least))
    }
}

impl SuiteReport {
    /// Plays cases and judges them. `whole` says whether these are all cases of the file, so that coverage means something.
    pub fn of<'c>(file: &str, workflows: &Workflows, cases: impl IntoIterator<Item = &'c Case>, whole: bool) -> Self {
        let mut reached = BTreeSet::new();
        let cases = cases
            .into_iter()
            .map(|case| {
                let outcome = rehearse(workflows, case);
                reached.extend(outcome.reached.iter().cloned());
                CaseReport::of(case, &outcome)
            })
            .collect();
        let workflow = workflows.main();
        let coverage = whole.then(|| Coverage::of(workflow, &reached));
        Self { file: file.to_owned(), workflow: workflow.name.to_string(), cases, coverage }
    }

    /// The report as text. `mark` draws a ✓ (`true`) or ✗, so that a terminal may colour it. Control characters from names and values
    /// do not get into it.
    pub fn render(&self, mark: &dyn Fn(bool) -> String) -> String {
        let mut text = format!("{} ({})\n", self.workflow, shown(&self.file));
        for case in &self.cases {
            case.render(&mut text, mark);
        }
        if let Some(coverage) = &self.coverage {
            render_coverage(coverage, &mut text);
        }
        text
    }
}

impl CaseReport {
    fn of(case: &Case, outcome: &Outcome) -> Self {
        let mismatches = judge(&case.expect, outcome);
        let took = outcome.ended.as_ref().map_or(Duration::ZERO, |ended| ended.took);
        Self {
            name: case.name.clone(),
            passed: mismatches.is_empty() && outcome.problems.is_empty() && outcome.ended.is_some(),
            status: outcome.ended.as_ref().map(|ended| ended.status),
            took: duration::format(took),
            path: path(outcome),
            mismatches,
            problems: outcome.problems.clone(),
            made_up: outcome.defaulted.clone(),
            notes: outcome.notes.clone(),
        }
    }

    fn render(&self, text: &mut String, mark: &dyn Fn(bool) -> String) {
        let status = self.status.map_or("not accepted", Status::as_str);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {} {}", mark(self.passed), shown(&self.name));
        let _ = writeln!(text, "      {status} after {}: {}", self.took, self.path);
        for problem in &self.problems {
            let _ = writeln!(text, "      problem: {}", shown(problem));
        }
        for Mismatch { what, expected, actual } in &self.mismatches {
            let _ = writeln!(text, "      {}\n        expected {}\n        actual   {}", shown(what), shown(expected), shown(actual));
        }
        if !self.made_up.is_empty() {
            let steps: Vec<&str> = self.made_up.iter().map(String::as_str).collect();
            let _ = writeln!(text, "      made-up results: {}", steps.join(", "));
        }
        for note in &self.notes {
            let _ = writeln!(text, "      note: {}", shown(note));
        }
    }
}

fn render_coverage(coverage: &Coverage, text: &mut String) {
    let groups: Vec<String> = coverage.groups.iter().map(|share| format!("{} {}/{}", share.group, share.reached, share.total)).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  coverage {}%: {}", coverage.percent, groups.join(", "));
    for missed in coverage.missed.iter().take(MISSED_MAX) {
        let _ = writeln!(text, "    never: {}", shown(missed));
    }
    if coverage.missed.len() > MISSED_MAX {
        let _ = writeln!(text, "    never: {} more, see -o json", coverage.missed.len() - MISSED_MAX);
    }
}

fn path(outcome: &Outcome) -> String {
    let task = outcome.ended.as_ref().map(|ended| &ended.task);
    let written = outcome.began.iter().take(PATH_STEPS_MAX).map(|step| {
        let place = task.and_then(|task| Some((task, task.workflow.find(step)?)));
        let fan = place.and_then(|(task, place)| task.progress(place).fan.as_ref());
        let attempts = outcome.attempts.get(step).copied().unwrap_or_default();
        let state = place.map(|(task, place)| task.progress(place).state.as_str());
        let mut text = step.clone();
        match fan {
            Some(fan) => text.push_str(&format!(" ({} items)", fan.count)),
            None if attempts > 1 => text.push_str(&format!(" ×{attempts}")),
            None => {}
        }
        if state == Some("failed") {
            text.push_str(" ✗");
        }
        text
    });
    let mut path = written.collect::<Vec<_>>().join(" → ");
    if outcome.began.len() > PATH_STEPS_MAX {
        path.push_str(&format!(" → … {} more", outcome.began.len() - PATH_STEPS_MAX));
    }
    if path.is_empty() { "no step began".to_owned() } else { path }
}

/// A text from outside: nothing in it may drive a terminal.
fn shown(text: &str) -> String {
    text.replace(char::is_control, " ")
}

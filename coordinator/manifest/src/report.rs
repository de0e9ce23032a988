//! Collects the problems of one manifest, bounded and without repeats.

use crate::codes::{self, Code};
use crate::diagnostic::{Diagnostic, Severity};
use std::collections::HashSet;

/// Where a piece of the source begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
}

/// A problem before it has a file and an excerpt.
#[derive(Debug)]
pub(crate) struct Problem {
    code: &'static Code,
    place: Place,
    message: String,
    hint: Option<String>,
    fix: Option<String>,
}

impl Problem {
    pub fn new(code: &'static Code, place: Place, message: impl Into<String>) -> Self {
        Self { code, place, message: message.into(), hint: None, fix: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Offers the name that was probably meant, before the hint and as an edit.
    pub fn nearest(mut self, nearest: Option<&str>) -> Self {
        if let Some(name) = nearest {
            let rest = self.hint.map_or(String::new(), |hint| format!(" {hint}"));
            self.hint = Some(format!("did you mean `{name}`?{rest}"));
            self.fix = Some(name.to_owned());
        }
        self
    }

    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// The diagnostics so far, and the budgets that are spent across the whole check.
pub(crate) struct Report<'s> {
    source: &'s str,
    file: &'s str,
    diagnostics: Vec<Diagnostic>,
    seen: HashSet<(&'static str, usize, String)>,
    failed: bool,
    /// How many of the diagnostics are errors.
    errors: usize,
    dropped: usize,
    /// How many more names may be compared to suggest one.
    pub(crate) comparisons_left: usize,
}

/// No check reports more than this: nobody reads on, and each diagnostic copies a piece of the source.
const DIAGNOSTICS_MAX: usize = 100;
/// The longest message, in characters; names from the manifest are quoted in messages.
const MESSAGE_MAX: usize = 2_000;
/// Comparing two names costs up to 64 × 64 steps; together these stay within a few tens of milliseconds.
const COMPARISONS_MAX: usize = 20_000;

impl<'s> Report<'s> {
    pub fn new(source: &'s str, file: &'s str) -> Self {
        Self {
            source,
            file,
            diagnostics: Vec::new(),
            seen: HashSet::new(),
            failed: false,
            errors: 0,
            dropped: 0,
            comparisons_left: COMPARISONS_MAX,
        }
    }

    pub fn source(&self) -> &'s str {
        self.source
    }

    /// Whether the manifest cannot be used.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether further problems are only counted, so that work on their wording is wasted.
    pub fn is_full(&self) -> bool {
        self.errors >= DIAGNOSTICS_MAX
    }

    /// Makes room for a problem; an error takes the place of the last remark that is none. Says whether there is room.
    fn make_room(&mut self, severity: Severity) -> bool {
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            return true;
        }
        self.dropped += 1;
        let last = self.diagnostics.iter().rposition(|diagnostic| diagnostic.severity != Severity::Error);
        match last.filter(|_| severity == Severity::Error) {
            Some(remark) => {
                self.diagnostics.remove(remark);
                true
            }
            None => false,
        }
    }

    /// Adds a problem, unless it was reported before: a node that is reached through many aliases is wrong once.
    pub fn add(&mut self, problem: Problem) {
        self.failed |= problem.code.severity == Severity::Error;
        if self.is_full() {
            self.dropped += 1;
            return;
        }
        let Problem { code, place, message, hint, fix } = problem;
        let message: String = message.chars().take(MESSAGE_MAX).collect();
        if self.seen.contains(&(code.code, place.start, message.clone())) || !self.make_room(code.severity) {
            return;
        }
        self.seen.insert((code.code, place.start, message.clone()));
        self.errors += usize::from(code.severity == Severity::Error);
        let (before, after) = self.source.split_at(floor(self.source, place.start));
        let first = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let rest = after.find(['\n', '\r']).unwrap_or(after.len());
        let line = &self.source[first..before.len() + rest];
        let marked = self.source.get(before.len()..floor(self.source, place.end)).unwrap_or_default();
        let length = marked.lines().next().unwrap_or_default().trim_end().chars().count();
        self.diagnostics.push(Diagnostic {
            code: code.code.to_owned(),
            severity: code.severity,
            message: message.replace(char::is_control, " "),
            file: self.file.to_owned(),
            line: place.line.max(1),
            column: place.column.max(1),
            excerpt: Diagnostic::excerpt_of(line, place.column.max(1)),
            hint,
            fix,
            length: length.max(1),
        });
    }

    /// Every diagnostic, in the order of the source.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        if self.dropped > 0 {
            let dropped = self.dropped;
            self.diagnostics.push(Diagnostic {
                code: codes::TOO_MANY_PROBLEMS.code.to_owned(),
                // What is not shown may be remarks alone, which make no manifest unusable.
                severity: if self.failed { Severity::Error } else { Severity::Warning },
                message: format!("{dropped} more problems are not shown; a check reports at most {DIAGNOSTICS_MAX}"),
                file: self.file.to_owned(),
                line: 1,
                column: 1,
                excerpt: Diagnostic::excerpt_of(self.source.lines().next().unwrap_or_default(), 1),
                hint: Some("mend the first ones and check again".into()),
                fix: None,
                length: 1,
            });
        }
        self.diagnostics
    }
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(report: &mut Report<'_>, code: &'static Code, count: usize) {
        for number in 0..count {
            report.add(Problem::new(code, Place::default(), format!("{} number {number}", code.code)));
        }
    }

    #[test]
    fn remarks_never_crowd_out_an_error() {
        let mut report = Report::new("x", "m.yaml");
        add(&mut report, &codes::NO_DATA, 150);
        assert!(!report.is_full());
        add(&mut report, &codes::CYCLE, 2);
        let found = report.finish();
        assert_eq!(found.len(), DIAGNOSTICS_MAX + 1);
        assert_eq!(found.iter().filter(|found| found.code == codes::CYCLE.code).count(), 2);
        assert_eq!(found.last().map(|found| (found.severity, found.message.split(' ').next())), Some((Severity::Error, Some("52"))));
    }

    #[test]
    fn a_manifest_with_many_remarks_can_be_used() {
        let mut report = Report::new("x", "m.yaml");
        add(&mut report, &codes::NO_DATA, DIAGNOSTICS_MAX + 1);
        assert!(!report.failed());
        assert_eq!(report.finish().last().map(|found| found.severity), Some(Severity::Warning));
    }
}

//! The report for people.

use super::{ErrorChange, Report, Side, Verdict};
use std::fmt::{self, Display, Formatter, Write as _};

/// The longest counterexample that is shown, in characters.
const EXAMPLE_MAX: usize = 400;

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unchanged => "unchanged",
            Self::Compatible => "compatible",
            Self::Unproven => "unproven",
            Self::Breaking => "breaking",
        })
    }
}

impl Report {
    /// Lines for people: the verdict of each side, its changes, and a value that shows the harm.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        side(&mut out, "input", "callers", &self.input);
        side(&mut out, "result", "dependants", &self.result);
        if self.errors.is_empty() {
            out.push_str("errors   unchanged\n");
        } else {
            let worst = self.errors.iter().map(|change| change.verdict).max().unwrap_or(Verdict::Unchanged);
            let _ = writeln!(out, "errors   {worst} for dependants");
            self.errors.iter().for_each(|change| error(&mut out, change));
        }
        out
    }
}

fn side(out: &mut String, name: &str, whom: &str, side: &Side) {
    let whom = if side.verdict == Verdict::Unchanged { String::new() } else { format!(" for {whom}") };
    let _ = writeln!(out, "{name:<8} {}{whom}", side.verdict);
    changes(out, side);
}

fn changes(out: &mut String, side: &Side) {
    for change in &side.changes {
        let path = if change.path.is_empty() { "(all of it)" } else { &change.path };
        let _ = writeln!(out, "  {:<10} {path}: {}", change.verdict, line(&change.what));
    }
    if let Some(example) = &side.counterexample {
        let shown = example.to_string();
        let cut: String = shown.chars().take(EXAMPLE_MAX).collect();
        let more = if cut.len() < shown.len() { "…" } else { "" };
        let _ = writeln!(out, "  for example {}{more}", line(&cut));
    }
}

fn error(out: &mut String, change: &ErrorChange) {
    let _ = writeln!(out, "  {:<10} {}: {}", change.verdict, change.code, line(&change.what));
    let mut inner = String::new();
    changes(&mut inner, &change.details);
    inner.lines().for_each(|line| {
        let _ = writeln!(out, "  {line}");
    });
}

fn line(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

//! What people read when a manifest is wrong.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Whether a manifest can be used in spite of a diagnostic.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// The manifest can be used; something in it is probably not what its author meant.
    Warning,
    /// The manifest can be used; something in it is worth knowing, and often meant.
    Info,
}

impl Severity {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One problem of a manifest: where it is, what it is, and what to do.
///
/// Lines and columns count from 1; columns count characters, not bytes.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Diagnostic {
    /// Stable, for programs and for the page `docs/errors/<code>.md`: `manifest.unknown_field`.
    pub code: String,
    /// Whether the manifest can still be used.
    pub severity: Severity,
    /// What happened, in one sentence.
    pub message: String,
    /// The file as the caller named it.
    pub file: String,
    /// The line of the marked text.
    pub line: usize,
    /// The column of the first marked character.
    pub column: usize,
    /// The line of the source, with control characters made visible and cut to about [`Diagnostic::EXCERPT_MAX`] characters
    /// around the marked text.
    pub excerpt: String,
    /// What to do, in words.
    pub hint: Option<String>,
    /// The text to put in place of the marked text, if that is certain enough to offer as an edit.
    pub fix: Option<String>,
    /// How many characters of the line are marked; at least 1.
    pub length: usize,
}

impl Diagnostic {
    /// The longest excerpt, in characters: a terminal line, so that one long line of YAML cannot flood the output.
    pub const EXCERPT_MAX: usize = 160;
    /// How many characters before the marked text stay in an excerpt that had to be cut.
    const LEAD: usize = 60;

    /// Cuts a source line to what a diagnostic shows of it.
    pub(crate) fn excerpt_of(line: &str, column: usize) -> String {
        let start = first_shown(column);
        let mut shown: String = if start > 1 { "…".into() } else { String::new() };
        let mut rest = line.chars().skip(start - 1);
        shown.extend(rest.by_ref().take(Self::EXCERPT_MAX).map(|character| {
            // One for one, so that the caret stays below what it marks; raw control characters could drive a terminal.
            if character.is_control() { ' ' } else { character }
        }));
        if rest.next().is_some() {
            shown.push('…');
        }
        shown.trim_end().to_owned()
    }

    /// The diagnostic as text for a terminal, in the shape of the Rust compiler's, ending with a line break.
    ///
    /// ```text
    /// error[manifest.unknown_field]: a step has no field `depend_on`
    ///   --> order.yaml:9:5
    ///    |
    ///  9 |     depend_on: validate_order
    ///    |     ^^^^^^^^^
    ///    = help: did you mean `depends_on`?
    ///    = fix: write `depends_on` there
    /// ```
    pub fn render(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let start = first_shown(self.column);
        let indent = self.column - start + usize::from(start > 1);
        let room = self.excerpt.chars().count().saturating_sub(indent).max(1);
        let mut text = String::new();
        let severity = self.severity.as_str();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{severity}[{}]: {}", self.code, self.message);
        let _ = writeln!(text, "{margin}--> {}:{}:{}", self.file, self.line, self.column);
        let _ = writeln!(text, "{margin} |");
        let _ = writeln!(text, "{}", format!("{number} | {}", self.excerpt).trim_end());
        let _ = writeln!(text, "{margin} | {}{}", " ".repeat(indent), "^".repeat(self.length.clamp(1, room)));
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{margin} = help: {hint}");
        }
        if let Some(fix) = &self.fix {
            let _ = writeln!(text, "{margin} = fix: write `{fix}` there");
        }
        text
    }
}

/// The first column that an excerpt shows. A function of the column alone, so that a diagnostic read back from JSON renders the
/// same caret.
fn first_shown(column: usize) -> usize {
    if column <= Diagnostic::EXCERPT_MAX / 2 { 1 } else { column - Diagnostic::LEAD }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(line: &str, column: usize, length: usize) -> Diagnostic {
        Diagnostic {
            code: "manifest.x".into(),
            severity: Severity::Error,
            message: "m".into(),
            file: "f.yaml".into(),
            line: 7,
            column,
            excerpt: Diagnostic::excerpt_of(line, column),
            hint: None,
            fix: None,
            length,
        }
    }

    #[test]
    fn the_caret_stands_below_the_marked_text_even_in_a_line_that_was_cut() {
        for column in [1, 5, 79, 80, 81, 200, 900] {
            let line: String = (1..=1_000).map(|place| if place == column { 'X' } else { '.' }).collect();
            let text = diagnostic(&line, column, 1).render();
            let lines: Vec<&str> = text.lines().collect();
            let marked = lines[3].chars().position(|character| character == 'X');
            assert_eq!(marked, lines[4].chars().position(|character| character == '^'), "column {column}:\n{text}");
            assert!(lines[3].chars().count() < 180);
        }
    }

    #[test]
    fn control_characters_never_reach_a_terminal() {
        let text = diagnostic("a\u{1b}[31m\tb\u{7}", 2, 1).render();
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
    }

    #[test]
    fn a_diagnostic_survives_its_json() {
        let given = diagnostic("name: x", 1, 4);
        let json = serde_json::to_string(&given).expect("serialises");
        assert!(json.contains(r#""severity":"error""#));
        assert_eq!(serde_json::from_str::<Diagnostic>(&json).expect("reads"), given);
    }
}

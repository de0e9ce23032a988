//! The rules of the house as functions over text: which room may use which, what a pure room never touches, how large a file may be.
//!
//! Nothing here reads a file, so that each rule can be shown to fail on text that breaks it; `tests/rooms_and_arrows.rs` reads the files.

pub mod arrows;
pub mod rules;
pub mod source;

use std::fmt;

/// One thing that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule, in a word or two.
    pub rule: &'static str,
    /// The file, and the line if there is one.
    pub place: String,
    /// What was found, and what to do.
    pub says: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.rule, self.says)
    }
}

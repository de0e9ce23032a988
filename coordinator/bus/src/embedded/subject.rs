//! Subjects and patterns: the addresses of the bus.
//!
//! A subject is a list of tokens joined by dots. A pattern may also hold `*`, which stands for exactly one token, and end
//! in `>`, which stands for one token or more.

use bytes::Bytes;

/// The most tokens a pattern may have.
///
/// The index is as deep as its deepest pattern and is walked recursively, so this bounds the stack. Subjects of the worker
/// protocol have about ten tokens.
pub const PATTERN_TOKENS_MAX: usize = 128;

/// Why a text is not a subject or a pattern. The sender has to correct the text; trying again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The text is empty, or two dots meet, or it begins or ends with a dot.
    #[error("a subject token is empty")]
    EmptyToken,
    /// White space and control characters end an argument of the protocol, so that they cannot be part of a subject.
    #[error("a subject holds white space or a control character")]
    Unprintable,
    /// Clients show subjects as text, and some stop working when a subject is not.
    #[error("a subject is not UTF-8")]
    NotText,
    /// Only a subscription may hold `*` or `>`; a message has one address.
    #[error("a published subject holds a wildcard")]
    Wildcard,
    /// `>` stands for the rest of a subject, so nothing can follow it.
    #[error("`>` is not the last token of the pattern")]
    TailNotLast,
    /// More than [`PATTERN_TOKENS_MAX`] tokens.
    #[error("a pattern has more than {PATTERN_TOKENS_MAX} tokens")]
    TooManyTokens,
}

impl SubjectError {
    /// The stable code of every variant: one page explains them together.
    pub const fn code(&self) -> &'static str {
        "subject.invalid"
    }
}

/// The address of one message: checked, without wildcards.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Bytes);

impl Subject {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// Refuses what [`check_subject`] refuses.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, SubjectError> {
        let bytes = text.into();
        check_subject(&bytes)?;
        Ok(Self(bytes))
    }

    /// Wraps bytes that [`check_subject`] has accepted.
    pub(super) fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a subject is checked to be UTF-8 before it is wrapped")
    }

    /// The subject as bytes, which is how it travels.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a subscription asks for: checked, possibly with wildcards.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Bytes);

impl Pattern {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// Refuses empty tokens, white space, text that is not UTF-8, a `>` before the end and more than
    /// [`PATTERN_TOKENS_MAX`] tokens.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, SubjectError> {
        let bytes = text.into();
        check_characters(&bytes)?;
        let mut tokens = 0;
        let mut tail_seen = false;
        for token in bytes.split(|byte| *byte == b'.') {
            if tail_seen {
                return Err(SubjectError::TailNotLast);
            }
            tail_seen = token == b">";
            tokens += 1;
        }
        if tokens > PATTERN_TOKENS_MAX {
            return Err(SubjectError::TooManyTokens);
        }
        Ok(Self(bytes))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a pattern is checked to be UTF-8 before it is wrapped")
    }

    /// The tokens between the dots, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'.')
    }

    /// Whether a message sent to `subject` is one this pattern asks for.
    ///
    /// The index gives the same answer faster; this is the definition it is tested against.
    pub fn matches(&self, subject: &[u8]) -> bool {
        let mut wanted = self.tokens();
        let mut given = subject.split(|byte| *byte == b'.');
        loop {
            match (wanted.next(), given.next()) {
                (Some(b">"), Some(_)) => return true,
                (Some(b"*"), Some(_)) => {}
                (Some(left), Some(right)) if left == right => {}
                (None, None) => return true,
                (Some(_) | None, Some(_) | None) => return false,
            }
        }
    }
}

/// Whether `bytes` can be the address of a message.
///
/// A `*` or `>` inside a longer token is an ordinary character, as it is for a NATS server.
///
/// # Errors
/// Refuses empty tokens, white space, control characters, text that is not UTF-8, and wildcards.
pub fn check_subject(bytes: &[u8]) -> Result<(), SubjectError> {
    check_characters(bytes)?;
    let has_wildcard = memchr::memchr2(b'*', b'>', bytes).is_some();
    if has_wildcard && bytes.split(|byte| *byte == b'.').any(|token| token == b"*" || token == b">") {
        return Err(SubjectError::Wildcard);
    }
    Ok(())
}

fn check_characters(bytes: &[u8]) -> Result<(), SubjectError> {
    let mut previous = b'.';
    for byte in bytes {
        if *byte <= b' ' || *byte == 0x7f {
            return Err(SubjectError::Unprintable);
        }
        if *byte == b'.' && previous == b'.' {
            return Err(SubjectError::EmptyToken);
        }
        previous = *byte;
    }
    if previous == b'.' {
        return Err(SubjectError::EmptyToken);
    }
    std::str::from_utf8(bytes).map(|_| ()).map_err(|_| SubjectError::NotText)
}

impl std::fmt::Display for Subject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &'static str, expect: Result<(), SubjectError>) {
        assert_eq!(check_subject(text.as_bytes()), expect, "{text:?}");
    }

    #[test]
    fn a_subject_is_tokens_joined_by_dots() {
        check("a", Ok(()));
        check("tasker.v1.default.python_inventory.reply.0", Ok(()));
        check("a*.b>", Ok(()));
        check("größe", Ok(()));
        check("", Err(SubjectError::EmptyToken));
        check(".a", Err(SubjectError::EmptyToken));
        check("a.", Err(SubjectError::EmptyToken));
        check("a..b", Err(SubjectError::EmptyToken));
        check("a b", Err(SubjectError::Unprintable));
        check("a\r\nb", Err(SubjectError::Unprintable));
        check("a.*", Err(SubjectError::Wildcard));
        check("a.>", Err(SubjectError::Wildcard));
        assert_eq!(check_subject(b"a.\xff"), Err(SubjectError::NotText));
    }

    #[test]
    fn a_tail_wildcard_ends_a_pattern() {
        assert_eq!(Pattern::new("a.>.b").unwrap_err(), SubjectError::TailNotLast);
        assert!(Pattern::new("a.>").is_ok());
        assert!(Pattern::new("*.*").is_ok());
    }

    #[test]
    fn a_pattern_deeper_than_the_limit_is_refused() {
        let text = vec!["a"; PATTERN_TOKENS_MAX + 1].join(".");
        assert_eq!(Pattern::new(text).unwrap_err(), SubjectError::TooManyTokens);
    }

    #[test]
    fn wildcards_stand_for_one_token_or_for_the_rest() {
        let table = [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
            ("*", "a.b", false),
        ];
        for (pattern, subject, expect) in table {
            let matched = Pattern::new(pattern).unwrap().matches(subject.as_bytes());
            assert_eq!(matched, expect, "{pattern} on {subject}");
        }
    }
}

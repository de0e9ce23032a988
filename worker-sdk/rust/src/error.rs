//! The four ways a step fails, and the few ways a worker cannot run at all.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tasker_proto::worker::v1::{Failure, FailureKind};

/// `Failure.message` is for people; longer texts belong into logs (docs/protocol.md).
pub(crate) const MESSAGE_BYTES_MAX: usize = 4096;
/// Codes become metric labels and file names, so they stay short.
pub(crate) const CODE_BYTES_MAX: usize = 64;
/// Enough to repair an input, few enough to read.
pub(crate) const VIOLATIONS_MAX: usize = 20;

/// The code of everything a handler throws that is not a [`StepError`] with a code of its own.
pub(crate) const CODE_HANDLER: &str = "handler.error";

/// Which of the four kinds a [`StepError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another attempt may succeed.
    Retryable,
    /// Another attempt would fail the same way.
    Permanent,
    /// Input or result break the capability's contract.
    Contract,
    /// The handler stopped because it was asked to.
    Cancelled,
}

/// Why a handler did not produce its result.
///
/// Every ordinary error becomes a retryable one through `?`, with the code
/// `handler.error` and its text (with the texts of its sources) as message; that
/// is why this type does not implement [`std::error::Error`] itself.
///
/// ```
/// use std::time::Duration;
/// use tasker_worker::StepError;
///
/// let busy = StepError::retryable("the bank is closed").after(Duration::from_secs(60));
/// let declined = StepError::permanent("card_declined", "the bank said no")
///     .details(&serde_json::json!({ "reason": "limit" }));
/// assert_eq!(declined.code(), "card_declined");
/// assert_eq!(busy.code(), "handler.error");
/// ```
pub struct StepError {
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: String,
    details: Bytes,
    retry_after: Option<Duration>,
}

/// One place where a value breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// JSON Pointer into the value; empty for the whole value.
    pub pointer: String,
    pub message: String,
}

impl StepError {
    /// A failure that another attempt may not meet. The workflow's retry policy
    /// decides when; [`StepError::after`] sets the earliest moment.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retryable, CODE_HANDLER, message)
    }

    /// A failure that every attempt would meet. `code` is stable and for
    /// programs: lower-case words joined by `_` or `.`, at most 64 bytes.
    /// A code that breaks this rule is sent as `handler.error`, with the
    /// original at the head of the message.
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Permanent, code, message)
    }

    /// Input, result or a dependency's result break what this capability
    /// declared. The library raises it by itself for everything a schema can
    /// say; a handler raises it for rules that need more than a schema.
    pub fn contract(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Contract, code, message)
    }

    /// The handler stopped because [`Context::is_cancelled`](crate::Context::is_cancelled) became true.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "attempt.cancelled", "the handler stopped because the attempt was cancelled")
    }

    /// Any error as a retryable failure; the same conversion as `?` for types
    /// that do not implement [`std::error::Error`].
    pub fn other(error: impl fmt::Display) -> Self {
        Self::retryable(error.to_string())
    }

    /// Gives the failure another code, under the same rule as [`StepError::permanent`].
    #[must_use]
    pub fn with_code(self, code: impl Into<Cow<'static, str>>) -> Self {
        let Self { kind, message, details, retry_after, .. } = self;
        Self { details, retry_after, ..Self::new(kind, code, message) }
    }

    /// Facts for programs, described by the contract of the code. A value that
    /// cannot be written as JSON is left out and named in the message.
    #[must_use]
    pub fn details(mut self, details: &impl Serialize) -> Self {
        match serde_json::to_vec(details) {
            Ok(json) => self.details = json.into(),
            Err(error) => self.message.push_str(&format!(" (details left out, they are not JSON: {error})")),
        }
        self
    }

    /// The next attempt starts no earlier than this long from now. Only
    /// retryable failures carry it; on the others it has no meaning and is not sent.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Which of the four kinds this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The details as JSON text; empty when there are none.
    pub fn details_json(&self) -> &[u8] {
        &self.details
    }

    /// The delay asked for with [`StepError::after`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn violations(code: &'static str, what: &str, mut violations: Vec<Violation>) -> Self {
        violations.truncate(VIOLATIONS_MAX);
        let message = match violations.first() {
            Some(first) if first.pointer.is_empty() => format!("{what} breaks its contract: {}", first.message),
            Some(first) => format!("{what} breaks its contract at {}: {}", first.pointer, first.message),
            None => format!("{what} breaks its contract"),
        };
        Self::new(ErrorKind::Contract, code, message).details(&serde_json::json!({ "violations": violations }))
    }

    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self::retryable(format!("the handler panicked: {text}"))
    }

    fn new(kind: ErrorKind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = code.into();
        let message = message.into();
        let (code, message) = if is_code(&code) { (code, message) } else { (Cow::Borrowed(CODE_HANDLER), format!("{code}: {message}")) };
        Self { kind, code, message, details: Bytes::new(), retry_after: None }
    }

    /// The failure as it travels. Details above `details_bytes_max` are left
    /// out, because the coordinator would refuse the whole reply for them.
    pub(crate) fn into_failure(mut self, details_bytes_max: usize) -> Failure {
        if self.details.len() > details_bytes_max {
            let size = self.details.len();
            self.details = Bytes::new();
            self.message.push_str(&format!(" (details left out: {size} bytes, at most {details_bytes_max} may be sent)"));
        }
        cut(&mut self.message, MESSAGE_BYTES_MAX);
        let (kind, retry_after) = match self.kind {
            ErrorKind::Retryable => (FailureKind::Retryable, self.retry_after),
            ErrorKind::Permanent => (FailureKind::Permanent, None),
            ErrorKind::Contract => (FailureKind::Contract, None),
            ErrorKind::Cancelled => (FailureKind::Cancelled, None),
        };
        Failure {
            kind: kind.into(),
            code: self.code.into_owned(),
            message: self.message,
            details: self.details,
            retry_after_ms: retry_after.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

impl<E: std::error::Error> From<E> for StepError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::retryable(message)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepError")
            .field("kind", &self.kind)
            .field("code", &self.code)
            .field("message", &self.message)
            .field("details", &String::from_utf8_lossy(&self.details))
            .field("retry_after", &self.retry_after)
            .finish()
    }
}

/// Lower-case words joined by `_` or `.`, at most 64 bytes.
pub(crate) fn is_code(text: &str) -> bool {
    text.len() <= CODE_BYTES_MAX
        && text
            .split(['_', '.'])
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// Cuts on a character boundary, so that the text stays UTF-8.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
}

/// Why a worker did not start, or stopped. Everything else (a lost server, a
/// restarted coordinator) is waited out.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A name, number or environment variable that cannot be right. Fix it and start again.
    #[error("configuration.invalid: {what}: {problem}")]
    Configuration {
        /// Which setting, as the user writes it.
        what: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The coordinator refused this worker for good. The text says what to change.
    #[error("{code}: the coordinator refused this worker: {message}")]
    Refused {
        /// The coordinator's code.
        code: String,
        /// What to change.
        message: String,
    },
    /// The NATS client gave up or could not be built; the address or its credentials are wrong.
    #[error("nats.unusable: {0}")]
    Nats(String),
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` is set, but no exporter can be built from it.
    #[error("telemetry.unusable: cannot export traces to the endpoint in OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Telemetry(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_lower_case_words_joined_by_dots_and_underscores() {
        for good in ["out_of_stock", "a", "payload.too_large", "http.404"] {
            assert!(is_code(good), "{good}");
        }
        for bad in ["", "Out", "a..b", "_a", "a-b", "a b", &"x".repeat(65)] {
            assert!(!is_code(bad), "{bad}");
        }
    }

    #[test]
    fn a_code_that_breaks_the_rule_is_kept_in_the_message() {
        let error = StepError::permanent("Not A Code", "why");
        assert_eq!((error.code(), error.message()), ("handler.error", "Not A Code: why"));
    }

    #[test]
    fn a_message_is_cut_on_a_character_boundary() {
        let failure = StepError::retryable("é".repeat(3000)).into_failure(0);
        assert_eq!(failure.message.len(), MESSAGE_BYTES_MAX);
        let failure = StepError::retryable(format!("x{}", "é".repeat(3000))).into_failure(0);
        assert_eq!(failure.message.len(), MESSAGE_BYTES_MAX - 1);
    }

    #[test]
    fn an_ordinary_error_becomes_retryable_with_its_causes() {
        fn handler() -> Result<(), StepError> {
            let number: u32 = "x".parse()?;
            let _ = number;
            Ok(())
        }
        let error = handler().expect_err("`x` is not a number");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Retryable, "handler.error"));
        assert!(error.message().contains("invalid digit"), "{error}");
    }

    #[test]
    fn details_above_the_limit_are_left_out_and_named() {
        let failure = StepError::permanent("x", "m").details(&"y".repeat(100)).into_failure(50);
        assert!(failure.details.is_empty());
        assert!(failure.message.contains("102 bytes"), "{}", failure.message);
    }

    #[test]
    fn only_retryable_failures_carry_a_delay() {
        let delay = Duration::from_millis(1500);
        assert_eq!(StepError::retryable("m").after(delay).into_failure(0).retry_after_ms, 1500);
        assert_eq!(StepError::permanent("x", "m").after(delay).into_failure(0).retry_after_ms, 0);
    }
}

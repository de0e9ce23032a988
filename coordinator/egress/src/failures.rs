//! The failures that this room gives; each code has a page in `docs/errors/`.

use tasker_engine::{ErrorCode, Failure, FailureKind};

/// The place may not be called.
pub const ADDRESS_REFUSED: &str = "egress.address_refused";
/// The system's URL is nowhere to go.
pub const URL_REFUSED: &str = "egress.url_refused";
/// The system answered with a redirect.
pub const REDIRECT_REFUSED: &str = "http.redirect_refused";
/// The result is not JSON.
pub const RESULT_MALFORMED: &str = "http.result_malformed";
/// The result is larger than a payload may be.
pub const RESULT_TOO_LARGE: &str = "http.result_too_large";
/// The connection broke before the answer was complete.
pub const ANSWER_INCOMPLETE: &str = "http.answer_incomplete";
/// The input cannot be written as query parameters.
pub const INPUT_NOT_SCALAR: &str = "http.input_not_scalar";
/// The system accepted and has no way to call back.
pub const CALLBACK_UNAVAILABLE: &str = "http.callback_unavailable";

/// A failure with one of these codes.
pub(crate) fn failure(kind: FailureKind, code: &str, message: impl Into<String>) -> Failure {
    Failure::new(kind, ErrorCode::new(code).expect("a constant of the right form"), message)
}

/// The code of a status whose answer names none: `http.status_503`.
pub(crate) fn status_code(status: u16) -> ErrorCode {
    ErrorCode::new(&format!("http.status_{status}")).expect("a number makes a word of the right form")
}

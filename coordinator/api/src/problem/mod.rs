//! What went wrong, where, why, and what to do: RFC 9457 with members of our own.
//!
//! A handler returns a [`Problem`]; the [edge](crate::edge) adds the request's id and address and writes the body, so no handler can forget
//! them. [`from`] says which problem each refusal of the runtime becomes.

mod code;
mod from;

pub use code::Code;

use crate::view::Diagnostic;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// The media type of every problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Which kind.
    pub code: Code,
    /// What happened this time, in one or two sentences.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<Box<str>>,
    /// The single places in the request.
    pub errors: Vec<Place>,
    /// What the manifest checker found.
    pub diagnostics: Box<[Diagnostic]>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// For the header `Allow` of a 405.
    pub allow: Option<&'static str>,
}

/// One place in the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemPlace)]
pub struct Place {
    /// A JSON pointer into the body (empty for the body itself), `?name` for a query parameter, or `Name:` for a header.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
    /// A stable code, if this place has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Place {
    /// A wrong place.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), code: None, hint: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

impl Problem {
    /// A problem with nothing but its detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: None, errors: Vec::new(), diagnostics: Box::default(), retry_after: None, allow: None }
    }

    /// A problem at one place of the request.
    pub fn at(code: Code, place: Place) -> Self {
        let detail = match place.pointer.as_str() {
            "" => place.message.clone(),
            pointer => format!("{pointer}: {}", place.message),
        };
        let hint = place.hint.as_deref().map(Into::into);
        Self { errors: vec![place], hint, ..Self::new(code, detail) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The JSON of the problem. `instance` is the path of the request, `request_id` its id.
    pub fn body(&self, documentation_base: &str, instance: &str, request_id: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("{documentation_base}/errors/{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail.clone(),
            instance: instance.to_owned(),
            code: self.code.as_str().to_owned(),
            errors: self.errors.clone(),
            diagnostics: (!self.diagnostics.is_empty()).then(|| self.diagnostics.to_vec()),
            retryable: self.code.is_retryable(),
            outcome: if self.code.is_outcome_unknown() { "unknown" } else { "none" }.to_owned(),
            request_id: request_id.to_owned(),
            hint: self.hint.as_deref().map(str::to_owned),
        }
    }
}

/// A problem as it is written.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The page about this code.
    #[serde(rename = "type")]
    #[schema(example = "https://tasker.dev/errors/task.unknown")]
    pub kind: String,
    /// The same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The path that was asked.
    pub instance: String,
    /// The stable code; programs look at this.
    #[schema(example = "task.unknown")]
    pub code: String,
    /// The single places in the request that are wrong; may be empty.
    pub errors: Vec<Place>,
    /// With `manifest.invalid`: everything the checker found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Vec<Diagnostic>>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// `none`: nothing was done. `unknown`: it may have been done; repeat with the same idempotency key to find out.
    #[schema(example = "none")]
    pub outcome: String,
    /// For support and logs; also in the header `X-Request-Id`.
    pub request_id: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Rides in a response's extensions from the handler to the edge, which writes the body.
#[derive(Clone)]
pub(crate) struct Unwritten(pub(crate) Box<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = axum::http::StatusCode::from_u16(self.code.status()).expect("every code has a valid status");
        response.extensions_mut().insert(Unwritten(Box::new(self)));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_page_with_meaning_cause_and_cure() {
        for code in Code::ALL {
            let path = format!("{}/../../docs/errors/{}.md", env!("CARGO_MANIFEST_DIR"), code.as_str());
            let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("docs/errors/{}.md: {error}", code.as_str()));
            assert!(page.starts_with(&format!("# {}\n", code.as_str())), "the page of {} names another code", code.as_str());
            assert!(page.contains(&format!("HTTP {}", code.status())), "the page of {} names another status", code.as_str());
            for part in ["## Meaning", "## Cause", "## Cure"] {
                assert!(page.contains(part), "the page of {} lacks {part}", code.as_str());
            }
        }
    }

    #[test]
    fn codes_are_unique_and_read_noun_dot_problem() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert_eq!(text.split('.').count(), 2, "{text}");
            assert!((400..600).contains(&Code::ALL.iter().find(|code| code.as_str() == text).expect("known").status()));
        }
    }

    #[test]
    fn a_problem_says_what_where_and_what_to_do() {
        let place = Place::new("/workflow", "expected text, found a number").with_hint(Some("write the name in quotes".into()));
        let body = Problem::at(Code::RequestMalformed, place).body("https://tasker.dev", "/v1/tasks", "req_1");
        insta::assert_snapshot!(serde_json::to_string_pretty(&body).expect("writes"));
    }

    #[test]
    fn an_unknown_outcome_is_named() {
        let body = Problem::new(Code::OutcomeUnknown, "stopped").body("https://tasker.dev", "/v1/tasks", "req_1");
        assert_eq!((body.outcome.as_str(), body.retryable), ("unknown", true));
        let body = Problem::new(Code::CoordinatorBusy, "busy").body("https://tasker.dev", "/v1/tasks", "req_1");
        assert_eq!((body.outcome.as_str(), body.retryable), ("none", true));
    }
}

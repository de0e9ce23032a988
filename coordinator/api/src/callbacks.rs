//! Systems that have accepted a step over HTTP finish it here. The URL is the permission: it is signed and good for one attempt, so the
//! route needs no namespace.

use crate::app::App;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::Ask;
use crate::request::body::{self, TASK_BYTES_MAX};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tasker_runtime::operations::{CallbackError, CallbackRefusal, Disposition};
use utoipa::ToSchema;

/// What a system says when it finishes what it has accepted: exactly one of the two.
#[derive(ToSchema)]
#[schema(as = Callback)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct CallbackBody {
    /// The step's result, any JSON.
    result: Option<Value>,
    /// Why there is none.
    error: Option<CallbackFailure>,
}

/// Why there is no result.
#[derive(ToSchema)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct CallbackFailure {
    /// A code of the capability's contract.
    code: String,
    /// For people.
    message: Option<String>,
    /// What the contract describes for the code.
    details: Option<Value>,
    /// Whether another attempt may succeed. Default: no.
    retryable: Option<bool>,
}

/// What became of a callback.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallbackTaken {
    /// `recorded`: it is the attempt's outcome. `repeated`: it was before.
    outcome: &'static str,
}

/// Takes the outcome of an attempt that was accepted with 202. Sent again, the same outcome is answered with `repeated`.
#[utoipa::path(post, path = "/v1/callbacks/{token}", tag = "tasks", operation_id = "finish_attempt",
    params(("token" = String, Path, description = "as given in `tasker-callback-url`")),
    request_body(content = CallbackBody, content_type = "application/json"),
    responses(
        (status = 200, body = CallbackTaken),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "callback.token_invalid"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "callback.stale, callback.conflicting"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "callback.body_malformed"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn finish(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let token = ask.segment("token")?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, TASK_BYTES_MAX).await?;
    body::must_be_json(&ask.headers)?;
    let disposition = app.change(app.operations.callback(token, arrived.bytes.clone())).await?;
    let outcome = match disposition {
        Disposition::Recorded => "recorded",
        Disposition::Repeated => "repeated",
        Disposition::Stale | Disposition::Conflicting | Disposition::Forged => {
            return Err(Problem::new(Code::CoordinatorFault, "a refused callback was reported as taken"));
        }
    };
    Ok(Json(CallbackTaken { outcome }).into_response())
}

impl From<CallbackError> for Problem {
    fn from(error: CallbackError) -> Self {
        let detail = error.to_string();
        match error {
            CallbackError::Refused(CallbackRefusal::TokenInvalid) | CallbackError::Forgotten => {
                Self::new(Code::CallbackTokenInvalid, detail)
                    .with_hint("call back to the whole value of `tasker-callback-url`, as it was received")
            }
            CallbackError::Refused(CallbackRefusal::BodyMalformed(_)) => Self::new(Code::CallbackBodyMalformed, detail)
                .with_hint("send {\"result\": …} or {\"error\": {\"code\": …}}; the attempt is still open"),
            CallbackError::Refused(CallbackRefusal::BodyTooLarge { .. }) => {
                Self::new(Code::CallbackBodyTooLarge, detail).with_hint("store the data where both sides reach it, and send a reference")
            }
            CallbackError::Stale => Self::new(Code::CallbackStale, detail),
            CallbackError::Conflicting => Self::new(Code::CallbackConflicting, detail),
            CallbackError::Unavailable(unavailable) => Self::from(unavailable).with_hint("call back again: the same outcome counts once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tasker_runtime::operations::Unavailable;

    #[test]
    fn every_refusal_of_a_callback_has_its_code_and_says_whether_to_call_again() {
        for (error, code, again) in [
            (CallbackError::Refused(CallbackRefusal::TokenInvalid), Code::CallbackTokenInvalid, false),
            (CallbackError::Forgotten, Code::CallbackTokenInvalid, false),
            (CallbackError::Refused(CallbackRefusal::BodyMalformed("x".into())), Code::CallbackBodyMalformed, false),
            (CallbackError::Refused(CallbackRefusal::BodyTooLarge { max: 1 }), Code::CallbackBodyTooLarge, false),
            (CallbackError::Stale, Code::CallbackStale, false),
            (CallbackError::Conflicting, Code::CallbackConflicting, false),
            (CallbackError::Unavailable(Unavailable::Unknown), Code::OutcomeUnknown, true),
            (CallbackError::Unavailable(Unavailable::Busy { retry_after: Duration::from_secs(1) }), Code::CoordinatorBusy, true),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.code, problem.code.is_retryable()), (code, again), "{}", problem.detail);
        }
    }

    #[test]
    fn the_codes_of_the_port_are_those_of_the_api() {
        for (refusal, code) in [
            (CallbackRefusal::TokenInvalid, Code::CallbackTokenInvalid),
            (CallbackRefusal::BodyMalformed(String::new()), Code::CallbackBodyMalformed),
            (CallbackRefusal::BodyTooLarge { max: 1 }, Code::CallbackBodyTooLarge),
        ] {
            assert_eq!(refusal.code(), code.as_str());
        }
    }
}

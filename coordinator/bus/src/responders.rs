//! Asking plain responders: the headers of a request and what an answer means (`docs/protocol.md`, "Without an SDK").

use bytes::Bytes;
use std::time::Duration;
use tasker_engine::{ErrorCode, Failure, FailureKind, Payload};
use tasker_runtime::port::bus::{Call, CallOutcome};
use tasker_runtime::trace::traceparent;

/// The headers of a request.
pub(crate) fn headers(call: &Call) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("Tasker-Task-Id", call.key.task.to_string()),
        ("Tasker-Step", call.key.step.to_string()),
        ("Tasker-Attempt", call.key.attempt.to_string()),
        ("Tasker-Idempotency-Key", call.idempotency_key.clone()),
        ("Tasker-Timeout-Ms", call.timeout.as_millis().to_string()),
    ];
    if let Some(parent) = &call.trace.parent {
        headers.push(("traceparent", traceparent(&call.trace.trace_id, parent, call.trace.sampled)));
    }
    headers
}

/// What an answer means. `header` looks up a header by name.
pub(crate) fn outcome(body: Bytes, header: impl Fn(&str) -> Option<String>) -> CallOutcome {
    let micro = header("Nats-Service-Error-Code");
    let message = header("Nats-Service-Error");
    let own = header("Tasker-Error-Code");
    if micro.is_none() && message.is_none() && own.is_none() {
        return match Payload::parse(body) {
            Ok(result) => CallOutcome::Succeeded(result),
            Err(invalid) => {
                let message = format!("the answer is not a result: {invalid}");
                CallOutcome::Failed(Failure::new(FailureKind::Permanent, code("responder.answer_malformed"), message))
            }
        };
    }
    let status = micro.as_deref().and_then(|text| text.trim().parse::<u16>().ok());
    let kind = match (header("Tasker-Error-Kind").as_deref(), status) {
        (Some("permanent"), _) => FailureKind::Permanent,
        (Some("retryable"), _) => FailureKind::Retryable,
        (_, Some(400..=499)) => FailureKind::Permanent,
        _ => FailureKind::Retryable,
    };
    let named = own.and_then(|given| ErrorCode::new(&given).ok());
    let code = named.unwrap_or_else(|| match status {
        Some(status) => ErrorCode::new(&format!("responder.error_{status}")).unwrap_or_else(|_| code("responder.error")),
        None => code("responder.error"),
    });
    let mut failure = Failure::new(kind, code, message.unwrap_or_else(|| "the responder answered with an error".into()));
    failure.details = if body.is_empty() { None } else { Payload::parse(body).ok() };
    let delay = header("Tasker-Retry-After-Ms").and_then(|text| text.trim().parse::<u64>().ok());
    failure.retry_after = delay.filter(|_| kind == FailureKind::Retryable).map(Duration::from_millis);
    CallOutcome::Failed(failure)
}

fn code(text: &str) -> ErrorCode {
    ErrorCode::new(text).expect("a constant of the right form")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    fn read(body: &'static str, headers: Headers) -> CallOutcome {
        outcome(Bytes::from_static(body.as_bytes()), |name| {
            headers.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_answer_without_error_headers_is_a_result() {
        assert!(matches!(read("{\"reserved\":true}", &[]), CallOutcome::Succeeded(_)));
        let CallOutcome::Failed(failure) = read("oops", &[]) else { panic!("not a result") };
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Permanent, "responder.answer_malformed"));
    }

    #[test]
    fn micro_headers_make_an_error_and_own_headers_say_more() {
        let table: [(Headers, FailureKind, &str); 5] = [
            (&[("Nats-Service-Error-Code", "404"), ("Nats-Service-Error", "none")], FailureKind::Permanent, "responder.error_404"),
            (&[("Nats-Service-Error-Code", "503")], FailureKind::Retryable, "responder.error_503"),
            (&[("Nats-Service-Error", "no code")], FailureKind::Retryable, "responder.error"),
            (&[("Nats-Service-Error-Code", "400"), ("Tasker-Error-Kind", "retryable")], FailureKind::Retryable, "responder.error_400"),
            (&[("Tasker-Error-Code", "out_of_stock"), ("Tasker-Error-Kind", "permanent")], FailureKind::Permanent, "out_of_stock"),
        ];
        for (headers, kind, code) in table {
            let CallOutcome::Failed(failure) = read("{\"sku\":\"A\"}", headers) else { panic!("{headers:?}") };
            assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{headers:?}");
            assert!(failure.details.is_some());
        }
    }
}

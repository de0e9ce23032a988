//! From an answer to what came of the attempt.

use crate::client::{Answer, Body, SendError};
use crate::error_body::{self, CallbackBody};
use crate::failures::{self, failure, status_code};
use reqwest::StatusCode;
use reqwest::header::{LOCATION, RETRY_AFTER};
use std::time::Duration;
use tasker_engine::{Failure, FailureKind, Payload, Timestamp};
use tasker_runtime::port::egress::HttpOutcome;

/// The longest wish for a pause that is honoured; more would park a step behind a typing error.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// How much of a redirect's target a message shows.
const LOCATION_SHOWN: usize = 200;

/// What an answer means. `can_call_back` says whether the system was given a callback URL.
pub(crate) fn outcome(answer: &Answer, can_call_back: bool, now: Timestamp) -> HttpOutcome {
    match answer.status.as_u16() {
        202 => accepted(can_call_back),
        200..=299 => result(answer),
        300..=399 => HttpOutcome::Failed(redirect(answer)),
        _ => HttpOutcome::Failed(error(answer, now)),
    }
}

/// What it means that there is no answer.
pub(crate) fn no_answer(error: SendError) -> HttpOutcome {
    match error {
        SendError::Refused(refused) => HttpOutcome::Failed(failure(FailureKind::Permanent, failures::ADDRESS_REFUSED, refused.to_string())),
        SendError::Unreachable(reason) => HttpOutcome::Unreachable { reason },
        SendError::Broken(reason) => {
            let message = format!("the connection broke before the answer was complete: {reason}");
            HttpOutcome::Failed(failure(FailureKind::Retryable, failures::ANSWER_INCOMPLETE, message))
        }
    }
}

/// What a callback means.
pub(crate) fn called_back(body: CallbackBody) -> HttpOutcome {
    match body {
        CallbackBody::Result(result) => HttpOutcome::Succeeded(result),
        CallbackBody::Error { code, message, details, retryable } => {
            let kind = if retryable { FailureKind::Retryable } else { FailureKind::Permanent };
            let mut failure = Failure::new(kind, code, message.unwrap_or_else(|| "the system called back with an error".into()));
            failure.details = details;
            HttpOutcome::Failed(failure)
        }
    }
}

fn accepted(can_call_back: bool) -> HttpOutcome {
    if can_call_back {
        return HttpOutcome::Accepted;
    }
    let message = "the system answered 202 and will finish later, but it was given no callback URL: set the coordinator's `public_url`";
    HttpOutcome::Failed(failure(FailureKind::Permanent, failures::CALLBACK_UNAVAILABLE, message))
}

fn result(answer: &Answer) -> HttpOutcome {
    let status = answer.status.as_u16();
    match &answer.body {
        Body::Whole(body) if body.is_empty() => HttpOutcome::Succeeded(Payload::null()),
        Body::Whole(body) => match Payload::parse(body.clone()) {
            Ok(result) => HttpOutcome::Succeeded(result),
            Err(invalid) => {
                let message = format!("the system answered {status} with a body that is no result: {invalid}");
                HttpOutcome::Failed(failure(FailureKind::Contract, failures::RESULT_MALFORMED, message))
            }
        },
        Body::TooLarge => {
            let message = format!("the system answered {status} with more than {} bytes", Payload::BYTES_MAX);
            HttpOutcome::Failed(failure(FailureKind::Contract, failures::RESULT_TOO_LARGE, message))
        }
        Body::Cut(why) => no_answer(SendError::Broken(why.clone())),
    }
}

fn redirect(answer: &Answer) -> Failure {
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
    let shown: String = location.chars().take(LOCATION_SHOWN).collect();
    let message = format!(
        "the system answered {} and points to `{shown}`; the coordinator follows no redirects: set `base_url` or the capability's `http.path`",
        answer.status.as_u16()
    );
    failure(FailureKind::Permanent, failures::REDIRECT_REFUSED, message)
}

fn error(answer: &Answer, now: Timestamp) -> Failure {
    let said = match &answer.body {
        Body::Whole(body) => error_body::read(body),
        Body::TooLarge | Body::Cut(_) => error_body::Said::default(),
    };
    let retryable = said.retryable.unwrap_or_else(|| is_retryable(answer.status));
    let kind = if retryable { FailureKind::Retryable } else { FailureKind::Permanent };
    let code = said.code.unwrap_or_else(|| status_code(answer.status.as_u16()));
    let message = said.message.unwrap_or_else(|| match answer.status.canonical_reason() {
        Some(reason) => format!("the system answered {} ({reason})", answer.status.as_u16()),
        None => format!("the system answered {}", answer.status.as_u16()),
    });
    let mut failure = Failure::new(kind, code, message);
    failure.details = said.details;
    if retryable {
        failure.retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    }
    failure
}

/// Whether the same request may succeed later: the server is busy or broken, or it gave up waiting for us.
fn is_retryable(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// Seconds, or an HTTP date (RFC 9110, 10.2.3). A date that has passed means now; what is neither means nothing.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wish = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        // A wrong day of the week is the sender's slip and changes no instant.
        let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
        let at = parser.parse_timestamp(text).ok()?.as_millisecond();
        Timestamp::from_millis(at).since(now)
    };
    Some(wish.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

    fn answer(status: u16, body: &str, headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header")));
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, headers: HeaderMap::from_iter(headers), body: Body::Whole(Bytes::from(body.to_owned())) }
    }

    fn failed(answer: &Answer) -> Failure {
        match outcome(answer, true, NOW) {
            HttpOutcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_2xx_with_json_is_a_result_and_without_a_body_it_is_null() {
        for (status, body, expected) in [(200, r#"{"id": 1}"#, r#"{"id": 1}"#), (201, "[]", "[]"), (200, "", "null"), (204, "", "null")] {
            let expected = Payload::trusted(Bytes::from_static(expected.as_bytes()));
            assert_eq!(outcome(&answer(status, body, &[]), true, NOW), HttpOutcome::Succeeded(expected), "{status}");
        }
    }

    #[test]
    fn a_202_is_finished_by_a_callback_if_there_can_be_one() {
        assert_eq!(outcome(&answer(202, r#"{"status":"queued"}"#, &[]), true, NOW), HttpOutcome::Accepted);
        let HttpOutcome::Failed(failure) = outcome(&answer(202, "", &[]), false, NOW) else { panic!("nobody could finish it") };
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Permanent, failures::CALLBACK_UNAVAILABLE));
    }

    #[test]
    fn every_status_has_its_kind_and_code() {
        let table: &[(u16, &str, FailureKind, &str)] = &[
            (400, "", FailureKind::Permanent, "http.status_400"),
            (401, "<html>", FailureKind::Permanent, "http.status_401"),
            (404, r#"{"type":"about:blank"}"#, FailureKind::Permanent, "http.status_404"),
            (408, "", FailureKind::Retryable, "http.status_408"),
            (409, r#"{"error":{"code":"out_of_stock"}}"#, FailureKind::Permanent, "out_of_stock"),
            (422, r#"{"type":"https://e.com/p/bad-sku","title":"no"}"#, FailureKind::Permanent, "bad-sku"),
            (425, "", FailureKind::Retryable, "http.status_425"),
            (429, r#"{"code":"rate_limited"}"#, FailureKind::Retryable, "rate_limited"),
            (500, "oops", FailureKind::Retryable, "http.status_500"),
            (503, "", FailureKind::Retryable, "http.status_503"),
            (599, "", FailureKind::Retryable, "http.status_599"),
            (600, "", FailureKind::Permanent, "http.status_600"),
            (101, "", FailureKind::Permanent, "http.status_101"),
            (301, "", FailureKind::Permanent, failures::REDIRECT_REFUSED),
            (304, "", FailureKind::Permanent, failures::REDIRECT_REFUSED),
            (307, "", FailureKind::Permanent, failures::REDIRECT_REFUSED),
            (200, "oops", FailureKind::Contract, failures::RESULT_MALFORMED),
            // What the system says about retrying is worth more than its status.
            (409, r#"{"error":{"code":"locked","retryable":true}}"#, FailureKind::Retryable, "locked"),
            (500, r#"{"error":{"code":"corrupt","retryable":false}}"#, FailureKind::Permanent, "corrupt"),
        ];
        for (status, body, kind, code) in table {
            let failure = failed(&answer(*status, body, &[]));
            assert_eq!((failure.kind, failure.code.as_str()), (*kind, *code), "{status} {body}");
            assert!(!failure.message.is_empty());
        }
    }

    #[test]
    fn a_body_that_is_too_large_or_cut_off_is_no_result() {
        let with = |status, body| Answer { body, ..answer(status, "", &[]) };
        assert_eq!(failed(&with(200, Body::TooLarge)).code.as_str(), failures::RESULT_TOO_LARGE);
        let cut = failed(&with(200, Body::Cut("reset".into())));
        assert_eq!((cut.kind, cut.code.as_str()), (FailureKind::Retryable, failures::ANSWER_INCOMPLETE));
        assert_eq!(failed(&with(503, Body::TooLarge)).code.as_str(), "http.status_503", "the status alone says enough");
    }

    #[test]
    fn retry_after_is_honoured_in_seconds_and_as_a_date() {
        for (written, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(24 * 3600)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", Some(24 * 3600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let failure = failed(&answer(503, "", &[("retry-after", written)]));
            assert_eq!(failure.retry_after, expected.map(Duration::from_secs), "{written}");
        }
        assert_eq!(failed(&answer(404, "", &[("retry-after", "5")])).retry_after, None, "there is no next attempt");
    }

    #[test]
    fn a_redirect_names_its_target_shortened() {
        let failure = failed(&answer(302, "", &[("location", &format!("http://169.254.169.254/{}", "x".repeat(5_000)))]));
        assert!(failure.message.contains("`http://169.254.169.254/xxx") && failure.message.len() < 500, "{}", failure.message);
    }
}

//! Errors as systems write them in JSON: `{"error": {…}}`, or problem details (RFC 9457).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tasker_engine::{ErrorCode, Payload};

/// What an error's body says; everything may be missing.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Said {
    pub code: Option<ErrorCode>,
    pub message: Option<String>,
    pub details: Option<Payload>,
    pub retryable: Option<bool>,
}

/// Members that RFC 9457 defines, and `code`, which many add; the others are the problem's details.
const PROBLEM_MEMBERS: [&str; 6] = ["type", "title", "status", "detail", "instance", "code"];

/// Reads the body of an answer whose status says that it is an error. What is no error object says nothing.
pub(crate) fn read(body: &[u8]) -> Said {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else { return Said::default() };
    match members.remove("error") {
        Some(Value::Object(error)) => own(error),
        _ => problem(members),
    }
}

/// `{"error": {"code": …, "message": …, "details": …, "retryable": …}}`.
fn own(mut error: Map<String, Value>) -> Said {
    Said {
        code: error.get("code").and_then(code),
        message: error.get("message").and_then(Value::as_str).map(str::to_owned),
        details: error.remove("details").filter(|details| !details.is_null()).map(|details| Payload::of(&details)),
        retryable: error.get("retryable").and_then(Value::as_bool),
    }
}

/// `application/problem+json`: the code is the member `code`, or the last word of `type`.
fn problem(mut problem: Map<String, Value>) -> Said {
    let named = problem.get("code").and_then(code);
    let by_type = || ErrorCode::new(problem.get("type")?.as_str()?.trim_end_matches('/').rsplit(['/', '#', ':']).next()?).ok();
    // `about:blank` says that the status is all there is to say.
    let by_type = || by_type().filter(|code| code.as_str() != "blank");
    let said = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
    let (code, message) = (named.or_else(by_type), said("detail").or_else(|| said("title")));
    problem.retain(|name, _| !PROBLEM_MEMBERS.contains(&name.as_str()));
    let details = (!problem.is_empty()).then(|| Payload::of(&Value::Object(problem)));
    Said { code, message, details, retryable: None }
}

/// A code in text, or a number, which some services use.
fn code(value: &Value) -> Option<ErrorCode> {
    match value {
        Value::String(text) => ErrorCode::new(text).ok(),
        Value::Number(number) => number.as_u64().and_then(|number| ErrorCode::new(&number.to_string()).ok()),
        _ => None,
    }
}

/// What a callback says.
#[derive(Debug, PartialEq)]
pub(crate) enum CallbackBody {
    /// `{"result": …}`.
    Result(Payload),
    /// `{"error": {…}}`.
    Error { code: ErrorCode, message: Option<String>, details: Option<Payload>, retryable: bool },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCallback<'b> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'b RawValue>,
    #[serde(default)]
    error: Option<WrittenError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenError {
    code: ErrorCode,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    details: Option<Value>,
    #[serde(default)]
    retryable: bool,
}

/// A result of `null` is a result; only a missing one is none.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a callback's body, strictly: what is misspelt would otherwise be lost without a word.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn callback(body: &[u8]) -> Result<CallbackBody, String> {
    let written: WrittenCallback<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match (written.result, written.error) {
        (Some(result), None) => {
            let result = Payload::parse(Bytes::copy_from_slice(result.get().as_bytes())).map_err(|error| format!("`result`: {error}"))?;
            Ok(CallbackBody::Result(result))
        }
        (None, Some(error)) => Ok(CallbackBody::Error {
            code: error.code,
            message: error.message,
            details: error.details.filter(|details| !details.is_null()).map(|details| Payload::of(&details)),
            retryable: error.retryable,
        }),
        (Some(_), Some(_)) => Err("it has both `result` and `error`; it must have one of them".into()),
        (None, None) => Err("it has neither `result` nor `error`; it must have one of them".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, code: Option<&str>, message: Option<&str>, details: Option<&str>, retryable: Option<bool>) {
        let said = read(body.as_bytes());
        let details_said = said.details.as_ref().map(|details| String::from_utf8_lossy(details.bytes()).into_owned());
        let found = (said.code.as_ref().map(ErrorCode::as_str), said.message.as_deref(), details_said.as_deref(), said.retryable);
        assert_eq!(found, (code, message, details, retryable), "{body}");
    }

    #[test]
    fn errors_are_read_in_both_forms() {
        check(
            r#"{"error":{"code":"card_declined","message":"no","details":{"bank":7},"retryable":true}}"#,
            Some("card_declined"),
            Some("no"),
            Some(r#"{"bank":7}"#),
            Some(true),
        );
        check(r#"{"error":{"code":1042}}"#, Some("1042"), None, None, None);
        check(r#"{"error":{"code":"not a code","details":null}}"#, None, None, None, None);
        check(
            r#"{"type":"https://example.com/problems/out-of-stock","title":"Out of stock","detail":"none left","status":409,"sku":"A"}"#,
            Some("out-of-stock"),
            Some("none left"),
            Some(r#"{"sku":"A"}"#),
            None,
        );
        check(
            r#"{"type":"https://example.com/problems/x","code":"out_of_stock","title":"Out"}"#,
            Some("out_of_stock"),
            Some("Out"),
            None,
            None,
        );
        check(r#"{"type":"urn:problem:out_of_stock"}"#, Some("out_of_stock"), None, None, None);
        check(r#"{"type":"about:blank","title":"Not Found"}"#, None, Some("Not Found"), None, None);
    }

    #[test]
    fn what_is_no_error_object_says_nothing() {
        for body in ["", "oops", "<html>", "[]", "null", "7", "{}", r#"{"error":{}}"#, &"[".repeat(10_000)] {
            assert_eq!(read(body.as_bytes()), Said::default(), "{body}");
        }
        // A text says nothing to a program; it is a detail of the problem's own like any other member.
        check(r#"{"type":7,"error":"invalid_grant"}"#, None, None, None, None);
    }

    #[test]
    fn a_callback_says_one_thing() {
        assert_eq!(
            callback(br#"{"result": {"b": 1, "a": 1.50}}"#),
            Ok(CallbackBody::Result(Payload::trusted(Bytes::from_static(br#"{"b": 1, "a": 1.50}"#))))
        );
        assert_eq!(callback(br#"{"result":null}"#), Ok(CallbackBody::Result(Payload::null())));
        let error = CallbackBody::Error { code: ErrorCode::new("x.y").expect("a code"), message: None, details: None, retryable: false };
        assert_eq!(callback(br#"{"error":{"code":"x.y"}}"#), Ok(error));
        for body in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"result":1,"error":{"code":"x"}}"#,
            r#"{"results":1}"#,
            r#"{"result":1,"extra":2}"#,
            r#"{"error":"x"}"#,
            r#"{"error":{"message":"x"}}"#,
            r#"{"error":{"code":"not a code"}}"#,
            r#"{"error":{"code":"x","retriable":true}}"#,
            r#"{"error":{"code":"x","retryable":"yes"}}"#,
            r#"{"result":1,"result":2}"#,
        ] {
            assert!(callback(body.as_bytes()).is_err(), "{body}");
        }
        let deep = format!(r#"{{"result":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
        assert!(callback(deep.as_bytes()).is_err());
    }
}

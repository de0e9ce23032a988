//! From a call to a request. `docs/http-systems.md` says what a system sees.

use crate::client::{Request, destination};
use crate::failures::{INPUT_NOT_SCALAR, URL_REFUSED, failure};
use crate::signature::Signer;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tasker_engine::{Failure, FailureKind, Payload, Timestamp};
use tasker_runtime::port::egress::{HttpCall, HttpMethod};
use tasker_runtime::trace::traceparent;

/// Writes the request for a call. `callback` is the absolute URL by which the system may finish later, if there is one.
///
/// # Errors
/// The URL is none, or the input cannot be written in the way the method wants: permanent for this attempt's input.
pub(crate) fn request(call: &HttpCall, callback: Option<&str>, signer: Option<&Signer>, now: Timestamp) -> Result<Request, Failure> {
    let mut url = url(call)?;
    let body = if call.route.method().has_body() {
        Some(call.input.bytes().clone())
    } else {
        query(&mut url, &call.input)?;
        None
    };
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, application/problem+json"));
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut add = |name: &'static str, value: String| {
        let value = HeaderValue::try_from(value).expect("ids, names, numbers and our own URLs have only visible ASCII characters");
        headers.insert(HeaderName::from_static(name), value);
    };
    let key = &call.key;
    add("idempotency-key", call.idempotency_key.clone());
    add("tasker-task", key.task.to_string());
    add("tasker-step", key.step.to_string());
    add("tasker-attempt", key.attempt.to_string());
    add("tasker-timeout-ms", call.timeout.as_millis().to_string());
    if let Some(parent) = &call.trace.parent {
        add("traceparent", traceparent(&call.trace.trace_id, parent, call.trace.sampled));
    }
    if let Some(callback) = callback {
        add("tasker-callback-url", callback.to_owned());
    }
    if let Some(signer) = signer {
        // The same attempt asked twice is the same message to the receiver.
        let id = format!("{}_{}_{}", key.task, key.step, key.attempt);
        let seconds = now.as_millis().div_euclid(1_000);
        let signed = body.as_deref().unwrap_or_default();
        add("webhook-signature", signer.sign(&id, seconds, signed));
        add("webhook-timestamp", seconds.to_string());
        add("webhook-id", id);
    }
    Ok(Request { method: method(call.route.method()), url, headers, body, answer_bytes_max: Payload::BYTES_MAX })
}

/// The host and port that a call goes to, for counting calls per host.
pub(crate) fn origin(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Get => Method::GET,
        HttpMethod::Delete => Method::DELETE,
    }
}

/// The base URL with the route's path behind its own; a query of the base URL stays.
fn url(call: &HttpCall) -> Result<Url, Failure> {
    let refused = |why: String| failure(FailureKind::Permanent, URL_REFUSED, format!("system `{}` cannot be called: {why}", call.system));
    let mut url = destination(&call.base_url).map_err(|invalid| refused(invalid.to_string()))?;
    url.set_path(&format!("{}{}", url.path().trim_end_matches('/'), call.route.path()));
    Ok(url)
}

/// Adds the members of an object as query parameters, in the order of their names. A member that is `null` is left out.
fn query(url: &mut Url, input: &Payload) -> Result<(), Failure> {
    let refused = |what: String| {
        let why = "a GET or DELETE sends the members of its input as query parameters, so they must be texts, numbers or booleans";
        failure(FailureKind::Contract, INPUT_NOT_SCALAR, format!("{what}; {why}"))
    };
    let members = match input.value() {
        Value::Null => return Ok(()),
        Value::Object(members) => members,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return Err(refused("the input is not an object".into())),
    };
    let mut written = Vec::with_capacity(members.len());
    for (name, value) in members {
        match value {
            Value::Null => {}
            Value::Bool(flag) => written.push((name, flag.to_string())),
            Value::Number(number) => written.push((name, number.to_string())),
            Value::String(text) => written.push((name, text)),
            Value::Array(_) => return Err(refused(format!("`{name}` of the input is a list"))),
            Value::Object(_) => return Err(refused(format!("`{name}` of the input is an object"))),
        }
    }
    if !written.is_empty() {
        url.query_pairs_mut().extend_pairs(written);
    }
    if url.as_str().len() > crate::client::URL_BYTES_MAX {
        let message = format!(
            "the URL with its query parameters is longer than {} bytes; declare the capability with POST",
            crate::client::URL_BYTES_MAX
        );
        return Err(failure(FailureKind::Contract, INPUT_NOT_SCALAR, message));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;
    use tasker_engine::task::Trace;
    use tasker_engine::{AttemptNumber, AttemptToken, CapabilityName, Namespace, StepName, SystemName, TaskId};
    use tasker_runtime::port::bus::CallKey;
    use tasker_runtime::port::egress::HttpRoute;

    /// A call of `POST https://pay.example.com/v1/charges`.
    pub(crate) fn call() -> HttpCall {
        HttpCall {
            namespace: Namespace::new("default").expect("a name"),
            system: SystemName::new("payments").expect("a name"),
            capability: CapabilityName::new("payment.charge").expect("a name"),
            key: CallKey {
                task: TaskId::from_number(42).expect("not negative"),
                step: StepName::new("charge").expect("a name").into(),
                attempt: AttemptNumber(2),
                token: AttemptToken([7; 16]),
            },
            base_url: "https://pay.example.com".into(),
            route: HttpRoute::new(HttpMethod::Post, "/v1/charges").expect("a path"),
            input: Payload::trusted(Bytes::from_static(br#"{"amount":1.50}"#)),
            idempotency_key: "tsk_000000000001a/charge".into(),
            timeout: Duration::from_secs(30),
            trace: Trace { trace_id: [0xab; 16], parent: Some([0xcd; 8]), sampled: true },
        }
    }

    fn url_of(base: &str, path: &str) -> Option<String> {
        let route = HttpRoute::new(HttpMethod::Post, path).expect("a path");
        let call = HttpCall { base_url: base.into(), route, ..call() };
        request(&call, None, None, Timestamp::from_millis(0)).ok().map(|request| request.url.to_string())
    }

    #[test]
    fn a_request_says_which_attempt_it_is_for() {
        let signer = Signer::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let callback = "https://tasker.example.com/v1/callbacks/v1.x.y";
        let request = request(&call(), Some(callback), Some(&signer), Timestamp::from_millis(1_614_265_330_999)).expect("a request");
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://pay.example.com/v1/charges"));
        assert_eq!(request.body.as_deref(), Some(br#"{"amount":1.50}"#.as_slice()), "the input as it is stored, not written anew");
        let mut headers: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        headers.sort();
        let signature = signer.sign("tsk_000000000001a_charge_2", 1_614_265_330, br#"{"amount":1.50}"#);
        assert_eq!(
            headers,
            [
                "accept: application/json, application/problem+json".to_owned(),
                "content-type: application/json".into(),
                "idempotency-key: tsk_000000000001a/charge".into(),
                format!("tasker-callback-url: {callback}"),
                "tasker-attempt: 2".into(),
                "tasker-step: charge".into(),
                "tasker-task: tsk_000000000001a".into(),
                "tasker-timeout-ms: 30000".into(),
                "traceparent: 00-abababababababababababababababab-cdcdcdcdcdcdcdcd-01".into(),
                "webhook-id: tsk_000000000001a_charge_2".into(),
                format!("webhook-signature: {signature}"),
                "webhook-timestamp: 1614265330".into(),
            ]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_path_goes_behind_the_base_url_and_never_above_it() {
        for (base, path, expected) in [
            ("https://a.example", "/x", "https://a.example/x"),
            ("https://a.example/", "/x", "https://a.example/x"),
            ("https://a.example/v2", "/x/y", "https://a.example/v2/x/y"),
            ("https://a.example/v2/", "/x%20y/", "https://a.example/v2/x%20y/"),
            ("https://a.example:8443/v2?version=3", "/x", "https://a.example:8443/v2/x?version=3"),
            ("https://a.example", "/capabilities/payment.charge", "https://a.example/capabilities/payment.charge"),
            ("https://a.example", "//b.example/x", "https://a.example//b.example/x"),
        ] {
            assert_eq!(url_of(base, path).as_deref(), Some(expected), "{base} {path}");
        }
        for base in ["", "a.example", "ftp://a.example", "https://user:secret@a.example"] {
            assert_eq!(url_of(base, "/x"), None, "{base}");
        }
    }

    #[test]
    fn a_get_sends_scalars_as_query_parameters_and_refuses_what_is_none() {
        let get = |input: &'static str| {
            let route = HttpRoute::new(HttpMethod::Get, "/x").expect("a path");
            let call = HttpCall { route, input: Payload::trusted(Bytes::from_static(input.as_bytes())), ..call() };
            request(&call, None, None, Timestamp::from_millis(0)).map_err(|failure| failure.code.to_string())
        };
        let url = |input| get(input).map(|request| request.url.to_string());
        let expected = "https://pay.example.com/x?flag=true&n=1.5&text=a+%26+%C3%B6";
        assert_eq!(url(r#"{"text":"a & ö","n":1.5,"flag":true,"none":null}"#).as_deref(), Ok(expected));
        assert_eq!(url("null").as_deref(), Ok("https://pay.example.com/x"));
        assert_eq!(url("{}").as_deref(), Ok("https://pay.example.com/x"));
        for input in [r#"{"list":[1]}"#, r#"{"object":{}}"#, "[]", "7", "\"text\""] {
            assert_eq!(url(input).expect_err(input), INPUT_NOT_SCALAR);
        }
        let request = get("{}").expect("a request");
        assert!(request.body.is_none() && !request.headers.contains_key(CONTENT_TYPE));
    }

    #[test]
    fn a_capability_that_declares_nothing_is_posted_to_under_its_name() {
        let route = HttpRoute::default_of(&call().capability);
        let request = request(&HttpCall { route, ..call() }, None, None, Timestamp::from_millis(0)).expect("a request");
        assert_eq!((request.method, request.url.path()), (Method::POST, "/capabilities/payment.charge"));
    }
}

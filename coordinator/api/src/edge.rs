//! What every request passes on its way in and every answer on its way out.
//!
//! In: a request id. Around: a deadline and a net for panics. Out: the body of problems, the headers that keep browsers from guessing, the
//! request id, and one measurement.

use crate::metrics::Metrics;
use crate::problem::{Code, MEDIA_TYPE, Problem, Unwritten};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The last resort: the longest body, the longest wait and the longest operation together end well before. Handlers have tighter limits.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(150);

/// When to try again after the last resort.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A request id from outside is kept if it is not longer than this.
const REQUEST_ID_BYTES_MAX: usize = 128;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What nothing here ever needs: scripts, frames, other origins. The documentation page sets its own.
const CONTENT_SECURITY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// What the edge needs to know; cheap to clone.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) documentation_base: Arc<str>,
    pub(crate) metrics: Metrics,
}

/// The id of one request, in answers, problems and logs.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

impl Default for RequestId {
    fn default() -> Self {
        Self(Arc::from("unknown"))
    }
}

impl RequestId {
    /// The id that the client gave, if it is one; otherwise a new one.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let acceptable = |text: &&str| {
            !text.is_empty()
                && text.len() <= REQUEST_ID_BYTES_MAX
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        match given.filter(acceptable) {
            Some(text) => Self(Arc::from(text)),
            None => Self(Arc::from(format!("req_{:032x}", rand::random::<u128>()))),
        }
    }
}

/// The layer around every route.
pub(crate) async fn guard(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());

    let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match tokio::time::timeout(ANSWER_TIME_MAX, answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            edge.metrics.panicked();
            tracing::error!(request_id = %id.0, route, "a request made the coordinator panic");
            let detail = "the coordinator made a mistake while answering; its log has the details under this request id";
            Problem::new(Code::CoordinatorFault, detail).into_response()
        }
        Err(_) => Problem::new(Code::OutcomeUnknown, format!("no answer within {} s", ANSWER_TIME_MAX.as_secs()))
            .with_retry_after(RETRY_AFTER)
            .into_response(),
    };
    if let Some(Unwritten(problem)) = response.extensions_mut().remove::<Unwritten>() {
        write(&mut response, &problem, &edge.documentation_base, &path, &id);
    }
    dress(response.headers_mut(), &id);
    let status = response.status().as_u16();
    let took = started.elapsed();
    edge.metrics.answered(method.as_str(), route.as_deref(), status, took);
    tracing::debug!(request_id = %id.0, %method, route, status, took_ms = took.as_millis(), "request answered");
    response
}

fn write(response: &mut Response, problem: &Problem, documentation_base: &str, path: &str, id: &RequestId) {
    let body = problem.body(documentation_base, path, &id.0);
    let bytes = serde_json::to_vec(&body).expect("a problem holds nothing that JSON cannot say");
    *response.body_mut() = Body::from(bytes);
    let headers = response.headers_mut();
    // axum measures the empty body that the handler returned.
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Some(after) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    if let Some(allow) = problem.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
}

fn dress(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CONTENT_SECURITY);
    // Everything here is either a moment's state or an answer to one request.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tasker_telemetry::metric;
    use tasker_telemetry::reading::{Readings, Value};
    use tower::ServiceExt;

    fn app() -> (Router, Metrics) {
        let metrics = Metrics::default();
        let edge = Edge { documentation_base: Arc::from("https://tasker.dev"), metrics: metrics.clone() };
        async fn panics() -> Response {
            panic!("a secret that nobody may see")
        }
        async fn refuses() -> Problem {
            Problem::new(Code::CoordinatorBusy, "later").with_retry_after(Duration::from_millis(300))
        }
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/refuses/{id}", get(refuses))
            .route("/hangs", get(std::future::pending::<Response>))
            .layer(axum::middleware::from_fn_with_state(edge, guard));
        (router, metrics)
    }

    async fn ask(path: &str, id: Option<&str>) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().uri(path);
        if let Some(id) = id {
            request = request.header(X_REQUEST_ID, id);
        }
        let response = app().0.oneshot(request.body(Body::empty()).expect("a request")).await.expect("answers");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_panic_becomes_a_problem_without_its_message() {
        let (status, headers, body) = ask("/panics", None).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(headers[header::CONTENT_TYPE], MEDIA_TYPE);
        assert!(body.contains("coordinator.fault") && !body.contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_problem_carries_the_request_id_of_its_request() {
        let (status, headers, body) = ask("/refuses/7", Some("trace-me.1")).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(headers[X_REQUEST_ID], "trace-me.1");
        assert_eq!(headers[header::RETRY_AFTER], "1", "never less than a second");
        insta::assert_snapshot!(body);
    }

    #[tokio::test]
    async fn a_request_id_that_could_break_a_log_is_replaced() {
        for hostile in ["a b", "x\ty", &"x".repeat(129), ""] {
            let (_, headers, _) = ask("/refuses/7", Some(hostile)).await;
            let id = headers[X_REQUEST_ID].to_str().expect("text");
            assert!(id.starts_with("req_") && id.len() == 36, "{id}");
        }
    }

    #[tokio::test]
    async fn every_answer_tells_browsers_not_to_guess() {
        let (_, headers, _) = ask("/refuses/7", None).await;
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], CONTENT_SECURITY);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_hangs_is_answered_for() {
        let (status, headers, body) = ask("/hangs", None).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(headers.contains_key(header::RETRY_AFTER));
        assert!(body.contains("\"outcome\":\"unknown\""), "{body}");
    }

    #[tokio::test]
    async fn requests_are_counted_by_template_and_not_by_path() {
        let (router, metrics) = app();
        for path in ["/refuses/1", "/refuses/2"] {
            let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
            router.clone().oneshot(request).await.expect("answers");
        }
        let mut readings = Readings::default();
        metrics.read(&mut readings);
        let requests = &readings.family(&metric::HTTP_REQUESTS).expect("measured").series;
        let counted = &requests[&["GET", "/refuses/{id}", "429"].map(str::to_owned).to_vec()];
        assert!(matches!(counted, Value::Histogram(histogram) if histogram.count() == 2), "{counted:?}");
    }
}

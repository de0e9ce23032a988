//! Requests about namespaces that another coordinator runs are handed to it, so that clients may ask any of them.
//!
//! A take-over is waited for, because it is short. A request is handed on once: if two coordinators disagree about who runs a namespace, the client
//! is told to come again instead of being sent in a circle.

use crate::app::App;
use crate::edge::RequestId;
use crate::problem::{Code, Problem};
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tasker_engine::{Namespace, ShardId};
use tasker_runtime::Place;

/// How long a take-over is waited for: longer than one takes after a crash.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// When to come again if it took longer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long another coordinator may take to accept a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// Says that a coordinator has handed the request on.
const FORWARDED: HeaderName = HeaderName::from_static("x-tasker-forwarded");

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What concerns one connection and not the request (RFC 9110, 7.6.1), and the name of this host.
const OF_A_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The way to the other coordinators.
#[derive(Clone)]
pub(crate) struct Peers(reqwest::Client);

impl Peers {
    pub(crate) fn new() -> Self {
        // Coordinators are neighbours: no proxy stands between them, and none of them redirects.
        let client = reqwest::Client::builder().connect_timeout(CONNECT_TIME_MAX).no_proxy().redirect(reqwest::redirect::Policy::none());
        Self(client.build().expect("a client without certificates of its own can always be built"))
    }
}

/// The layer around every route: answers here, or has another coordinator answer.
pub(crate) async fn forward(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(shard) = shard(&app, &request) else { return next.run(request).await };
    match app.operations.place_of(shard, WAIT_MAX).await {
        Place::Here => next.run(request).await,
        Place::Elsewhere(Some(url)) if !request.headers().contains_key(FORWARDED) => {
            let reading = request.method() == Method::GET;
            let there = Place::Elsewhere(Some(url.clone()));
            tokio::select! {
                response = hand_on(&app.peers, &url, request) => response,
                // Its owner was replaced before it answered: it may hang, or be cut off.
                () = app.operations.moved_from(shard, &there) => went_away(reading).into_response(),
            }
        }
        Place::Elsewhere(_) | Place::Nowhere => moving("no coordinator runs this namespace at the moment").into_response(),
    }
}

/// The shard that a request is about. What is about none is answered here, and so is what names no namespace: the route says what is wrong with it.
fn shard(app: &App, request: &Request) -> Option<ShardId> {
    let path = request.uri().path();
    if let Some(token) = path.strip_prefix("/v1/callbacks/") {
        return app.operations.shard_of_callback(token);
    }
    if !path.starts_with("/v1/") || ["/v1/status", "/v1/manifest.schema.json"].contains(&path) {
        return None;
    }
    namespace(app, request).map(|namespace| app.operations.shard_of(&namespace))
}

fn namespace(app: &App, request: &Request) -> Option<Namespace> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).ok()?;
    let mut given = pairs.iter().filter(|(name, value)| name == "namespace" && !value.is_empty());
    match (given.next(), given.next()) {
        (None, _) => Some(app.options.default_namespace.clone()),
        (Some((_, text)), None) => Namespace::new(text).ok(),
        (Some(_), Some(_)) => None,
    }
}

async fn hand_on(peers: &Peers, url: &str, request: Request) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = passed_on(parts.headers);
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(X_REQUEST_ID, id);
    }
    let asked = peers.0.request(parts.method.clone(), format!("{}{path}", url.trim_end_matches('/'))).headers(headers);
    match asked.body(reqwest::Body::wrap_stream(body.into_data_stream())).send().await {
        Ok(answer) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = answer.status();
            *response.headers_mut() = passed_on(answer.headers().clone());
            *response.body_mut() = Body::from_stream(answer.bytes_stream());
            response
        }
        Err(error) if error.is_connect() => moving("the coordinator that runs this namespace does not answer").into_response(),
        Err(_) => went_away(parts.method == Method::GET).into_response(),
    }
}

fn went_away(reading: bool) -> Problem {
    let detail = "the coordinator that runs this namespace went away before it answered";
    if reading {
        return moving(detail);
    }
    Problem::new(Code::OutcomeUnknown, detail)
        .with_retry_after(RETRY_AFTER)
        .with_hint("repeat the request with the same Idempotency-Key: it finds the task if it was accepted")
}

fn passed_on(headers: HeaderMap) -> HeaderMap {
    let mut passed = headers;
    for name in OF_A_CONNECTION {
        passed.remove(name);
    }
    passed
}

fn moving(detail: &str) -> Problem {
    Problem::new(Code::ShardMoving, detail).with_retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_a_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("tasker-1"));
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        headers.insert("idempotency-key", HeaderValue::from_static("order-1"));
        let passed = passed_on(headers);
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["idempotency-key"]);
    }
}

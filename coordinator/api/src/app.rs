//! The table of routes, and what all of them share.

use crate::edge::{Edge, guard};
use crate::forward::{Peers, forward};
use crate::gate::{Gate, WAITS_MAX};
use crate::measurements::Measurements;
use crate::metrics::Metrics;
use crate::problem::{Code, Problem};
use crate::request::Ask;
use crate::{
    callbacks, capabilities, docs, events, flow, health, letters, listing, outside, people, queues, request, result, stream, submit, tasks,
    workflows,
};
use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::Namespace;
use tasker_runtime::operations::{Operations, Unavailable};
use tokio::sync::Semaphore;

/// How the API presents itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where requests without the parameter `namespace` go.
    pub default_namespace: Namespace,
    /// The coordinator's version, for `/v1/status`, metrics and the OpenAPI document.
    pub version: String,
    /// Where the pages about problems are: the member `type` of a problem is this, `/errors/` and the code. Without a slash at the end.
    pub documentation_base: String,
}

impl Options {
    /// Where the pages about problems are published.
    pub const DOCUMENTATION_BASE: &str = "https://tasker.dev";

    /// Namespace `default`, this crate's version, and the published pages.
    pub fn new() -> Self {
        Self {
            default_namespace: Namespace::new("default").expect("a constant of the right form"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            documentation_base: Self::DOCUMENTATION_BASE.to_owned(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// A question to the loop that is not answered by then is not going to be: it answers out of memory or with a read of the database.
const READ_TIME_MAX: Duration = Duration::from_secs(20);

/// A change is answered after its commit; a commit that takes longer than this is stuck.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(30);

/// When to try again after the loop gave no answer.
const NO_ANSWER_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) operations: Operations,
    pub(crate) options: Arc<Options>,
    pub(crate) metrics: Metrics,
    pub(crate) measurements: Measurements,
    /// For streams and long polls.
    pub(crate) gate: Gate,
    /// The way to the other coordinators of the database.
    pub(crate) peers: Peers,
    /// For request bodies.
    pub(crate) body_memory: Arc<Semaphore>,
    /// The OpenAPI document, written once.
    pub(crate) document: Bytes,
}

impl App {
    /// Waits for the answer to a question, but not for ever. `longer` is added for questions that wait on purpose.
    ///
    /// # Errors
    /// The answer was a refusal, or none came. Nothing was changed either way.
    pub(crate) async fn read<T, E: Into<Problem>>(
        &self,
        asking: impl Future<Output = Result<T, E>>,
        longer: Duration,
    ) -> Result<T, Problem> {
        within(READ_TIME_MAX + longer, asking, || {
            let detail = format!("the coordinator gave no answer within {} s", (READ_TIME_MAX + longer).as_secs());
            Problem::new(Code::CoordinatorBusy, detail)
        })
        .await
        .map_err(unchanged)
    }

    /// Waits for a change to be committed, but not for ever.
    ///
    /// # Errors
    /// The answer was a refusal, or none came: then nobody knows whether the change was made (P3).
    pub(crate) async fn change<T, E: Into<Problem>>(&self, asking: impl Future<Output = Result<T, E>>) -> Result<T, Problem> {
        within(CHANGE_TIME_MAX, asking, || {
            let detail = format!("no commit within {} s; it may still happen", CHANGE_TIME_MAX.as_secs());
            Problem::new(Code::OutcomeUnknown, detail).with_hint("look at the task, or repeat with the same Idempotency-Key")
        })
        .await
    }

    /// Reads the query of a route under `/v1`.
    ///
    /// # Errors
    /// See [`request::Query::read`].
    pub(crate) fn query(&self, ask: &Ask, known: &[&str]) -> Result<request::Query, Problem> {
        ask.query(known, &self.options.default_namespace)
    }
}

/// A question changes nothing: if the loop ended before it answered, that is no unknown outcome but a coordinator that stops.
fn unchanged(problem: Problem) -> Problem {
    match problem.code {
        Code::OutcomeUnknown => Unavailable::Draining.into(),
        _ => problem,
    }
}

async fn within<T, E: Into<Problem>>(
    at_most: Duration,
    asking: impl Future<Output = Result<T, E>>,
    late: impl FnOnce() -> Problem,
) -> Result<T, Problem> {
    match tokio::time::timeout(at_most, asking).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(late().with_retry_after(NO_ANSWER_RETRY_AFTER)),
    }
}

/// Every route of the API over a running coordinator.
///
/// Serve it with [`crate::serve`], which adds what a router alone cannot have: limits on connections and header times, and an orderly end.
pub fn router(operations: Operations, options: Options) -> Router {
    measured(operations, options).0
}

/// The same, with a handle on everything that is measured, for whoever sends it elsewhere than to `/metrics`.
pub fn measured(operations: Operations, options: Options) -> (Router, Measurements) {
    let metrics = Metrics::default();
    let edge = Edge { documentation_base: Arc::from(options.documentation_base.as_str()), metrics: metrics.clone() };
    let document = Bytes::from(docs::document(&options.version));
    let gate = Gate::new(WAITS_MAX);
    let measurements = Measurements::new(operations.clone(), metrics.clone(), gate.clone(), options.version.clone());
    let (options, body_memory, peers) = (Arc::new(options), request::body::memory(), Peers::new());
    let app = App { operations, options, metrics, measurements: measurements.clone(), gate, peers, body_memory, document };
    let routes = routes().layer(from_fn_with_state(app.clone(), forward)).layer(from_fn_with_state(edge, guard));
    (routes.with_state(app), measurements)
}

fn routes() -> Router<App> {
    Router::new()
        .route("/v1/workflows", get(workflows::list).post(workflows::apply))
        .route("/v1/workflows/{name}", get(workflows::show).post(workflows::act))
        .route("/v1/tasks", get(listing::list).post(submit::one))
        .route("/v1/tasks:batch", post(submit::batch))
        .route("/v1/tasks/{id}", get(tasks::show).post(tasks::act))
        .route("/v1/tasks/{id}/events", get(events::history))
        .route("/v1/tasks/{id}/events:stream", get(stream::follow))
        .route("/v1/tasks/{id}/result", get(result::show))
        .route("/v1/tasks/{id}/timeline", get(tasks::timeline))
        .route("/v1/tasks/{id}/why", get(tasks::why))
        .route("/v1/tasks/{id}/signals/{name}", post(outside::signal))
        .route("/v1/tasks/{id}/steps/{step}", post(people::act))
        .route("/v1/tasks/{id}/steps/{step}/items", get(people::items))
        .route("/v1/events", post(outside::send_event))
        .route("/v1/approvals", get(people::approvals))
        .route("/v1/held", get(people::held))
        .route("/v1/dlq", get(letters::list))
        .route("/v1/dlq:groups", get(letters::groups))
        .route("/v1/dlq:requeue", post(letters::requeue))
        .route("/v1/dlq:discard", post(letters::discard))
        .route("/v1/dlq/{id}", get(letters::show))
        .route("/v1/callbacks/{token}", post(callbacks::finish))
        .route("/v1/systems", get(capabilities::systems))
        .route("/v1/systems/{name}", get(capabilities::system))
        .route("/v1/capabilities", get(capabilities::list))
        .route("/v1/capabilities/{system}/{name}", get(capabilities::show))
        .route("/v1/systems/{name}/drain", post(flow::drain_version))
        .route("/v1/capabilities/{system}/{name}/breaker", post(flow::override_breaker))
        .route("/v1/queues", get(queues::list))
        .route("/v1/queues/{system}/{name}", get(queues::show).post(queues::change))
        .route("/v1/workers", get(capabilities::workers))
        .route("/v1/workers/{session}/drain", post(flow::drain_worker))
        .route("/v1/status", get(health::status))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/v1/manifest.schema.json", get(docs::manifest_schema))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::enter))
        .route("/docs/", get(docs::index))
        .route("/docs/{file}", get(docs::file))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown_route(uri: Uri) -> Problem {
    route_unknown(uri.path())
}

/// Nothing is served under this path.
pub(crate) fn route_unknown(path: &str) -> Problem {
    Problem::new(Code::RouteUnknown, format!("there is no route `{}`", request::query::cut(path)))
        .with_hint("/docs shows every route; those for tasks and workflows start with /v1")
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {}", request::query::cut(uri.path()), request::query::cut(method.as_str()));
    Problem::new(Code::MethodNotAllowed, detail).with_hint("the header Allow names the methods it takes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_operation_that_never_answers_is_given_up_with_a_time_to_come_back() {
        let late = || Problem::new(Code::OutcomeUnknown, "late");
        let never = std::future::pending::<Result<(), Problem>>();
        let problem = within(CHANGE_TIME_MAX, never, late).await.expect_err("never answered");
        assert_eq!((problem.code, problem.retry_after), (Code::OutcomeUnknown, Some(NO_ANSWER_RETRY_AFTER)));
    }

    #[test]
    fn a_question_never_has_an_unknown_outcome() {
        assert_eq!(unchanged(Unavailable::Unknown.into()).code, Code::CoordinatorDraining);
        assert_eq!(unchanged(Unavailable::Read("disk".into()).into()).code, Code::StoreUnreadable);
    }
}

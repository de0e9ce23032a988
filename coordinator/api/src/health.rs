//! Whether the coordinator lives, is ready, and how it is.

use crate::app::App;
use crate::exposition;
use crate::problem::{Problem, ProblemBody};
use crate::request::Ask;
use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;
use tasker_runtime::operations::Health;
use utoipa::ToSchema;

/// A probe is answered within this time, because whoever probes gives up soon after.
const PROBE_TIME_MAX: Duration = Duration::from_secs(4);

/// The type that Prometheus asks for.
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Whether the process answers at all. Touches nothing else, so a broken database never gets a healthy process killed.
#[utoipa::path(get, path = "/livez", tag = "operation", operation_id = "live",
    responses((status = 200, body = String, content_type = "text/plain", description = "`alive`")))]
pub(crate) async fn live() -> &'static str {
    "alive\n"
}

/// Whether the coordinator takes work: recovered, not draining, database and bus usable.
#[utoipa::path(get, path = "/readyz", tag = "operation", operation_id = "ready",
    params(("verbose" = Option<bool>, Query, description = "One line for each component, for people")),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "`ready`"),
        (status = 503, body = String, content_type = "text/plain", description = "`not ready`"),
    ))]
pub(crate) async fn ready(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &["verbose"])?;
    let verbose = query.flag("verbose")?;
    let health = health(&app).await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, lines(&health, verbose)).into_response())
}

fn lines(health: &Health, verbose: bool) -> String {
    let mut text = String::from(if health.ready { "ready\n" } else { "not ready\n" });
    if verbose {
        for (name, well, says) in &health.components {
            let mark = if *well { "ok  " } else { "FAIL" };
            writeln!(text, "{mark} {name}: {says}").expect("writing to a string does not fail");
        }
    }
    text
}

/// How the coordinator is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    version: String,
    ready: bool,
    /// What the database is; null if it did not say.
    store: Option<String>,
    /// What the bus is; null if it did not say.
    bus: Option<String>,
    components: Vec<Component>,
}

/// One part of the coordinator.
#[derive(Debug, Serialize, ToSchema)]
struct Component {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl Status {
    fn of(health: Health, version: &str) -> Self {
        let says = |name: &str| health.components.iter().find(|(component, _, _)| *component == name).map(|(_, _, says)| says.clone());
        Self {
            version: version.to_owned(),
            ready: health.ready,
            store: says("store"),
            bus: says("bus"),
            components: health.components.into_iter().map(|(name, ok, detail)| Component { name, ok, detail }).collect(),
        }
    }
}

/// Shows version, database, bus and the state of each component.
#[utoipa::path(get, path = "/v1/status", tag = "operation", operation_id = "status",
    responses(
        (status = 200, body = Status),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn status(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    app.query(&ask, &[])?;
    let health = health(&app).await;
    Ok(Json(Status::of(health, &app.options.version)).into_response())
}

/// Everything that is measured, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let text = exposition::write(&*app.measurements.read().await);
    ([(CONTENT_TYPE, EXPOSITION)], text).into_response()
}

async fn health(app: &App) -> Health {
    let asked = tokio::time::timeout(PROBE_TIME_MAX, app.operations.health()).await;
    asked.unwrap_or_else(|_| {
        let says = format!("no answer within {} s", PROBE_TIME_MAX.as_secs());
        Health { ready: false, components: vec![("runtime", false, says)] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ready: bool) -> Health {
        Health { ready, components: vec![("store", true, "sqlite 3.51.3".into()), ("bus", ready, "embedded listener".into())] }
    }

    #[test]
    fn readiness_is_one_word_unless_a_person_asks() {
        assert_eq!(lines(&sample(true), false), "ready\n");
        assert_eq!(lines(&sample(false), false), "not ready\n");
        assert_eq!(lines(&sample(false), true), "not ready\nok   store: sqlite 3.51.3\nFAIL bus: embedded listener\n");
    }

    #[test]
    fn the_status_names_store_and_bus() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&Status::of(sample(true), "0.1.0")).expect("writes"));
    }
}

//! Systems, their capabilities, and the workers that live now.

use crate::app::App;
use crate::nearest::did_you_mean;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::Ask;
use crate::request::query::cut;
use crate::view::{CapabilityDetail, Items, SystemDetail, WorkerDetail};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// Lists every known system with its live workers.
#[utoipa::path(get, path = "/v1/systems", tag = "registry", operation_id = "list_systems",
    params(("namespace" = Option<String>, Query)),
    responses((status = 200, body = Items<SystemDetail>)))]
pub(crate) async fn systems(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let all = app.read(app.operations.systems(&query.namespace), Duration::ZERO).await?;
    Ok(Json(Items { items: all.into_iter().map(SystemDetail::of).collect() }).into_response())
}

/// Shows a system.
#[utoipa::path(get, path = "/v1/systems/{name}", tag = "registry", operation_id = "show_system",
    params(("name" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = SystemDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "system.unknown"),
    ))]
pub(crate) async fn system(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let name = ask.segment("name")?;
    let mut all = app.read(app.operations.systems(&query.namespace), Duration::ZERO).await?;
    match all.iter().position(|system| system.name.as_str() == name) {
        Some(place) => Ok(Json(SystemDetail::of(all.swap_remove(place))).into_response()),
        None => {
            let detail = format!("nobody ever spoke of a system `{}` in namespace `{}`", cut(name), query.namespace);
            let hint = did_you_mean(name, all.iter().map(|system| system.name.as_str()));
            let hint = hint.unwrap_or_else(|| "a system is known once a manifest names it or one of its workers says hello".to_owned());
            Err(Problem::new(Code::SystemUnknown, detail).with_hint(hint))
        }
    }
}

/// Lists every known capability with what is waiting for it.
#[utoipa::path(get, path = "/v1/capabilities", tag = "registry", operation_id = "list_capabilities",
    params(("namespace" = Option<String>, Query)),
    responses((status = 200, body = Items<CapabilityDetail>)))]
pub(crate) async fn list(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let all = app.read(app.operations.capabilities(&query.namespace), Duration::ZERO).await?;
    Ok(Json(Items { items: all.into_iter().map(CapabilityDetail::of).collect() }).into_response())
}

/// Shows a capability with its contract.
#[utoipa::path(get, path = "/v1/capabilities/{system}/{name}", tag = "registry", operation_id = "show_capability",
    params(("system" = String, Path), ("name" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = CapabilityDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "capability.unknown"),
    ))]
pub(crate) async fn show(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let (system, name) = (ask.segment("system")?, ask.segment("name")?);
    let mut all = app.read(app.operations.capabilities(&query.namespace), Duration::ZERO).await?;
    match all.iter().position(|known| known.system.as_str() == system && known.name.as_str() == name) {
        Some(place) => Ok(Json(CapabilityDetail::of(all.swap_remove(place))).into_response()),
        None => {
            let detail = format!("nobody ever spoke of a capability `{}` of system `{}`", cut(name), cut(system));
            let known = all.iter().filter(|known| known.system.as_str() == system).map(|known| known.name.as_str());
            let hint = did_you_mean(name, known).unwrap_or_else(|| "GET /v1/capabilities lists what is known".to_owned());
            Err(Problem::new(Code::CapabilityUnknown, detail).with_hint(hint))
        }
    }
}

/// Lists the live workers.
#[utoipa::path(get, path = "/v1/workers", tag = "registry", operation_id = "list_workers",
    params(("namespace" = Option<String>, Query)),
    responses((status = 200, body = Items<WorkerDetail>)))]
pub(crate) async fn workers(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let all = app.read(app.operations.workers(&query.namespace), Duration::ZERO).await?;
    Ok(Json(Items { items: all.into_iter().map(WorkerDetail::of).collect() }).into_response())
}

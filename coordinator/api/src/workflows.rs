//! Workflows: applying manifests and looking at them.

use crate::app::{App, route_unknown};
use crate::instant::Instant;
use crate::nearest::did_you_mean;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::Ask;
use crate::request::body::{self, MANIFEST_BYTES_MAX};
use crate::request::query::{cut, encode, malformed};
use crate::tasks;
use crate::view::{Applied, Items, WorkflowDetail, WorkflowSummary};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use tasker_runtime::operations::{AppliedWorkflow, Force, WorkflowPaused};
use utoipa::ToSchema;

/// How diagnostics call a manifest that came without a name.
const FILE_DEFAULT: &str = "manifest.yaml";
/// The name is only shown.
const FILE_BYTES_MAX: usize = 255;
/// Names of people; it is only logged.
const BY_BYTES_MAX: usize = 255;

/// Checks a manifest and makes its workflow the current version of its name. Applying the same manifest again changes nothing.
#[utoipa::path(post, path = "/v1/workflows", tag = "workflows", operation_id = "apply_workflow",
    params(
        ("namespace" = Option<String>, Query),
        ("dry_run" = Option<bool>, Query, description = "Check everything, change nothing"),
        ("file" = Option<String>, Query, description = "What diagnostics call the manifest"),
        ("force" = Option<bool>, Query, description = "Apply it although it does not fit the live fleet or the other workflows; this is logged"),
        ("by" = Option<String>, Query, description = "Who forces it, for the log"),
    ),
    request_body(content = String, content_type = "application/yaml", description = "The manifest, at most 1 MiB"),
    responses(
        (status = 201, body = Applied, description = "A new version is current"),
        (status = 200, body = Applied, description = "Nothing was changed"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "workflow.version_taken, or workflow.incompatible with `errors`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "manifest.invalid, with `diagnostics`"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn apply(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &["dry_run", "file", "force", "by"])?;
    let dry_run = query.flag("dry_run")?;
    let file = query.one("file")?.unwrap_or(FILE_DEFAULT);
    if file.len() > FILE_BYTES_MAX || file.chars().any(char::is_control) {
        return Err(malformed("file", &format!("the name has at most {FILE_BYTES_MAX} bytes and no control characters")));
    }
    let by = query.one("by")?.unwrap_or_default();
    if by.len() > BY_BYTES_MAX || by.chars().any(char::is_control) {
        return Err(malformed("by", &format!("the name has at most {BY_BYTES_MAX} bytes and no control characters")));
    }
    let force = query.flag("force")?.then(|| Force { by: by.to_owned() });
    body::must_be_yaml(&ask.headers)?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, MANIFEST_BYTES_MAX).await?;
    let source = std::str::from_utf8(&arrived.bytes).map_err(|error| {
        Problem::new(Code::RequestMalformed, format!("the manifest is not UTF-8: byte {} is not text", error.valid_up_to()))
    })?;
    let applied = app.change(app.operations.apply_workflow(&query.namespace, source, file, dry_run, force)).await?;
    let answer = Applied::of(&applied, dry_run);
    if !answer.changed || answer.dry_run {
        return Ok(Json(answer).into_response());
    }
    let address = format!("/v1/workflows/{}?version={}", applied.workflow.name, encode(applied.workflow.version.as_str()));
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    if let Ok(value) = HeaderValue::from_str(&address) {
        response.headers_mut().insert(LOCATION, value);
    }
    Ok(response)
}

/// Lists every version of every workflow.
#[utoipa::path(get, path = "/v1/workflows", tag = "workflows", operation_id = "list_workflows",
    params(("namespace" = Option<String>, Query)),
    responses((status = 200, body = Items<WorkflowSummary>)))]
pub(crate) async fn list(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let all = app.read(app.operations.workflows(&query.namespace), Duration::ZERO).await?;
    Ok(Json(Items { items: all.iter().map(WorkflowSummary::of).collect() }).into_response())
}

/// Shows one version of a workflow with its manifest and graph.
#[utoipa::path(get, path = "/v1/workflows/{name}", tag = "workflows", operation_id = "show_workflow",
    params(
        ("name" = String, Path),
        ("namespace" = Option<String>, Query),
        ("version" = Option<String>, Query, description = "Absent: the current one"),
    ),
    responses(
        (status = 200, body = WorkflowDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "workflow.unknown"),
    ))]
pub(crate) async fn show(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &["version"])?;
    let name = ask.segment("name")?;
    let version = query.one("version")?;
    let all = app.read(app.operations.workflows(&query.namespace), Duration::ZERO).await?;
    let found = find(&all, name, version).ok_or_else(|| unknown(&all, name, version))?;
    Ok(Json(WorkflowDetail::of(found)).into_response())
}

/// What a pause of a workflow, or its end, led to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowPause)]
pub(crate) struct PauseAnswer {
    name: String,
    paused: bool,
    /// Why, for people.
    reason: Option<String>,
    since: Option<Instant>,
    /// How many of its tasks are not over.
    tasks: usize,
    /// False if it was so already.
    changed: bool,
}

impl PauseAnswer {
    fn of(answer: WorkflowPaused) -> Self {
        Self {
            name: answer.name.to_string(),
            paused: answer.pause.is_some(),
            since: answer.pause.as_ref().map(|pause| Instant(pause.since)),
            reason: answer.pause.map(|pause| pause.reason),
            tasks: answer.tasks,
            changed: answer.changed,
        }
    }
}

/// The verbs of a workflow.
const VERBS: [&str; 2] = ["pause", "resume"];

/// `POST /v1/workflows/{name}:<verb>`.
pub(crate) async fn act(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let segment = ask.segment("name")?.to_owned();
    match segment.split_once(':') {
        Some((name, "pause")) => pause(app, ask, name, body).await,
        Some((name, "resume")) => resume(app, ask, name, body).await,
        Some((_, verb)) => {
            let hint = did_you_mean(verb, VERBS).unwrap_or_else(|| "a workflow takes `:pause` and `:resume`".to_owned());
            Err(route_unknown(ask.uri.path()).with_hint(hint))
        }
        None => {
            let problem = Problem::new(Code::MethodNotAllowed, "a workflow is changed by a verb after its name")
                .with_hint("POST /v1/workflows/{name}:pause or :resume; POST /v1/workflows applies a manifest");
            Err(Problem { allow: Some("GET, HEAD"), ..problem })
        }
    }
}

/// Pauses every task of a workflow, in every version, now and later: open attempts finish, nothing new starts.
#[utoipa::path(post, path = "/v1/workflows/{name}:pause", tag = "workflows", operation_id = "pause_workflow",
    params(("name" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = Option<tasks::CancelBody>, content_type = "application/json"),
    responses(
        (status = 200, body = PauseAnswer),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "workflow.unknown"),
    ))]
async fn pause(app: App, ask: Ask, name: &str, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let name = name.parse().map_err(|_| unknown(&[], name, None))?;
    let reason = tasks::reason(&app, &ask, body).await?;
    let answer = app.change(app.operations.pause_workflow(&query.namespace, &name, &reason)).await?;
    Ok(Json(PauseAnswer::of(answer)).into_response())
}

/// Lets the tasks of a paused workflow go on.
#[utoipa::path(post, path = "/v1/workflows/{name}:resume", tag = "workflows", operation_id = "resume_workflow",
    params(("name" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = PauseAnswer),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "workflow.unknown"),
    ))]
async fn resume(app: App, ask: Ask, name: &str, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let name = name.parse().map_err(|_| unknown(&[], name, None))?;
    tasks::reason(&app, &ask, body).await?;
    let answer = app.change(app.operations.resume_workflow(&query.namespace, &name)).await?;
    Ok(Json(PauseAnswer::of(answer)).into_response())
}

fn find<'w>(all: &'w [AppliedWorkflow], name: &str, version: Option<&str>) -> Option<&'w AppliedWorkflow> {
    all.iter().find(|applied| {
        applied.workflow.name.as_str() == name && version.map_or(applied.current, |version| applied.workflow.version.as_str() == version)
    })
}

fn unknown(all: &[AppliedWorkflow], name: &str, version: Option<&str>) -> Problem {
    let versions: Vec<&str> =
        all.iter().filter(|applied| applied.workflow.name.as_str() == name).map(|applied| applied.workflow.version.as_str()).collect();
    let (what, hint) = match (version, versions.as_slice()) {
        (_, []) => {
            let names = all.iter().map(|applied| applied.workflow.name.as_str());
            (format!("workflow `{}`", cut(name)), did_you_mean(name, names))
        }
        (version, known) => {
            let shown: Vec<&str> = known.iter().rev().take(10).copied().collect();
            (
                format!("version `{}` of workflow `{name}`", cut(version.unwrap_or("current"))),
                Some(format!("known versions: {}", shown.join(", "))),
            )
        }
    };
    let problem = Problem::new(Code::WorkflowUnknown, format!("there is no {what} here"));
    match hint {
        Some(hint) => problem.with_hint(hint),
        None => problem.with_hint("apply its manifest first: POST /v1/workflows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn a_workflow_is_found_by_name_and_version() {
        let all = [sample::applied_workflow()];
        assert!(find(&all, "order", None).is_some());
        assert!(find(&all, "order", Some("2.0.0")).is_some());
        assert!(find(&all, "order", Some("1.0.0")).is_none());
    }

    #[test]
    fn an_unknown_workflow_leads_to_the_nearest_name_or_the_known_versions() {
        let all = [sample::applied_workflow()];
        assert_eq!(unknown(&all, "ordre", None).hint.as_deref(), Some("did you mean `order`?"));
        assert_eq!(unknown(&all, "order", Some("9")).hint.as_deref(), Some("known versions: 2.0.0"));
        assert!(unknown(&[], "order", None).hint.expect("a hint").contains("apply"));
    }
}

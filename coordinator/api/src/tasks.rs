//! One task: looking at it, and ending or repeating it.

use crate::app::{App, route_unknown};
use crate::instant::now;
use crate::problem::{Code, Place, Problem, ProblemBody};
use crate::request::body::{self, REASON_BYTES_MAX};
use crate::request::members::Members;
use crate::request::{Ask, task_id};
use crate::submit;
use crate::view::{Items, TaskDetail, Timeline};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use tasker_engine::{Failure, Namespace, TaskId};
use tasker_runtime::operations::{Reason, TaskView};
use utoipa::ToSchema;

/// What can be done to a task: `POST /v1/tasks/{id}:<verb>`.
const VERBS: [&str; 4] = ["cancel", "retry", "pause", "resume"];

/// What a cancelled task says if nobody gave a reason.
const NO_REASON: &str = "no reason was given";

/// Shows a task with its steps and attempts. Fresh: what was committed before the request is in it.
#[utoipa::path(get, path = "/v1/tasks/{id}", tag = "tasks", operation_id = "show_task",
    params(("id" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = TaskDetail),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    if let Some((_, verb)) = ask.segment("id")?.split_once(':')
        && VERBS.contains(&verb)
    {
        let detail = format!("`:{verb}` changes a task, so it takes POST");
        return Err(Problem { allow: Some("POST"), ..Problem::new(Code::MethodNotAllowed, detail) });
    }
    let (_, view) = find(&app, &ask, &[]).await?;
    Ok(Json(TaskDetail::of(&view)).into_response())
}

/// Shows where the time of a task went.
#[utoipa::path(get, path = "/v1/tasks/{id}/timeline", tag = "tasks", operation_id = "show_timeline",
    params(("id" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = Timeline),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn timeline(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let (_, view) = find(&app, &ask, &[]).await?;
    Ok(Json(Timeline::of(&view.task, now())).into_response())
}

/// Why a step is not moving.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Why {
    /// Null if it is about the whole task.
    step: Option<String>,
    /// One sentence.
    text: String,
    /// What to do about it, if anything can be done.
    hint: Option<String>,
}

impl Why {
    fn of(reason: Reason) -> Self {
        Self { step: reason.step, text: reason.text, hint: reason.hint }
    }
}

/// Says why the task is not moving, step by step.
#[utoipa::path(get, path = "/v1/tasks/{id}/why", tag = "tasks", operation_id = "explain_task",
    params(("id" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = Items<Why>),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn why(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let id = ask.task_id()?;
    let reasons = app.read(app.operations.why(&query.namespace, id), Duration::ZERO).await?;
    let reasons = reasons.ok_or_else(|| unknown(id, &query.namespace))?;
    Ok(Json(Items { items: reasons.into_iter().map(Why::of).collect() }).into_response())
}

/// `POST /v1/tasks/{id}:<verb>`.
pub(crate) async fn act(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let target = ask.segment("id")?.to_owned();
    match target.rsplit_once(':') {
        Some((id, "cancel")) => cancel(app, ask, id, body).await,
        Some((id, "retry")) => retry(app, ask, id, body).await,
        Some((id, "pause")) => pause(app, ask, id, body).await,
        Some((id, "resume")) => resume(app, ask, id, body).await,
        Some((_, verb)) => {
            let hint = crate::nearest::did_you_mean(verb, VERBS);
            let hint = hint.unwrap_or_else(|| "a task takes `:cancel`, `:retry`, `:pause` and `:resume`".to_owned());
            Err(route_unknown(ask.uri.path()).with_hint(hint))
        }
        None => {
            let problem = Problem::new(Code::MethodNotAllowed, "a task is changed by a verb after its id")
                .with_hint("POST /v1/tasks/{id}:cancel, :retry, :pause or :resume; POST /v1/tasks submits a new one");
            Err(Problem { allow: Some("GET, HEAD"), ..problem })
        }
    }
}

/// Why a task is cancelled.
#[derive(ToSchema)]
#[schema(as = Cancellation)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct CancelBody {
    /// For people; at most 4,096 bytes.
    reason: Option<String>,
}

/// Cancels a task. Answered after the commit; cancelling a cancelled task again changes nothing.
#[utoipa::path(post, path = "/v1/tasks/{id}:cancel", tag = "tasks", operation_id = "cancel_task",
    params(("id" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = Option<CancelBody>, content_type = "application/json"),
    responses(
        (status = 200, body = TaskDetail),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "task.already_finished"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn cancel(app: App, ask: Ask, id: &str, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let id = task_id(id)?;
    let reason = reason(&app, &ask, body).await?;
    let view = app.change(app.operations.cancel(&query.namespace, id, &reason)).await?;
    Ok(Json(TaskDetail::of(&view)).into_response())
}

/// The reason in a request's body; a body need not be there.
pub(crate) async fn reason(app: &App, ask: &Ask, body: Body) -> Result<String, Problem> {
    let arrived = body::read(&app.body_memory, &ask.headers, body, REASON_BYTES_MAX).await?;
    match arrived.bytes.is_empty() {
        true => Ok(NO_REASON.to_owned()),
        false => {
            body::must_be_json(&ask.headers)?;
            reason_of(&arrived.bytes)
        }
    }
}

/// Pauses a task: open attempts finish, nothing new starts; its attached children are paused, too. Pausing a paused task changes nothing.
#[utoipa::path(post, path = "/v1/tasks/{id}:pause", tag = "tasks", operation_id = "pause_task",
    params(("id" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = Option<CancelBody>, content_type = "application/json"),
    responses(
        (status = 200, body = TaskDetail),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "task.already_finished or task.not_running"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn pause(app: App, ask: Ask, id: &str, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let id = task_id(id)?;
    let reason = reason(&app, &ask, body).await?;
    let view = app.change(app.operations.pause(&query.namespace, id, &reason)).await?;
    Ok(Json(TaskDetail::of(&view)).into_response())
}

/// Lets a paused task go on. Resuming a task that is not paused changes nothing.
#[utoipa::path(post, path = "/v1/tasks/{id}:resume", tag = "tasks", operation_id = "resume_task",
    params(("id" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = TaskDetail),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "task.already_finished, workflow.paused or task.parent_paused"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn resume(app: App, ask: Ask, id: &str, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let id = task_id(id)?;
    reason(&app, &ask, body).await?;
    let view = app.change(app.operations.resume(&query.namespace, id)).await?;
    Ok(Json(TaskDetail::of(&view)).into_response())
}

fn reason_of(body: &[u8]) -> Result<String, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["reason"])?;
    let reason = members.text("reason")?.filter(|reason| !reason.trim().is_empty());
    let reason = reason.map_or_else(|| NO_REASON.to_owned(), |reason| reason.into_owned());
    if reason.len() > Failure::MESSAGE_BYTES_MAX {
        let message = format!("the reason has {} bytes; at most {} are kept", reason.len(), Failure::MESSAGE_BYTES_MAX);
        return Err(Problem::at(Code::LimitExceeded, Place::new("/reason", message)));
    }
    Ok(reason)
}

/// Starts a new task that reuses the results of the steps that succeeded. The old one stays as it is.
#[utoipa::path(post, path = "/v1/tasks/{id}:retry", tag = "tasks", operation_id = "retry_task",
    params(("id" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 201, body = submit::Answer, description = "`Location` is the new task"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "task.still_running or task.nothing_to_retry"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn retry(app: App, ask: Ask, id: &str, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let id = task_id(id)?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, REASON_BYTES_MAX).await?;
    if !arrived.bytes.is_empty() {
        Members::of_body(&arrived.bytes)?.only(&[])?;
    }
    let submitted = app.change(app.operations.retry(&query.namespace, id)).await?;
    Ok(submit::accepted(&app, &query.namespace, submitted, None))
}

/// The task of a request, with the namespace it is in.
///
/// # Errors
/// The request is wrong, or there is no such task.
pub(crate) async fn find(app: &App, ask: &Ask, known: &[&str]) -> Result<(Namespace, TaskView), Problem> {
    let query = app.query(ask, known)?;
    let id = ask.task_id()?;
    let view = app.read(app.operations.task(&query.namespace, id), Duration::ZERO).await?;
    let view = view.ok_or_else(|| unknown(id, &query.namespace))?;
    Ok((query.namespace, view))
}

/// There is no such task.
pub(crate) fn unknown(id: TaskId, namespace: &Namespace) -> Problem {
    Problem::new(Code::TaskUnknown, format!("there is no task {id} in namespace `{namespace}`"))
        .with_hint("look for it with GET /v1/tasks, or name its namespace with ?namespace=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_as_written_or_named_as_missing() {
        assert_eq!(reason_of(br#"{"reason":"wrong customer"}"#).expect("fine"), "wrong customer");
        for body in [r#"{}"#, r#"{"reason":null}"#, r#"{"reason":"  "}"#] {
            assert_eq!(reason_of(body.as_bytes()).expect("fine"), NO_REASON, "{body}");
        }
        assert_eq!(reason_of(br#"{"raeson":"x"}"#).expect_err("unknown").code, Code::RequestUnknownField);
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(Failure::MESSAGE_BYTES_MAX + 1));
        assert_eq!(reason_of(long.as_bytes()).expect_err("long").code, Code::LimitExceeded);
    }
}

//! What comes from outside: signals to one task, events for whoever waits.

use crate::app::App;
use crate::problem::{Problem, ProblemBody};
use crate::request::Ask;
use crate::request::body::{self, TASK_BYTES_MAX};
use crate::request::members::Members;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tasker_engine::TaskId;
use tasker_runtime::operations::{EventTaken, SendEvent, SendSignal, Signalled};
use utoipa::ToSchema;

/// What became of a signal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignalAnswer {
    /// The step that waited for it; null if it is kept until one does.
    taken_by: Option<String>,
    /// Whether the same signal had come before, so that this one changed nothing.
    repeated: bool,
}

impl SignalAnswer {
    fn of(signalled: Signalled) -> Self {
        Self { taken_by: signalled.taken_by.map(|step| step.to_string()), repeated: signalled.repeated }
    }
}

/// Gives a signal to a task: the step that waits for it goes on, or the task keeps it until one does. The body is the payload; an empty one
/// is `null`. A repeat with the same `Idempotency-Key` changes nothing. Answered after the commit.
#[utoipa::path(post, path = "/v1/tasks/{id}/signals/{name}", tag = "tasks", operation_id = "signal_task",
    params(
        ("id" = String, Path), ("name" = String, Path, description = "As the waiting step names it"),
        ("namespace" = Option<String>, Query),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    request_body(content = Option<serde_json::Value>, content_type = "application/json"),
    responses(
        (status = 200, body = SignalAnswer),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "task.unknown or signal.unknown"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "task.not_running"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "signal.payload_violated"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "signal.too_many"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn signal(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let task = ask.task_id()?;
    let name = ask.segment("name")?.to_owned();
    let id = ask.idempotency_key()?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, TASK_BYTES_MAX).await?;
    if !arrived.bytes.is_empty() {
        body::must_be_json(&ask.headers)?;
    }
    let signal = SendSignal { name, payload: arrived.bytes.clone(), id };
    let signalled = app.change(app.operations.signal(&query.namespace, task, signal)).await?;
    Ok(Json(SignalAnswer::of(signalled)).into_response())
}

/// An event for whoever waits for its name and key.
#[derive(ToSchema)]
#[schema(as = ExternalEvent)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct EventBody {
    /// As the waiting steps name it; 1 to 255 bytes.
    name: String,
    /// By which it is correlated; 1 to 255 bytes.
    key: String,
    /// Absent: `null`.
    payload: Option<serde_json::Value>,
}

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventAnswer {
    /// The tasks that took it.
    #[schema(value_type = Vec<String>)]
    tasks: Vec<TaskId>,
    /// How many waited for it but declare a payload that this one does not fit.
    refused: usize,
    /// Whether nobody took it and it is kept, for a day, for whoever will wait for it first.
    kept: bool,
    /// Whether the same event had come before, so that this one changed nothing.
    repeated: bool,
}

impl EventAnswer {
    fn of(taken: EventTaken) -> Self {
        Self { tasks: taken.tasks, refused: taken.refused, kept: taken.kept, repeated: taken.repeated }
    }
}

/// Gives an event to every step that waits for its name and key; if none does, it is kept for a day. A repeat with the same name, key and
/// `Idempotency-Key` within a day changes nothing. Answered after the commit.
#[utoipa::path(post, path = "/v1/events", tag = "events", operation_id = "send_event",
    params(("namespace" = Option<String>, Query), ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = EventBody, content_type = "application/json"),
    responses(
        (status = 200, body = EventAnswer),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "event.payload_violated"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "event.too_many"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn send_event(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let id = ask.idempotency_key()?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, TASK_BYTES_MAX).await?;
    body::must_be_json(&ask.headers)?;
    let event = event_of(&arrived.bytes, id)?;
    let taken = app.change(app.operations.send_event(&query.namespace, event)).await?;
    Ok(Json(EventAnswer::of(taken)).into_response())
}

fn event_of(body: &[u8], id: Option<String>) -> Result<SendEvent, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["name", "key", "payload"])?;
    for name in ["name", "key"] {
        members.required(name)?;
    }
    let text = |name| Ok::<_, Problem>(members.text(name)?.unwrap_or_default().into_owned());
    let payload = members.raw("payload").map(|raw| Bytes::copy_from_slice(raw.get().as_bytes())).unwrap_or_default();
    Ok(SendEvent { name: text("name")?, key: text("key")?, payload, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    #[test]
    fn an_event_is_read_with_its_payload_as_written() {
        let event = event_of(br#"{"name":"paid","key":"4711","payload":{"b":1,"a":2.0}}"#, Some("e1".into())).expect("fine");
        assert_eq!((event.name.as_str(), event.key.as_str(), event.id.as_deref()), ("paid", "4711", Some("e1")));
        assert_eq!(&event.payload[..], br#"{"b":1,"a":2.0}"#);
        assert!(event_of(br#"{"name":"paid","key":"4711"}"#, None).expect("fine").payload.is_empty());
        assert_eq!(event_of(br#"{"name":"paid"}"#, None).expect_err("no key").code, Code::RequestMalformed);
        assert_eq!(event_of(br#"{"name":"paid","key":"k","paylaod":1}"#, None).expect_err("unknown").code, Code::RequestUnknownField);
    }
}

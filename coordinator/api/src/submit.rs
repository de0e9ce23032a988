//! Submitting tasks, one or many.

use crate::app::App;
use crate::problem::{Code, Place, Problem, ProblemBody};
use crate::request::Ask;
use crate::request::body::{self, BATCH_BYTES_MAX, TASK_BYTES_MAX};
use crate::request::members::{Members, items, step, wrong};
use crate::request::query::encode;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tasker_engine::flow::Priority;
use tasker_engine::{Namespace, Submission, TaskId};
use tasker_runtime::operations::{Submit, Submitted};
use tasker_runtime::trace;
use utoipa::ToSchema;

/// The most tasks in one batch: enough to fill a group commit many times over, few enough to be answered at once.
pub(crate) const BATCH_TASKS_MAX: usize = 1_000;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_ID: HeaderName = HeaderName::from_static("tasker-trace-id");

/// A task that was accepted, now or before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Submitted)]
pub(crate) struct Answer {
    #[schema(value_type = String, example = "tsk_01k9x2m3a4b5c")]
    id: TaskId,
    /// False if the idempotency key had led to this task before.
    created: bool,
    /// The W3C trace id of the task, 32 hexadecimal digits.
    trace_id: String,
}

impl Answer {
    fn of(submitted: Submitted) -> Self {
        Self { id: submitted.task, created: submitted.created, trace_id: submitted.trace_id }
    }
}

/// What became of one task of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchItem {
    /// It was accepted.
    Accepted(Answer),
    /// It was not.
    Refused {
        /// Why; pointers start at the batch.
        problem: Box<ProblemBody>,
    },
}

/// What became of a batch, in the order it was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    items: Vec<BatchItem>,
}

/// What a task is submitted with. Documentation only: the members are read by hand, so that problems have pointers and the input stays as it is.
#[derive(ToSchema)]
#[schema(as = Submission)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct TaskBody {
    workflow: String,
    /// Absent: the version applied last.
    version: Option<String>,
    /// Any JSON, at most 960 KiB.
    input: serde_json::Value,
    /// For searching; at most 32, names and values at most 256 bytes each.
    labels: Option<std::collections::BTreeMap<String, String>>,
    /// How urgent it is, within what the workflow allows; absent: what the workflow says.
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i8>,
}

/// A task of a batch.
#[derive(ToSchema)]
#[schema(as = BatchSubmission)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct BatchTaskBody {
    workflow: String,
    /// Absent: the version applied last.
    version: Option<String>,
    /// Any JSON, at most 960 KiB.
    input: serde_json::Value,
    /// For searching; at most 32, names and values at most 256 bytes each.
    labels: Option<std::collections::BTreeMap<String, String>>,
    /// How urgent it is, within what the workflow allows; absent: what the workflow says.
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i8>,
    /// 1 to 255 bytes.
    idempotency_key: Option<String>,
}

/// Many tasks.
#[derive(ToSchema)]
#[schema(as = Batch)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct BatchBody {
    /// 1 to 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    tasks: Vec<BatchTaskBody>,
}

/// Submits a task. Answered after the commit: an answer with an id means that the task survives any crash.
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks", operation_id = "submit_task",
    params(
        ("namespace" = Option<String>, Query, description = "The tenant; absent: the default one"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 bytes; a repeat with the same key and content finds the same task, with other content it is refused"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context of the caller; the task joins its trace"),
    ),
    request_body(content = TaskBody, content_type = "application/json"),
    responses(
        (status = 201, body = Answer, description = "Accepted; `Location` is the task"),
        (status = 200, body = Answer, description = "Accepted before, with the same key and content"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json", description = "Refused; no task was created"),
        (status = "5XX", body = ProblemBody, content_type = "application/problem+json", description = "Not answered; `outcome` says whether a task may exist"),
    ))]
pub(crate) async fn one(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    body::must_be_json(&ask.headers)?;
    let idempotency_key = ask.idempotency_key()?;
    // Tracing is never a reason to refuse work: an unreadable header counts as absent, as the standard asks.
    let traceparent = ask.header("traceparent").ok().flatten().map(str::to_owned);
    let arrived = body::read(&app.body_memory, &ask.headers, body, TASK_BYTES_MAX).await?;
    let members = Members::of_body(&arrived.bytes)?;
    members.only(&["workflow", "version", "input", "labels", "priority"])?;
    let submit = Submit { idempotency_key, traceparent: traceparent.clone(), ..task_of(&members, &arrived.bytes)? };
    let submitted = app.change(app.operations.submit(&query.namespace, submit)).await?;
    Ok(accepted(&app, &query.namespace, submitted, traceparent.as_deref()))
}

/// Submits up to a thousand tasks. Each has its own outcome: some may be accepted and others refused.
#[utoipa::path(post, path = "/v1/tasks:batch", tag = "tasks", operation_id = "submit_batch",
    params(
        ("namespace" = Option<String>, Query, description = "The tenant; absent: the default one"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context of the caller; every task joins its trace"),
    ),
    request_body(content = BatchBody, content_type = "application/json"),
    responses(
        (status = 200, body = BatchAnswer, description = "What became of each, in order"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json", description = "The batch as a whole cannot be read; no task was created"),
    ))]
pub(crate) async fn batch(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    body::must_be_json(&ask.headers)?;
    let traceparent = ask.header("traceparent").ok().flatten().map(str::to_owned);
    let arrived = body::read(&app.body_memory, &ask.headers, body, BATCH_BYTES_MAX).await?;
    let read = read_batch(&arrived.bytes, traceparent.as_deref())?;
    let mut refused: Vec<Option<Problem>> = Vec::with_capacity(read.len());
    let mut submits = Vec::with_capacity(read.len());
    for one in read {
        match one {
            Ok(submit) => {
                submits.push(submit);
                refused.push(None);
            }
            Err(problem) => refused.push(Some(problem)),
        }
    }
    let submitting = async { Ok::<_, Problem>(app.operations.submit_many(&query.namespace, submits).await) };
    let mut outcomes = app.change(submitting).await?.into_iter();
    let items = refused.into_iter().enumerate().map(|(place, refused)| {
        let outcome = match refused {
            Some(problem) => Err(problem),
            None => outcomes.next().expect("one outcome for each submission").map_err(Problem::from),
        };
        match outcome {
            Ok(submitted) => BatchItem::Accepted(Answer::of(submitted)),
            Err(problem) => {
                let base = &app.options.documentation_base;
                let problem = moved(problem, &format!("/tasks/{place}")).body(base, ask.uri.path(), &ask.request_id.0);
                BatchItem::Refused { problem: Box::new(problem) }
            }
        }
    });
    Ok(Json(BatchAnswer { items: items.collect() }).into_response())
}

/// The answer to an accepted submission or retry.
pub(crate) fn accepted(app: &App, namespace: &Namespace, submitted: Submitted, traceparent: Option<&str>) -> Response {
    let status = if submitted.created { StatusCode::CREATED } else { StatusCode::OK };
    let tenant = match namespace == &app.options.default_namespace {
        true => String::new(),
        false => format!("?namespace={}", encode(namespace.as_str())),
    };
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    insert(LOCATION, &format!("/v1/tasks/{}{tenant}", submitted.task));
    insert(TRACE_ID, &submitted.trace_id);
    if let Some(echo) = traceparent.and_then(|given| echo(given, &submitted)) {
        insert(TRACEPARENT, &echo);
    }
    (status, headers, Json(Answer::of(submitted))).into_response()
}

/// The trace context of the submission's own span, if the task joined the caller's trace.
fn echo(given: &str, submitted: &Submitted) -> Option<String> {
    let joined = trace::parse_traceparent(given)?;
    (trace::hex(&joined.trace_id) == submitted.trace_id)
        .then(|| trace::traceparent(&joined.trace_id, &trace::submit_span(submitted.task), joined.sampled))
}

fn read_batch(body: &Bytes, traceparent: Option<&str>) -> Result<Vec<Result<Submit, Problem>>, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["tasks"])?;
    let items = items(members.required("tasks")?, "/tasks", BATCH_TASKS_MAX)?;
    let one = |raw: &RawValue| {
        let members = Members::of(raw, "")?;
        members.only(&["workflow", "version", "input", "labels", "priority", "idempotency_key"])?;
        let idempotency_key = members.text("idempotency_key")?.map(|key| key.into_owned());
        if let Some(key) = idempotency_key.as_ref().filter(|key| key.is_empty() || key.len() > Submission::KEY_BYTES_MAX) {
            let message = format!("the key has {} bytes; give 1 to {}", key.len(), Submission::KEY_BYTES_MAX);
            return Err(Problem::at(Code::LimitExceeded, Place::new("/idempotency_key", message)));
        }
        Ok(Submit { idempotency_key, traceparent: traceparent.map(str::to_owned), ..task_of(&members, body)? })
    };
    Ok(items.into_iter().map(one).collect())
}

fn task_of(members: &Members<'_>, body: &Bytes) -> Result<Submit, Problem> {
    let missing = |name: &str| Problem::at(Code::RequestMalformed, Place::new(step("", name), "the member is missing"));
    let input = members.required("input").map_err(|problem| problem.with_hint("a workflow without input takes `null`"))?;
    Ok(Submit {
        workflow: members.parsed("workflow")?.ok_or_else(|| missing("workflow"))?,
        version: members.parsed("version")?,
        input: share(body, input.get()),
        labels: members.texts("labels")?,
        idempotency_key: None,
        priority: priority_of(members)?,
        traceparent: None,
    })
}

fn priority_of(members: &Members<'_>) -> Result<Option<Priority>, Problem> {
    let Some(written) = members.raw("priority").map(|raw| raw.get()).filter(|written| *written != "null") else { return Ok(None) };
    let priority = written.parse().ok().and_then(Priority::new);
    let refused = || wrong("/priority", format!("expected a whole number from {} to {}", Priority::LOWEST, Priority::HIGHEST));
    priority.map(Some).ok_or_else(refused)
}

/// The input's bytes: shared with the body if they are most of it, copied if a small input would keep a large body in memory.
fn share(body: &Bytes, input: &str) -> Bytes {
    match input.len() * 2 >= body.len() {
        true => body.slice_ref(input.as_bytes()),
        false => Bytes::copy_from_slice(input.as_bytes()),
    }
}

/// Moves the places of a problem below a pointer.
fn moved(mut problem: Problem, below: &str) -> Problem {
    // The detail of a problem at one place begins with its pointer.
    if problem.errors.first().is_some_and(|place| !place.pointer.is_empty() && problem.detail.starts_with(&place.pointer)) {
        problem.detail.insert_str(0, below);
    }
    for place in &mut problem.errors {
        place.pointer.insert_str(0, below);
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Submit, Problem> {
        let bytes = Bytes::from(body.to_owned());
        let members = Members::of_body(&bytes)?;
        members.only(&["workflow", "version", "input", "labels"])?;
        task_of(&members, &bytes)
    }

    #[test]
    fn the_input_is_taken_byte_for_byte() {
        let submit = read(r#"{"workflow":"order","input": { "n": 1.50, "n": 2 } ,"labels":{"tenant":"acme"}}"#).expect("fine");
        assert_eq!(submit.input, Bytes::from_static(br#"{ "n": 1.50, "n": 2 }"#));
        assert_eq!(submit.labels["tenant"], "acme");
        assert_eq!((submit.version, submit.idempotency_key), (None, None));
    }

    #[test]
    fn a_small_input_does_not_keep_a_large_body_in_memory() {
        let body = Bytes::from(format!("{}7", " ".repeat(1_000)));
        let shared = share(&body, std::str::from_utf8(&body[1_000..]).expect("text"));
        assert!(!body.as_ptr_range().contains(&shared.as_ptr()));
        let whole = share(&body, std::str::from_utf8(&body).expect("text"));
        assert_eq!(whole.as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_submission_without_workflow_or_input_is_refused() {
        assert_eq!(read(r#"{"input":1}"#).expect_err("no workflow").errors[0].pointer, "/workflow");
        let problem = read(r#"{"workflow":"order"}"#).expect_err("no input");
        assert_eq!(problem.errors[0].pointer, "/input");
        assert!(problem.hint.expect("a hint").contains("null"));
    }

    #[test]
    fn one_wrong_task_does_not_spoil_its_batch() {
        let body =
            Bytes::from_static(br#"{"tasks":[{"workflow":"order","input":1,"idempotency_key":"a"},{"workflow":"order","inputs":1},7]}"#);
        let read = read_batch(&body, Some("00-x")).expect("a batch");
        let first = read[0].as_ref().expect("fine");
        assert_eq!((first.idempotency_key.as_deref(), first.traceparent.as_deref()), (Some("a"), Some("00-x")));
        let problem = moved(read[1].clone().expect_err("unknown member"), "/tasks/1");
        assert_eq!((problem.code, problem.errors[0].pointer.as_str()), (Code::RequestUnknownField, "/tasks/1/inputs"));
        assert!(problem.detail.starts_with("/tasks/1/inputs: "), "{}", problem.detail);
        assert_eq!(moved(read[2].clone().expect_err("a number"), "/tasks/2").errors[0].pointer, "/tasks/2");
    }

    #[test]
    fn a_batch_is_neither_empty_nor_endless() {
        let batch = |count: usize| Bytes::from(format!("{{\"tasks\":[{}]}}", vec!["{}"; count].join(",")));
        assert_eq!(read_batch(&batch(0), None).expect_err("empty").code, Code::LimitExceeded);
        assert_eq!(read_batch(&batch(1_001), None).expect_err("too many").code, Code::LimitExceeded);
        assert_eq!(read_batch(&batch(1_000), None).expect("fits").len(), 1_000);
    }

    #[test]
    fn the_trace_context_is_echoed_only_if_the_task_joined_it() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let task = TaskId::from_number(7).expect("not negative");
        let joined = Submitted { task, created: true, trace_id: "0af7651916cd43dd8448eb211c80319c".into() };
        let echoed = echo(given, &joined).expect("joined");
        assert!(echoed.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && echoed.ends_with("-01"));
        assert_ne!(echoed, given, "the parent is our span, not the caller's");
        let found = Submitted { trace_id: "b".repeat(32), created: false, ..joined };
        assert_eq!(echo(given, &found), None);
        assert_eq!(echo("nonsense", &found), None);
    }
}

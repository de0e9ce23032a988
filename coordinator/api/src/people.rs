//! What people decide: approvals, and what becomes of steps that failed for good; and the items of a fan-out.

use crate::app::App;
use crate::instant::Instant;
use crate::nearest::did_you_mean;
use crate::problem::{Code, Place, Problem, ProblemBody};
use crate::raw::Raw;
use crate::request::body::{self, TASK_BYTES_MAX};
use crate::request::members::{Members, wrong};
use crate::request::query::{Query, cut, malformed};
use crate::request::{Ask, task_id};
use crate::view::{FailureDetail, TaskDetail};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use std::time::Duration;
use tasker_engine::{StepIndex, StepLabel, TaskId};
use tasker_runtime::operations::{
    ApprovalView, Decide, HeldView, ItemView, ListItems, ListPeople, PAGE_MAX, Resolve, ResolveHow, StepCursor,
};
use utoipa::ToSchema;

/// How many rows a page has if nobody says.
const PAGE_DEFAULT: u64 = 50;

/// A page of approvals that wait for a decision.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalPage {
    items: Vec<ApprovalDetail>,
    /// Pass it on as `after` for the next page; null if this is the last.
    next_after: Option<String>,
}

/// A decision that somebody is asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalDetail {
    #[schema(value_type = String)]
    task: TaskId,
    workflow: String,
    step: String,
    title: String,
    description: Option<String>,
    /// JSON Schema of what is filled in; null: nothing.
    form: Option<serde_json::Value>,
    /// Who is asked; empty: anybody.
    assignees: Vec<String>,
    since: Instant,
    /// When the step fails if nobody has decided.
    until: Option<Instant>,
    reminded: u32,
    escalated_at: Option<Instant>,
    comments: Vec<CommentDetail>,
}

/// What somebody said about an approval.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApprovalComment)]
pub(crate) struct CommentDetail {
    by: String,
    text: String,
    at: Instant,
}

impl ApprovalDetail {
    fn of(view: ApprovalView) -> Self {
        let comment =
            |comment: tasker_runtime::operations::Comment| CommentDetail { by: comment.by, text: comment.text, at: Instant(comment.at) };
        Self {
            task: view.task,
            workflow: view.workflow.to_string(),
            step: view.step.to_string(),
            title: view.title,
            description: view.description,
            form: view.form,
            assignees: view.assignees,
            since: Instant(view.since),
            until: view.until.map(Instant),
            reminded: view.reminded,
            escalated_at: view.escalated_at.map(Instant),
            comments: view.comments.into_iter().map(comment).collect(),
        }
    }
}

/// Lists the decisions that somebody is asked for now, oldest tasks first.
#[utoipa::path(get, path = "/v1/approvals", tag = "people", operation_id = "list_approvals",
    params(
        ("namespace" = Option<String>, Query),
        ("assignee" = Option<String>, Query, description = "Only what this person or team is asked, or anybody"),
        ("task" = Option<String>, Query),
        ("limit" = Option<u64>, Query, description = "1 to 200; absent: 50"),
        ("after" = Option<String>, Query, description = "`next_after` of the page before"),
    ),
    responses(
        (status = 200, body = ApprovalPage),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn approvals(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &["assignee", "task", "limit", "after"])?;
    let page = app.read(app.operations.approvals(&query.namespace, wanted(&query)?), Duration::ZERO).await?;
    let items = page.approvals.into_iter().map(ApprovalDetail::of).collect();
    Ok(Json(ApprovalPage { items, next_after: page.next.map(write) }).into_response())
}

/// A page of steps that failed for good and wait for a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldPage {
    items: Vec<HeldDetail>,
    /// Pass it on as `after` for the next page; null if this is the last.
    next_after: Option<String>,
}

/// A step that failed for good and waits for a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeldStep)]
pub(crate) struct HeldDetail {
    #[schema(value_type = String)]
    task: TaskId,
    workflow: String,
    step: String,
    failure: FailureDetail,
    since: Instant,
    attempts: u32,
    /// JSON Schema of the result that may be supplied; null: any JSON.
    result: Option<serde_json::Value>,
}

impl HeldDetail {
    fn of(view: HeldView) -> Self {
        Self {
            task: view.task,
            workflow: view.workflow.to_string(),
            step: view.step.to_string(),
            failure: FailureDetail::of(&view.failure),
            since: Instant(view.since),
            attempts: view.attempts,
            result: view.result,
        }
    }
}

/// Lists the steps that failed for good and wait for a person, oldest tasks first.
#[utoipa::path(get, path = "/v1/held", tag = "people", operation_id = "list_held_steps",
    params(
        ("namespace" = Option<String>, Query), ("task" = Option<String>, Query),
        ("limit" = Option<u64>, Query, description = "1 to 200; absent: 50"),
        ("after" = Option<String>, Query, description = "`next_after` of the page before"),
    ),
    responses(
        (status = 200, body = HeldPage),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn held(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &["task", "limit", "after"])?;
    let page = app.read(app.operations.held(&query.namespace, wanted(&query)?), Duration::ZERO).await?;
    let items = page.held.into_iter().map(HeldDetail::of).collect();
    Ok(Json(HeldPage { items, next_after: page.next.map(write) }).into_response())
}

fn wanted(query: &Query) -> Result<ListPeople, Problem> {
    let limit = query.number("limit", 1..=PAGE_MAX as u64)?.unwrap_or(PAGE_DEFAULT);
    Ok(ListPeople {
        assignee: query.one("assignee")?.map(str::to_owned),
        task: query.one("task")?.map(task_id).transpose()?,
        after: query.one("after")?.map(read).transpose()?,
        limit: usize::try_from(limit).expect("at most the largest page"),
    })
}

/// A place in a list, as text: the task and the step's number.
fn write(cursor: StepCursor) -> String {
    format!("{}.{}", cursor.task, cursor.step.0)
}

fn read(text: &str) -> Result<StepCursor, Problem> {
    let found =
        text.split_once('.').and_then(|(task, step)| Some(StepCursor { task: task.parse().ok()?, step: StepIndex(step.parse().ok()?) }));
    found.ok_or_else(|| {
        let place = Place::new("?after", "this is not where a page ended");
        Problem::at(Code::CursorMalformed, place).with_hint("start again without `after`, and pass `next_after` on exactly as it came")
    })
}

/// The verbs of a step: `POST /v1/tasks/{id}/steps/{step}:<verb>`.
const VERBS: [&str; 3] = ["decide", "comment", "resolve"];

/// A decision about an approval.
#[derive(ToSchema)]
#[schema(as = ApprovalDecision)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct DecideBody {
    /// `approved` or `rejected`.
    decision: String,
    /// Who decides.
    by: String,
    /// The assignee they stand for, if they are not one by name: a team.
    role: Option<String>,
    /// Why, for people.
    comment: Option<String>,
    /// What they filled in; needed if there is a form and they approve.
    form: Option<serde_json::Value>,
}

/// A comment on an approval.
#[derive(ToSchema)]
#[schema(as = ApprovalCommentBody)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct CommentBody {
    by: String,
    comment: String,
}

/// What becomes of a held step.
#[derive(ToSchema)]
#[schema(as = StepResolution)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct ResolveBody {
    /// `retry`, `skip`, `supply` or `fail`.
    resolution: String,
    /// Who says so.
    by: String,
    /// Why, for people.
    comment: Option<String>,
    /// Of `supply`: the step's result, which must fit its contract.
    result: Option<serde_json::Value>,
}

/// `POST /v1/tasks/{id}/steps/{step}:<verb>`.
pub(crate) async fn act(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let (task, target) = (ask.task_id()?, ask.segment("step")?);
    let Some((step, verb)) = target.rsplit_once(':') else {
        let problem = Problem::new(Code::MethodNotAllowed, "a step is changed by a verb after its name");
        return Err(problem.with_hint("POST /v1/tasks/{id}/steps/{step}:decide, :comment or :resolve"));
    };
    let step: StepLabel = step.parse().map_err(|_| Problem::new(Code::StepUnknown, format!("`{}` is no name of a step", cut(step))))?;
    match verb {
        "decide" => decide(app, ask, task, step, body).await,
        "comment" => comment(app, ask, task, step, body).await,
        "resolve" => resolve(app, ask, task, step, body).await,
        _ => {
            let hint = did_you_mean(verb, VERBS).unwrap_or_else(|| "a step takes `:decide`, `:comment` and `:resolve`".to_owned());
            Err(crate::app::route_unknown(ask.uri.path()).with_hint(hint))
        }
    }
}

/// Decides an approval. Answered with the task after the commit; a second decision is refused.
#[utoipa::path(post, path = "/v1/tasks/{id}/steps/{step}:decide", tag = "people", operation_id = "decide_approval",
    params(("id" = String, Path), ("step" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = DecideBody, content_type = "application/json"),
    responses(
        (status = 200, body = TaskDetail),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "approval.not_assigned"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "approval.not_waiting"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "approval.form_violated"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn decide(app: App, ask: Ask, task: TaskId, step: StepLabel, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let bytes = arrived(&app, &ask, body).await?;
    let decision = decision_of(&bytes)?;
    let view = app.change(app.operations.decide(&query.namespace, task, step, decision)).await?;
    Ok(Json(TaskDetail::of(&view)).into_response())
}

fn decision_of(body: &[u8]) -> Result<Decide, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["decision", "by", "role", "comment", "form"])?;
    members.required("decision")?;
    let decision = members.text("decision")?.unwrap_or_default();
    let approved = match decision.as_ref() {
        "approved" => true,
        "rejected" => false,
        other => return Err(choice("/decision", other, &["approved", "rejected"])),
    };
    Ok(Decide {
        approved,
        by: by(&members)?,
        role: text(&members, "role")?,
        comment: text(&members, "comment")?,
        form: json(&members, "form"),
    })
}

/// Says something about an approval without deciding it.
#[utoipa::path(post, path = "/v1/tasks/{id}/steps/{step}:comment", tag = "people", operation_id = "comment_approval",
    params(("id" = String, Path), ("step" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = CommentBody, content_type = "application/json"),
    responses(
        (status = 200, body = TaskDetail),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "approval.not_waiting"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn comment(app: App, ask: Ask, task: TaskId, step: StepLabel, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let bytes = arrived(&app, &ask, body).await?;
    let members = Members::of_body(&bytes)?;
    members.only(&["by", "comment"])?;
    members.required("comment")?;
    let (by, comment) = (by(&members)?, text(&members, "comment")?.unwrap_or_default());
    let view = app.change(app.operations.comment(&query.namespace, task, step, &by, &comment)).await?;
    Ok(Json(TaskDetail::of(&view)).into_response())
}

/// Says what becomes of a step that failed for good and waits for a person. Answered with the task after the commit.
#[utoipa::path(post, path = "/v1/tasks/{id}/steps/{step}:resolve", tag = "people", operation_id = "resolve_step",
    params(("id" = String, Path), ("step" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = ResolveBody, content_type = "application/json"),
    responses(
        (status = 200, body = TaskDetail),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "step.not_held"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "result.violated"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn resolve(app: App, ask: Ask, task: TaskId, step: StepLabel, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let bytes = arrived(&app, &ask, body).await?;
    let resolution = resolution_of(&bytes)?;
    let view = app.change(app.operations.resolve(&query.namespace, task, step, resolution)).await?;
    Ok(Json(TaskDetail::of(&view)).into_response())
}

fn resolution_of(body: &[u8]) -> Result<Resolve, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["resolution", "by", "comment", "result"])?;
    members.required("resolution")?;
    let word = members.text("resolution")?.unwrap_or_default();
    let result = json(&members, "result");
    let how = match (word.as_ref(), result) {
        ("supply", Some(result)) => ResolveHow::Supply(result),
        ("supply", None) => return Err(wrong("/result", "`supply` needs the `result`".to_owned())),
        (_, Some(_)) => return Err(wrong("/result", "only `supply` takes a result".to_owned())),
        ("retry", None) => ResolveHow::Retry,
        ("skip", None) => ResolveHow::Skip,
        ("fail", None) => ResolveHow::Fail,
        (other, None) => return Err(choice("/resolution", other, &["retry", "skip", "supply", "fail"])),
    };
    Ok(Resolve { how, by: by(&members)?, comment: text(&members, "comment")? })
}

fn by(members: &Members<'_>) -> Result<String, Problem> {
    members.required("by")?;
    Ok(text(members, "by")?.unwrap_or_default())
}

fn text(members: &Members<'_>, name: &str) -> Result<Option<String>, Problem> {
    Ok(members.text(name)?.map(std::borrow::Cow::into_owned))
}

fn json(members: &Members<'_>, name: &str) -> Option<Bytes> {
    members.raw(name).map(|raw| Bytes::copy_from_slice(raw.get().as_bytes()))
}

fn choice(pointer: &str, word: &str, known: &[&str]) -> Problem {
    let problem = wrong(pointer, format!("`{}` is not one of {}", cut(word), known.join(", ")));
    match did_you_mean(word, known.iter().copied()) {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

async fn arrived(app: &App, ask: &Ask, body: Body) -> Result<Bytes, Problem> {
    let arrived = body::read(&app.body_memory, &ask.headers, body, TASK_BYTES_MAX).await?;
    body::must_be_json(&ask.headers)?;
    Ok(arrived.bytes.clone())
}

/// A page of the items of a fan-out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemPage {
    /// How many items there are.
    count: u32,
    /// At work now.
    working: u32,
    over: u32,
    succeeded: u32,
    failed: u32,
    items: Vec<ItemDetail>,
    /// Pass it on as `after` for the next page; null if this is the last.
    next_after: Option<u32>,
}

/// One item, or batch of items.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StepItem)]
pub(crate) struct ItemDetail {
    /// As the protocol and events call it: `resize[17]`.
    name: String,
    number: u32,
    /// What it is.
    value: Raw,
    state: &'static str,
    attempts: usize,
    result: Option<Raw>,
    failure: Option<FailureDetail>,
}

impl ItemDetail {
    fn of(view: &ItemView) -> Self {
        use tasker_engine::task::StepState;
        let (result, failure) = match &view.progress.state {
            StepState::Succeeded { result, .. } => (Some(Raw::of(result)), None),
            StepState::Failed { failure, .. } | StepState::Held { failure, .. } => (None, Some(FailureDetail::of(failure))),
            _ => (None, None),
        };
        let open = matches!(view.progress.state, StepState::Running(_));
        Self {
            name: view.label.to_string(),
            number: view.number,
            value: Raw::of(&view.value),
            state: view.progress.state.as_str(),
            attempts: view.progress.closed.len() + usize::from(open),
            result,
            failure,
        }
    }
}

/// Lists the items of a fan-out in their order; empty before it fanned out, and for a step that has none.
#[utoipa::path(get, path = "/v1/tasks/{id}/steps/{step}/items", tag = "tasks", operation_id = "list_items",
    params(
        ("id" = String, Path), ("step" = String, Path), ("namespace" = Option<String>, Query),
        ("state" = Option<Vec<String>>, Query, description = "Only items in this state; may be repeated"),
        ("after" = Option<u32>, Query, description = "`next_after` of the page before"),
        ("limit" = Option<u64>, Query, description = "1 to 200; absent: 50"),
    ),
    responses(
        (status = 200, body = ItemPage),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn items(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &["state", "after", "limit"])?;
    let (task, step) = (ask.task_id()?, ask.segment("step")?);
    let step = step.parse().map_err(|_| Problem::new(Code::StepUnknown, format!("`{}` is no name of a step", cut(step))))?;
    let limit = query.number("limit", 1..=PAGE_MAX as u64)?.unwrap_or(PAGE_DEFAULT);
    let after = query.number("after", 0..=u64::from(u32::MAX))?;
    let list = ListItems {
        states: query.all("state").map(str::to_owned).collect(),
        after: after.map(|after| u32::try_from(after).map_err(|_| malformed("after", "it is too large"))).transpose()?,
        limit: usize::try_from(limit).expect("at most the largest page"),
    };
    let page = app.read(app.operations.items(&query.namespace, task, step, list), Duration::ZERO).await?;
    let body = ItemPage {
        count: page.fan.count,
        working: page.fan.working,
        over: page.fan.over,
        succeeded: page.fan.succeeded,
        failed: page.fan.failed,
        items: page.items.iter().map(ItemDetail::of).collect(),
        next_after: page.next,
    };
    Ok(Json(body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_is_read_as_it_was_written() {
        let cursor = StepCursor { task: TaskId::from_number(99).expect("not negative"), step: StepIndex(7) };
        assert_eq!(read(&write(cursor)).expect("ours"), cursor);
        for text in ["", "7", "tsk_x.7", "1.x"] {
            assert_eq!(read(text).expect_err(text).code, Code::CursorMalformed, "{text}");
        }
    }

    #[test]
    fn a_resolution_takes_a_result_exactly_if_it_supplies_one() {
        let supplied = resolution_of(br#"{"resolution":"supply","by":"ada","result":{"id":1}}"#).expect("fine");
        assert!(matches!(supplied.how, ResolveHow::Supply(result) if &result[..] == br#"{"id":1}"#));
        assert!(resolution_of(br#"{"resolution":"supply","by":"ada"}"#).is_err());
        assert!(resolution_of(br#"{"resolution":"skip","by":"ada","result":1}"#).is_err());
        let wrong = resolution_of(br#"{"resolution":"retyr","by":"ada"}"#).expect_err("no such word");
        assert_eq!(wrong.hint.as_deref(), Some("did you mean `retry`?"));
        assert!(resolution_of(br#"{"resolution":"retry"}"#).is_err(), "somebody must say so");
    }

    #[test]
    fn a_decision_is_yes_or_no() {
        assert!(decision_of(br#"{"decision":"approved","by":"ada"}"#).expect("fine").approved);
        assert!(!decision_of(br#"{"decision":"rejected","by":"ada","comment":"no"}"#).expect("fine").approved);
        assert!(decision_of(br#"{"decision":"maybe","by":"ada"}"#).is_err());
    }
}

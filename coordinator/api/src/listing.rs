//! Lists of tasks, page by page.

use crate::app::App;
use crate::cursor;
use crate::instant::{Instant, parse};
use crate::nearest::did_you_mean;
use crate::problem::{Place, Problem, ProblemBody};
use crate::request::query::{Query, cut, encode, malformed};
use crate::request::{Ask, task_id};
use crate::view::TaskSummary;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tasker_engine::{ErrorCode, Submission, TaskStatus, Timestamp};
use tasker_runtime::operations::{ListTasks, PAGE_MAX};
use tasker_runtime::port::store::WaitingFor;
use utoipa::ToSchema;

/// How many tasks a page has if nobody says: two screens.
const PAGE_DEFAULT: u64 = 50;

const KNOWN: [&str; 10] =
    ["status", "waiting", "parent", "workflow", "error_code", "label", "accepted_from", "accepted_before", "limit", "cursor"];

/// A page of tasks, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskPage {
    items: Vec<TaskSummary>,
    /// Pass it on as `cursor`, with the same filters, for the next page; null if this is the last.
    next_cursor: Option<String>,
    /// Changes newer than this may be missing.
    as_of: Instant,
}

/// Lists tasks, newest first. Every filter must hold.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", operation_id = "list_tasks",
    params(
        ("namespace" = Option<String>, Query),
        ("status" = Option<String>, Query, description = "One or more of running, succeeded, failed, cancelled, with commas between"),
        ("waiting" = Option<String>, Query, description = "One or more of approval, held, signal, event, sleep, paused, with commas between"),
        ("parent" = Option<String>, Query, description = "Children of this task"),
        ("workflow" = Option<String>, Query),
        ("error_code" = Option<String>, Query, description = "Tasks that failed with this code"),
        ("label" = Option<Vec<String>>, Query, description = "`name=value`; may be repeated, all must hold"),
        ("accepted_from" = Option<String>, Query, description = "RFC 3339; at or after"),
        ("accepted_before" = Option<String>, Query, description = "RFC 3339; before"),
        ("limit" = Option<u64>, Query, description = "1 to 200; absent: 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, body = TaskPage, description = "`Link` with rel=\"next\" names the next page"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &KNOWN)?;
    let filters = filters(&query);
    let wanted = wanted(&query, &filters)?;
    let page = app.read(app.operations.tasks(&query.namespace, wanted), Duration::ZERO).await?;
    let next_cursor = page.next.map(|last| cursor::write(last, &filters));
    let link = next_cursor.as_deref().map(|cursor| link(&query, cursor));
    let body = TaskPage { items: page.tasks.into_iter().map(TaskSummary::of).collect(), next_cursor, as_of: Instant(page.as_of) };
    let mut response = Json(body).into_response();
    if let Some(value) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(LINK, value);
    }
    Ok(response)
}

/// The next page's address, relative to this one (RFC 8288).
fn link(query: &Query, cursor: &str) -> String {
    let others = query.without("cursor");
    let others = if others.is_empty() { others } else { format!("{others}&") };
    format!("</v1/tasks?{others}cursor={}>; rel=\"next\"", encode(cursor))
}

/// What a cursor belongs to: everything that chooses tasks, in an order of its own. The size of the pages may change between them.
fn filters(query: &Query) -> String {
    let chosen = KNOWN.iter().filter(|name| !matches!(**name, "limit" | "cursor"));
    let mut parts: Vec<String> = chosen.flat_map(|name| query.all(name).map(move |value| format!("{name}={}", encode(value)))).collect();
    parts.sort();
    format!("{}?{}", query.namespace, parts.join("&"))
}

fn wanted(query: &Query, filters: &str) -> Result<ListTasks, Problem> {
    let before = query.one("cursor")?.map(|text| cursor::read(text, filters)).transpose()?;
    let limit = query.number("limit", 1..=PAGE_MAX as u64)?.unwrap_or(PAGE_DEFAULT);
    Ok(ListTasks {
        statuses: statuses(query)?,
        workflow: query.parsed("workflow")?,
        error_code: query.parsed::<ErrorCode>("error_code")?.map(|code| code.to_string()),
        labels: labels(query)?,
        parent: query.one("parent")?.map(task_id).transpose()?,
        waiting: waiting(query)?,
        accepted_from: instant(query, "accepted_from")?,
        accepted_before: instant(query, "accepted_before")?,
        before,
        limit: usize::try_from(limit).expect("at most the largest page"),
    })
}

fn statuses(query: &Query) -> Result<Vec<TaskStatus>, Problem> {
    const WORDS: [&str; 4] = ["running", "succeeded", "failed", "cancelled"];
    let words = query.all("status").flat_map(|list| list.split(',')).map(str::trim).filter(|word| !word.is_empty());
    let mut statuses = Vec::new();
    for word in words {
        let status = TaskStatus::from_word(word).ok_or_else(|| {
            let hint = did_you_mean(word, WORDS).unwrap_or_else(|| format!("known are {}", WORDS.join(", ")));
            let place = Place::new("?status", format!("`{}` is not a status", cut(word))).with_hint(Some(hint));
            Problem::at(crate::problem::Code::RequestMalformed, place)
        })?;
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    Ok(statuses)
}

fn waiting(query: &Query) -> Result<BTreeSet<WaitingFor>, Problem> {
    let words = query.all("waiting").flat_map(|list| list.split(',')).map(str::trim).filter(|word| !word.is_empty());
    let read = |word: &str| {
        WaitingFor::from_word(word).ok_or_else(|| {
            let known = WaitingFor::ALL.map(WaitingFor::as_str);
            let hint = did_you_mean(word, known).unwrap_or_else(|| format!("known are {}", known.join(", ")));
            let place = Place::new("?waiting", format!("no task waits for `{}`", cut(word))).with_hint(Some(hint));
            Problem::at(crate::problem::Code::RequestMalformed, place)
        })
    };
    words.map(read).collect()
}

fn labels(query: &Query) -> Result<BTreeMap<String, String>, Problem> {
    let mut labels = BTreeMap::new();
    for text in query.all("label") {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(malformed("label", &format!("`{}` is not `name=value`", cut(text))));
        };
        if name.len() > Submission::LABEL_BYTES_MAX || value.len() > Submission::LABEL_BYTES_MAX {
            return Err(malformed("label", &format!("name and value take at most {} bytes", Submission::LABEL_BYTES_MAX)));
        }
        let other = labels.insert(name.to_owned(), value.to_owned()).filter(|other| other != value);
        if let Some(other) = other {
            let message = format!("`{}` cannot be both `{}` and `{}`", cut(name), cut(&other), cut(value));
            return Err(malformed("label", &message));
        }
    }
    if labels.len() > Submission::LABELS_MAX {
        return Err(malformed("label", &format!("no task has more than {} labels", Submission::LABELS_MAX)));
    }
    Ok(labels)
}

fn instant(query: &Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.one(name)? else { return Ok(None) };
    let instant = parse(text).ok_or_else(|| {
        malformed(name, &format!("`{}` is not an RFC 3339 instant", cut(text))).with_hint("write it like 2026-11-18T11:06:40Z")
    })?;
    Ok(Some(instant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;
    use axum::http::Uri;
    use tasker_engine::{Namespace, TaskId};

    fn query(text: &str) -> Query {
        let uri: Uri = format!("/v1/tasks?{text}").parse().expect("a URI");
        Query::read(&uri, &KNOWN, &Namespace::new("default").expect("valid")).expect("known parameters")
    }

    fn read(text: &str) -> Result<ListTasks, Problem> {
        let query = query(text);
        let filters = filters(&query);
        wanted(&query, &filters)
    }

    #[test]
    fn every_filter_reaches_the_search() {
        let list = read(
            "status=failed,running&status=failed&workflow=order&error_code=worker.lost&label=tenant%3Dacme&label=empty%3D\
             &accepted_from=1970-01-01T00:00:01Z&accepted_before=1970-01-01T00:00:02Z&limit=7",
        )
        .expect("fine");
        assert_eq!(list.statuses, [TaskStatus::Failed, TaskStatus::Running]);
        assert_eq!(list.workflow.expect("given").as_str(), "order");
        assert_eq!(list.error_code.as_deref(), Some("worker.lost"));
        assert_eq!(list.labels, BTreeMap::from([("tenant".into(), "acme".into()), ("empty".into(), String::new())]));
        assert_eq!((list.accepted_from, list.accepted_before), (Some(Timestamp::from_millis(1_000)), Some(Timestamp::from_millis(2_000))));
        assert_eq!((list.limit, list.before), (7, None));
    }

    #[test]
    fn a_wrong_filter_is_refused_instead_of_being_dropped() {
        for (text, code, part) in [
            ("status=faild", Code::RequestMalformed, "`faild` is not a status"),
            ("workflow=A%20b", Code::RequestMalformed, "workflow name"),
            ("label=tenant", Code::RequestMalformed, "not `name=value`"),
            ("label=a%3D1&label=a%3D2", Code::RequestMalformed, "cannot be both"),
            ("accepted_from=yesterday", Code::RequestMalformed, "not an RFC 3339 instant"),
            ("limit=0", Code::LimitExceeded, "1 to 200"),
            ("limit=201", Code::LimitExceeded, "1 to 200"),
            ("cursor=00", Code::CursorMalformed, "not one that this server gave out"),
        ] {
            let problem = read(text).expect_err(text);
            assert_eq!(problem.code, code, "{text}");
            assert!(problem.detail.contains(part), "{text}: {}", problem.detail);
        }
        assert_eq!(read("status=faild").expect_err("wrong").hint.as_deref(), Some("did you mean `failed`?"));
    }

    #[test]
    fn a_cursor_continues_its_own_list_whatever_the_order_of_parameters() {
        let last = TaskId::from_number(99).expect("not negative");
        let first = query("label=a%3D1&label=b%3D2&status=failed&limit=5");
        let cursor = cursor::write(last, &filters(&first));
        let again = read(&format!("status=failed&label=b%3D2&label=a%3D1&limit=50&cursor={cursor}")).expect("the same list");
        assert_eq!(again.before, Some(last));
        let other = read(&format!("status=running&cursor={cursor}")).expect_err("another list");
        assert_eq!(other.code, Code::CursorMalformed);
        let tenant = read(&format!("namespace=acme&label=a%3D1&label=b%3D2&status=failed&cursor={cursor}"));
        assert_eq!(tenant.expect_err("another tenant").code, Code::CursorMalformed);
    }

    #[test]
    fn the_link_to_the_next_page_keeps_the_filters() {
        let query = query("status=failed&cursor=old&namespace=acme");
        assert_eq!(link(&query, "new"), "</v1/tasks?status=failed&namespace=acme&cursor=new>; rel=\"next\"");
    }
}

//! Dead letters: what failed for good, by code or one by one, and what people do about it.

use crate::app::App;
use crate::instant;
use crate::nearest::did_you_mean;
use crate::problem::{Code, Place, Problem, ProblemBody};
use crate::request::body::{self, TASK_BYTES_MAX};
use crate::request::members::{self, Members, wrong};
use crate::request::query::{Query, cut, malformed};
use crate::request::{Ask, task_id};
use crate::view::{LetterDetail, LetterGroupDetail, LetterItem, MissedDetail};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;
use tasker_engine::{ErrorCode, Namespace, TaskId, Timestamp};
use tasker_runtime::operations::{Chosen, LETTERS_PER_REQUEST_MAX, LETTERS_PER_SECOND_MAX, ListLetters, PAGE_MAX, Settle, SettleLetters};
use tasker_runtime::port::store::{LetterFilter, LetterPlace, LetterWord};
use utoipa::ToSchema;

/// How many letters a page has if nobody says.
const PAGE_DEFAULT: u64 = 50;
/// How many letters one request settles if nobody says and a filter chooses them.
const SETTLED_DEFAULT: u64 = 100;

/// The parameters, and members of a filter, that choose letters.
const FILTERS: [&str; 7] = ["code", "workflow", "step", "system", "capability", "failed_from", "failed_before"];
const LIST: [&str; 10] = ["state", "code", "workflow", "step", "system", "capability", "failed_from", "failed_before", "limit", "after"];
const GROUPS: [&str; 8] = ["state", "code", "workflow", "step", "system", "capability", "failed_from", "failed_before"];

/// A page of dead letters, those that failed last first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(crate) struct LetterPage {
    items: Vec<LetterDetail>,
    /// Pass it on as `after`, with the same filters, for the next page; null if this is the last.
    next_after: Option<String>,
    /// Failures that got no dead letter, because the namespace had as many open as it may; null: there were none.
    missed: Option<MissedDetail>,
}

/// Lists dead letters: tasks that failed for good, until somebody requeues or discards them. Every filter must hold.
#[utoipa::path(get, path = "/v1/dlq", tag = "dead letters", operation_id = "list_dead_letters",
    params(
        ("namespace" = Option<String>, Query),
        ("state" = Option<String>, Query, description = "open, requeued, discarded or all; absent: open"),
        ("code" = Option<String>, Query, description = "That failed with this code"),
        ("workflow" = Option<String>, Query), ("step" = Option<String>, Query),
        ("system" = Option<String>, Query, description = "Whose step failed"),
        ("capability" = Option<String>, Query),
        ("failed_from" = Option<String>, Query, description = "RFC 3339; at or after"),
        ("failed_before" = Option<String>, Query, description = "RFC 3339; before"),
        ("limit" = Option<u64>, Query, description = "1 to 200; absent: 50"),
        ("after" = Option<String>, Query, description = "`next_after` of the page before"),
    ),
    responses(
        (status = 200, body = LetterPage),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &LIST)?;
    let limit = query.number("limit", 1..=PAGE_MAX as u64)?.unwrap_or(PAGE_DEFAULT);
    let after = query.one("after")?.map(|text| read(text, "?after")).transpose()?;
    let list = ListLetters { filter: chosen(&query)?, after, limit: usize::try_from(limit).expect("at most the largest page") };
    let page = app.read(app.operations.dead_letters(list), Duration::ZERO).await?;
    let items = page.letters.iter().map(LetterDetail::of).collect();
    Ok(Json(LetterPage { items, next_after: page.next.map(write), missed: page.missed.map(MissedDetail::of) }).into_response())
}

/// Dead letters by their code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterGroups)]
pub(crate) struct LetterGroups {
    /// The largest first, at most 200.
    items: Vec<LetterGroupDetail>,
    /// How many codes there are.
    codes: u64,
    /// How many dead letters there are in all of them.
    letters: u64,
    /// Failures that got no dead letter, because the namespace had as many open as it may; null: there were none.
    missed: Option<MissedDetail>,
}

/// Groups dead letters by their code, the largest group first. Every filter must hold.
#[utoipa::path(get, path = "/v1/dlq:groups", tag = "dead letters", operation_id = "group_dead_letters",
    params(
        ("namespace" = Option<String>, Query),
        ("state" = Option<String>, Query, description = "open, requeued, discarded or all; absent: open"),
        ("code" = Option<String>, Query), ("workflow" = Option<String>, Query), ("step" = Option<String>, Query),
        ("system" = Option<String>, Query), ("capability" = Option<String>, Query),
        ("failed_from" = Option<String>, Query, description = "RFC 3339; at or after"),
        ("failed_before" = Option<String>, Query, description = "RFC 3339; before"),
    ),
    responses(
        (status = 200, body = LetterGroups),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn groups(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &GROUPS)?;
    let filter = chosen(&query)?;
    let (groups, missed) = app.read(app.operations.dead_letter_groups(&filter), Duration::ZERO).await?;
    let body = LetterGroups {
        items: groups.groups.into_iter().map(LetterGroupDetail::of).collect(),
        codes: groups.codes,
        letters: groups.letters,
        missed: missed.map(MissedDetail::of),
    };
    Ok(Json(body).into_response())
}

/// Shows the dead letter of a task, whatever its state. It is kept for 30 days after it was requeued or discarded.
#[utoipa::path(get, path = "/v1/dlq/{id}", tag = "dead letters", operation_id = "show_dead_letter",
    params(("id" = String, Path, description = "The task that failed"), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = LetterDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "dead_letter.unknown"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let task = ask.task_id()?;
    let found = app.read(app.operations.dead_letter(&query.namespace, task), Duration::ZERO).await?;
    let unknown = || Problem::new(Code::DeadLetterUnknown, format!("task {task} has no dead letter here"));
    Ok(Json(LetterDetail::of(&found.ok_or_else(unknown)?)).into_response())
}

/// An order about dead letters.
#[derive(ToSchema)]
#[schema(as = SettleDeadLetters)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct SettleBody {
    /// The tasks whose letters are meant, 1 to 1000; or `filter`.
    tasks: Option<Vec<String>>,
    /// The open letters that are meant, those that failed first before the others: `code`, `workflow`, `step`, `system`, `capability`,
    /// `failed_from`, `failed_before`; empty: all of them. Letters that fail after the request has come are not meant.
    filter: Option<serde_json::Value>,
    /// With `filter`: how many at most, 1 to 1000; absent: 100.
    limit: Option<u32>,
    /// With `filter`: `next_after` of the request before.
    after: Option<String>,
    /// How many per second at most, 1 to 10000; absent: as fast as they can be committed. A request may take 20 s by its rate.
    rate: Option<u32>,
    /// Only say what would be done.
    dry_run: Option<bool>,
    /// Who says so; needed unless it is a dry run.
    by: Option<String>,
    /// Why; needed unless it is a dry run.
    reason: Option<String>,
}

/// What an order did, or would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLettersSettled)]
pub(crate) struct SettledAnswer {
    dry_run: bool,
    /// How many open letters are meant: with `dry_run` all that fit, otherwise those that were tried.
    matched: u64,
    /// How many are settled now as was asked, those that were so before included.
    done: u64,
    /// How many were not settled; `items` says why.
    refused: u64,
    /// Each letter that was tried, in order; empty with `dry_run`.
    items: Vec<LetterItem>,
    /// With `dry_run`: the first letters that are meant.
    sample: Vec<LetterDetail>,
    /// With `filter`: pass it on as `after`, with the same `filter`, to go on; null: no further letter fits.
    next_after: Option<String>,
}

/// Tries dead letters again: each becomes a new task that names the failed one as its origin and keeps its good results. Answered when the
/// last is committed; each letter is settled in the commit that accepts its new task. A repeat settles nothing twice.
#[utoipa::path(post, path = "/v1/dlq:requeue", tag = "dead letters", operation_id = "requeue_dead_letters",
    params(("namespace" = Option<String>, Query)),
    request_body(content = SettleBody, content_type = "application/json"),
    responses(
        (status = 200, body = SettledAnswer, description = "Each letter by itself: some may be refused"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn requeue(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    settle(app, ask, body, Settle::Requeue).await
}

/// Discards dead letters: nothing follows, and the tasks stay as they are. A repeat changes nothing.
#[utoipa::path(post, path = "/v1/dlq:discard", tag = "dead letters", operation_id = "discard_dead_letters",
    params(("namespace" = Option<String>, Query)),
    request_body(content = SettleBody, content_type = "application/json"),
    responses(
        (status = 200, body = SettledAnswer, description = "Each letter by itself: some may be refused"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn discard(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    settle(app, ask, body, Settle::Discard).await
}

async fn settle(app: App, ask: Ask, body: Body, settle: Settle) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, TASK_BYTES_MAX).await?;
    body::must_be_json(&ask.headers)?;
    let order = order_of(&arrived.bytes, &query.namespace, settle)?;
    let answer = match order {
        Order::Preview(chosen) => {
            let preview = app.read(app.operations.preview_letters(&query.namespace, &chosen), Duration::ZERO).await?;
            SettledAnswer {
                dry_run: true,
                matched: preview.matched,
                done: 0,
                refused: 0,
                items: Vec::new(),
                sample: preview.sample.iter().map(LetterDetail::of).collect(),
                next_after: None,
            }
        }
        Order::Settle(order) => {
            let settled = app.change(app.operations.settle_letters(&query.namespace, order)).await?;
            let items: Vec<LetterItem> = settled.items.into_iter().map(LetterItem::of).collect();
            let refused = items.iter().filter(|item| item.is_refused()).count() as u64;
            let matched = items.len() as u64;
            let next_after = settled.next.map(write);
            SettledAnswer { dry_run: false, matched, done: matched - refused, refused, items, sample: Vec::new(), next_after }
        }
    };
    Ok(Json(answer).into_response())
}

#[derive(Debug)]
enum Order {
    Preview(Chosen),
    Settle(SettleLetters),
}

fn order_of(body: &[u8], namespace: &Namespace, settle: Settle) -> Result<Order, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["tasks", "filter", "limit", "after", "rate", "dry_run", "by", "reason"])?;
    let chosen = match (members.raw("tasks"), members.raw("filter")) {
        (Some(raw), None) => {
            for name in ["limit", "after"] {
                if members.raw(name).is_some() {
                    return Err(wrong(&format!("/{name}"), "it goes with `filter` only".to_owned()));
                }
            }
            Chosen::Tasks(tasks_of(raw)?)
        }
        (None, Some(raw)) => {
            let after = members.text("after")?.map(|text| read(&text, "/after")).transpose()?;
            let limit = members.number("limit", 1..=LETTERS_PER_REQUEST_MAX as u64)?.unwrap_or(SETTLED_DEFAULT);
            let limit = usize::try_from(limit).expect("at most one request's worth");
            Chosen::Fitting { filter: Box::new(filter_of(&Members::of(raw, "/filter")?, namespace)?), after, limit }
        }
        (Some(_), Some(_)) => return Err(wrong("/filter", "give either `tasks` or `filter`".to_owned())),
        (None, None) => {
            let problem = wrong("/filter", "give the `tasks` whose letters are meant, or a `filter`".to_owned());
            return Err(problem.with_hint("an empty filter, {}, means every open letter of the namespace"));
        }
    };
    if members.flag("dry_run")? {
        return Ok(Order::Preview(chosen));
    }
    for name in ["by", "reason"] {
        members.required(name)?;
    }
    let text = |name| Ok::<_, Problem>(members.text(name)?.unwrap_or_default().into_owned());
    let rate = members.number("rate", 1..=u64::from(LETTERS_PER_SECOND_MAX))?;
    let rate = rate.map(|rate| u32::try_from(rate).expect("at most the highest rate"));
    Ok(Order::Settle(SettleLetters { chosen, settle, by: text("by")?, reason: text("reason")?, rate }))
}

/// Each task once: a letter that is named twice is meant once.
fn tasks_of(raw: &serde_json::value::RawValue) -> Result<Vec<TaskId>, Problem> {
    let mut seen = BTreeSet::new();
    let mut tasks = Vec::new();
    for (place, item) in members::items(raw, "/tasks", LETTERS_PER_REQUEST_MAX)?.into_iter().enumerate() {
        let task = task_id(&members::text_of(item, &format!("/tasks/{place}"))?)?;
        if seen.insert(task) {
            tasks.push(task);
        }
    }
    Ok(tasks)
}

fn filter_of(members: &Members<'_>, namespace: &Namespace) -> Result<LetterFilter, Problem> {
    members.only(&FILTERS)?;
    let instant = |name: &str| -> Result<Option<Timestamp>, Problem> {
        let Some(text) = members.text(name)? else { return Ok(None) };
        instant::parse(&text).map(Some).ok_or_else(|| {
            let problem = wrong(&format!("/filter/{name}"), format!("`{}` is not an RFC 3339 instant", cut(&text)));
            problem.with_hint("write it like 2026-11-18T11:06:40Z")
        })
    };
    Ok(LetterFilter {
        namespace: namespace.clone(),
        state: Some(LetterWord::Open),
        code: members.parsed::<ErrorCode>("code")?.map(|code| code.to_string()),
        workflow: members.parsed("workflow")?,
        step: members.parsed("step")?,
        system: members.parsed("system")?,
        capability: members.parsed("capability")?,
        failed_from: instant("failed_from")?,
        failed_before: instant("failed_before")?,
    })
}

/// The filter in a query.
fn chosen(query: &Query) -> Result<LetterFilter, Problem> {
    let instant = |name: &str| -> Result<Option<Timestamp>, Problem> {
        let Some(text) = query.one(name)? else { return Ok(None) };
        instant::parse(text).map(Some).ok_or_else(|| {
            malformed(name, &format!("`{}` is not an RFC 3339 instant", cut(text))).with_hint("write it like 2026-11-18T11:06:40Z")
        })
    };
    Ok(LetterFilter {
        namespace: query.namespace.clone(),
        state: state(query)?,
        code: query.parsed::<ErrorCode>("code")?.map(|code| code.to_string()),
        workflow: query.parsed("workflow")?,
        step: query.parsed("step")?,
        system: query.parsed("system")?,
        capability: query.parsed("capability")?,
        failed_from: instant("failed_from")?,
        failed_before: instant("failed_before")?,
    })
}

/// Open letters, unless others are asked for.
fn state(query: &Query) -> Result<Option<LetterWord>, Problem> {
    const ALL: &str = "all";
    let word = query.one("state")?.unwrap_or(LetterWord::Open.as_str());
    if word == ALL {
        return Ok(None);
    }
    LetterWord::from_word(word).map(Some).ok_or_else(|| {
        let known: Vec<&str> = LetterWord::ALL.into_iter().map(LetterWord::as_str).chain([ALL]).collect();
        let hint = did_you_mean(word, known.iter().copied()).unwrap_or_else(|| format!("known are {}", known.join(", ")));
        let place = Place::new("?state", format!("no dead letter is `{}`", cut(word))).with_hint(Some(hint));
        Problem::at(Code::RequestMalformed, place)
    })
}

/// A place in a list, as text: when the task failed, in milliseconds, and which it is.
fn write(place: LetterPlace) -> String {
    format!("{}.{}", place.failed_at.as_millis(), place.task)
}

fn read(text: &str, pointer: &str) -> Result<LetterPlace, Problem> {
    let found = text.split_once('.').and_then(|(failed_at, task)| {
        Some(LetterPlace { failed_at: Timestamp::from_millis(failed_at.parse().ok()?), task: task.parse().ok()? })
    });
    found.ok_or_else(|| {
        let place = Place::new(pointer, "this is not where a page ended");
        Problem::at(Code::CursorMalformed, place).with_hint("start again without `after`, and pass `next_after` on exactly as it came")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;

    fn shop() -> Namespace {
        Namespace::new("shop").expect("valid")
    }

    fn order(body: &str) -> Result<Order, Problem> {
        order_of(body.as_bytes(), &shop(), Settle::Requeue)
    }

    fn query(text: &str) -> Result<LetterFilter, Problem> {
        let uri: Uri = format!("/v1/dlq?{text}").parse().expect("a URI");
        chosen(&Query::read(&uri, &LIST, &shop()).expect("known parameters"))
    }

    #[test]
    fn a_place_in_a_list_is_read_as_it_was_written() {
        let place = LetterPlace { failed_at: Timestamp::from_millis(-5), task: TaskId::from_number(99).expect("not negative") };
        assert_eq!(read(&write(place), "?after").expect("ours"), place);
        for text in ["", "7", "x.tsk_06f1a2b3c4d5e", "7.x", "7."] {
            assert_eq!(read(text, "?after").expect_err(text).code, Code::CursorMalformed, "{text}");
        }
    }

    #[test]
    fn every_filter_is_read_and_open_letters_are_meant_unless_others_are_named() {
        let all =
            "code=card_declined&workflow=order&step=charge&system=payments&capability=payment.charge&failed_from=2026-11-18T11:06:40Z";
        let filter = query(all).expect("fine");
        assert_eq!((filter.state, filter.code.as_deref()), (Some(LetterWord::Open), Some("card_declined")));
        assert_eq!(filter.failed_from, Some(Timestamp::from_millis(1_795_000_000_000)));
        assert_eq!(query("state=all").expect("fine").state, None);
        assert_eq!(query("state=discarded").expect("fine").state, Some(LetterWord::Discarded));
        assert_eq!(query("state=opne").expect_err("no state").hint.as_deref(), Some("did you mean `open`?"));
        assert_eq!(query("failed_from=yesterday").expect_err("no instant").code, Code::RequestMalformed);
        assert!(query("code=a%20b").is_err() && query("workflow=A%20b").is_err());
    }

    #[test]
    fn an_order_means_tasks_or_a_filter_and_says_who_and_why() {
        let who = r#""by":"ada","reason":"the bank is back""#;
        let Ok(Order::Settle(settle)) = order(&format!(r#"{{"filter":{{"code":"card_declined"}},"limit":7,"rate":5,{who}}}"#)) else {
            panic!("an order")
        };
        let Chosen::Fitting { filter, after: None, limit: 7 } = settle.chosen else { panic!("a filter") };
        assert_eq!((filter.code.as_deref(), settle.rate, settle.by.as_str()), (Some("card_declined"), Some(5), "ada"));

        let id = TaskId::from_number(99).expect("not negative");
        let Ok(Order::Settle(settle)) = order(&format!(r#"{{"tasks":["{id}","{id}"],{who}}}"#)) else { panic!("an order") };
        assert!(matches!(settle.chosen, Chosen::Tasks(tasks) if tasks == [id]), "named twice, meant once");
        assert!(matches!(order(r#"{"filter":{},"dry_run":true}"#), Ok(Order::Preview(_))), "a preview needs nobody's name");

        for (body, code) in [
            (format!("{{{who}}}"), Code::RequestMalformed),
            (format!(r#"{{"tasks":["{id}"],"filter":{{}},{who}}}"#), Code::RequestMalformed),
            (format!(r#"{{"tasks":["{id}"],"limit":5,{who}}}"#), Code::RequestMalformed),
            (format!(r#"{{"tasks":[],{who}}}"#), Code::LimitExceeded),
            (format!(r#"{{"tasks":["nonsense"],{who}}}"#), Code::TaskIdMalformed),
            (format!(r#"{{"tasks":[7],{who}}}"#), Code::RequestMalformed),
            (r#"{"filter":{}}"#.to_owned(), Code::RequestMalformed),
            (r#"{"filter":{},"by":"ada"}"#.to_owned(), Code::RequestMalformed),
            (format!(r#"{{"filter":{{"codes":"x"}},{who}}}"#), Code::RequestUnknownField),
            (format!(r#"{{"filter":{{"failed_from":"soon"}},{who}}}"#), Code::RequestMalformed),
            (format!(r#"{{"filter":{{}},"limit":1001,{who}}}"#), Code::LimitExceeded),
            (format!(r#"{{"filter":{{}},"limit":"5",{who}}}"#), Code::RequestMalformed),
            (format!(r#"{{"filter":{{}},"rate":0,{who}}}"#), Code::LimitExceeded),
            (format!(r#"{{"filter":{{}},"dry_run":"yes",{who}}}"#), Code::RequestMalformed),
            (format!(r#"{{"filter":{{}},"after":"x",{who}}}"#), Code::CursorMalformed),
        ] {
            assert_eq!(order(&body).expect_err(&body).code, code, "{body}");
        }
    }
}

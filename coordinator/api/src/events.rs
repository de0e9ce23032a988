//! A task's events, page by page.

use crate::app::App;
use crate::problem::{Problem, ProblemBody};
use crate::request::Ask;
use crate::tasks;
use crate::view::Event;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;
use tasker_runtime::operations::History;
use utoipa::ToSchema;

/// How many events a page has if nobody says.
const PAGE_DEFAULT: u64 = 200;
const PAGE_MAX: u64 = 1_000;

/// A page ends early once it is this large: events hold inputs and results.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A page of events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    #[schema(value_type = Vec<Event>)]
    items: Vec<Box<RawValue>>,
    /// Whether nothing follows this page, now or later. If not, ask again with `after` set to the last number.
    finished: bool,
}

/// Lists a task's events after a number, without gaps. Fresh: what was committed before the request is in it.
#[utoipa::path(get, path = "/v1/tasks/{id}/events", tag = "tasks", operation_id = "list_events",
    params(
        ("id" = String, Path),
        ("namespace" = Option<String>, Query),
        ("after" = Option<u64>, Query, description = "The number of the last event that is known already; absent: 0"),
        ("limit" = Option<u64>, Query, description = "1 to 1000; absent: 200. Large events make a page shorter."),
    ),
    responses(
        (status = 200, body = EventPage),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn history(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &["after", "limit"])?;
    let id = ask.task_id()?;
    let after = query.number("after", 0..=u64::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1..=PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    let history = app.read(app.operations.history(&query.namespace, id), Duration::ZERO).await?;
    let history = history.ok_or_else(|| tasks::unknown(id, &query.namespace))?;
    Ok(Json(page(&history, after, limit, PAGE_BYTES_MAX)).into_response())
}

fn page(history: &History, after: u64, limit: u64, bytes_max: usize) -> EventPage {
    let mut items: Vec<Box<RawValue>> = Vec::new();
    let mut bytes = 0;
    let names = history.names();
    for entry in &history.entries {
        for place in 0..entry.events.len() {
            if entry.first + place as u64 <= after {
                continue;
            }
            if items.len() as u64 >= limit {
                return EventPage { items, finished: false };
            }
            let event = Event::of(&names, entry, place);
            let raw = to_raw_value(&event).expect("an event holds nothing that JSON cannot say");
            bytes += raw.get().len();
            if bytes > bytes_max && !items.is_empty() {
                return EventPage { items, finished: false };
            }
            items.push(raw);
        }
    }
    EventPage { items, finished: history.finished }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    fn history(finished: bool) -> History {
        let (workflow, entries) = sample::history();
        History { workflow, entries, finished }
    }

    fn numbers(page: &EventPage) -> Vec<u64> {
        let number = |raw: &RawValue| serde_json::from_str::<serde_json::Value>(raw.get()).expect("JSON")["number"].as_u64();
        page.items.iter().map(|raw| number(raw).expect("a number")).collect()
    }

    #[test]
    fn pages_join_without_gap_or_repeat_and_only_the_last_is_finished() {
        let history = history(true);
        let whole = page(&history, 0, 1_000, PAGE_BYTES_MAX);
        let mut joined = Vec::new();
        let mut pages = 0;
        loop {
            let next = page(&history, joined.last().copied().unwrap_or(0), 3, PAGE_BYTES_MAX);
            joined.extend(numbers(&next));
            pages += 1;
            if next.finished {
                break;
            }
            assert_eq!(next.items.len(), 3);
        }
        assert_eq!(joined, numbers(&whole));
        assert!(pages > 2);
    }

    #[test]
    fn a_page_of_large_events_is_shorter_but_never_empty() {
        let history = history(true);
        let first = page(&history, 0, 1_000, 1);
        assert_eq!((numbers(&first), first.finished), (vec![1], false));
    }

    #[test]
    fn a_running_task_is_not_finished_even_if_nothing_is_new() {
        let page = page(&history(false), 1_000, 10, PAGE_BYTES_MAX);
        assert!(page.items.is_empty() && !page.finished);
    }
}

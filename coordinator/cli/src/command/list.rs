//! `tasker task list`: filters, and as many pages as are asked for.

use super::input;
use crate::answers::{Page, TaskSummary};
use crate::client::{Client, Request};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Format;
use crate::{json, render, text};
use clap::Args;
use jiff::Timestamp;
use serde_json::value::RawValue;

/// The server's own maximum for one page.
const PAGE_TASKS_MAX: usize = 200;
/// Tables and JSON documents are built in memory; beyond this, `-o jsonl` streams.
const TASKS_MAX: usize = 100_000;

/// Which tasks to list.
#[derive(Debug, Args)]
pub struct List {
    /// Only tasks in these states: running, succeeded, failed, cancelled
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,

    /// Only tasks that wait for one of these: approval, held, signal, event, sleep, paused
    #[arg(long, value_name = "FOR", value_delimiter = ',')]
    waiting: Vec<String>,

    /// Only tasks that this task's steps started
    #[arg(long, value_name = "TASK", value_parser = text::parse_name)]
    parent: Option<String>,

    /// Only tasks of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,

    /// Only tasks that failed with this code
    #[arg(long, value_name = "CODE")]
    error_code: Option<String>,

    /// Only tasks with this label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = input::parse_label)]
    labels: Vec<(String, String)>,

    /// Only tasks accepted at this instant or later: 2026-11-21T07:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    accepted_from: Option<Timestamp>,

    /// Only tasks accepted before this instant
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    accepted_before: Option<Timestamp>,

    /// How many to list at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=TASKS_MAX as i64))]
    limit: u32,

    /// List all, page by page
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// Continue where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Reads an instant, or how long ago it was.
///
/// # Errors
/// Says what is accepted.
pub(super) fn parse_when(text: &str) -> Result<Timestamp, String> {
    let refused = || format!("`{text}` is not an instant such as 2026-11-21T07:00:00Z, nor a duration such as 2h");
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let ago = text::parse_duration(text).map_err(|_| refused())?;
    Timestamp::now().checked_sub(ago).map_err(|_| refused())
}

impl List {
    fn is_filtered(&self) -> bool {
        !self.status.is_empty()
            || !self.waiting.is_empty()
            || self.parent.is_some()
            || self.workflow.is_some()
            || self.error_code.is_some()
            || !self.labels.is_empty()
            || self.accepted_from.is_some()
            || self.accepted_before.is_some()
            || self.cursor.is_some()
    }

    fn request<'a>(&self, client: &'a Client, limit: usize, cursor: Option<&str>) -> Request<'a> {
        let status = (!self.status.is_empty()).then(|| self.status.join(","));
        let waiting = (!self.waiting.is_empty()).then(|| self.waiting.join(","));
        let written = |at: Option<Timestamp>| at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
        let mut request = client
            .get(&["tasks"])
            .query_if("status", status.as_deref())
            .query_if("waiting", waiting.as_deref())
            .query_if("parent", self.parent.as_deref())
            .query_if("workflow", self.workflow.as_deref())
            .query_if("error_code", self.error_code.as_deref())
            .query_if("accepted_from", written(self.accepted_from).as_deref())
            .query_if("accepted_before", written(self.accepted_before).as_deref())
            .query("limit", &limit.to_string())
            .query_if("cursor", cursor);
        for (key, value) in &self.labels {
            request = request.query("label", &format!("{key}={value}"));
        }
        request
    }
}

pub(super) async fn run(list: List, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let wanted = if list.all { usize::MAX } else { usize::try_from(list.limit).unwrap_or(TASKS_MAX) };
    let streams = console.format() == Format::Jsonl;
    let mut tasks: Vec<Box<RawValue>> = Vec::new();
    let mut seen = 0;
    let mut cursor = list.cursor.clone();
    let mut as_of;
    loop {
        let answer = list.request(client, PAGE_TASKS_MAX.min(wanted - seen), cursor.as_deref()).send().await?;
        let page: Page<Box<RawValue>> = answer.read()?;
        let brought = page.items.len();
        seen += brought;
        as_of = page.as_of;
        if streams {
            page.items.iter().try_for_each(|item| console.line(&json::compact(item.get())))?;
        } else {
            tasks.extend(page.items);
        }
        let stuck = page.next_cursor == cursor || brought == 0;
        cursor = page.next_cursor;
        if cursor.is_none() || seen >= wanted || stuck {
            break;
        }
        if tasks.len() >= TASKS_MAX {
            return Err(Failure::Usage {
                said: format!("more than {TASKS_MAX} tasks match"),
                help: "use -o jsonl, which prints them as they come, or filter".to_owned(),
            });
        }
    }
    if !streams {
        print(&tasks, cursor.as_deref(), as_of.as_deref(), list.is_filtered(), console)?;
    }
    if let Some(cursor) = cursor.filter(|_| seen > 0) {
        console.chat(&format!("there are more: --all, --limit N, or --cursor {}", text::clean(&cursor)));
    }
    Ok(Exit::Success)
}

/// Prints all pages as one.
fn print(
    tasks: &[Box<RawValue>],
    next_cursor: Option<&str>,
    as_of: Option<&str>,
    filtered: bool,
    console: &mut Console,
) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Whole<'a> {
        items: &'a [Box<RawValue>],
        next_cursor: Option<&'a str>,
        as_of: Option<&'a str>,
    }
    let whole = serde_json::value::to_raw_value(&Whole { items: tasks, next_cursor, as_of }).expect("text and valid JSON always print");
    console.answer(&whole, |look| {
        let read = |task: &RawValue| {
            serde_json::from_str::<TaskSummary>(task.get())
                .map_err(|cause| Failure::Unreadable { address: "the list of tasks".to_owned(), cause: cause.to_string() })
        };
        let tasks = tasks.iter().map(|task| read(task)).collect::<Result<Vec<_>, _>>()?;
        Ok(render::task::list(&tasks, filtered, look))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_given_outright_or_as_an_age() {
        assert_eq!(parse_when("2026-11-21T07:00:00Z").map(|at| at.to_string()).as_deref(), Ok("2026-11-21T07:00:00Z"));
        let age = Timestamp::now().duration_since(parse_when("2h").expect("an age"));
        assert!((7_190..7_210).contains(&age.as_secs()), "{age}");
        assert!(parse_when("yesterday").is_err());
    }
}

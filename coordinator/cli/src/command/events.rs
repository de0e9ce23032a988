//! `tasker task events`: a task's history, and what is added to it while one looks.

use crate::answers::{Event, Events};
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{self, Seen};
use crate::global::Format;
use crate::{json, render, text, yaml};
use serde::Serialize;
use serde_json::value::RawValue;

/// Events of one page; the server's own maximum.
const PAGE_EVENTS: usize = 200;

/// Prints what has happened so far.
pub(super) async fn history(id: &str, after: u64, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Whole<'a> {
        items: &'a [Box<RawValue>],
        finished: bool,
    }
    let mut items: Vec<Box<RawValue>> = Vec::new();
    let mut last = after;
    let finished = loop {
        let answer =
            client.get(&["tasks", id, "events"]).query("after", &last.to_string()).query("limit", &PAGE_EVENTS.to_string()).send().await?;
        let page: Events = answer.read()?;
        let before = last;
        for item in page.items {
            last = last.max(read(&item)?.number);
            items.push(item);
        }
        if last == before {
            break page.finished;
        }
    };
    let whole = serde_json::value::to_raw_value(&Whole { items: &items, finished }).expect("text and valid JSON always print");
    console.answer(&whole, |look| {
        let mut out = String::new();
        for item in &items {
            out.push_str(&render::event::line(&read(item)?, look));
        }
        Ok(out)
    })?;
    if items.is_empty() {
        console.chat(&format!("no events after {after}"));
    } else if !finished {
        console.chat(&format!("the task is not over; --follow waits for more, or: tasker task watch {}", text::clean(id)));
    }
    Ok(Exit::Success)
}

fn read(raw: &RawValue) -> Result<Event, Failure> {
    serde_json::from_str(raw.get())
        .map_err(|cause| Failure::Unreadable { address: "the list of events".to_owned(), cause: cause.to_string() })
}

/// Prints events as they happen, until the task is over.
pub(super) async fn live(id: &str, after: u64, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let mut events = follow::follow(client.clone(), id.to_owned(), after);
    while let Some(seen) = events.recv().await {
        print(&seen?, console)?;
    }
    Ok(Exit::Success)
}

/// One event of a stream: a line, or a document.
pub(super) fn print(seen: &Seen, console: &mut Console) -> Result<(), Failure> {
    match console.format() {
        Format::Table => {
            let line = render::event::line(&seen.event, &console.look());
            console.print(&line)
        }
        Format::Json | Format::Jsonl => console.line(&json::compact(seen.raw.get())),
        Format::Yaml => {
            let value = serde_json::from_str(seen.raw.get()).expect("a raw value holds valid JSON");
            console.print(&format!("---\n{}", yaml::document(&value)))
        }
    }
}

//! `tasker task …`: the verbs, and those that are one question and one answer.

use super::items::Items;
use super::list::List;
use super::outside::Signal;
use super::submit::Submit;
use super::{events, items, list, outside, submit, wait, watch};
use crate::answers::{Page, Reason, Submitted, TaskDetail, Timeline};
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Format;
use crate::{render, text};
use clap::Subcommand;
use std::time::Duration;

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Run a workflow: once, or once for each line of a file
    ///
    /// Prints the task's id on standard output. With --wait also its result, and exits with 6 if it failed or was cancelled, 7 if it was
    /// not over in time. With --input-lines prints an id for each line; running the same command again continues a broken run.
    #[command(
        disable_version_flag = true,
        after_help = "\
Examples:
  tasker task submit process_order --input '{\"order_id\":\"A-7\"}'
  tasker task submit process_order --input @order.json --key A-7 --label tenant=acme
  tasker task submit process_order --input - --wait --timeout 2m < order.json
  tasker task submit process_order --input-lines orders.jsonl --key-field order_id > ids.txt

Exit codes with --wait: 0 succeeded, 6 failed or cancelled, 7 not over in time (it goes on).
9 means that no answer came: with --key (or --input-lines) the same command can be run again safely."
    )]
    Submit(Box<Submit>),
    /// List tasks, newest first
    #[command(after_help = "\
Examples:
  tasker task list --status failed --accepted-from 2h
  tasker task list --workflow process_order --label tenant=acme --limit 200
  tasker task list --waiting approval,held
  tasker task list --error-code card_declined --all -o jsonl | jq -r .id")]
    List(List),
    /// Show a task: its state, steps, input and result
    #[command(
        after_help = "Examples:\n  tasker task show tsk_06f1a2b3c4d5e\n  tasker task show tsk_06f1a2b3c4d5e -o json | jq .steps[].state"
    )]
    Show {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
    },
    /// Print a task's events: everything that was committed about it, in order
    #[command(after_help = "\
Examples:
  tasker task events tsk_06f1a2b3c4d5e
  tasker task events tsk_06f1a2b3c4d5e --follow -o jsonl
  tasker task events tsk_06f1a2b3c4d5e --after 12")]
    Events {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
        /// Only events after this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
        /// Go on until the task is over
        #[arg(short, long)]
        follow: bool,
    },
    /// Watch a task until it is over
    ///
    /// On a terminal, a table of its steps is redrawn in place; otherwise a line is printed for each event.
    /// Exits with 6 if the task failed or was cancelled.
    #[command(
        after_help = "Examples:\n  tasker task watch tsk_06f1a2b3c4d5e\n  tasker task watch tsk_06f1a2b3c4d5e > events.log && deploy"
    )]
    Watch {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
    },
    /// Print a task's result
    ///
    /// Exits with 6 if the task failed or was cancelled, 7 if it is not over.
    #[command(
        after_help = "Examples:\n  tasker task result tsk_06f1a2b3c4d5e\n  tasker task result tsk_06f1a2b3c4d5e --wait 30s | jq .charge_id"
    )]
    Result {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
        /// Wait for the end, at most so long
        #[arg(long, value_name = "DURATION", value_parser = text::parse_duration)]
        wait: Option<Duration>,
    },
    /// Cancel a task: no new work is started, running attempts are told to stop
    #[command(after_help = "Examples:\n  tasker task cancel tsk_06f1a2b3c4d5e --reason 'customer called'")]
    Cancel {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
        /// Why, for people who look later
        #[arg(long)]
        reason: Option<String>,
    },
    /// Pause a task: open attempts finish, nothing new is started
    ///
    /// Sleeps and waits go on; the child tasks that it waits for are paused too. Pausing a paused task changes nothing.
    #[command(after_help = "Examples:\n  tasker task pause tsk_06f1a2b3c4d5e --reason 'stock count'")]
    Pause {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
        /// Why, for people who look later
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a paused task go on
    #[command(after_help = "Examples:\n  tasker task resume tsk_06f1a2b3c4d5e")]
    Resume {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
    },
    /// Give a signal to a task: the step that waits for it goes on
    ///
    /// If no step waits for it yet, the task keeps it until one does.
    #[command(after_help = "\
Examples:
  tasker task signal tsk_06f1a2b3c4d5e documents_received
  tasker task signal tsk_06f1a2b3c4d5e documents_received --payload '{\"pages\":3}' --id scan-4711
  scan | tasker task signal tsk_06f1a2b3c4d5e documents_received --payload -")]
    Signal(Signal),
    /// List the items of a fan-out, in their order
    #[command(after_help = "\
Examples:
  tasker task items tsk_06f1a2b3c4d5e resize
  tasker task items tsk_06f1a2b3c4d5e resize --state failed,held -o jsonl | jq -r .failure.code")]
    Items(Items),
    /// Run a failed or cancelled task again, keeping the results it has
    ///
    /// The finished task stays as it is. A new task is made that names it and reuses the results of its steps; its id is printed.
    #[command(after_help = "Examples:\n  tasker task watch $(tasker task retry tsk_06f1a2b3c4d5e)")]
    Retry {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
    },
    /// Draw where a task's time went
    #[command(after_help = "Examples:\n  tasker task timeline tsk_06f1a2b3c4d5e")]
    Timeline {
        /// Its id
        #[arg(value_parser = text::parse_name)]
        id: String,
    },
}

/// What can be asked when something does not move.
#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Say in one line per step why a task does not move
    #[command(after_help = "Examples:\n  tasker debug why tsk_06f1a2b3c4d5e")]
    Why {
        /// The task's id
        #[arg(value_parser = text::parse_name)]
        id: String,
    },
}

pub(super) async fn run(command: TaskCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        TaskCommand::Submit(arguments) => submit::run(*arguments, client, console).await,
        TaskCommand::List(arguments) => list::run(arguments, client, console).await,
        TaskCommand::Show { id } => show(&id, client, console).await,
        TaskCommand::Events { id, after, follow: false } => events::history(&id, after, client, console).await,
        TaskCommand::Events { id, after, follow: true } => events::live(&id, after, client, console).await,
        TaskCommand::Watch { id } => watch::run(&id, client, console).await,
        TaskCommand::Result { id, wait } => result(&id, wait, client, console).await,
        TaskCommand::Cancel { id, reason } => change(&id, "cancel", reason.as_deref(), client, console).await,
        TaskCommand::Pause { id, reason } => change(&id, "pause", reason.as_deref(), client, console).await,
        TaskCommand::Resume { id } => change(&id, "resume", None, client, console).await,
        TaskCommand::Signal(signal) => outside::signal(&signal, client, console).await,
        TaskCommand::Items(items) => items::run(&items, client, console).await,
        TaskCommand::Retry { id } => retry(&id, client, console).await,
        TaskCommand::Timeline { id } => timeline(&id, client, console).await,
    }
}

async fn show(id: &str, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let answer = client.get(&["tasks", id]).send().await?;
    console.answer(&answer.body, |look| Ok(render::task::detail(&answer.read()?, look)))?;
    Ok(Exit::Success)
}

async fn result(id: &str, wait: Option<Duration>, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let (answer, outcome) = wait::for_end(id, wait.unwrap_or(Duration::ZERO), client).await?;
    wait::print(&answer, &outcome, console)
}

/// Cancels, pauses or resumes. Each says what shall hold and not what shall happen, but the reason of a repeat could be kept in place of
/// somebody else's, so a request without an answer is not repeated.
async fn change(id: &str, verb: &str, reason: Option<&str>, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let body = reason.map_or_else(|| serde_json::json!({}), |reason| serde_json::json!({ "reason": reason }));
    let answer = client.post(&["tasks", &format!("{id}:{verb}")]).json(body.to_string()).send().await?;
    console.answer(&answer.body, |look| {
        let task: TaskDetail = answer.read()?;
        let paused = if task.paused.is_some() && task.finished_at.is_none() { ", paused" } else { "" };
        Ok(format!("{} {}{paused}\n", text::clean(&task.id), look.state(&task.status)))
    })?;
    Ok(Exit::Success)
}

async fn retry(id: &str, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let answer = client.post(&["tasks", &format!("{id}:retry")]).send().await?;
    let submitted: Submitted = answer.read()?;
    let new = text::clean(&submitted.id);
    console.answer(&answer.body, |_| Ok(format!("{new}\n")))?;
    console.chat(&format!("a new task that keeps the results of {id}; next: tasker task watch {new}"));
    Ok(Exit::Success)
}

async fn timeline(id: &str, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let answer = client.get(&["tasks", id, "timeline"]).send().await?;
    let mut drawn: Option<Timeline> = None;
    if console.format() == Format::Table {
        let mut timeline: Timeline = answer.read()?;
        if timeline.rows.iter().any(|row| row.attempts.is_empty() && row.ready_at.is_none()) {
            // The rows hold attempts; sleeps and waits make none, and when they began and ended stands in the task.
            let task: TaskDetail = client.get(&["tasks", id]).send().await?.read()?;
            for row in &mut timeline.rows {
                if let Some(step) = task.steps.iter().find(|step| step.name == row.step) {
                    (row.ready_at, row.finished_at) = (row.ready_at.or(step.ready_at), row.finished_at.or(step.finished_at));
                }
            }
        }
        drawn = Some(timeline);
    }
    console.answer(&answer.body, |look| Ok(drawn.map(|timeline| render::timeline::draw(&timeline, look)).unwrap_or_default()))?;
    Ok(Exit::Success)
}

pub(super) async fn why(id: &str, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let answer = client.get(&["tasks", id, "why"]).send().await?;
    console.answer(&answer.body, |look| Ok(render::task::reasons(id, &answer.read::<Page<Reason>>()?.items, look)))?;
    Ok(Exit::Success)
}

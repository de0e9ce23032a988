//! `tasker dlq …`: tasks that failed for good, and what becomes of them.

mod settle;

pub use settle::Settle;

use super::gather::{self, ROWS_MAX};
use super::list::parse_when;
use crate::answers::{DeadLetter, DeadLetterGroups};
use crate::client::{Client, Request};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{render, text};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, those that failed last first
    #[command(after_help = "\
Examples:
  tasker dlq list
  tasker dlq list --code card_declined --failed-from 2h
  tasker dlq list --state all -o jsonl | jq -r 'select(.settled_by == \"ada\") | .task'")]
    List {
        #[command(flatten)]
        which: Which,
        /// In which state
        #[arg(long, value_enum, default_value_t = State::Open)]
        state: State,
        /// How many to list at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(ROWS_MAX)))]
        limit: u32,
    },
    /// Count dead letters by their error code, the largest group first
    #[command(after_help = "\
Examples:
  tasker dlq groups
  tasker dlq groups --system node_payments -o json | jq '.items[] | {code, count}'")]
    Groups {
        #[command(flatten)]
        which: Which,
        /// In which state
        #[arg(long, value_enum, default_value_t = State::Open)]
        state: State,
    },
    /// Show a task's dead letter: why it failed, and what was done about it
    #[command(after_help = "Examples:\n  tasker dlq show tsk_06f1a2b3c4d5e")]
    Show {
        /// The task that failed
        #[arg(value_name = "TASK", value_parser = text::parse_name)]
        task: String,
    },
    /// Try dead letters again, as new tasks that keep the good results
    ///
    /// Name tasks, or choose by filters: those that failed first go first. A task that fails again is a new dead letter. Each letter is settled in
    /// the commit that accepts its new task, so a run that broke off is continued by running the same command again.
    #[command(after_help = "\
Examples:
  tasker dlq requeue tsk_06f1a2b3c4d5e --reason 'the bank is back'
  tasker dlq requeue --code bank.unavailable --dry-run
  tasker dlq requeue --code bank.unavailable --reason 'the bank is back' --rate 20 --yes

Exits with 1 if some were refused; with 3 or 4 if all were, because there are no such letters or they were discarded before.")]
    Requeue(Settle),
    /// Discard dead letters: nothing follows, and the tasks stay as they are
    ///
    /// A task can still be tried again later: tasker task retry TASK.
    #[command(after_help = "\
Examples:
  tasker dlq discard tsk_06f1a2b3c4d5e --reason 'a test order'
  tasker dlq discard --workflow nightly_report --failed-before 7d --reason 'superseded by later runs' --yes

Exits with 1 if some were refused; with 3 or 4 if all were, because there are no such letters or they were requeued before.")]
    Discard(Settle),
}

/// Which dead letters are meant; every filter must hold.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub struct Which {
    /// Only those that failed with this code
    #[arg(long, value_name = "CODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Only those of this workflow
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<String>,
    /// Only those that failed in this step
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// Only those whose step is one of this system
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    /// Only those whose step asks for this capability
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    capability: Option<String>,
    /// Only those that failed at this instant or later: 2026-11-21T07:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "written")]
    failed_from: Option<Timestamp>,
    /// Only those that failed before this instant
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "written")]
    failed_before: Option<Timestamp>,
}

fn written<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_str(&instant(*at)),
        None => serializer.serialize_none(),
    }
}

/// With the milliseconds that the server keeps.
fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

impl Which {
    fn is_filtered(&self) -> bool {
        let texts = [&self.code, &self.workflow, &self.step, &self.system, &self.capability];
        texts.into_iter().any(Option::is_some) || self.failed_from.is_some() || self.failed_before.is_some()
    }

    fn ask<'a>(&self, request: Request<'a>) -> Request<'a> {
        request
            .query_if("code", self.code.as_deref())
            .query_if("workflow", self.workflow.as_deref())
            .query_if("step", self.step.as_deref())
            .query_if("system", self.system.as_deref())
            .query_if("capability", self.capability.as_deref())
            .query_if("failed_from", self.failed_from.map(instant).as_deref())
            .query_if("failed_before", self.failed_before.map(instant).as_deref())
    }
}

/// What somebody did about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Nothing yet
    Open,
    /// It was tried again
    Requeued,
    /// It was decided that nothing follows
    Discarded,
    /// Whatever it is
    All,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
            Self::All => "all",
        }
    }
}

pub(super) async fn run(command: DlqCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        DlqCommand::List { which, state, limit } => {
            let ask = || which.ask(client.get(&["dlq"])).query("state", state.as_str());
            let filtered = which.is_filtered() || state != State::Open;
            let found = gather::gather(limit, ask).await?;
            found.print(|found: &[DeadLetter], look| render::letters::list(found, filtered, look), console)?;
            Ok(Exit::Success)
        }
        DlqCommand::Groups { which, state } => {
            let answer = which.ask(client.get(&["dlq:groups"])).query("state", state.as_str()).send().await?;
            let filtered = which.is_filtered() || state != State::Open;
            console.answer(&answer.body, |look| Ok(render::letters::groups(&answer.read::<DeadLetterGroups>()?, filtered, look)))?;
            Ok(Exit::Success)
        }
        DlqCommand::Show { task } => {
            let answer = client.get(&["dlq", &task]).send().await?;
            console.answer(&answer.body, |look| Ok(render::letters::one(&answer.read()?, look)))?;
            Ok(Exit::Success)
        }
        DlqCommand::Requeue(order) => settle::run(settle::Verb::Requeue, order, client, console).await,
        DlqCommand::Discard(order) => settle::run(settle::Verb::Discard, order, client, console).await,
    }
}

//! What comes from outside: `tasker task signal` for one task, `tasker event send` for whoever waits.

use super::input;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{render, text};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::value::RawValue;

/// A signal to one task.
#[derive(Debug, Args)]
pub struct Signal {
    /// The task's id
    #[arg(value_parser = text::parse_name)]
    task: String,

    /// The signal, as the waiting step names it
    #[arg(value_parser = text::parse_name)]
    name: String,

    /// What it carries: JSON, @FILE, or - for standard input; without, null
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,

    /// An id of your own: the same signal with the same id counts once, however often it is sent
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

/// What can be told to whoever waits.
#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Give an event to every step that waits for its name and key
    ///
    /// If no step waits for it, it is kept for a day for the first that will.
    #[command(after_help = "\
Examples:
  tasker event send payment.settled --key A-7
  tasker event send payment.settled --key A-7 --payload '{\"amount\":139.10}' --id transfer-4711
  tasker event send payment.settled --key A-7 --payload @transfer.json")]
    Send {
        /// Its name, as the waiting steps name it
        name: String,
        /// By which it finds its steps, as they compute it
        #[arg(long)]
        key: String,
        /// What it carries: JSON, @FILE, or - for standard input; without, null
        #[arg(long, value_name = "JSON")]
        payload: Option<String>,
        /// An id of your own: the same event with the same id counts once, however often it is sent within a day
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
}

/// An event, as the server reads it.
#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

pub(super) async fn signal(signal: &Signal, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let payload = input::read_optional("--payload", signal.payload.as_deref(), console)?;
    let mut request = client.post(&["tasks", &signal.task, "signals", &signal.name]);
    if let Some(payload) = payload {
        request = request.json(payload.get().to_owned());
    }
    if let Some(id) = &signal.id {
        request = request.key(id);
    }
    let answer = request.send().await?;
    console.answer(&answer.body, |look| Ok(render::people::signalled(&signal.name, &answer.read()?, look)))?;
    Ok(Exit::Success)
}

pub(super) async fn run(command: EventCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let EventCommand::Send { name, key, payload, id } = command;
    let payload = input::read_optional("--payload", payload.as_deref(), console)?;
    let event = Event { name: &name, key: &key, payload: payload.as_deref() };
    let mut request = client.post(&["events"]).json(serde_json::to_string(&event).expect("text and valid JSON always print"));
    if let Some(id) = &id {
        request = request.key(id);
    }
    let answer = request.send().await?;
    console.answer(&answer.body, |look| Ok(render::people::event(&answer.read()?, look)))?;
    Ok(Exit::Success)
}

//! `tasker worker …`, `tasker system …`, `tasker capability …`: questions with one answer each.

use crate::answers::{CapabilityDetail, Page, SystemDetail, WorkerDetail};
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::fleet;
use crate::text;
use clap::Subcommand;

/// What can be asked about workers.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// List the connected workers: who is busy, who is silent
    #[command(after_help = "\
Examples:
  tasker worker list
  tasker worker list -o jsonl | jq -r 'select(.silent_ms > 10000) | .session'")]
    List,
}

/// What can be asked about systems.
#[derive(Debug, Subcommand)]
pub enum SystemCommand {
    /// List the systems of the namespace
    #[command(after_help = "Examples:\n  tasker system list")]
    List,
    /// Show a system: its capabilities and its workers
    #[command(after_help = "Examples:\n  tasker system show python_inventory")]
    Show {
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
    },
}

/// What can be asked about capabilities.
#[derive(Debug, Subcommand)]
pub enum CapabilityCommand {
    /// List the capabilities of the namespace, with what waits for them
    #[command(after_help = "\
Examples:
  tasker capability list
  tasker capability list -o jsonl | jq -r 'select(.waiting > 0) | .name'")]
    List,
    /// Show a capability: who can do it, what waits for it, and its contract
    #[command(after_help = "\
Examples:
  tasker capability show python_inventory inventory.reserve
  tasker capability show python_inventory inventory.reserve -o json | jq .contract.input")]
    Show {
        /// The system that owns it
        #[arg(value_parser = text::parse_name)]
        system: String,
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
    },
}

pub(super) async fn run_worker(command: WorkerCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let WorkerCommand::List = command;
    let answer = client.get(&["workers"]).send().await?;
    console.answer(&answer.body, |look| Ok(fleet::workers(&answer.read::<Page<WorkerDetail>>()?.items, look)))?;
    Ok(Exit::Success)
}

pub(super) async fn run_system(command: SystemCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        SystemCommand::List => {
            let answer = client.get(&["systems"]).send().await?;
            console.answer(&answer.body, |look| Ok(fleet::systems(&answer.read::<Page<SystemDetail>>()?.items, look)))?;
        }
        SystemCommand::Show { name } => {
            let answer = client.get(&["systems", &name]).send().await?;
            console.answer(&answer.body, |look| Ok(fleet::system(&answer.read()?, look)))?;
        }
    }
    Ok(Exit::Success)
}

pub(super) async fn run_capability(command: CapabilityCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        CapabilityCommand::List => {
            let answer = client.get(&["capabilities"]).send().await?;
            console.answer(&answer.body, |look| Ok(fleet::capabilities(&answer.read::<Page<CapabilityDetail>>()?.items, look)))?;
        }
        CapabilityCommand::Show { system, name } => {
            let answer = client.get(&["capabilities", &system, &name]).send().await?;
            console.answer(&answer.body, |look| Ok(fleet::capability(&answer.read()?, look)))?;
        }
    }
    Ok(Exit::Success)
}

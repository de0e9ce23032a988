//! `tasker worker …`, `tasker system …`, `tasker capability …`: questions and orders with one answer each.

use super::pages;
use crate::answers::{CapabilityDetail, Page, SystemDetail, WorkerDetail};
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::render::fleet;
use crate::text;
use clap::Subcommand;
use serde_json::json;

/// What can be asked about workers, and asked of them.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// List the connected workers: who is busy, who is silent
    #[command(after_help = "\
Examples:
  tasker worker list
  tasker worker list -o jsonl | jq -r 'select(.silent_ms > 10000) | .session'")]
    List,
    /// Give a worker nothing new, and ask it to finish what it holds and leave
    #[command(after_help = "\
Examples:
  tasker worker drain aB3dE5gH7jK9mN1pQ2rS4t
  tasker worker list -o jsonl | jq -r 'select(.host == \"warehouse-3\") | .session' | xargs -n1 tasker worker drain")]
    Drain {
        /// Its session, as `tasker worker list` shows it; drawn at random, so it may begin with a hyphen
        #[arg(value_parser = text::parse_name, allow_hyphen_values = true)]
        session: String,
        /// Its system; needed only if workers of two systems chose the same session
        #[arg(long, value_parser = text::parse_name)]
        system: Option<String>,
    },
}

/// What can be asked about systems, and ordered.
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
    /// Print what the systems of a manifest can do, as Markdown, without a server
    ///
    /// Each capability with tables of its input, its result and its errors.
    #[command(after_help = "\
Examples:
  tasker system docs order.yaml > systems.md
  tasker system docs order.yaml --system node_payments")]
    Docs {
        /// The manifest; - is standard input
        #[arg(value_name = "FILE")]
        file: String,
        /// Only this one of its systems
        #[arg(long, value_parser = text::parse_name)]
        system: Option<String>,
    },
    /// Give the workers of a build nothing new; they stay, and finish what they hold
    ///
    /// Workers of that build which join later get nothing either. The order is kept until it is undone or the coordinator starts anew.
    #[command(
        disable_version_flag = true,
        after_help = "\
Examples:
  tasker system drain node_payments --version 2.0.0
  tasker system drain node_payments --version 2.0.0 --undo"
    )]
    Drain {
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
        /// The build, exactly as its workers announce it
        #[arg(long)]
        version: String,
        /// Give its workers work again
        #[arg(long)]
        undo: bool,
    },
}

/// What an operator may demand of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Demand {
    /// Dispatch nothing until told otherwise
    Open,
    /// Dispatch whatever fails until told otherwise
    Close,
    /// Follow the policy that the manifest declares
    Auto,
}

impl Demand {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Auto => "auto",
        }
    }
}

/// What can be asked about capabilities, and ordered.
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
    /// Open or close a capability's breaker by hand, or let it follow its policy again
    ///
    /// While it is open nothing is dispatched: steps wait and burn no attempts. The order is kept until the next one or until the coordinator
    /// starts anew.
    #[command(after_help = "\
Examples:
  tasker capability breaker node_payments payment.charge open
  tasker capability breaker node_payments payment.charge auto")]
    Breaker {
        /// The system that owns it
        #[arg(value_parser = text::parse_name)]
        system: String,
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
        /// What the breaker shall do
        #[arg(value_enum)]
        demand: Demand,
    },
}

pub(super) async fn run_worker(command: WorkerCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        WorkerCommand::List => {
            let answer = client.get(&["workers"]).send().await?;
            console.answer(&answer.body, |look| Ok(fleet::workers(&answer.read::<Page<WorkerDetail>>()?.items, look)))?;
        }
        WorkerCommand::Drain { session, system } => {
            let body = system.map_or_else(|| json!({}), |system| json!({ "system": system }));
            let answer = client.post(&["workers", &session, "drain"]).json(body.to_string()).repeatable().send().await?;
            console.answer(&answer.body, |look| Ok(fleet::drained_worker(&answer.read()?, look)))?;
        }
    }
    Ok(Exit::Success)
}

pub(super) async fn run_system(command: SystemCommand, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        SystemCommand::Docs { file, system } => return pages::system(&file, system.as_deref(), global, console),
        SystemCommand::List => {
            let answer = client.get(&["systems"]).send().await?;
            console.answer(&answer.body, |look| Ok(fleet::systems(&answer.read::<Page<SystemDetail>>()?.items, look)))?;
        }
        SystemCommand::Show { name } => {
            let answer = client.get(&["systems", &name]).send().await?;
            console.answer(&answer.body, |look| Ok(fleet::system(&answer.read()?, look)))?;
        }
        SystemCommand::Drain { name, version, undo } => {
            let body = json!({ "version": version, "undo": undo }).to_string();
            let answer = client.post(&["systems", &name, "drain"]).json(body).repeatable().send().await?;
            console.answer(&answer.body, |_| Ok(fleet::drained_version(&answer.read()?)))?;
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
        CapabilityCommand::Breaker { system, name, demand } => {
            let body = json!({ "override": demand.as_str() }).to_string();
            let answer = client.post(&["capabilities", &system, &name, "breaker"]).json(body).repeatable().send().await?;
            console.answer(&answer.body, |look| Ok(fleet::breaker_of(&answer.read()?, look)))?;
        }
    }
    Ok(Exit::Success)
}

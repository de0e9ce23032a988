//! What waits for capabilities, and what operators say about it.

use crate::answers::Page;
use crate::answers::queues::QueueDetail;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::queue;
use crate::text;
use clap::Subcommand;
use serde_json::{Map, Value, json};

/// What can be asked about queues, and ordered.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the queue of every capability: how many steps wait, what is open, what holds them back
    #[command(after_help = "\
Examples:
  tasker queue list
  tasker queue list -o jsonl | jq -r 'select(.held_by != null) | .capability'")]
    List,
    /// Show the queue of a capability with its limits
    #[command(after_help = "\
Examples:
  tasker queue show node_payments payment.charge")]
    Show {
        /// The system that owns the capability
        #[arg(value_parser = text::parse_name)]
        system: String,
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
    },
    /// Start nothing more from a queue; what is at work goes on
    ///
    /// The order is kept until `resume` or until the coordinator starts anew.
    #[command(after_help = "\
Examples:
  tasker queue pause node_payments payment.charge")]
    Pause {
        /// The system that owns the capability
        #[arg(value_parser = text::parse_name)]
        system: String,
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
    },
    /// Go on with a paused queue
    #[command(after_help = "\
Examples:
  tasker queue resume node_payments payment.charge")]
    Resume {
        /// The system that owns the capability
        #[arg(value_parser = text::parse_name)]
        system: String,
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
    },
    /// Change the limits of a queue, until the coordinator starts anew
    ///
    /// Each limit takes a value, `unlimited`, or `declared`: what the manifests say.
    #[command(after_help = "\
Examples:
  tasker queue limit node_payments payment.charge --rate 10/s --burst 2
  tasker queue limit node_payments payment.charge --max-concurrent unlimited
  tasker queue limit node_payments payment.charge --rate declared")]
    Limit {
        /// The system that owns the capability
        #[arg(value_parser = text::parse_name)]
        system: String,
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
        /// How fast: 50/s, 100/m, 10/h
        #[arg(long, value_name = "RATE", required_unless_present_any = ["max_concurrent", "max_backlog"])]
        rate: Option<String>,
        /// With --rate: how many at once after a quiet time
        #[arg(long, value_name = "N", requires = "rate")]
        burst: Option<u32>,
        /// How many attempts may be open, over the whole fleet
        #[arg(long, value_name = "N")]
        max_concurrent: Option<String>,
        /// How many steps may wait before submissions are refused
        #[arg(long, value_name = "N")]
        max_backlog: Option<String>,
    },
}

pub(super) async fn run(command: QueueCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let (system, name, change) = match command {
        QueueCommand::List => {
            let answer = client.get(&["queues"]).send().await?;
            console.answer(&answer.body, |look| Ok(queue::list(&answer.read::<Page<QueueDetail>>()?.items, look)))?;
            return Ok(Exit::Success);
        }
        QueueCommand::Show { system, name } => {
            let answer = client.get(&["queues", &system, &name]).send().await?;
            console.answer(&answer.body, |look| Ok(queue::one(&answer.read()?, look)))?;
            return Ok(Exit::Success);
        }
        QueueCommand::Pause { system, name } => (system, name, json!({ "paused": true })),
        QueueCommand::Resume { system, name } => (system, name, json!({ "paused": false })),
        QueueCommand::Limit { system, name, rate, burst, max_concurrent, max_backlog } => {
            let mut change = Map::new();
            let given = [("rate_limit", rate.map(Value::from)), ("burst", burst.map(Value::from))];
            let numbers = [("max_concurrent", max_concurrent.map(number)), ("max_backlog", max_backlog.map(number))];
            change.extend(given.into_iter().chain(numbers).filter_map(|(name, value)| Some((name.to_owned(), value?))));
            (system, name, Value::Object(change))
        }
    };
    let answer = client.post(&["queues", &system, &name]).json(change.to_string()).repeatable().send().await?;
    console.answer(&answer.body, |look| Ok(queue::one(&answer.read()?, look)))?;
    Ok(Exit::Success)
}

/// A number, or a word, as it was written; whether it is one of those is the server's to say.
fn number(written: String) -> Value {
    written.parse::<u32>().map_or(Value::from(written), Value::from)
}

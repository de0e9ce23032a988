//! `tasker step …`: steps that failed for good and wait for a person.

use super::gather::{self, ROWS_MAX};
use super::input;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{render, text};
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::value::RawValue;

/// What becomes of a held step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Resolution {
    /// Try it again, with fresh attempts
    Retry,
    /// Go on without it: it counts as skipped
    Skip,
    /// Go on with the result given with --result
    Supply,
    /// Let it fail
    Fail,
}

impl Resolution {
    fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Supply => "supply",
            Self::Fail => "fail",
        }
    }
}

/// What can be done with steps that wait for a person.
#[derive(Debug, Subcommand)]
pub enum StepCommand {
    /// List the steps that failed for good and wait for a person, oldest tasks first
    #[command(after_help = "\
Examples:
  tasker step held
  tasker step held --task tsk_06f1a2b3c4d5e -o json | jq '.items[].failure'")]
    Held {
        /// Only the steps of this task
        #[arg(long, value_parser = text::parse_name)]
        task: Option<String>,
        /// How many to list at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(ROWS_MAX)))]
        limit: u32,
    },
    /// Say what becomes of a step that failed for good and waits for a person
    ///
    /// Exits with 4 if the step does not wait for a person (any more).
    #[command(after_help = "\
Examples:
  tasker step resolve tsk_06f1a2b3c4d5e ship retry --by ada --comment 'the address is corrected'
  tasker step resolve tsk_06f1a2b3c4d5e ship supply --by ada --result '{\"parcel_id\":\"P-9\"}'
  tasker step resolve tsk_06f1a2b3c4d5e 'resize[17]' skip --by ada")]
    Resolve {
        /// The task's id
        #[arg(value_parser = text::parse_name)]
        task: String,
        /// The step, or an item of its fan-out: resize[17]
        #[arg(value_parser = text::parse_step)]
        step: String,
        /// What becomes of it
        #[arg(value_enum)]
        resolution: Resolution,
        /// Who says so
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
        by: String,
        /// Why, for people who look later
        #[arg(long)]
        comment: Option<String>,
        /// With supply: the step's result, which must fit its contract; JSON, @FILE, or - for standard input
        #[arg(long, value_name = "JSON", required_if_eq("resolution", "supply"))]
        result: Option<String>,
    },
}

/// A resolution, as the server reads it.
#[derive(Serialize)]
struct Order<'a> {
    resolution: &'static str,
    by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
}

pub(super) async fn run(command: StepCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        StepCommand::Held { task, limit } => {
            let ask = || client.get(&["held"]).query_if("task", task.as_deref());
            gather::gather(limit, ask).await?.print(|found, look| render::people::held(found, task.is_some(), look), console)?;
        }
        StepCommand::Resolve { task, step, resolution, by, comment, result } => {
            if result.is_some() && resolution != Resolution::Supply {
                return Err(Failure::Usage {
                    said: format!("`{}` takes no --result", resolution.as_str()),
                    help: "to go on with a result of yours: tasker step resolve TASK STEP supply --result JSON".to_owned(),
                });
            }
            let result = input::read_optional("--result", result.as_deref(), console)?;
            let order = Order { resolution: resolution.as_str(), by: &by, comment: comment.as_deref(), result: result.as_deref() };
            let body = serde_json::to_string(&order).expect("text and valid JSON always print");
            let answer = client.post(&["tasks", &task, "steps", &format!("{step}:resolve")]).json(body).send().await?;
            let said = format!("resolved by {}", resolution.as_str());
            console.answer(&answer.body, |look| Ok(render::people::changed(&step, &said, &answer.read()?, look)))?;
        }
    }
    Ok(Exit::Success)
}

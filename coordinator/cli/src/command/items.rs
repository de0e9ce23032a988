//! `tasker task items`: what became of each item of a fan-out.

use super::gather::{self, ROWS_MAX};
use crate::answers;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{render, text};
use clap::Args;

/// Which items to list.
#[derive(Debug, Args)]
pub struct Items {
    /// The task's id
    #[arg(value_parser = text::parse_name)]
    task: String,

    /// The step that fans out
    #[arg(value_parser = text::parse_step)]
    step: String,

    /// Only items in these states: running, failed, held, …
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,

    /// How many to list at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(ROWS_MAX)))]
    limit: u32,
}

pub(super) async fn run(given: &Items, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let ask = || {
        let request = client.get(&["tasks", &given.task, "steps", &given.step, "items"]);
        given.state.iter().fold(request, |request, state| request.query("state", state))
    };
    let found = gather::gather(given.limit, ask).await?;
    let counts = answers::Items {
        count: found.count.unwrap_or(0),
        working: found.working.unwrap_or(0),
        over: found.over.unwrap_or(0),
        succeeded: found.succeeded.unwrap_or(0),
        failed: found.failed.unwrap_or(0),
    };
    found.print(|items, look| render::people::items(&counts, items, !given.state.is_empty(), look), console)?;
    Ok(Exit::Success)
}

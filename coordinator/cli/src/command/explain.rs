//! `tasker workflow explain`

use super::definition;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Format, Global};
use clap::Args;
use serde_json::json;

/// What is explained.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tasker workflow explain order.yaml
  tasker workflow explain order_processing        an applied workflow, from the server
  tasker workflow explain - < order.yaml")]
pub struct ExplainArgs {
    /// A manifest, - for standard input, or the name of an applied workflow
    #[arg(value_name = "FILE|NAME")]
    workflow: String,
}

pub(super) async fn run(args: &ExplainArgs, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let manifest = if definition::is_file(&args.workflow) {
        definition::from_file(&args.workflow, global, console)?
    } else {
        definition::from_server(&args.workflow, None, &Client::new(global)?, global, console).await?
    };
    let text = tasker_drawing::explain(&manifest.workflow, &manifest.description);
    if console.format() == Format::Table {
        console.raw(&text)?;
    } else {
        let answer = json!({ "name": manifest.workflow.name, "version": manifest.workflow.version, "text": text });
        let answer = serde_json::value::to_raw_value(&answer).expect("texts always print");
        console.answer(&answer, |_| Ok(String::new()))?;
    }
    Ok(Exit::Success)
}

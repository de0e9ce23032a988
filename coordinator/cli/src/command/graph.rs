//! `tasker workflow graph`

use super::definition;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Format, Global};
use crate::text;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;
use tasker_drawing::{Live, LiveStates, Scene, dot, mermaid, svg};

/// What is drawn.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tasker workflow graph order.yaml                          Mermaid, which Git hosts and wikis draw
  tasker workflow graph order.yaml --format svg > order.svg
  tasker workflow graph order.yaml --format dot | dot -Tpng > order.png
  tasker workflow graph order_processing                    an applied workflow, from the server
  tasker workflow graph --task tsk_06bn7z3v2x9k0 --format svg > now.svg")]
pub struct GraphArgs {
    /// A manifest, - for standard input, or the name of an applied workflow
    #[arg(value_name = "FILE|NAME", required_unless_present = "task")]
    workflow: Option<String>,
    /// The notation
    #[arg(long, value_enum, default_value_t = Notation::Mermaid)]
    format: Notation,
    /// Draw where the steps of this task stand
    #[arg(long, value_name = "ID", value_parser = text::parse_name)]
    task: Option<String>,
}

/// A notation for graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Notation {
    /// For Git hosts, wikis and Markdown
    Mermaid,
    /// For Graphviz
    Dot,
    /// For browsers; up to 300 steps
    Svg,
}

/// A task's steps, as far as a picture needs them. Read leniently, like all answers.
#[derive(Debug, Deserialize)]
struct Standing {
    workflow: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    steps: Vec<StepStanding>,
}

#[derive(Debug, Deserialize)]
struct StepStanding {
    name: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    items: Option<ItemsStanding>,
}

#[derive(Debug, Deserialize)]
struct ItemsStanding {
    #[serde(default)]
    over: u64,
    #[serde(default)]
    count: u64,
}

pub(super) async fn run(args: &GraphArgs, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let (standing, states) = match &args.task {
        Some(id) => {
            let answer = Client::new(global)?.get(&["tasks", id]).send().await?;
            let standing: Standing = answer.read()?;
            let states = states(&standing);
            (Some(standing), states)
        }
        None => (None, LiveStates::new()),
    };
    let manifest = match (&args.workflow, &standing) {
        (Some(given), _) if definition::is_file(given) => definition::from_file(given, global, console)?,
        (_, Some(Standing { workflow, version, .. })) => {
            definition::from_server(workflow, version.as_deref(), &Client::new(global)?, global, console).await?
        }
        (Some(given), None) => definition::from_server(given, None, &Client::new(global)?, global, console).await?,
        (None, None) => unreachable!("the parser asks for one of the two"),
    };
    let scene = Scene::of(&manifest.workflow, &states);
    let drawn = match args.format {
        Notation::Mermaid => mermaid(&scene),
        Notation::Dot => dot(&scene),
        Notation::Svg => svg(&scene).map_err(|large| Failure::Usage {
            said: large.to_string(),
            help: "--format mermaid and --format dot draw a workflow of any size".to_owned(),
        })?,
    };
    if console.format() == Format::Table {
        console.raw(&drawn)?;
    } else {
        let answer = json!({ "name": manifest.workflow.name, "version": manifest.workflow.version, "graph": drawn });
        let answer = serde_json::value::to_raw_value(&answer).expect("texts always print");
        console.answer(&answer, |_| Ok(String::new()))?;
    }
    Ok(Exit::Success)
}

fn states(standing: &Standing) -> LiveStates {
    let live = |step: &StepStanding| Live { state: step.state.clone(), items: step.items.as_ref().map(|items| (items.over, items.count)) };
    standing.steps.iter().map(|step| (step.name.clone(), live(step))).collect()
}

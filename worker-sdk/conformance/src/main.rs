//! `tasker-conformance`: runs the scenarios against one worker program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tasker_conformance::runner::{self, Run};
use tasker_conformance::{nats_server, report, scenarios};

/// Plays the coordinator over real NATS and judges a worker SDK.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How to start the conformance worker, as for a shell; signals go to the program itself.
    #[arg(long)]
    worker: String,
    /// The language as the report names it; the worker's hello must name the same.
    #[arg(long)]
    language: String,
    /// The nats-server program; looked up in PATH unless given.
    #[arg(long, env = "NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// Only scenarios whose name or group contains this; may be repeated.
    #[arg(long)]
    scenario: Vec<String>,
    /// How many scenarios run at once, each with a server and a worker of its own.
    #[arg(long, default_value_t = 6)]
    jobs: usize,
    /// How the report is written to standard output.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let nats_server = nats_server::find(arguments.nats_server.as_deref())?;
    let chosen = scenarios::all()
        .into_iter()
        .filter(|scenario| {
            arguments.scenario.is_empty()
                || arguments.scenario.iter().any(|part| scenario.name.contains(part.as_str()) || scenario.group.contains(part.as_str()))
        })
        .collect::<Vec<_>>();
    anyhow::ensure!(!chosen.is_empty(), "no scenario has a name or group like {:?}", arguments.scenario);

    let run = Run { worker: arguments.worker, language: arguments.language, nats_server, jobs: arguments.jobs.max(1) };
    let report = runner::run(run, chosen).await;
    match arguments.output {
        Output::Table => println!("{}", report::table(&report)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report).context("the report is always JSON")?),
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

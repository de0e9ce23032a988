//! The binary `tasker`: starts and stops the coordinator, and hands everything else to the command line.
//!
//! The only place that knows all rooms; it holds no logic of its own. Start reading at [`coordinator`].

/// Writes a line to standard output. A reader that has gone, such as `head`, is no fault.
macro_rules! out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod args;
mod bench;
mod check;
mod configuration;
mod coordinator;
mod logging;
mod push;
mod spans;

use args::{Cli, ConfigCommand, DebugCommand, TopCommand};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// One step makes and drops some hundred small values, many of them on another thread than they were made on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match threads(&mut tokio::runtime::Builder::new_multi_thread()).thread_stack_size(STACK_BYTES).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the process cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(cli));
    // Reads that still run must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

/// Room for the deepest schema and expression that the limits admit, also in a build without optimisation; only what is used of it is memory.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// One core is left to the thread that writes the database: on a small machine each thread more is one more to be woken on a step's way (ADR 15).
/// `TOKIO_WORKER_THREADS` says otherwise.
fn threads(runtime: &mut tokio::runtime::Builder) -> &mut tokio::runtime::Builder {
    if std::env::var_os("TOKIO_WORKER_THREADS").is_some() {
        return runtime;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    runtime.worker_threads(cores.saturating_sub(1).max(1))
}

async fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        TopCommand::Dev(dev) => coordinator::dev(dev).await,
        TopCommand::Server(server) => coordinator::server(server).await,
        TopCommand::Config(ConfigCommand::Check(given)) => configuration::check(&given),
        TopCommand::Config(ConfigCommand::Show(given)) => configuration::show(&given, cli.global.output),
        TopCommand::Debug(DebugCommand::Check(given)) => check::run(given, cli.global.output).await,
        TopCommand::Debug(DebugCommand::Ask(question)) => {
            return tasker_cli::run_as(Cli::command(), tasker_cli::Command::Debug(question), cli.global).await;
        }
        TopCommand::Bench(given) => bench::run(*given, cli.global.output).await,
        TopCommand::BenchWorker(given) => bench::worker::run(given).await,
        TopCommand::Ask(command) => return tasker_cli::run_as(Cli::command(), command, cli.global).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error{error:#}");
        ExitCode::FAILURE
    })
}

//! The command line of Tasker, as a library: what `tasker workflow`, `task`, `approval`, `step`, `event`, `contract`, `worker`, `system`,
//! `capability`, `debug why`, `completion` and `help` do. The program's `main` is elsewhere; it flattens [`Global`] and [`Command`] into its own parser and calls [`run_as`]:
//!
//! ```no_run
//! use clap::{CommandFactory, Parser};
//!
//! #[derive(Parser)]
//! #[command(name = "tasker", after_help = tasker_cli::EXIT_CODES)]
//! struct Program {
//!     #[command(flatten)]
//!     global: tasker_cli::Global,
//!     #[command(subcommand)]
//!     command: Commands,
//! }
//!
//! #[derive(clap::Subcommand)]
//! enum Commands {
//!     #[command(flatten)]
//!     Client(tasker_cli::Command),
//!     /// Ask why something does not move, and check the promises
//!     #[command(subcommand)]
//!     Debug(tasker_cli::DebugCommand),
//! }
//!
//! # async fn main_of() -> std::process::ExitCode {
//! let program = Program::parse();
//! let command = match program.command {
//!     Commands::Client(command) => command,
//!     Commands::Debug(command) => tasker_cli::Command::Debug(command),
//! };
//! tasker_cli::run_as(Program::command(), command, program.global).await
//! # }
//! ```
//!
//! It speaks to a server through the public HTTP API alone, and checks manifests offline with `tasker-manifest`. It never reads a database or a bus,
//! never invents an answer, and repeats a request only if a repeat cannot do anything twice.
//!
//! Where to start reading: `command` has a file for each thing that can be typed; `client` is one request, `retry` decides about the next try,
//! `follow` is the live stream; `render` turns answers into text; `exit` and `failure` say how it ends.

mod answers;
mod client;
mod command;
mod console;
mod exit;
mod failure;
mod follow;
mod global;
mod json;
mod look;
mod problem;
mod render;
mod retry;
mod sse;
mod table;
mod text;
mod yaml;

pub use command::{
    ApprovalCommand, CapabilityCommand, Command, ContractCommand, DebugCommand, Demand, EventCommand, Resolution, StepCommand,
    SystemCommand, TaskCommand, Verdict, WorkerCommand, WorkflowCommand, execute, run, run_as,
};
pub use console::{Captured, Console};
pub use exit::{EXIT_CODES, Exit};
pub use global::{Format, Global};

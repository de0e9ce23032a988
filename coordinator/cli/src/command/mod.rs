//! What can be typed: one file for each noun, and for each verb that is more than a question and an answer.

mod approval;
mod contract;
mod definition;
mod dlq;
mod events;
mod explain;
mod fleet;
mod format;
mod gather;
mod graph;
mod help;
mod input;
mod items;
mod lines;
mod list;
mod outside;
mod pages;
mod queue;
mod rehearse;
mod schema;
mod step;
mod submit;
mod task;
mod wait;
mod watch;
mod workflow;

pub use approval::{ApprovalCommand, Verdict};
pub use contract::ContractCommand;
pub use dlq::DlqCommand;
pub use fleet::{CapabilityCommand, Demand, SystemCommand, WorkerCommand};
pub use outside::EventCommand;
pub use queue::QueueCommand;
pub use step::{Resolution, StepCommand};
pub use task::{DebugCommand, TaskCommand};
pub use workflow::WorkflowCommand;

use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What the command line can do through a server's public API. Flatten it into the program's own subcommands.
///
/// It brings its own `help`, which knows topics and error codes too, so the parser's own is switched off.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum Command {
    /// Check, apply and look at workflows
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Submit tasks, follow them, and bring them to an end
    #[command(subcommand)]
    Task(TaskCommand),
    /// See what people are asked to decide, and decide it
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// See the steps that failed for good and wait for a person, and say what becomes of them
    #[command(subcommand)]
    Step(StepCommand),
    /// See the tasks that failed for good, by error code or one by one; try them again or discard them
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Tell whoever waits for it that something happened
    #[command(subcommand)]
    Event(EventCommand),
    /// Make schemas from samples and workers from schemas, and see what a new contract breaks
    #[command(subcommand)]
    Contract(ContractCommand),
    /// See who works, and ask workers to leave
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// See the systems and what they own, and drain their builds
    #[command(subcommand)]
    System(SystemCommand),
    /// See what can be done, by whom, and what waits for it; open and close breakers
    #[command(subcommand)]
    Capability(CapabilityCommand),
    /// See what waits for capabilities and what holds it back; pause queues and change their limits
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Find out why something does not move
    ///
    /// Not parsed here: the program has `debug` commands of its own, and flattens [`DebugCommand`] among them.
    #[command(skip)]
    Debug(DebugCommand),
    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  tasker completion bash > ~/.local/share/bash-completion/completions/tasker
  tasker completion zsh  > ~/.zfunc/_tasker
  tasker completion fish > ~/.config/fish/completions/tasker.fish")]
    Completion {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print help on a command, a topic, or an error code
    #[command(after_help = "\
Examples:
  tasker help                   the topics
  tasker help task submit       a command
  tasker help exit-codes        a topic
  tasker help input.violated    an error code: what it means and what to do")]
    Help {
        /// A command, a topic, or an error code
        #[arg(value_name = "WORD")]
        words: Vec<String>,
    },
}

/// The commands of this library as a program of their own, for help and completion when the real program does not say what it is.
#[derive(Debug, Parser)]
#[command(name = "tasker", about = "Coordinate work between systems", after_help = crate::EXIT_CODES)]
struct Alone {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: AloneCommand,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "built once per process, and clap flattens no boxes")]
enum AloneCommand {
    #[command(flatten)]
    Client(Command),
    /// Find out why something does not move
    #[command(subcommand)]
    Debug(DebugCommand),
}

/// Carries a command out on the streams of this process. Completion and help know the commands of this library only; see [`run_as`].
pub async fn run(command: Command, global: Global) -> ExitCode {
    run_as(<Alone as clap::CommandFactory>::command(), command, global).await
}

/// Carries a command out on the streams of this process, as part of `program`, whose commands `completion` and `help` then know.
pub async fn run_as(program: clap::Command, command: Command, global: Global) -> ExitCode {
    let mut console = Console::of_process(&global);
    execute(program, command, &global, &mut console).await.into()
}

/// Carries a command out on the given console. Failures are told there; what is returned is only the exit code.
pub async fn execute(program: clap::Command, command: Command, global: &Global, console: &mut Console) -> Exit {
    match dispatch(program, command, global, console).await {
        Ok(exit) => exit,
        Err(failure) => {
            console.fail(&failure);
            failure.exit()
        }
    }
}

async fn dispatch(program: clap::Command, command: Command, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        Command::Workflow(command) => workflow::run(command, global, console).await,
        Command::Task(command) => task::run(command, &Client::new(global)?, console).await,
        Command::Approval(command) => approval::run(command, &Client::new(global)?, console).await,
        Command::Step(command) => step::run(command, &Client::new(global)?, console).await,
        Command::Dlq(command) => dlq::run(command, &Client::new(global)?, console).await,
        Command::Event(command) => outside::run(command, &Client::new(global)?, console).await,
        Command::Contract(command) => contract::run(command, global, console).await,
        Command::Worker(command) => fleet::run_worker(command, &Client::new(global)?, console).await,
        Command::System(command) => fleet::run_system(command, global, console).await,
        Command::Capability(command) => fleet::run_capability(command, &Client::new(global)?, console).await,
        Command::Queue(command) => queue::run(command, &Client::new(global)?, console).await,
        Command::Debug(DebugCommand::Why { id }) => task::why(&id, &Client::new(global)?, console).await,
        Command::Completion { shell } => help::completion(shell, program, console),
        Command::Help { words } => help::help(&words, program, console),
    }
}

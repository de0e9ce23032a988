//! The command line of the parts that do not go through the API.

use crate::bench::given::{Bench, BenchWorker};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Tasker coordinates business processes across systems in different languages.
#[derive(Parser)]
#[command(name = "tasker", version, after_help = tasker_cli::EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: tasker_cli::Global,
    #[command(subcommand)]
    pub command: TopCommand,
}

/// What can be done.
#[derive(Subcommand)]
pub enum TopCommand {
    /// Run everything in one process, for development: no broker, no database server, loopback only
    Dev(Dev),
    /// Run a coordinator, for production
    Server(Server),
    /// Check or show the configuration; needs no running server
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Find out why something does not move, or whether every promise was kept
    #[command(subcommand)]
    Debug(DebugCommand),
    /// Measure throughput, overhead and cost per step on this machine
    Bench(Box<Bench>),
    /// A worker of the benchmark
    #[command(hide = true)]
    BenchWorker(BenchWorker),
    #[command(flatten)]
    Ask(tasker_cli::Command),
}

/// `tasker dev`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tasker dev                     throw-away data, removed at the end\n  tasker dev --data .tasker      data is kept in .tasker/tasker.db\n  tasker dev --http-port 0       any free port; the address is printed"
)]
pub struct Dev {
    /// Keep the data in this directory; without it everything is gone at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port of the HTTP API; 0 takes any free one
    #[arg(long, default_value_t = 7420, value_name = "PORT")]
    pub http_port: u16,
    /// Port of the embedded listener for workers; 0 takes any free one
    #[arg(long, default_value_t = 7422, value_name = "PORT")]
    pub nats_port: u16,
    /// Where to send traces, over OTLP/HTTP: http://127.0.0.1:4318
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// What to log: error, warn, info, debug, or a filter such as `tasker_runtime=debug,info`
    #[arg(long, env = "TASKER_LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// `tasker server`.
#[derive(Args)]
#[command(
    after_help = "Settings come from defaults, then the file, then the environment, then flags. `tasker config show` prints the result.\n\nExample:\n  tasker server --database-url postgres://tasker@db/tasker --nats-url nats://bus:4222\n  tasker server --database-url sqlite:/var/lib/tasker/tasker.db      with the embedded listener"
)]
pub struct Server {
    #[command(flatten)]
    pub settings: Given,
}

/// What was given besides the file and the environment; a flag wins over both.
#[derive(Args, Clone, Default)]
pub struct Given {
    /// Configuration file (TOML)
    #[arg(long, env = "TASKER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Database: sqlite:PATH or postgres://… [env: TASKER_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// NATS server or cluster; without it the embedded listener is used [env: TASKER_NATS_URL]
    #[arg(long, value_name = "URL")]
    pub nats_url: Option<String>,
    /// Where the embedded listener listens [env: TASKER_NATS_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    pub nats_listen: Option<String>,
    /// Where the HTTP API listens [env: TASKER_HTTP_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// First words of every subject [env: TASKER_SUBJECT_PREFIX]
    #[arg(long, value_name = "PREFIX")]
    pub subject_prefix: Option<String>,
    /// Where to send traces, over OTLP/HTTP [env: TASKER_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// What becomes of a worker whose contract does not fit the applied workflows: refuse or warn [env: TASKER_GATE]
    #[arg(long, value_name = "POLICY")]
    pub gate: Option<String>,
    /// What to log [env: TASKER_LOG_LEVEL]
    #[arg(long, value_name = "FILTER")]
    pub log_level: Option<String>,
}

/// `tasker config`.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration is acceptable
    Check(Given),
    /// Print the configuration that a server would use, with where each value comes from; secrets are redacted
    Show(Given),
}

/// `tasker debug`.
#[derive(Subcommand)]
pub enum DebugCommand {
    /// Read a whole database and say, promise by promise, whether it was kept
    Check(Check),
    #[command(flatten)]
    Ask(tasker_cli::DebugCommand),
}

/// `tasker debug check`.
#[derive(Args)]
#[command(
    after_help = "The coordinator must not be running: the check takes the lease while it reads.\n\nExample:\n  tasker debug check --database-url sqlite:.tasker/tasker.db --accepted ids.txt --all-finished"
)]
pub struct Check {
    /// Database: sqlite:PATH or postgres://…
    #[arg(long, env = "TASKER_DATABASE_URL", value_name = "URL")]
    pub database_url: String,
    /// A file with the ids of accepted tasks, one per line: each must exist (P1)
    #[arg(long, value_name = "FILE")]
    pub accepted: Option<PathBuf>,
    /// What a client saw, as JSON lines `{op, key, t_start, t_end, outcome, id}`: held against the database (P1, P2, P3, P6, P8)
    #[arg(long, value_name = "FILE")]
    pub client_log: Option<PathBuf>,
    /// Every task must be over
    #[arg(long)]
    pub all_finished: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}

//! The command line of `tasker bench`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Starts a coordinator, workers, and if asked a database and a NATS server, as processes of their own; all of them are stopped and removed at the end.
Durability is never turned off unless `--without-durability` asks for it, and then every output says so.
Use a release build for figures that mean something.

Example:
  tasker bench --workflow linear:4 --tasks 20000 --in-flight 2000
  tasker bench --workflow fanout:1000 --tasks 20 -o json
  tasker bench --database postgres --nats own             a private PostgreSQL and nats-server
  tasker bench --rate 250                                 open loop: 250 tasks/s, for the overhead at that load
  tasker bench --tasks 200 --in-flight 1                  one task at a time: dispatch to an idle worker
  tasker bench --worker-language python                   the Python SDK answers
  tasker bench --history 10000000                         speed behind ten million stored steps, beside that of an empty database
  tasker bench --waiting 1000000                          memory of a million waiting tasks, and speed beside them
  tasker bench --restart 250000                           kill -9 with so many active tasks; time until work goes out again
  tasker bench --idle 30                                  processor and memory of a coordinator that has nothing to do";

/// `tasker bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Bench {
    /// Shape of the workflow: linear:N, diamond:N, fanout:N, for_each:N (one step over N items)
    #[arg(long, default_value = "linear:4", value_name = "SHAPE")]
    pub workflow: String,
    /// How many tasks
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub tasks: u32,
    /// About how many may be in flight at once
    #[arg(long, default_value_t = 1_000, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub in_flight: u32,
    /// Tasks per second, instead of as fast as it goes
    #[arg(long, value_name = "R", value_parser = positive)]
    pub rate: Option<f64>,
    /// Bytes of input and of each result
    #[arg(long, default_value_t = 256, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=900_000))]
    pub payload: u32,
    /// Worker processes
    #[arg(long, default_value_t = 1, value_name = "W", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,
    /// Slots of each worker
    #[arg(long, default_value_t = 256, value_name = "SLOTS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub slots: u32,
    /// In which language the workers are written
    #[arg(long, default_value = "rust", value_name = "LANGUAGE")]
    pub worker_language: Language,
    /// `sqlite` and `postgres` are started for the run and thrown away; or sqlite:PATH, postgres://…
    #[arg(long, alias = "database-url", default_value = "sqlite", value_name = "DATABASE")]
    pub database: String,
    /// `embedded`: the coordinator's own listener; `own`: a nats-server is started; or nats://HOST:PORT
    #[arg(long, alias = "nats-url", default_value = "embedded", value_name = "NATS")]
    pub nats: String,
    /// Reads of the API per second beside the load, to see how long they take
    #[arg(long, value_name = "R", value_parser = positive)]
    pub reads: Option<f64>,
    /// Run once on the empty database, store so many finished steps, and run again
    #[arg(long, group = "scenario", value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub history: Option<u32>,
    /// Let so many tasks sleep, and run beside them
    #[arg(long, group = "scenario", value_name = "TASKS", value_parser = clap::value_parser!(u32).range(1..))]
    pub waiting: Option<u32>,
    /// Kill the coordinator while so many tasks are active, start it again, and time it
    #[arg(long, group = "scenario", value_name = "TASKS", value_parser = clap::value_parser!(u32).range(1..))]
    pub restart: Option<u32>,
    /// Watch a coordinator with a worker and nothing to do for so many seconds
    #[arg(long, group = "scenario", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub idle: Option<u32>,
    /// Keep the SQLite database in memory: commits cost nothing and a power cut loses everything. For comparisons only
    #[arg(long)]
    pub without_durability: bool,
}

/// A language with an SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// `worker-sdk/rust`, in this program
    Rust,
    /// `worker-sdk/python`
    Python,
    /// `worker-sdk/typescript`
    Typescript,
}

impl Language {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Typescript => "typescript",
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("give a number above 0".to_owned()) }
}

/// `tasker bench-worker`, started by `tasker bench`.
#[derive(Args)]
pub struct BenchWorker {
    #[arg(long)]
    pub nats_url: String,
    #[arg(long)]
    pub slots: usize,
    #[arg(long)]
    pub payload: usize,
    #[arg(long)]
    pub samples: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    #[test]
    fn a_run_has_one_scenario() {
        assert!(Line::try_parse_from(["bench", "--history", "10", "--waiting", "10"]).is_err());
        assert_eq!(Line::try_parse_from(["bench", "--waiting", "10"]).expect("one scenario").bench.waiting, Some(10));
    }

    #[test]
    fn figures_that_cannot_be_meant_are_refused() {
        for arguments in
            [["--rate", "0"], ["--rate", "NaN"], ["--workers", "0"], ["--tasks", "0"], ["--idle", "0"], ["--worker-language", "cobol"]]
        {
            assert!(Line::try_parse_from(["bench"].iter().chain(&arguments)).is_err(), "{arguments:?}");
        }
    }
}

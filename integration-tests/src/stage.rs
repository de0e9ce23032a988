//! One test's own processes and files. Everything is ended and removed when the test is over; if it failed, what its processes wrote is shown.

use crate::process::{Log, Process};
use crate::{nats, place};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// Threads of a test itself: it mostly waits.
const THREADS: usize = 2;

/// Set in the environment, it shows what the processes of a test wrote although the test held.
const SHOW_LOGS: &str = "SHOW_LOGS";

/// How long the checker may take: for a hundred thousand tasks in a debug build on a busy machine.
const WHOLE_DATABASE_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// Where a test plays.
pub struct Stage {
    directory: TempDir,
    logs: Mutex<Vec<(String, Arc<Log>)>>,
}

/// A language with an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    TypeScript,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::TypeScript];

    /// As the SDK calls it in its hello.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::TypeScript => "typescript",
        }
    }
}

/// Runs a test on a stage of its own.
///
/// # Panics
/// If the test fails, after showing what its processes wrote.
pub fn on_stage(play: impl AsyncFnOnce(&Stage) -> Result<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.expect("the process can start threads");
    let stage = Stage { directory: TempDir::with_prefix("tasker-test-").expect("there is a temporary directory"), logs: Mutex::default() };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(play(&stage))));
    let failed = match outcome {
        Ok(Ok(())) => {
            if std::env::var_os(SHOW_LOGS).is_some() {
                stage.show_logs();
            }
            return;
        }
        Ok(Err(error)) => format!("{error:?}"),
        // The panic has printed itself.
        Err(_) => "the test panicked; see above".to_owned(),
    };
    stage.show_logs();
    panic!("{failed}");
}

impl Stage {
    fn show_logs(&self) {
        for (name, log) in self.logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            eprintln!("--- {name} wrote:\n    {}", log.tail());
        }
    }

    /// The test's own directory, removed at the end.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, name: &str, program: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Result<Process> {
        let log = Arc::new(Log::default());
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), log.clone()));
        let environment: Vec<_> = environment.iter().map(|(variable, value)| ((*variable).to_owned(), (*value).to_owned())).collect();
        Process::start(name, program, arguments, &environment, log)
    }

    /// Runs `tasker` to its end and returns its exit code and everything it wrote.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub async fn tasker(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        self.tasker_with(arguments, &[]).await
    }

    /// The same with something in the environment.
    ///
    /// # Errors
    /// As [`Self::tasker`].
    pub async fn tasker_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(Option<i32>, String)> {
        let name = format!("tasker {}", arguments.first().unwrap_or(&""));
        let reads_everything = arguments.first() == Some(&"debug");
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut process = self.start(&name, &place::tasker(), &arguments, environment)?;
        // Reading a whole database takes as long as it is large.
        let within = if reads_everything { WHOLE_DATABASE_MAX } else { crate::until::SOON };
        let status = process.ended(within).await?;
        // The pipes are read by threads that may be a moment behind the end of the process.
        process.read_to_end();
        Ok((status.code(), process.log().lines().join("\n")))
    }

    /// Starts a worker of a system, with the conformance capabilities, and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn worker(&self, language: Language, system: &str, nats_url: &str, environment: &[(&str, &str)]) -> Result<Process> {
        let (program, arguments) = match language {
            Language::Rust => (place::rust_worker(), vec![]),
            Language::Python => (place::python(), vec![place::repository().join("worker-sdk/python/conformance_worker.py")]),
            Language::TypeScript => (PathBuf::from("node"), vec![place::typescript_worker()]),
        };
        let arguments: Vec<String> = arguments.into_iter().map(|path| path.display().to_string()).collect();
        let mut all = vec![("TASKER_SYSTEM", system), ("TASKER_NATS_URL", nats_url), ("TASKER_LOG_LEVEL", "info")];
        all.extend(environment);
        self.start(&format!("{system} ({})", language.name()), &program, &arguments, &all)
    }

    /// Starts a NATS server on a free port.
    ///
    /// # Errors
    /// It does not listen.
    pub async fn nats(&self) -> Result<nats::Server> {
        nats::Server::start(self, crate::ports::free()).await
    }
}

//! Everything that runs during a benchmark: database, bus, coordinator and workers, each a process of its own.

use super::database::Database;
use super::given::{Bench, Language};
use super::load::Client;
use super::nats::Nats;
use super::process::{Child, Start, Usage};
use super::samples::Samples;
use super::{free_address, programs};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tasker_runtime::port::store::Store;

/// How long the coordinator may take to be ready: reading a long history takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long the workers may take to join: interpreters take about a second, on a busy machine several.
const JOINED_WITHIN: Duration = Duration::from_secs(60);

/// The processes and where they are.
pub struct Stage {
    given: Bench,
    directory: tempfile::TempDir,
    database: Database,
    nats: Nats,
    http: String,
    coordinator: Child,
    workers: Vec<Child>,
    /// Every worker that was ever started, for the names of their files.
    hired: usize,
    pub client: Client,
}

/// What every process has used up to now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    pub coordinator: Usage,
    pub workers: Usage,
    pub load: Usage,
    pub database: Option<Usage>,
    pub nats: Option<Usage>,
}

impl Used {
    /// What was used since an earlier reading.
    pub fn since(self, before: Self) -> Self {
        let both = |after: Option<Usage>, before: Option<Usage>| Some(after? - before.unwrap_or_default());
        Self {
            coordinator: self.coordinator - before.coordinator,
            workers: self.workers - before.workers,
            load: self.load - before.load,
            database: both(self.database, before.database),
            nats: both(self.nats, before.nats),
        }
    }
}

impl Stage {
    /// Starts everything but the workers.
    pub async fn set(given: &Bench) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tasker-bench-").tempdir().context("[data.unwritable]: no temporary directory")?;
        let database = Database::open(&given.database, given.without_durability, directory.path()).await?;
        let nats = Nats::open(&given.nats, directory.path()).await?;
        let http = free_address()?;
        let coordinator = start_coordinator(&database, &nats, &http, directory.path())?;
        let client = Client::new(&format!("http://{http}"))?;
        let mut stage = Self { given: given.clone(), directory, database, nats, http, coordinator, workers: Vec::new(), hired: 0, client };
        stage.until_ready().await?;
        Ok(stage)
    }

    pub async fn until_ready(&mut self) -> anyhow::Result<()> {
        self.client.until_ready(READY_WITHIN, &mut self.coordinator).await
    }

    /// Starts the workers and waits until they have joined.
    pub async fn hire(&mut self) -> anyhow::Result<()> {
        self.start_workers()?;
        self.client.until_workers(self.workers.len(), JOINED_WITHIN, &mut self.workers).await
    }

    /// Waits until a worker has answered something: the oldest task that is not over makes progress.
    pub async fn until_something_is_done(&mut self) -> anyhow::Result<()> {
        self.client.until_a_task_is_over(READY_WITHIN, &mut self.coordinator).await
    }

    pub fn start_workers(&mut self) -> anyhow::Result<()> {
        let language = self.given.worker_language;
        let chosen = programs::worker(language, self.directory.path())?;
        let (payload, slots) = (self.given.payload.to_string(), self.given.slots.to_string());
        for _ in 0..self.given.workers {
            let samples = samples_file(self.directory.path(), self.hired).display().to_string();
            let mut arguments = chosen.arguments.clone();
            let mut environment = Vec::new();
            if language == Language::Rust {
                let named = ["--nats-url", &self.nats.url(), "--slots", &slots, "--payload", &payload, "--samples", &samples];
                arguments.extend(named.map(str::to_owned));
            } else {
                environment = vec![
                    ("TASKER_NATS_URL", self.nats.url()),
                    ("TASKER_SLOTS", slots.clone()),
                    ("TASKER_LOG_LEVEL", "error".to_owned()),
                    ("TASKER_BENCH_PAYLOAD", payload.clone()),
                    ("TASKER_BENCH_SAMPLES", samples),
                ];
                environment.extend(chosen.sdk.clone().map(|sdk| ("TASKER_BENCH_SDK", sdk)));
            }
            let start = Start { program: &chosen.program, arguments, environment };
            self.workers.push(Child::start(&start, &format!("worker-{}", self.hired), self.directory.path())?);
            self.hired += 1;
        }
        Ok(())
    }

    /// Stops the workers; gives what they noted.
    pub async fn dismiss(&mut self) -> anyhow::Result<Samples> {
        let first = self.hired - self.workers.len();
        for mut worker in self.workers.drain(..) {
            worker.stop().await?;
        }
        let files = (first..self.hired).map(|number| samples_file(self.directory.path(), number));
        Ok(Samples::join(files.map(|file| Samples::read(&file)).collect::<anyhow::Result<Vec<_>>>()?))
    }

    /// Stops the coordinator in order.
    pub async fn stop_coordinator(&mut self) -> anyhow::Result<()> {
        self.coordinator.stop().await
    }

    /// Kills it without warning.
    pub async fn kill_coordinator(&mut self) -> anyhow::Result<()> {
        self.coordinator.kill().await
    }

    /// Starts it again where it was; it is not ready yet.
    pub fn start_coordinator(&mut self) -> anyhow::Result<()> {
        self.coordinator = start_coordinator(&self.database, &self.nats, &self.http, self.directory.path())?;
        Ok(())
    }

    /// Opens the database, which needs the coordinator to be stopped.
    pub async fn open_store(&self) -> anyhow::Result<std::sync::Arc<dyn Store>> {
        let namespace = tasker_engine::Namespace::new("default").expect("a constant of the right form");
        let opened = tasker_store::open_for(&namespace, &self.database.url, tasker_store::Options::new("tasker bench")).await;
        opened.map_err(|error| anyhow::anyhow!("[{}]: {error}", error.code()))
    }

    pub fn used(&self) -> anyhow::Result<Used> {
        let workers = self.workers.iter().map(Child::usage).collect::<anyhow::Result<Vec<_>>>()?;
        // The load is this process alone: everything else is a child of it.
        let load = Usage { cpu: own_cpu(), ..Usage::default() };
        Ok(Used {
            coordinator: self.coordinator.usage()?,
            workers: workers.into_iter().fold(Usage::default(), std::ops::Add::add),
            load,
            database: self.database.usage()?,
            nats: self.nats.usage()?,
        })
    }

    pub fn database_name(&self) -> &str {
        &self.database.name
    }

    pub fn bus_name(&self) -> &'static str {
        self.nats.name()
    }

    /// Stops everything in order.
    pub async fn strike(mut self) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            worker.stop().await?;
        }
        self.coordinator.stop().await?;
        self.database.close().await;
        Ok(())
    }

    /// The same when the coordinator is stopped already.
    pub async fn clear(self) {
        self.database.close().await;
    }
}

fn start_coordinator(database: &Database, nats: &Nats, http: &str, directory: &Path) -> anyhow::Result<Child> {
    let own = std::env::current_exe().context("[bench.failed]: the program's own path is unknown")?;
    let server = ["server", "--database-url", &database.url, "--http-listen", http, "--log-level", "warn"].map(str::to_owned);
    let arguments: Vec<String> = server.into_iter().chain(nats.arguments()).collect();
    // A million sleeping tasks are more than a coordinator takes by default.
    let environment = vec![("TASKER_ACTIVE_TASKS_MAX", "10000000".to_owned())];
    Child::start(&Start { program: &own, arguments, environment }, "coordinator", directory)
}

fn samples_file(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("samples-{number}"))
}

/// Processor time of this process without its children.
fn own_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    super::process::cpu_without_children(&stat).unwrap_or_default()
}

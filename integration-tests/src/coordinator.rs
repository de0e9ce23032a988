//! The real `tasker` binary as a coordinator: started, killed, started again with the same database and the same addresses.

use crate::api::Api;
use crate::place;
use crate::process::Process;
use crate::stage::{Language, Stage};
use crate::until::{SOON, until_true};
use crate::{nats, ports};
use anyhow::{Result, bail, ensure};
use serde_json::Value;
use std::time::Duration;

/// How often coordinators of tests sweep, if not as usual: with `0s` every task leaves the memory as soon as it can, whatever a test is about.
const SWEEP: &str = "TASKER_TEST_SWEEP";

/// How a coordinator is started, each time in the same way.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where everything is remembered.
    pub database_url: String,
    /// The NATS server; none for the embedded listener.
    pub nats_url: Option<String>,
    /// Where the API listens.
    pub http_port: u16,
    /// Where the embedded listener listens.
    pub nats_port: u16,
    /// More settings, as variables of the environment.
    pub environment: Vec<(String, String)>,
}

impl Setup {
    /// SQLite in the test's own directory and the embedded listener, on free ports.
    pub fn embedded(stage: &Stage) -> Self {
        Self {
            database_url: format!("sqlite:{}", stage.path("tasker.db").display()),
            nats_url: None,
            http_port: ports::free(),
            nats_port: ports::free(),
            environment: std::env::var(SWEEP).into_iter().map(|sweep| ("TASKER_SWEEP".to_owned(), sweep)).collect(),
        }
    }

    /// The same with another database.
    #[must_use]
    pub fn database(mut self, url: String) -> Self {
        self.database_url = url;
        self
    }

    /// The same on a NATS server.
    #[must_use]
    pub fn nats(mut self, server: &nats::Server) -> Self {
        self.nats_url = Some(server.url());
        self
    }

    /// The same with a setting from the environment.
    #[must_use]
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// The same with what a [`crate::shim::Shim`] needs.
    #[must_use]
    pub fn shimmed(mut self, shim: &crate::shim::Shim) -> Self {
        self.environment.extend_from_slice(shim.environment());
        self
    }

    /// Sets or removes a variable of the environment of later starts.
    pub fn set(&mut self, variable: &str, value: Option<&str>) {
        self.environment.retain(|(known, _)| known != variable);
        self.environment.extend(value.map(|value| (variable.to_owned(), value.to_owned())));
    }

    /// The same, sending its traces to a receiver.
    #[must_use]
    pub fn traced(self, receiver: &crate::otlp::Receiver) -> Self {
        self.with("TASKER_OTLP_ENDPOINT", receiver.endpoint())
    }

    /// Where workers connect.
    pub fn worker_url(&self) -> String {
        self.nats_url.clone().unwrap_or_else(|| format!("nats://127.0.0.1:{}", self.nats_port))
    }

    /// The arguments of `tasker`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["server".to_owned(), "--database-url".to_owned(), self.database_url.clone()];
        arguments.extend(["--http-listen".to_owned(), format!("127.0.0.1:{}", self.http_port)]);
        match &self.nats_url {
            Some(url) => arguments.extend(["--nats-url".to_owned(), url.clone()]),
            None => arguments.extend(["--nats-listen".to_owned(), format!("127.0.0.1:{}", self.nats_port)]),
        }
        arguments
    }

    /// Starts the process and waits for nothing.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self, stage: &Stage) -> Result<Process> {
        let environment: Vec<(&str, &str)> = self.environment.iter().map(|(variable, value)| (variable.as_str(), value.as_str())).collect();
        stage.start("tasker server", &place::tasker(), &self.arguments(), &environment)
    }

    /// Starts a coordinator and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn start(&self, stage: &Stage) -> Result<Coordinator> {
        let mut coordinator = Coordinator { setup: self.clone(), process: self.spawn(stage)?, api: Api::new(self.http_port) };
        coordinator.until_ready().await?;
        Ok(coordinator)
    }
}

/// A running coordinator.
pub struct Coordinator {
    setup: Setup,
    /// The process.
    pub process: Process,
    /// Its API.
    pub api: Api,
}

impl Coordinator {
    /// How it was started.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// How it will be started the next time.
    pub fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// Waits until it is ready, after [`Self::kill_and_spawn`].
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn until_ready(&mut self) -> Result<()> {
        let Self { process, api, .. } = self;
        until_true("the coordinator is ready", SOON, async || {
            // An answer from a process that is not ours would prove nothing.
            ensure!(process.is_running(), "the coordinator has ended");
            Ok(api.is_ready().await)
        })
        .await
    }

    /// Kills it without warning and starts it again, without waiting until it is ready.
    ///
    /// # Errors
    /// It had ended before, or cannot be started.
    pub fn kill_and_spawn(&mut self, stage: &Stage) -> Result<()> {
        self.process.kill()?;
        self.process = self.setup.spawn(stage)?;
        Ok(())
    }

    /// Kills it without warning, starts it again, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::kill_and_spawn`], or it is not ready in time.
    pub async fn kill_and_start(&mut self, stage: &Stage) -> Result<()> {
        self.kill_and_spawn(stage)?;
        self.until_ready().await
    }

    /// Starts it again after its end, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub async fn start_again(&mut self, stage: &Stage) -> Result<()> {
        ensure!(!self.process.is_running(), "the coordinator still runs");
        self.process = self.setup.spawn(stage)?;
        self.until_ready().await
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not end, or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        match self.process.stop(SOON).await? {
            0 => Ok(()),
            code => bail!("the coordinator stopped with exit code {code}"),
        }
    }

    /// Starts a worker and waits until the coordinator knows it.
    ///
    /// # Errors
    /// It does not appear in time.
    pub async fn worker(&self, stage: &Stage, language: Language, system: &str) -> Result<Process> {
        self.worker_with(stage, language, system, &[]).await
    }

    /// The same with settings in its environment.
    ///
    /// # Errors
    /// As [`Self::worker`].
    pub async fn worker_with(&self, stage: &Stage, language: Language, system: &str, environment: &[(&str, &str)]) -> Result<Process> {
        let mut worker = stage.worker(language, system, &self.setup.worker_url(), environment)?;
        until_true(&format!("a worker of {system} in {language:?} has joined"), SOON, async || {
            ensure!(worker.is_running(), "the worker has ended");
            let id = u64::from(worker.id());
            Ok(self.api.workers().await?.iter().any(|known| known["process_id"].as_u64() == Some(id) && known["system"] == system))
        })
        .await?;
        Ok(worker)
    }

    /// Reads the whole database, after a stop, and says whether every promise was kept for the tasks that were accepted.
    ///
    /// # Errors
    /// A promise was broken, or the checker did not run; says everything that the checker said.
    pub async fn check(&self, stage: &Stage, accepted: &[String]) -> Result<String> {
        let file = stage.path("accepted.txt");
        std::fs::write(&file, accepted.join("\n"))?;
        let file = file.display().to_string();
        let arguments = ["debug", "check", "--database-url", &self.setup.database_url, "--accepted", &file, "--all-finished"];
        let (code, said) = stage.tasker(&arguments).await?;
        ensure!(code == Some(0), "the checker ended with {code:?}:\n{said}");
        for promise in ["P1", "P2", "P3", "P4", "P6", "P7", "P8", "P9", "P12", "P14", "P16", "P17", "P19"] {
            let kept = said.lines().any(|line| line.split_whitespace().take(2).eq(["kept", promise]));
            ensure!(kept, "the checker says nothing of {promise}:\n{said}");
        }
        Ok(said)
    }
}

/// The member of an object, or why there is none.
///
/// # Errors
/// It is absent or not a text.
pub fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str> {
    value[member].as_str().ok_or_else(|| anyhow::anyhow!("no text `{member}` in {value}"))
}

/// How long a task of a few short steps may take on a busy machine.
pub const TASK_MAX: Duration = Duration::from_secs(45);

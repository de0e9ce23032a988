//! What a user says: a system, its steps, how many at once, run.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tasker_proto::worker::v1::{Hello, Sdk};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::error::{StepError, WorkerError};
use crate::session::{self, Ended, Plan};
use crate::settings::{Settings, invalid};
use crate::step::{Handler, Step};
use crate::telemetry::Telemetry;

/// Handlers still running this long after a drain began are cancelled, unless the user chose another time.
const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// One process of a system. See the crate's documentation for an example.
///
/// Everything not said here comes from the environment: `TASKER_NATS_URL`,
/// `TASKER_NAMESPACE`, `TASKER_SUBJECT_PREFIX`, `TASKER_SLOTS`, `TASKER_LABELS` and, for traces,
/// `OTEL_EXPORTER_OTLP_ENDPOINT`. What is said in code wins.
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    system: String,
    version: String,
    steps: Vec<Step>,
    slots: Option<usize>,
    nats_url: Option<String>,
    namespace: Option<String>,
    labels: BTreeMap<String, String>,
    drain_timeout: Duration,
}

impl Worker {
    /// A worker of `system`: 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    pub fn new(system: impl Into<String>) -> Self {
        Self {
            system: system.into(),
            version: String::new(),
            steps: Vec::new(),
            slots: None,
            nats_url: None,
            namespace: None,
            labels: BTreeMap::new(),
            drain_timeout: DRAIN_TIMEOUT_DEFAULT,
        }
    }

    /// Adds an async handler; short for `register(Step::new(name, handler))`.
    pub fn step<I, O, F, R>(self, name: impl Into<String>, handler: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
        F: Fn(I, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, StepError>> + Send + 'static,
    {
        self.register(Step::new(name, handler))
    }

    /// Adds a handler that blocks its thread; short for `register(Step::blocking(name, handler))`.
    pub fn blocking_step<I, O, F>(self, name: impl Into<String>, handler: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
        F: Fn(I, Context) -> Result<O, StepError> + Send + Sync + 'static,
    {
        self.register(Step::blocking(name, handler))
    }

    /// Adds a step with its description, timeout and declared errors.
    pub fn register(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The build of the system, shown to people and used for routing: a version or a commit.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// How many slots there are, 1 to 10,000: attempts that run at once, unless some take more than one ([`Step::slot_cost`]); 8 unless said here or in `TASKER_SLOTS`.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = Some(slots);
        self
    }

    /// The NATS server, several separated by commas, with user and password or a token if it asks for them.
    pub fn nats_url(mut self, url: impl Into<String>) -> Self {
        self.nats_url = Some(url.into());
        self
    }

    /// The namespace this worker serves.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Where or on what this worker runs, such as `region` and `eu`: steps may be routed by it. May be said up to 32 times, with other names;
    /// names have 1 to 256 bytes, values up to 256. `TASKER_LABELS` (`region=eu,gpu=none`) adds those that are not said here.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// How long handlers may go on after the worker was asked to stop; 30 s unless said here.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Serves until SIGTERM, SIGINT or the coordinator asks it to leave, then
    /// finishes what it holds and returns. A second signal ends the process at
    /// once. If handlers that block a thread ignore their cancellation, the
    /// process ends with status 0 instead of returning, because nothing else
    /// could stop them.
    ///
    /// # Errors
    /// Only what waiting cannot cure; see [`WorkerError`].
    pub async fn run(self) -> Result<(), WorkerError> {
        let leave = CancellationToken::new();
        let signals = tokio::spawn(obey_signals(leave.clone()));
        let ended = self.serve(leave).await;
        signals.abort();
        let Ended { abandoned } = ended.inspect_err(|error| tracing::error!(%error, "the worker stopped"))?;
        if abandoned > 0 {
            tracing::warn!(handlers = abandoned, "ending the process: handlers ignored their cancellation");
            std::process::exit(0);
        }
        Ok(())
    }

    /// The same without signal handling, for a worker inside a larger program:
    /// it drains when `stop` completes. Handlers that ignore their cancellation
    /// go on in the background after it returns.
    ///
    /// # Errors
    /// Only what waiting cannot cure; see [`WorkerError`].
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), WorkerError> {
        let leave = CancellationToken::new();
        let asked = leave.clone();
        let waiting = tokio::spawn(async move {
            stop.await;
            asked.cancel();
        });
        let ended = self.serve(leave).await;
        waiting.abort();
        ended.map(|_| ())
    }

    async fn serve(self, leave: CancellationToken) -> Result<Ended, WorkerError> {
        let lookup = |name: &str| std::env::var(name).ok();
        let settings = Settings::read(&self.system, self.slots, self.nats_url, self.namespace, self.labels, lookup)?;
        if self.steps.is_empty() {
            return Err(invalid("steps", "the worker has none; add at least one with `.step(…)`"));
        }
        let mut handlers: HashMap<String, Arc<dyn Handler>> = HashMap::with_capacity(self.steps.len());
        let mut capabilities = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            capabilities.push(step.announce()?);
            if handlers.insert(step.name.clone(), step.handler).is_some() {
                return Err(invalid("steps", format!("`{}` is registered twice", step.name)));
            }
        }
        let slots = u32::try_from(settings.slots).map_err(|_| invalid("slots", "too many"))?;
        if let Some(large) = capabilities.iter().find(|capability| capability.slot_cost > slots) {
            let said = format!("it takes {} slots, and the worker has {slots}", large.slot_cost);
            return Err(invalid(&format!("slot cost of step `{}`", large.name), said));
        }
        let announcement = Hello {
            session: String::new(),
            system_version: self.version,
            capabilities,
            slots,
            sdk: Some(Sdk { name: "tasker-worker".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), language: "rust".to_owned() }),
            host: host_name(),
            process_id: std::process::id(),
            held: Vec::new(),
            labels: settings.labels.clone().into_iter().collect(),
            counts_slot_costs: true,
        };
        let telemetry = Telemetry::from_environment(&settings).await?;
        session::run(Plan { settings, announcement, handlers, drain_timeout: self.drain_timeout, leave }, telemetry).await
    }
}

/// Shown to people only, so an unknown host is no error.
fn host_name() -> String {
    let from_file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    std::env::var("HOSTNAME").ok().or_else(from_file).or_else(|| std::env::var("COMPUTERNAME").ok()).unwrap_or_default()
}

/// The first signal asks the session to leave, the second ends the process.
async fn obey_signals(leave: CancellationToken) {
    let first = signal().await;
    tracing::info!(signal = first, "asked to stop");
    leave.cancel();
    let second = signal().await;
    tracing::warn!("a second signal: stopping at once");
    std::process::exit(128 + second);
}

#[cfg(unix)]
async fn signal() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).ok();
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    let wait = |source: Option<tokio::signal::unix::Signal>| async move {
        match source {
            Some(mut source) => {
                source.recv().await;
            }
            // The system does not let us listen; then it does not call us either.
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(terminate.take()) => 15,
        () = wait(interrupt.take()) => 2,
    }
}

#[cfg(not(unix))]
async fn signal() -> i32 {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    2
}

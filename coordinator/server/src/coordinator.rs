//! Starting and stopping a coordinator: store, bus, runtime and API, in this order; stopped in the other.

use crate::args::{Dev, Server};
use crate::configuration::{Configuration, PublicUrl};
use crate::{logging, push, spans};
use anyhow::Context;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tasker_bus::embedded::{Authentication, Options as ListenerOptions, Secret};
use tasker_bus::local::Embedded;
use tasker_bus::nats::{Nats, Options as NatsOptions};
use tasker_egress::{AllowList, CallbackSecret, HttpEgress, SystemLookup};
use tasker_runtime::operations::{GatePolicy, Operations};
use tasker_runtime::port::bus::{Bus, Inbox};
use tasker_runtime::port::egress::Egress;
use tasker_runtime::port::shards::Shards;
use tasker_runtime::port::surroundings::Surroundings;
use tasker_runtime::{Doors, Hosted, Installation, Settings};
use tasker_wire::worker::Subjects;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long `tasker dev` waits for open attempts when it is stopped.
const DEV_DRAIN: Duration = Duration::from_secs(5);

/// `tasker dev`: everything in one process, loopback only.
pub async fn dev(dev: Dev) -> anyhow::Result<ExitCode> {
    logging::start(&dev.log_level)?;
    let started = Instant::now();
    // A throw-away directory is removed when this guard goes, at the very end.
    let throw_away = match &dev.data {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("tasker-dev-")
                .tempdir()
                .context("[data.unwritable]: no temporary directory can be made; give --data DIR")?,
        ),
    };
    let directory = match (&dev.data, &throw_away) {
        (Some(directory), _) => {
            let problem = || {
                format!(
                    "[data.unwritable]: {} cannot be made or written; choose another directory or correct its permissions",
                    directory.display()
                )
            };
            std::fs::create_dir_all(directory).with_context(problem)?;
            directory.clone()
        }
        (None, Some(directory)) => directory.path().to_owned(),
        (None, None) => unreachable!("one of the two is there"),
    };
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let configuration = Configuration {
        database_url: format!("sqlite:{}", directory.join("tasker.db").display()),
        nats_url: None,
        nats_credentials_file: None,
        nats_listen: loopback(dev.nats_port),
        nats_token: None,
        http_listen: loopback(dev.http_port),
        subject_prefix: "tasker".into(),
        otlp_endpoint: dev.otlp_endpoint.clone(),
        otlp_metrics_endpoint: None,
        otlp_metrics_period: Duration::from_secs(15),
        log_level: dev.log_level,
        heartbeat: Duration::from_secs(1),
        lease: Duration::from_secs(5),
        drain_timeout: DEV_DRAIN,
        active_tasks_max: 1_000_000,
        sweep: Settings::default().sweep,
        peer_url: None,
        namespace_weights: BTreeMap::new(),
        gate: GatePolicy::Refuse,
        // Services under development run on this machine, and so do the systems that call back.
        public_url: PublicUrl::Listener,
        egress_allow: AllowList::parse(&["127.0.0.0/8", "::1"]).expect("two networks"),
        egress_signers: BTreeMap::new(),
    };
    let coordinator = Coordinator::start(&configuration).await?;
    let data = match &dev.data {
        Some(directory) => format!("{} (kept)", directory.display()),
        None => "thrown away at the end; --data DIR keeps it".to_owned(),
    };
    let traces = dev.otlp_endpoint.as_deref().unwrap_or("off; --otlp-endpoint http://127.0.0.1:4318");
    out!("  Tasker {} dev · ready in {} ms", env!("CARGO_PKG_VERSION"), started.elapsed().as_millis());
    out!("  API      http://{}        docs at /docs", coordinator.http);
    out!("  Workers  nats://{}        built in, no broker needed", coordinator.bus_address.unwrap_or(configuration.nats_listen));
    out!("  Data     {data}");
    out!("  Traces   {traces}");
    out!("  For development: loopback only, no login. Ctrl-C stops it.");
    out!("  Next     tasker workflow apply manifests/examples/order_processing.yaml");
    coordinator.until_stopped(configuration.drain_timeout).await
}

/// `tasker server`.
pub async fn server(given: Server) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load(&given.settings)?;
    logging::start(&configuration.log_level)?;
    let coordinator = Coordinator::start(&configuration).await?;
    tracing::info!(http = %coordinator.http, "ready");
    coordinator.until_stopped(configuration.drain_timeout).await
}

/// A coordinator that runs.
struct Coordinator {
    running: Hosted,
    /// Somebody asks it to stop.
    asked: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    http: SocketAddr,
    bus_address: Option<SocketAddr>,
    stop_http: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    exporter: Option<spans::Exporter>,
    push: Option<push::Push>,
}

impl Coordinator {
    async fn start(configuration: &Configuration) -> anyhow::Result<Self> {
        let name = format!("{}/{}", host(), std::process::id());
        // Workers of a listener of our own reach nobody else, so nobody else may run their namespaces.
        let alone = configuration.nats_url.is_none();
        let options = tasker_store::Options { alone, ..tasker_store::Options::new(host()) };
        let shards = tasker_store::shards(&configuration.database_url, options).await.map_err(|error| coded(error.code(), error))?;
        // The address is taken before anything else starts, so that a port in use leaves nothing behind.
        let listener =
            TcpListener::bind(configuration.http_listen).await.map_err(|error| http_problem(configuration.http_listen, &error))?;
        let http = listener.local_addr()?;
        let subjects = Subjects::new(&configuration.subject_prefix)?;
        let doors = Doors::new(shards.count());
        let inbox = Inbox::Doors(doors.clone());
        let (bus, bus_address): (Arc<dyn Bus>, _) = match &configuration.nats_url {
            Some(url) => {
                let options = NatsOptions {
                    url: url.clone(),
                    credentials_file: configuration.nats_credentials_file.clone(),
                    name: format!("tasker {name}"),
                };
                let nats = Nats::connect(options, subjects, inbox.clone()).await.map_err(|error| coded(error.code(), error))?;
                (Arc::new(nats), None)
            }
            None => {
                let authentication = match &configuration.nats_token {
                    None => Authentication::None,
                    Some(token) => Authentication::Token(Secret::new(token.clone())),
                };
                let options = ListenerOptions { address: configuration.nats_listen, authentication, ..ListenerOptions::default() };
                let embedded = Embedded::bind(options, subjects, inbox.clone()).await.map_err(|error| coded(error.code(), error))?;
                let address = embedded.address();
                (Arc::new(embedded), Some(address))
            }
        };
        let egress = open_egress(configuration, &*shards, http, inbox).await?;
        let (sink, exporter) = spans::start(configuration.otlp_endpoint.as_deref(), &name)?;
        let settings = Settings {
            name: name.clone(),
            heartbeat: configuration.heartbeat,
            lease: configuration.lease,
            active_tasks_max: configuration.active_tasks_max,
            sweep: configuration.sweep,
            namespace_weights: Arc::new(configuration.namespace_weights.clone()),
            gate: configuration.gate,
            ..Settings::default()
        };
        tracing::info!(store = shards.describe(), bus = bus.describe(), "starting");
        let url = configuration.peer_url.clone().unwrap_or_else(|| peer_url(http));
        let surroundings = Surroundings::real();
        let installation = Installation { settings, shards, doors, bus, egress, spans: sink, surroundings, url: Some(url) };
        let running = tasker_runtime::host(installation).await.map_err(|error| coded("store.recovery_failed", error))?;
        // Before anybody can see that it is ready.
        let asked = Box::pin(signal());
        let (stop_http, stopped) = oneshot::channel::<()>();
        let (router, measurements) = tasker_api::measured(running.operations.clone(), tasker_api::Options::default());
        let metrics_endpoint = configuration.otlp_metrics_endpoint.as_ref().or(configuration.otlp_endpoint.as_ref());
        let push = push::start(metrics_endpoint.map(String::as_str), configuration.otlp_metrics_period, &name, measurements)?;
        let served = tokio::spawn(tasker_api::serve(listener, router, async move {
            let _ = stopped.await;
        }));
        Ok(Self { running, asked, http, bus_address, stop_http, served, exporter, push })
    }

    /// Runs until a signal or a failed commit, then stops in order.
    async fn until_stopped(self, drain: Duration) -> anyhow::Result<ExitCode> {
        let Self { running, asked, stop_http, served, exporter, push, .. } = self;
        let Hosted { operations, mut ended } = running;
        let outcome = tokio::select! {
            outcome = &mut ended => Some(outcome),
            () = asked => None,
        };
        let code = match outcome {
            Some(outcome) => {
                // The loop ends by itself only if a commit failed: its outcome is unknown, so nothing is answered any more (P3).
                let reason = match outcome {
                    Ok(Ok(())) => "the loop ended".to_owned(),
                    Ok(Err(error)) => chain(&error),
                    Err(panicked) => format!("the loop stopped with a fault: {panicked}"),
                };
                tracing::error!(code = "store.commit_failed", "stopping: {reason}; start again to recover what was committed");
                eprintln!("error[store.commit_failed]: {reason}\n  help: start again; everything that was acknowledged is in the database");
                ExitCode::from(9)
            }
            None => {
                if let Some(push) = push {
                    // While the loop can still say what it has counted; a receiver that hangs does not hold the stop up.
                    let _ = tokio::time::timeout(Duration::from_secs(2), push.finish()).await;
                }
                stop(&operations, &mut ended, drain).await
            }
        };
        drop(operations);
        let _ = stop_http.send(());
        let _ = tokio::time::timeout(Duration::from_secs(2), served).await;
        if let Some(exporter) = exporter {
            let _ = tokio::time::timeout(Duration::from_secs(6), tokio::task::spawn_blocking(|| exporter.finish())).await;
        }
        Ok(code)
    }
}

/// Opens the way out to systems over HTTP.
async fn open_egress(
    configuration: &Configuration,
    shards: &dyn Shards,
    http: SocketAddr,
    inbox: Inbox,
) -> anyhow::Result<Arc<dyn Egress>> {
    let secret = shards.callback_secret().await.map_err(|error| coded("store.unreadable", error))?;
    let settings = tasker_egress::Settings {
        allow: configuration.egress_allow.clone(),
        signers: configuration.egress_signers.clone(),
        public_url: match &configuration.public_url {
            PublicUrl::None => None,
            PublicUrl::At(url) => Some(url.clone()),
            PublicUrl::Listener => Some(format!("http://{http}")),
        },
        ..tasker_egress::Settings::new(CallbackSecret::new(secret), env!("CARGO_PKG_VERSION"))
    };
    let egress = HttpEgress::open(settings, Arc::new(SystemLookup), inbox).map_err(|error| coded("config.out_of_range", error))?;
    Ok(Arc::new(egress))
}

/// Drains; a second signal ends it at once.
async fn stop(
    operations: &Operations,
    ended: &mut tokio::task::JoinHandle<Result<(), tasker_runtime::port::store::CommitError>>,
    drain: Duration,
) -> ExitCode {
    tracing::info!(drain_seconds = drain.as_secs(), "stopping; a second signal ends it at once");
    tokio::select! {
        () = operations.drain(drain) => {
            let _ = ended.await;
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        () = signal() => ExitCode::from(130),
    }
}

/// Where other coordinators reach the API: the address it listens on, or this host's name if it listens on all of its addresses.
fn peer_url(http: SocketAddr) -> String {
    match http.ip().is_unspecified() {
        true => format!("http://{}:{}", host(), http.port()),
        false => format!("http://{http}"),
    }
}

/// Listens from the moment it is called, not only once it is waited for: a signal between the two would otherwise end the process at once.
pub fn signal() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let listening = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        match listening {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            // Without signals the process can still be killed, and loses nothing by it.
            _ => std::future::pending().await,
        }
    }
}

fn http_problem(address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "[http.port_in_use]: another process listens on {address}; stop it (perhaps another `tasker`), or choose another port with --http-port or --http-listen"
        ),
        _ => anyhow::anyhow!("[http.listen_failed]: listening on {address} failed: {error}"),
    }
}

/// An error with its stable code in front and its causes behind.
fn coded(code: &str, error: impl std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("[{code}]: {}", chain(&error))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

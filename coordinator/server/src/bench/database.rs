//! The database of a run: a file that is thrown away, a PostgreSQL server that is thrown away, or one that is there.

use super::process::{Usage, tree};
use super::programs;
use anyhow::{Context, bail};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Making and starting a server takes about two seconds; a busy machine takes longer.
const START_MAX: Duration = Duration::from_secs(90);

/// Who runs the server if the benchmark runs as root, because PostgreSQL refuses to.
const USER: &str = "postgres";

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// Makes a cluster with durable commits, as a fresh installation has them, starts it, says so, and stops it at the end of standard input:
/// however the benchmark ends, nothing is left behind.
const KEEPER: &str = r#"
trap "" INT
bin=$1; directory=$2
"$bin/initdb" --pgdata="$directory/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C >"$directory/initdb.log" 2>&1 || { cat "$directory/initdb.log" >&2; exit 1; }
"$bin/postgres" -D "$directory/data" -k "$directory" -c listen_addresses= -c max_wal_size=4GB >"$directory/server.log" 2>&1 &
server=$!
until "$bin/pg_isready" -q -h "$directory"; do
  kill -0 "$server" 2>/dev/null || { tail -5 "$directory/server.log" >&2; exit 1; }
  sleep 0.05
done
echo ready
cat >/dev/null
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$directory"
"#;

/// What the coordinator is pointed at.
pub struct Database {
    pub url: String,
    /// Shown in the report, without a password.
    pub name: String,
    server: Option<Server>,
    /// Removed at the end.
    _memory: Option<tempfile::TempDir>,
}

struct Server {
    keeper: tokio::process::Child,
    id: u32,
}

impl Database {
    pub async fn open(given: &str, without_durability: bool, directory: &Path) -> anyhow::Result<Self> {
        let sqlite = |directory: &Path| format!("sqlite:{}", directory.join("bench.db").display());
        match given {
            "sqlite" if without_durability => {
                let memory = tempfile::Builder::new().prefix("tasker-bench-").tempdir_in(MEMORY);
                let memory = memory.with_context(|| {
                    format!("[bench.failed]: --without-durability keeps the database in {MEMORY}, which cannot be written")
                })?;
                Ok(Self { url: sqlite(memory.path()), name: "sqlite in memory".to_owned(), server: None, _memory: Some(memory) })
            }
            _ if without_durability => {
                bail!(
                    "[bench.unsupported]: --without-durability is for --database sqlite; a database that exists is never made less durable"
                )
            }
            "sqlite" => Ok(Self { url: sqlite(directory), name: given.to_owned(), server: None, _memory: None }),
            "postgres" => {
                let (server, url) = Server::start().await?;
                Ok(Self { url, name: given.to_owned(), server: Some(server), _memory: None })
            }
            url if url.starts_with("sqlite:") || url.starts_with("postgres:") || url.starts_with("postgresql:") => {
                let name = url.split_once(':').map_or(url, |(scheme, _)| scheme).to_owned();
                Ok(Self { url: url.to_owned(), name: format!("{name}, given"), server: None, _memory: None })
            }
            other => bail!("[bench.unsupported]: --database {other}: give sqlite, postgres, sqlite:PATH or postgres://…"),
        }
    }

    /// What its processes have used; none if it has none of its own.
    pub fn usage(&self) -> anyhow::Result<Option<Usage>> {
        self.server.as_ref().map(|server| tree(server.id)).transpose()
    }

    /// Stops what was started and waits until it is gone.
    pub async fn close(self) {
        if let Some(mut server) = self.server {
            drop(server.keeper.stdin.take());
            let _ = server.keeper.wait().await;
        }
    }
}

impl Server {
    async fn start() -> anyhow::Result<(Self, String)> {
        let bin = programs::postgres()?;
        // The keeper removes it: it may belong to another user, and must go even if this process is killed.
        let directory = tempfile::Builder::new().prefix("tasker-bench-pg-").tempdir()?.keep();
        let mut command = if rustix::process::geteuid().is_root() {
            let own = std::process::Command::new("chown").arg(USER).arg(&directory).status();
            if !own.is_ok_and(|status| status.success()) {
                bail!(
                    "[bench.program_missing]: PostgreSQL does not run as root, and there is no user `{USER}`; install the package `postgresql`"
                );
            }
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        command.args(["-c", KEEPER, "keeper"]).arg(&bin).arg(&directory).current_dir(&directory);
        let mut keeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("[bench.failed]: PostgreSQL cannot be started")?;
        let id = keeper.id().context("[bench.failed]: PostgreSQL has already ended")?;
        let said = keeper.stdout.take().context("[bench.failed]: PostgreSQL has no output")?;
        let line = tokio::time::timeout(START_MAX, BufReader::new(said).lines().next_line()).await;
        if !matches!(&line, Ok(Ok(Some(line))) if line == "ready") {
            drop(keeper.stdin.take());
            let output = keeper.wait_with_output().await?;
            bail!("[bench.failed]: PostgreSQL did not start:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok((Self { keeper, id }, format!("postgres://postgres@localhost/postgres?host={}", directory.display())))
    }
}

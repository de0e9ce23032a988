//! Processes of the benchmark, and what the kernel says they used.

use anyhow::{Context, bail};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How long a process has to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A process that is killed when this value goes.
pub struct Child {
    child: tokio::process::Child,
    name: String,
    log: std::path::PathBuf,
    id: u32,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub written_bytes: u64,
}

impl Child {
    pub fn start(program: &Path, arguments: &[&str], name: &str, directory: &Path) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = std::fs::File::create(&log)?;
        let child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("[bench.failed]: {name} cannot be started"))?;
        let id = child.id().context("[bench.failed]: the process has already ended")?;
        Ok(Self { child, name: name.to_owned(), log, id })
    }

    /// An error with the end of the log, if the process is gone.
    pub fn still_runs(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("[bench.failed]: {} ended with {status}:\n{}", self.name, tail.join("\n"));
        }
        Ok(())
    }

    /// Asks it to stop and waits.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let signalled = std::process::Command::new("kill").args(["-TERM", &self.id.to_string()]).status()?;
        if !signalled.success() {
            self.still_runs()?;
        }
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => bail!(
                "[bench.failed]: {} did not stop cleanly; see its log: {}",
                self.name,
                std::fs::read_to_string(&self.log).unwrap_or_default()
            ),
            Err(_) => bail!("[bench.failed]: {} did not stop within {STOP_WITHIN:?}", self.name),
        }
    }

    /// What the kernel says; see proc(5).
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.id);
            std::fs::read_to_string(&path).with_context(|| format!("[bench.failed]: {path}"))
        };
        let stat = read("stat")?;
        // The name in brackets may hold blanks; fields are counted behind it. utime and stime are the 14th and 15th, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let figure = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
            line.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Usage {
            cpu: Duration::from_millis(10 * (ticks(11) + ticks(12))),
            resident_bytes: 1024 * figure(&read("status")?, "VmRSS:"),
            written_bytes: figure(&read("io").unwrap_or_default(), "write_bytes:"),
        })
    }
}

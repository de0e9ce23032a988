//! The worker process under judgement.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// A worker that logs without end is cut off here, so that the suite stays small.
const LINES_MAX: usize = 10_000;

/// A running worker program; it is killed when this value is dropped.
pub struct WorkerProcess {
    child: Child,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines {
    standard_error: Mutex<Vec<String>>,
    added: Notify,
}

/// Signals a worker must obey.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    Terminate,
    Interrupt,
}

impl WorkerProcess {
    /// Starts `command` through a shell that it replaces, so that signals reach the program itself.
    pub fn start(command: &str, environment: &[(String, String)]) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec {command}"));
        // What the caller's shell says about the bus or about traces must not decide a verdict.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TASKER_") || name.starts_with("OTEL_")) {
            shell.env_remove(name);
        }
        shell.envs(environment.iter().map(|(name, value)| (name, value)));
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = shell.spawn().with_context(|| format!("cannot start `{command}`"))?;
        let lines = Arc::new(Lines::default());
        let standard_error = child.stderr.take().context("standard error is piped")?;
        let standard_output = child.stdout.take().context("standard output is piped")?;
        tokio::spawn(read(standard_error, Some(Arc::clone(&lines))));
        tokio::spawn(read(standard_output, None));
        Ok(Self { child, lines })
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().context("the worker has ended already")?;
        let name = match signal {
            Signal::Terminate => "-TERM",
            Signal::Interrupt => "-INT",
        };
        let status = std::process::Command::new("kill").arg(name).arg(id.to_string()).status().context("cannot run `kill`")?;
        ensure!(status.success(), "cannot signal the worker");
        Ok(())
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub async fn exit(&mut self, within: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("the worker still runs after {within:?}"),
        }
    }

    /// Waits for a line of standard error, past or future.
    pub async fn line(&self, what: &str, within: Duration, matches: impl Fn(&str) -> bool) -> Result<String> {
        let found = async {
            loop {
                let added = self.lines.added.notified();
                let line = self.all_lines().into_iter().find(|line| matches(line));
                if let Some(line) = line {
                    return line;
                }
                added.await;
            }
        };
        match tokio::time::timeout(within, found).await {
            Ok(line) => Ok(line),
            Err(_) => bail!("no {what} on standard error within {within:?}"),
        }
    }

    /// The same for a line that is a JSON object.
    pub async fn json_line(&self, what: &str, within: Duration, matches: impl Fn(&Value) -> bool) -> Result<Value> {
        let line = self.line(what, within, |line| serde_json::from_str(line).is_ok_and(|value| matches(&value))).await?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Everything the worker wrote to standard error so far.
    pub fn all_lines(&self) -> Vec<String> {
        self.lines.standard_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read(stream: impl AsyncRead + Unpin, keep: Option<Arc<Lines>>) {
    let mut reader = BufReader::new(stream).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        if let Some(lines) = &keep {
            let mut kept = lines.standard_error.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < LINES_MAX {
                kept.push(line);
            }
            drop(kept);
            lines.added.notify_waiters();
        }
    }
}

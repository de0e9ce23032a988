//! A program under test: its output is kept, its end can be waited for, and it never outlives the test.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines kept of one program; a program that writes without end must not fill the memory of the tests.
const LINES_MAX: usize = 200_000;
/// Lines of one program that are shown when a test fails.
const SHOWN_MAX: usize = 60;

/// What a program has written, line by line, standard output and standard error together.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, line: String) {
        let mut lines = self.lock();
        if lines.len() < LINES_MAX {
            lines.push(line);
        }
    }

    /// Everything so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// The end of it, for people.
    pub fn tail(&self) -> String {
        let lines = self.lock();
        lines[lines.len().saturating_sub(SHOWN_MAX)..].join("\n    ")
    }
}

/// A running program. It is killed when this value goes, unless it has ended.
pub struct Process {
    /// What it is called in failures.
    pub name: String,
    child: Child,
    log: Arc<Log>,
    readers: Vec<std::thread::JoinHandle<()>>,
    /// When it was started.
    pub started: Instant,
}

impl Process {
    /// Starts a program. What the caller's environment says about Tasker or about traces is taken away, so that only `environment` counts.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, program: &Path, arguments: &[String], environment: &[(String, String)], log: Arc<Log>) -> Result<Self> {
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("TASKER_") || variable.starts_with("OTEL_")) {
            command.env_remove(variable);
        }
        command.args(arguments).envs(environment.iter().map(|(variable, value)| (variable, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {name}: {}", program.display()))?;
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|pipe| Box::new(pipe) as _), child.stderr.take().map(|pipe| Box::new(pipe) as _)];
        let read = |output: Box<dyn Read + Send>| {
            let log = log.clone();
            std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).for_each(|line| log.keep(line)))
        };
        let readers = outputs.into_iter().flatten().map(read).collect();
        Ok(Self { name: name.to_owned(), child, log, readers, started })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until everything that it wrote has been kept; only after its end.
    pub fn read_to_end(&mut self) {
        for reader in self.readers.drain(..) {
            // A reader that panicked has kept what it could.
            let _ = reader.join();
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it without warning (`kill -9`) and waits until it is gone.
    ///
    /// # Errors
    /// It had already ended.
    pub fn kill(&mut self) -> Result<()> {
        ensure!(self.is_running(), "{} had ended before it could be killed", self.name);
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal by name, for example `STOP` or `CONT`.
    ///
    /// # Errors
    /// It had already ended.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        ensure!(self.is_running(), "{} had ended before it could be signalled", self.name);
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status()?;
        ensure!(status.success(), "{} cannot be signalled", self.name);
        Ok(())
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// It had already ended.
    pub fn terminate(&mut self) -> Result<()> {
        ensure!(self.is_running(), "{} had ended before it could be asked to", self.name);
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "{} cannot be signalled", self.name);
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `within`.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {within:?}", self.name);
            }
            // Nothing tells of the end of a child without taking it out of our hands.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks it to end and waits for its exit code.
    ///
    /// # Errors
    /// It does not end in time, or a signal ended it.
    pub async fn stop(&mut self, within: Duration) -> Result<i32> {
        self.terminate()?;
        self.ended(within).await?.code().with_context(|| format!("{} was ended by a signal", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way nothing of it remains.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

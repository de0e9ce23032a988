//! Processes of the benchmark, and what the kernel says they used.

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::ops::{Add, Sub};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How long a process has to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Lines of a log that an error shows.
const LOG_LINES: usize = 5;

/// Most file systems of `/proc` count processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A process that is killed when this value goes.
pub struct Child {
    child: tokio::process::Child,
    name: String,
    log: std::path::PathBuf,
    id: u32,
}

/// What processes have used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub written_bytes: u64,
}

impl Add for Usage {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            resident_bytes: self.resident_bytes + other.resident_bytes,
            written_bytes: self.written_bytes + other.written_bytes,
        }
    }
}

/// What was used between two readings; memory is that of the later one.
impl Sub for Usage {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            resident_bytes: self.resident_bytes,
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

/// A program with its arguments and environment.
pub struct Start<'s> {
    pub program: &'s Path,
    pub arguments: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
}

impl Child {
    /// Starts a process whose standard error goes to a file of the directory.
    pub fn start(start: &Start<'_>, name: &str, directory: &Path) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).with_context(|| format!("[bench.failed]: {} cannot be written", log.display()))?;
        let child = tokio::process::Command::new(start.program)
            .args(&start.arguments)
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("[bench.failed]: {name} cannot be started: {}", start.program.display()))?;
        let id = child.id().context("[bench.failed]: the process has already ended")?;
        Ok(Self { child, name: name.to_owned(), log, id })
    }

    /// An error with the end of the log, if the process is gone.
    pub fn still_runs(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("[bench.failed]: {} ended with {status}:\n{}", self.name, self.log_end());
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Asks it to stop and waits.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.still_runs()?;
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw).context("[bench.failed]: a process without a number")?;
        kill_process(id, Signal::TERM).with_context(|| format!("[bench.failed]: {} cannot be asked to stop", self.name))?;
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => bail!("[bench.failed]: {} did not stop cleanly:\n{}", self.name, self.log_end()),
            Err(_) => bail!("[bench.failed]: {} did not stop within {STOP_WITHIN:?}", self.name),
        }
    }

    /// Kills it without warning, and waits until it is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("[bench.failed]: {} cannot be killed", self.name))
    }

    /// What the process and its descendants have used; see proc(5).
    pub fn usage(&self) -> anyhow::Result<Usage> {
        tree(self.id)
    }
}

/// What a process and its descendants have used.
pub fn tree(root: u32) -> anyhow::Result<Usage> {
    let entries = std::fs::read_dir("/proc").context("[bench.failed]: /proc cannot be read; the benchmark needs Linux")?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: HashMap<u32, Stat> = numbers.filter_map(|number| Some((number, Stat::read(number)?))).collect();
    if !all.contains_key(&root) {
        bail!("[bench.failed]: process {root} is gone");
    }
    let belongs = |mut number: u32| loop {
        match all.get(&number) {
            _ if number == root => return true,
            Some(stat) if stat.parent != number && stat.parent != 0 => number = stat.parent,
            _ => return false,
        }
    };
    let parts = all.iter().filter(|(number, _)| belongs(**number)).map(|(number, stat)| usage(*number, stat));
    Ok(parts.fold(Usage::default(), Add::add))
}

struct Stat {
    parent: u32,
    /// Of the process, and of those of its children that have ended.
    cpu: Duration,
}

impl Stat {
    fn read(number: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?)
    }

    /// The name in brackets may hold blanks; fields are counted behind it. The parent is the 4th of proc(5), times are the 14th to 17th.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |place: usize| fields.get(place - 3).and_then(|text| text.parse::<u32>().ok());
        Some(Self { parent: field(4)?, cpu: TICK * (field(14)? + field(15)? + field(16)? + field(17)?) })
    }
}

/// Processor time in a text of `/proc/PID/stat`, without that of children that have ended.
pub fn cpu_without_children(stat: &str) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |place: usize| fields.get(place - 3).and_then(|text| text.parse::<u32>().ok());
    Some(TICK * (field(14)? + field(15)?))
}

fn usage(number: u32, stat: &Stat) -> Usage {
    let figure = |file: &str, name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{number}/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
        line.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    // Shared pages of a database's processes are counted once: their parent's.
    let resident = if figure("status", "RssShmem:") > 0 { figure("status", "RssAnon:") } else { figure("status", "VmRSS:") };
    Usage { cpu: stat.cpu, resident_bytes: 1024 * resident, written_bytes: figure("io", "write_bytes:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_and_brackets_do_not_shift_the_fields() {
        let stat = Stat::parse("7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0").expect("read");
        assert_eq!((stat.parent, stat.cpu), (3, Duration::from_secs(1)));
        assert!(Stat::parse("7 (short) S 3").is_none());
    }

    #[test]
    fn usage_counts_the_process_itself() {
        let own = tree(std::process::id()).expect("this process is there");
        assert!(own.resident_bytes > 0);
        assert!(tree(u32::MAX).is_err());
    }
}

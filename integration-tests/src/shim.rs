//! A disk and a clock that fail on request: a small library in C that is loaded before the libraries of a process under test.
//!
//! Test and process share one file in memory, so that a fault begins and ends while the process runs. `shim/faults.c` is the other side.

use crate::place::repository;
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a failing call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`: the device has an error.
    Io,
    /// `ENOSPC`: the device is full.
    NoSpace,
    /// Nothing: it reports success without having done anything. Only for syncs.
    Lie,
}

impl Failure {
    /// As the C side reads it.
    fn number(self) -> i32 {
        match self {
            Self::Io => 5,
            Self::NoSpace => 28,
            Self::Lie => -1,
        }
    }
}

/// How often a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The next one only.
    Once,
    /// Until it is told otherwise.
    Always,
}

/// Offsets in `struct control`.
const SYNC: u64 = 0;
const WRITE: u64 = 16;
const CLOCK: u64 = 32;
const SIZE: u64 = 40;

/// The shared file of one process under test.
pub struct Shim {
    control: File,
    environment: Vec<(String, String)>,
}

impl Shim {
    /// Compiles the library and makes the shared file; faults concern the files whose path contains `files`.
    ///
    /// # Errors
    /// There is no C compiler, or it does not compile.
    pub fn prepare(stage: &Stage, files: &str) -> Result<Self> {
        let library = compile(&stage.path("faults.so"))?;
        let path = stage.path("faults.control");
        let control = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        control.set_len(SIZE)?;
        let environment = vec![
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("TASKER_SHIM".to_owned(), path.display().to_string()),
            ("TASKER_SHIM_FILES".to_owned(), files.to_owned()),
        ];
        Ok(Self { control, environment })
    }

    /// What the process under test needs in its environment.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// From now on fsync and fdatasync fail.
    ///
    /// # Errors
    /// The shared file cannot be written.
    pub fn fail_syncs(&self, failure: Failure, times: Times) -> Result<()> {
        self.set(SYNC, failure, times)
    }

    /// From now on writes fail.
    ///
    /// # Errors
    /// The shared file cannot be written.
    pub fn fail_writes(&self, failure: Failure, times: Times) -> Result<()> {
        ensure!(failure != Failure::Lie, "a write that lies is not built");
        self.set(WRITE, failure, times)
    }

    /// Everything works again.
    ///
    /// # Errors
    /// The shared file cannot be written.
    pub fn heal(&self) -> Result<()> {
        for at in [SYNC, WRITE] {
            self.control.write_all_at(&[0; 8], at)?;
        }
        Ok(())
    }

    /// Moves the wall clock of the process by so many milliseconds from the true time.
    ///
    /// # Errors
    /// The shared file cannot be written.
    pub fn move_clock(&self, milliseconds: i64) -> Result<()> {
        Ok(self.control.write_all_at(&milliseconds.to_ne_bytes(), CLOCK)?)
    }

    /// How many calls have failed since the beginning.
    ///
    /// # Errors
    /// The shared file cannot be read.
    pub fn injected(&self) -> Result<i64> {
        let mut counts = 0;
        for at in [SYNC + 8, WRITE + 8] {
            let mut bytes = [0; 8];
            self.control.read_exact_at(&mut bytes, at)?;
            counts += i64::from_ne_bytes(bytes);
        }
        Ok(counts)
    }

    fn set(&self, at: u64, failure: Failure, times: Times) -> Result<()> {
        let left: i32 = match times {
            Times::Once => 1,
            Times::Always => -1,
        };
        // The count first: the error is what switches the fault on.
        self.control.write_all_at(&left.to_ne_bytes(), at + 4)?;
        Ok(self.control.write_all_at(&failure.number().to_ne_bytes(), at)?)
    }
}

/// Compiles the library.
fn compile(into: &Path) -> Result<PathBuf> {
    let source = repository().join("integration-tests/shim/faults.c");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(into)
        .arg(source)
        .arg("-ldl")
        .output()
        .context("the fault shim needs a C compiler: apt-get install build-essential")?;
    ensure!(output.status.success(), "the fault shim does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(into.to_owned())
}

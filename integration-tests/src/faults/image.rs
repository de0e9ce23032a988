//! File systems of a test's own: a small one in memory that fills up, and one in a file that can be copied as a power cut would leave it.

use crate::process::Process;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something mounted; unmounted when this value goes.
pub struct Mounted(PathBuf);

impl Mounted {
    /// A file system in memory with so much space.
    ///
    /// # Errors
    /// Not permitted; says what to do.
    pub fn in_memory(at: &Path, mebibytes: u64) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tasker-fault", &at.display().to_string()])?;
        Ok(Self(at.to_owned()))
    }

    /// The file system in an image.
    ///
    /// # Errors
    /// As [`Self::in_memory`].
    pub fn image(image: &Path, at: &Path) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        run("mount", &["-o", "loop", &image.display().to_string(), &at.display().to_string()])?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a process that a failed test has yet to end may hold it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Makes an ext4 file system in a file.
///
/// # Errors
/// The tool is missing; says what to do.
pub fn make_image(image: &Path, mebibytes: u64) -> Result<()> {
    std::fs::File::create(image)?.set_len(mebibytes * 1024 * 1024)?;
    run("mkfs.ext4", &["-q", "-F", &image.display().to_string()])
}

/// Copies an image as a power cut at this instant would leave it: the process stands still meanwhile, so that only what had reached the device
/// is in it, and what was merely written to files is not.
///
/// # Errors
/// The process has ended, or there is no space.
pub fn cut_power(process: &mut Process, image: &Path, into: &Path) -> Result<()> {
    process.signal("STOP")?;
    let copied = run("cp", &["--sparse=always", &image.display().to_string(), &into.display().to_string()]);
    process.signal("CONT")?;
    copied
}

fn run(tool: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(tool).args(arguments).output();
    let output = output.with_context(|| format!("`{tool}` is missing: apt-get install e2fsprogs mount, and run as root"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "`{tool} {}` failed; it needs root and a kernel that permits mounts: {said}", arguments.join(" "));
    Ok(())
}

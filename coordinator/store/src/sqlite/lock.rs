//! One process per file: an operating-system lock on `<db>.lock`, which goes with the process however it ends.

use crate::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The most that is read of another holder's line: the file may hold anything.
const HOLDER_BYTES_MAX: u64 = 512;

/// Held for as long as the store is open. The file stays when the lock goes: deleting it would let two processes lock two files of one name.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read: closing the file lets go of the lock")] File);

impl Lock {
    /// Takes the lock and writes into the file who holds it.
    ///
    /// # Errors
    /// In use, naming the holder; or the directory cannot be written.
    pub fn take(database: &Path, holder: &str) -> Result<Self, OpenError> {
        let path = path_of(database);
        let unwritable = |source: std::io::Error| OpenError::UnwritableDirectory { path: directory_of(database), source: source.into() };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let target = database.display().to_string();
                return Err(OpenError::InUse { target, holder: read_holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(unwritable)?;
        file.write_all(format!("{holder}\n").as_bytes()).map_err(unwritable)?;
        Ok(Self(file))
    }
}

fn path_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

fn directory_of(database: &Path) -> PathBuf {
    match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn read_holder(file: &mut File) -> String {
    let mut bytes = Vec::new();
    // Whoever cannot be named still holds it.
    let _ = file.take(HOLDER_BYTES_MAX).read_to_end(&mut bytes);
    let line: String = String::from_utf8_lossy(&bytes).chars().filter(|char| !char.is_control()).collect();
    if line.is_empty() { "a process that has just started".into() } else { line }
}

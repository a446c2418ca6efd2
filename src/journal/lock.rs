//! One process at a time holds a journal.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::error::{JournalError, disk_error};

const LOCK_FILE: &str = "lock";

/// Whether a process holds this journal now. Makes nothing; for a moment it keeps others from taking the lock.
///
/// # Errors
/// Where the lock cannot be looked at.
pub fn is_held(directory: &Path) -> Result<bool, JournalError> {
    let path = directory.join(LOCK_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(disk_error("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(disk_error("lock", &path)(source)),
    }
}

/// Held as long as the file is open; the kernel releases it whatever becomes of the process.
pub(super) fn lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(disk_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(disk_error("lock", &path)(source)),
    }
}

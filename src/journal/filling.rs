//! A journal's folder while a restore fills it: locked, and marked, so that nothing starts on half of it after a crash either.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::{JournalError, disk_error};

const MARK: &str = "restore-unfinished";

/// Dropped without [`Filling::finish`], the mark stays.
#[derive(Debug)]
pub struct Filling {
    directory: PathBuf,
    _lock: File,
}

impl Filling {
    /// # Errors
    /// Where another process holds the folder, or the disk fails.
    pub fn begin(directory: &Path) -> Result<Self, JournalError> {
        fs::create_dir_all(directory).map_err(disk_error("create", directory))?;
        let lock = super::lock(directory)?;
        let mark = directory.join(MARK);
        File::create(&mark).map_err(disk_error("create", &mark))?;
        let filling = Self { directory: directory.to_owned(), _lock: lock };
        filling.sync()?;
        Ok(filling)
    }

    /// All of it is there, and durable.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn finish(self) -> Result<(), JournalError> {
        let mark = self.directory.join(MARK);
        fs::remove_file(&mark).map_err(disk_error("delete", &mark))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), JournalError> {
        let directory = &self.directory;
        File::open(directory).and_then(|file| file.sync_all()).map_err(disk_error("sync", directory))
    }
}

/// Whether a restore into it has begun and not ended.
#[must_use]
pub fn is_half_restored(directory: &Path) -> bool {
    directory.join(MARK).exists()
}

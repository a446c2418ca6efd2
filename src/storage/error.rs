//! What can go wrong with the archive, and whether trying again can help.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive's address {url:?} is none that this build knows; write sqlite://FILE, or leave it empty")]
    Address { url: String },
    #[error("could not open the archive {}: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the archive {} is of a newer or changed version: {source}; start the version that wrote it", path.display())]
    Migration { path: PathBuf, source: MigrateError },
    #[error("the archive could not {action}: {source}")]
    Database { action: &'static str, source: sqlx::Error },
    #[error("the archive holds {value} as {column}, which this version does not understand")]
    Unreadable { column: &'static str, value: String },
}

impl ArchiveError {
    /// Whether the same call may succeed later. If not, the data of the call is to blame.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Database { source: sqlx::Error::Database(error), .. } = self else { return true };
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        !code.is_some_and(|extended| is_fault_of_the_data(extended & 0xff))
    }
}

/// Primary result codes of SQLite (sqlite.org/rescode.html) that a full disk, a lock or a damaged file never give.
const fn is_fault_of_the_data(primary_code: u32) -> bool {
    const TOO_BIG: u32 = 18;
    const CONSTRAINT: u32 = 19;
    const MISMATCH: u32 = 20;
    const RANGE: u32 = 25;
    matches!(primary_code, TOO_BIG | CONSTRAINT | MISMATCH | RANGE)
}

/// Says what was attempted.
pub(super) fn database_error(action: &'static str) -> impl FnOnce(sqlx::Error) -> ArchiveError {
    move |source| ArchiveError::Database { action, source }
}

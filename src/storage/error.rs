//! What can go wrong with the archive, and whether trying again can help.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive's address {problem}; write sqlite://FILE, postgres://USER@HOST/DATABASE, or leave it empty")]
    Address { problem: String },
    #[error("there is no archive {}; name the data folder with --data", path.display())]
    Missing { path: PathBuf },
    #[error("could not open the archive {}: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the archive {name} is of a newer or changed version: {source}; start the version that wrote it")]
    Migration { name: String, source: MigrateError },
    #[error("the archive is not empty; name an empty one in `archive.url`")]
    NotEmpty,
    #[error("could not write the archive {}: {source}", path.display())]
    Copy { path: PathBuf, source: std::io::Error },
    #[error("could not start {program}, which copies an archive on PostgreSQL: {source}; install PostgreSQL's client programs")]
    NoTool { program: &'static str, source: std::io::Error },
    #[error("{program} failed: {messages}")]
    ToolFailed { program: &'static str, messages: String },
    #[error("the archive could not {action}: {source}")]
    Database { action: &'static str, source: sqlx::Error },
    #[error("the archive did not {action} within {after:?}")]
    Silent { action: &'static str, after: Duration },
    #[error("the archive's server could not be reached a moment ago")]
    JustTried,
    /// Of the archive of another process, or of the way there.
    #[error("{text}")]
    Remote { failure: RemoteFailure, text: String },
    #[error("the archive holds {value} as {column}, which this version does not understand")]
    Unreadable { column: &'static str, value: String },
}

/// What the questions below say of the error of another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteFailure {
    /// It could not be asked, or its archive could not.
    Away,
    /// The data of the call is to blame.
    Data,
    /// Its archive is of another version.
    Version,
    /// It was asked, and could not answer.
    Other,
}

impl ArchiveError {
    /// Whether the same call may succeed later. If not, the data of the call is to blame.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        if let Self::Remote { failure, .. } = self {
            return *failure != RemoteFailure::Data;
        }
        let Self::Database { source: sqlx::Error::Database(error), .. } = self else { return true };
        if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
            return !state_blames_the_data(error.code());
        }
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        !code.is_some_and(|extended| code_blames_the_data(extended & 0xff))
    }

    /// Whether PostgreSQL said so.
    pub(super) fn has_state(&self, state: &str) -> bool {
        matches!(self, Self::Database { source: sqlx::Error::Database(error), .. } if error.code().as_deref() == Some(state))
    }

    /// Whether the archive could not be asked, as with a server that is down.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Remote { failure, .. } => *failure == RemoteFailure::Away,
            Self::Database { .. } | Self::Silent { .. } | Self::JustTried => self.is_transient(),
            _ => false,
        }
    }

    /// Whether an operator has to do something: waiting does not help, and starting another version might.
    #[must_use]
    pub const fn is_of_another_version(&self) -> bool {
        matches!(self, Self::Migration { .. } | Self::Remote { failure: RemoteFailure::Version, .. })
    }
}

/// Primary result codes of SQLite (sqlite.org/rescode.html) that a full disk, a lock or a damaged file never give.
const fn code_blames_the_data(primary_code: u32) -> bool {
    const TOO_BIG: u32 = 18;
    const CONSTRAINT: u32 = 19;
    const MISMATCH: u32 = 20;
    const RANGE: u32 = 25;
    matches!(primary_code, TOO_BIG | CONSTRAINT | MISMATCH | RANGE)
}

/// Classes of SQLSTATE (postgresql.org/docs/15/errcodes-appendix.html): data exceptions such as \u0000 in a text, violated constraints,
/// limits of a row, and what a trigger of the operator raises. Everything else (no connection, read-only, no memory or disk, too many
/// connections, shutting down, timeouts, locks, a missing table or right) has to do with the server, and the next record would meet it too.
fn state_blames_the_data(state: &str) -> bool {
    matches!(state.get(..2), Some("22" | "23" | "54" | "P0"))
}

/// Says what was attempted.
pub(super) fn database_error(action: &'static str) -> impl FnOnce(sqlx::Error) -> ArchiveError {
    move |source| ArchiveError::Database { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_suffers_from_is_not_blamed_on_the_data() {
        for state in ["22P05", "22021", "22003", "22008", "23502", "23514", "54000", "P0001"] {
            assert!(state_blames_the_data(state), "{state}");
        }
        for state in [
            "08006", "25006", "28P01", "3D000", "40001", "40P01", "42501", "42P01", "53100", "53300", "55P03", "57014", "57P01",
            "58030", "XX001", "",
        ] {
            assert!(!state_blames_the_data(state), "{state}");
        }
    }
}

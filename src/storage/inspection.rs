//! What can be said of an archive from outside, without changing it, beside a service that writes it. Judges nothing: `cli::doctor`.

use super::{ArchiveAddress, ArchiveError, postgres, sqlite};
use crate::domain::Timestamp;

/// Readings that are looked through for undeclared signals: a question to the whole archive would take minutes.
pub(super) const SOME_READINGS: i64 = 50_000;
pub(super) const MOST_NAMES: i64 = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveInspection {
    /// Such as `SQLite 3.50.4`.
    pub engine: String,
    /// The last migration that ran; `None`: not one.
    pub schema: Option<i64>,
    /// The schema of this program.
    pub expected_schema: i64,
    /// Our clock when the newest reading came in, where that is quickly found; with a clock that went back, it lies ahead.
    pub newest_received_at: Option<Timestamp>,
    /// Names in `extras` of readings that came lately with how many had them, most first. Declared ones stand there too.
    pub extras: Vec<(String, i64)>,
    pub server: Option<ServerInspection>,
}

/// What only a server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInspection {
    /// Its clock less ours, in microseconds.
    pub clock_ahead_micros: i64,
    /// That ordinary users may have, and that are open now.
    pub connections_admitted: i64,
    pub connections_open: i64,
    /// That a service opens.
    pub connections_wanted: i64,
    pub is_read_only: bool,
    /// A commit there survives a power cut.
    pub is_durable: bool,
}

/// `None`: there is no such file yet.
///
/// # Errors
/// Where it is no archive or does not answer.
pub async fn inspect(address: &ArchiveAddress) -> Result<Option<ArchiveInspection>, ArchiveError> {
    match address {
        ArchiveAddress::Sqlite(file) if !file.exists() => Ok(None),
        ArchiveAddress::Sqlite(file) => sqlite::inspect(file).await.map(Some),
        ArchiveAddress::Postgres(connector, _) => postgres::inspect(connector).await.map(Some),
    }
}

//! The archive as one SQLite file: one writer, readers that never wait for it.
//!
//! `columns` says how a reading becomes a row and back, `insert` binds many rows at once, `store` is the transaction of a batch,
//! `history`, `buckets`, `alert_questions` and `quarantine` answer questions, `retention` forgets.

mod alert_questions;
mod alerts;
mod backup;
mod bind;
mod buckets;
mod cells;
mod configurations;
mod history;
mod insert;
mod inspection;
mod known;
mod quarantine;
mod retention;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod vehicle_records;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlSafeStr, Sqlite};
use tokio::sync::Mutex;

use self::bind::Codes;
use self::insert::Statements;
use self::known::Known;
use super::archive::{Archive, ArchiveRecord, ArchiveStore, Stored};
use super::error::{ArchiveError, database_error};
use super::readings::Walk;
use super::vehicle_records::Generation;
use crate::domain::{Assessment, SignalTable, Timestamp};

pub use self::backup::copy;
pub use self::inspection::inspect;

/// In order; a released one never changes.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "readings", include_str!("../../../migrations/sqlite/0001_readings.sql")),
    (2, "quarantine", include_str!("../../../migrations/sqlite/0002_quarantine.sql")),
    (3, "minutes_of_hour", include_str!("../../../migrations/sqlite/0003_minutes_of_hour.sql")),
    (4, "vehicle_records", include_str!("../../../migrations/sqlite/0004_vehicle_records.sql")),
    (5, "quality", include_str!("../../../migrations/sqlite/0005_quality.sql")),
    (6, "alerts", include_str!("../../../migrations/sqlite/0006_alerts.sql")),
    (7, "configurations", include_str!("../../../migrations/sqlite/0007_configurations.sql")),
    (8, "summaries", include_str!("../../../migrations/sqlite/0008_summaries.sql")),
];

/// Connections for questions, which share the pages of one question; a disk answers so many at a time about as fast as one. More questions
/// than that wait for each other, never for the writer.
const READERS: u32 = 8;
/// A question that finds no free connection for this long is refused.
const READER_WAIT: Duration = Duration::from_secs(5);
/// Inserts stay within the last minutes, so that this holds all pages they touch; in KiB, negative as SQLite wants it.
const WRITER_CACHE_KIB: &str = "-32768";
const READER_CACHE_KIB: &str = "-8192";
/// Pages of the write-ahead log that are copied into the file together: a page that changed often is then copied once.
const CHECKPOINT_PAGES: &str = "4000";
const LARGEST_IDLE_LOG_BYTES: &str = "67108864";
/// Insert statements by number of rows and by columns, and a dozen others.
const STATEMENTS: usize = 64;

/// Of this program.
#[must_use]
pub fn newest_schema() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteArchive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Arc<SignalTable>,
    codes: Codes,
    readers: SqlitePool,
    /// One connection: whoever holds `memory` has it.
    writer: SqlitePool,
    memory: Mutex<Memory>,
    /// Of the vehicles' records.
    register: Generation,
}

/// What the writer remembers between transactions, all of it bounded.
#[derive(Debug)]
struct Memory {
    known: Known,
    statements: Statements,
    quarantine: quarantine::Kept,
}

impl SqliteArchive {
    /// Opens or makes the file, and brings its schema up to date.
    ///
    /// # Errors
    /// Where the file cannot be opened, or a newer version wrote it.
    pub async fn open(path: &Path, table: Arc<SignalTable>) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // The journal forgets what the archive says it has, so a commit must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(STATEMENTS)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let writing = options
            .clone()
            .create_if_missing(true)
            .pragma("cache_size", WRITER_CACHE_KIB)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", LARGEST_IDLE_LOG_BYTES)
            .thread_name(|_| "archive-writes".to_owned());
        let reading = options
            .read_only(true)
            .pragma("cache_size", READER_CACHE_KIB)
            .thread_name(|number| format!("archive-reads-{number}"));
        // The connection is kept for good: a new one would have to prepare all statements again.
        let writer = PoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let writer = writer.connect_with(writing).await.map_err(failed)?;
        migrate(path, &writer, MIGRATIONS).await?;
        let readers = PoolOptions::new().max_connections(READERS).acquire_timeout(READER_WAIT);
        let readers = readers.connect_with(reading).await.map_err(failed)?;
        let memory = Memory {
            known: Known::default(),
            statements: Statements::default(),
            quarantine: quarantine::Kept::count(&writer).await?,
        };
        Ok(Self(Arc::new(Inner {
            table,
            codes: Codes::default(),
            readers,
            writer,
            memory: Mutex::new(memory),
            register: Generation::default(),
        })))
    }
}

#[async_trait]
impl Archive for SqliteArchive {
    async fn answers(&self) -> Result<(), ArchiveError> {
        let answer = sqlx::query("select 1 from vehicles limit 1").fetch_optional(&self.0.readers).await;
        answer.map(|_row| ()).map_err(database_error("answer"))
    }
}

#[async_trait]
impl ArchiveStore for SqliteArchive {
    async fn store(&self, records: &[ArchiveRecord]) -> Result<Stored, ArchiveError> {
        self.store_records(records).await
    }

    /// A file grows by itself.
    async fn prepare(&self, _now: Timestamp) -> Result<(), ArchiveError> {
        Ok(())
    }

    async fn sum_up(&self, before: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        self.sum_up_hours(before, limit).await
    }

    async fn forget_readings(&self, oldest: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        self.delete_readings(oldest, limit).await
    }

    async fn forget_times(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        self.delete_hours(oldest).await
    }

    async fn forget_quarantined(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        self.delete_quarantined(oldest).await
    }

    async fn forget_alerts(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        self.delete_alerts(oldest).await
    }

    async fn walk(&self, walk: &mut Walk, limit: u32) -> Result<Vec<Assessment>, ArchiveError> {
        self.walk_on(walk, limit).await
    }

    async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}

/// To be asked of every transaction. The connection of one that failed is closed, whatever became of it: some failures (a full disk) make
/// SQLite end a transaction by itself; sqlx 0.9 goes on counting it, takes the next one for a savepoint in it, and where that fails too only
/// goes back to the savepoint. All that came after would be in a transaction that nobody ends.
async fn settled<T>(connection: PoolConnection<Sqlite>, result: Result<T, ArchiveError>) -> Result<T, ArchiveError> {
    if result.is_err()
        && let Err(error) = connection.close().await
    {
        tracing::warn!(%error, "the archive's connection did not close cleanly");
    }
    result
}

async fn migrate(path: &Path, writer: &SqlitePool, migrations: &[(i64, &str, &'static str)]) -> Result<(), ArchiveError> {
    let migrations = migrations.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).to_owned().into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator.run(writer).await.map_err(|source| ArchiveError::Migration { name: path.display().to_string(), source })
}

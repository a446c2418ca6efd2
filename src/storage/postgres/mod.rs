//! The archive on a PostgreSQL server. The server may be down at any time, at the start too: whoever asks then gets an error, and the
//! first who reaches it brings the schema up to date.
//!
//! `connect` says how long anybody waits, `values` how times and rows cross over, `insert` binds a batch column by column, `store` is its
//! transaction, `days` makes and drops partitions, the others answer questions.

mod alerts;
mod buckets;
mod configurations;
mod connect;
mod days;
mod history;
mod insert;
mod inspection;
mod known;
mod last_known;
mod quarantine;
mod store;
mod values;
mod vehicle_records;
mod walk;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgPool;
use tokio::sync::{Mutex, OnceCell};

use self::connect::Lease;
use self::days::Days;
use self::known::Known;
use self::last_known::LastKnown;
use super::archive::{Archive, ArchiveRecord, ArchiveStore, Stored};
use super::columns::StickyColumns;
use super::error::{ArchiveError, database_error};
use super::readings::Walk;
use super::vehicle_records::Generation;
use crate::clock;
use crate::domain::{Assessment, SignalTable, Timestamp};

pub use self::connect::Connector;
pub use self::inspection::inspect;

/// In order; a released one never changes.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "archive", include_str!("../../../migrations/postgres/0001_archive.sql")),
    (2, "summaries", include_str!("../../../migrations/postgres/0002_summaries.sql")),
];
/// A migration that has more to do says `set local statement_timeout`.
const MIGRATE_WITHIN: Duration = Duration::from_mins(10);

/// So long nobody tries to reach a server that somebody did not reach.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Of this program.
#[must_use]
pub fn newest_schema() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct PostgresArchive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Arc<SignalTable>,
    connector: Connector,
    last_known: LastKnown,
    readers: PgPool,
    /// One connection: whoever holds `memory` has it.
    writer: PgPool,
    memory: Mutex<Memory>,
    /// Of the vehicles' records.
    register: Generation,
    /// When somebody did not reach the server.
    last_failure: std::sync::Mutex<Option<Instant>>,
    /// Filled once the schema is what this version knows.
    prepared: OnceCell<()>,
}

/// What the writer remembers between transactions, all of it bounded.
#[derive(Debug, Default)]
struct Memory {
    known: Known,
    columns: StickyColumns,
    days: Days,
    quarantined_since_check: u64,
}

impl PostgresArchive {
    /// # Errors
    /// Where a newer version wrote the archive. A server that does not answer is no error here.
    ///
    /// `data`: a folder where what a start needs is kept for when the server is down.
    pub async fn open(connector: Connector, data: Option<&Path>, table: Arc<SignalTable>) -> Result<Self, ArchiveError> {
        let (readers, writer) = (connector.readers(), connector.writer());
        let last_known = data.map_or_else(LastKnown::default, |data| LastKnown::in_folder(data.join("archive-last-known")));
        let inner = Inner {
            table,
            connector,
            last_known,
            readers,
            writer,
            memory: Mutex::default(),
            register: Generation::default(),
            last_failure: std::sync::Mutex::default(),
            prepared: OnceCell::new(),
        };
        let archive = Self(Arc::new(inner));
        match archive.prepared().await {
            Ok(()) => {}
            Err(error) if error.is_of_another_version() => return Err(error),
            Err(error) => {
                tracing::warn!(archive = %archive.0.connector, %error, "the archive does not answer; the journal keeps what comes");
            }
        }
        Ok(archive)
    }

    /// A connection for questions.
    async fn reader(&self) -> Result<Lease, ArchiveError> {
        self.prepared().await?;
        self.lease(&self.0.readers).await
    }

    /// The one for changes. To be asked for only while holding `memory`.
    async fn writer(&self) -> Result<Lease, ArchiveError> {
        self.prepared().await?;
        self.lease(&self.0.writer).await
    }

    /// Whoever asks while a server is down waits once for all, not each in turn.
    async fn lease(&self, pool: &PgPool) -> Result<Lease, ArchiveError> {
        let last_failure = || self.0.last_failure.lock().expect("no holder panics");
        if last_failure().is_some_and(|moment| moment.elapsed() < AFTER_A_FAILURE) {
            return Err(ArchiveError::JustTried);
        }
        let lease = Lease::of(pool).await;
        *last_failure() = lease.is_err().then(Instant::now);
        lease
    }

    /// Brings the schema up to date, once.
    async fn prepared(&self) -> Result<(), ArchiveError> {
        self.0.prepared.get_or_try_init(|| self.migrate()).await.copied()
    }

    async fn migrate(&self) -> Result<(), ArchiveError> {
        // Of its own, since nobody can tell what a connection is good for that was left in the middle of a migration.
        let pool = self.0.connector.writer();
        self.lease(&pool).await?;
        let migrated = tokio::time::timeout(MIGRATE_WITHIN, migrator(MIGRATIONS).run(&pool)).await;
        let migrated = migrated.map_err(|_elapsed| ArchiveError::Silent { action: "migrate", after: MIGRATE_WITHIN })?;
        migrated.map_err(|error| match error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => database_error("migrate")(source),
            source => ArchiveError::Migration { name: self.0.connector.to_string(), source },
        })?;
        let fsync: Option<(String,)> =
            sqlx::query_as("show fsync").fetch_optional(&pool).await.map_err(database_error("migrate"))?;
        if fsync.is_some_and(|(fsync,)| fsync == "off") {
            tracing::warn!(archive = %self.0.connector, "the server runs with fsync = off: a power cut there can lose what it was given");
        }
        Ok(())
    }
}

fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = migrations
        .iter()
        .map(|(version, name, sql)| Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false));
    Migrator::with_migrations(migrations.collect())
}

#[async_trait]
impl Archive for PostgresArchive {
    async fn answers(&self) -> Result<(), ArchiveError> {
        let select = sqlx::query("select 1 from vehicles limit 1");
        self.reader().await?.row("answer", select).await.map(|_row| ())
    }
}

#[async_trait]
impl ArchiveStore for PostgresArchive {
    async fn store(&self, records: &[ArchiveRecord]) -> Result<Stored, ArchiveError> {
        self.store_records(records).await
    }

    async fn prepare(&self, now: Timestamp) -> Result<(), ArchiveError> {
        self.make_days_ahead(now).await
    }

    async fn sum_up(&self, before: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        self.sum_up_hours(before, limit).await
    }

    async fn forget_readings(&self, oldest: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        self.drop_day_or_delete(oldest, limit).await
    }

    async fn forget_times(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        let mut memory = self.0.memory.lock().await;
        let delete = sqlx::query("delete from vehicle_days where day < $1").bind(days::day_of(oldest));
        let mut lease = self.writer().await?;
        lease.execute("delete old days", delete).await?;
        buckets::forget(&mut lease, days::day_of(oldest)).await?;
        // A late reading may bring one of them back.
        memory.known.forget();
        Ok(())
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
        /// A server that does not answer is left alone.
        const GRACE: Duration = Duration::from_secs(5);
        let closed = async { tokio::join!(self.0.readers.close(), self.0.writer.close()) };
        if tokio::time::timeout(GRACE, closed).await.is_err() {
            tracing::warn!(archive = %self.0.connector, at = %clock::now(), "the archive's server did not say goodbye");
        }
    }
}

#[cfg(test)]
use crate::bench::postgres as server;
#[cfg(test)]
mod tests;

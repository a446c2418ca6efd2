//! What can be said of an archive file from outside, without changing it: for `odograph doctor`. Runs beside a service that writes it.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::MIGRATIONS;
use crate::domain::Timestamp;
use crate::storage::error::{ArchiveError, database_error};

/// The newest rows that are looked through for undeclared signals: a question to the whole archive would take minutes.
const NEWEST_ROWS: i64 = 50_000;
const MOST_NAMES: i64 = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveInspection {
    pub sqlite_version: String,
    /// The last migration that ran; `None`: not one.
    pub schema: Option<i64>,
    /// The schema of this program.
    pub expected_schema: i64,
    /// Our clock when the newest reading came in; with a clock that went back, it lies ahead.
    pub newest_received_at: Option<Timestamp>,
    /// Names in `extras` of the newest readings with how many had them, most first. Declared ones stand there too.
    pub extras: Vec<(String, i64)>,
}

/// Reads only; the file must be there.
///
/// # Errors
/// Where the file is no archive or does not answer.
pub async fn inspect(path: &Path) -> Result<ArchiveInspection, ArchiveError> {
    let failed = |source| ArchiveError::Open { path: path.to_owned(), source };
    let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let sqlite_version = sqlx::query_scalar("select sqlite_version()");
    let sqlite_version = sqlite_version.fetch_one(&mut connection).await.map_err(database_error("say its version"))?;
    let schema = schema(&mut connection).await?;
    let mut inspection = ArchiveInspection {
        sqlite_version,
        schema,
        expected_schema: MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0),
        newest_received_at: None,
        extras: Vec::new(),
    };
    if schema.is_some() {
        let newest = sqlx::query_scalar("select received_at from readings order by rowid desc limit 1");
        let newest: Option<i64> = newest.fetch_optional(&mut connection).await.map_err(database_error("show its newest row"))?;
        inspection.newest_received_at = newest.map(Timestamp::from_micros);
        let extras = sqlx::query_as(
            "select key, count(*) from (select extras from readings order by rowid desc limit ?), json_each(extras)
            where extras is not null group by key order by count(*) desc, key limit ?",
        );
        let extras = extras.bind(NEWEST_ROWS).bind(MOST_NAMES).fetch_all(&mut connection).await;
        inspection.extras = extras.map_err(database_error("list undeclared signals"))?;
    }
    connection.close().await.map_err(database_error("close"))?;
    Ok(inspection)
}

async fn schema(connection: &mut SqliteConnection) -> Result<Option<i64>, ArchiveError> {
    let table = sqlx::query_scalar("select count(*) from sqlite_master where name = '_sqlx_migrations'");
    let tables: i64 = table.fetch_one(&mut *connection).await.map_err(database_error("say its schema"))?;
    if tables == 0 {
        return Ok(None);
    }
    let newest = sqlx::query_scalar("select max(version) from _sqlx_migrations where success");
    newest.fetch_one(connection).await.map_err(database_error("say its schema"))
}

//! The questions of `storage::inspection` to a file.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::newest_schema;
use crate::domain::Timestamp;
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::inspection::{ArchiveInspection, MOST_NAMES, SOME_READINGS};

/// Reads only; the file must be there.
pub async fn inspect(path: &Path) -> Result<ArchiveInspection, ArchiveError> {
    let failed = |source| ArchiveError::Open { path: path.to_owned(), source };
    let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let version = sqlx::query_scalar("select sqlite_version()");
    let version: String = version.fetch_one(&mut connection).await.map_err(database_error("say its version"))?;
    let schema = schema(&mut connection).await?;
    let mut inspection = ArchiveInspection {
        engine: format!("SQLite {version}"),
        schema,
        expected_schema: newest_schema(),
        newest_received_at: None,
        extras: Vec::new(),
        server: None,
    };
    if schema.is_some() {
        let newest = sqlx::query_scalar("select received_at from readings order by rowid desc limit 1");
        let newest: Option<i64> = newest.fetch_optional(&mut connection).await.map_err(database_error("show its newest row"))?;
        inspection.newest_received_at = newest.map(Timestamp::from_micros);
        let extras = sqlx::query_as(
            "select key, count(*) from (select extras from readings order by rowid desc limit ?), json_each(extras)
            where extras is not null group by key order by count(*) desc, key limit ?",
        );
        let extras = extras.bind(SOME_READINGS).bind(MOST_NAMES).fetch_all(&mut connection).await;
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

//! A copy of the file as it is at one moment, while others write it.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::storage::error::{ArchiveError, database_error};

/// Writers go on meanwhile; their write-ahead log cannot shrink as long as it lasts. `into` must not be there.
pub async fn copy(path: &Path, into: &Path) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Open { path: path.to_owned(), source };
    let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    // The backup API would begin again with every commit of another process.
    let vacuum = sqlx::query("vacuum into ?").bind(into.to_string_lossy().into_owned());
    vacuum.execute(&mut connection).await.map_err(database_error("be copied"))?;
    connection.close().await.map_err(database_error("close"))
}

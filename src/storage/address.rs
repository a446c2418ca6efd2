//! Which archive the settings mean: a file of SQLite, or a PostgreSQL server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::SharedStore;
use super::postgres::{Connector, PostgresArchive};
use super::{ArchiveError, SqliteArchive};
use crate::domain::SignalTable;

/// What `archive.url` says.
#[derive(Debug, Clone)]
pub enum ArchiveAddress {
    Sqlite(PathBuf),
    /// And the data folder, where what a start needs is kept.
    Postgres(Connector, PathBuf),
}

impl ArchiveAddress {
    /// Empty: `archive.sqlite` in the data folder.
    ///
    /// # Errors
    /// Where it is neither `sqlite://FILE` nor an address of PostgreSQL. Says nothing of what could be a password.
    pub fn read(url: &str, data: &Path) -> Result<Self, ArchiveError> {
        if url.is_empty() {
            return Ok(Self::Sqlite(data.join("archive.sqlite")));
        }
        match url.split_once("://") {
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(PathBuf::from(file))),
            Some(("sqlite", _)) => Err(ArchiveError::Address { problem: "names no file".to_owned() }),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(Connector::read(url)?, data.to_owned())),
            Some((scheme, _)) => Err(ArchiveError::Address { problem: format!("begins with {scheme:?}") }),
            None => Err(ArchiveError::Address { problem: "has no ://".to_owned() }),
        }
    }
}

/// Opens an archive that somebody else fills: it must be there, and answer.
///
/// # Errors
/// Where it does not.
pub async fn open_existing(address: ArchiveAddress, table: Arc<SignalTable>) -> Result<SharedStore, ArchiveError> {
    if let ArchiveAddress::Sqlite(file) = &address
        && !file.exists()
    {
        return Err(ArchiveError::Missing { path: file.clone() });
    }
    let archive: SharedStore = match address {
        ArchiveAddress::Sqlite(file) => Arc::new(SqliteArchive::open(&file, table).await?),
        ArchiveAddress::Postgres(connector, _) => Arc::new(PostgresArchive::open(connector, None, table).await?),
    };
    archive.answers().await?;
    Ok(archive)
}

/// Opens the archive. A server that cannot be reached is no error: the archive is there, and says so when it is asked.
///
/// # Errors
/// Where the file cannot be opened, or a newer version wrote the archive.
pub async fn open(address: ArchiveAddress, table: Arc<SignalTable>) -> Result<SharedStore, ArchiveError> {
    match address {
        ArchiveAddress::Sqlite(file) => Ok(Arc::new(SqliteArchive::open(&file, table).await?)),
        ArchiveAddress::Postgres(connector, data) => Ok(Arc::new(PostgresArchive::open(connector, Some(&data), table).await?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_which_archive_it_is_and_a_wrong_one_keeps_its_password() {
        let data = Path::new("/data");
        let file = |url| match ArchiveAddress::read(url, data) {
            Ok(ArchiveAddress::Sqlite(file)) => file,
            other => panic!("{other:?}"),
        };
        assert_eq!(file(""), Path::new("/data/archive.sqlite"));
        assert_eq!(file("sqlite:///srv/a.db"), Path::new("/srv/a.db"));
        let right = ["postgres://u:secret@h/d", "postgresql://h/d", "postgres://u:secret@localhost/d?host=/run/x&port=5433"];
        for url in right {
            let address = ArchiveAddress::read(url, data).unwrap();
            let shown = format!("{address:?}");
            assert!(matches!(address, ArchiveAddress::Postgres(..)) && !shown.contains("secret"), "{shown}");
        }
        let wrong = [
            "sqlite://",
            "postgresq://u:secret@h/d",
            "u:secret",
            "postgres://u:secret@h:port/d",
            "postgres://u@h/d?pasword=secret",
        ];
        for url in wrong {
            let error = ArchiveAddress::read(url, data).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

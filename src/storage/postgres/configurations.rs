//! Configurations and models as rows.

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::PostgresArchive;
use super::values::{PostgresCells, Time};
use crate::domain::Timestamp;
use crate::storage::configurations::{ConfigurationArchive, StoredConfiguration};
use crate::storage::error::ArchiveError;
use crate::storage::row::Cells;

#[async_trait]
impl ConfigurationArchive for PostgresArchive {
    async fn put_configuration(&self, content: &str, at: Timestamp) -> Result<u64, ArchiveError> {
        const STORE: &str = "store the configuration";
        let _one_writer = self.0.memory.lock().await;
        let mut lease = self.writer().await?;
        // Two processes must not give one number to two contents.
        lease.run(STORE, "begin; lock table configurations in share row exclusive mode").await?;
        let insert = "insert into configurations (revision, created_at, content)
            select (select coalesce(max(revision), 0) + 1 from configurations), $1, $2
            where not exists (select 1 from configurations
                where content = $2 and revision = (select max(revision) from configurations))";
        lease.execute(STORE, sqlx::query(insert).bind(Time(at)).bind(content)).await?;
        let newest = lease.row(STORE, sqlx::query("select max(revision) from configurations")).await?;
        lease.run(STORE, "commit").await?;
        let newest = newest.expect("an aggregate is one row");
        let revision = PostgresCells::new(&newest).required("configurations.revision")?;
        self.0.last_known.keep_configuration(&StoredConfiguration { revision, created_at: at, content: content.to_owned() });
        Ok(revision)
    }

    async fn configuration(&self, revision: u64) -> Result<Option<StoredConfiguration>, ArchiveError> {
        let select = sqlx::query("select revision, created_at, content from configurations where revision = $1");
        let row = self.reader().await?.row("read a configuration", select.bind(revision.cast_signed())).await?;
        row.as_ref().map(stored).transpose()
    }

    async fn newest_configuration(&self) -> Result<Option<StoredConfiguration>, ArchiveError> {
        match self.ask_newest_configuration().await {
            Ok(newest) => {
                newest.as_ref().inspect(|newest| self.0.last_known.keep_configuration(newest));
                Ok(newest)
            }
            Err(error) => self.0.last_known.configuration().map(Some).ok_or(error),
        }
    }

    async fn put_model_file(&self, sha256: &str, file: &[u8]) -> Result<(), ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let insert = sqlx::query("insert into model_files (sha256, file) values ($1, $2) on conflict do nothing");
        self.writer().await?.execute("store a model", insert.bind(sha256).bind(file)).await.map(|_rows| ())
    }

    async fn model_file(&self, sha256: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let select = sqlx::query("select file from model_files where sha256 = $1").bind(sha256);
        let row = self.reader().await?.row("read a model", select).await?;
        row.map(|row| PostgresCells::new(&row).take()).transpose()
    }
}

impl PostgresArchive {
    async fn ask_newest_configuration(&self) -> Result<Option<StoredConfiguration>, ArchiveError> {
        let select = sqlx::query("select revision, created_at, content from configurations order by revision desc limit 1");
        let row = self.reader().await?.row("read a configuration", select).await?;
        row.as_ref().map(stored).transpose()
    }
}

fn stored(row: &PgRow) -> Result<StoredConfiguration, ArchiveError> {
    let mut cells = PostgresCells::new(row);
    let revision = cells.required("configurations.revision")?;
    Ok(StoredConfiguration { revision, created_at: cells.time()?, content: cells.take()? })
}

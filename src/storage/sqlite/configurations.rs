//! Configurations and models as rows.

use async_trait::async_trait;

use super::SqliteArchive;
use crate::domain::Timestamp;
use crate::storage::configurations::{ConfigurationArchive, StoredConfiguration};
use crate::storage::error::{ArchiveError, database_error};

#[async_trait]
impl ConfigurationArchive for SqliteArchive {
    async fn put_configuration(&self, content: &str, at: Timestamp) -> Result<u64, ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let insert = "insert into configurations (revision, created_at, content)
            select (select coalesce(max(revision), 0) + 1 from configurations), ?1, ?2
            where not exists (select 1 from configurations
                where content = ?2 and revision = (select max(revision) from configurations))";
        let insert = sqlx::query(insert).bind(at.as_micros()).bind(content);
        insert.execute(&self.0.writer).await.map_err(database_error("store the configuration"))?;
        let newest = sqlx::query_scalar("select max(revision) from configurations").fetch_one(&self.0.writer).await;
        newest.map(i64::cast_unsigned).map_err(database_error("store the configuration"))
    }

    async fn configuration(&self, revision: u64) -> Result<Option<StoredConfiguration>, ArchiveError> {
        let select = sqlx::query_as("select revision, created_at, content from configurations where revision = ?1");
        let row: Option<(i64, i64, String)> = select
            .bind(revision.cast_signed())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(database_error("read a configuration"))?;
        Ok(row.map(stored))
    }

    async fn newest_configuration(&self) -> Result<Option<StoredConfiguration>, ArchiveError> {
        let select = sqlx::query_as("select revision, created_at, content from configurations order by revision desc limit 1");
        let row: Option<(i64, i64, String)> =
            select.fetch_optional(&self.0.readers).await.map_err(database_error("read a configuration"))?;
        Ok(row.map(stored))
    }

    async fn put_model_file(&self, sha256: &str, file: &[u8]) -> Result<(), ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let insert =
            sqlx::query("insert into model_files (sha256, file) values (?1, ?2) on conflict do nothing").bind(sha256).bind(file);
        insert.execute(&self.0.writer).await.map_err(database_error("store a model"))?;
        Ok(())
    }

    async fn model_file(&self, sha256: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let select = sqlx::query_scalar("select file from model_files where sha256 = ?1").bind(sha256);
        select.fetch_optional(&self.0.readers).await.map_err(database_error("read a model"))
    }
}

fn stored((revision, created_at, content): (i64, i64, String)) -> StoredConfiguration {
    StoredConfiguration { revision: revision.cast_unsigned(), created_at: Timestamp::from_micros(created_at), content }
}

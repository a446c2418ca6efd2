//! What judged readings, by revision: kept for ever, since alerts refer to it. Knows nothing of its content: `configuration`.

use async_trait::async_trait;

use super::ArchiveError;
use crate::domain::Timestamp;

/// One immutable snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConfiguration {
    pub revision: u64,
    pub created_at: Timestamp,
    /// JSON.
    pub content: String,
}

/// # Errors
/// Each where the archive does not answer.
#[async_trait]
pub trait ConfigurationArchive {
    /// The revision of this content: that of the newest one where it is the same, else the next.
    async fn put_configuration(&self, content: &str, at: Timestamp) -> Result<u64, ArchiveError>;

    async fn configuration(&self, revision: u64) -> Result<Option<StoredConfiguration>, ArchiveError>;

    /// Where the archive does not answer: as it last did, if that is known.
    async fn newest_configuration(&self) -> Result<Option<StoredConfiguration>, ArchiveError>;

    async fn put_model_file(&self, sha256: &str, file: &[u8]) -> Result<(), ArchiveError>;

    async fn model_file(&self, sha256: &str) -> Result<Option<Vec<u8>>, ArchiveError>;
}

//! Questions about refused messages: the newest are kept, all are counted.

use async_trait::async_trait;

use super::ArchiveError;
use crate::domain::{Quarantined, Reason, Timestamp};

/// When full, the oldest messages make room: an operator looks for what is wrong now.
pub(super) const MAX_MESSAGES: i64 = 100_000;
pub(super) const MAX_PAYLOAD_BYTES: i64 = 256 << 20;
/// Which messages to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct QuarantineQuery {
    pub reason: Option<Reason>,
    /// Goes on behind this one.
    pub after: Option<QuarantineCursor>,
    pub limit: u32,
}

/// The id of the last message of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineCursor(pub i64);

#[derive(Debug, Clone, PartialEq)]
pub struct QuarantinePage {
    pub messages: Vec<QuarantinedMessage>,
    pub next: Option<QuarantineCursor>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct QuarantinedMessage {
    pub id: i64,
    /// When it was taken in after all.
    pub replayed_at: Option<Timestamp>,
    pub message: Quarantined,
}

/// What was kept of one message, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedPayload {
    pub payload: Vec<u8>,
    /// Whether that is all that came.
    pub is_whole: bool,
}

/// # Errors
/// Each where the archive does not answer.
#[async_trait]
pub trait QuarantineArchive {
    async fn quarantine(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError>;

    /// Messages to be decoded again, oldest first, behind `query.after`. Taking one in twice does no harm: its readings are duplicates
    /// then. So mark it only once its readings are durable.
    async fn replayable(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError>;

    /// Those of `ids` that are kept, in their order.
    async fn quarantined_messages(&self, ids: &[i64]) -> Result<Vec<QuarantinedMessage>, ArchiveError>;

    /// Messages of a reason that were not kept whole, so that nobody can take them in any more.
    async fn count_not_whole(&self, reason: Reason) -> Result<u64, ArchiveError>;

    async fn mark_replayed(&self, ids: &[i64], at: Timestamp) -> Result<(), ArchiveError>;

    /// All that were ever refused, by reason.
    async fn quarantine_counts(&self) -> Result<Vec<(String, u64)>, ArchiveError>;

    /// `None` where there is no such message, or no more.
    async fn quarantined_payload(&self, id: i64) -> Result<Option<ExportedPayload>, ArchiveError>;
}

impl QuarantineQuery {
    /// Of up to one message more than asked for: it says whether there is a next page.
    pub(super) fn page(&self, mut messages: Vec<QuarantinedMessage>) -> QuarantinePage {
        let has_more = messages.len() > self.limit as usize;
        messages.truncate(self.limit as usize);
        let next = messages.last().filter(|_| has_more).map(|last| QuarantineCursor(last.id));
        QuarantinePage { messages, next }
    }
}

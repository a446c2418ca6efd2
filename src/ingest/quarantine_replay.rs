//! Takes quarantined messages in after all, once what refused them is mended: decoded again, and through the lanes like any message.
//!
//! What is still refused stays where it is and is not quarantined a second time. Doing it twice does no harm: its readings are
//! duplicates then.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::intake::{Intake, Message, NotPromised, Pending};
use crate::clock;
use crate::domain::{Reason, Source};
use crate::storage::{ArchiveError, QuarantineCursor, QuarantineQuery, QuarantinedMessage, SharedArchive};
use crate::wire::schemas;

/// Messages of one call, 64 KiB each at most.
pub const MOST_MESSAGES: u32 = 500;
/// Handed to lanes before the first is waited for, so that they share commits.
const AT_ONCE: usize = 100;

#[derive(Clone)]
pub struct QuarantineReplay {
    intake: Arc<Intake>,
    archive: SharedArchive,
}

/// Which messages.
#[derive(Debug, Clone)]
pub enum Which {
    /// Whole ones that were not replayed yet, oldest first, behind a cursor.
    OfReason { reason: Reason, after: Option<QuarantineCursor> },
    /// At most [`MOST_MESSAGES`]; where a reason is given, only those.
    Ids { ids: Vec<i64>, reason: Option<Reason> },
}

/// What became of the messages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Replayed {
    /// Messages that are believed and durable now.
    pub taken: u64,
    /// Readings of theirs.
    pub accepted: u64,
    pub duplicates: u64,
    /// Messages, by the reason of today.
    #[schema(schema_with = schemas::numbers)]
    pub still_refused: BTreeMap<&'static str, u64>,
    /// Messages of which only the beginning was kept, or nothing, since it stands with another element of the same message.
    pub not_whole: u64,
    /// Named, and not a message that can be taken in: replayed before, never sent by a vehicle, or not kept.
    pub not_replayable: u64,
    /// Where the next call goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("not everything was taken in: {0}; nothing is lost, ask again")]
    NotPromised(#[from] NotPromised),
}

impl QuarantineReplay {
    #[must_use]
    pub const fn new(intake: Arc<Intake>, archive: SharedArchive) -> Self {
        Self { intake, archive }
    }

    /// Returns once what was taken in is durable and marked as replayed.
    ///
    /// # Errors
    /// Where the archive does not answer, or lanes stop.
    pub async fn replay(&self, which: &Which) -> Result<Replayed, ReplayError> {
        let mut replayed = Replayed::default();
        let messages = match which {
            Which::OfReason { reason, after } => {
                let query = QuarantineQuery { reason: Some(*reason), after: *after, limit: MOST_MESSAGES };
                let page = self.archive.replayable(&query).await?;
                replayed.next_cursor = page.next.map(|cursor| cursor.0.to_string());
                if after.is_none() {
                    replayed.not_whole = self.archive.count_not_whole(*reason).await?;
                }
                page.messages
            }
            Which::Ids { ids, reason } => {
                let mut messages = self.archive.quarantined_messages(ids).await?;
                messages.retain(|one| reason.is_none_or(|reason| one.message.reason == reason));
                replayed.not_replayable = ids.len().saturating_sub(messages.len()) as u64;
                messages
            }
        };
        for some in messages.chunks(AT_ONCE) {
            self.take(some, &mut replayed).await?;
        }
        Ok(replayed)
    }

    async fn take(&self, messages: &[QuarantinedMessage], replayed: &mut Replayed) -> Result<(), ReplayError> {
        let mut waiting: Vec<(i64, Pending)> = Vec::with_capacity(messages.len());
        for QuarantinedMessage { id, replayed_at, message } in messages {
            if replayed_at.is_some() || message.source == Source::Journal {
                replayed.not_replayable += 1;
                continue;
            }
            if message.payload.len() as u64 != message.payload_bytes {
                replayed.not_whole += 1;
                continue;
            }
            let again = Message {
                source: message.source,
                vehicle_id: &message.vehicle_id,
                payload: message.payload.clone(),
                format: None,
            };
            match self.intake.begin_again(&again, message.index).await? {
                Ok(pending) => waiting.push((*id, pending)),
                Err(reason) => *replayed.still_refused.entry(reason.code()).or_default() += 1,
            }
        }
        let mut taken = Vec::with_capacity(waiting.len());
        for (id, mut pending) in waiting {
            let answer = self.intake.settle(&mut pending).await?;
            replayed.accepted += u64::from(answer.accepted);
            replayed.duplicates += u64::from(answer.duplicates);
            taken.push(id);
        }
        // Only now: marked before they are durable, a power cut would lose them.
        self.archive.mark_replayed(&taken, clock::now()).await?;
        replayed.taken += taken.len() as u64;
        Ok(())
    }
}

impl std::fmt::Debug for QuarantineReplay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("QuarantineReplay").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::Quarantined;
    use crate::ingest::fixtures::{Lanes, a_reading, keep, soon};
    use crate::storage::{self, ArchiveAddress, ArchiveRecord, VehicleRegister};
    use crate::wire::record::Record;

    fn refused(arrival: u64, payload: &str, payload_bytes: usize, source: Source) -> ArchiveRecord {
        let message = Quarantined {
            received_at: clock::now(),
            source,
            vehicle_id: "truck-7".into(),
            reason: Reason::VehicleNotAllowed,
            detail: "nobody registered this vehicle".into(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            payload_bytes: payload_bytes as u64,
            index: 0,
        };
        let slot = crate::domain::Slot::of("truck-7");
        ArchiveRecord { slot, arrival, record: Record::Quarantined(Box::new(message)) }
    }

    #[tokio::test]
    async fn what_is_believed_now_is_taken_in_once_and_the_rest_stays_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let archive = storage::open(ArchiveAddress::Sqlite(folder.path().join("archive.sqlite")), Arc::default()).await.unwrap();
        let register = VehicleRegister::open(archive.clone()).await.unwrap();
        let Lanes { intake, mut deliveries } = Lanes::open();
        let intake = Arc::new(Arc::into_inner(intake).unwrap().only_from(register.clone()));
        let good = a_reading(1);
        let records = [
            refused(0, &good, good.len(), Source::Mqtt),
            refused(1, "{", 1, Source::Http),
            refused(2, &good, good.len() + 1, Source::Mqtt),
            refused(3, &good, good.len(), Source::Journal),
        ];
        archive.store(&records).await.unwrap();
        let replay = QuarantineReplay::new(intake, archive.clone());
        #[expect(clippy::disallowed_methods, reason = "a test takes its result")]
        let lanes = tokio::spawn(async move {
            let mut sent = 0;
            while let Some(delivery) = deliveries.recv().await {
                assert!(delivery.quarantined.is_empty(), "nothing is quarantined a second time");
                sent += 1;
                keep(delivery);
            }
            sent
        });
        let of_reason = Which::OfReason { reason: Reason::VehicleNotAllowed, after: None };
        let before = soon(replay.replay(&of_reason)).await.unwrap();
        assert_eq!((before.taken, before.still_refused["vehicle_not_allowed"]), (0, 2), "nothing is mended yet");
        let truck = crate::domain::VehicleId::new("truck-7").unwrap();
        register.put(vec![(truck, crate::domain::VehicleRecord::default())], clock::now()).await.unwrap();
        let first = soon(replay.replay(&of_reason)).await.unwrap();
        let still_refused = BTreeMap::from([("json_syntax", 1)]);
        let expected =
            Replayed { taken: 1, accepted: 1, still_refused: still_refused.clone(), not_whole: 1, ..Replayed::default() };
        assert_eq!(first, expected);
        let again = soon(replay.replay(&of_reason)).await.unwrap();
        assert_eq!((again.taken, again.still_refused.clone()), (0, still_refused));
        let ids: Vec<i64> = archive
            .quarantine(&QuarantineQuery { limit: 9, ..QuarantineQuery::default() })
            .await
            .unwrap()
            .messages
            .iter()
            .map(|message| message.id)
            .chain([4711])
            .collect();
        let named = soon(replay.replay(&Which::Ids { ids, reason: None })).await.unwrap();
        assert_eq!((named.taken, named.not_whole, named.not_replayable), (0, 1, 3));
        drop(replay);
        assert_eq!(soon(lanes).await.unwrap(), 1);
    }
}

//! Refused messages in the archive: the newest are kept, all are counted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::SqliteArchive;
use crate::domain::{Quarantined, Reason, Source, Timestamp};
use crate::storage::archive::Refused;
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::quarantine::{
    ExportedPayload, MAX_MESSAGES, MAX_PAYLOAD_BYTES, QuarantineArchive, QuarantineCursor, QuarantinePage, QuarantineQuery,
    QuarantinedMessage,
};

/// Oldest messages that are looked at together when room is needed.
const ROOM_STEP: i64 = 1_000;

/// How much is kept, so that no insert has to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    messages: i64,
    payload_bytes: i64,
}

/// What a transaction did, once it is committed.
pub struct Storing {
    pub new_messages: u64,
    pub after: Kept,
}

impl Kept {
    pub async fn count(pool: &SqlitePool) -> Result<Self, ArchiveError> {
        let select = "select count(*), coalesce(sum(kept_bytes), 0) from quarantine";
        let counts: Result<(i64, i64), _> = sqlx::query_as(select).fetch_one(pool).await;
        let (messages, payload_bytes) = counts.map_err(database_error("count quarantined messages"))?;
        Ok(Self { messages, payload_bytes })
    }

    pub(super) async fn store(self, connection: &mut SqliteConnection, refused: &[Refused<'_>]) -> Result<Storing, ArchiveError> {
        let mut after = self;
        let mut counts: BTreeMap<Reason, i64> = BTreeMap::new();
        for refused in refused {
            if insert(connection, refused).await? {
                *counts.entry(refused.message.reason).or_default() += 1;
                after.messages += 1;
                after.payload_bytes += length(&refused.message.payload);
            }
        }
        for (reason, messages) in &counts {
            let count = "insert into quarantine_counts (reason, messages) values (?1, ?2)
                on conflict (reason) do update set messages = messages + excluded.messages";
            let count = sqlx::query(count).bind(reason.code()).bind(messages);
            count.execute(&mut *connection).await.map_err(database_error("count quarantined messages"))?;
        }
        after.make_room(connection).await?;
        Ok(Storing { new_messages: counts.values().map(|messages| messages.unsigned_abs()).sum(), after })
    }

    async fn make_room(&mut self, connection: &mut SqliteConnection) -> Result<(), ArchiveError> {
        while self.messages > MAX_MESSAGES || self.payload_bytes > MAX_PAYLOAD_BYTES {
            let oldest = "select id, kept_bytes from quarantine order by id limit ?1";
            let oldest: Result<Vec<(i64, i64)>, _> = sqlx::query_as(oldest).bind(ROOM_STEP).fetch_all(&mut *connection).await;
            let oldest = oldest.map_err(database_error("find the oldest quarantined messages"))?;
            let mut last = None;
            for (id, kept_bytes) in oldest {
                if self.messages <= MAX_MESSAGES && self.payload_bytes <= MAX_PAYLOAD_BYTES {
                    break;
                }
                self.messages -= 1;
                self.payload_bytes -= kept_bytes;
                last = Some(id);
            }
            let Some(last) = last else { break };
            let delete = sqlx::query("delete from quarantine where id <= ?1").bind(last);
            delete.execute(&mut *connection).await.map_err(database_error("make room in the quarantine"))?;
        }
        Ok(())
    }
}

/// Whether it is new.
async fn insert(connection: &mut SqliteConnection, refused: &Refused<'_>) -> Result<bool, ArchiveError> {
    let message = refused.message;
    let insert = "insert into quarantine
            (received_at, source, vehicle_id, reason, detail, item, slot, arrival, payload_bytes, kept_bytes, payload)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        on conflict do nothing";
    let insert = sqlx::query(insert)
        .bind(message.received_at.as_micros())
        .bind(message.source.code())
        .bind(&*message.vehicle_id)
        .bind(message.reason.code())
        .bind(&*message.detail)
        .bind(message.index)
        .bind(refused.slot.number())
        .bind(refused.arrival.cast_signed())
        .bind(message.payload_bytes.cast_signed())
        .bind(length(&message.payload))
        .bind(&*message.payload);
    let done = insert.execute(connection).await.map_err(database_error("store a quarantined message"))?;
    Ok(done.rows_affected() == 1)
}

fn length(payload: &[u8]) -> i64 {
    i64::try_from(payload.len()).expect("at most 64 KiB are kept")
}

#[async_trait]
impl QuarantineArchive for SqliteArchive {
    async fn quarantine(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        let select = if query.reason.is_some() { LIST_BY_REASON } else { LIST };
        let before = query.after.map_or(i64::MAX, |cursor| cursor.0);
        let mut select = sqlx::query_as(select).bind(before).bind(i64::from(query.limit) + 1);
        if let Some(reason) = query.reason {
            select = select.bind(reason.code());
        }
        let rows: Vec<Columns> = select.fetch_all(&self.0.readers).await.map_err(database_error("list quarantined messages"))?;
        let messages: Vec<_> = rows.into_iter().map(message).collect::<Result<_, ArchiveError>>()?;
        Ok(query.page(messages))
    }

    async fn replayable(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        let select = sqlx::query_as(REPLAYABLE).bind(query.after.map_or(0, |cursor| cursor.0)).bind(i64::from(query.limit));
        let select = select.bind(query.reason.map(Reason::code));
        let rows: Vec<Columns> = select.fetch_all(&self.0.readers).await.map_err(database_error("list what can be replayed"))?;
        let is_full = rows.len() == query.limit as usize;
        let messages: Vec<_> = rows.into_iter().map(message).collect::<Result<_, ArchiveError>>()?;
        let next = messages.last().filter(|_| is_full).map(|last| QuarantineCursor(last.id));
        Ok(QuarantinePage { messages, next })
    }

    async fn quarantined_messages(&self, ids: &[i64]) -> Result<Vec<QuarantinedMessage>, ArchiveError> {
        let ids = serde_json::to_string(ids).expect("numbers are JSON");
        let select = sqlx::query_as(BY_ID).bind(ids).fetch_all(&self.0.readers).await;
        let rows: Vec<Columns> = select.map_err(database_error("read quarantined messages"))?;
        rows.into_iter().map(message).collect()
    }

    async fn count_not_whole(&self, reason: Reason) -> Result<u64, ArchiveError> {
        let select = "select count(*) from quarantine where reason = ?1 and kept_bytes <> payload_bytes";
        let count = sqlx::query_scalar(select).bind(reason.code()).fetch_one(&self.0.readers).await;
        count.map(i64::unsigned_abs).map_err(database_error("count quarantined messages"))
    }

    async fn mark_replayed(&self, ids: &[i64], at: Timestamp) -> Result<(), ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let ids = serde_json::to_string(ids).expect("numbers are JSON");
        let mark = "update quarantine set replayed_at = ?1 where id in (select value from json_each(?2))";
        let mark = sqlx::query(mark).bind(at.as_micros()).bind(ids).execute(&self.0.writer).await;
        mark.map(|_done| ()).map_err(database_error("mark what was replayed"))
    }

    async fn quarantine_counts(&self) -> Result<Vec<(String, u64)>, ArchiveError> {
        let select = sqlx::query_as("select reason, messages from quarantine_counts order by reason");
        let counts: Result<Vec<(String, i64)>, _> = select.fetch_all(&self.0.readers).await;
        let counts = counts.map_err(database_error("count quarantined messages"))?;
        Ok(counts.into_iter().map(|(reason, messages)| (reason, messages.unsigned_abs())).collect())
    }

    async fn quarantined_payload(&self, id: i64) -> Result<Option<ExportedPayload>, ArchiveError> {
        let select = sqlx::query_as("select payload, payload_bytes from quarantine where id = ?1").bind(id);
        let found: Result<Option<(Vec<u8>, i64)>, _> = select.fetch_optional(&self.0.readers).await;
        let found = found.map_err(database_error("read a quarantined message"))?;
        Ok(found.map(|(payload, bytes)| ExportedPayload { is_whole: length(&payload) == bytes, payload }))
    }
}

const LIST: &str = "select id, received_at, source, vehicle_id, reason, detail, item, payload_bytes, payload, replayed_at
    from quarantine where id < ?1 order by id desc limit ?2";
const LIST_BY_REASON: &str =
    "select id, received_at, source, vehicle_id, reason, detail, item, payload_bytes, payload, replayed_at
    from quarantine where id < ?1 and reason = ?3 order by id desc limit ?2";

const BY_ID: &str = "select id, received_at, source, vehicle_id, reason, detail, item, payload_bytes, payload, replayed_at
    from quarantine where id in (select value from json_each(?1)) order by id";

/// Those of ?3 (null: any reason) that were kept whole, can be decoded again and were not yet. What came out of the journal is no
/// message of a vehicle.
const REPLAYABLE: &str = "select id, received_at, source, vehicle_id, reason, detail, item, payload_bytes, payload, replayed_at
    from quarantine where id > ?1 and reason = coalesce(?3, reason)
        and kept_bytes = payload_bytes and replayed_at is null and source <> 'journal'
    order by id limit ?2";

type Columns = (i64, i64, String, String, String, String, u32, i64, Vec<u8>, Option<i64>);

fn message(row: Columns) -> Result<QuarantinedMessage, ArchiveError> {
    let (id, received_at, source, vehicle_id, reason, detail, index, payload_bytes, payload, replayed_at) = row;
    let unreadable = |column, value| ArchiveError::Unreadable { column, value };
    Ok(QuarantinedMessage {
        id,
        replayed_at: replayed_at.map(Timestamp::from_micros),
        message: Quarantined {
            received_at: Timestamp::from_micros(received_at),
            source: Source::from_code(&source).ok_or_else(|| unreadable("quarantine.source", source))?,
            vehicle_id: vehicle_id.into(),
            reason: Reason::from_code(&reason).ok_or_else(|| unreadable("quarantine.reason", reason))?,
            detail: detail.into(),
            index,
            payload_bytes: payload_bytes.unsigned_abs(),
            payload: payload.into(),
        },
    })
}

//! Refused messages in the archive: the newest are kept, all are counted.

use std::borrow::Cow;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use super::PostgresArchive;
use super::connect::Lease;
use super::values::{PostgresCells, Time};
use crate::domain::{Quarantined, Reason, Source, Timestamp};
use crate::storage::archive::Refused;
use crate::storage::error::ArchiveError;
use crate::storage::quarantine::{
    ExportedPayload, MAX_MESSAGES, MAX_PAYLOAD_BYTES, QuarantineArchive, QuarantineCursor, QuarantinePage, QuarantineQuery,
    QuarantinedMessage,
};
use crate::storage::row::Cells;

/// New messages after which it is seen to that not too many are kept: the bounds are exceeded by that much at most.
pub(super) const CHECK_EVERY: u64 = 5_000;

/// Stores what is new, and returns its number. Never refused for what is in it: the message itself is bytes, and texts lose their zeros.
pub(super) async fn store(lease: &mut Lease, refused: &[Refused<'_>]) -> Result<u64, ArchiveError> {
    if refused.is_empty() {
        return Ok(0);
    }
    let insert = "with added as (
            insert into quarantine
                (received_at, source, vehicle_id, reason, detail, item, slot, arrival, payload_bytes, kept_bytes, payload)
            select received_at, source, vehicle_id, reason, detail, item, slot, arrival, payload_bytes, length(payload), payload
            from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                as new (received_at, source, vehicle_id, reason, detail, item, slot, arrival, payload_bytes, payload)
            on conflict do nothing returning reason),
        counted as (
            insert into quarantine_counts (reason, messages) select reason, count(*) from added group by reason order by reason
            on conflict (reason) do update set messages = quarantine_counts.messages + excluded.messages)
        select count(*) from added";
    let insert = sqlx::query(insert)
        .bind(all(refused, |one| Time(one.message.received_at)))
        .bind(all(refused, |one| one.message.source.code()))
        .bind(all(refused, |one| without_nul(&one.message.vehicle_id)))
        .bind(all(refused, |one| one.message.reason.code()))
        .bind(all(refused, |one| without_nul(&one.message.detail)))
        .bind(all(refused, |one| i64::from(one.message.index)))
        .bind(all(refused, |one| i32::from(one.slot.number())))
        .bind(all(refused, |one| one.arrival.cast_signed()))
        .bind(all(refused, |one| one.message.payload_bytes.cast_signed()))
        .bind(all(refused, |one| one.message.payload.to_vec()));
    let row = lease.row("store quarantined messages", insert).await?;
    row.map_or(Ok(0), |row| PostgresCells::new(&row).take().map(i64::unsigned_abs))
}

fn all<'a, T>(refused: &'a [Refused<'_>], value: impl Fn(&'a Refused<'_>) -> T) -> Vec<T> {
    refused.iter().map(value).collect()
}

/// Deletes the oldest that are too many, or too much.
pub(super) async fn make_room(lease: &mut Lease) -> Result<(), ArchiveError> {
    let delete = "delete from quarantine where id <= (
        select max(id) from (
            select id, row_number() over newest_first as place, sum(kept_bytes) over newest_first as bytes
            from quarantine window newest_first as (order by id desc)) as kept
        where place > $1 or bytes > $2)";
    let delete = sqlx::query(delete).bind(MAX_MESSAGES).bind(MAX_PAYLOAD_BYTES);
    lease.execute("make room in the quarantine", delete).await.map(|_rows| ())
}

/// PostgreSQL knows no character 0 in a text.
pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

const COLUMNS: &str = "id, received_at, source, vehicle_id, reason, detail, item, payload_bytes, payload, replayed_at";

#[async_trait]
impl QuarantineArchive for PostgresArchive {
    async fn quarantine(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        let by_reason = if query.reason.is_some() { "and reason = $3" } else { "" };
        let select = format!("select {COLUMNS} from quarantine where id < $1 {by_reason} order by id desc limit $2");
        let before = query.after.map_or(i64::MAX, |cursor| cursor.0);
        let mut select = sqlx::query(AssertSqlSafe(select)).bind(before).bind(i64::from(query.limit) + 1);
        if let Some(reason) = query.reason {
            select = select.bind(reason.code());
        }
        Ok(query.page(self.messages("list quarantined messages", select).await?))
    }

    /// What came out of the journal is no message of a vehicle.
    async fn replayable(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        let select = format!(
            "select {COLUMNS} from quarantine where id > $1 and ($3::text is null or reason = $3)
                and kept_bytes = payload_bytes and replayed_at is null and source <> 'journal'
            order by id limit $2"
        );
        let select = sqlx::query(AssertSqlSafe(select)).bind(query.after.map_or(0, |cursor| cursor.0));
        let select = select.bind(i64::from(query.limit)).bind(query.reason.map(Reason::code));
        let messages = self.messages("list what can be replayed", select).await?;
        let is_full = messages.len() == query.limit as usize;
        let next = messages.last().filter(|_| is_full).map(|last| QuarantineCursor(last.id));
        Ok(QuarantinePage { messages, next })
    }

    async fn quarantined_messages(&self, ids: &[i64]) -> Result<Vec<QuarantinedMessage>, ArchiveError> {
        let select = format!("select {COLUMNS} from quarantine where id = any ($1) order by id");
        self.messages("read quarantined messages", sqlx::query(AssertSqlSafe(select)).bind(ids)).await
    }

    async fn count_not_whole(&self, reason: Reason) -> Result<u64, ArchiveError> {
        let count = "select count(*) from quarantine where reason = $1 and kept_bytes <> payload_bytes";
        let count = sqlx::query(count).bind(reason.code());
        let row = self.reader().await?.row("count quarantined messages", count).await?;
        row.map_or(Ok(0), |row| PostgresCells::new(&row).take().map(i64::unsigned_abs))
    }

    async fn mark_replayed(&self, ids: &[i64], at: Timestamp) -> Result<(), ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let mark = sqlx::query("update quarantine set replayed_at = $1 where id = any ($2)").bind(Time(at)).bind(ids);
        self.writer().await?.execute("mark what was replayed", mark).await.map(|_rows| ())
    }

    async fn quarantine_counts(&self) -> Result<Vec<(String, u64)>, ArchiveError> {
        let select = sqlx::query("select reason, messages from quarantine_counts order by reason");
        let rows = self.reader().await?.rows("count quarantined messages", select).await?;
        let count = |row| {
            let mut cells = PostgresCells::new(row);
            Ok((cells.take::<String>()?, cells.take::<i64>()?.unsigned_abs()))
        };
        rows.iter().map(count).collect()
    }

    async fn quarantined_payload(&self, id: i64) -> Result<Option<ExportedPayload>, ArchiveError> {
        let select = sqlx::query("select payload, kept_bytes = payload_bytes from quarantine where id = $1").bind(id);
        let row = self.reader().await?.row("read a quarantined message", select).await?;
        let payload = |row: PgRow| {
            let mut cells = PostgresCells::new(&row);
            Ok(ExportedPayload { payload: cells.take()?, is_whole: cells.take()? })
        };
        row.map(payload).transpose()
    }
}

impl PostgresArchive {
    async fn messages(
        &self,
        action: &'static str,
        select: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<Vec<QuarantinedMessage>, ArchiveError> {
        self.reader().await?.rows(action, select).await?.iter().map(message).collect()
    }

    pub(super) async fn delete_quarantined(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let delete = sqlx::query("delete from quarantine where received_at < $1").bind(Time(oldest));
        self.writer().await?.execute("delete old quarantined messages", delete).await.map(|_rows| ())
    }
}

fn message(row: &PgRow) -> Result<QuarantinedMessage, ArchiveError> {
    let unreadable = |column, value: &str| ArchiveError::Unreadable { column, value: value.to_owned() };
    let mut cells = PostgresCells::new(row);
    let (id, received_at) = (cells.take()?, cells.time()?);
    let source: &str = cells.take()?;
    let vehicle_id: String = cells.take()?;
    let reason: &str = cells.take()?;
    let (detail, index, payload_bytes, payload): (String, i64, i64, Vec<u8>) =
        (cells.take()?, cells.take()?, cells.take()?, cells.take()?);
    Ok(QuarantinedMessage {
        id,
        replayed_at: cells.maybe_time()?,
        message: Quarantined {
            received_at,
            source: Source::from_code(source).ok_or_else(|| unreadable("quarantine.source", source))?,
            vehicle_id: vehicle_id.into(),
            reason: Reason::from_code(reason).ok_or_else(|| unreadable("quarantine.reason", reason))?,
            detail: detail.into(),
            index: u32::try_from(index).map_err(|_| unreadable("quarantine.item", &index.to_string()))?,
            payload_bytes: payload_bytes.unsigned_abs(),
            payload: payload.into(),
        },
    })
}

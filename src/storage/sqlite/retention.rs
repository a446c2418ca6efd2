//! Forgets what is older than it is to be kept, in small steps, so that the writer never waits long.

use sqlx::{Acquire, SqliteConnection};

use super::known::hour_of;
use super::quarantine::Kept;
use super::{SqliteArchive, alerts, settled};
use crate::domain::Timestamp;
use crate::storage::buckets::QUARTERS_PER_HOUR;
use crate::storage::error::{ArchiveError, database_error};

impl SqliteArchive {
    /// Deletes up to `limit` of the oldest readings recorded before `oldest`, and returns how many; 0: there are no more.
    pub(super) async fn delete_readings(&self, oldest: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let delete = "delete from readings where rowid in (
            select rowid from readings indexed by readings_identity
            where recorded_at / 60000000 <= ?1 / 60000000 and recorded_at < ?1 limit ?2)";
        let delete = sqlx::query(delete).bind(oldest.as_micros()).bind(limit);
        let deleted = delete.execute(&self.0.writer).await.map_err(database_error("delete old readings"))?;
        Ok(deleted.rows_affected())
    }

    /// Deletes the hours before `oldest`, whose readings are gone, and what sums them up.
    pub(super) async fn delete_hours(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        let mut after = 0;
        {
            let _one_writer = self.0.memory.lock().await;
            let delete = sqlx::query("delete from touched_hours where hour < ?1").bind(hour_of(oldest));
            delete.execute(&self.0.writer).await.map_err(database_error("delete touched hours"))?;
        }
        loop {
            let mut memory = self.0.memory.lock().await;
            let mut connection = self.0.writer.acquire().await.map_err(database_error("reach its file"))?;
            let result = delete_hours_of_some(&mut connection, after, oldest).await;
            let Some(last) = settled(connection, result).await? else { return Ok(()) };
            // A late reading may bring one of them back.
            memory.known.forget();
            after = last;
        }
    }

    /// Deletes messages that were received before `oldest`; they stay counted.
    pub(super) async fn delete_quarantined(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        let mut memory = self.0.memory.lock().await;
        let delete = sqlx::query("delete from quarantine where received_at < ?1").bind(oldest.as_micros());
        let deleted = delete.execute(&self.0.writer).await.map_err(database_error("delete old quarantined messages"))?;
        if deleted.rows_affected() > 0 {
            memory.quarantine = Kept::count(&self.0.writer).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_alerts(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let mut connection = self.0.writer.acquire().await.map_err(database_error("reach its file"))?;
        alerts::forget(&mut connection, oldest).await
    }
}

/// Of a thousand vehicles behind that number; returns the last of them. `None`: there are no more.
async fn delete_hours_of_some(
    connection: &mut SqliteConnection,
    after: i64,
    oldest: Timestamp,
) -> Result<Option<i64>, ArchiveError> {
    let mut transaction = connection.begin().await.map_err(database_error("begin"))?;
    let last = "select max(number) from (select number from vehicles where number > ?1 order by number limit 1000)";
    let last = sqlx::query_scalar(last).bind(after).fetch_one(&mut *transaction).await;
    let last: Option<i64> = last.map_err(database_error("list vehicles"))?;
    let Some(number) = last else { return Ok(None) };
    let delete = "delete from vehicle_hours where (vehicle, hour) in (
        select vehicle_hours.vehicle, vehicle_hours.hour from vehicles join vehicle_hours on vehicle = number
        where number > ?1 and number <= ?2 and hour < ?3)";
    let delete = sqlx::query(delete).bind(after).bind(number).bind(hour_of(oldest));
    delete.execute(&mut *transaction).await.map_err(database_error("delete old hours"))?;
    let delete = "delete from quarter_summaries where (vehicle, quarter) in (
        select quarter_summaries.vehicle, quarter_summaries.quarter from vehicles join quarter_summaries on vehicle = number
        where number > ?1 and number <= ?2 and quarter < ?3)";
    let delete = sqlx::query(delete).bind(after).bind(number).bind(hour_of(oldest) * QUARTERS_PER_HOUR);
    delete.execute(&mut *transaction).await.map_err(database_error("delete old summaries"))?;
    transaction.commit().await.map_err(database_error("commit"))?;
    Ok(last)
}

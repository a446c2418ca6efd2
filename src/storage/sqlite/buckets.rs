//! Buckets of a vehicle's history, from summaries and from readings; and making the summaries.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Acquire, AssertSqlSafe, QueryBuilder, Row};

use super::cells::SqliteCells;
use super::known::{MICROS_PER_HOUR, hour_of};
use super::{SqliteArchive, settled};
use crate::domain::{SignalTable, Timestamp};
use crate::storage::buckets::{
    Bucket, BucketLength, BucketSource, BucketsPage, BucketsQuery, MICROS_PER_QUARTER, QUARTERS_PER_HOUR, aggregates, read_bucket,
};
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::summary::Edition;

impl SqliteArchive {
    pub(super) async fn read_buckets(&self, query: &BucketsQuery) -> Result<Option<BucketsPage>, ArchiveError> {
        let Some(vehicle) = self.vehicle_number(&query.vehicle_id).await? else { return Ok(None) };
        query.answer(&mut History { archive: self, vehicle }, Edition::of(&self.0.table)).await.map(Some)
    }

    /// Sums up hours of up to `limit` vehicles, the newest first: old ones are asked for less.
    pub(super) async fn sum_up_hours(&self, before: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        let mut memory = self.0.memory.lock().await;
        memory.known.settle(hour_of(before));
        let mut connection = self.0.writer.acquire().await.map_err(database_error("reach its file"))?;
        let result = sum_up_some(&mut connection, before, limit, &self.0.table).await;
        settled(connection, result).await
    }
}

async fn sum_up_some(
    connection: &mut SqliteConnection,
    before: Timestamp,
    limit: u32,
    table: &SignalTable,
) -> Result<u64, ArchiveError> {
    let mut transaction = connection.begin().await.map_err(database_error("begin"))?;
    let hour = sqlx::query_scalar("select max(hour) from touched_hours where hour < ?1").bind(hour_of(before));
    let hour: Option<i64> = hour.fetch_one(&mut *transaction).await.map_err(database_error("find touched hours"))?;
    let Some(hour) = hour else { return Ok(0) };
    let vehicles = "select vehicle from touched_hours where hour = ?1 order by vehicle limit ?2";
    let vehicles = sqlx::query_scalar(vehicles).bind(hour).bind(limit).fetch_all(&mut *transaction).await;
    let vehicles: Vec<i64> = vehicles.map_err(database_error("find touched hours"))?;
    sum_up(&mut transaction, hour, &vehicles, table).await?;
    transaction.commit().await.map_err(database_error("commit"))?;
    Ok(vehicles.len() as u64)
}

struct History<'a> {
    archive: &'a SqliteArchive,
    vehicle: i64,
}

#[async_trait]
impl BucketSource for History<'_> {
    async fn touched_hours(&mut self, first: i64, last: i64) -> Result<Vec<i64>, ArchiveError> {
        // From the hours of the vehicle, since those that are touched are in order of time.
        let select = "select vehicle_hours.hour from vehicle_hours
            cross join touched_hours on touched_hours.hour = vehicle_hours.hour and touched_hours.vehicle = vehicle_hours.vehicle
            where vehicle_hours.vehicle = ?1 and vehicle_hours.hour between ?2 and ?3";
        let hours = sqlx::query_scalar(select).bind(self.vehicle).bind(first).bind(last);
        hours.fetch_all(&self.archive.0.readers).await.map_err(database_error("find touched hours"))
    }

    async fn summaries(&mut self, first: i64, end: i64) -> Result<Vec<(i64, Vec<u8>)>, ArchiveError> {
        let select = "select quarter, summary from quarter_summaries where vehicle = ?1 and quarter >= ?2 and quarter < ?3";
        let summaries = sqlx::query_as(select).bind(self.vehicle).bind(first).bind(end);
        summaries.fetch_all(&self.archive.0.readers).await.map_err(database_error("read summaries"))
    }

    async fn of_readings(&mut self, from: i64, to: i64, every: BucketLength) -> Result<Vec<Bucket>, ArchiveError> {
        let table = &self.archive.0.table;
        let select = format!(
            "select {}, {} from vehicle_hours cross join minutes_of_hour cross join readings indexed by readings_identity
                on readings.recorded_at / 60000000 = vehicle_hours.hour * 60 + minutes_of_hour.number and readings.vehicle = ?1
            where vehicle_hours.vehicle = ?1 and vehicle_hours.hour between ?2 and ?3
                and readings.recorded_at >= ?4 and readings.recorded_at < ?5
            group by 1 order by 1",
            start_of_bucket("?6"),
            aggregates(table, declared)
        );
        let (first, last) = (from.div_euclid(MICROS_PER_HOUR), (to - 1).div_euclid(MICROS_PER_HOUR));
        let select = sqlx::query(AssertSqlSafe(select)).bind(self.vehicle).bind(first).bind(last);
        let select = select.bind(from).bind(to).bind(every.micros());
        let rows = select.fetch_all(&self.archive.0.readers).await.map_err(database_error("sum up readings"))?;
        rows.iter().map(|row| read_bucket(&mut SqliteCells::new(row), table)).collect()
    }
}

/// In place of what was there.
async fn sum_up(connection: &mut SqliteConnection, hour: i64, vehicles: &[i64], table: &SignalTable) -> Result<(), ArchiveError> {
    let vehicles = serde_json::to_string(vehicles).expect("numbers are JSON");
    let select = format!(
        "select {}, {}, readings.vehicle as number from json_each(?1) as wanted cross join minutes_of_hour
            cross join readings indexed by readings_identity
            on readings.recorded_at / 60000000 = ?2 * 60 + minutes_of_hour.number and readings.vehicle = wanted.value
        group by readings.vehicle, 1",
        start_of_bucket("?3"),
        aggregates(table, declared)
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(&vehicles).bind(hour).bind(MICROS_PER_QUARTER);
    let rows = select.fetch_all(&mut *connection).await.map_err(database_error("sum up readings"))?;
    let edition = Edition::of(table);
    let new = |row: &SqliteRow| {
        let bucket = read_bucket(&mut SqliteCells::new(row), table)?;
        let vehicle: i64 = row.try_get("number").map_err(database_error("sum up readings"))?;
        Ok((vehicle, bucket.start.as_micros().div_euclid(MICROS_PER_QUARTER), bucket.summary.encode(edition)))
    };
    let new: Vec<(i64, i64, Vec<u8>)> = rows.iter().map(new).collect::<Result<_, ArchiveError>>()?;
    let delete = "delete from quarter_summaries where vehicle in (select value from json_each(?1)) and quarter between ?2 and ?3";
    let quarters = (hour * QUARTERS_PER_HOUR, (hour + 1) * QUARTERS_PER_HOUR - 1);
    let delete = sqlx::query(delete).bind(&vehicles).bind(quarters.0).bind(quarters.1);
    delete.execute(&mut *connection).await.map_err(database_error("delete summaries"))?;
    if !new.is_empty() {
        let mut insert = QueryBuilder::new("insert into quarter_summaries (vehicle, quarter, summary) ");
        insert.push_values(new, |mut row, (vehicle, quarter, summary)| {
            row.push_bind(vehicle).push_bind(quarter).push_bind(summary);
        });
        // Of any number of rows, so that keeping it would push out others.
        let insert = insert.build().persistent(false);
        insert.execute(&mut *connection).await.map_err(database_error("store summaries"))?;
    }
    let delete = "delete from touched_hours where hour = ?2 and vehicle in (select value from json_each(?1))";
    let delete = sqlx::query(delete).bind(&vehicles).bind(hour).execute(connection).await;
    delete.map(|_done| ()).map_err(database_error("delete touched hours"))
}

/// `%` has the sign of what is divided.
fn start_of_bucket(length: &str) -> String {
    format!("readings.recorded_at - (readings.recorded_at % {length} + {length}) % {length}")
}

/// Names of signals are of letters, digits and `_`.
fn declared(signal: &str) -> String {
    format!("cast(readings.extras ->> '$.{signal}' as real)")
}

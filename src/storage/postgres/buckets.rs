//! Buckets of a vehicle's history, from summaries and from readings; and making the summaries.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::PostgresArchive;
use super::connect::Lease;
use super::known::{MICROS_PER_HOUR, hour_of};
use super::values::{PostgresCells, Time};
use crate::domain::{SignalTable, Timestamp};
use crate::storage::buckets::{
    Bucket, BucketLength, BucketSource, BucketsPage, BucketsQuery, MICROS_PER_QUARTER, QUARTERS_PER_HOUR, aggregates, read_bucket,
};
use crate::storage::error::ArchiveError;
use crate::storage::summary::Edition;

const A_QUARTER_SECONDS: f64 = 900.0;
const HOURS_PER_DAY: i32 = 24;

impl PostgresArchive {
    pub(super) async fn read_buckets(&self, query: &BucketsQuery) -> Result<Option<BucketsPage>, ArchiveError> {
        let mut lease = self.reader().await?;
        let number = sqlx::query("select number from vehicles where vehicle_id = $1").bind(query.vehicle_id.as_str());
        let Some(number) = lease.row("find a vehicle", number).await? else { return Ok(None) };
        let vehicle: i32 = PostgresCells::new(&number).take()?;
        let table = &self.0.table;
        query.answer(&mut History { lease, vehicle, table }, Edition::of(table)).await.map(Some)
    }

    /// Sums up hours of up to `limit` vehicles, the newest first: old ones are asked for less.
    pub(super) async fn sum_up_hours(&self, before: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        let mut memory = self.0.memory.lock().await;
        memory.known.settle(hour_of(before));
        let mut lease = self.writer().await?;
        let hour = sqlx::query("select max(hour) from touched_hours where hour < $1").bind(hour_of(before));
        let hour: Option<i32> =
            lease.row("find touched hours", hour).await?.map_or(Ok(None), |row| PostgresCells::new(&row).take())?;
        let Some(hour) = hour else { return Ok(0) };
        let vehicles = sqlx::query("select vehicle from touched_hours where hour = $1 order by vehicle limit $2");
        let vehicles = lease.rows("find touched hours", vehicles.bind(hour).bind(i64::from(limit))).await?;
        let vehicles: Vec<i32> = vehicles.iter().map(|row| PostgresCells::new(row).take()).collect::<Result<_, _>>()?;
        sum_up(&mut lease, hour, &vehicles, &self.0.table).await?;
        Ok(vehicles.len() as u64)
    }
}

struct History<'a> {
    lease: Lease,
    vehicle: i32,
    table: &'a SignalTable,
}

#[async_trait]
impl BucketSource for History<'_> {
    async fn touched_hours(&mut self, first: i64, last: i64) -> Result<Vec<i64>, ArchiveError> {
        let select = sqlx::query("select hour from touched_hours where vehicle = $1 and hour between $2 and $3");
        let rows =
            self.lease.rows("find touched hours", select.bind(self.vehicle).bind(fitting(first)).bind(fitting(last))).await?;
        rows.iter().map(|row| PostgresCells::new(row).take().map(|hour: i32| i64::from(hour))).collect()
    }

    async fn summaries(&mut self, first: i64, end: i64) -> Result<Vec<(i64, Vec<u8>)>, ArchiveError> {
        let select = "select quarter, summary from quarter_summaries where vehicle = $1 and quarter >= $2 and quarter < $3";
        let select = sqlx::query(select).bind(self.vehicle).bind(fitting(first)).bind(fitting(end));
        let rows = self.lease.rows("read summaries", select).await?;
        let read = |row| {
            let mut cells = PostgresCells::new(row);
            Ok((i64::from(cells.take::<i32>()?), cells.take()?))
        };
        rows.iter().map(read).collect()
    }

    async fn of_readings(&mut self, from: i64, to: i64, every: BucketLength) -> Result<Vec<Bucket>, ArchiveError> {
        let select = format!(
            "select {}, {} from readings where vehicle = $1 and recorded_at >= $2 and recorded_at < $3 group by 1 order by 1",
            start_of_bucket("$4"),
            aggregates(self.table, declared)
        );
        let select = sqlx::query(AssertSqlSafe(select)).bind(self.vehicle);
        let select = select.bind(time(from)).bind(time(to)).bind(every.seconds());
        let rows = self.lease.rows("sum up readings", select).await?;
        rows.iter().map(|row| read_bucket(&mut PostgresCells::new(row), self.table)).collect()
    }
}

/// In place of what was there. Nobody else writes meanwhile: `memory` is held.
async fn sum_up(lease: &mut Lease, hour: i32, vehicles: &[i32], table: &SignalTable) -> Result<(), ArchiveError> {
    let start = i64::from(hour) * MICROS_PER_HOUR;
    // The number of the vehicle comes last, behind what every bucket has.
    let select = format!(
        "select {}, {}, vehicle from readings
        where vehicle = any ($1) and recorded_at >= $2 and recorded_at < $3 group by vehicle, 1",
        start_of_bucket("$4"),
        aggregates(table, declared)
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(vehicles);
    let select = select.bind(time(start)).bind(time(start + MICROS_PER_HOUR)).bind(A_QUARTER_SECONDS);
    let (mut of_vehicles, mut quarters, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
    for row in lease.rows("sum up readings", select).await? {
        let mut cells = PostgresCells::new(&row);
        let bucket = read_bucket(&mut cells, table)?;
        of_vehicles.push(cells.take::<i32>()?);
        quarters.push(fitting(bucket.start.as_micros().div_euclid(MICROS_PER_QUARTER)));
        summaries.push(bucket.summary.encode(Edition::of(table)));
    }
    let first = fitting(i64::from(hour) * QUARTERS_PER_HOUR);
    let last = fitting(i64::from(hour) * QUARTERS_PER_HOUR + QUARTERS_PER_HOUR - 1);
    lease.run("begin", "begin").await?;
    let delete = sqlx::query("delete from quarter_summaries where vehicle = any ($1) and quarter between $2 and $3");
    lease.execute("delete summaries", delete.bind(vehicles).bind(first).bind(last)).await?;
    let insert = "insert into quarter_summaries (vehicle, quarter, summary)
        select * from unnest($1::integer[], $2::integer[], $3::bytea[])";
    lease.execute("store summaries", sqlx::query(insert).bind(of_vehicles).bind(quarters).bind(summaries)).await?;
    let delete = sqlx::query("delete from touched_hours where hour = $1 and vehicle = any ($2)").bind(hour).bind(vehicles);
    lease.execute("delete touched hours", delete).await?;
    lease.run("commit", "commit").await
}

/// Deletes what stands for days before `first_kept`.
pub(super) async fn forget(lease: &mut Lease, first_kept: i32) -> Result<(), ArchiveError> {
    let first_hour = first_kept.saturating_mul(HOURS_PER_DAY);
    let delete = sqlx::query("delete from touched_hours where hour < $1").bind(first_hour);
    lease.execute("delete touched hours", delete).await?;
    let first_quarter = i64::from(first_hour) * QUARTERS_PER_HOUR;
    let mut after = 0;
    // By vehicle, as they are indexed, and by some at a time, so that no statement takes long.
    loop {
        let last = "select max(number) from (select number from vehicles where number > $1 order by number limit 1000) as next";
        let last = lease.row("list vehicles", sqlx::query(last).bind(after)).await?;
        let last: Option<i32> = last.map_or(Ok(None), |row| PostgresCells::new(&row).take())?;
        let Some(last) = last else { return Ok(()) };
        let delete = "delete from quarter_summaries where vehicle > $1 and vehicle <= $2 and (vehicle, quarter) in (
            select vehicle, quarter from vehicles cross join lateral (
                select vehicle, quarter from quarter_summaries where vehicle = number and quarter < $3) as old
            where number > $1 and number <= $2)";
        let delete = sqlx::query(delete).bind(after).bind(last).bind(fitting(first_quarter));
        lease.execute("delete old summaries", delete).await?;
        after = last;
    }
}

/// In microseconds. Seconds as `double precision` tell microseconds apart until the year 2255; `date_bin` is not in PostgreSQL 13.
fn start_of_bucket(seconds: &str) -> String {
    format!("(floor(extract(epoch from recorded_at)::double precision / {seconds}) * {seconds} * 1000000)::bigint")
}

/// Names of signals are of letters, digits and `_`.
fn declared(signal: &str) -> String {
    format!("(readings.extras ->> '{signal}')::double precision")
}

/// Beyond what is kept there is nothing.
fn fitting(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}

const fn time(micros: i64) -> Time {
    Time(Timestamp::from_micros(micros))
}

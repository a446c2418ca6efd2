//! Questions about vehicles and their readings.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::PostgresArchive;
use super::connect::Lease;
use super::days::{day_of, start_of};
use super::values::{PostgresCells, Time};
use crate::domain::{Assessment, Timestamp, Timing, VehicleId};
use crate::storage::buckets::{BucketsPage, BucketsQuery};
use crate::storage::error::ArchiveError;
use crate::storage::readings::{ReadingArchive, ReadingsPage, ReadingsQuery};
use crate::storage::row::{self, ModelVersions, RowReader};

/// Days whose partitions are asked together: first one, then twice as many every time, since a dense history fills its page at once and a
/// sparse one should not cost a question a day.
const MOST_DAYS_TOGETHER: usize = 32;

#[async_trait]
impl ReadingArchive for PostgresArchive {
    async fn readings(&self, query: &ReadingsQuery) -> Result<Option<ReadingsPage>, ArchiveError> {
        let mut lease = self.reader().await?;
        let number = sqlx::query("select number from vehicles where vehicle_id = $1").bind(query.vehicle_id.as_str());
        let Some(number) = lease.row("find a vehicle", number).await? else { return Ok(None) };
        let vehicle: i32 = PostgresCells::new(&number).take()?;
        let (time, fingerprint, before) = query.bounds();
        let (time, before) = (Timestamp::from_micros(time), Timestamp::from_micros(before));
        let days = sqlx::query("select day from vehicle_days where vehicle = $1 and day between $2 and $3 order by day");
        let days = days.bind(vehicle).bind(day_of(time)).bind(day_of(before));
        let days = lease.rows("find days", days).await?;
        let days: Vec<i32> = days.iter().map(|row| PostgresCells::new(row).take()).collect::<Result<_, _>>()?;
        let versions = model_versions(&mut lease).await?;
        let reader = RowReader { table: &self.0.table, model_versions: &versions };
        let wanted = query.limit as usize + 1;
        let (mut readings, mut remaining, mut together) = (Vec::new(), &days[..], 1);
        while !remaining.is_empty() && readings.len() < wanted {
            let (now, later) = remaining.split_at(together.min(remaining.len()));
            let (first, last) = (now[0], now[now.len() - 1]);
            let select = sqlx::query(AssertSqlSafe(HISTORY.as_str())).bind(vehicle);
            let select = select.bind(Time(start_of(first).max(time))).bind(Time(start_of(last + 1).min(before)));
            let select = select.bind(Time(time)).bind(fingerprint).bind(count(wanted - readings.len()));
            for row in lease.rows("read readings", select).await? {
                readings.push(reader.read(&mut PostgresCells::new(&row), &query.vehicle_id)?);
            }
            (remaining, together) = (later, (together * 2).min(MOST_DAYS_TOGETHER));
        }
        Ok(Some(query.page(readings)))
    }

    async fn buckets(&self, query: &BucketsQuery) -> Result<Option<BucketsPage>, ArchiveError> {
        self.read_buckets(query).await
    }

    async fn newest_readings(&self, vehicle_ids: &[VehicleId]) -> Result<Vec<Assessment>, ArchiveError> {
        let mut lease = self.reader().await?;
        let versions = model_versions(&mut lease).await?;
        let reader = RowReader { table: &self.0.table, model_versions: &versions };
        let ids: Vec<&str> = vehicle_ids.iter().map(VehicleId::as_str).collect();
        let numbers = sqlx::query("select number, vehicle_id from vehicles where vehicle_id = any ($1)").bind(ids);
        let mut wanted: BTreeMap<i32, VehicleId> = BTreeMap::new();
        for row in lease.rows("find vehicles", numbers).await? {
            let mut cells = PostgresCells::new(&row);
            wanted.insert(cells.take()?, vehicle_id(cells.take()?)?);
        }
        let mut newest = BTreeMap::new();
        let mut before = i32::MAX;
        // The newest days of all, then those before them for vehicles that had only readings ahead of our clock.
        while !wanted.is_empty() {
            let numbers: Vec<i32> = wanted.keys().copied().collect();
            let days = sqlx::query(LAST_DAYS).bind(numbers).bind(before);
            let mut by_day: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
            for row in lease.rows("find days", days).await? {
                let mut cells = PostgresCells::new(&row);
                let (vehicle, day): (i32, i32) = (cells.take()?, cells.take()?);
                by_day.entry(day).or_default().push(vehicle);
            }
            let Some((&day, vehicles)) = by_day.last_key_value() else { break };
            let select = sqlx::query(AssertSqlSafe(NEWEST.as_str())).bind(vehicles);
            let select = select.bind(Time(start_of(day))).bind(Time(start_of(day + 1))).bind(Timing::Future.code());
            for row in lease.rows("find the newest readings", select).await? {
                let number: i32 = PostgresCells::new(&row).take()?;
                let Some(id) = wanted.remove(&number) else { continue };
                newest.insert(id.clone(), reader.read(&mut PostgresCells::new(&row), &id)?);
            }
            before = day;
        }
        Ok(newest.into_values().collect())
    }

    async fn vehicle_ids(&self, after: Option<&VehicleId>, limit: u32) -> Result<Vec<VehicleId>, ArchiveError> {
        let select = sqlx::query("select vehicle_id from vehicles where vehicle_id > $1 order by vehicle_id limit $2");
        let select = select.bind(after.map_or("", VehicleId::as_str)).bind(i64::from(limit));
        let rows = self.reader().await?.rows("list vehicles", select).await?;
        rows.iter().map(|row| vehicle_id(PostgresCells::new(row).take()?)).collect()
    }

    async fn count_vehicles(&self) -> Result<u64, ArchiveError> {
        let row = self.reader().await?.row("count vehicles", sqlx::query("select count(*) from vehicles")).await?;
        row.map_or(Ok(0), |row| PostgresCells::new(&row).take().map(i64::unsigned_abs))
    }
}

pub(super) fn vehicle_id(id: &str) -> Result<VehicleId, ArchiveError> {
    VehicleId::new(id).map_err(|_| ArchiveError::Unreadable { column: "vehicles.vehicle_id", value: id.to_owned() })
}

pub(super) async fn model_versions(lease: &mut Lease) -> Result<ModelVersions, ArchiveError> {
    let rows = lease.rows("list model versions", sqlx::query("select number, model, version from model_versions")).await?;
    let version = |row| {
        let mut cells = PostgresCells::new(row);
        let (number, model, version): (i32, &str, &str) = (cells.take()?, cells.take()?, cells.take()?);
        Ok((i64::from(number), (Arc::from(model), Arc::from(version))))
    };
    rows.iter().map(version).collect()
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).expect("a limit of 32 bits, and one more")
}

/// The columns of a reading, as a select list.
pub(super) static SELECT_LIST: LazyLock<String> = LazyLock::new(|| {
    let is_json = |name| ["dtcs", "extras", "rejected", "scores", "findings", "quality"].contains(&name);
    let columns = row::columns().map(|name| format!("readings.{name}{}", if is_json(name) { "::text" } else { "" }));
    columns.collect::<Vec<_>>().join(", ")
});

/// Readings of vehicle $1 in [$2, $3), which names the partitions, beyond time $4 and fingerprint $5.
static HISTORY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from readings
        where vehicle = $1 and recorded_at >= $2 and recorded_at < $3 and (recorded_at, fingerprint) > ($4, $5)
        order by recorded_at, fingerprint limit $6",
        *SELECT_LIST
    )
});

/// Of each vehicle in $1 the last day before $2.
const LAST_DAYS: &str = "select vehicle, day from unnest($1::integer[]) as wanted (number) cross join lateral (
        select vehicle, day from vehicle_days where vehicle = number and day < $2 order by day desc limit 1) as last";

/// Of each vehicle in $1 the newest reading in [$2, $3) whose timing is not $4.
static NEWEST: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select newest.* from unnest($1::integer[]) as wanted (number) cross join lateral (
            select {} from readings
            where vehicle = number and recorded_at >= $2 and recorded_at < $3 and timing is distinct from $4
            order by recorded_at desc, arrival desc limit 1) as newest",
        *SELECT_LIST
    )
});

//! Questions about vehicles and their readings.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::cells::{SELECT_LIST, SqliteCells};
use super::known::hour_of;
use super::{READERS, SqliteArchive};
use crate::domain::{Assessment, Timestamp, Timing, VehicleId};
use crate::storage::buckets::{BucketsPage, BucketsQuery};
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::readings::{MICROS_PER_MINUTE, ReadingArchive, ReadingsPage, ReadingsQuery, Walk};
use crate::storage::row::{ModelVersions, RowReader};

#[async_trait]
impl ReadingArchive for SqliteArchive {
    async fn readings(&self, query: &ReadingsQuery) -> Result<Option<ReadingsPage>, ArchiveError> {
        let Some(vehicle) = self.vehicle_number(&query.vehicle_id).await? else { return Ok(None) };
        let (time, fingerprint, before) = query.bounds();
        let last_hour = hour_of(Timestamp::from_micros(before.saturating_sub(1)));
        // One row more than asked for says whether there is a next page.
        let select = sqlx::query_scalar(HISTORY).bind(vehicle);
        let select = select.bind(hour_of(Timestamp::from_micros(time))).bind(last_hour);
        let select = select.bind(time).bind(fingerprint).bind(before).bind(i64::from(query.limit) + 1);
        let rows: Vec<i64> = select.fetch_all(&self.0.readers).await.map_err(database_error("find readings"))?;
        let rows = self.rows(&rows).await?;
        let model_versions = self.model_versions().await?;
        let reader = RowReader { table: &self.0.table, model_versions: &model_versions };
        let read = |row| reader.read(&mut SqliteCells::new(row), &query.vehicle_id);
        let mut readings: Vec<Assessment> = rows.iter().map(read).collect::<Result<_, _>>()?;
        readings.sort_by_key(|one| (one.reading.recorded_at, one.reading.fingerprint.cast_signed()));
        Ok(Some(query.page(readings)))
    }

    async fn buckets(&self, query: &BucketsQuery) -> Result<Option<BucketsPage>, ArchiveError> {
        self.read_buckets(query).await
    }

    async fn newest_readings(&self, vehicle_ids: &[VehicleId]) -> Result<Vec<Assessment>, ArchiveError> {
        let ids = serde_json::to_string(vehicle_ids).expect("ids are JSON");
        let select = sqlx::query(AssertSqlSafe(NEWEST.as_str())).bind(ids).bind(Timing::Future.code());
        let rows = select.fetch_all(&self.0.readers).await.map_err(database_error("find the newest readings"))?;
        let model_versions = self.model_versions().await?;
        let reader = RowReader { table: &self.0.table, model_versions: &model_versions };
        let read = |row: &SqliteRow| {
            let id: String = row.try_get("vehicle_id").map_err(database_error("find the newest readings"))?;
            reader.read(&mut SqliteCells::new(row), &vehicle_id(&id)?)
        };
        rows.iter().map(read).collect()
    }

    async fn vehicle_ids(&self, after: Option<&VehicleId>, limit: u32) -> Result<Vec<VehicleId>, ArchiveError> {
        let select = "select vehicle_id from vehicles where vehicle_id > ?1 order by vehicle_id limit ?2";
        let select = sqlx::query_scalar(select).bind(after.map_or("", VehicleId::as_str)).bind(limit);
        let ids: Vec<String> = select.fetch_all(&self.0.readers).await.map_err(database_error("list vehicles"))?;
        ids.iter().map(|id| vehicle_id(id)).collect()
    }

    async fn count_vehicles(&self) -> Result<u64, ArchiveError> {
        let count = sqlx::query_scalar("select count(*) from vehicles").fetch_one(&self.0.readers).await;
        count.map(i64::unsigned_abs).map_err(database_error("count vehicles"))
    }
}

impl SqliteArchive {
    pub(super) async fn walk_on(&self, walk: &mut Walk, limit: u32) -> Result<Vec<Assessment>, ArchiveError> {
        let select = format!(
            "select {}, vehicle_id from readings indexed by readings_identity join vehicles on number = vehicle
            where (recorded_at / 60000000, vehicle, recorded_at, fingerprint) > (?1, ?2, ?3, ?4)
                and recorded_at / 60000000 <= ?5 / 60000000 and recorded_at > ?6 and recorded_at < ?5
            order by recorded_at / 60000000, vehicle, recorded_at, fingerprint limit ?7",
            *SELECT_LIST
        );
        let select = sqlx::query(AssertSqlSafe(select)).bind(walk.minute).bind(walk.vehicle).bind(walk.recorded_at);
        let select = select.bind(walk.fingerprint).bind(walk.to).bind(walk.after).bind(limit);
        let rows = select.fetch_all(&self.0.readers).await.map_err(database_error("walk through readings"))?;
        let model_versions = self.model_versions().await?;
        let reader = RowReader { table: &self.0.table, model_versions: &model_versions };
        let mut ids: HashMap<String, VehicleId> = HashMap::new();
        let mut readings = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: &str = row.try_get("vehicle_id").map_err(database_error("walk through readings"))?;
            if !ids.contains_key(id) {
                let unreadable = |_| ArchiveError::Unreadable { column: "vehicles.vehicle_id", value: id.to_owned() };
                ids.insert(id.to_owned(), VehicleId::new(id).map_err(unreadable)?);
            }
            readings.push(reader.read(&mut SqliteCells::new(row), &ids[id])?);
        }
        if let (Some(row), Some(last)) = (rows.last(), readings.last()) {
            let recorded_at = last.reading.recorded_at.as_micros();
            walk.minute = recorded_at.div_euclid(MICROS_PER_MINUTE);
            walk.vehicle = row.try_get("vehicle").map_err(database_error("walk through readings"))?;
            (walk.recorded_at, walk.fingerprint) = (recorded_at, last.reading.fingerprint.cast_signed());
        }
        Ok(readings)
    }

    pub(super) async fn vehicle_number(&self, vehicle_id: &VehicleId) -> Result<Option<i64>, ArchiveError> {
        let select = sqlx::query_scalar("select number from vehicles where vehicle_id = ?1").bind(vehicle_id.as_str());
        select.fetch_optional(&self.0.readers).await.map_err(database_error("find a vehicle"))
    }

    /// In no order. The rows of a vehicle lie on a page each, and a disk that takes 0.3 ms for one takes hardly longer for several at a
    /// time: so several connections share them.
    async fn rows(&self, numbers: &[i64]) -> Result<Vec<SqliteRow>, ArchiveError> {
        static SELECT: LazyLock<String> = LazyLock::new(|| {
            format!("select {} from json_each(?1) as wanted cross join readings on readings.rowid = wanted.value", *SELECT_LIST)
        });
        let part = async |part: usize| {
            let share = numbers.len().div_ceil(READERS as usize).max(LEAST_SHARE);
            let wanted = numbers.chunks(share).nth(part).unwrap_or_default();
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            let wanted = serde_json::to_string(wanted).expect("numbers are JSON");
            let select = sqlx::query(AssertSqlSafe(SELECT.as_str())).bind(wanted);
            select.fetch_all(&self.0.readers).await.map_err(database_error("read readings"))
        };
        let parts = tokio::try_join!(part(0), part(1), part(2), part(3))?;
        const { assert!(READERS == 4, "as many parts as connections") };
        Ok([parts.0, parts.1, parts.2, parts.3].into_iter().flatten().collect())
    }

    pub(super) async fn model_versions(&self) -> Result<ModelVersions, ArchiveError> {
        let select = sqlx::query_as("select number, model, version from model_versions");
        let versions: Result<Vec<(i64, String, String)>, _> = select.fetch_all(&self.0.readers).await;
        let versions = versions.map_err(database_error("list model versions"))?;
        Ok(versions.into_iter().map(|(number, model, version)| (number, (Arc::from(model), Arc::from(version)))).collect())
    }
}

fn vehicle_id(id: &str) -> Result<VehicleId, ArchiveError> {
    VehicleId::new(id).map_err(|_| ArchiveError::Unreadable { column: "vehicles.vehicle_id", value: id.to_owned() })
}

/// Rows that are not worth a second connection.
const LEAST_SHARE: usize = 16;

/// Rows of readings of vehicle ?1 in the hours ?2 to ?3, beyond time ?4 and fingerprint ?5 and before ?6. The order is that of the three
/// tables, one inside the other, so that nothing is sorted and nothing is read beyond the limit; the index alone says it all.
const HISTORY: &str = "select readings.rowid from vehicle_hours cross join minutes_of_hour
        cross join readings indexed by readings_identity
        on readings.recorded_at / 60000000 = vehicle_hours.hour * 60 + minutes_of_hour.number and readings.vehicle = ?1
    where vehicle_hours.vehicle = ?1 and vehicle_hours.hour between ?2 and ?3
        and (readings.recorded_at, readings.fingerprint) > (?4, ?5) and readings.recorded_at < ?6
    order by vehicle_hours.hour, minutes_of_hour.number, readings.recorded_at, readings.fingerprint
    limit ?7";

/// Of the vehicles in the JSON array ?1 the newest readings whose timing is not ?2.
static NEWEST: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {}, vehicles.vehicle_id from json_each(?1) as wanted
        cross join vehicles on vehicles.vehicle_id = wanted.value
        cross join readings on readings.rowid = (
            select candidate.rowid
            from vehicle_hours cross join minutes_of_hour cross join readings as candidate indexed by readings_identity
                on candidate.recorded_at / 60000000 = vehicle_hours.hour * 60 + minutes_of_hour.number
                and candidate.vehicle = vehicles.number
            where vehicle_hours.vehicle = vehicles.number and candidate.timing is not ?2
            order by vehicle_hours.hour desc, minutes_of_hour.number desc, candidate.recorded_at desc, candidate.arrival desc
            limit 1)
        order by vehicles.vehicle_id",
        *SELECT_LIST
    )
});

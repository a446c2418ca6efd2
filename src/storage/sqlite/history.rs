//! Questions about vehicles and their readings.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
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
        // One row more than asked for says whether there is a next page.
        let stretch = Stretch { vehicle, time, fingerprint, before, limit: i64::from(query.limit) + 1 };
        let rows = self.find(&stretch).await?;
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

    /// Rows of the readings in a stretch, oldest first. The entries of a vehicle lie on a page of the index a minute, and a disk that takes
    /// 0.3 ms for one takes hardly longer for several at a time: so several connections look, each for another quarter of an hour.
    async fn find(&self, stretch: &Stretch) -> Result<Vec<i64>, ArchiveError> {
        let wanted = usize::try_from(stretch.limit).unwrap_or(usize::MAX);
        let last_hour = hour_of(Timestamp::from_micros(stretch.before.saturating_sub(1)));
        let mut first_hour = hour_of(Timestamp::from_micros(stretch.time));
        let mut rows = Vec::new();
        loop {
            let hours = "select hour from vehicle_hours where vehicle = ?1 and hour between ?2 and ?3 order by hour limit ?4";
            let hours = sqlx::query_scalar(hours).bind(stretch.vehicle).bind(first_hour).bind(last_hour).bind(HOURS_TOGETHER);
            let hours: Vec<i64> = hours.fetch_all(&self.0.readers).await.map_err(database_error("find hours"))?;
            let Some(last) = hours.last() else { return Ok(rows) };
            first_hour = last + 1;
            let mut parts = Vec::with_capacity(hours.len() + HOURS_IN_QUARTERS * QUARTERS.len());
            for (place, hour) in hours.into_iter().enumerate() {
                let minutes = if place < HOURS_IN_QUARTERS { &QUARTERS[..] } else { &WHOLE[..] };
                parts.extend(minutes.iter().map(|(first, last)| (hour, *first, *last)));
            }
            let finding = parts.into_iter().map(|part| self.find_within(stretch, part));
            let mut finding = pin!(stream::iter(finding).buffered(READERS as usize));
            while let Some(found) = finding.try_next().await? {
                rows.extend(found);
                if rows.len() >= wanted {
                    rows.truncate(wanted);
                    return Ok(rows);
                }
            }
        }
    }

    /// Within some minutes of an hour.
    async fn find_within(&self, stretch: &Stretch, (hour, first, last): (i64, i64, i64)) -> Result<Vec<i64>, ArchiveError> {
        let select = sqlx::query_scalar(HISTORY).bind(stretch.vehicle).bind(hour).bind(first).bind(last);
        let select = select.bind(stretch.time).bind(stretch.fingerprint).bind(stretch.before).bind(stretch.limit);
        select.fetch_all(&self.0.readers).await.map_err(database_error("find readings"))
    }

    /// In no order, by several connections as in [`Self::find`]: the rows of a vehicle lie on a page each.
    async fn rows(&self, numbers: &[i64]) -> Result<Vec<SqliteRow>, ArchiveError> {
        static SELECT: LazyLock<String> = LazyLock::new(|| {
            format!("select {} from json_each(?1) as wanted cross join readings on readings.rowid = wanted.value", *SELECT_LIST)
        });
        self.shared_out(&SELECT, numbers, "read readings").await
    }

    /// The rows that `select` gives for the JSON array ?1 of numbers, in no order.
    pub(super) async fn shared_out(
        &self,
        select: &str,
        numbers: &[i64],
        to: &'static str,
    ) -> Result<Vec<SqliteRow>, ArchiveError> {
        let share = numbers.len().div_ceil(READERS as usize).max(LEAST_SHARE);
        let parts = numbers.chunks(share).map(async |wanted| {
            let wanted = serde_json::to_string(wanted).expect("numbers are JSON");
            let select = sqlx::query(AssertSqlSafe(select)).bind(wanted);
            select.fetch_all(&self.0.readers).await.map_err(database_error(to))
        });
        Ok(try_join_all(parts).await?.into_iter().flatten().collect())
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

/// Readings of a vehicle beyond a time and fingerprint and before another time, as they are stored.
struct Stretch {
    vehicle: i64,
    time: i64,
    fingerprint: i64,
    before: i64,
    limit: i64,
}

/// Rows that are not worth a connection of their own.
const LEAST_SHARE: usize = 8;

/// Hours of a vehicle that are asked for at a time. Further ones: once these are read, if the page is not full.
const HOURS_TOGETHER: i64 = 1_000;

/// The first hours of a question are shared out by the quarter, later ones whole: a vehicle that fills its page with them speaks little.
const HOURS_IN_QUARTERS: usize = 16;

/// Minutes of an hour, the last of them among it.
const QUARTERS: [(i64, i64); 4] = [(0, 14), (15, 29), (30, 44), (45, 59)];
const WHOLE: [(i64, i64); 1] = [(0, 59)];

/// Rows of readings of vehicle ?1 in the minutes ?3 to ?4 of hour ?2, beyond time ?5 and fingerprint ?6 and before ?7. The order is that of
/// the tables, one inside the other, so that nothing is sorted and nothing is read beyond the limit; the index alone says it all.
const HISTORY: &str = "select readings.rowid from minutes_of_hour cross join readings indexed by readings_identity
        on readings.recorded_at / 60000000 = ?2 * 60 + minutes_of_hour.number and readings.vehicle = ?1
    where minutes_of_hour.number between ?3 and ?4
        and (readings.recorded_at, readings.fingerprint) > (?5, ?6) and readings.recorded_at < ?7
    order by minutes_of_hour.number, readings.recorded_at, readings.fingerprint
    limit ?8";

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

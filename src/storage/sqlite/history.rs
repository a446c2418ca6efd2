//! Questions about vehicles and their readings.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::SqliteArchive;
use super::known::hour_of;
use super::row::{ModelVersions, RowReader, SELECT_LIST};
use crate::domain::{Assessment, Timestamp, Timing, VehicleId};
use crate::storage::error::{ArchiveError, database_error};

/// Readings of one vehicle in `[from, to)`, oldest first.
#[derive(Debug, Clone)]
pub struct ReadingsQuery {
    pub vehicle_id: VehicleId,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Goes on behind this one.
    pub after: Option<ReadingCursor>,
    pub limit: u32,
}

/// The last reading of a page: written `1764000000000000-ff`, microseconds and fingerprint in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingCursor {
    recorded_at: Timestamp,
    fingerprint: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReadingsPage {
    pub readings: Vec<Assessment>,
    pub next: Option<ReadingCursor>,
}

impl fmt::Display for ReadingCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:x}", self.recorded_at.as_micros(), self.fingerprint)
    }
}

impl FromStr for ReadingCursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (micros, fingerprint) = text.rsplit_once('-').unwrap_or((text, ""));
        let recorded_at = Timestamp::from_micros(micros.parse()?);
        Ok(Self { recorded_at, fingerprint: u64::from_str_radix(fingerprint, 16)? })
    }
}

impl SqliteArchive {
    /// `None` where the vehicle is unknown.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn readings(&self, query: &ReadingsQuery) -> Result<Option<ReadingsPage>, ArchiveError> {
        let Some(vehicle) = self.vehicle_number(&query.vehicle_id).await? else { return Ok(None) };
        let (time, fingerprint) = match (query.after, query.from) {
            (Some(cursor), from) if from.is_none_or(|from| from <= cursor.recorded_at) => {
                (cursor.recorded_at.as_micros(), cursor.fingerprint.cast_signed())
            }
            (_, Some(from)) => (from.as_micros().saturating_sub(1), i64::MAX),
            _ => (i64::MIN, i64::MAX),
        };
        let before = query.to.map_or(i64::MAX, Timestamp::as_micros);
        let last_hour = hour_of(Timestamp::from_micros(before.saturating_sub(1)));
        // One row more than asked for says whether there is a next page.
        let select = sqlx::query(AssertSqlSafe(HISTORY.as_str())).bind(vehicle);
        let select = select.bind(hour_of(Timestamp::from_micros(time))).bind(last_hour);
        let select = select.bind(time).bind(fingerprint).bind(before).bind(i64::from(query.limit) + 1);
        let mut rows = select.fetch_all(&self.0.readers).await.map_err(database_error("read readings"))?;
        let has_more = rows.len() > query.limit as usize;
        rows.truncate(query.limit as usize);
        let model_versions = self.model_versions().await?;
        let reader = RowReader { table: &self.0.table, model_versions: &model_versions };
        let readings: Vec<Assessment> =
            rows.iter().map(|row| reader.read(row, &query.vehicle_id)).collect::<Result<_, ArchiveError>>()?;
        let last = readings.last().filter(|_| has_more).map(|assessment| &assessment.reading);
        let next = last.map(|last| ReadingCursor { recorded_at: last.recorded_at, fingerprint: last.fingerprint });
        Ok(Some(ReadingsPage { readings, next }))
    }

    /// Of each vehicle the newest reading that was not ahead of our clock; of equally new ones, the one that came last. In order of
    /// ids; vehicles without any are left out.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn newest_readings(&self, vehicle_ids: &[VehicleId]) -> Result<Vec<Assessment>, ArchiveError> {
        let ids = serde_json::to_string(vehicle_ids).expect("ids are JSON");
        let select = sqlx::query(AssertSqlSafe(NEWEST.as_str())).bind(ids).bind(Timing::Future.code());
        let rows = select.fetch_all(&self.0.readers).await.map_err(database_error("find the newest readings"))?;
        let model_versions = self.model_versions().await?;
        let reader = RowReader { table: &self.0.table, model_versions: &model_versions };
        let read = |row: &SqliteRow| {
            let id: String = row.try_get("vehicle_id").map_err(database_error("find the newest readings"))?;
            reader.read(row, &vehicle_id(&id)?)
        };
        rows.iter().map(read).collect()
    }

    /// Ids in their order, behind `after`.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn vehicle_ids(&self, after: Option<&VehicleId>, limit: u32) -> Result<Vec<VehicleId>, ArchiveError> {
        let select = "select vehicle_id from vehicles where vehicle_id > ?1 order by vehicle_id limit ?2";
        let select = sqlx::query_scalar(select).bind(after.map_or("", VehicleId::as_str)).bind(limit);
        let ids: Vec<String> = select.fetch_all(&self.0.readers).await.map_err(database_error("list vehicles"))?;
        let id =
            |id: String| VehicleId::new(&id).map_err(|_| ArchiveError::Unreadable { column: "vehicles.vehicle_id", value: id });
        ids.into_iter().map(id).collect()
    }

    /// # Errors
    /// Where the archive does not answer.
    pub async fn count_vehicles(&self) -> Result<u64, ArchiveError> {
        let count = sqlx::query_scalar("select count(*) from vehicles").fetch_one(&self.0.readers).await;
        count.map(i64::unsigned_abs).map_err(database_error("count vehicles"))
    }

    /// Whether questions are answered; what they say is kept apart.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn answers(&self) -> Result<(), ArchiveError> {
        let answer = sqlx::query("select 1 from vehicles limit 1").fetch_optional(&self.0.readers).await;
        answer.map(|_row| ()).map_err(database_error("answer"))
    }

    pub(super) async fn vehicle_number(&self, vehicle_id: &VehicleId) -> Result<Option<i64>, ArchiveError> {
        let select = sqlx::query_scalar("select number from vehicles where vehicle_id = ?1").bind(vehicle_id.as_str());
        select.fetch_optional(&self.0.readers).await.map_err(database_error("find a vehicle"))
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

/// Readings of vehicle ?1 in the hours ?2 to ?3, beyond time ?4 and fingerprint ?5 and before ?6. The order is that of the three
/// tables, one inside the other, so that nothing is sorted and nothing is read beyond the limit.
static HISTORY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from vehicle_hours cross join minutes_of_hour cross join readings indexed by readings_identity
            on readings.recorded_at / 60000000 = vehicle_hours.hour * 60 + minutes_of_hour.number and readings.vehicle = ?1
        where vehicle_hours.vehicle = ?1 and vehicle_hours.hour between ?2 and ?3
            and (readings.recorded_at, readings.fingerprint) > (?4, ?5) and readings.recorded_at < ?6
        order by vehicle_hours.hour, minutes_of_hour.number, readings.recorded_at, readings.fingerprint
        limit ?7",
        *SELECT_LIST
    )
});

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

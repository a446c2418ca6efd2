//! Questions about vehicles and their readings.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;

use super::SqliteArchive;
use super::known::{MICROS_PER_HOUR, hour_of};
use super::row::{ModelVersions, RowReader, SELECT_LIST};
use crate::domain::{Assessment, Timestamp, Timing, VehicleId};
use crate::storage::error::{ArchiveError, database_error};

/// Hours that one query spans at most. It begins with one, so that a talkative vehicle costs no more than its page.
const MOST_HOURS: i64 = 64;
/// Hours that are searched backwards for the newest reading: those ahead of our clock do not count, and reach 24 h at most.
const HOURS_WITH_FUTURE: i64 = 26;

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
        let mut span = Span {
            vehicle,
            after: match (query.after, query.from) {
                (Some(cursor), from) if from.is_none_or(|from| from <= cursor.recorded_at) => {
                    (cursor.recorded_at.as_micros(), cursor.fingerprint.cast_signed())
                }
                (_, Some(from)) => (from.as_micros().saturating_sub(1), i64::MAX),
                _ => (i64::MIN, i64::MAX),
            },
            before: query.to.map_or(i64::MAX, Timestamp::as_micros),
            hours: 1,
        };
        let limit = query.limit as usize;
        let mut rows = Vec::new();
        let mut hour = span.after.0.div_euclid(MICROS_PER_HOUR);
        let last_hour = hour_of(Timestamp::from_micros(span.before.saturating_sub(1)));
        // One row more than asked for says whether there is a next page.
        while rows.len() <= limit {
            let Some((first, last)) = self.hours_with_readings(&span, hour, last_hour).await? else { break };
            rows.extend(self.rows(&span, (first, last), limit + 1 - rows.len()).await?);
            hour = last + 1;
            span.hours = (span.hours * 2).min(MOST_HOURS);
        }
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let readings = self.assessments(&query.vehicle_id, &rows).await?;
        let last = readings.last().filter(|_| has_more).map(|assessment| &assessment.reading);
        let next = last.map(|last| ReadingCursor { recorded_at: last.recorded_at, fingerprint: last.fingerprint });
        Ok(Some(ReadingsPage { readings, next }))
    }

    /// The newest reading that was not ahead of our clock; of equally new ones, the one that came last.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn newest_reading(&self, vehicle_id: &VehicleId) -> Result<Option<Assessment>, ArchiveError> {
        let Some(vehicle) = self.vehicle_number(vehicle_id).await? else { return Ok(None) };
        let hours = "select hour from vehicle_hours where vehicle = ?1 order by hour desc limit ?2";
        let hours = sqlx::query_scalar(hours).bind(vehicle).bind(HOURS_WITH_FUTURE).fetch_all(&self.0.readers).await;
        let hours: Vec<i64> = hours.map_err(database_error("find the hours of a vehicle"))?;
        for hour in hours {
            let select = format!(
                "{IN_HOURS} select {} {FROM_HOURS} and readings.timing is not ?4
                order by readings.recorded_at desc, readings.arrival desc limit 1",
                *SELECT_LIST
            );
            let select = sqlx::query(AssertSqlSafe(select)).bind(vehicle).bind(hour).bind(hour).bind(Timing::Future.code());
            let row = select.fetch_optional(&self.0.readers).await.map_err(database_error("find the newest reading"))?;
            if let Some(row) = row {
                return Ok(self.assessments(vehicle_id, &[row]).await?.pop());
            }
        }
        Ok(None)
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

    /// First and last of the next `span.hours` hours from `hour` on in which the vehicle spoke.
    async fn hours_with_readings(&self, span: &Span, hour: i64, last_hour: i64) -> Result<Option<(i64, i64)>, ArchiveError> {
        let select = "select min(hour), max(hour) from
            (select hour from vehicle_hours where vehicle = ?1 and hour between ?2 and ?3 order by hour limit ?4)";
        let select = sqlx::query_as(select).bind(span.vehicle).bind(hour).bind(last_hour).bind(span.hours);
        let hours: Result<(Option<i64>, Option<i64>), _> = select.fetch_one(&self.0.readers).await;
        let (first, last) = hours.map_err(database_error("find the hours of a vehicle"))?;
        Ok(first.zip(last))
    }

    async fn rows(&self, span: &Span, (first, last): (i64, i64), limit: usize) -> Result<Vec<SqliteRow>, ArchiveError> {
        let select = format!(
            "{IN_HOURS} select {} {FROM_HOURS}
                and (readings.recorded_at, readings.fingerprint) > (?4, ?5) and readings.recorded_at < ?6
            order by readings.recorded_at, readings.fingerprint limit ?7",
            *SELECT_LIST
        );
        let select = sqlx::query(AssertSqlSafe(select)).bind(span.vehicle).bind(first).bind(last);
        let select = select.bind(span.after.0).bind(span.after.1).bind(span.before);
        let select = select.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        select.fetch_all(&self.0.readers).await.map_err(database_error("read readings"))
    }

    async fn assessments(&self, vehicle_id: &VehicleId, rows: &[SqliteRow]) -> Result<Vec<Assessment>, ArchiveError> {
        let select = sqlx::query_as("select number, model, version from model_versions");
        let versions: Result<Vec<(i64, String, String)>, _> = select.fetch_all(&self.0.readers).await;
        let versions = versions.map_err(database_error("list model versions"))?;
        let model_versions: ModelVersions =
            versions.into_iter().map(|(number, model, version)| (number, (Arc::from(model), Arc::from(version)))).collect();
        let reader = RowReader { vehicle_id, table: &self.0.table, model_versions: &model_versions };
        rows.iter().map(|row| reader.read(row)).collect()
    }
}

/// Part of a vehicle's history.
struct Span {
    vehicle: i64,
    /// Time and fingerprint that readings must be beyond.
    after: (i64, i64),
    before: i64,
    hours: i64,
}

/// The minutes of an hour: `readings_identity` begins with the minute.
const IN_HOURS: &str = "with recursive minute_of_hour (number) as
    (values (0) union all select number + 1 from minute_of_hour where number < 59)";

/// Readings of vehicle ?1 in its hours ?2 to ?3.
const FROM_HOURS: &str = "from vehicle_hours cross join minute_of_hour cross join readings indexed by readings_identity
    on readings.recorded_at / 60000000 = vehicle_hours.hour * 60 + minute_of_hour.number and readings.vehicle = ?1
    where vehicle_hours.vehicle = ?1 and vehicle_hours.hour between ?2 and ?3";

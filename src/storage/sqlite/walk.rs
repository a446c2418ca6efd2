//! All readings of a span, of all vehicles, page by page: for whoever judges history again.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Row};

use super::SqliteArchive;
use super::row::{RowReader, SELECT_LIST};
use crate::domain::{Assessment, Timestamp, VehicleId};
use crate::storage::error::{ArchiveError, database_error};

/// Where a walk stands. Readings come by the minute in which they were recorded, within it by vehicle, within that by time: so each
/// vehicle's own are in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    minute: i64,
    vehicle: i64,
    recorded_at: i64,
    fingerprint: i64,
    /// Exclusive: the minute of the start is shared with readings before it.
    after: i64,
    to: i64,
}

const MICROS_PER_MINUTE: i64 = 60_000_000;

impl Walk {
    /// Readings recorded in `[from, to)`.
    #[must_use]
    pub const fn new(from: Timestamp, to: Timestamp) -> Self {
        let before = from.as_micros().saturating_sub(1);
        Self {
            minute: before.div_euclid(MICROS_PER_MINUTE),
            vehicle: i64::MIN,
            recorded_at: before,
            fingerprint: i64::MAX,
            after: before,
            to: to.as_micros(),
        }
    }
}

impl SqliteArchive {
    /// Up to `limit` readings further on; none: the walk is over.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn walk(&self, walk: &mut Walk, limit: u32) -> Result<Vec<Assessment>, ArchiveError> {
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
            readings.push(reader.read(row, &ids[id])?);
        }
        if let (Some(row), Some(last)) = (rows.last(), readings.last()) {
            let recorded_at = last.reading.recorded_at.as_micros();
            walk.minute = recorded_at.div_euclid(MICROS_PER_MINUTE);
            walk.vehicle = row.try_get("vehicle").map_err(database_error("walk through readings"))?;
            (walk.recorded_at, walk.fingerprint) = (recorded_at, last.reading.fingerprint.cast_signed());
        }
        Ok(readings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::tests::{MIDNIGHT, an_archive, by, record};

    #[tokio::test]
    async fn a_walk_meets_every_reading_of_its_span_once_and_each_vehicle_in_order() {
        let (_folder, archive) = an_archive().await;
        let seconds = |seconds: i64| MIDNIGHT + seconds * 1_000_000;
        let mut all: Vec<_> = (0..120).flat_map(|step| ["b", "a", "c"].map(|id| by(id, seconds(step * 7)))).collect();
        // Some moments have two readings, so that a page may end between them.
        let second = |one: &Assessment| {
            let mut second = one.clone();
            second.reading.fingerprint ^= 1 << 40;
            second
        };
        all.extend(all.iter().step_by(2).map(second).collect::<Vec<_>>());
        archive.store(&all.iter().map(record).collect::<Vec<_>>()).await.unwrap();
        let (from, to) = (seconds(70), seconds(700));
        let mut walk = Walk::new(Timestamp::from_micros(from), Timestamp::from_micros(to));
        let mut met = Vec::new();
        loop {
            let page = archive.walk(&mut walk, 17).await.unwrap();
            if page.is_empty() {
                break;
            }
            met.extend(page.into_iter().map(|one| (one.reading.vehicle_id.to_string(), one.reading.recorded_at.as_micros())));
        }
        let mut expected: Vec<_> =
            all.iter().map(|one| (one.reading.vehicle_id.to_string(), one.reading.recorded_at.as_micros())).collect();
        expected.retain(|(_, at)| (from..to).contains(at));
        for id in ["a", "b", "c"] {
            assert!(met.iter().filter(|(met, _)| met == id).is_sorted(), "{id}");
        }
        met.sort();
        expected.sort();
        assert_eq!(met, expected);
    }
}

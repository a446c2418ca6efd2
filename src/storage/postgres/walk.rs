//! All readings of a span, of all vehicles, page by page: for whoever judges history again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::LazyLock;

use sqlx::AssertSqlSafe;

use super::PostgresArchive;
use super::history::{SELECT_LIST, model_versions, vehicle_id};
use super::values::{PostgresCells, Time};
use crate::domain::{Assessment, Timestamp, VehicleId};
use crate::storage::error::ArchiveError;
use crate::storage::readings::{MICROS_PER_MINUTE, Walk};
use crate::storage::row::RowReader;

/// Minutes that are looked through together: first one, then twice as many as long as nothing is found.
const MOST_MINUTES_TOGETHER: i64 = 1_440;

impl PostgresArchive {
    /// A page never goes beyond the minutes that are looked through together.
    pub(super) async fn walk_on(&self, walk: &mut Walk, limit: u32) -> Result<Vec<Assessment>, ArchiveError> {
        let mut lease = self.reader().await?;
        let versions = model_versions(&mut lease).await?;
        let reader = RowReader { table: &self.0.table, model_versions: &versions };
        let mut minutes = 1;
        let start = |minute: i64| minute.saturating_mul(MICROS_PER_MINUTE);
        while start(walk.minute) < walk.to {
            let (from, to) = (walk.after + 1, walk.to);
            let end = start(walk.minute.saturating_add(minutes));
            let time = |micros| Time(Timestamp::from_micros(micros));
            let select = sqlx::query(AssertSqlSafe(WALK.as_str()));
            let select = select.bind(time(start(walk.minute).max(from))).bind(time(end.min(to)));
            let select = select.bind(time(start(walk.minute))).bind(walk.vehicle).bind(time(walk.recorded_at));
            let select = select.bind(walk.fingerprint).bind(i64::from(limit));
            let rows = lease.rows("walk through readings", select).await?;
            let mut ids: HashMap<i64, VehicleId> = HashMap::new();
            let mut readings = Vec::with_capacity(rows.len());
            for row in &rows {
                let mut cells = PostgresCells::new(row);
                let (id, number): (&str, i64) = (cells.take()?, cells.take()?);
                let id = match ids.entry(number) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(vehicle_id(id)?),
                };
                readings.push(reader.read(&mut cells, id)?);
                walk.vehicle = number;
            }
            if let Some(last) = readings.last() {
                walk.recorded_at = last.reading.recorded_at.as_micros();
                walk.minute = walk.recorded_at.div_euclid(MICROS_PER_MINUTE);
                walk.fingerprint = last.reading.fingerprint.cast_signed();
                return Ok(readings);
            }
            walk.minute = walk.minute.saturating_add(minutes);
            (walk.vehicle, walk.recorded_at, walk.fingerprint) = (i64::MIN, i64::MIN, i64::MIN);
            minutes = (minutes * 2).min(MOST_MINUTES_TOGETHER);
        }
        Ok(Vec::new())
    }
}

/// Readings in [$1, $2), which names partitions and pages, behind (minute $3, vehicle $4, time $5, fingerprint $6).
static WALK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select vehicle_id, readings.vehicle::bigint, {} from readings join vehicles on number = vehicle
        where recorded_at >= $1 and recorded_at < $2
            and (date_trunc('minute', recorded_at, 'UTC'), vehicle::bigint, recorded_at, fingerprint) > ($3, $4, $5, $6)
        order by date_trunc('minute', recorded_at, 'UTC'), readings.vehicle, recorded_at, fingerprint limit $7",
        *SELECT_LIST
    )
});

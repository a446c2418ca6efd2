//! The numbers of vehicles and model versions in the archive, remembered so that most transactions need not ask for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::connect::Lease;
use super::days::day_of;
use super::values::PostgresCells;
use crate::domain::{Assessment, ModelScore, Timestamp, VehicleId};
use crate::storage::archive::Rows;
use crate::storage::error::ArchiveError;

/// About 150 bytes each. Beyond it everything is forgotten and asked for again.
const MAX_VEHICLES: usize = 500_000;
const MAX_MODEL_VERSIONS: usize = 1_000;

#[derive(Debug, Default)]
pub struct Known {
    vehicles: HashMap<VehicleId, Vehicle>,
    model_versions: HashMap<(Arc<str>, Arc<str>), i32>,
    /// Hours before it are summed up, or being so: what comes for them touches them again, whatever is remembered.
    settled: i32,
}

#[derive(Debug, Clone, Copy)]
struct Vehicle {
    number: i32,
    /// The last day known to be in `vehicle_days`.
    day: i32,
    /// The last hour known to be in `touched_hours`.
    hour: i32,
}

pub const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Since 1970.
#[must_use]
pub fn hour_of(time: Timestamp) -> i32 {
    let hour = time.as_micros().div_euclid(MICROS_PER_HOUR);
    i32::try_from(hour).unwrap_or(if hour < 0 { i32::MIN } else { i32::MAX })
}

impl Known {
    /// Makes sure that every vehicle, model version and day of the rows is in the archive and has a number here.
    /// What was learned holds only if the transaction is committed: otherwise [`Known::forget`].
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn meet(&mut self, lease: &mut Lease, rows: &Rows<'_>) -> Result<(), ArchiveError> {
        if self.vehicles.len() > MAX_VEHICLES || self.model_versions.len() > MAX_MODEL_VERSIONS {
            self.forget();
        }
        let speaking = rows.assessments.iter().map(|assessment| &assessment.reading.vehicle_id);
        let alerted = rows.alert_events.iter().map(|event| &event.alert.vehicle_id);
        let unknown: BTreeSet<&VehicleId> = speaking.chain(alerted).filter(|id| !self.vehicles.contains_key(*id)).collect();
        self.meet_vehicles(lease, &unknown.into_iter().collect::<Vec<_>>()).await?;
        self.meet_days(lease, &rows.assessments).await?;
        self.touch_hours(lease, &rows.assessments).await?;
        self.meet_model_versions(lease, &rows.assessments).await
    }

    pub fn forget(&mut self) {
        self.vehicles.clear();
        self.model_versions.clear();
    }

    /// Before hours that ended before `hour` are summed up.
    pub fn settle(&mut self, hour: i32) {
        self.settled = self.settled.max(hour);
    }

    /// Of a vehicle that was met.
    #[must_use]
    pub fn vehicle(&self, vehicle_id: &VehicleId) -> i32 {
        self.vehicles.get(vehicle_id).expect("every vehicle of a batch is met before its rows are bound").number
    }

    /// Of a model version that was met.
    #[must_use]
    pub fn model_version(&self, score: &ModelScore) -> i64 {
        let key = (Arc::clone(&score.model), Arc::clone(&score.version));
        i64::from(*self.model_versions.get(&key).expect("every model version of a batch is met before its rows are bound"))
    }

    /// In the order of their ids, so that two processes that meet the same ones do not lock each other out.
    async fn meet_vehicles(&mut self, lease: &mut Lease, unknown: &[&VehicleId]) -> Result<(), ArchiveError> {
        self.find_vehicles(lease, unknown).await?;
        let new: Vec<&VehicleId> = unknown.iter().copied().filter(|id| !self.vehicles.contains_key(*id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let insert =
            "insert into vehicles (vehicle_id, slot) select * from unnest($1::text[], $2::integer[]) on conflict do nothing";
        let insert = sqlx::query(insert)
            .bind(new.iter().map(|id| id.as_str()).collect::<Vec<_>>())
            .bind(new.iter().map(|id| i32::from(id.slot().number())).collect::<Vec<_>>());
        lease.execute("add vehicles", insert).await?;
        self.find_vehicles(lease, &new).await
    }

    async fn find_vehicles(&mut self, lease: &mut Lease, unknown: &[&VehicleId]) -> Result<(), ArchiveError> {
        if unknown.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = unknown.iter().map(|id| id.as_str()).collect();
        let select =
            "select place, number from unnest($1::text[]) with ordinality as wanted (id, place) join vehicles on vehicle_id = id";
        for row in lease.rows("find vehicles", sqlx::query(select).bind(ids)).await? {
            let mut cells = PostgresCells::new(&row);
            let place = usize::try_from(cells.take::<i64>()?).expect("places begin at 1");
            self.vehicles.insert(unknown[place - 1].clone(), Vehicle { number: cells.take()?, day: i32::MIN, hour: i32::MIN });
        }
        Ok(())
    }

    async fn meet_days(&mut self, lease: &mut Lease, assessments: &[&Assessment]) -> Result<(), ArchiveError> {
        let mut fresh: BTreeSet<(i32, i32)> = BTreeSet::new();
        for assessment in assessments {
            let day = day_of(assessment.reading.recorded_at);
            match self.vehicles.get_mut(&assessment.reading.vehicle_id) {
                Some(vehicle) if vehicle.day != day => {
                    vehicle.day = day;
                    fresh.insert((vehicle.number, day));
                }
                _ => {}
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let (vehicles, days): (Vec<i32>, Vec<i32>) = fresh.into_iter().unzip();
        let insert =
            "insert into vehicle_days (vehicle, day) select * from unnest($1::integer[], $2::integer[]) on conflict do nothing";
        lease.execute("add days", sqlx::query(insert).bind(vehicles).bind(days)).await?;
        Ok(())
    }

    async fn touch_hours(&mut self, lease: &mut Lease, assessments: &[&Assessment]) -> Result<(), ArchiveError> {
        let mut touched: BTreeSet<(i32, i32)> = BTreeSet::new();
        for assessment in assessments {
            let hour = hour_of(assessment.reading.recorded_at);
            match self.vehicles.get_mut(&assessment.reading.vehicle_id) {
                Some(vehicle) if vehicle.hour != hour || hour < self.settled => {
                    vehicle.hour = hour;
                    touched.insert((hour, vehicle.number));
                }
                _ => {}
            }
        }
        if touched.is_empty() {
            return Ok(());
        }
        let (hours, vehicles): (Vec<i32>, Vec<i32>) = touched.into_iter().unzip();
        let insert =
            "insert into touched_hours (hour, vehicle) select * from unnest($1::integer[], $2::integer[]) on conflict do nothing";
        lease.execute("touch hours", sqlx::query(insert).bind(hours).bind(vehicles)).await?;
        Ok(())
    }

    async fn meet_model_versions(&mut self, lease: &mut Lease, assessments: &[&Assessment]) -> Result<(), ArchiveError> {
        for score in assessments.iter().flat_map(|assessment| &assessment.scores) {
            let key = (Arc::clone(&score.model), Arc::clone(&score.version));
            if self.model_versions.contains_key(&key) {
                continue;
            }
            let insert = "insert into model_versions (model, version) values ($1, $2)
                on conflict (model, version) do update set model = excluded.model returning number";
            let insert = sqlx::query(insert).bind(&*score.model).bind(&*score.version);
            let row = lease.row("add a model version", insert).await?.expect("it returns the row that is there then");
            self.model_versions.insert(key, PostgresCells::new(&row).take()?);
        }
        Ok(())
    }
}

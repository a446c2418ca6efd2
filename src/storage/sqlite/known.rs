//! The numbers of vehicles and model versions in the archive, remembered so that most transactions need not ask for them.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;

use crate::domain::{Assessment, ModelScore, Timestamp, VehicleId};
use crate::storage::error::{ArchiveError, database_error};

/// About 150 bytes each. Beyond it everything is forgotten and asked for again.
const MAX_VEHICLES: usize = 500_000;
const MAX_MODEL_VERSIONS: usize = 1_000;

pub const MICROS_PER_HOUR: i64 = 3_600_000_000;

#[derive(Debug, Default)]
pub struct Known {
    vehicles: HashMap<VehicleId, Vehicle>,
    model_versions: HashMap<(Arc<str>, Arc<str>), i64>,
    /// Hours before it are summed up, or being so: what comes for them touches them again, whatever is remembered.
    settled: i64,
}

#[derive(Debug, Clone, Copy)]
struct Vehicle {
    number: i64,
    /// The last hour known to be in `vehicle_hours` and in `touched_hours`.
    hour: i64,
}

#[must_use]
pub const fn hour_of(recorded_at: Timestamp) -> i64 {
    recorded_at.as_micros().div_euclid(MICROS_PER_HOUR)
}

impl Known {
    /// Makes sure that every vehicle, model version and hour of the assessments is in the archive and has a number here.
    /// What was learned holds only if the transaction is committed: otherwise [`Known::forget`].
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn meet(&mut self, connection: &mut SqliteConnection, assessments: &[&Assessment]) -> Result<(), ArchiveError> {
        if self.vehicles.len() > MAX_VEHICLES || self.model_versions.len() > MAX_MODEL_VERSIONS {
            self.forget();
        }
        self.meet_vehicles(connection, assessments).await?;
        self.meet_hours(connection, assessments).await?;
        self.meet_model_versions(connection, assessments).await
    }

    pub fn forget(&mut self) {
        self.vehicles.clear();
        self.model_versions.clear();
    }

    /// Before hours that ended before `hour` are summed up.
    pub fn settle(&mut self, hour: i64) {
        self.settled = self.settled.max(hour);
    }

    /// Of a vehicle that was met.
    #[must_use]
    pub fn vehicle(&self, vehicle_id: &VehicleId) -> i64 {
        self.vehicles.get(vehicle_id).expect("every vehicle of a batch is met before its rows are bound").number
    }

    /// Of a model version that was met.
    #[must_use]
    pub fn model_version(&self, score: &ModelScore) -> i64 {
        let key = (Arc::clone(&score.model), Arc::clone(&score.version));
        *self.model_versions.get(&key).expect("every model version of a batch is met before its rows are bound")
    }

    async fn meet_vehicles(
        &mut self,
        connection: &mut SqliteConnection,
        assessments: &[&Assessment],
    ) -> Result<(), ArchiveError> {
        let ids = assessments.iter().map(|assessment| &assessment.reading.vehicle_id);
        let unknown: Vec<&VehicleId> = ids.filter(|id| !self.vehicles.contains_key(*id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let rows: Vec<(&str, u16)> = unknown.iter().map(|id| (id.as_str(), id.slot().number())).collect();
        let rows = serde_json::to_string(&rows).expect("ids and numbers are JSON");
        let insert = "insert into vehicles (vehicle_id, slot) select value->>0, value->>1 from json_each(?1) where true on conflict do nothing";
        sqlx::query(insert).bind(&rows).execute(&mut *connection).await.map_err(database_error("add vehicles"))?;
        let select = "select vehicle_id, number from vehicles where vehicle_id in (select value->>0 from json_each(?1))";
        let numbers: Vec<(String, i64)> =
            sqlx::query_as(select).bind(&rows).fetch_all(&mut *connection).await.map_err(database_error("find vehicles"))?;
        let numbers: HashMap<String, i64> = numbers.into_iter().collect();
        for id in unknown {
            if let Some(&number) = numbers.get(id.as_str()) {
                self.vehicles.insert(id.clone(), Vehicle { number, hour: i64::MIN });
            }
        }
        Ok(())
    }

    async fn meet_hours(&mut self, connection: &mut SqliteConnection, assessments: &[&Assessment]) -> Result<(), ArchiveError> {
        let mut fresh: Vec<(i64, i64)> = Vec::new();
        for assessment in assessments {
            let hour = hour_of(assessment.reading.recorded_at);
            match self.vehicles.get_mut(&assessment.reading.vehicle_id) {
                Some(vehicle) if vehicle.hour != hour || hour < self.settled => {
                    vehicle.hour = hour;
                    fresh.push((vehicle.number, hour));
                }
                _ => {}
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        // In the order of the table, so that neighbours share a page.
        fresh.sort_unstable();
        fresh.dedup();
        let rows = serde_json::to_string(&fresh).expect("numbers are JSON");
        let insert = "insert into vehicle_hours (vehicle, hour) select value->>0, value->>1 from json_each(?1) where true on conflict do nothing";
        sqlx::query(insert).bind(&rows).execute(&mut *connection).await.map_err(database_error("add hours"))?;
        let insert = "insert into touched_hours (hour, vehicle) select value->>1, value->>0 from json_each(?1) where true on conflict do nothing";
        sqlx::query(insert).bind(&rows).execute(connection).await.map_err(database_error("touch hours"))?;
        Ok(())
    }

    async fn meet_model_versions(
        &mut self,
        connection: &mut SqliteConnection,
        assessments: &[&Assessment],
    ) -> Result<(), ArchiveError> {
        for score in assessments.iter().flat_map(|assessment| &assessment.scores) {
            let key = (Arc::clone(&score.model), Arc::clone(&score.version));
            if self.model_versions.contains_key(&key) {
                continue;
            }
            let insert = "insert into model_versions (model, version) values (?1, ?2)
                on conflict (model, version) do update set model = excluded.model returning number";
            let number = sqlx::query_scalar(insert).bind(&*score.model).bind(&*score.version);
            let number = number.fetch_one(&mut *connection).await.map_err(database_error("add a model version"))?;
            self.model_versions.insert(key, number);
        }
        Ok(())
    }
}

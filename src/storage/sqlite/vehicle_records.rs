//! What people say about vehicles, as rows. Keeps nothing in memory: `storage::VehicleRegister`.

use async_trait::async_trait;
use sqlx::Acquire;

use super::{SqliteArchive, settled};
use crate::domain::{Label, Timestamp, VehicleId, VehicleRecord};
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::vehicle_records::{self, VehicleArchive};

#[async_trait]
impl VehicleArchive for SqliteArchive {
    async fn put_vehicles(&self, records: &[(VehicleId, VehicleRecord)], at: Timestamp) -> Result<(), ArchiveError> {
        let put = "insert into vehicles
                (vehicle_id, slot, registered_at, class, powertrain, vehicle_groups, tank_l, battery_kwh, make)
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            on conflict (vehicle_id) do update set registered_at = excluded.registered_at, class = excluded.class,
                powertrain = excluded.powertrain, vehicle_groups = excluded.vehicle_groups, tank_l = excluded.tank_l,
                battery_kwh = excluded.battery_kwh, make = excluded.make";
        let _one_writer = self.0.memory.lock().await;
        let mut connection = self.0.writer.acquire().await.map_err(database_error("reach its file"))?;
        let result = async {
            let mut transaction = connection.begin().await.map_err(database_error("begin"))?;
            for (id, record) in records {
                let put = sqlx::query(put)
                    .bind(id.as_str())
                    .bind(id.slot().number())
                    .bind(at.as_micros())
                    .bind(record.class.as_str())
                    .bind(record.powertrain.as_ref().map(Label::as_str))
                    .bind(serde_json::to_string(&record.groups).expect("labels are JSON"))
                    .bind(record.tank_l)
                    .bind(record.battery_kwh)
                    .bind(record.make.as_deref());
                put.execute(&mut *transaction).await.map_err(database_error("register a vehicle"))?;
            }
            transaction.commit().await.map_err(database_error("commit"))
        }
        .await;
        // Whatever came of it: a commit may have failed only to say so.
        self.0.register.rise();
        settled(connection, result).await
    }

    async fn register_generation(&self) -> Result<u64, ArchiveError> {
        Ok(self.0.register.now())
    }

    async fn registered_vehicles(&self) -> Result<Vec<(VehicleId, VehicleRecord)>, ArchiveError> {
        let select = "select vehicle_id, class, powertrain, vehicle_groups, tank_l, battery_kwh, make
            from vehicles where registered_at is not null";
        let rows: Vec<vehicle_records::Columns> =
            sqlx::query_as(select).fetch_all(&self.0.readers).await.map_err(database_error("list registered vehicles"))?;
        rows.into_iter().map(vehicle_records::record).collect()
    }
}

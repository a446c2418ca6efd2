//! What people say about vehicles, as rows.

use async_trait::async_trait;

use super::PostgresArchive;
use super::values::{PostgresCells, Time};
use crate::domain::{Label, Timestamp, VehicleId, VehicleRecord};
use crate::storage::error::ArchiveError;
use crate::storage::vehicle_records::{VehicleArchive, record};

#[async_trait]
impl VehicleArchive for PostgresArchive {
    async fn put_vehicles(&self, records: &[(VehicleId, VehicleRecord)], at: Timestamp) -> Result<(), ArchiveError> {
        let put = "insert into vehicles
                (vehicle_id, slot, registered_at, class, powertrain, vehicle_groups, tank_l, battery_kwh, make)
            select vehicle_id, slot, $3, class, powertrain, vehicle_groups::jsonb, tank_l, battery_kwh, make
            from unnest($1, $2, $4, $5, $6, $7, $8, $9)
                as new (vehicle_id, slot, class, powertrain, vehicle_groups, tank_l, battery_kwh, make)
            on conflict (vehicle_id) do update set registered_at = excluded.registered_at, class = excluded.class,
                powertrain = excluded.powertrain, vehicle_groups = excluded.vehicle_groups, tank_l = excluded.tank_l,
                battery_kwh = excluded.battery_kwh, make = excluded.make";
        let put = sqlx::query(put)
            .bind(all(records, |id, _| id.as_str()))
            .bind(all(records, |id, _| i32::from(id.slot().number())))
            .bind(Time(at))
            .bind(all(records, |_, record| record.class.as_str()))
            .bind(all(records, |_, record| record.powertrain.as_ref().map(Label::as_str)))
            .bind(all(records, |_, record| serde_json::to_string(&record.groups).expect("labels are JSON")))
            .bind(all(records, |_, record| record.tank_l))
            .bind(all(records, |_, record| record.battery_kwh))
            .bind(all(records, |_, record| record.make.as_deref()));
        let _one_writer = self.0.memory.lock().await;
        let executed = self.writer().await?.execute("register vehicles", put).await;
        // Whatever came of it: a commit may have failed only to say so.
        self.0.register.rise();
        executed?;
        // Rare, and a start without the server is to know them.
        let registered = self.ask_registered_vehicles().await;
        registered.map(|registered| self.0.last_known.keep_vehicles(&registered))
    }

    async fn registered_vehicles(&self) -> Result<Vec<(VehicleId, VehicleRecord)>, ArchiveError> {
        match self.ask_registered_vehicles().await {
            Ok(registered) => {
                self.0.last_known.keep_vehicles(&registered);
                Ok(registered)
            }
            Err(error) => self.0.last_known.vehicles().ok_or(error),
        }
    }

    async fn register_generation(&self) -> Result<u64, ArchiveError> {
        Ok(self.0.register.now())
    }
}

impl PostgresArchive {
    async fn ask_registered_vehicles(&self) -> Result<Vec<(VehicleId, VehicleRecord)>, ArchiveError> {
        let select = "select vehicle_id, class, powertrain, vehicle_groups::text, tank_l, battery_kwh, make
            from vehicles where registered_at is not null";
        let rows = self.reader().await?.rows("list registered vehicles", sqlx::query(select)).await?;
        let columns = |row| {
            let mut cells = PostgresCells::new(row);
            record((cells.take()?, cells.take()?, cells.take()?, cells.take()?, cells.take()?, cells.take()?, cells.take()?))
        };
        rows.iter().map(columns).collect()
    }
}

fn all<'a, T>(records: &'a [(VehicleId, VehicleRecord)], value: impl Fn(&'a VehicleId, &'a VehicleRecord) -> T) -> Vec<T> {
    records.iter().map(|(id, record)| value(id, record)).collect()
}

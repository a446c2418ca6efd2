//! What people say about vehicles, as rows. Keeps nothing in memory: `storage::VehicleRegister`.

use sqlx::Acquire;

use super::SqliteArchive;
use crate::domain::{Class, Label, Timestamp, VehicleId, VehicleRecord, VehicleRecordError};
use crate::storage::error::{ArchiveError, database_error};

type Columns = (String, String, Option<String>, Option<String>, Option<f64>, Option<f64>, Option<String>);

impl SqliteArchive {
    /// Registers all of them or, with an error, none. A record that was there is replaced.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn put_vehicles(&self, records: &[(VehicleId, VehicleRecord)], at: Timestamp) -> Result<(), ArchiveError> {
        let put = "insert into vehicles
                (vehicle_id, slot, registered_at, class, powertrain, vehicle_groups, tank_l, battery_kwh, make)
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            on conflict (vehicle_id) do update set registered_at = excluded.registered_at, class = excluded.class,
                powertrain = excluded.powertrain, vehicle_groups = excluded.vehicle_groups, tank_l = excluded.tank_l,
                battery_kwh = excluded.battery_kwh, make = excluded.make";
        let _one_writer = self.0.memory.lock().await;
        let mut connection = self.0.writer.acquire().await.map_err(database_error("reach its file"))?;
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

    /// All vehicles that somebody registered.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn registered_vehicles(&self) -> Result<Vec<(VehicleId, VehicleRecord)>, ArchiveError> {
        let select = "select vehicle_id, class, powertrain, vehicle_groups, tank_l, battery_kwh, make
            from vehicles where registered_at is not null";
        let rows: Vec<Columns> =
            sqlx::query_as(select).fetch_all(&self.0.readers).await.map_err(database_error("list registered vehicles"))?;
        rows.into_iter().map(record).collect()
    }
}

fn record(
    (id, class, powertrain, groups, tank_l, battery_kwh, make): Columns,
) -> Result<(VehicleId, VehicleRecord), ArchiveError> {
    let label = |column, text: &str| Label::new(text).map_err(|error: VehicleRecordError| unreadable(column, &error));
    let id = VehicleId::new(&id).map_err(|error| unreadable("vehicles.vehicle_id", &error))?;
    let groups = groups.map(|groups| serde_json::from_str(&groups)).transpose();
    let record = VehicleRecord {
        class: Class::new(label("vehicles.class", &class)?),
        powertrain: powertrain.map(|powertrain| label("vehicles.powertrain", &powertrain)).transpose()?,
        groups: groups.map_err(|error| unreadable("vehicles.vehicle_groups", &error))?.unwrap_or_default(),
        tank_l,
        battery_kwh,
        make,
    };
    Ok((id, record))
}

fn unreadable(column: &'static str, error: &dyn std::fmt::Display) -> ArchiveError {
    ArchiveError::Unreadable { column, value: error.to_string() }
}

//! What people say about vehicles, as any archive keeps it. Keeps nothing in memory: `VehicleRegister`.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::ArchiveError;
use crate::domain::{Class, Label, Timestamp, VehicleId, VehicleRecord, VehicleRecordError};

/// # Errors
/// Each where the archive does not answer.
#[async_trait]
pub trait VehicleArchive {
    /// Registers all of them or, with an error, none. A record that was there is replaced.
    async fn put_vehicles(&self, records: &[(VehicleId, VehicleRecord)], at: Timestamp) -> Result<(), ArchiveError>;

    /// All vehicles that somebody registered. Where the archive does not answer: as it last did, if that is known.
    async fn registered_vehicles(&self) -> Result<Vec<(VehicleId, VehicleRecord)>, ArchiveError>;

    /// Another number after every put through this archive, and after its restart; costs next to nothing.
    async fn register_generation(&self) -> Result<u64, ArchiveError>;
}

/// A number that begins with the time, so that whoever remembers one of the last run does not meet it again.
#[derive(Debug)]
pub(super) struct Generation(AtomicU64);

impl Default for Generation {
    fn default() -> Self {
        Self(AtomicU64::new(crate::clock::now().as_micros().unsigned_abs()))
    }
}

impl Generation {
    pub fn rise(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Id, class, powertrain, groups as JSON, tank, battery, make.
pub(super) type Columns = (String, String, Option<String>, Option<String>, Option<f64>, Option<f64>, Option<String>);

pub(super) fn record(
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

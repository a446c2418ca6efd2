//! What the dashboard may ask about the fleet: live state and archive behind one face. Writes nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Assessment, SignalTable, Timestamp, VehicleId};
use crate::live::LiveState;
use crate::settings;
use crate::storage::{
    ArchiveError, ExportedPayload, QuarantinePage, QuarantineQuery, ReadingsPage, ReadingsQuery, SqliteArchive,
};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    live: Arc<LiveState>,
    archive: SqliteArchive,
    table: Arc<SignalTable>,
    stale_after: Duration,
    offline_after: Duration,
}

/// How a vehicle stands, as far as its silence tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VehicleState {
    Ok,
    /// The ignition is off: silence is no news.
    Parked,
    Stale,
    Offline,
}

impl VehicleState {
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Parked => "parked",
            Self::Stale => "stale",
            Self::Offline => "offline",
        }
    }
}

impl Fleet {
    #[must_use]
    pub fn new(live: Arc<LiveState>, archive: SqliteArchive, table: Arc<SignalTable>, settings: &settings::Fleet) -> Self {
        let (stale_after, offline_after) = (settings.stale_after.duration(), settings.offline_after.duration());
        Self { live, archive, table, stale_after, offline_after }
    }

    #[must_use]
    pub fn table(&self) -> &SignalTable {
        &self.table
    }

    #[must_use]
    pub fn state_of(&self, newest: &Assessment, now: Timestamp) -> VehicleState {
        let silence = now.since(newest.reading.received_at);
        match newest.reading.ignition {
            Some(ignition) if !ignition.is_on() => VehicleState::Parked,
            _ if silence >= self.offline_after => VehicleState::Offline,
            _ if silence >= self.stale_after => VehicleState::Stale,
            _ => VehicleState::Ok,
        }
    }

    /// From live state; of a vehicle that is not in it, from the archive.
    ///
    /// # Errors
    /// Where the archive is asked and does not answer.
    pub async fn vehicle(&self, vehicle_id: &VehicleId) -> Result<Option<Assessment>, ArchiveError> {
        match self.live.vehicle(vehicle_id) {
            Some(newest) => Ok(Some(newest)),
            None => self.archive.newest_reading(vehicle_id).await,
        }
    }

    /// Vehicles of live state in the order of their ids.
    #[must_use]
    pub fn vehicles(&self, after: Option<&VehicleId>, limit: usize) -> Vec<Assessment> {
        self.live.vehicles(after, limit)
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.live.len()
    }

    /// `None` where the vehicle is unknown.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn readings(&self, query: &ReadingsQuery) -> Result<Option<ReadingsPage>, ArchiveError> {
        self.archive.readings(query).await
    }

    /// # Errors
    /// Where the archive does not answer.
    pub async fn quarantine(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        self.archive.quarantine(query).await
    }

    /// Messages per reason since the archive began, those that are no longer kept included.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn quarantine_counts(&self) -> Result<Vec<(String, u64)>, ArchiveError> {
        self.archive.quarantine_counts().await
    }

    /// # Errors
    /// Where the archive does not answer.
    pub async fn quarantined_payload(&self, id: i64) -> Result<Option<ExportedPayload>, ArchiveError> {
        self.archive.quarantined_payload(id).await
    }
}

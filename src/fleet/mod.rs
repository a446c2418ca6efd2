//! What the dashboard may ask about the fleet: live state and archive, joined. Answers in domain forms; JSON is the dashboard's.

mod alerts;
mod fences;
pub mod filter;
mod state;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::alerts::{CommandFailed, Commands, MAX_NAME_CHARACTERS, MAX_NOTE_CHARACTERS, text_of_person};
pub use self::fences::{Fences, FencesRefused};
pub use self::state::StateCounts;

use self::state::state_of;
use crate::domain::{Alert, Assessment, SignalTable, Timestamp, VehicleId, VehicleRecord, VehicleState};
use crate::live::{AlertFeed, Cursor, LiveState, OpenAlerts, Watch};
use crate::settings;
use crate::storage::{
    ArchiveError, BucketsPage, BucketsQuery, ExportedPayload, QuarantinePage, QuarantineQuery, ReadingsPage, ReadingsQuery,
    RegisterError, SharedArchive, VehicleRegister,
};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    live: Arc<LiveState>,
    open_alerts: Arc<OpenAlerts>,
    alert_feed: Arc<AlertFeed>,
    commands: Commands,
    archive: SharedArchive,
    register: VehicleRegister,
    table: Arc<SignalTable>,
    settings: settings::Fleet,
}

/// What [`Fleet`] joins.
#[derive(Debug, Clone)]
pub struct FleetParts {
    pub live: Arc<LiveState>,
    pub open_alerts: Arc<OpenAlerts>,
    /// Their changes.
    pub alert_feed: Arc<AlertFeed>,
    /// To the lanes.
    pub commands: Commands,
    pub archive: SharedArchive,
    pub register: VehicleRegister,
    pub table: Arc<SignalTable>,
    pub settings: settings::Fleet,
}

/// A vehicle that spoke, that somebody registered, or both.
#[derive(Debug, Clone)]
pub struct Vehicle {
    pub vehicle_id: VehicleId,
    /// `None`: it has not spoken yet.
    pub newest: Option<Arc<Assessment>>,
    pub state: VehicleState,
    /// Oldest first.
    pub open_alerts: Vec<Arc<Alert>>,
    /// `None`: nobody registered it.
    pub record: Option<Arc<VehicleRecord>>,
}

#[derive(Debug, Clone)]
pub struct VehiclesPage {
    pub vehicles: Vec<Vehicle>,
    /// Go on behind this one.
    pub next: Option<VehicleId>,
}

impl Fleet {
    #[must_use]
    pub fn new(parts: FleetParts) -> Self {
        let FleetParts { live, open_alerts, alert_feed, commands, archive, register, table, settings } = parts;
        Self { live, open_alerts, alert_feed, commands, archive, register, table, settings }
    }

    #[must_use]
    pub fn table(&self) -> &SignalTable {
        &self.table
    }

    #[must_use]
    pub const fn settings(&self) -> &settings::Fleet {
        &self.settings
    }

    #[must_use]
    pub const fn alert_feed(&self) -> &Arc<AlertFeed> {
        &self.alert_feed
    }

    /// What has changed behind `cursor`; see [`LiveState::changes`].
    #[must_use]
    pub fn changes(&self, cursor: &mut Cursor, limit: usize, now: Timestamp) -> Vec<(Arc<Assessment>, VehicleState)> {
        let changed = self.live.changes(cursor, limit).into_iter();
        let with_state = changed.map(|newest| {
            let has_alert = self.open_alerts.has_any(&newest.reading.vehicle_id);
            let state = state_of(&newest, has_alert, now, &self.settings);
            (newest, state)
        });
        with_state.collect()
    }

    /// From memory alone.
    #[must_use]
    pub fn live_vehicle(&self, vehicle_id: &VehicleId, now: Timestamp) -> Option<Vehicle> {
        let newest = self.live.vehicle(vehicle_id)?;
        Some(self.shown(vehicle_id.clone(), Some(newest), now))
    }

    /// Waits for changes of one vehicle.
    #[must_use]
    pub fn watch(&self, vehicle_id: &VehicleId) -> Watch {
        self.live.watch(vehicle_id)
    }

    /// How long until a vehicle that stays silent is in another state. `None`: it stays in this one.
    #[must_use]
    pub fn next_change_by_silence(&self, vehicle_id: &VehicleId, now: Timestamp) -> Option<Duration> {
        let silence = now.since(self.live.vehicle(vehicle_id)?.reading.received_at);
        let after = [self.settings.stale_after.duration(), self.settings.offline_after.duration()];
        after.into_iter().filter(|after| silence < *after).find_map(|after| after.checked_sub(silence))
    }

    /// Fills live state with what the archive knows: vehicles that were silent since this process began stay on the map.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn recall(&self) -> Result<usize, ArchiveError> {
        const PAGE: u32 = 1_000;
        let (mut after, mut recalled) = (None, 0);
        loop {
            let ids = self.archive.vehicle_ids(after.as_ref(), PAGE).await?;
            let Some(last) = ids.last().cloned() else { return Ok(recalled) };
            let silent: Vec<VehicleId> = ids.into_iter().filter(|id| self.live.vehicle(id).is_none()).collect();
            if !silent.is_empty() {
                let newest = self.archive.newest_readings(&silent).await?;
                recalled += newest.len();
                self.live.recall(newest);
            }
            after = Some(last);
        }
    }

    /// `None`: never heard of.
    ///
    /// # Errors
    /// Where the archive is asked, since live state does not know the vehicle, and does not answer.
    pub async fn vehicle(&self, vehicle_id: &VehicleId, now: Timestamp) -> Result<Option<Vehicle>, ArchiveError> {
        let newest = match self.live.vehicle(vehicle_id) {
            Some(newest) => Some(newest),
            // After a restart, until it speaks again.
            None => self.archive.newest_readings(std::slice::from_ref(vehicle_id)).await?.pop().map(Arc::new),
        };
        let is_known = newest.is_some() || self.register.is_registered(vehicle_id);
        Ok(is_known.then(|| self.shown(vehicle_id.clone(), newest, now)))
    }

    /// In order of their ids, behind `after`.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn vehicles(&self, after: Option<&VehicleId>, limit: u32, now: Timestamp) -> Result<VehiclesPage, ArchiveError> {
        let live = self.live.vehicles(after, limit as usize);
        let archived = self.archive.vehicle_ids(after, limit).await?;
        let mut ids: Vec<VehicleId> = live.iter().map(|newest| newest.reading.vehicle_id.clone()).chain(archived).collect();
        ids.sort_unstable();
        ids.dedup();
        let is_full = ids.len() >= limit as usize;
        ids.truncate(limit as usize);
        let is_live = |id: &&VehicleId| live.binary_search_by(|newest| newest.reading.vehicle_id.cmp(id)).is_ok();
        let silent: Vec<VehicleId> = ids.iter().filter(|id| !is_live(id)).cloned().collect();
        let archived = if silent.is_empty() { Vec::new() } else { self.archive.newest_readings(&silent).await? };
        let last = ids.last().cloned();
        let archived = archived.into_iter().map(Arc::new);
        let mut newest: HashMap<VehicleId, Arc<Assessment>> =
            live.into_iter().chain(archived).map(|newest| (newest.reading.vehicle_id.clone(), newest)).collect();
        let vehicles = ids.into_iter().map(|id| {
            let newest = newest.remove(&id);
            self.shown(id, newest, now)
        });
        let vehicles = vehicles.collect();
        Ok(VehiclesPage { vehicles, next: last.filter(|_| is_full) })
    }

    /// `None`: never heard of.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn readings(&self, query: &ReadingsQuery) -> Result<Option<ReadingsPage>, ArchiveError> {
        match self.archive.readings(query).await? {
            // Seen, and not archived yet: there is such a vehicle.
            None if self.live.vehicle(&query.vehicle_id).is_some() => Ok(Some(ReadingsPage { readings: Vec::new(), next: None })),
            page => Ok(page),
        }
    }

    /// `None`: never heard of.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn buckets(&self, query: &BucketsQuery) -> Result<Option<BucketsPage>, ArchiveError> {
        match self.archive.buckets(query).await? {
            None if self.live.vehicle(&query.vehicle_id).is_some() => Ok(Some(BucketsPage::default())),
            page => Ok(page),
        }
    }

    /// # Errors
    /// Where the archive does not answer.
    pub async fn quarantine(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        self.archive.quarantine(query).await
    }

    /// All that were ever refused, by reason.
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

    /// Registers all of them or, with an error, none. Returns how many are new.
    ///
    /// # Errors
    /// Where the archive does not take them, or there are too many.
    pub async fn register(&self, records: Vec<(VehicleId, VehicleRecord)>, at: Timestamp) -> Result<usize, RegisterError> {
        self.register.put(records, at).await
    }

    /// How many of the vehicles in live state are in which state.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> StateCounts {
        let mut counts = StateCounts::default();
        let with_alerts = self.open_alerts.vehicles();
        self.live.for_each(|newest| {
            let has_alert = with_alerts.contains(&newest.reading.vehicle_id);
            counts.add(state_of(newest, has_alert, now, &self.settings));
        });
        counts
    }

    fn shown(&self, vehicle_id: VehicleId, newest: Option<Arc<Assessment>>, now: Timestamp) -> Vehicle {
        let open_alerts = self.open_alerts.of_vehicle(&vehicle_id);
        let has_alert = !open_alerts.is_empty();
        let state = newest.as_ref().map_or(VehicleState::Offline, |newest| state_of(newest, has_alert, now, &self.settings));
        Vehicle { record: self.register.get(&vehicle_id), vehicle_id, newest, state, open_alerts }
    }
}

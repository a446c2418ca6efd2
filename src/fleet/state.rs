//! How a vehicle is, judged by its newest reading and our clock.

use crate::domain::{Assessment, Ignition, Timestamp, VehicleState};
use crate::settings;

/// Silence is measured by our clock, since the vehicle's may be wrong.
pub(super) fn state_of(newest: &Assessment, has_alert: bool, now: Timestamp, settings: &settings::Fleet) -> VehicleState {
    let silence = now.since(newest.reading.received_at);
    let is_parked = matches!(newest.reading.ignition, Some(Ignition::Off | Ignition::Lock));
    match silence {
        _ if is_parked => VehicleState::Parked,
        silence if silence >= settings.offline_after.duration() => VehicleState::Offline,
        silence if silence >= settings.stale_after.duration() => VehicleState::Stale,
        _ if has_alert => VehicleState::Alert,
        _ => VehicleState::Ok,
    }
}

/// Vehicles by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCounts {
    pub ok: u64,
    pub alert: u64,
    pub parked: u64,
    pub stale: u64,
    pub offline: u64,
}

impl StateCounts {
    #[must_use]
    pub const fn total(self) -> u64 {
        self.ok + self.alert + self.parked + self.stale + self.offline
    }

    pub(super) const fn add(&mut self, state: VehicleState) {
        match state {
            VehicleState::Ok => self.ok += 1,
            VehicleState::Alert => self.alert += 1,
            VehicleState::Parked => self.parked += 1,
            VehicleState::Stale => self.stale += 1,
            VehicleState::Offline => self.offline += 1,
        }
    }
}

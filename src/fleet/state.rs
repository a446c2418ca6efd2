//! How a vehicle is, judged by its newest reading and our clock.

use crate::domain::{Assessment, Ignition, Timestamp};
use crate::settings;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VehicleState {
    Ok,
    /// It reports, and an alert of it is open.
    Alert,
    /// Its ignition was off when it last spoke: silence is no news then, or every night would be a storm.
    Parked,
    /// Silent for a while.
    Stale,
    /// Silent for long.
    Offline,
}

impl VehicleState {
    /// Silence is measured by our clock, since the vehicle's may be wrong.
    #[must_use]
    pub fn of(newest: &Assessment, has_alert: bool, now: Timestamp, settings: &settings::Fleet) -> Self {
        let silence = now.since(newest.reading.received_at);
        let is_parked = matches!(newest.reading.ignition, Some(Ignition::Off | Ignition::Lock));
        match silence {
            _ if is_parked => Self::Parked,
            silence if silence >= settings.offline_after.duration() => Self::Offline,
            silence if silence >= settings.stale_after.duration() => Self::Stale,
            _ if has_alert => Self::Alert,
            _ => Self::Ok,
        }
    }

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Alert => "alert",
            Self::Parked => "parked",
            Self::Stale => "stale",
            Self::Offline => "offline",
        }
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

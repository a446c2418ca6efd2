//! Everything that a reading is checked against, besides models: one immutable snapshot with a revision. Opens no alerts: `alerting`.

use super::bytes::{ByteReader, Damaged};
use super::claim::Claim;
use super::vehicle::Vehicle;
use super::window::Window;
use crate::domain::{Reading, Timestamp, VehicleRecord};

/// Exchanged as a whole between two batches.
#[derive(Debug, Default)]
pub struct Checks {
    /// Of the configuration; stands beside every assessment.
    pub revision: u64,
}

/// One reading where it stands in its vehicle's window.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    pub window: &'a Window,
    pub step: usize,
    pub reading: &'a Reading,
    /// `None`: nobody registered the vehicle.
    pub record: Option<&'a VehicleRecord>,
}

/// What checks remember of one vehicle.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckMemory {}

impl Checks {
    /// Appends what rules and fences say. Only for readings that move the window forward.
    pub fn check(&self, at: &At<'_>, memory: &mut CheckMemory, claims: &mut Vec<Claim>) {
        let _ = (at, memory, claims);
    }

    /// For whoever wants to know what models find alone.
    #[must_use]
    pub fn without_rules(&self) -> Self {
        Self { revision: self.revision }
    }

    /// Whether nothing came for longer than this vehicle's silence may last, by our clock; not of a vehicle that is parked.
    #[must_use]
    pub fn silence(&self, vehicle: &Vehicle, now: Timestamp) -> Option<Claim> {
        let _ = (vehicle, now);
        None
    }
}

impl CheckMemory {
    pub fn encode(&self, _out: &mut Vec<u8>) {}

    /// # Errors
    /// Where the bytes are not what this version writes.
    pub fn decode(_from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        Ok(Self::default())
    }
}

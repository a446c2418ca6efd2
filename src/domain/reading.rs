//! One message of one vehicle about one moment, decoded and checked. Does not decode: `wire`.

use xxhash_rust::xxh3::Xxh3;

use super::codes::codes;
use super::{Position, SignalValues, Timestamp, VehicleId};

#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub vehicle_id: VehicleId,
    /// The vehicle's clock: orders windows.
    pub recorded_at: Timestamp,
    /// Our clock: measures latency.
    pub received_at: Timestamp,
    /// Second and third part of the identity with `recorded_at`; see [`Reading::compute_fingerprint`].
    pub fingerprint: u64,
    pub boot_id: Option<u64>,
    pub sequence: Option<u64>,
    pub position: Option<Position>,
    /// In full precision; `signals` has it rounded to f32.
    pub odometer_m: Option<f64>,
    pub signals: SignalValues,
    pub ignition: Option<Ignition>,
    pub dtcs: Vec<Box<str>>,
    /// Signals outside the table, ordered by name, each name once.
    pub extras: Vec<(Box<str>, f64)>,
    pub rejected: Vec<RejectedSignal>,
}

/// VSS `LowVoltageSystemState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignition {
    Undefined,
    Lock,
    Off,
    Acc,
    On,
    Start,
}

/// A signal that came with a reading and could not be believed; the reading stays valid.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectedSignal {
    pub name: Box<str>,
    pub value: f64,
    pub rejection: Rejection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    NotFinite,
    OutOfRange,
    /// More undeclared signals than a reading may carry, or a name that is too long.
    TooManyExtras,
}

codes!(Ignition { Undefined = "undefined", Lock = "lock", Off = "off", Acc = "acc", On = "on", Start = "start" });

impl Ignition {
    /// Takes the VSS value in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.code().eq_ignore_ascii_case(name))
    }

    /// Whether the vehicle is in use: not parked.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On | Self::Start)
    }
}

codes!(Rejection { NotFinite = "not_finite", OutOfRange = "out_of_range", TooManyExtras = "too_many_extras" });

impl Reading {
    /// With nothing in it yet, and received when it was recorded.
    #[must_use]
    pub fn bare(vehicle_id: VehicleId, recorded_at: Timestamp) -> Self {
        Self {
            vehicle_id,
            recorded_at,
            received_at: recorded_at,
            fingerprint: 0,
            boot_id: None,
            sequence: None,
            position: None,
            odometer_m: None,
            signals: SignalValues::default(),
            ignition: None,
            dtcs: Vec::new(),
            extras: Vec::new(),
            rejected: Vec::new(),
        }
    }

    /// XXH3-64 over the decoded fields in canonical order, so that the same reading in JSON and in protobuf has one identity.
    /// Neither the way in nor `received_at` takes part.
    #[must_use]
    pub fn compute_fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        let mut field = |tag: u8, bytes: &[u8]| {
            hasher.update(&[tag]);
            hasher.update(bytes);
        };
        field(1, &self.recorded_at.as_micros().to_le_bytes());
        if let Some(boot_id) = self.boot_id {
            field(2, &boot_id.to_le_bytes());
        }
        if let Some(sequence) = self.sequence {
            field(3, &sequence.to_le_bytes());
        }
        if let Some(position) = &self.position {
            field(4, &position.latitude().to_le_bytes());
            field(5, &position.longitude().to_le_bytes());
            let details = [(6, position.altitude_m), (7, position.heading_deg), (8, position.accuracy_m)];
            for (tag, detail) in details {
                if let Some(detail) = detail {
                    field(tag, &detail.to_le_bytes());
                }
            }
        }
        if let Some(odometer_m) = self.odometer_m {
            field(9, &odometer_m.to_le_bytes());
        }
        if let Some(ignition) = self.ignition {
            field(10, &[ignition as u8]);
        }
        for code in &self.dtcs {
            field(11, code.as_bytes());
        }
        for (name, value) in &self.extras {
            field(12, name.as_bytes());
            field(13, &value.to_le_bytes());
        }
        for rejected in &self.rejected {
            field(14, rejected.name.as_bytes());
            #[expect(clippy::cast_possible_truncation, reason = "protobuf carried it as f32, JSON as f64; both must agree")]
            field(15, &(rejected.value as f32).to_le_bytes());
        }
        for (id, value) in self.signals.iter() {
            hasher.update(&[128 + u8::try_from(id.index()).expect("below 64")]);
            hasher.update(&value.to_le_bytes());
        }
        hasher.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signal;

    pub(crate) fn a_reading() -> Reading {
        let mut signals = SignalValues::default();
        signals.set(signal::SPEED, 63.2);
        Reading {
            received_at: Timestamp::from_micros(2),
            sequence: Some(4),
            signals,
            ignition: Some(Ignition::On),
            ..Reading::bare(VehicleId::new("truck-7").unwrap(), Timestamp::from_micros(1))
        }
    }

    #[test]
    fn the_fingerprint_sees_content_and_not_the_way_in() {
        let first = a_reading();
        let mut again = first.clone();
        again.received_at = Timestamp::from_micros(99);
        assert_eq!(first.compute_fingerprint(), again.compute_fingerprint());
        again.signals.set(signal::SPEED, 63.3);
        assert_ne!(first.compute_fingerprint(), again.compute_fingerprint());
    }

    #[test]
    fn ignition_takes_vss_values_in_any_case() {
        assert_eq!(Ignition::from_name("ON"), Some(Ignition::On));
        assert_eq!(Ignition::from_name("running"), None);
    }
}

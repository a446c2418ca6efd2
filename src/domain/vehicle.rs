//! Who sent it: the id of a vehicle and its slot; and how it is.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::codes::codes;

/// Number of slots, fixed for ever: lanes, checkpoints and log partitions own ranges of them.
pub const SLOTS: u16 = 1024;

const MAX_ID_LENGTH: usize = 64;

/// `[A-Za-z0-9_-]{1,64}`; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VehicleId(Arc<str>);

/// How a vehicle is, by its newest reading and our clock: `fleet` judges.
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

codes!(VehicleState { Ok = "ok", Alert = "alert", Parked = "parked", Stale = "stale", Offline = "offline" });

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VehicleIdError {
    #[error("a vehicle id has 1 to 64 characters, this one has {0}")]
    Length(usize),
    #[error("a vehicle id consists of A-Z, a-z, 0-9, _ and -; this one contains {0:?}")]
    Character(char),
}

impl VehicleId {
    /// # Errors
    /// Where `id` is not `[A-Za-z0-9_-]{1,64}`.
    pub fn new(id: &str) -> Result<Self, VehicleIdError> {
        if id.is_empty() || id.len() > MAX_ID_LENGTH {
            return Err(VehicleIdError::Length(id.chars().count()));
        }
        let is_allowed = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        match id.chars().find(|character| !is_allowed(character)) {
            Some(character) => Err(VehicleIdError::Character(character)),
            None => Ok(Self(Arc::from(id))),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot::of(self.as_str())
    }
}

impl Borrow<str> for VehicleId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for VehicleId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for VehicleId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl serde::Serialize for VehicleId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `XXH3-64(vehicle_id) % 1024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of any text, also of one that is no valid vehicle id: quarantined messages need a lane too.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the remainder of a division by 1024 fits 16 bits")]
    pub fn of(vehicle_id: &str) -> Self {
        Self((xxhash_rust::xxh3::xxh3_64(vehicle_id.as_bytes()) % u64::from(SLOTS)) as u16)
    }

    /// `None` where `number` is not below [`SLOTS`].
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        (number < SLOTS).then_some(Self(number))
    }

    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Which of `shares` equal ranges of slots this one is in.
    #[must_use]
    pub fn share_of(self, shares: usize) -> usize {
        usize::from(self.0) * shares / usize::from(SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_outside_the_alphabet_are_refused_with_the_character() {
        assert_eq!(VehicleId::new("truck 7"), Err(VehicleIdError::Character(' ')));
        assert_eq!(VehicleId::new("Straßenbahn"), Err(VehicleIdError::Character('ß')));
        assert_eq!(VehicleId::new(""), Err(VehicleIdError::Length(0)));
        assert_eq!(VehicleId::new(&"x".repeat(65)), Err(VehicleIdError::Length(65)));
        assert!(VehicleId::new("truck-7_b").is_ok());
    }

    #[test]
    fn the_slot_of_a_vehicle_never_changes() {
        // From the Python package xxhash: xxhash.xxh3_64_intdigest(id) % 1024.
        for (id, slot) in [("truck-7", 101), ("van_42", 52), ("0", 85)] {
            assert_eq!(VehicleId::new(id).unwrap().slot().number(), slot, "{id}");
        }
    }
}

//! What people say about a vehicle, as opposed to what it says itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const MAX_LABEL_LENGTH: usize = 64;
const MAX_GROUPS: usize = 32;
/// More than any vehicle's tank in litres or battery in kWh; catches wrong units.
const MAX_CAPACITY: f64 = 10_000.0;
const MAX_MAKE_LENGTH: usize = 64;

/// A vehicle that nobody registered has the default one: class `unknown` and nothing else.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VehicleRecord {
    /// What models and rules select by.
    pub class: Class,
    pub powertrain: Option<Label>,
    /// They limit what a person sees.
    pub groups: Vec<Label>,
    pub tank_l: Option<f64>,
    pub battery_kwh: Option<f64>,
    pub make: Option<String>,
}

/// `[A-Za-z0-9_-]{1,64}`, such as `heavy_truck`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$")]
pub struct Label(Box<str>);

/// A label, `unknown` until somebody says better.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Class(Label);

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VehicleRecordError {
    #[error("{0:?} is no label; write 1 to 64 of A-Z, a-z, 0-9, _ and -")]
    Label(String),
    #[error("{field} is {value}; it must be above 0 and at most {MAX_CAPACITY}")]
    Capacity { field: &'static str, value: f64 },
    #[error("{0} groups are too many; at most {MAX_GROUPS} are kept")]
    Groups(usize),
    #[error("the make has {0} characters; at most {MAX_MAKE_LENGTH} are kept")]
    Make(usize),
}

impl VehicleRecord {
    /// # Errors
    /// Where a value is not plausible.
    pub fn checked(mut self) -> Result<Self, VehicleRecordError> {
        for (field, value) in [("tank_l", self.tank_l), ("battery_kwh", self.battery_kwh)] {
            if let Some(value) = value.filter(|value| !(*value > 0.0 && *value <= MAX_CAPACITY)) {
                return Err(VehicleRecordError::Capacity { field, value });
            }
        }
        self.groups.sort_unstable();
        self.groups.dedup();
        if self.groups.len() > MAX_GROUPS {
            return Err(VehicleRecordError::Groups(self.groups.len()));
        }
        let make_length = self.make.as_ref().map_or(0, |make| make.chars().count());
        if make_length > MAX_MAKE_LENGTH {
            return Err(VehicleRecordError::Make(make_length));
        }
        Ok(self)
    }
}

impl Label {
    /// # Errors
    /// Where `text` is not `[A-Za-z0-9_-]{1,64}`.
    pub fn new(text: &str) -> Result<Self, VehicleRecordError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_label = !text.is_empty() && text.len() <= MAX_LABEL_LENGTH && text.bytes().all(is_allowed);
        if is_label { Ok(Self(text.into())) } else { Err(VehicleRecordError::Label(text.chars().take(80).collect())) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Class {
    #[must_use]
    pub const fn new(label: Label) -> Self {
        Self(label)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for Class {
    fn default() -> Self {
        Self(Label("unknown".into()))
    }
}

impl TryFrom<String> for Label {
    type Error = VehicleRecordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vehicle_that_nobody_registered_is_of_unknown_class() {
        assert_eq!(VehicleRecord::default().class.as_str(), "unknown");
    }

    #[test]
    fn what_is_not_plausible_is_refused_with_its_value() {
        let record = VehicleRecord { tank_l: Some(80_000.0), ..VehicleRecord::default() };
        assert_eq!(record.checked(), Err(VehicleRecordError::Capacity { field: "tank_l", value: 80_000.0 }));
        let record = VehicleRecord { battery_kwh: Some(f64::NAN), ..VehicleRecord::default() };
        assert!(record.checked().is_err());
        assert_eq!(Label::new("north east"), Err(VehicleRecordError::Label("north east".to_owned())));
    }

    #[test]
    fn groups_are_kept_once_and_in_order() {
        let groups = ["b", "a", "b"].map(|group| Label::new(group).unwrap()).to_vec();
        let record = VehicleRecord { groups, ..VehicleRecord::default() }.checked().unwrap();
        assert_eq!(record.groups, ["a", "b"].map(|group| Label::new(group).unwrap()));
    }
}

//! Rules.

pub const SILENT_VEHICLE: &str = "silent_vehicle";

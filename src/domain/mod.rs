//! The words of the product as types: no async, no I/O, no clock. Times are arguments.

mod alert;
mod assessment;
mod codes;
mod delivery;
pub mod fence;
mod finding;
mod position;
mod quality;
mod quarantine;
mod reading;
pub mod signal;
mod time;
mod vehicle;
mod vehicle_record;

pub use alert::{Action, Alert, AlertEvent, AlertId, AlertIdError, Change, Command, Condition, Handling, OpenedBy, Verdict};
pub use assessment::{Assessment, ModelScore, NotScored, Timing};
pub use delivery::{Delivery, Outcome, Receipt};
pub use fence::{Fence, FenceId};
pub use finding::{AlertKey, Explained, Finding, Severity};
pub use position::{Position, PositionError};
pub use quality::{Flaw, PositionVerdict, Quality};
pub use quarantine::{MAX_KEPT_PAYLOAD_BYTES, Quarantined, Reason, Source};
pub use reading::{Ignition, Reading, RejectedSignal, Rejection};
pub use signal::{Signal, SignalId, SignalTable, SignalValues};
pub use time::{Timestamp, TimestampError};
pub use vehicle::{SLOTS, Slot, VehicleId, VehicleIdError, VehicleState};
pub use vehicle_record::{Class, Label, VehicleRecord, VehicleRecordError};

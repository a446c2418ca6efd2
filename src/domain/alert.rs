//! An alert: an episode of one vehicle and one key, and what people do about it. Opens and closes nothing: `analytics::alerting`.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::Xxh3;

use super::codes::codes;
use super::{AlertKey, Explained, Severity, Timestamp, VehicleId};

/// XXH3-64 of vehicle, key and `opened_at`: the same episode has the same id wherever it is computed. 16 hexadecimal digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an alert id has 16 hexadecimal digits, {0:?} has not")]
pub struct AlertIdError(String);

/// One episode as of its last change.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub alert_id: AlertId,
    pub vehicle_id: VehicleId,
    pub key: AlertKey,
    /// The worst of the episode.
    pub severity: Severity,
    pub condition: Condition,
    pub handling: Handling,
    /// Event time of the first reading of the run that opened it.
    pub opened_at: Timestamp,
    /// Event time of the newest reading that raised it.
    pub last_seen_at: Timestamp,
    /// Event time at which it was calm for long enough.
    pub closed_at: Option<Timestamp>,
    /// Readings that raised it.
    pub count: u32,
    /// For people: what, with value and limit.
    pub summary: Box<str>,
    /// Worst value so far, in the unit of the check, and the limit that it was compared with.
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// The highest calibrated score so far, where a model spoke.
    pub score: Option<f32>,
    /// Largest contribution first.
    pub explanation: Vec<Explained>,
    /// The reading that opened it, as the lane saw it: [`crate::domain::Assessment::arrival`], and of which configuration.
    pub opened_by: OpenedBy,
    pub acknowledged_by: Option<Box<str>>,
    pub assigned_to: Option<Box<str>>,
    /// Nobody is notified before; by our clock.
    pub silenced_until: Option<Timestamp>,
    pub verdict: Option<Verdict>,
    pub note: Option<Box<str>>,
    /// It was over before we heard of it: stored, and nobody is notified.
    pub is_history: bool,
    /// Rises with every change; with the id it names an event.
    pub revision: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedBy {
    pub recorded_at: Timestamp,
    pub fingerprint: u64,
    pub arrival: u64,
    /// Of the configuration.
    pub configuration: u64,
}

/// What the vehicle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Active,
    Cleared,
    /// The vehicle is silent: nobody knows.
    Unknown,
}

/// What people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    New,
    Acknowledged,
    Assigned,
    Silenced,
    Resolved,
}

/// What a person found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Confirmed,
    /// Mutes the key for this vehicle until it is calm.
    FalseAlarm,
}

/// Why an alert changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Opened,
    /// More severe than before.
    Worsened,
    /// Seen again; written now and then, not with every reading.
    Updated,
    Cleared,
    /// Its vehicle fell silent, or speaks again.
    BecameUnknown,
    BecameActive,
    Acknowledged,
    Assigned,
    Silenced,
    SilenceEnded,
    Resolved,
}

/// An alert after one change. Its id is `{alert_id}-{revision}`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertEvent {
    pub change: Change,
    /// Our clock.
    pub at: Timestamp,
    pub alert: Alert,
}

/// What a person wants done to an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub vehicle_id: VehicleId,
    pub alert_id: AlertId,
    pub action: Action,
    /// Who says so.
    pub by: Box<str>,
    pub note: Option<Box<str>>,
    /// Our clock.
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Acknowledge,
    Assign { to: Box<str> },
    Silence { until: Timestamp },
    Resolve { verdict: Option<Verdict> },
}

codes!(Condition { Active = "active", Cleared = "cleared", Unknown = "unknown" });
codes!(Handling { New = "new", Acknowledged = "acknowledged", Assigned = "assigned", Silenced = "silenced", Resolved = "resolved" });
codes!(Verdict { Confirmed = "confirmed", FalseAlarm = "false_alarm" });
codes!(Change {
    Opened = "opened",
    Worsened = "worsened",
    Updated = "updated",
    Cleared = "cleared",
    BecameUnknown = "became_unknown",
    BecameActive = "became_active",
    Acknowledged = "acknowledged",
    Assigned = "assigned",
    Silenced = "silenced",
    SilenceEnded = "silence_ended",
    Resolved = "resolved",
});

impl AlertId {
    #[must_use]
    pub fn of(vehicle_id: &VehicleId, key: &AlertKey, opened_at: Timestamp) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(vehicle_id.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(key.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(&opened_at.as_micros().to_le_bytes());
        Self(hasher.digest())
    }

    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for AlertId {
    type Err = AlertIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| AlertIdError(text.chars().take(64).collect()))
    }
}

impl Alert {
    /// Its condition may still change, or somebody still has to handle it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.condition != Condition::Cleared
    }
}

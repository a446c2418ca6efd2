//! What rules, fences and models tell the alert machine about one reading, before anything is decided: `alerting`.

use std::time::Duration;

use crate::domain::{AlertKey, Explained, Finding, Severity};

/// One check's word on one reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub key: AlertKey,
    pub level: Level,
    pub severity: Severity,
    pub persistence: Persistence,
    /// What was compared, in the unit of the check.
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// For people, such as "coolant 121 °C, limit 115 °C"; empty below [`Level::Raised`].
    pub summary: Box<str>,
    /// Calibrated, where a model speaks.
    pub score: Option<f32>,
    /// Largest contribution first; empty where value and limit say it all.
    pub explanation: Vec<Explained>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something that it needs is missing, or the vehicle is in a state that it does not judge.
    NotAssessed,
    Calm,
    /// Between the limit that closes an alert and the one that opens it.
    Holding,
    Raised,
}

/// When claims become an alert, and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// Opens when `raised` of the last `of` assessed readings are raised. At most 64.
    pub raised: u8,
    pub of: u8,
    /// Closes when no reading was raised or holding for this long, in event time, and at least `calm_readings` were calm.
    pub calm_for: Duration,
    pub calm_readings: u8,
}

impl Claim {
    /// What is kept with the reading; `None` where it says nothing.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        (self.level >= Level::Holding).then(|| Finding {
            key: self.key.clone(),
            severity: self.severity,
            is_raised: self.level == Level::Raised,
            value: self.value,
            limit: self.limit,
        })
    }
}

//! A reading with what was made of it on arrival.

use std::sync::Arc;

use super::codes::codes;
use super::{Finding, Quality, Reading};

#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    pub reading: Reading,
    /// Rises per slot: the order in which a lane saw the readings.
    pub arrival: u64,
    pub timing: Timing,
    pub scores: Vec<ModelScore>,
    /// Why no active model scored it; `None` where one did.
    pub not_scored: Option<NotScored>,
    pub quality: Quality,
    /// Readings that its vehicle had numbered and that had not come by then.
    pub lost_before_us: u64,
    /// Of rules, fences and models; only those at or beyond their limits.
    pub findings: Vec<Finding>,
    /// Of the configuration that assessed it.
    pub revision: u64,
}

/// What one model says about one reading.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelScore {
    pub model: Arc<str>,
    pub version: Arc<str>,
    /// Calibrated: 0 to 1, 1 = most anomalous.
    pub score: f32,
    /// The model's own output.
    pub raw: f32,
    /// Share of held-out normal readings with a raw score at least this high.
    pub tail_probability: f64,
}

/// How a reading's clock relates to its vehicle's newest reading and to ours (ARCHITECTURE, event time).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    InOrder,
    /// Older than the vehicle's newest reading.
    Late,
    /// In order, but more than 5 minutes on the way.
    Delayed,
    /// More than 2 minutes ahead of our clock: stored and flagged, moves nothing.
    Future,
}

/// Why a reading has no score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotScored {
    NoModel,
    Future,
    /// The vehicle's clock stands: nobody knows when it was.
    ClockFrozen,
    /// Late, and older than what the window still holds.
    BeforeWindow,
    TooFewReadings,
    TooManyMissing,
    GapTooLong,
    ModelFailed,
    NotApplicable,
}

#[cfg(test)]
impl Assessment {
    /// Of a reading in order that nothing was said about.
    pub(crate) fn bare(reading: Reading, arrival: u64) -> Self {
        Self {
            reading,
            arrival,
            timing: Timing::InOrder,
            scores: Vec::new(),
            not_scored: None,
            quality: Quality::default(),
            lost_before_us: 0,
            findings: Vec::new(),
            revision: 0,
        }
    }
}

impl Assessment {
    /// The maximum over its models.
    #[must_use]
    pub fn score(&self) -> Option<f32> {
        self.scores.iter().map(|score| score.score).reduce(f32::max)
    }
}

codes!(Timing { InOrder = "in_order", Late = "late", Delayed = "delayed", Future = "future" });

codes!(NotScored {
    NoModel = "no_model",
    Future = "future",
    ClockFrozen = "clock_frozen",
    BeforeWindow = "before_window",
    TooFewReadings = "too_few_readings",
    TooManyMissing = "too_many_missing",
    GapTooLong = "gap_too_long",
    ModelFailed = "model_failed",
    NotApplicable = "not_applicable",
});

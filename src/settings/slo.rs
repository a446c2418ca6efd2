//! What the operator promises: targets and the share of events that has to meet them. Counts nothing: `crate::slo`.

use serde::{Deserialize, Serialize};

use super::Interval;

/// Objectives over 30 days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    /// From a reading's arrival until its sender can be told that it is kept.
    pub durable: TimedObjective,
    /// From a reading's arrival until rules, fences and models have judged it.
    pub scored: TimedObjective,
    /// From the arrival of the reading that opens an alert until the alert is shown.
    pub alerted: TimedObjective,
    /// Messages that are answered, not turned away for want of room or left waiting beyond `mqtt.ack_timeout`.
    pub available: ShareObjective,
    /// Acknowledged readings that are in no damaged place of the journal.
    pub kept: ShareObjective,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedObjective {
    /// Share of good events.
    pub objective: f64,
    /// Good is what takes no longer.
    pub within: Interval,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareObjective {
    /// Share of good events.
    pub objective: f64,
}

impl Slo {
    pub(super) fn problems(&self) -> Vec<String> {
        let Self { durable, scored, alerted, available, kept } = self;
        let shares = [
            ("durable", durable.objective),
            ("scored", scored.objective),
            ("alerted", alerted.objective),
            ("available", available.objective),
            ("kept", kept.objective),
        ];
        // At 1 there is no error budget, and a burn rate would divide by nothing.
        let wrong = shares.into_iter().filter(|(_, share)| !(*share > 0.0 && *share < 1.0));
        wrong.map(|(name, share)| format!("`slo.{name}.objective` is {share}; write a share above 0 and below 1")).collect()
    }
}

/// Loosely what the first measurements showed at 333 readings/s, with room for a slower disk.
impl Default for Slo {
    fn default() -> Self {
        let timed = |objective, millis| TimedObjective { objective, within: Interval::from_millis(millis) };
        Self {
            durable: timed(0.99, 250),
            scored: timed(0.99, 100),
            alerted: timed(0.99, 1_000),
            available: ShareObjective { objective: 0.999 },
            kept: ShareObjective { objective: 0.999_999 },
        }
    }
}

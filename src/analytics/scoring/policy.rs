//! When the score of a model raises: limits of the raw score that its contract brings, else tail probabilities from the settings.

use crate::analytics::claim::{Level, Persistence};
use crate::analytics::contract::{AlertLimits, Contract};
use crate::domain::Severity;
use crate::settings;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policy {
    limits: Limits,
    pub severity: Severity,
    pub persistence: Persistence,
}

#[derive(Debug, Clone, PartialEq)]
enum Limits {
    Raw(AlertLimits),
    TailProbability { open: f64, close: f64 },
    Never(NoAlerts),
}

/// A tail probability below what the held-out readings of a calibration can show is reached by none or by all of what is beyond them.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "its calibration tells tail probabilities down to {resolution:.1e}, the setting analytics.alert.open_tail_probability is {wanted:.1e}: \
     calibrate on more readings, or give its contract an `alert` with limits of the raw score"
)]
pub struct NoAlerts {
    pub resolution: f64,
    pub wanted: f64,
}

impl Policy {
    pub fn of(contract: &Contract, settings: &settings::ModelAlert) -> Self {
        let persistence = Persistence {
            raised: settings.raised,
            of: settings.of,
            calm_for: settings.calm_for.duration(),
            calm_readings: settings.calm_readings,
        };
        let (open, close) = (settings.open_tail_probability, settings.close_tail_probability);
        let resolution = contract.calibration.as_ref().map_or(0.0, super::super::calibration::Calibration::resolution);
        match &contract.alert {
            Some(limits) => {
                Self { severity: limits.severity, persistence: limits.persistence, limits: Limits::Raw(limits.clone()) }
            }
            None => Self {
                limits: if resolution > open {
                    Limits::Never(NoAlerts { resolution, wanted: open })
                } else {
                    Limits::TailProbability { open, close }
                },
                severity: Severity::Warning,
                persistence,
            },
        }
    }

    pub fn level(&self, raw: f32, tail_probability: f64) -> Level {
        match &self.limits {
            Limits::Raw(limits) => limits.level(raw),
            Limits::TailProbability { open, .. } if tail_probability <= *open => Level::Raised,
            Limits::TailProbability { close, .. } if tail_probability <= *close => Level::Holding,
            Limits::TailProbability { .. } | Limits::Never(_) => Level::Calm,
        }
    }

    /// What was compared, and the limit that opens.
    pub fn compared(&self, raw: f32, tail_probability: f64) -> (f64, Option<f64>) {
        match &self.limits {
            Limits::Raw(limits) => (f64::from(raw), Some(limits.open)),
            Limits::TailProbability { open, .. } => (tail_probability, Some(*open)),
            Limits::Never(_) => (tail_probability, None),
        }
    }

    pub const fn no_alerts(&self) -> Option<NoAlerts> {
        match &self.limits {
            Limits::Never(why) => Some(*why),
            Limits::Raw(_) | Limits::TailProbability { .. } => None,
        }
    }
}

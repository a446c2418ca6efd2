//! When a model's score becomes an alert, as its maker set it: limits of the raw score, from the maxima of healthy vehicle-days.

use super::{ContractError, json};
use crate::analytics::claim::{Level, Persistence};
use crate::domain::Severity;
use crate::settings::Interval;

/// Rows that a persistence can look at.
const MAX_OF: u8 = 64;

#[derive(Debug, Clone, PartialEq)]
pub struct AlertLimits {
    /// Raw, so with the sign of the model.
    pub open: f64,
    pub close: f64,
    /// 1 or -1: what makes larger ones more anomalous.
    sign: f64,
    pub severity: Severity,
    pub persistence: Persistence,
}

impl AlertLimits {
    pub(super) fn new(json: &json::Alert, sign: f64) -> Result<Self, ContractError> {
        let refuse = |problem| Err(ContractError::Alert { problem });
        if !json.open.is_finite() || !json.close.is_finite() || sign * json.close > sign * json.open {
            return refuse("close must be at most as anomalous as open, and both finite");
        }
        if json.raised == 0 || json.raised > json.of || json.of > MAX_OF {
            return refuse("raised must be 1 to of, and of at most 64");
        }
        let Ok(calm_for) = json.calm_for.parse::<Interval>() else {
            return Err(ContractError::Duration { key: "alert", field: "calm_for", given: json.calm_for.clone() });
        };
        let Some(severity) = Severity::from_code(&json.severity) else {
            return refuse("severity must be info, warning or critical");
        };
        let persistence =
            Persistence { raised: json.raised, of: json.of, calm_for: calm_for.duration(), calm_readings: json.calm_readings };
        Ok(Self { open: json.open, close: json.close, sign, severity, persistence })
    }

    #[must_use]
    pub fn level(&self, raw: f32) -> Level {
        let raw = self.sign * f64::from(raw);
        if raw >= self.sign * self.open {
            Level::Raised
        } else if raw >= self.sign * self.close {
            Level::Holding
        } else {
            Level::Calm
        }
    }
}

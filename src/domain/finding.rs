//! What one rule, fence or model claims about one reading. Does not decide whether anybody hears of it: `analytics::alerting`.

use std::fmt;
use std::sync::Arc;

use super::codes::codes;

/// What an alert is about: `rule:overheating`, `fence:{id}:exit`, `model:{name}:{top feature group}`, never a version. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// A check that is at or beyond its limits for this reading; checks that are calm or cannot say leave none.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub key: AlertKey,
    pub severity: Severity,
    /// False: below the limit that opens an alert, and not yet below the one that closes it (hysteresis).
    pub is_raised: bool,
    /// What was compared, in the unit of the check.
    pub value: Option<f64>,
    pub limit: Option<f64>,
}

/// One feature's part in a score or finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    pub feature: Arc<str>,
    /// `None`: the feature was missing.
    pub value: Option<f64>,
    /// The vehicle's own normal.
    pub normal: Option<f64>,
    /// The normal of vehicles like it.
    pub cohort_normal: Option<f64>,
    /// Share of the whole, 0 to 1.
    pub contribution: f64,
}

codes!(Severity { Info = "info", Warning = "warning", Critical = "critical" });

impl AlertKey {
    #[must_use]
    pub fn rule(name: &str) -> Self {
        Self(format!("rule:{name}").into())
    }

    /// `what`: enter, exit, dwell, speed.
    #[must_use]
    pub fn fence(id: &str, what: &str) -> Self {
        Self(format!("fence:{id}:{what}").into())
    }

    #[must_use]
    pub fn model(name: &str, feature_group: &str) -> Self {
        Self(format!("model:{name}:{feature_group}").into())
    }

    /// As it was written by this program.
    #[must_use]
    pub fn from_stored(key: &str) -> Self {
        Self(key.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

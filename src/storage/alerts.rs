//! Questions about alerts, and what any archive answers. How the rows are read: `alert_rows`.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use super::ArchiveError;
use crate::domain::{Alert, AlertId, Change, Condition, Handling, Severity, Timestamp, VehicleId};

/// Alerts that were opened in `[from, to)`, newest first.
#[derive(Debug, Clone, Default)]
pub struct AlertsQuery {
    pub vehicle_id: Option<VehicleId>,
    pub condition: Option<Condition>,
    pub handling: Option<Handling>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Goes on behind this one.
    pub after: Option<AlertCursor>,
    pub limit: u32,
}

/// The last alert of a page: written `1764000000000000-0123456789abcdef`, microseconds and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertCursor {
    pub(super) opened_at: Timestamp,
    /// Signed, as archives keep and orders it.
    pub(super) alert_id: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AlertsPage {
    pub alerts: Vec<Alert>,
    pub next: Option<AlertCursor>,
}

/// One change of an alert, as its history shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertHistory {
    pub revision: u32,
    pub change: Change,
    pub at: Timestamp,
    pub severity: Severity,
    pub condition: Condition,
    pub handling: Handling,
    pub summary: String,
    pub acknowledged_by: Option<String>,
    pub assigned_to: Option<String>,
    pub note: Option<String>,
}

/// # Errors
/// Each where the archive does not answer.
#[async_trait]
pub trait AlertArchive {
    async fn alerts(&self, query: &AlertsQuery) -> Result<AlertsPage, ArchiveError>;

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, ArchiveError>;

    /// Every change of an alert, oldest first.
    async fn alert_history(&self, id: AlertId) -> Result<Vec<AlertHistory>, ArchiveError>;
}

impl AlertCursor {
    #[must_use]
    pub const fn behind(alert: &Alert) -> Self {
        Self { opened_at: alert.opened_at, alert_id: alert.alert_id.number().cast_signed() }
    }

    /// Whether the alert comes behind it, in the order of pages.
    #[must_use]
    pub fn is_before(&self, alert: &Alert) -> bool {
        Self::behind(alert) < *self
    }
}

impl fmt::Display for AlertCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:016x}", self.opened_at.as_micros(), self.alert_id)
    }
}

impl FromStr for AlertCursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (micros, id) = text.rsplit_once('-').unwrap_or((text, ""));
        let opened_at = Timestamp::from_micros(micros.parse()?);
        Ok(Self { opened_at, alert_id: u64::from_str_radix(id, 16)?.cast_signed() })
    }
}

impl AlertsQuery {
    /// Whether the query would list `alert`, its page aside.
    #[must_use]
    pub fn takes(&self, alert: &Alert) -> bool {
        self.vehicle_id.as_ref().is_none_or(|id| *id == alert.vehicle_id)
            && self.condition.is_none_or(|condition| condition == alert.condition)
            && self.handling.is_none_or(|handling| handling == alert.handling)
            && self.from.is_none_or(|from| alert.opened_at >= from)
            && self.to.is_none_or(|to| alert.opened_at < to)
            && self.after.is_none_or(|after| after.is_before(alert))
    }

    /// Of up to one alert more than asked for: it says whether there is a next page.
    pub(super) fn page(&self, mut alerts: Vec<Alert>) -> AlertsPage {
        let has_more = alerts.len() > self.limit as usize;
        alerts.truncate(self.limit as usize);
        let next = alerts.last().filter(|_| has_more).map(AlertCursor::behind);
        AlertsPage { alerts, next }
    }
}

//! Alerts as the JSON that others read (CONTRACTS §8).

use serde::Serialize;

use crate::domain::{Alert, Explained, Timestamp, VehicleId, Verdict};
use crate::storage::AlertHistory;

#[derive(Debug, Serialize)]
pub struct AlertForm<'a> {
    alert_id: String,
    vehicle_id: &'a VehicleId,
    alert_key: &'a str,
    severity: &'static str,
    condition: &'static str,
    handling: &'static str,
    opened_at: Timestamp,
    last_seen_at: Timestamp,
    closed_at: Option<Timestamp>,
    count: u32,
    summary: &'a str,
    value: Option<f64>,
    limit: Option<f64>,
    score: Option<f32>,
    explanation: Vec<ExplainedForm<'a>>,
    acknowledged_by: Option<&'a str>,
    assigned_to: Option<&'a str>,
    silenced_until: Option<Timestamp>,
    verdict: Option<&'static str>,
    note: Option<&'a str>,
    is_history: bool,
    /// Revision of the configuration that opened it.
    configuration: u64,
    revision: u32,
}

#[derive(Debug, Serialize)]
struct ExplainedForm<'a> {
    feature: &'a str,
    value: Option<f64>,
    normal: Option<f64>,
    cohort_normal: Option<f64>,
    contribution: f64,
}

#[derive(Debug, Serialize)]
pub struct AlertHistoryForm<'a> {
    revision: u32,
    change: &'static str,
    at: Timestamp,
    severity: &'static str,
    condition: &'static str,
    handling: &'static str,
    summary: &'a str,
    acknowledged_by: Option<&'a str>,
    assigned_to: Option<&'a str>,
    note: Option<&'a str>,
}

impl<'a> AlertForm<'a> {
    pub fn new(alert: &'a Alert) -> Self {
        Self {
            alert_id: alert.alert_id.to_string(),
            vehicle_id: &alert.vehicle_id,
            alert_key: alert.key.as_str(),
            severity: alert.severity.code(),
            condition: alert.condition.code(),
            handling: alert.handling.code(),
            opened_at: alert.opened_at,
            last_seen_at: alert.last_seen_at,
            closed_at: alert.closed_at,
            count: alert.count,
            summary: &alert.summary,
            value: alert.value,
            limit: alert.limit,
            score: alert.score,
            explanation: alert.explanation.iter().map(ExplainedForm::new).collect(),
            acknowledged_by: alert.acknowledged_by.as_deref(),
            assigned_to: alert.assigned_to.as_deref(),
            silenced_until: alert.silenced_until,
            verdict: alert.verdict.map(Verdict::code),
            note: alert.note.as_deref(),
            is_history: alert.is_history,
            configuration: alert.opened_by.configuration,
            revision: alert.revision,
        }
    }
}

impl<'a> ExplainedForm<'a> {
    fn new(from: &'a Explained) -> Self {
        let Explained { feature, value, normal, cohort_normal, contribution } = from;
        Self { feature, value: *value, normal: *normal, cohort_normal: *cohort_normal, contribution: *contribution }
    }
}

impl<'a> AlertHistoryForm<'a> {
    pub fn new(from: &'a AlertHistory) -> Self {
        Self {
            revision: from.revision,
            change: from.change.code(),
            at: from.at,
            severity: from.severity.code(),
            condition: from.condition.code(),
            handling: from.handling.code(),
            summary: &from.summary,
            acknowledged_by: from.acknowledged_by.as_deref(),
            assigned_to: from.assigned_to.as_deref(),
            note: from.note.as_deref(),
        }
    }
}

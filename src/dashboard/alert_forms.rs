//! Alerts as the JSON that others read (CONTRACTS §8).

use serde::Serialize;
use utoipa::ToSchema;

use crate::analytics::alerting::common_cause::Group;
use crate::domain::{Alert, Change, Condition, Explained, Handling, Severity, Timestamp, VehicleId, Verdict};
use crate::storage::AlertHistory;

/// An episode as of its last change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertForm<'a> {
    /// 16 hexadecimal digits.
    alert_id: String,
    vehicle_id: &'a VehicleId,
    alert_key: &'a str,
    #[schema(value_type = Severity)]
    severity: &'static str,
    #[schema(value_type = Condition)]
    condition: &'static str,
    #[schema(value_type = Handling)]
    handling: &'static str,
    opened_at: Timestamp,
    last_seen_at: Timestamp,
    #[schema(required)]
    closed_at: Option<Timestamp>,
    count: u32,
    summary: &'a str,
    #[schema(required)]
    value: Option<f64>,
    #[schema(required)]
    limit: Option<f64>,
    #[schema(required)]
    score: Option<f32>,
    explanation: Vec<ExplainedForm<'a>>,
    #[schema(required)]
    acknowledged_by: Option<&'a str>,
    #[schema(required)]
    assigned_to: Option<&'a str>,
    #[schema(required)]
    silenced_until: Option<Timestamp>,
    #[schema(value_type = Option<Verdict>, required)]
    verdict: Option<&'static str>,
    #[schema(required)]
    note: Option<&'a str>,
    is_history: bool,
    /// Revision of the configuration that opened it.
    configuration: u64,
    revision: u32,
}

/// A part of the reason, largest contribution first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explained)]
struct ExplainedForm<'a> {
    feature: &'a str,
    #[schema(required)]
    value: Option<f64>,
    #[schema(required)]
    normal: Option<f64>,
    #[schema(required)]
    cohort_normal: Option<f64>,
    contribution: f64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertChange)]
pub struct AlertHistoryForm<'a> {
    revision: u32,
    #[schema(value_type = Change)]
    change: &'static str,
    at: Timestamp,
    #[schema(value_type = Severity)]
    severity: &'static str,
    #[schema(value_type = Condition)]
    condition: &'static str,
    #[schema(value_type = Handling)]
    handling: &'static str,
    summary: &'a str,
    #[schema(required)]
    acknowledged_by: Option<&'a str>,
    #[schema(required)]
    assigned_to: Option<&'a str>,
    #[schema(required)]
    note: Option<&'a str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alerts)]
pub struct AlertsForm<'a> {
    /// Newest first.
    pub alerts: Vec<AlertForm<'a>>,
    /// `null`: there are no more.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertWithHistory)]
pub struct AlertWithHistoryForm<'a> {
    #[serde(flatten)]
    pub alert: AlertForm<'a>,
    /// Oldest first.
    pub history: Vec<AlertHistoryForm<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Commanded)]
pub struct CommandedForm<'a> {
    /// False: it was so already.
    pub changed: bool,
    pub alert: AlertForm<'a>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertGroups)]
pub struct AlertGroupsForm<'a> {
    pub groups: Vec<AlertGroupForm<'a>>,
}

/// Open alerts of many vehicles with one key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertGroup)]
pub struct AlertGroupForm<'a> {
    alert_key: &'a str,
    #[schema(value_type = Severity)]
    severity: &'static str,
    first_opened_at: Timestamp,
    last_opened_at: Timestamp,
    vehicles: usize,
    alert_ids: Vec<String>,
}

impl<'a> AlertGroupForm<'a> {
    pub fn new(group: &'a Group) -> Self {
        Self {
            alert_key: group.key.as_str(),
            severity: group.severity.code(),
            first_opened_at: group.first_opened_at,
            last_opened_at: group.last_opened_at,
            vehicles: group.vehicles,
            alert_ids: group.members.iter().map(ToString::to_string).collect(),
        }
    }
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

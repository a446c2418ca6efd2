//! Alerts as the JSON that others read (CONTRACTS §8).

use serde::Serialize;
use utoipa::ToSchema;

use crate::analytics::alerting::common_cause::Group;
use crate::domain::{Change, Condition, Handling, Severity, Timestamp};
use crate::storage::AlertHistory;

pub use crate::wire::alert_json::AlertForm;

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

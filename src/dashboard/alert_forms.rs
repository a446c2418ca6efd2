//! Changes of alerts as the JSON that others read (CONTRACTS §8).

use serde::Serialize;

use crate::domain::Timestamp;
use crate::storage::AlertHistory;

pub use crate::wire::alert_json::AlertForm;

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

//! Rows of alerts and of their changes, as what they were, whichever archive they come from.

use serde::{Deserialize, Serialize};

use super::ArchiveError;
use super::alerts::AlertHistory;
use super::row::Cells;
use crate::domain::{Alert, AlertId, AlertKey, Change, Condition, Explained, Handling, OpenedBy, Severity, VehicleId, Verdict};

/// What [`alert`] reads, in order, of `alerts` beside `vehicles`.
pub(super) const COLUMNS: &[&str] = &[
    "vehicle_id",
    "alert_id",
    "alert_key",
    "severity",
    "condition",
    "handling",
    "opened_at",
    "last_seen_at",
    "closed_at",
    "count",
    "summary",
    "value",
    "limit_value",
    "score",
    "explanation",
    "opening_recorded_at",
    "opening_fingerprint",
    "opening_arrival",
    "configuration",
    "acknowledged_by",
    "assigned_to",
    "silenced_until",
    "verdict",
    "note",
    "is_history",
    "revision",
];

/// What [`change`] reads, in order, of `alert_events`.
pub(super) const CHANGE_COLUMNS: &str =
    "revision, change, at, severity, condition, handling, summary, acknowledged_by, assigned_to, note";

/// The column `explanation`: a list of these as JSON.
#[derive(Serialize, Deserialize)]
struct ExplainedColumns {
    feature: Box<str>,
    value: Option<f64>,
    normal: Option<f64>,
    cohort_normal: Option<f64>,
    contribution: f64,
}

/// `None` where nothing explains it.
pub(super) fn explanation(alert: &Alert) -> Option<String> {
    let parts = alert.explanation.iter().map(|part| ExplainedColumns {
        feature: (&*part.feature).into(),
        value: part.value,
        normal: part.normal,
        cohort_normal: part.cohort_normal,
        contribution: part.contribution,
    });
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| serde_json::to_string(&parts).expect("names and numbers are JSON"))
}

pub(super) fn alert(row: &mut impl Cells) -> Result<Alert, ArchiveError> {
    let vehicle_id = text(row, "vehicles.vehicle_id")?;
    let vehicle_id = VehicleId::new(&vehicle_id).map_err(|_| unreadable("vehicles.vehicle_id", &vehicle_id))?;
    // In the order of the columns: the fields of a literal are evaluated as they are written.
    Ok(Alert {
        vehicle_id,
        alert_id: AlertId::from_number(row.required("alert_id")?),
        key: AlertKey::from_stored(&text(row, "alert_key")?),
        severity: code(row, "severity", Severity::from_code)?,
        condition: code(row, "condition", Condition::from_code)?,
        handling: code(row, "handling", Handling::from_code)?,
        opened_at: row.time()?,
        last_seen_at: row.time()?,
        closed_at: row.maybe_time()?,
        count: small(row, "count")?,
        summary: text(row, "summary")?.into_boxed_str(),
        value: row.double()?,
        limit: row.double()?,
        score: row.single()?,
        explanation: explained(row)?,
        opened_by: OpenedBy {
            recorded_at: row.time()?,
            fingerprint: row.required("opening_fingerprint")?,
            arrival: row.required("opening_arrival")?,
            configuration: row.required("configuration")?,
        },
        acknowledged_by: row.text()?.map(Into::into),
        assigned_to: row.text()?.map(Into::into),
        silenced_until: row.maybe_time()?,
        verdict: maybe_code(row, "verdict", Verdict::from_code)?,
        note: row.text()?.map(Into::into),
        is_history: row.flag()?,
        revision: small(row, "revision")?,
    })
}

pub(super) fn change(row: &mut impl Cells) -> Result<AlertHistory, ArchiveError> {
    Ok(AlertHistory {
        revision: small(row, "revision")?,
        change: code(row, "change", Change::from_code)?,
        at: row.time()?,
        severity: code(row, "severity", Severity::from_code)?,
        condition: code(row, "condition", Condition::from_code)?,
        handling: code(row, "handling", Handling::from_code)?,
        summary: text(row, "summary")?,
        acknowledged_by: row.text()?.map(Into::into),
        assigned_to: row.text()?.map(Into::into),
        note: row.text()?.map(Into::into),
    })
}

fn unreadable(column: &'static str, value: &str) -> ArchiveError {
    ArchiveError::Unreadable { column, value: value.to_owned() }
}

fn text(row: &mut impl Cells, column: &'static str) -> Result<String, ArchiveError> {
    row.text()?.map(str::to_owned).ok_or_else(|| unreadable(column, "null"))
}

fn small(row: &mut impl Cells, column: &'static str) -> Result<u32, ArchiveError> {
    let number = row.required(column)?;
    u32::try_from(number).map_err(|_| unreadable(column, &number.to_string()))
}

fn code<T>(row: &mut impl Cells, column: &'static str, from_code: fn(&str) -> Option<T>) -> Result<T, ArchiveError> {
    maybe_code(row, column, from_code)?.ok_or_else(|| unreadable(column, "null"))
}

fn maybe_code<T>(
    row: &mut impl Cells,
    column: &'static str,
    from_code: fn(&str) -> Option<T>,
) -> Result<Option<T>, ArchiveError> {
    row.text()?.map(|code| from_code(code).ok_or_else(|| unreadable(column, code))).transpose()
}

fn explained(row: &mut impl Cells) -> Result<Vec<Explained>, ArchiveError> {
    let Some(json) = row.text()? else { return Ok(Vec::new()) };
    let parts: Vec<ExplainedColumns> = serde_json::from_str(json).map_err(|_| unreadable("alerts.explanation", json))?;
    let parts = parts.into_iter().map(|part| Explained {
        feature: part.feature.into(),
        value: part.value,
        normal: part.normal,
        cohort_normal: part.cohort_normal,
        contribution: part.contribution,
    });
    Ok(parts.collect())
}

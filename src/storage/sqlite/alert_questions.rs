//! Questions about alerts: pages of them, one, and its history. How they got into the archive: `alerts`.

use std::fmt;
use std::str::FromStr;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::SqliteArchive;
use super::alerts::ExplainedColumns;
use crate::domain::{
    Alert, AlertId, AlertKey, Change, Condition, Explained, Handling, OpenedBy, Severity, Timestamp, VehicleId, Verdict,
};
use crate::storage::error::{ArchiveError, database_error};

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
    opened_at: Timestamp,
    /// Signed, as SQLite keeps and orders it.
    alert_id: i64,
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

const COLUMNS: &str =
    "alert_id, alert_key, severity, condition, handling, opened_at, last_seen_at, closed_at, count, summary, value,
    limit_value, score, explanation, opening_recorded_at, opening_fingerprint, opening_arrival, configuration, acknowledged_by,
    assigned_to, silenced_until, verdict, note, is_history, revision";

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
}

impl SqliteArchive {
    /// # Errors
    /// Where the archive does not answer.
    pub async fn alerts(&self, query: &AlertsQuery) -> Result<AlertsPage, ArchiveError> {
        let mut select: QueryBuilder<Sqlite> =
            QueryBuilder::new(format!("select {COLUMNS}, vehicle_id from alerts join vehicles on number = vehicle where true"));
        if let Some(vehicle_id) = &query.vehicle_id {
            select.push(" and vehicle = (select number from vehicles where vehicle_id = ");
            select.push_bind(vehicle_id.as_str()).push(")");
        }
        if let Some(condition) = query.condition {
            select.push(" and condition = ").push_bind(condition.code());
        }
        if let Some(handling) = query.handling {
            select.push(" and handling = ").push_bind(handling.code());
        }
        if let Some(from) = query.from {
            select.push(" and opened_at >= ").push_bind(from.as_micros());
        }
        if let Some(to) = query.to {
            select.push(" and opened_at < ").push_bind(to.as_micros());
        }
        if let Some(after) = query.after {
            select.push(" and (opened_at, alert_id) < (").push_bind(after.opened_at.as_micros());
            select.push(", ").push_bind(after.alert_id).push(")");
        }
        // One more than asked for says whether there is a next page.
        select.push(" order by opened_at desc, alert_id desc limit ").push_bind(i64::from(query.limit) + 1);
        let rows = select.build().fetch_all(&self.0.readers).await.map_err(database_error("list alerts"))?;
        let mut alerts = rows.iter().map(alert).collect::<Result<Vec<_>, _>>()?;
        let has_more = alerts.len() > query.limit as usize;
        alerts.truncate(query.limit as usize);
        let next = alerts.last().filter(|_| has_more).map(AlertCursor::behind);
        Ok(AlertsPage { alerts, next })
    }

    /// # Errors
    /// Where the archive does not answer.
    pub async fn alert(&self, id: AlertId) -> Result<Option<Alert>, ArchiveError> {
        let mut select: QueryBuilder<Sqlite> = QueryBuilder::new(format!(
            "select {COLUMNS}, vehicle_id from alerts join vehicles on number = vehicle where alert_id = "
        ));
        select.push_bind(id.number().cast_signed());
        let row = select.build().fetch_optional(&self.0.readers).await.map_err(database_error("find an alert"))?;
        row.as_ref().map(alert).transpose()
    }

    /// Every change of an alert, oldest first.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn alert_history(&self, id: AlertId) -> Result<Vec<AlertHistory>, ArchiveError> {
        let select = "select revision, change, at, severity, condition, handling, summary, acknowledged_by, assigned_to, note
            from alert_events where alert_id = ?1 order by revision";
        let rows = sqlx::query(select).bind(id.number().cast_signed()).fetch_all(&self.0.readers).await;
        let rows = rows.map_err(database_error("read the history of an alert"))?;
        rows.iter().map(history).collect()
    }
}

fn get<'r, T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>>(row: &'r SqliteRow, column: &str) -> Result<T, ArchiveError> {
    row.try_get(column).map_err(database_error("read an alert"))
}

fn code<T>(row: &SqliteRow, column: &'static str, from_code: fn(&str) -> Option<T>) -> Result<T, ArchiveError> {
    let code: &str = get(row, column)?;
    from_code(code).ok_or_else(|| ArchiveError::Unreadable { column, value: code.to_owned() })
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, ArchiveError> {
    Ok(Timestamp::from_micros(get(row, column)?))
}

fn maybe_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, ArchiveError> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros))
}

fn text(row: &SqliteRow, column: &str) -> Result<Option<Box<str>>, ArchiveError> {
    Ok(get::<Option<String>>(row, column)?.map(String::into_boxed_str))
}

fn alert(row: &SqliteRow) -> Result<Alert, ArchiveError> {
    let unreadable = |column, value: &str| ArchiveError::Unreadable { column, value: value.to_owned() };
    let vehicle_id: String = get(row, "vehicle_id")?;
    let explanation: Option<String> = get(row, "explanation")?;
    let explanation: Vec<ExplainedColumns> = match &explanation {
        Some(json) => serde_json::from_str(json).map_err(|_| unreadable("alerts.explanation", json))?,
        None => Vec::new(),
    };
    let explanation = explanation.into_iter().map(|part| Explained {
        feature: part.feature.into(),
        value: part.value,
        normal: part.normal,
        cohort_normal: part.cohort_normal,
        contribution: part.contribution,
    });
    let verdict: Option<String> = get(row, "verdict")?;
    let verdict = verdict.map(|code| Verdict::from_code(&code).ok_or_else(|| unreadable("alerts.verdict", &code)));
    #[expect(clippy::cast_possible_truncation, reason = "it was written from an f32")]
    let score = get::<Option<f64>>(row, "score")?.map(|score| score as f32);
    Ok(Alert {
        alert_id: AlertId::from_number(get::<i64>(row, "alert_id")?.cast_unsigned()),
        vehicle_id: VehicleId::new(&vehicle_id).map_err(|_| unreadable("vehicles.vehicle_id", &vehicle_id))?,
        key: AlertKey::from_stored(get(row, "alert_key")?),
        severity: code(row, "severity", Severity::from_code)?,
        condition: code(row, "condition", Condition::from_code)?,
        handling: code(row, "handling", Handling::from_code)?,
        opened_at: time(row, "opened_at")?,
        last_seen_at: time(row, "last_seen_at")?,
        closed_at: maybe_time(row, "closed_at")?,
        count: get(row, "count")?,
        summary: get::<String>(row, "summary")?.into_boxed_str(),
        value: get(row, "value")?,
        limit: get(row, "limit_value")?,
        score,
        explanation: explanation.collect(),
        opened_by: OpenedBy {
            recorded_at: time(row, "opening_recorded_at")?,
            fingerprint: get::<i64>(row, "opening_fingerprint")?.cast_unsigned(),
            arrival: get::<i64>(row, "opening_arrival")?.cast_unsigned(),
            configuration: get::<i64>(row, "configuration")?.cast_unsigned(),
        },
        acknowledged_by: text(row, "acknowledged_by")?,
        assigned_to: text(row, "assigned_to")?,
        silenced_until: maybe_time(row, "silenced_until")?,
        verdict: verdict.transpose()?,
        note: text(row, "note")?,
        is_history: get(row, "is_history")?,
        revision: get(row, "revision")?,
    })
}

fn history(row: &SqliteRow) -> Result<AlertHistory, ArchiveError> {
    Ok(AlertHistory {
        revision: get(row, "revision")?,
        change: code(row, "change", Change::from_code)?,
        at: time(row, "at")?,
        severity: code(row, "severity", Severity::from_code)?,
        condition: code(row, "condition", Condition::from_code)?,
        handling: code(row, "handling", Handling::from_code)?,
        summary: get(row, "summary")?,
        acknowledged_by: get(row, "acknowledged_by")?,
        assigned_to: get(row, "assigned_to")?,
        note: get(row, "note")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::alerts::tests::record;
    use crate::storage::sqlite::tests::an_archive;
    use crate::wire::alert::tests::a_full_alert_event;

    #[tokio::test]
    async fn pages_of_alerts_go_from_the_newest_to_the_oldest_and_filters_hold() {
        let (_folder, archive) = an_archive().await;
        let mut events = Vec::new();
        for number in 0..7 {
            let mut event = a_full_alert_event();
            let alert = &mut event.alert;
            alert.vehicle_id = VehicleId::new(&format!("truck-{}", number % 2)).unwrap();
            // Pairs of the same moment: the id decides.
            alert.opened_at = Timestamp::from_micros(1_764_000_000_000_000 + number / 2 * 1_000_000);
            alert.alert_id = AlertId::of(&alert.vehicle_id, &alert.key, alert.opened_at);
            alert.condition = if number < 3 { Condition::Active } else { Condition::Cleared };
            events.push(event);
        }
        archive.store(&events.iter().map(record).collect::<Vec<_>>()).await.unwrap();
        let mut query = AlertsQuery { limit: 3, ..AlertsQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = archive.alerts(&query).await.unwrap();
            seen.extend(page.alerts);
            let Some(next) = page.next else { break };
            query.after = Some(next.to_string().parse().unwrap());
        }
        assert_eq!(seen.len(), 7);
        assert!(seen.is_sorted_by_key(|alert| std::cmp::Reverse((alert.opened_at, alert.alert_id.number().cast_signed()))));
        let only = AlertsQuery {
            vehicle_id: Some(VehicleId::new("truck-0").unwrap()),
            condition: Some(Condition::Active),
            limit: 100,
            ..AlertsQuery::default()
        };
        let found = archive.alerts(&only).await.unwrap().alerts;
        let taken = seen.iter().filter(|alert| only.takes(alert)).count();
        assert_eq!((found.len(), taken), (2, 2));
        archive.forget_alerts(Timestamp::from_micros(i64::MAX)).await.unwrap();
        assert!(archive.alerts(&AlertsQuery { limit: 10, ..AlertsQuery::default() }).await.unwrap().alerts.is_empty());
    }
}

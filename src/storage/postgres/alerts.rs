//! Alerts as rows: the newest state of each, and every change that it went through.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder};

use super::PostgresArchive;
use super::connect::Lease;
use super::known::Known;
use super::quarantine::without_nul;
use super::values::{PostgresCells, Time};
use crate::domain::{Alert, AlertEvent, AlertId, Timestamp, Verdict};
use crate::storage::alert_rows::{self, CHANGE_COLUMNS, COLUMNS};
use crate::storage::alerts::{AlertArchive, AlertHistory, AlertsPage, AlertsQuery};
use crate::storage::error::ArchiveError;

/// Stores the changes of one batch; how many were new. They are few compared with readings, and one batch may hold several of one alert,
/// so each has its own statements.
pub(super) async fn store(lease: &mut Lease, known: &Known, events: &[&AlertEvent]) -> Result<u64, ArchiveError> {
    let mut new = 0;
    for event in events {
        new += store_event(lease, event).await?;
        store_alert(lease, known, &event.alert).await?;
    }
    Ok(new)
}

async fn store_event(lease: &mut Lease, event: &AlertEvent) -> Result<u64, ArchiveError> {
    let insert = "insert into alert_events
            (alert_id, revision, change, at, severity, condition, handling, summary, acknowledged_by, assigned_to, note)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing";
    let alert = &event.alert;
    let insert = sqlx::query(insert)
        .bind(alert.alert_id.number().cast_signed())
        .bind(i64::from(alert.revision))
        .bind(event.change.code())
        .bind(Time(event.at))
        .bind(alert.severity.code())
        .bind(alert.condition.code())
        .bind(alert.handling.code())
        .bind(without_nul(&alert.summary))
        .bind(alert.acknowledged_by.as_deref().map(without_nul))
        .bind(alert.assigned_to.as_deref().map(without_nul))
        .bind(alert.note.as_deref().map(without_nul));
    lease.execute("store a change of an alert", insert).await
}

async fn store_alert(lease: &mut Lease, known: &Known, alert: &Alert) -> Result<(), ArchiveError> {
    let insert = "insert into alerts (vehicle, alert_id, alert_key, severity, condition, handling, opened_at, last_seen_at, closed_at,
            count, summary, value, limit_value, score, explanation, opening_recorded_at, opening_fingerprint, opening_arrival,
            configuration, acknowledged_by, assigned_to, silenced_until, verdict, note, is_history, revision)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb, $16, $17, $18, $19, $20, $21, $22, $23, $24,
            $25, $26)
        on conflict (alert_id) do update set severity = excluded.severity, condition = excluded.condition,
            handling = excluded.handling, last_seen_at = excluded.last_seen_at, closed_at = excluded.closed_at,
            count = excluded.count, summary = excluded.summary, value = excluded.value, limit_value = excluded.limit_value,
            score = excluded.score, explanation = excluded.explanation, acknowledged_by = excluded.acknowledged_by,
            assigned_to = excluded.assigned_to, silenced_until = excluded.silenced_until, verdict = excluded.verdict,
            note = excluded.note, is_history = excluded.is_history, revision = excluded.revision
        where excluded.revision > alerts.revision";
    let insert = sqlx::query(insert)
        .bind(known.vehicle(&alert.vehicle_id))
        .bind(alert.alert_id.number().cast_signed())
        .bind(alert.key.as_str())
        .bind(alert.severity.code())
        .bind(alert.condition.code())
        .bind(alert.handling.code())
        .bind(Time(alert.opened_at))
        .bind(Time(alert.last_seen_at))
        .bind(alert.closed_at.map(Time))
        .bind(i64::from(alert.count))
        .bind(without_nul(&alert.summary))
        .bind(alert.value)
        .bind(alert.limit)
        .bind(alert.score)
        .bind(alert_rows::explanation(alert))
        .bind(Time(alert.opened_by.recorded_at))
        .bind(alert.opened_by.fingerprint.cast_signed())
        .bind(alert.opened_by.arrival.cast_signed())
        .bind(alert.opened_by.configuration.cast_signed())
        .bind(alert.acknowledged_by.as_deref().map(without_nul))
        .bind(alert.assigned_to.as_deref().map(without_nul))
        .bind(alert.silenced_until.map(Time))
        .bind(alert.verdict.map(Verdict::code))
        .bind(alert.note.as_deref().map(without_nul))
        .bind(alert.is_history)
        .bind(i64::from(alert.revision));
    lease.execute("store an alert", insert).await.map(|_rows| ())
}

#[async_trait]
impl AlertArchive for PostgresArchive {
    async fn alerts(&self, query: &AlertsQuery) -> Result<AlertsPage, ArchiveError> {
        let mut select: QueryBuilder<Postgres> = QueryBuilder::new(select_where("true"));
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
            select.push(" and opened_at >= ").push_bind(Time(from));
        }
        if let Some(to) = query.to {
            select.push(" and opened_at < ").push_bind(Time(to));
        }
        if let Some(after) = query.after {
            select.push(" and (opened_at, alert_id) < (").push_bind(Time(after.opened_at));
            select.push(", ").push_bind(after.alert_id).push(")");
        }
        // One more than asked for says whether there is a next page.
        select.push(" order by opened_at desc, alert_id desc limit ").push_bind(i64::from(query.limit) + 1);
        let rows = self.reader().await?.rows("list alerts", select.build()).await?;
        Ok(query.page(rows.iter().map(alert).collect::<Result<_, _>>()?))
    }

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, ArchiveError> {
        let select = sqlx::query(AssertSqlSafe(select_where("alert_id = $1"))).bind(id.number().cast_signed());
        self.reader().await?.row("find an alert", select).await?.as_ref().map(alert).transpose()
    }

    async fn alert_history(&self, id: AlertId) -> Result<Vec<AlertHistory>, ArchiveError> {
        let select = format!("select {CHANGE_COLUMNS} from alert_events where alert_id = $1 order by revision");
        let select = sqlx::query(AssertSqlSafe(select)).bind(id.number().cast_signed());
        let rows = self.reader().await?.rows("read the history of an alert", select).await?;
        rows.iter().map(|row| alert_rows::change(&mut PostgresCells::new(row))).collect()
    }
}

impl PostgresArchive {
    pub(super) async fn delete_alerts(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        let _one_writer = self.0.memory.lock().await;
        let delete = "with old as (delete from alerts where last_seen_at < $1 returning alert_id)
            delete from alert_events using old where alert_events.alert_id = old.alert_id";
        let delete = sqlx::query(delete).bind(Time(oldest));
        self.writer().await?.execute("delete old alerts", delete).await.map(|_rows| ())
    }
}

fn select_where(condition: &str) -> String {
    let columns = COLUMNS.iter().map(|name| if *name == "explanation" { "explanation::text" } else { *name });
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!("select {columns} from alerts join vehicles on number = vehicle where {condition}")
}

fn alert(row: &PgRow) -> Result<Alert, ArchiveError> {
    alert_rows::alert(&mut PostgresCells::new(row))
}

//! Alerts as rows: the newest state of each, and every change that it went through. Asked for by `alert_questions`.

use sqlx::sqlite::SqliteConnection;

use crate::domain::{Alert, AlertEvent, Timestamp, Verdict};
use crate::storage::alert_rows;
use crate::storage::error::{ArchiveError, database_error};

/// Stores the changes of one batch; how many were new.
pub(super) async fn store(connection: &mut SqliteConnection, events: &[&AlertEvent]) -> Result<u64, ArchiveError> {
    let mut new = 0;
    for event in events {
        let alert = &event.alert;
        let vehicle = "insert into vehicles (vehicle_id, slot) values (?1, ?2) on conflict do nothing";
        let vehicle = sqlx::query(vehicle).bind(alert.vehicle_id.as_str()).bind(alert.vehicle_id.slot().number());
        vehicle.execute(&mut *connection).await.map_err(database_error("add a vehicle"))?;
        new += store_event(connection, event).await?;
        store_alert(connection, alert).await?;
    }
    Ok(new)
}

async fn store_event(connection: &mut SqliteConnection, event: &AlertEvent) -> Result<u64, ArchiveError> {
    let insert = "insert into alert_events
            (alert_id, revision, change, at, severity, condition, handling, summary, acknowledged_by, assigned_to, note)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) on conflict do nothing";
    let alert = &event.alert;
    let insert = sqlx::query(insert)
        .bind(alert.alert_id.number().cast_signed())
        .bind(alert.revision)
        .bind(event.change.code())
        .bind(event.at.as_micros())
        .bind(alert.severity.code())
        .bind(alert.condition.code())
        .bind(alert.handling.code())
        .bind(&*alert.summary)
        .bind(alert.acknowledged_by.as_deref())
        .bind(alert.assigned_to.as_deref())
        .bind(alert.note.as_deref());
    let done = insert.execute(connection).await.map_err(database_error("store a change of an alert"))?;
    Ok(done.rows_affected())
}

async fn store_alert(connection: &mut SqliteConnection, alert: &Alert) -> Result<(), ArchiveError> {
    let insert = "insert into alerts (vehicle, alert_id, alert_key, severity, condition, handling, opened_at, last_seen_at, closed_at,
            count, summary, value, limit_value, score, explanation, opening_recorded_at, opening_fingerprint, opening_arrival,
            configuration, acknowledged_by, assigned_to, silenced_until, verdict, note, is_history, revision)
        values ((select number from vehicles where vehicle_id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
            ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)
        on conflict (alert_id) do update set severity = excluded.severity, condition = excluded.condition,
            handling = excluded.handling, last_seen_at = excluded.last_seen_at, closed_at = excluded.closed_at,
            count = excluded.count, summary = excluded.summary, value = excluded.value, limit_value = excluded.limit_value,
            score = excluded.score, explanation = excluded.explanation, acknowledged_by = excluded.acknowledged_by,
            assigned_to = excluded.assigned_to, silenced_until = excluded.silenced_until, verdict = excluded.verdict,
            note = excluded.note, is_history = excluded.is_history, revision = excluded.revision
        where excluded.revision > alerts.revision";
    let insert = sqlx::query(insert)
        .bind(alert.vehicle_id.as_str())
        .bind(alert.alert_id.number().cast_signed())
        .bind(alert.key.as_str())
        .bind(alert.severity.code())
        .bind(alert.condition.code())
        .bind(alert.handling.code())
        .bind(alert.opened_at.as_micros())
        .bind(alert.last_seen_at.as_micros())
        .bind(alert.closed_at.map(Timestamp::as_micros))
        .bind(alert.count)
        .bind(&*alert.summary)
        .bind(alert.value)
        .bind(alert.limit)
        .bind(alert.score.map(f64::from))
        .bind(alert_rows::explanation(alert))
        .bind(alert.opened_by.recorded_at.as_micros())
        .bind(alert.opened_by.fingerprint.cast_signed())
        .bind(alert.opened_by.arrival.cast_signed())
        .bind(alert.opened_by.configuration.cast_signed())
        .bind(alert.acknowledged_by.as_deref())
        .bind(alert.assigned_to.as_deref())
        .bind(alert.silenced_until.map(Timestamp::as_micros))
        .bind(alert.verdict.map(Verdict::code))
        .bind(alert.note.as_deref())
        .bind(alert.is_history)
        .bind(alert.revision);
    insert.execute(connection).await.map_err(database_error("store an alert"))?;
    Ok(())
}

/// Deletes alerts that were last seen before `oldest`, and what happened to them.
pub(super) async fn forget(connection: &mut SqliteConnection, oldest: Timestamp) -> Result<(), ArchiveError> {
    let events = "delete from alert_events where alert_id in (select alert_id from alerts where last_seen_at < ?1)";
    for delete in [events, "delete from alerts where last_seen_at < ?1"] {
        let delete = sqlx::query(delete).bind(oldest.as_micros());
        delete.execute(&mut *connection).await.map_err(database_error("delete old alerts"))?;
    }
    Ok(())
}

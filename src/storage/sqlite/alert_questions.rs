//! Questions about alerts: pages of them, one, and its history. How they got into the archive: `alerts`.

use std::cmp::Reverse;
use std::sync::LazyLock;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite};

use super::SqliteArchive;
use super::cells::SqliteCells;
use crate::domain::{Alert, AlertId};
use crate::storage::alert_rows::{self, CHANGE_COLUMNS, COLUMNS};
use crate::storage::alerts::{AlertArchive, AlertHistory, AlertsPage, AlertsQuery};
use crate::storage::error::{ArchiveError, database_error};

#[async_trait]
impl AlertArchive for SqliteArchive {
    async fn alerts(&self, query: &AlertsQuery) -> Result<AlertsPage, ArchiveError> {
        // Alerts lie in the order of their ids, which are hashes: each on a page of its own, that several connections share out.
        let mut select: QueryBuilder<Sqlite> = QueryBuilder::new("select alert_id from alerts where true");
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
        let ids = select.build_query_scalar().fetch_all(&self.0.readers).await.map_err(database_error("list alerts"))?;
        let rows = self.shared_out(&OF_IDS, &ids, "list alerts").await?;
        let mut alerts: Vec<Alert> = rows.iter().map(alert).collect::<Result<_, _>>()?;
        alerts.sort_by_key(|alert| Reverse((alert.opened_at, alert.alert_id.number().cast_signed())));
        Ok(query.page(alerts))
    }

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, ArchiveError> {
        let mut select: QueryBuilder<Sqlite> = QueryBuilder::new(format!(
            "select {} from alerts join vehicles on number = vehicle where alert_id = ",
            COLUMNS.join(", ")
        ));
        select.push_bind(id.number().cast_signed());
        let row = select.build().fetch_optional(&self.0.readers).await.map_err(database_error("find an alert"))?;
        row.as_ref().map(alert).transpose()
    }

    async fn alert_history(&self, id: AlertId) -> Result<Vec<AlertHistory>, ArchiveError> {
        let select = format!("select {CHANGE_COLUMNS} from alert_events where alert_id = ?1 order by revision");
        let select = sqlx::query(AssertSqlSafe(select)).bind(id.number().cast_signed());
        let rows = select.fetch_all(&self.0.readers).await.map_err(database_error("read the history of an alert"))?;
        rows.iter().map(|row| alert_rows::change(&mut SqliteCells::new(row))).collect()
    }
}

/// Those of the JSON array ?1.
static OF_IDS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from (select value as wanted from json_each(?1)) cross join alerts on alert_id = wanted
        join vehicles on number = vehicle",
        COLUMNS.join(", ")
    )
});

fn alert(row: &SqliteRow) -> Result<Alert, ArchiveError> {
    alert_rows::alert(&mut SqliteCells::new(row))
}

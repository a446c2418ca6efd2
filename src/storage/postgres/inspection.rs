//! The questions of `storage::inspection` to a server.

use std::time::Duration;

use sqlx::Row;

use super::connect::{CONNECTIONS, Connector};
use super::newest_schema;
use super::values::Time;
use crate::clock;
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::inspection::{ArchiveInspection, MOST_NAMES, SOME_READINGS, ServerInspection};

/// No index leads to the readings that came last, and one leads to those that were recorded in a span.
const LATELY: Duration = Duration::from_hours(1);

pub async fn inspect(connector: &Connector) -> Result<ArchiveInspection, ArchiveError> {
    let mut lease = connector.once().await?;
    // What came before may have waited for a process of the server to start.
    let before = clock::now();
    let about = sqlx::query(
        "select clock_timestamp(), current_setting('server_version'),
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
            (select count(*) from pg_stat_activity where backend_type = 'client backend'),
            current_setting('transaction_read_only')::boolean,
            current_setting('fsync')::boolean and current_setting('synchronous_commit') <> 'off',
            to_regclass('_sqlx_migrations') is not null",
    );
    let about = lease.rows("say how it is set up", about).await?.pop();
    let after = clock::now();
    let about = about.ok_or(ArchiveError::Database { action: "say how it is set up", source: sqlx::Error::RowNotFound })?;
    let cell = || database_error("say how it is set up");
    let Time(its_now) = about.try_get(0).map_err(cell())?;
    let version: String = about.try_get(1).map_err(cell())?;
    let has_schema: bool = about.try_get(6).map_err(cell())?;
    let server = ServerInspection {
        clock_ahead_micros: its_now.as_micros() - before.as_micros().midpoint(after.as_micros()),
        connections_admitted: about.try_get(2).map_err(cell())?,
        connections_open: about.try_get(3).map_err(cell())?,
        connections_wanted: CONNECTIONS.into(),
        is_read_only: about.try_get(4).map_err(cell())?,
        is_durable: about.try_get(5).map_err(cell())?,
    };
    let mut inspection = ArchiveInspection {
        engine: format!("PostgreSQL {version}"),
        schema: None,
        expected_schema: newest_schema(),
        newest_received_at: None,
        extras: Vec::new(),
        server: Some(server),
    };
    if has_schema {
        let newest = sqlx::query("select max(version) from _sqlx_migrations where success");
        let newest = lease.row("say its schema", newest).await?;
        let newest = newest.map(|row| row.try_get(0)).transpose().map_err(database_error("say its schema"))?;
        inspection.schema = newest.flatten();
    }
    if inspection.schema.is_some() {
        let extras = sqlx::query(
            "select name, count(*) from (select extras from readings where recorded_at > $1 limit $2) as lately,
                jsonb_object_keys(extras) as name
            group by name order by count(*) desc, name limit $3",
        );
        let extras = extras.bind(Time(before.minus(LATELY))).bind(SOME_READINGS).bind(MOST_NAMES);
        let extras = lease.rows("list undeclared signals", extras).await?;
        let named = extras.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        inspection.extras = named.collect::<Result<_, _>>().map_err(database_error("list undeclared signals"))?;
    }
    Ok(inspection)
}

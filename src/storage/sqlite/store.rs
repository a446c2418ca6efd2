//! One transaction: a batch of journal records becomes rows. A record that is there already changes nothing.

use sqlx::{Acquire, SqliteConnection};

use super::bind::RowBinder;
use super::{Inner, Memory, SqliteArchive, alerts, settled};
use crate::storage::archive::{ArchiveRecord, Rows, Stored};
use crate::storage::columns::ColumnSet;
use crate::storage::error::{ArchiveError, database_error};

impl SqliteArchive {
    pub(super) async fn store_records(&self, records: &[ArchiveRecord]) -> Result<Stored, ArchiveError> {
        let mut memory = self.0.memory.lock().await;
        let result = self.0.store(&mut memory, &Rows::new(records)).await;
        if result.is_err() {
            memory.known.forget();
        }
        result
    }
}

impl Inner {
    async fn store(&self, memory: &mut Memory, rows: &Rows<'_>) -> Result<Stored, ArchiveError> {
        let mut connection = self.writer.acquire().await.map_err(database_error("reach its file"))?;
        let result = self.transaction(&mut connection, memory, rows).await;
        settled(connection, result).await
    }

    async fn transaction(
        &self,
        connection: &mut SqliteConnection,
        memory: &mut Memory,
        rows: &Rows<'_>,
    ) -> Result<Stored, ArchiveError> {
        let Rows { assessments, refused, alert_events } = rows;
        let mut transaction = connection.begin().await.map_err(database_error("begin"))?;
        let needed = assessments.iter().fold(ColumnSet::default(), |columns, next| columns.union(ColumnSet::of(next)));
        let columns = memory.statements.columns.widen(needed);
        memory.known.meet(&mut transaction, assessments).await?;
        let binder = RowBinder { columns, codes: &self.codes, known: &memory.known, table: &self.table };
        let readings = memory.statements.insert(&mut transaction, &binder, assessments).await?;
        let alert_changes = alerts::store(&mut transaction, alert_events).await?;
        let kept = memory.quarantine.store(&mut transaction, refused).await?;
        transaction.commit().await.map_err(database_error("commit"))?;
        let quarantined = kept.new_messages;
        memory.quarantine = kept.after;
        Ok(Stored {
            readings,
            quarantined,
            alert_events: alert_changes,
            duplicates: rows.len() - readings - quarantined - alert_changes,
        })
    }
}

//! One transaction: a batch of journal records becomes rows. A record that is there already changes nothing, so that a batch whose commit
//! was not answered is simply stored again.

use super::connect::Lease;
use super::insert::Readings;
use super::{Memory, PostgresArchive, alerts, quarantine};
use crate::clock;
use crate::storage::archive::{ArchiveRecord, Rows, Stored};
use crate::storage::columns::ColumnSet;
use crate::storage::error::ArchiveError;

impl PostgresArchive {
    pub(super) async fn store_records(&self, records: &[ArchiveRecord]) -> Result<Stored, ArchiveError> {
        let rows = Rows::new(records);
        let mut memory = self.0.memory.lock().await;
        let mut lease = self.writer().await?;
        let recorded = rows.assessments.iter().map(|assessment| assessment.reading.recorded_at);
        memory.days.make(&mut lease, recorded, clock::now()).await?;
        let stored = self.transaction(&mut lease, &mut memory, &rows).await;
        if let Err(error) = &stored {
            memory.known.forget();
            // A record is to blame, so the next batch can have the connection.
            if !error.is_transient() {
                lease.run("roll back", "rollback").await?;
            }
        }
        let stored = stored?;
        memory.quarantined_since_check += stored.quarantined;
        if memory.quarantined_since_check >= quarantine::CHECK_EVERY {
            quarantine::make_room(&mut lease).await?;
            memory.quarantined_since_check = 0;
        }
        Ok(stored)
    }

    async fn transaction(&self, lease: &mut Lease, memory: &mut Memory, rows: &Rows<'_>) -> Result<Stored, ArchiveError> {
        let needed = rows.assessments.iter().fold(ColumnSet::default(), |columns, next| columns.union(ColumnSet::of(next)));
        let columns = memory.columns.widen(needed);
        lease.run("begin", "begin").await?;
        memory.known.meet(lease, rows).await?;
        let readings = Readings { assessments: &rows.assessments, columns, known: &memory.known, table: &self.0.table };
        let readings = readings.insert(lease).await?;
        let alert_events = alerts::store(lease, &memory.known, &rows.alert_events).await?;
        let quarantined = quarantine::store(lease, &rows.refused).await?;
        lease.run("commit", "commit").await?;
        let duplicates = rows.len() - readings - quarantined - alert_events;
        Ok(Stored { readings, quarantined, alert_events, duplicates })
    }
}

//! One transaction: a batch of journal records becomes rows. A record that is there already changes nothing.

use sqlx::Acquire;

use super::columns::{ColumnSet, RowBinder};
use super::{Inner, Memory, SqliteArchive, alerts};
use crate::domain::{AlertEvent, Assessment, Quarantined, Slot};
use crate::storage::error::{ArchiveError, database_error};
use crate::wire::record::Record;

/// A record with its place in the order of arrivals.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveRecord {
    pub slot: Slot,
    pub arrival: u64,
    pub record: Record,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stored {
    pub readings: u64,
    pub quarantined: u64,
    pub alert_events: u64,
    /// Records that were there already.
    pub duplicates: u64,
}

impl std::ops::AddAssign for Stored {
    fn add_assign(&mut self, other: Self) {
        self.readings += other.readings;
        self.quarantined += other.quarantined;
        self.alert_events += other.alert_events;
        self.duplicates += other.duplicates;
    }
}

/// A refused message with its place.
pub(super) struct Refused<'a> {
    pub slot: Slot,
    pub arrival: u64,
    pub message: &'a Quarantined,
}

/// The records of a batch by kind.
struct Rows<'a> {
    assessments: Vec<&'a Assessment>,
    refused: Vec<Refused<'a>>,
    alert_events: Vec<&'a AlertEvent>,
}

impl SqliteArchive {
    /// Stores all of it or, with an error, nothing. May be repeated with any part of what was stored before.
    ///
    /// # Errors
    /// Where the archive does not answer (transient), or refuses one of the records for ever.
    pub async fn store(&self, records: &[ArchiveRecord]) -> Result<Stored, ArchiveError> {
        let mut assessments: Vec<&Assessment> = Vec::with_capacity(records.len());
        let mut refused = Vec::new();
        let mut alert_events: Vec<&AlertEvent> = Vec::new();
        for ArchiveRecord { slot, arrival, record } in records {
            match record {
                Record::Assessment(assessment) => assessments.push(assessment),
                Record::Quarantined(message) => refused.push(Refused { slot: *slot, arrival: *arrival, message }),
                Record::AlertEvent(event) => alert_events.push(event),
            }
        }
        let mut memory = self.0.memory.lock().await;
        let result = self.0.store(&mut memory, &Rows { assessments, refused, alert_events }).await;
        if result.is_err() {
            memory.known.forget();
        }
        result
    }
}

impl Inner {
    async fn store(&self, memory: &mut Memory, rows: &Rows<'_>) -> Result<Stored, ArchiveError> {
        let Rows { assessments, refused, alert_events } = rows;
        let mut connection = self.writer.acquire().await.map_err(database_error("reach its file"))?;
        let mut transaction = connection.begin().await.map_err(database_error("begin"))?;
        let needed = assessments.iter().fold(ColumnSet::default(), |columns, next| columns.union(ColumnSet::of(next)));
        let columns = memory.statements.columns(needed);
        memory.known.meet(&mut transaction, assessments).await?;
        let binder = RowBinder { columns, codes: &self.codes, known: &memory.known, table: &self.table };
        let readings = memory.statements.insert(&mut transaction, &binder, assessments).await?;
        let alert_changes = alerts::store(&mut transaction, alert_events).await?;
        let kept = memory.quarantine.store(&mut transaction, refused).await?;
        transaction.commit().await.map_err(database_error("commit"))?;
        let quarantined = kept.new_messages;
        memory.quarantine = kept.after;
        let total = (assessments.len() + refused.len() + alert_events.len()) as u64;
        Ok(Stored {
            readings,
            quarantined,
            alert_events: alert_changes,
            duplicates: total - readings - quarantined - alert_changes,
        })
    }
}

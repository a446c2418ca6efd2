//! The archive: what every one of them does, so that the rest of the program need not know which it is, nor in which process.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::alerts::AlertArchive;
use super::configurations::ConfigurationArchive;
use super::error::ArchiveError;
use super::quarantine::QuarantineArchive;
use super::readings::{ReadingArchive, Walk};
use super::vehicle_records::VehicleArchive;
use crate::domain::{AlertEvent, Assessment, Quarantined, Slot, Timestamp};
use crate::wire::record::Record;

/// Whoever asks the archive has one of these.
pub type SharedArchive = Arc<dyn Archive>;

/// Whoever fills it has one of these; it serves as a [`SharedArchive`] too.
pub type SharedStore = Arc<dyn ArchiveStore>;

/// What is asked of an archive, and what is told to it now and then; it may be that of another process.
///
/// # Errors
/// Each where the archive does not answer: [`ArchiveError::is_transient`].
#[async_trait]
pub trait Archive:
    ReadingArchive + AlertArchive + QuarantineArchive + ConfigurationArchive + VehicleArchive + fmt::Debug + Send + Sync
{
    /// Whether questions are answered; what they say is kept apart.
    async fn answers(&self) -> Result<(), ArchiveError>;
}

/// The archive as the process has it that fills it, and whoever goes through all of it.
///
/// # Errors
/// Each where the archive does not answer: [`ArchiveError::is_transient`].
#[async_trait]
pub trait ArchiveStore: Archive {
    /// Stores all of it or, with an error, nothing. May be repeated with any part of what was stored before.
    ///
    /// # Errors
    /// Where the archive does not answer (transient), or refuses one of the records for ever.
    async fn store(&self, records: &[ArchiveRecord]) -> Result<Stored, ArchiveError>;

    /// Makes room for readings to come, `ahead` of now, where that needs doing.
    async fn prepare(&self, now: Timestamp) -> Result<(), ArchiveError>;

    /// Takes one step of summing up hours that ended before `before` and have readings that no summary stands for: those of up to `limit`
    /// vehicles in one hour. Returns how many; 0: there are no more.
    async fn sum_up(&self, before: Timestamp, limit: u32) -> Result<u64, ArchiveError>;

    /// Takes one step of deleting what was recorded before `oldest`: readings, about `limit` of them or one whole part of the archive, a
    /// part only once all of it is old. Returns about how many went; 0: there are no more.
    async fn forget_readings(&self, oldest: Timestamp, limit: u32) -> Result<u64, ArchiveError>;

    /// Deletes the notes of when vehicles spoke before `oldest`, the beginning of an hour, and what they said then in sum; their readings are
    /// gone.
    async fn forget_times(&self, oldest: Timestamp) -> Result<(), ArchiveError>;

    /// Deletes messages that were received before `oldest`; they stay counted.
    async fn forget_quarantined(&self, oldest: Timestamp) -> Result<(), ArchiveError>;

    /// Deletes alerts that were last seen before `oldest`, and what happened to them.
    async fn forget_alerts(&self, oldest: Timestamp) -> Result<(), ArchiveError>;

    /// Up to `limit` readings further on; none: the walk is over.
    async fn walk(&self, walk: &mut Walk, limit: u32) -> Result<Vec<Assessment>, ArchiveError>;

    /// Lets running calls end, then lets go.
    async fn close(&self);
}

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
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub assessments: Vec<&'a Assessment>,
    pub refused: Vec<Refused<'a>>,
    pub alert_events: Vec<&'a AlertEvent>,
}

impl<'a> Rows<'a> {
    pub fn new(records: &'a [ArchiveRecord]) -> Self {
        let mut rows = Self::default();
        for ArchiveRecord { slot, arrival, record } in records {
            match record {
                Record::Assessment(assessment) => rows.assessments.push(assessment),
                Record::Quarantined(message) => rows.refused.push(Refused { slot: *slot, arrival: *arrival, message }),
                Record::AlertEvent(event) => rows.alert_events.push(event),
            }
        }
        rows
    }

    pub fn len(&self) -> u64 {
        (self.assessments.len() + self.refused.len() + self.alert_events.len()) as u64
    }
}

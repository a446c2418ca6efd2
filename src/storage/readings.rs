//! Questions about readings and the vehicles they are of, and what any archive answers.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use super::ArchiveError;
use super::buckets::{BucketsPage, BucketsQuery};
use crate::domain::{Assessment, Timestamp, VehicleId};

/// Readings of one vehicle in `[from, to)`, oldest first.
#[derive(Debug, Clone)]
pub struct ReadingsQuery {
    pub vehicle_id: VehicleId,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Goes on behind this one.
    pub after: Option<ReadingCursor>,
    pub limit: u32,
}

/// The last reading of a page: written `1764000000000000-ff`, microseconds and fingerprint in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingCursor {
    pub(super) recorded_at: Timestamp,
    pub(super) fingerprint: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReadingsPage {
    pub readings: Vec<Assessment>,
    pub next: Option<ReadingCursor>,
}

/// Where a walk stands. Readings come by the minute in which they were recorded, within it by vehicle, within that by time: so each
/// vehicle's own are in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    pub(super) minute: i64,
    pub(super) vehicle: i64,
    pub(super) recorded_at: i64,
    pub(super) fingerprint: i64,
    /// Exclusive: the minute of the start is shared with readings before it.
    pub(super) after: i64,
    pub(super) to: i64,
}

/// # Errors
/// Each where the archive does not answer.
#[async_trait]
pub trait ReadingArchive {
    /// `None` where the vehicle is unknown.
    async fn readings(&self, query: &ReadingsQuery) -> Result<Option<ReadingsPage>, ArchiveError>;

    /// The same summed up. `None` where the vehicle is unknown.
    async fn buckets(&self, query: &BucketsQuery) -> Result<Option<BucketsPage>, ArchiveError>;

    /// Of each vehicle the newest reading that was not ahead of our clock; of equally new ones, the one that came last. In order of
    /// ids; vehicles without any are left out.
    async fn newest_readings(&self, vehicle_ids: &[VehicleId]) -> Result<Vec<Assessment>, ArchiveError>;

    /// Ids in their order, behind `after`.
    async fn vehicle_ids(&self, after: Option<&VehicleId>, limit: u32) -> Result<Vec<VehicleId>, ArchiveError>;

    async fn count_vehicles(&self) -> Result<u64, ArchiveError>;
}

pub(super) const MICROS_PER_MINUTE: i64 = 60_000_000;

impl ReadingsQuery {
    /// The last reading that the answer does not have, and the time before which it ends, in microseconds: time and fingerprint as they
    /// are stored.
    pub(super) fn bounds(&self) -> (i64, i64, i64) {
        let (time, fingerprint) = match (self.after, self.from) {
            (Some(cursor), from) if from.is_none_or(|from| from <= cursor.recorded_at) => {
                (cursor.recorded_at.as_micros(), cursor.fingerprint.cast_signed())
            }
            (_, Some(from)) => (from.as_micros().saturating_sub(1), i64::MAX),
            _ => (i64::MIN, i64::MAX),
        };
        (time, fingerprint, self.to.map_or(i64::MAX, Timestamp::as_micros))
    }

    /// Of up to one reading more than asked for: it says whether there is a next page.
    pub(super) fn page(&self, mut readings: Vec<Assessment>) -> ReadingsPage {
        let has_more = readings.len() > self.limit as usize;
        readings.truncate(self.limit as usize);
        let last = readings.last().filter(|_| has_more).map(|assessment| &assessment.reading);
        let next = last.map(|last| ReadingCursor { recorded_at: last.recorded_at, fingerprint: last.fingerprint });
        ReadingsPage { readings, next }
    }
}

impl fmt::Display for ReadingCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:x}", self.recorded_at.as_micros(), self.fingerprint)
    }
}

impl FromStr for ReadingCursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (micros, fingerprint) = text.rsplit_once('-').unwrap_or((text, ""));
        let recorded_at = Timestamp::from_micros(micros.parse()?);
        Ok(Self { recorded_at, fingerprint: u64::from_str_radix(fingerprint, 16)? })
    }
}

impl Walk {
    /// Readings recorded in `[from, to)`.
    #[must_use]
    pub const fn new(from: Timestamp, to: Timestamp) -> Self {
        let before = from.as_micros().saturating_sub(1);
        Self {
            minute: before.div_euclid(MICROS_PER_MINUTE),
            vehicle: i64::MIN,
            recorded_at: before,
            fingerprint: i64::MAX,
            after: before,
            to: to.as_micros(),
        }
    }
}

//! The history of a vehicle in buckets of equal length: what is asked, and how an answer is put together from summaries of whole quarters of
//! an hour and, where those do not serve, from readings. Does not read either: `sqlite::buckets`, `postgres::buckets`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;

use super::ArchiveError;
use super::row::Cells;
use super::summary::{Edition, SignalSummary, Summary};
use crate::domain::{SignalTable, Timestamp, VehicleId};

/// Readings of one vehicle in `[from, to)`, in buckets that begin at multiples of their length since 1970, oldest first. A bucket
/// without readings is left out.
#[derive(Debug, Clone)]
pub struct BucketsQuery {
    pub vehicle_id: VehicleId,
    pub from: Timestamp,
    pub to: Timestamp,
    pub every: BucketLength,
    /// Goes on with this one.
    pub next: Option<BucketCursor>,
    pub limit: u32,
}

/// A whole number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLength(i64);

/// The first bucket of the next page: its start, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketCursor(Timestamp);

#[derive(Debug, Clone, PartialEq, Default)]
pub struct BucketsPage {
    pub buckets: Vec<Bucket>,
    pub next: Option<BucketCursor>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Of the bucket; the first reading may be later.
    pub start: Timestamp,
    pub summary: Summary,
}

/// What an archive gives about the vehicle that is asked about.
#[async_trait]
pub(super) trait BucketSource {
    /// Hours in `first..=last` whose summaries do not stand for all readings.
    async fn touched_hours(&mut self, first: i64, last: i64) -> Result<Vec<i64>, ArchiveError>;

    /// Quarters in `first..end`, and what is kept of them.
    async fn summaries(&mut self, first: i64, end: i64) -> Result<Vec<(i64, Vec<u8>)>, ArchiveError>;

    /// Of readings, in `[from, to)`.
    async fn of_readings(&mut self, from: i64, to: i64, every: BucketLength) -> Result<Vec<Bucket>, ArchiveError>;
}

pub(super) const MICROS_PER_QUARTER: i64 = 900_000_000;
pub(super) const QUARTERS_PER_HOUR: i64 = 4;
const MICROS_PER_SECOND: i64 = 1_000_000;

impl BucketLength {
    /// `None`: not a whole number of seconds, or none.
    #[must_use]
    pub fn new(length: Duration) -> Option<Self> {
        let seconds = i64::try_from(length.as_secs()).ok()?;
        let is_whole = length.subsec_nanos() == 0 && seconds > 0;
        seconds.checked_mul(MICROS_PER_SECOND).filter(|_| is_whole).map(Self)
    }

    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0.unsigned_abs())
    }

    pub(super) const fn micros(self) -> i64 {
        self.0
    }

    #[expect(clippy::cast_precision_loss, reason = "2^53 s are 285 million years")]
    pub(super) const fn seconds(self) -> f64 {
        (self.0 / MICROS_PER_SECOND) as f64
    }

    const fn start_of(self, micros: i64) -> i64 {
        micros.div_euclid(self.0).saturating_mul(self.0)
    }

    /// How many begin or end in `[from, to)`.
    #[must_use]
    pub fn count(self, from: Timestamp, to: Timestamp) -> u64 {
        let last = to.as_micros().saturating_sub(1).div_euclid(self.0);
        (last - from.as_micros().div_euclid(self.0) + 1).max(0).unsigned_abs()
    }
}

impl BucketsQuery {
    /// One bucket more than asked for says whether there is a next page.
    pub(super) async fn answer(
        &self,
        source: &mut (impl BucketSource + Send),
        edition: Edition,
    ) -> Result<BucketsPage, ArchiveError> {
        let wanted = self.limit as usize + 1;
        let next = self.next.map_or(i64::MIN, |cursor| cursor.0.as_micros());
        let (mut from, to) = (self.from.as_micros().max(next), self.to.as_micros());
        // Twice as many every time, since a sparse history should not cost a question for each of its buckets.
        let mut together = i64::from(self.limit) + 1;
        let mut buckets: Vec<Bucket> = Vec::new();
        while from < to && buckets.len() < wanted {
            let end = self.every.start_of(from).saturating_add(together.saturating_mul(self.every.0)).min(to);
            let found = self.every.collect(source, from, end, edition).await?;
            buckets.extend(found.into_iter().map(|(start, summary)| Bucket { start: Timestamp::from_micros(start), summary }));
            (from, together) = (end, together.saturating_mul(2));
        }
        let next = buckets.get(self.limit as usize).map(|bucket| BucketCursor(bucket.start));
        buckets.truncate(self.limit as usize);
        Ok(BucketsPage { buckets, next })
    }
}

impl BucketLength {
    async fn collect(
        self,
        source: &mut (impl BucketSource + Send),
        from: i64,
        to: i64,
        edition: Edition,
    ) -> Result<BTreeMap<i64, Summary>, ArchiveError> {
        let mut buckets: BTreeMap<i64, Summary> = BTreeMap::new();
        // Of whole quarters, those whose readings must be read.
        let mut unsummed = BTreeSet::new();
        let quarters = whole_quarters(from, to).filter(|_| self.0 % MICROS_PER_QUARTER == 0);
        if let Some((first, end)) = quarters {
            // Asked first: what is summed up in between is then read twice, and not forgotten.
            let hours =
                source.touched_hours(first.div_euclid(QUARTERS_PER_HOUR), (end - 1).div_euclid(QUARTERS_PER_HOUR)).await?;
            let touched = hours.into_iter().flat_map(|hour| hour * QUARTERS_PER_HOUR..(hour + 1) * QUARTERS_PER_HOUR);
            unsummed.extend(touched.filter(|quarter| (first..end).contains(quarter)));
            for (quarter, bytes) in source.summaries(first, end).await? {
                match Summary::decode(&bytes, edition) {
                    Some(_) if unsummed.contains(&quarter) => {}
                    Some(summary) => {
                        buckets.entry(self.start_of(quarter * MICROS_PER_QUARTER)).or_default().add(&summary);
                    }
                    None => {
                        unsummed.insert(quarter);
                    }
                }
            }
        }
        for (from, to) in spans(from, to, quarters, &unsummed) {
            for bucket in source.of_readings(from, to, self).await? {
                buckets.entry(bucket.start.as_micros()).or_default().add(&bucket.summary);
            }
        }
        Ok(buckets)
    }
}

/// The first that begins in `[from, to)`, and the one behind the last that ends in it.
fn whole_quarters(from: i64, to: i64) -> Option<(i64, i64)> {
    let first = from.saturating_add(MICROS_PER_QUARTER - 1).div_euclid(MICROS_PER_QUARTER);
    let end = to.div_euclid(MICROS_PER_QUARTER);
    (first < end).then_some((first, end))
}

/// What has to be read of `[from, to)`: these quarters, and all outside of `quarters`. Neighbours are one.
fn spans(from: i64, to: i64, quarters: Option<(i64, i64)>, unsummed: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let Some((first, end)) = quarters else { return vec![(from, to)] };
    let whole = unsummed.iter().map(|quarter| (quarter * MICROS_PER_QUARTER, (quarter + 1) * MICROS_PER_QUARTER));
    let all = [(from, first * MICROS_PER_QUARTER)].into_iter().chain(whole).chain([(end * MICROS_PER_QUARTER, to)]);
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for (from, to) in all.filter(|(from, to)| from < to) {
        match spans.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => spans.push((from, to)),
        }
    }
    spans
}

/// What [`read_bucket`] reads of a group of readings, behind the start of its bucket. `declared` says where a signal without a column is.
pub(super) fn aggregates(table: &SignalTable, declared: impl Fn(&str) -> String) -> String {
    let built_in = crate::domain::signal::SIGNALS.len();
    let mut list = "count(*), max(readings.score)".to_owned();
    for (id, signal) in table.iter() {
        let value = if id.index() < built_in { format!("readings.{}", signal.name) } else { declared(signal.name) };
        let as_double = |function: &str| format!("cast({function}({value}) as double precision)");
        let parts = [format!("count({value})"), as_double("avg"), as_double("min"), as_double("max")];
        list = [list, parts.join(", ")].join(", ");
    }
    list
}

pub(super) fn read_bucket(row: &mut impl Cells, table: &SignalTable) -> Result<Bucket, ArchiveError> {
    let start = Timestamp::from_micros(row.required("bucket")?.cast_signed());
    let mut summary = Summary { readings: row.required("count")?, highest_score: row.single()?, ..Summary::default() };
    for (id, _) in table.iter() {
        let readings = row.required("count")?;
        let values = (row.double()?, row.double()?, row.double()?);
        if let (Some(mean), Some(min), Some(max)) = values {
            summary.signals.insert(id, SignalSummary { readings, mean, min, max });
        }
    }
    Ok(Bucket { start, summary })
}

impl fmt::Display for BucketCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.as_micros())
    }
}

impl FromStr for BucketCursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Timestamp::from_micros).map(Self)
    }
}

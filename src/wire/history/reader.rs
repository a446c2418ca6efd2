//! The readings of one file in the order of its rows: refuses a row at a time and counts what it refused, and thins.
//! Does not know columns: `binding`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::binding::{Binding, Refused};
use super::columns::ColumnMap;
use super::rows::{Advance, HistoryError, Rows};
use crate::domain::{Reading, SignalTable, Timestamp, VehicleId};

#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Keep only the last reading of each vehicle in every interval of this length; `None` or zero keeps all.
    pub every: Option<Duration>,
    /// Put before every vehicle id, with a dash between.
    pub vehicle_prefix: Option<String>,
}

/// One reading and where it stood.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// 1 is the first row below the header.
    pub row: u64,
    pub reading: Reading,
    /// What was wrong at that moment: the column `fault` of a labelled file.
    pub fault: Option<Box<str>>,
}

/// Why a row is no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    RowBroken,
    TimeMissing,
    TimeInvalid,
    /// Earlier than the row before it of the same vehicle.
    TimeBackwards,
    VehicleIdInvalid,
    NotANumber,
    PositionInvalid,
    NothingMeasured,
}

/// All rows that were refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRows {
    pub count: u64,
    pub first_row: u64,
    pub first_detail: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// All rows below the header.
    pub rows: u64,
    /// Left out by [`ReadOptions::every`].
    pub thinned: u64,
    pub readings: u64,
    /// Signals of accepted rows that were not plausible and were set aside.
    pub rejected_signals: u64,
    pub refused: BTreeMap<Refusal, RefusedRows>,
}

pub struct HistoryReader {
    rows: Rows,
    binding: Binding,
    every_micros: Option<i64>,
    counts: RowCounts,
    /// One entry per vehicle of the file.
    vehicles: HashMap<VehicleId, Track>,
    /// The newest readings of all vehicles, once the rows have ended; the first of them last.
    rest: Vec<HistoryRow>,
    ended: bool,
}

/// What the next row of a vehicle is compared with.
#[derive(Default)]
struct Track {
    newest: Option<Timestamp>,
    /// Waits to be the last of its interval.
    waiting: Option<HistoryRow>,
}

impl Refusal {
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RowBroken => "row_broken",
            Self::TimeMissing => "time_missing",
            Self::TimeInvalid => "time_invalid",
            Self::TimeBackwards => "time_backwards",
            Self::VehicleIdInvalid => "vehicle_id_invalid",
            Self::NotANumber => "not_a_number",
            Self::PositionInvalid => "position_invalid",
            Self::NothingMeasured => "nothing_measured",
        }
    }
}

impl RowCounts {
    #[must_use]
    pub fn refused_rows(&self) -> u64 {
        self.refused.values().map(|rows| rows.count).sum()
    }

    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.thinned += other.thinned;
        self.readings += other.readings;
        self.rejected_signals += other.rejected_signals;
        for (refusal, refused) in &other.refused {
            self.refused.entry(*refusal).and_modify(|sum| sum.count += refused.count).or_insert_with(|| refused.clone());
        }
    }

    fn refuse(&mut self, row: u64, (refusal, detail): Refused) {
        let first = || RefusedRows { count: 0, first_row: row, first_detail: detail };
        self.refused.entry(refusal).or_insert_with(first).count += 1;
    }
}

impl HistoryReader {
    /// # Errors
    /// Where the file cannot be read, or lacks a column that the map names.
    pub fn open(path: &Path, map: &ColumnMap, table: Arc<SignalTable>, options: &ReadOptions) -> Result<Self, HistoryError> {
        let rows = Rows::open(path)?;
        let prefix = match options.vehicle_prefix.as_deref() {
            None | Some("") => String::new(),
            Some(prefix) if prefix.ends_with(['-', '_']) => prefix.to_owned(),
            Some(prefix) => format!("{prefix}-"),
        };
        let every = options.every.and_then(|every| i64::try_from(every.as_micros()).ok());
        Ok(Self {
            binding: Binding::new(&rows, map, table, prefix)?,
            rows,
            every_micros: every.filter(|micros| *micros > 0),
            counts: RowCounts::default(),
            vehicles: HashMap::new(),
            rest: Vec::new(),
            ended: false,
        })
    }

    /// What has been read so far.
    #[must_use]
    pub const fn counts(&self) -> &RowCounts {
        &self.counts
    }

    /// Whether the file says what was wrong when.
    #[must_use]
    pub const fn is_labelled(&self) -> bool {
        self.binding.is_labelled()
    }

    fn next_row(&mut self) -> Result<Option<HistoryRow>, HistoryError> {
        while !self.ended {
            let advance = self.rows.advance()?;
            self.counts.rows += u64::from(!matches!(advance, Advance::End));
            let row = self.counts.rows;
            match advance {
                Advance::Row => {
                    let read = self.binding.read(&self.rows);
                    match read.and_then(|reading| {
                        let fault = self.binding.fault(&self.rows);
                        self.in_order(HistoryRow { row, reading, fault })
                    }) {
                        Ok(None) => {}
                        Ok(ready) => return Ok(ready),
                        Err(refused) => self.counts.refuse(row, refused),
                    }
                }
                Advance::Broken(detail) => self.counts.refuse(row, (Refusal::RowBroken, detail)),
                Advance::End => {
                    self.ended = true;
                    self.rest = self.vehicles.drain().filter_map(|(_, track)| track.waiting).collect();
                    self.rest.sort_by_key(|waiting| std::cmp::Reverse(waiting.row));
                }
            }
        }
        Ok(self.rest.pop())
    }

    /// The reading to hand out now that this one has come: itself, or the one that was the last of its interval.
    fn in_order(&mut self, next: HistoryRow) -> Result<Option<HistoryRow>, Refused> {
        let track = self.vehicles.entry(next.reading.vehicle_id.clone()).or_default();
        let moment = next.reading.recorded_at;
        if let Some(newest) = track.newest.filter(|newest| moment < *newest) {
            return Err((Refusal::TimeBackwards, format!("{moment} after {newest}")));
        }
        track.newest = Some(moment);
        let Some(every) = self.every_micros else { return Ok(Some(next)) };
        let interval = |row: &HistoryRow| row.reading.recorded_at.as_micros().div_euclid(every);
        let number = interval(&next);
        let before = track.waiting.replace(next);
        if before.as_ref().is_some_and(|before| interval(before) == number) {
            self.counts.thinned += 1;
            return Ok(None);
        }
        Ok(before)
    }
}

impl Iterator for HistoryReader {
    type Item = Result<HistoryRow, HistoryError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        match self.next_row() {
            Ok(Some(row)) => {
                self.counts.readings += 1;
                self.counts.rejected_signals += row.reading.rejected.len() as u64;
                Some(Ok(row))
            }
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

//! The columns of a reading's row, which both archives share: what each is called, and which of them the rows of a batch need.

use crate::domain::signal::{ODOMETER, SIGNALS};
use crate::domain::{Assessment, SignalId, Timing};

/// What every row has.
pub(super) const REQUIRED: &[&str] = &["vehicle", "recorded_at", "fingerprint", "received_at", "arrival", "revision"];

/// What a row may lack, one bit each in [`ColumnSet`], in this order. Then follow the signals of the built-in table.
pub(super) const OPTIONAL: &[&str] = &[
    "timing",
    "boot_id",
    "sequence",
    "ignition",
    "latitude",
    "longitude",
    "altitude_m",
    "heading_deg",
    "accuracy_m",
    "dtcs",
    "extras",
    "rejected",
    "score",
    "scores",
    "not_scored",
    "findings",
    "quality",
    "lost_before_us",
];

pub(super) const TIMING: u32 = 1;
pub(super) const BOOT_ID: u32 = 1 << 1;
pub(super) const SEQUENCE: u32 = 1 << 2;
pub(super) const IGNITION: u32 = 1 << 3;
pub(super) const POSITION: u32 = 0b11 << 4;
pub(super) const ALTITUDE: u32 = 1 << 6;
pub(super) const HEADING: u32 = 1 << 7;
pub(super) const ACCURACY: u32 = 1 << 8;
pub(super) const DTCS: u32 = 1 << 9;
pub(super) const EXTRAS: u32 = 1 << 10;
pub(super) const REJECTED: u32 = 1 << 11;
pub(super) const SCORES: u32 = 0b11 << 12;
pub(super) const NOT_SCORED: u32 = 1 << 14;
pub(super) const FINDINGS: u32 = 1 << 15;
pub(super) const QUALITY: u32 = 1 << 16;
pub(super) const LOST_BEFORE_US: u32 = 1 << 17;

/// Signals that have a column of their own; declared ones stand in `extras`.
const SIGNALS_WITH_COLUMN: u64 = (1 << SIGNALS.len()) - 1;

/// The columns that some row of a batch needs, besides the required ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct ColumnSet {
    optional: u32,
    signals: u64,
}

impl ColumnSet {
    #[must_use]
    pub fn of(assessment: &Assessment) -> Self {
        let reading = &assessment.reading;
        let mut optional = 0;
        let mut needs = |is_needed: bool, columns: u32| {
            if is_needed {
                optional |= columns;
            }
        };
        needs(assessment.timing != Timing::InOrder, TIMING);
        needs(reading.boot_id.is_some(), BOOT_ID);
        needs(reading.sequence.is_some(), SEQUENCE);
        needs(reading.ignition.is_some(), IGNITION);
        if let Some(position) = &reading.position {
            needs(true, POSITION);
            needs(position.altitude_m.is_some(), ALTITUDE);
            needs(position.heading_deg.is_some(), HEADING);
            needs(position.accuracy_m.is_some(), ACCURACY);
        }
        needs(!reading.dtcs.is_empty(), DTCS);
        let present = reading.signals.present_bits();
        needs(!reading.extras.is_empty() || present & !SIGNALS_WITH_COLUMN != 0, EXTRAS);
        needs(!reading.rejected.is_empty(), REJECTED);
        needs(!assessment.scores.is_empty(), SCORES);
        needs(assessment.not_scored.is_some(), NOT_SCORED);
        needs(!assessment.findings.is_empty(), FINDINGS);
        needs(!assessment.quality.is_good(), QUALITY);
        needs(assessment.lost_before_us > 0, LOST_BEFORE_US);
        let mut signals = present & SIGNALS_WITH_COLUMN;
        if reading.odometer_m.is_some() {
            signals |= 1 << ODOMETER.index();
        }
        Self { optional, signals }
    }

    #[must_use]
    pub(super) const fn union(self, other: Self) -> Self {
        Self { optional: self.optional | other.optional, signals: self.signals | other.signals }
    }

    #[must_use]
    pub(super) const fn len(self) -> usize {
        REQUIRED.len() + (self.optional.count_ones() + self.signals.count_ones()) as usize
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let optional = OPTIONAL.iter().enumerate().filter(move |(bit, _)| self.optional & (1 << bit) != 0);
        let signals = SIGNALS.iter().enumerate().filter(move |(bit, _)| self.signals & (1 << bit) != 0);
        REQUIRED.iter().copied().chain(optional.map(|(_, name)| *name)).chain(signals.map(|(_, signal)| signal.name))
    }

    /// Whether one of these optional columns is in it.
    #[must_use]
    pub const fn wants(self, columns: u32) -> bool {
        self.optional & columns != 0
    }

    /// Signals in it, in the order of their columns.
    pub fn signals(self) -> impl Iterator<Item = SignalId> {
        let is_wanted = move |index: &usize| self.signals & (1 << index) != 0;
        (0..SIGNALS.len()).filter(is_wanted).filter_map(SignalId::from_index)
    }
}

/// The columns of a run of batches. One that some batch needed is bound for so many further ones, so that a rare value does not cost
/// every batch a statement of its own.
#[derive(Debug, Default)]
pub(super) struct StickyColumns {
    columns: ColumnSet,
    batches: u32,
}

impl StickyColumns {
    const BATCHES: u32 = 256;

    /// The columns to bind for a batch that needs `needed`.
    pub fn widen(&mut self, needed: ColumnSet) -> ColumnSet {
        self.batches += 1;
        if self.batches > Self::BATCHES {
            *self = Self::default();
        }
        self.columns = self.columns.union(needed);
        self.columns
    }
}

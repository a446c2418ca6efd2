//! A reading as a row of the archive, and back. The names are those of the migration; a test compares.

use std::fmt::Write;
use std::sync::Arc;

use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

use super::known::Known;
use crate::domain::signal::{ODOMETER, SIGNALS};
use crate::domain::{Assessment, Ignition, ModelScore, NotScored, Position, SignalId, SignalTable, Timing};

/// What every row has.
pub const REQUIRED: &[&str] = &["vehicle", "recorded_at", "fingerprint", "received_at", "arrival", "revision"];

/// What a row may lack, one bit each in [`ColumnSet`], in this order. Then follow the signals of the built-in table.
pub const OPTIONAL: &[&str] = &[
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

const TIMING: u32 = 1;
const BOOT_ID: u32 = 1 << 1;
const SEQUENCE: u32 = 1 << 2;
const IGNITION: u32 = 1 << 3;
const POSITION: u32 = 0b11 << 4;
const ALTITUDE: u32 = 1 << 6;
const HEADING: u32 = 1 << 7;
const ACCURACY: u32 = 1 << 8;
const DTCS: u32 = 1 << 9;
const EXTRAS: u32 = 1 << 10;
const REJECTED: u32 = 1 << 11;
const SCORES: u32 = 0b11 << 12;
const NOT_SCORED: u32 = 1 << 14;
const FINDINGS: u32 = 1 << 15;
const QUALITY: u32 = 1 << 16;
const LOST_BEFORE_US: u32 = 1 << 17;

/// Signals that have a column of their own; declared ones stand in `extras`.
const SIGNALS_WITH_COLUMN: u64 = (1 << SIGNALS.len()) - 1;

/// The columns that some row of a batch needs, besides the required ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ColumnSet {
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
    pub const fn union(self, other: Self) -> Self {
        Self { optional: self.optional | other.optional, signals: self.signals | other.signals }
    }

    #[must_use]
    pub const fn len(self) -> usize {
        REQUIRED.len() + (self.optional.count_ones() + self.signals.count_ones()) as usize
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let optional = OPTIONAL.iter().enumerate().filter(move |(bit, _)| self.optional & (1 << bit) != 0);
        let signals = SIGNALS.iter().enumerate().filter(move |(bit, _)| self.signals & (1 << bit) != 0);
        REQUIRED.iter().copied().chain(optional.map(|(_, name)| *name)).chain(signals.map(|(_, signal)| signal.name))
    }
}

/// Texts that rows share, so that binding one costs no allocation.
#[derive(Debug)]
pub struct Codes {
    timing: Vec<Arc<str>>,
    ignition: Vec<Arc<str>>,
    not_scored: Vec<Arc<str>>,
}

impl Default for Codes {
    fn default() -> Self {
        let shared = |code: &str| Arc::from(code);
        Self {
            timing: Timing::ALL.iter().map(|timing| shared(timing.code())).collect(),
            ignition: Ignition::ALL.iter().map(|ignition| shared(ignition.code())).collect(),
            not_scored: NotScored::ALL.iter().map(|reason| shared(reason.code())).collect(),
        }
    }
}

/// Binds one row's values for `columns`, in their order.
pub struct RowBinder<'a> {
    pub columns: ColumnSet,
    pub codes: &'a Codes,
    pub known: &'a Known,
    pub table: &'a SignalTable,
}

impl RowBinder<'_> {
    pub fn bind(&self, assessment: &Assessment, row: &mut SqliteArguments) {
        let reading = &assessment.reading;
        add(row, self.known.vehicle(&reading.vehicle_id));
        add(row, reading.recorded_at.as_micros());
        add(row, reading.fingerprint.cast_signed());
        add(row, reading.received_at.as_micros());
        add(row, assessment.arrival.cast_signed());
        add(row, assessment.revision.cast_signed());
        self.bind_optional(assessment, row);
        let values = &reading.signals;
        let mut remaining = self.columns.signals;
        while remaining != 0 {
            let id = SignalId::from_index(remaining.trailing_zeros() as usize).expect("a u64 has 64 bits");
            remaining &= remaining - 1;
            if id == ODOMETER {
                add(row, reading.odometer_m);
            } else {
                add(row, values.get(id).map(f64::from));
            }
        }
    }

    fn bind_optional(&self, assessment: &Assessment, row: &mut SqliteArguments) {
        let reading = &assessment.reading;
        let wants = |columns: u32| self.columns.optional & columns != 0;
        if wants(TIMING) {
            let is_worth_saying = assessment.timing != Timing::InOrder;
            add(row, is_worth_saying.then(|| Arc::clone(&self.codes.timing[assessment.timing as usize])));
        }
        if wants(BOOT_ID) {
            add(row, reading.boot_id.map(u64::cast_signed));
        }
        if wants(SEQUENCE) {
            add(row, reading.sequence.map(u64::cast_signed));
        }
        if wants(IGNITION) {
            add(row, reading.ignition.map(|ignition| Arc::clone(&self.codes.ignition[ignition as usize])));
        }
        let position = reading.position.as_ref();
        if wants(POSITION) {
            add(row, position.map(Position::latitude));
            add(row, position.map(Position::longitude));
        }
        if wants(ALTITUDE) {
            add(row, position.and_then(|position| position.altitude_m).map(f64::from));
        }
        if wants(HEADING) {
            add(row, position.and_then(|position| position.heading_deg).map(f64::from));
        }
        if wants(ACCURACY) {
            add(row, position.and_then(|position| position.accuracy_m).map(f64::from));
        }
        if wants(DTCS) {
            add(row, (!reading.dtcs.is_empty()).then(|| json(&reading.dtcs)));
        }
        if wants(EXTRAS) {
            add(row, self.extras(assessment));
        }
        if wants(REJECTED) {
            let rejected = reading.rejected.iter();
            let rejected: Vec<_> = rejected.map(|signal| (&signal.name, signal.value, signal.rejection.code())).collect();
            add(row, (!rejected.is_empty()).then(|| json(&rejected)));
        }
        if wants(SCORES) {
            add(row, assessment.score().map(f64::from));
            add(row, self.scores(&assessment.scores));
        }
        if wants(NOT_SCORED) {
            add(row, assessment.not_scored.map(|reason| Arc::clone(&self.codes.not_scored[reason as usize])));
        }
        if wants(FINDINGS) {
            let findings = assessment.findings.iter();
            let findings = findings
                .map(|finding| (finding.key.as_str(), finding.severity.code(), finding.is_raised, finding.value, finding.limit));
            let findings: Vec<_> = findings.collect();
            add(row, (!findings.is_empty()).then(|| json(&findings)));
        }
        if wants(QUALITY) {
            add(row, (!assessment.quality.is_good()).then(|| json(&assessment.quality)));
        }
        if wants(LOST_BEFORE_US) {
            add(row, (assessment.lost_before_us > 0).then(|| assessment.lost_before_us.cast_signed()));
        }
    }

    fn extras(&self, assessment: &Assessment) -> Option<String> {
        let reading = &assessment.reading;
        let declared = reading.signals.iter().filter(|(id, _)| id.index() >= SIGNALS.len());
        let declared = declared.map(|(id, value)| (self.table.get(id).name.to_owned(), f64::from(value).into()));
        let undeclared = reading.extras.iter().map(|(name, value)| (name.to_string(), (*value).into()));
        let all: serde_json::Map<String, serde_json::Value> = undeclared.chain(declared).collect();
        (!all.is_empty()).then(|| json(&all))
    }

    /// Written by hand, since nearly every row has it.
    fn scores(&self, scores: &[ModelScore]) -> Option<String> {
        let first = scores.first()?;
        let mut text = String::with_capacity(48 * scores.len());
        for score in scores {
            text.push(if std::ptr::eq(score, first) { '[' } else { ',' });
            let _never_fails = write!(text, "[{},", self.known.model_version(score));
            number(&mut text, f64::from(score.score), format_args!("{:?},", score.score));
            number(&mut text, f64::from(score.raw), format_args!("{:?},", score.raw));
            number(&mut text, score.tail_probability, format_args!("{:?}]", score.tail_probability));
        }
        text.push(']');
        Some(text)
    }
}

/// JSON knows no infinity and no NaN: null stands for them. `written` ends with the separator that follows the number.
fn number(text: &mut String, value: f64, written: std::fmt::Arguments<'_>) {
    if value.is_finite() {
        let _never_fails = text.write_fmt(written);
    } else {
        text.push_str("null");
        text.extend(written.to_string().chars().next_back());
    }
}

fn add<'t, T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(row: &mut SqliteArguments, value: T) {
    row.add(value).expect("numbers and texts always encode");
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers are JSON")
}

//! Binds a reading's values as a row of SQLite.

use std::sync::Arc;

use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

use super::known::Known;
use crate::domain::signal::ODOMETER;
use crate::domain::{Assessment, Ignition, NotScored, Position, SignalTable, Timing};
use crate::storage::columns::{
    ACCURACY, ALTITUDE, BOOT_ID, ColumnSet, DTCS, EXTRAS, FINDINGS, HEADING, IGNITION, LOST_BEFORE_US, NOT_SCORED, POSITION,
    QUALITY, REJECTED, SCORES, SEQUENCE, TIMING,
};
use crate::storage::json_columns;

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
        for id in self.columns.signals() {
            if id == ODOMETER {
                add(row, reading.odometer_m);
            } else {
                add(row, values.get(id).map(f64::from));
            }
        }
    }

    fn bind_optional(&self, assessment: &Assessment, row: &mut SqliteArguments) {
        let reading = &assessment.reading;
        let wants = |columns: u32| self.columns.wants(columns);
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
            add(row, json_columns::dtcs(assessment));
        }
        if wants(EXTRAS) {
            add(row, json_columns::extras(assessment, self.table));
        }
        if wants(REJECTED) {
            add(row, json_columns::rejected(assessment));
        }
        if wants(SCORES) {
            add(row, assessment.score().map(f64::from));
            add(row, json_columns::scores(assessment, |score| self.known.model_version(score)));
        }
        if wants(NOT_SCORED) {
            add(row, assessment.not_scored.map(|reason| Arc::clone(&self.codes.not_scored[reason as usize])));
        }
        if wants(FINDINGS) {
            add(row, json_columns::findings(assessment));
        }
        if wants(QUALITY) {
            add(row, json_columns::quality(assessment));
        }
        if wants(LOST_BEFORE_US) {
            add(row, (assessment.lost_before_us > 0).then(|| assessment.lost_before_us.cast_signed()));
        }
    }
}

fn add<'t, T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(row: &mut SqliteArguments, value: T) {
    row.add(value).expect("numbers and texts always encode");
}

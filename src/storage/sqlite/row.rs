//! A row of `readings` as the assessment it was.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::columns::{OPTIONAL, REQUIRED};
use crate::domain::signal::{ODOMETER, SIGNALS};
use crate::domain::{
    AlertKey, Assessment, Finding, Ignition, ModelScore, NotScored, Position, Quality, Reading, RejectedSignal, Rejection,
    Severity, SignalId, SignalTable, SignalValues, Timestamp, Timing, VehicleId,
};
use crate::storage::error::{ArchiveError, database_error};

/// What [`RowReader`] reads, as a select list.
pub static SELECT_LIST: LazyLock<String> = LazyLock::new(|| {
    let signals = SIGNALS.iter().map(|signal| signal.name);
    let names = REQUIRED.iter().chain(OPTIONAL).copied().chain(signals).map(|name| format!("readings.{name}"));
    names.collect::<Vec<_>>().join(", ")
});

/// Model and version by their number.
pub type ModelVersions = HashMap<i64, (Arc<str>, Arc<str>)>;

/// Number of the model version, score, raw, tail probability.
type ScoreColumns = (i64, Option<f32>, Option<f32>, Option<f64>);
/// Name, value, reason.
type RejectedColumns = (Box<str>, Option<f64>, String);
/// Key, severity, raised, value, limit.
type FindingColumns = (String, String, bool, Option<f64>, Option<f64>);

pub struct RowReader<'a> {
    pub table: &'a SignalTable,
    pub model_versions: &'a ModelVersions,
}

impl RowReader<'_> {
    /// `row` begins with [`SELECT_LIST`] and is of this vehicle.
    pub fn read(&self, row: &SqliteRow, vehicle_id: &VehicleId) -> Result<Assessment, ArchiveError> {
        let mut columns = Columns { row, next: 1 };
        let recorded_at = Timestamp::from_micros(columns.take()?);
        let fingerprint = columns.take::<i64>()?.cast_unsigned();
        let received_at = Timestamp::from_micros(columns.take()?);
        let arrival = columns.take::<i64>()?.cast_unsigned();
        let revision = columns.take::<i64>()?.cast_unsigned();
        let timing = columns.code("timing", Timing::from_code)?.unwrap_or(Timing::InOrder);
        let boot_id = columns.take::<Option<i64>>()?.map(i64::cast_unsigned);
        let sequence = columns.take::<Option<i64>>()?.map(i64::cast_unsigned);
        let ignition = columns.code("ignition", Ignition::from_code)?;
        let position = columns.position()?;
        let dtcs: Vec<Box<str>> = columns.json("dtcs")?.unwrap_or_default();
        let extras: serde_json::Map<String, serde_json::Value> = columns.json("extras")?.unwrap_or_default();
        let rejected: Vec<RejectedColumns> = columns.json("rejected")?.unwrap_or_default();
        let _greatest_of_the_scores: Option<f64> = columns.take()?;
        let scores: Vec<ScoreColumns> = columns.json("scores")?.unwrap_or_default();
        let not_scored = columns.code("not_scored", NotScored::from_code)?;
        let findings: Vec<FindingColumns> = columns.json("findings")?.unwrap_or_default();
        let quality: Quality = columns.json("quality")?.unwrap_or_default();
        let lost_before_us = columns.take::<Option<i64>>()?.map_or(0, i64::cast_unsigned);
        let (mut signals, odometer_m) = columns.signals()?;
        Ok(Assessment {
            arrival,
            timing,
            not_scored,
            quality,
            lost_before_us,
            findings: findings.into_iter().map(finding).collect::<Result<_, _>>()?,
            revision,
            scores: scores.into_iter().map(|score| self.score(score)).collect::<Result<_, _>>()?,
            reading: Reading {
                vehicle_id: vehicle_id.clone(),
                recorded_at,
                received_at,
                fingerprint,
                boot_id,
                sequence,
                position,
                odometer_m,
                ignition,
                dtcs,
                extras: self.extras(extras, &mut signals),
                signals,
                rejected: rejected.into_iter().map(rejected_signal).collect::<Result<_, _>>()?,
            },
        })
    }

    fn score(&self, (number, score, raw, tail_probability): ScoreColumns) -> Result<ModelScore, ArchiveError> {
        let unknown = || ArchiveError::Unreadable { column: "readings.scores", value: format!("model version {number}") };
        let (model, version) = self.model_versions.get(&number).ok_or_else(unknown)?;
        Ok(ModelScore {
            model: Arc::clone(model),
            version: Arc::clone(version),
            // Null stands for what JSON cannot say.
            score: score.unwrap_or(f32::NAN),
            raw: raw.unwrap_or(f32::NAN),
            tail_probability: tail_probability.unwrap_or(f64::NAN),
        })
    }

    /// Declared signals go where they belong, the rest is returned in order of name.
    fn extras(&self, from: serde_json::Map<String, serde_json::Value>, signals: &mut SignalValues) -> Vec<(Box<str>, f64)> {
        let mut extras = Vec::with_capacity(from.len());
        for (name, value) in from {
            let Some(value) = value.as_f64() else { continue };
            match self.table.find(&name) {
                #[expect(clippy::cast_possible_truncation, reason = "it was written from an f32")]
                Some(id) => signals.set(id, value as f32),
                None => extras.push((name.into_boxed_str(), value)),
            }
        }
        extras.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        extras
    }
}

fn finding((key, severity, is_raised, value, limit): FindingColumns) -> Result<Finding, ArchiveError> {
    let unknown = || ArchiveError::Unreadable { column: "readings.findings", value: severity.clone() };
    let severity = Severity::from_code(&severity).ok_or_else(unknown)?;
    Ok(Finding { key: AlertKey::from_stored(&key), severity, is_raised, value, limit })
}

fn rejected_signal((name, value, reason): RejectedColumns) -> Result<RejectedSignal, ArchiveError> {
    let unknown = || ArchiveError::Unreadable { column: "readings.rejected", value: reason.clone() };
    let rejection = Rejection::from_code(&reason).ok_or_else(unknown)?;
    Ok(RejectedSignal { name, value: value.unwrap_or(f64::NAN), rejection })
}

/// Takes the columns of a row one after another.
struct Columns<'a> {
    row: &'a SqliteRow,
    next: usize,
}

impl<'a> Columns<'a> {
    fn take<T>(&mut self) -> Result<T, ArchiveError>
    where
        T: sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(database_error("read a reading"))
    }

    fn code<T>(&mut self, column: &'static str, from_code: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ArchiveError> {
        let code: Option<&str> = self.take()?;
        let unknown = |code: &str| ArchiveError::Unreadable { column, value: code.to_owned() };
        code.map(|code| from_code(code).ok_or_else(|| unknown(code))).transpose()
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, column: &'static str) -> Result<Option<T>, ArchiveError> {
        let text: Option<&str> = self.take()?;
        let unreadable = |text: &str| ArchiveError::Unreadable { column, value: text.to_owned() };
        text.map(|text| serde_json::from_str(text).map_err(|_| unreadable(text))).transpose()
    }

    #[expect(clippy::cast_possible_truncation, reason = "what was written from an f32 is read as one")]
    fn position(&mut self) -> Result<Option<Position>, ArchiveError> {
        let (latitude, longitude): (Option<f64>, Option<f64>) = (self.take()?, self.take()?);
        let details: [Option<f64>; 3] = [self.take()?, self.take()?, self.take()?];
        let (Some(latitude), Some(longitude)) = (latitude, longitude) else { return Ok(None) };
        let off_earth = |error| ArchiveError::Unreadable { column: "readings.latitude", value: format!("{error}") };
        let mut position = Position::new(latitude, longitude).map_err(off_earth)?;
        [position.altitude_m, position.heading_deg, position.accuracy_m] =
            details.map(|detail| detail.map(|detail| detail as f32));
        Ok(Some(position))
    }

    #[expect(clippy::cast_possible_truncation, reason = "signals are f32; the odometer is returned in full too")]
    fn signals(&mut self) -> Result<(SignalValues, Option<f64>), ArchiveError> {
        let mut signals = SignalValues::default();
        let mut odometer_m = None;
        for id in (0..SIGNALS.len()).filter_map(SignalId::from_index) {
            let Some(value): Option<f64> = self.take()? else { continue };
            signals.set(id, value as f32);
            if id == ODOMETER {
                odometer_m = Some(value);
            }
        }
        Ok((signals, odometer_m))
    }
}

//! A row of `readings` as the assessment it was, whichever archive it comes from.

use std::collections::HashMap;
use std::sync::Arc;

use super::ArchiveError;
use super::columns::{OPTIONAL, REQUIRED};
use crate::domain::signal::{ODOMETER, SIGNALS};
use crate::domain::{
    AlertKey, Assessment, Finding, Ignition, ModelScore, NotScored, Position, Quality, Reading, RejectedSignal, Rejection,
    Severity, SignalId, SignalTable, SignalValues, Timestamp, Timing, VehicleId,
};

/// The columns that [`RowReader`] reads, in order.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    let signals = SIGNALS.iter().map(|signal| signal.name);
    REQUIRED.iter().chain(OPTIONAL).copied().chain(signals)
}

/// Takes the values of a row one after another, as the archive at hand keeps them.
pub(super) trait Cells {
    fn integer(&mut self) -> Result<Option<i64>, ArchiveError>;
    fn maybe_time(&mut self) -> Result<Option<Timestamp>, ArchiveError>;
    fn flag(&mut self) -> Result<bool, ArchiveError>;
    fn single(&mut self) -> Result<Option<f32>, ArchiveError>;
    fn double(&mut self) -> Result<Option<f64>, ArchiveError>;
    /// Text, or JSON as text.
    fn text(&mut self) -> Result<Option<&str>, ArchiveError>;

    fn time(&mut self) -> Result<Timestamp, ArchiveError> {
        self.maybe_time()?.ok_or_else(|| ArchiveError::Unreadable { column: "a time", value: "null".to_owned() })
    }

    /// An unsigned number by its bits.
    fn required(&mut self, column: &'static str) -> Result<u64, ArchiveError> {
        let missing = || ArchiveError::Unreadable { column, value: "null".to_owned() };
        self.integer()?.map(i64::cast_unsigned).ok_or_else(missing)
    }
}

/// Model and version by their number.
pub(super) type ModelVersions = HashMap<i64, (Arc<str>, Arc<str>)>;

/// Number of the model version, score, raw, tail probability.
type ScoreColumns = (i64, Option<f32>, Option<f32>, Option<f64>);
/// Name, value, reason.
type RejectedColumns = (Box<str>, Option<f64>, String);
/// Key, severity, raised, value, limit.
type FindingColumns = (String, String, bool, Option<f64>, Option<f64>);

pub(super) struct RowReader<'a> {
    pub table: &'a SignalTable,
    pub model_versions: &'a ModelVersions,
}

impl RowReader<'_> {
    /// `row` begins with [`columns`] and is of this vehicle.
    pub fn read(&self, row: &mut impl Cells, vehicle_id: &VehicleId) -> Result<Assessment, ArchiveError> {
        let _number_of_the_vehicle = row.integer()?;
        let recorded_at = row.time()?;
        let fingerprint = row.required("fingerprint")?;
        let received_at = row.time()?;
        let arrival = row.required("arrival")?;
        let revision = row.required("revision")?;
        let timing = code(row, "timing", Timing::from_code)?.unwrap_or(Timing::InOrder);
        let boot_id = row.integer()?.map(i64::cast_unsigned);
        let sequence = row.integer()?.map(i64::cast_unsigned);
        let ignition = code(row, "ignition", Ignition::from_code)?;
        let position = position(row)?;
        let dtcs: Vec<Box<str>> = json(row, "dtcs")?.unwrap_or_default();
        let extras: serde_json::Map<String, serde_json::Value> = json(row, "extras")?.unwrap_or_default();
        let rejected: Vec<RejectedColumns> = json(row, "rejected")?.unwrap_or_default();
        let _greatest_of_the_scores = row.single()?;
        let scores: Vec<ScoreColumns> = json(row, "scores")?.unwrap_or_default();
        let not_scored = code(row, "not_scored", NotScored::from_code)?;
        let findings: Vec<FindingColumns> = json(row, "findings")?.unwrap_or_default();
        let quality: Quality = json(row, "quality")?.unwrap_or_default();
        let lost_before_us = row.integer()?.map_or(0, i64::cast_unsigned);
        let (mut signals, odometer_m) = signals(row)?;
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

fn code<T>(row: &mut impl Cells, column: &'static str, from_code: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ArchiveError> {
    let unknown = |code: &str| ArchiveError::Unreadable { column, value: code.to_owned() };
    row.text()?.map(|code| from_code(code).ok_or_else(|| unknown(code))).transpose()
}

fn json<T: serde::de::DeserializeOwned>(row: &mut impl Cells, column: &'static str) -> Result<Option<T>, ArchiveError> {
    let unreadable = |text: &str| ArchiveError::Unreadable { column, value: text.to_owned() };
    row.text()?.map(|text| serde_json::from_str(text).map_err(|_| unreadable(text))).transpose()
}

fn position(row: &mut impl Cells) -> Result<Option<Position>, ArchiveError> {
    let (latitude, longitude) = (row.double()?, row.double()?);
    let details = [row.single()?, row.single()?, row.single()?];
    let (Some(latitude), Some(longitude)) = (latitude, longitude) else { return Ok(None) };
    let off_earth = |error| ArchiveError::Unreadable { column: "readings.latitude", value: format!("{error}") };
    let mut position = Position::new(latitude, longitude).map_err(off_earth)?;
    [position.altitude_m, position.heading_deg, position.accuracy_m] = details;
    Ok(Some(position))
}

#[expect(clippy::cast_possible_truncation, reason = "the odometer is a signal, in f32, and is returned in full too")]
fn signals(row: &mut impl Cells) -> Result<(SignalValues, Option<f64>), ArchiveError> {
    let mut signals = SignalValues::default();
    let mut odometer_m = None;
    for id in (0..SIGNALS.len()).filter_map(SignalId::from_index) {
        if id == ODOMETER {
            odometer_m = row.double()?;
            odometer_m.inspect(|odometer_m| signals.set(id, *odometer_m as f32));
        } else if let Some(value) = row.single()? {
            signals.set(id, value);
        }
    }
    Ok((signals, odometer_m))
}

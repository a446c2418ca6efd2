//! The JSON that others read (CONTRACTS §8). Numbers are written as they are kept: f32 in its shortest form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::alert_forms::AlertForm;
use crate::domain::{Assessment, Position, Quality, Reading, SignalTable, Timestamp, VehicleId, VehicleRecord};
use crate::fleet::Vehicle;
use crate::storage::QuarantinedMessage;

#[derive(Debug, Serialize)]
pub struct VehicleForm<'a> {
    vehicle_id: &'a VehicleId,
    #[serde(flatten)]
    moment: MomentForm<'a>,
    state: &'static str,
    /// Readings that it numbered and that never came.
    lost_before_us: u64,
    open_alerts: Vec<AlertForm<'a>>,
    /// `None`: nobody registered it; its class is unknown.
    record: Option<&'a VehicleRecord>,
}

#[derive(Debug, Serialize)]
pub struct ReadingForm<'a> {
    #[serde(flatten)]
    moment: MomentForm<'a>,
    late: bool,
    timing: &'static str,
    arrival: u64,
}

/// What a vehicle and a reading have in common. The default one is of a vehicle that has not spoken yet.
#[derive(Debug, Default, Serialize)]
struct MomentForm<'a> {
    recorded_at: Option<Timestamp>,
    received_at: Option<Timestamp>,
    position: Option<PositionForm>,
    signals: Signals<'a>,
    #[serde(skip_serializing_if = "Extras::is_empty")]
    extras: Extras<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignition: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dtcs: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedForm<'a>>,
    score: Option<f32>,
    scores: Vec<ScoreForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_scored: Option<&'static str>,
    #[serde(skip_serializing_if = "Quality::is_good")]
    quality: Quality,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<FindingForm<'a>>,
}

/// A check that is at or beyond its limits.
#[derive(Debug, Serialize)]
struct FindingForm<'a> {
    key: &'a str,
    severity: &'static str,
    raised: bool,
    value: Option<f64>,
    limit: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PositionForm {
    latitude: f64,
    longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    altitude_m: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heading_deg: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy_m: Option<f32>,
}

#[derive(Debug, Serialize)]
struct RejectedForm<'a> {
    name: &'a str,
    /// `None`: not finite, which JSON cannot say.
    value: Option<f64>,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct ScoreForm<'a> {
    model: &'a str,
    version: &'a str,
    score: f32,
    raw: f32,
    tail_probability: f64,
}

#[derive(Debug, Default)]
struct Signals<'a>(Option<(&'a Reading, &'a SignalTable)>);

#[derive(Debug, Default)]
struct Extras<'a>(&'a [(Box<str>, f64)]);

#[derive(Debug, Serialize)]
pub struct QuarantinedForm<'a> {
    id: i64,
    received_at: Timestamp,
    source: &'static str,
    vehicle_id: &'a str,
    reason: &'static str,
    detail: &'a str,
    index: u32,
    payload_bytes: u64,
    payload_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_at: Option<Timestamp>,
}

impl<'a> VehicleForm<'a> {
    pub fn new(vehicle: &'a Vehicle, table: &'a SignalTable) -> Self {
        Self {
            vehicle_id: &vehicle.vehicle_id,
            moment: vehicle.newest.as_ref().map_or_else(MomentForm::default, |newest| MomentForm::new(newest, table)),
            state: vehicle.state.code(),
            lost_before_us: vehicle.newest.as_ref().map_or(0, |newest| newest.lost_before_us),
            open_alerts: vehicle.open_alerts.iter().map(|alert| AlertForm::new(alert)).collect(),
            record: vehicle.record.as_deref(),
        }
    }
}

impl<'a> ReadingForm<'a> {
    pub fn new(assessment: &'a Assessment, table: &'a SignalTable) -> Self {
        let timing = assessment.timing;
        let late = timing == crate::domain::Timing::Late;
        Self { moment: MomentForm::new(assessment, table), late, timing: timing.code(), arrival: assessment.arrival }
    }
}

impl<'a> MomentForm<'a> {
    fn new(assessment: &'a Assessment, table: &'a SignalTable) -> Self {
        let reading = &assessment.reading;
        let scores = assessment.scores.iter().map(|score| ScoreForm {
            model: &score.model,
            version: &score.version,
            score: score.score,
            raw: score.raw,
            tail_probability: score.tail_probability,
        });
        let findings = assessment.findings.iter().map(|finding| FindingForm {
            key: finding.key.as_str(),
            severity: finding.severity.code(),
            raised: finding.is_raised,
            value: finding.value,
            limit: finding.limit,
        });
        let rejected = reading.rejected.iter().map(|rejected| RejectedForm {
            name: &rejected.name,
            value: rejected.value.is_finite().then_some(rejected.value),
            reason: rejected.rejection.code(),
        });
        Self {
            recorded_at: Some(reading.recorded_at),
            received_at: Some(reading.received_at),
            position: reading.position.as_ref().map(PositionForm::new),
            signals: Signals(Some((reading, table))),
            extras: Extras(&reading.extras),
            ignition: reading.ignition.map(crate::domain::Ignition::code),
            dtcs: &reading.dtcs,
            boot_id: reading.boot_id,
            sequence: reading.sequence,
            rejected: rejected.collect(),
            score: assessment.score(),
            scores: scores.collect(),
            not_scored: assessment.not_scored.map(crate::domain::NotScored::code),
            quality: assessment.quality,
            findings: findings.collect(),
        }
    }
}

impl PositionForm {
    fn new(position: &Position) -> Self {
        Self {
            latitude: position.latitude(),
            longitude: position.longitude(),
            altitude_m: position.altitude_m,
            heading_deg: position.heading_deg,
            accuracy_m: position.accuracy_m,
        }
    }
}

impl Serialize for Signals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Some((reading, table))) = self else { return serializer.serialize_map(Some(0))?.end() };
        let mut map = serializer.serialize_map(Some(reading.signals.len()))?;
        for (id, value) in reading.signals.iter() {
            match reading.odometer_m {
                Some(odometer_m) if id == crate::domain::signal::ODOMETER => {
                    map.serialize_entry(table.get(id).name, &odometer_m)?;
                }
                _ => {
                    map.serialize_entry(table.get(id).name, &value)?;
                }
            }
        }
        map.end()
    }
}

impl Extras<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Extras<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'a> QuarantinedForm<'a> {
    pub fn new(from: &'a QuarantinedMessage) -> Self {
        let message = &from.message;
        Self {
            id: from.id,
            received_at: message.received_at,
            source: message.source.code(),
            vehicle_id: &message.vehicle_id,
            reason: message.reason.code(),
            detail: &message.detail,
            index: message.index,
            payload_bytes: message.payload_bytes,
            replayed_at: from.replayed_at,
            payload_base64: STANDARD.encode(&message.payload),
        }
    }
}

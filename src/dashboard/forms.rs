//! The JSON that others read (CONTRACTS §8). Numbers are written as they are kept: f32 in its shortest form.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::alert_forms::AlertForm;
use crate::domain::{
    Assessment, Ignition, NotScored, Position, Quality, Reading, Reason, Rejection, Severity, SignalTable, Source, Timestamp,
    Timing, VehicleId, VehicleRecord, VehicleState,
};
use crate::fleet::Vehicle;
use crate::storage::{QuarantinedMessage, ReadingsPage};
use crate::wire::schemas;

/// One vehicle as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Vehicle)]
pub struct VehicleForm<'a> {
    vehicle_id: &'a VehicleId,
    #[serde(flatten)]
    moment: MomentForm<'a>,
    #[schema(value_type = VehicleState)]
    state: &'static str,
    /// Readings that it numbered and that never came.
    lost_before_us: u64,
    open_alerts: Vec<AlertForm<'a>>,
    /// `null`: nobody registered it; its class is unknown.
    #[schema(required)]
    record: Option<&'a VehicleRecord>,
}

/// One reading as it is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArchivedReading)]
pub struct ReadingForm<'a> {
    #[serde(flatten)]
    moment: MomentForm<'a>,
    late: bool,
    #[schema(value_type = Timing)]
    timing: &'static str,
    /// Rises per slot.
    arrival: u64,
}

/// What a vehicle and a reading have in common. The default one is of a vehicle that has not spoken yet.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Moment)]
struct MomentForm<'a> {
    /// By the vehicle's clock.
    #[schema(required)]
    recorded_at: Option<Timestamp>,
    /// By ours.
    #[schema(required)]
    received_at: Option<Timestamp>,
    #[schema(required)]
    position: Option<PositionForm>,
    #[schema(value_type = schemas::Signals)]
    signals: Signals<'a>,
    /// What the signal table does not know.
    #[serde(skip_serializing_if = "Extras::is_empty")]
    #[schema(schema_with = schemas::numbers, required = false)]
    extras: Extras<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Ignition, required = false)]
    ignition: Option<&'static str>,
    /// Diagnostic trouble codes.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    dtcs: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    boot_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sequence: Option<u64>,
    /// Signals that cannot be believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedForm<'a>>,
    /// The highest of `scores`.
    #[schema(required)]
    score: Option<f32>,
    scores: Vec<ScoreForm<'a>>,
    /// Why `scores` is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = NotScored, required = false)]
    not_scored: Option<&'static str>,
    #[serde(skip_serializing_if = "Quality::is_good")]
    quality: Quality,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<FindingForm<'a>>,
}

/// A check that is at or beyond its limits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
struct FindingForm<'a> {
    key: &'a str,
    #[schema(value_type = Severity)]
    severity: &'static str,
    /// False: not beyond the limit that opens an alert, and not yet below the one that closes it.
    raised: bool,
    #[schema(required)]
    value: Option<f64>,
    #[schema(required)]
    limit: Option<f64>,
}

/// WGS 84.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Position)]
struct PositionForm {
    latitude: f64,
    longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    altitude_m: Option<f32>,
    /// Clockwise from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    heading_deg: Option<f32>,
    /// A radius.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    accuracy_m: Option<f32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rejected)]
struct RejectedForm<'a> {
    name: &'a str,
    /// `null`: not finite, which JSON cannot say.
    #[schema(required)]
    value: Option<f64>,
    #[schema(value_type = Rejection)]
    reason: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Score)]
struct ScoreForm<'a> {
    model: &'a str,
    version: &'a str,
    /// Calibrated: 0 to 1, 1 is most anomalous.
    score: f32,
    /// The model's own output.
    raw: f32,
    /// The share of held-out normal readings that score at least as high.
    tail_probability: f64,
}

#[derive(Debug, Default)]
struct Signals<'a>(Option<(&'a Reading, &'a SignalTable)>);

#[derive(Debug, Default)]
struct Extras<'a>(&'a [(Box<str>, f64)]);

/// A message, or an element of one, that was acknowledged and not believed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantined)]
pub struct QuarantinedForm<'a> {
    id: i64,
    received_at: Timestamp,
    #[schema(value_type = Source)]
    source: &'static str,
    /// As the sender named it.
    vehicle_id: &'a str,
    #[schema(value_type = Reason)]
    reason: &'static str,
    detail: &'a str,
    index: u32,
    payload_bytes: u64,
    /// At most 64 KiB of it.
    payload_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replayed_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Vehicles)]
pub struct VehiclesForm<'a> {
    /// In order of their ids.
    pub vehicles: Vec<VehicleForm<'a>>,
    /// `null`: there are no more.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readings)]
pub struct ReadingsForm<'a> {
    /// Oldest first.
    pub readings: Vec<ReadingForm<'a>>,
    /// `null`: there are no more.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub struct QuarantineForm<'a> {
    /// Newest first.
    pub messages: Vec<QuarantinedForm<'a>>,
    /// All that were ever refused, by reason.
    #[schema(schema_with = schemas::numbers)]
    pub counts: BTreeMap<String, u64>,
    /// `null`: there are no more.
    #[schema(required)]
    pub next_cursor: Option<String>,
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
        let late = timing == Timing::Late;
        Self { moment: MomentForm::new(assessment, table), late, timing: timing.code(), arrival: assessment.arrival }
    }
}

impl<'a> ReadingsForm<'a> {
    pub fn new(page: &'a ReadingsPage, table: &'a SignalTable) -> Self {
        let readings = page.readings.iter().map(|assessment| ReadingForm::new(assessment, table)).collect();
        Self { readings, next_cursor: page.next.map(|cursor| cursor.to_string()) }
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
            ignition: reading.ignition.map(Ignition::code),
            dtcs: &reading.dtcs,
            boot_id: reading.boot_id,
            sequence: reading.sequence,
            rejected: rejected.collect(),
            score: assessment.score(),
            scores: scores.collect(),
            not_scored: assessment.not_scored.map(NotScored::code),
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

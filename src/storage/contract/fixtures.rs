//! What the tests of the archive store: plain and full readings, refused messages, changes of alerts.

use std::sync::Arc;

use crate::domain::signal::{self, SIGNALS};
use crate::domain::{
    AlertEvent, AlertKey, Assessment, Finding, Ignition, ModelScore, NotScored, Position, PositionVerdict, Quality, Quarantined,
    Reading, Reason, RejectedSignal, Rejection, Severity, Signal, SignalId, SignalTable, SignalValues, Slot, Source, Timestamp,
    Timing, VehicleId,
};
use crate::storage::{ArchiveRecord, ReadingsQuery, SharedArchive};
use crate::wire::record::Record;

pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// 2026-11-24T00:00:00Z.
pub(crate) const MIDNIGHT: i64 = 1_795_478_400_000_000;

/// With one declared signal.
pub(crate) fn table() -> Arc<SignalTable> {
    let mut signals = SIGNALS.to_vec();
    signals.push(Signal {
        name: "cargo_temperature_celsius",
        unit: "celsius",
        vss_path: "",
        plausible: (-90.0, 90.0),
        hold: None,
    });
    Arc::new(SignalTable::new(signals))
}

pub(crate) fn at(recorded_at: i64) -> Assessment {
    let mut signals = SignalValues::default();
    signals.set(signal::SPEED, 63.2);
    Assessment {
        arrival: 1,
        timing: Timing::InOrder,
        scores: Vec::new(),
        not_scored: Some(NotScored::NoModel),
        quality: Quality::default(),
        lost_before_us: 0,
        findings: Vec::new(),
        revision: 0,
        reading: Reading {
            received_at: Timestamp::from_micros(recorded_at + 20_000),
            fingerprint: recorded_at.unsigned_abs().rotate_left(17),
            signals,
            ..Reading::bare(VehicleId::new("truck-7").unwrap(), Timestamp::from_micros(recorded_at))
        },
    }
}

pub(crate) fn by(vehicle_id: &str, recorded_at: i64) -> Assessment {
    let mut assessment = at(recorded_at);
    assessment.reading.vehicle_id = VehicleId::new(vehicle_id).unwrap();
    assessment
}

pub(crate) fn record(assessment: &Assessment) -> ArchiveRecord {
    let slot = assessment.reading.vehicle_id.slot();
    ArchiveRecord { slot, arrival: assessment.arrival, record: Record::Assessment(Box::new(assessment.clone())) }
}

pub(crate) fn a_refused_message(arrival: u64, payload: &'static [u8]) -> ArchiveRecord {
    let message = Quarantined {
        received_at: Timestamp::from_micros(MIDNIGHT),
        source: Source::Mqtt,
        vehicle_id: "truck 7".into(),
        reason: Reason::JsonSyntax,
        detail: "line 1".into(),
        payload: payload.into(),
        payload_bytes: payload.len() as u64,
        index: 3,
    };
    ArchiveRecord { slot: Slot::of("truck 7"), arrival, record: Record::Quarantined(Box::new(message)) }
}

pub(crate) fn all_of(vehicle_id: &str, limit: u32) -> ReadingsQuery {
    ReadingsQuery { vehicle_id: VehicleId::new(vehicle_id).unwrap(), from: None, to: None, after: None, limit }
}

pub(crate) async fn history(archive: &SharedArchive, vehicle_id: &str) -> Vec<Assessment> {
    archive.readings(&all_of(vehicle_id, 10_000)).await.unwrap().map_or_else(Vec::new, |page| page.readings)
}

pub(crate) fn times(readings: &[Assessment]) -> Vec<i64> {
    readings.iter().map(|assessment| assessment.reading.recorded_at.as_micros()).collect()
}

pub(crate) fn a_full_assessment() -> Assessment {
    let mut full = at(MIDNIGHT + 123_456);
    for index in 0..=SIGNALS.len() {
        full.reading.signals.set(SignalId::from_index(index).unwrap(), 0.1 + f32::from(u8::try_from(index).unwrap()));
    }
    full.reading.odometer_m = Some(123_456_789.123);
    full.reading.signals.set(signal::ODOMETER, 123_456_790.0);
    let mut position = Position::new(49.012_345_678, -8.404_1).unwrap();
    (position.altitude_m, position.heading_deg, position.accuracy_m) = (Some(118.3), Some(271.5), Some(4.1));
    full.reading.position = Some(position);
    full.reading.fingerprint = u64::MAX - 5;
    full.reading.boot_id = Some(u64::MAX);
    full.reading.sequence = Some(4711);
    full.findings = vec![Finding {
        key: AlertKey::rule("overheating"),
        severity: Severity::Warning,
        is_raised: false,
        value: Some(109.5),
        limit: None,
    }];
    full.reading.ignition = Some(Ignition::Acc);
    full.reading.dtcs = vec!["P0301".into(), "U0100\"".into()];
    full.reading.extras = vec![("door_state".into(), 1e-7), ("wiper".into(), -2.5)];
    full.reading.rejected = vec![RejectedSignal { name: "gear".into(), value: 99.5, rejection: Rejection::OutOfRange }];
    full.timing = Timing::Delayed;
    let score =
        |model: &str, score| ModelScore { model: model.into(), version: "1.2".into(), score, raw: 3e-9, tail_probability: 1e-12 };
    full.scores = vec![score("forest", 0.25), score("drift", 0.9)];
    full.not_scored = None;
    full.quality = Quality {
        stuck: 1 << signal::ENGINE_LOAD.index(),
        position: Some(PositionVerdict::Jump),
        is_clock_frozen: true,
        has_sequence_conflict: true,
    };
    full.lost_before_us = 12;
    full.arrival = u64::MAX / 2;
    full.revision = 7;
    full
}

pub(crate) fn event_record(event: &AlertEvent) -> ArchiveRecord {
    ArchiveRecord { slot: event.alert.vehicle_id.slot(), arrival: 1, record: Record::AlertEvent(Box::new(event.clone())) }
}

//! What the journal keeps, between its domain form and protobuf. Encoding uses its buffers again and so allocates nothing
//! for an ordinary reading.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::alert::{alert_event_from_proto, alert_event_to_proto};
use super::proto::journal::v1::{self as journal, record::Kind};
use super::proto::v1::TelemetryReading;
use super::reading::{
    ignition_from_proto, position_from_proto, reading_to_proto, signals_from_proto, timestamp_from_proto, timestamp_to_proto,
};
use crate::domain::{
    Alert, AlertEvent, AlertKey, Assessment, Change, Finding, ModelScore, NotScored, PositionVerdict, Quality, Quarantined,
    Reading, Reason, RejectedSignal, Rejection, Severity, SignalTable, Source, Timing, VehicleId,
};

/// One record of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Assessment(Box<Assessment>),
    Quarantined(Box<Quarantined>),
    AlertEvent(Box<AlertEvent>),
}

/// A record that passed its checksum and yet makes no sense: written by a newer version, or a defect of ours.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("journal record is no protobuf of this version: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("journal record has no valid {field}")]
    Field { field: &'static str },
}

/// What a lane has found out about a reading, borrowed for encoding.
#[derive(Debug, Clone, Copy)]
pub struct Assessed<'a> {
    pub reading: &'a Reading,
    pub timing: Timing,
    pub scores: &'a [ModelScore],
    pub not_scored: Option<NotScored>,
    pub quality: Quality,
    pub lost_before_us: u64,
    pub findings: &'a [Finding],
    pub revision: u64,
}

/// Encodes records one after another into a caller's buffer.
#[derive(Debug)]
pub struct RecordEncoder {
    table: Arc<SignalTable>,
    record: journal::Record,
}

impl RecordEncoder {
    #[must_use]
    pub fn new(table: Arc<SignalTable>) -> Self {
        Self { table, record: journal::Record { kind: Some(Kind::Assessment(journal::Assessment::default())) } }
    }

    /// Appends the protobuf of one assessment to `out`.
    pub fn assessment(&mut self, from: Assessed<'_>, out: &mut Vec<u8>) {
        let Some(Kind::Assessment(into)) = &mut self.record.kind else { unreachable!("set in new and never replaced") };
        let table = &self.table;
        let reading = into.reading.get_or_insert_with(TelemetryReading::default);
        reading_to_proto(from.reading, |id| table.get(id).name, reading);
        into.received_at = Some(timestamp_to_proto(from.reading.received_at));
        into.fingerprint = from.reading.fingerprint;
        into.set_timing(match from.timing {
            Timing::InOrder => journal::Timing::InOrder,
            Timing::Late => journal::Timing::Late,
            Timing::Delayed => journal::Timing::Delayed,
            Timing::Future => journal::Timing::Future,
        });
        into.rejected.clear();
        into.rejected.extend(from.reading.rejected.iter().map(|rejected| journal::RejectedSignal {
            name: rejected.name.to_string(),
            value: rejected.value,
            reason: rejected.rejection.code().to_owned(),
        }));
        into.scores.resize_with(from.scores.len(), journal::ModelScore::default);
        for (into, score) in into.scores.iter_mut().zip(from.scores) {
            refill(&mut into.model, &score.model);
            refill(&mut into.version, &score.version);
            into.score = score.score;
            into.raw = score.raw;
            into.tail_probability = score.tail_probability;
        }
        refill(&mut into.not_scored, from.not_scored.map_or("", NotScored::code));
        into.findings.clear();
        into.findings.extend(from.findings.iter().map(|finding| journal::Finding {
            key: finding.key.to_string(),
            severity: finding.severity.code().to_owned(),
            raised: finding.is_raised,
            value: finding.value,
            limit: finding.limit,
        }));
        into.quality = (!from.quality.is_good()).then(|| quality_to_proto(&from.quality));
        into.lost_before_us = from.lost_before_us;
        into.revision = from.revision;
        self.record.encode(out).expect("a Vec grows as needed");
    }

    /// Appends the protobuf of one refused message to `out`.
    pub fn quarantined(from: &Quarantined, out: &mut Vec<u8>) {
        let record = journal::Record {
            kind: Some(Kind::Quarantined(journal::Quarantined {
                received_at: Some(timestamp_to_proto(from.received_at)),
                source: from.source.code().to_owned(),
                vehicle_id: from.vehicle_id.to_string(),
                reason: from.reason.code().to_owned(),
                detail: from.detail.to_string(),
                payload: from.payload.to_vec(),
                payload_bytes: from.payload_bytes,
                index: from.index,
            })),
        };
        record.encode(out).expect("a Vec grows as needed");
    }

    /// Appends the protobuf of one change of an alert to `out`.
    pub fn alert_event(from: &AlertEvent, out: &mut Vec<u8>) {
        let record = journal::Record { kind: Some(Kind::AlertEvent(alert_event_to_proto(from))) };
        record.encode(out).expect("a Vec grows as needed");
    }
}

/// A change of an alert, as a record of its own.
#[must_use]
pub fn alert_event_record(from: &AlertEvent) -> Bytes {
    let mut record = Vec::new();
    RecordEncoder::alert_event(from, &mut record);
    record.into()
}

/// An alert as it is, in the form of a change that says nothing.
#[must_use]
pub fn alert_record(alert: Alert) -> Bytes {
    alert_event_record(&AlertEvent { change: Change::Updated, at: alert.last_seen_at, alert })
}

/// Reads a record that can only be a change of an alert.
///
/// # Errors
/// Where it is none of this version.
pub fn decode_alert_event(record: &[u8]) -> Result<AlertEvent, RecordError> {
    // Nothing of an alert stands in the table of signals.
    match decode_record(record, 0, &SignalTable::default())? {
        Record::AlertEvent(event) => Ok(*event),
        Record::Assessment(_) | Record::Quarantined(_) => Err(missing("alert_event")),
    }
}

/// Whether a record is a change of an alert, without decoding it.
#[must_use]
pub fn is_alert_event(record: &[u8]) -> bool {
    /// Field 3 of `Record`, length-delimited: a record has one field, so it is always the first byte.
    const ALERT_EVENT: u8 = (3 << 3) | 2;
    record.first() == Some(&ALERT_EVENT)
}

fn refill(into: &mut String, from: &str) {
    into.clear();
    into.push_str(from);
}

/// Reads one record back. `arrival` stands in the frame around it.
///
/// # Errors
/// [`RecordError`] where the bytes are not what this version writes.
pub fn decode_record(bytes: &[u8], arrival: u64, table: &SignalTable) -> Result<Record, RecordError> {
    match journal::Record::decode(bytes)?.kind {
        Some(Kind::Assessment(assessment)) => {
            Ok(Record::Assessment(Box::new(assessment_from_proto(assessment, arrival, table)?)))
        }
        Some(Kind::Quarantined(quarantined)) => Ok(Record::Quarantined(Box::new(quarantined_from_proto(quarantined)?))),
        Some(Kind::AlertEvent(event)) => Ok(Record::AlertEvent(Box::new(alert_event_from_proto(event)?))),
        None => Err(RecordError::Field { field: "kind" }),
    }
}

pub(super) fn missing(field: &'static str) -> RecordError {
    RecordError::Field { field }
}

pub(super) fn assessment_from_proto(
    from: journal::Assessment,
    arrival: u64,
    table: &SignalTable,
) -> Result<Assessment, RecordError> {
    let timing = match from.timing() {
        journal::Timing::InOrder => Timing::InOrder,
        journal::Timing::Late => Timing::Late,
        journal::Timing::Delayed => Timing::Delayed,
        journal::Timing::Future => Timing::Future,
        journal::Timing::Unspecified => return Err(missing("timing")),
    };
    let reading = from.reading.ok_or_else(|| missing("reading"))?;
    let ignition = ignition_from_proto(reading.ignition());
    let sent = reading.signals.unwrap_or_default();
    let mut signals = signals_from_proto(&sent);
    let mut extras = Vec::with_capacity(reading.extras.len());
    for (name, value) in reading.extras {
        match table.find(&name) {
            #[expect(clippy::cast_possible_truncation, reason = "it was written from an f32")]
            Some(id) => signals.set(id, value as f32),
            None => extras.push((name.into_boxed_str(), value)),
        }
    }
    let rejected = from.rejected.into_iter().map(|rejected| {
        let rejection = Rejection::from_code(&rejected.reason).ok_or_else(|| missing("rejected.reason"))?;
        Ok(RejectedSignal { name: rejected.name.into_boxed_str(), value: rejected.value, rejection })
    });
    let position = reading.position.as_ref().map(position_from_proto).transpose().map_err(|_| missing("position"))?;
    let scores = from.scores.into_iter().map(|score| ModelScore {
        model: score.model.into(),
        version: score.version.into(),
        score: score.score,
        raw: score.raw,
        tail_probability: score.tail_probability,
    });
    let not_scored = match from.not_scored.as_str() {
        "" => None,
        code => Some(NotScored::from_code(code).ok_or_else(|| missing("not_scored"))?),
    };
    let findings = from.findings.into_iter().map(|finding| {
        let severity = Severity::from_code(&finding.severity).ok_or_else(|| missing("findings.severity"))?;
        let key = AlertKey::from_stored(&finding.key);
        Ok(Finding { key, severity, is_raised: finding.raised, value: finding.value, limit: finding.limit })
    });
    let quality = from.quality.as_ref().map(quality_from_proto).transpose()?.unwrap_or_default();
    Ok(Assessment {
        arrival,
        quality,
        lost_before_us: from.lost_before_us,
        timing,
        scores: scores.collect(),
        findings: findings.collect::<Result<_, RecordError>>()?,
        not_scored,
        revision: from.revision,
        reading: Reading {
            vehicle_id: VehicleId::new(&reading.vehicle_id).map_err(|_| missing("vehicle_id"))?,
            recorded_at: reading.recorded_at.as_ref().and_then(timestamp_from_proto).ok_or_else(|| missing("recorded_at"))?,
            received_at: from.received_at.as_ref().and_then(timestamp_from_proto).ok_or_else(|| missing("received_at"))?,
            fingerprint: from.fingerprint,
            boot_id: reading.boot_id,
            sequence: reading.sequence,
            position,
            odometer_m: sent.odometer_m,
            signals,
            ignition,
            dtcs: reading.dtcs.into_iter().map(String::into_boxed_str).collect(),
            extras,
            rejected: rejected.collect::<Result<_, RecordError>>()?,
        },
    })
}

fn quality_to_proto(from: &Quality) -> journal::Quality {
    journal::Quality {
        stuck: from.stuck_names().map(str::to_owned).collect(),
        position: from.position.map_or("", PositionVerdict::code).to_owned(),
        clock_frozen: from.is_clock_frozen,
        sequence_conflict: from.has_sequence_conflict,
    }
}

fn quality_from_proto(from: &journal::Quality) -> Result<Quality, RecordError> {
    let position = match from.position.as_str() {
        "" => None,
        code => Some(PositionVerdict::from_code(code).ok_or_else(|| missing("quality.position"))?),
    };
    Ok(Quality {
        stuck: Quality::bits_of(from.stuck.iter().map(String::as_str)),
        position,
        is_clock_frozen: from.clock_frozen,
        has_sequence_conflict: from.sequence_conflict,
    })
}

fn quarantined_from_proto(from: journal::Quarantined) -> Result<Quarantined, RecordError> {
    Ok(Quarantined {
        received_at: from.received_at.as_ref().and_then(timestamp_from_proto).ok_or_else(|| missing("received_at"))?,
        source: Source::from_code(&from.source).ok_or_else(|| missing("source"))?,
        vehicle_id: from.vehicle_id.into_boxed_str(),
        reason: Reason::from_code(&from.reason).ok_or_else(|| missing("reason"))?,
        detail: from.detail.into_boxed_str(),
        payload: Bytes::from(from.payload),
        payload_bytes: from.payload_bytes,
        index: from.index,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::{Ignition, Position, SignalValues, Timestamp, signal};

    pub(crate) fn a_full_assessment() -> Assessment {
        let mut signals = SignalValues::default();
        signals.set(signal::SPEED, 63.2);
        signals.set(signal::ODOMETER, 123_456_792.0);
        Assessment {
            arrival: 17,
            timing: Timing::Delayed,
            scores: vec![ModelScore { model: "a".into(), version: "1".into(), score: 0.5, raw: 2.5, tail_probability: 0.5 }],
            not_scored: None,
            quality: Quality {
                stuck: 1 << signal::SPEED.index(),
                position: Some(PositionVerdict::Frozen),
                is_clock_frozen: true,
                has_sequence_conflict: true,
            },
            lost_before_us: 7,
            findings: vec![Finding {
                key: AlertKey::rule("overheating"),
                severity: Severity::Critical,
                is_raised: true,
                value: Some(121.0),
                limit: None,
            }],
            revision: 3,
            reading: Reading {
                vehicle_id: VehicleId::new("truck-7").unwrap(),
                recorded_at: Timestamp::from_micros(1_764_000_000_123_456),
                received_at: Timestamp::from_micros(1_764_000_000_223_456),
                fingerprint: u64::MAX,
                boot_id: Some(2),
                sequence: Some(4711),
                position: Some(Position::new(49.0123, 8.4041).unwrap()),
                odometer_m: Some(123_456_789.5),
                signals,
                ignition: Some(Ignition::On),
                dtcs: vec!["P0301".into()],
                extras: vec![("wiper_stage".into(), 2.0)],
                rejected: vec![RejectedSignal { name: "gear".into(), value: 99.0, rejection: Rejection::OutOfRange }],
            },
        }
    }

    #[test]
    fn a_record_read_back_is_the_record_written() {
        let table = Arc::new(SignalTable::default());
        let mut encoder = RecordEncoder::new(Arc::clone(&table));
        let written = a_full_assessment();
        // Twice, since buffers are used again.
        for _ in 0..2 {
            let mut bytes = Vec::new();
            let assessed = Assessed {
                reading: &written.reading,
                timing: written.timing,
                scores: &written.scores,
                not_scored: written.not_scored,
                quality: written.quality,
                lost_before_us: written.lost_before_us,
                findings: &written.findings,
                revision: written.revision,
            };
            encoder.assessment(assessed, &mut bytes);
            assert_eq!(decode_record(&bytes, 17, &table).unwrap(), Record::Assessment(Box::new(written.clone())));
        }
    }
}

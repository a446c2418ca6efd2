//! Readings to the payloads that vehicles send (CONTRACTS §2): the other direction of the decoder, for the simulator, replay and
//! bench. Does not judge: what a reading has rejected is not sent.

use std::io::Write;
use std::sync::Arc;

use prost::Message;

use super::proto::v1;
use super::reading::reading_to_proto;
use crate::domain::{Position, Reading, SignalTable, signal};

/// Appends the JSON object of one reading to `out`. The vehicle's id is not in it: the topic or address names the vehicle.
pub fn encode_json(reading: &Reading, table: &SignalTable, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"recorded_at\":\"");
    write!(out, "{}", reading.recorded_at).expect("a Vec grows as needed");
    out.push(b'"');
    if let Some(boot_id) = reading.boot_id {
        field(b",\"boot_id\":", &boot_id, out);
    }
    if let Some(sequence) = reading.sequence {
        field(b",\"sequence\":", &sequence, out);
    }
    if let Some(position) = &reading.position {
        encode_position(position, out);
    }
    encode_signals(reading, table, out);
    if !reading.dtcs.is_empty() {
        field(b",\"dtcs\":", &reading.dtcs, out);
    }
    if let Some(ignition) = reading.ignition {
        field(b",\"ignition\":", ignition.code(), out);
    }
    out.push(b'}');
}

/// Appends one object for one reading, else the array that a vehicle sends after it was out of coverage.
pub fn encode_json_message<'a>(readings: impl IntoIterator<Item = &'a Reading>, table: &SignalTable, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'[');
    let mut count = 0;
    for reading in readings {
        if count > 0 {
            out.push(b',');
        }
        encode_json(reading, table, out);
        count += 1;
    }
    if count == 1 {
        out.remove(start);
    } else {
        out.push(b']');
    }
}

/// Encodes `TelemetryBatch` payloads; its buffers are used again.
#[derive(Debug)]
pub struct ProtobufEncoder {
    table: Arc<SignalTable>,
    batch: v1::TelemetryBatch,
}

impl ProtobufEncoder {
    #[must_use]
    pub fn new(table: Arc<SignalTable>) -> Self {
        Self { table, batch: v1::TelemetryBatch::default() }
    }

    /// Appends one payload with all `readings`, which are of one vehicle.
    pub fn encode(&mut self, readings: &[Reading], out: &mut Vec<u8>) {
        self.batch.readings.resize_with(readings.len(), v1::TelemetryReading::default);
        for (reading, into) in readings.iter().zip(&mut self.batch.readings) {
            reading_to_proto(reading, |id| self.table.get(id).name, into);
        }
        self.batch.encode(out).expect("a Vec grows as needed");
    }
}

fn encode_position(position: &Position, out: &mut Vec<u8>) {
    field(b",\"position\":{\"latitude\":", &position.latitude(), out);
    field(b",\"longitude\":", &position.longitude(), out);
    if let Some(altitude_m) = position.altitude_m {
        field(b",\"altitude_m\":", &altitude_m, out);
    }
    if let Some(heading_deg) = position.heading_deg {
        field(b",\"heading_deg\":", &heading_deg, out);
    }
    if let Some(accuracy_m) = position.accuracy_m {
        field(b",\"accuracy_m\":", &accuracy_m, out);
    }
    out.push(b'}');
}

/// All in one object, extras too: the receiver's table tells what is declared.
fn encode_signals(reading: &Reading, table: &SignalTable, out: &mut Vec<u8>) {
    let without_signals = reading.signals.is_empty() && reading.odometer_m.is_none() && reading.extras.is_empty();
    if without_signals {
        return;
    }
    out.extend_from_slice(b",\"signals\":{");
    if let Some(odometer_m) = reading.odometer_m {
        named(table.get(signal::ODOMETER).name, out);
        value(&odometer_m, out);
        out.push(b',');
    }
    for (id, number) in reading.signals.iter() {
        // Its rounded form would contradict the one above.
        if id != signal::ODOMETER || reading.odometer_m.is_none() {
            named(table.get(id).name, out);
            value(&number, out);
            out.push(b',');
        }
    }
    for (name, number) in &reading.extras {
        value(&**name, out);
        out.push(b':');
        value(number, out);
        out.push(b',');
    }
    out.pop();
    out.push(b'}');
}

/// A key that needs no escapes: names of the signal table are checked when it is made.
fn named(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn field(key: &[u8], content: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    value(content, out);
}

/// The shortest text that reads back to the same number; a number that is not finite becomes null, which means missing.
fn value(content: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, content).expect("numbers and texts always serialise, and a Vec grows as needed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Ignition, SignalValues, Timestamp, VehicleId};

    fn a_reading() -> Reading {
        let mut signals = SignalValues::default();
        signals.set(signal::SPEED, 63.2);
        signals.set(signal::ODOMETER, 123_456_789.0);
        signals.set(signal::ENGINE_SPEED, 2_110.0);
        let mut position = Position::new(49.0123, 8.4041).unwrap();
        position.heading_deg = Some(271.5);
        Reading {
            vehicle_id: VehicleId::new("truck-7").unwrap(),
            recorded_at: "2026-11-24T03:17:00.250Z".parse().unwrap(),
            received_at: Timestamp::default(),
            fingerprint: 0,
            boot_id: Some(3),
            sequence: Some(4_711),
            position: Some(position),
            odometer_m: Some(123_456_789.25),
            signals,
            ignition: Some(Ignition::On),
            dtcs: vec!["P0301".into()],
            extras: vec![("door \"left\"".into(), 1.0)],
            rejected: Vec::new(),
        }
    }

    #[test]
    fn a_reading_is_the_json_of_the_contract() {
        let mut out = Vec::new();
        encode_json(&a_reading(), &SignalTable::default(), &mut out);
        let expected = r#"{"recorded_at":"2026-11-24T03:17:00.25Z","boot_id":3,"sequence":4711,"position":{"latitude":49.0123,"longitude":8.4041,"heading_deg":271.5},"signals":{"odometer_m":123456789.25,"speed_km_per_h":63.2,"engine_speed_rpm":2110.0,"door \"left\"":1.0},"dtcs":["P0301"],"ignition":"on"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn several_readings_are_an_array_and_one_is_an_object() {
        let (reading, table) = (a_reading(), SignalTable::default());
        for count in [1_usize, 3] {
            let mut out = b"before".to_vec();
            encode_json_message(std::iter::repeat_n(&reading, count), &table, &mut out);
            let parsed: serde_json::Value = serde_json::from_slice(&out[b"before".len()..]).unwrap();
            assert_eq!(parsed.as_array().map(Vec::len), (count > 1).then_some(count));
        }
    }

    #[test]
    fn protobuf_begins_with_the_byte_that_tells_it_from_json_and_reads_back() {
        let mut encoder = ProtobufEncoder::new(Arc::new(SignalTable::default()));
        let mut out = Vec::new();
        encoder.encode(&[a_reading(), a_reading()], &mut out);
        assert_eq!(out[0], 0x12);
        let batch = v1::TelemetryBatch::decode(&out[..]).unwrap();
        assert_eq!(batch.readings.len(), 2);
        assert_eq!(batch.readings[1].signals.as_ref().unwrap().odometer_m, Some(123_456_789.25));
    }
}

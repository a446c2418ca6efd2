//! Decoding as a whole: what CONTRACTS promise about payloads.

mod agreement;

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::decode::{DecodeContext, Decoded, Format, MAX_READINGS_PER_MESSAGE, decode};
use super::proto::v1;
use crate::domain::signal::{self, SIGNALS};
use crate::domain::{Ignition, MAX_KEPT_PAYLOAD_BYTES, Reading, Reason, Rejection, SignalTable, Source, Timestamp, VehicleId};

const EXAMPLE: &str = r#"{"recorded_at":"2026-11-24T03:17:00.250Z","sequence":4711,"position":{"latitude":49.0123,"longitude":8.4041,"altitude_m":118.0,"heading_deg":271.5,"accuracy_m":4.0},
 "signals":{"speed_km_per_h":63.2,"engine_speed_rpm":2110,"coolant_temperature_celsius":91.0,"battery_voltage_v":14.1},"dtcs":["P0301"],"ignition":"on"}"#;

static TABLE: LazyLock<SignalTable> = LazyLock::new(SignalTable::default);
static VEHICLE: LazyLock<VehicleId> = LazyLock::new(|| VehicleId::new("truck-7").unwrap());

fn received_at() -> Timestamp {
    "2026-11-24T03:17:01Z".parse().unwrap()
}

fn decoded(payload: impl Into<Bytes>) -> Decoded {
    decoded_as(payload, None)
}

fn decoded_as(payload: impl Into<Bytes>, format: Option<Format>) -> Decoded {
    let context = DecodeContext {
        vehicle_id: &VEHICLE,
        received_at: received_at(),
        source: Source::Mqtt,
        retention: Duration::from_hours(24 * 400),
        table: &TABLE,
        format,
    };
    decode(&payload.into(), &context)
}

#[track_caller]
fn accepted(payload: impl Into<Bytes>) -> Reading {
    let mut decoded = decoded(payload);
    assert!(decoded.quarantined.is_empty(), "{:?}", decoded.quarantined);
    assert_eq!(decoded.readings.len(), 1);
    decoded.readings.remove(0)
}

#[track_caller]
fn refused(payload: impl Into<Bytes>) -> (Reason, String) {
    let decoded = decoded(payload);
    assert!(decoded.readings.is_empty(), "{:?}", decoded.readings);
    assert_eq!(decoded.quarantined.len(), 1);
    (decoded.quarantined[0].reason, decoded.quarantined[0].detail.to_string())
}

/// A reading of which only `rest` is interesting.
fn with(rest: &str) -> String {
    format!(r#"{{"recorded_at":"2026-11-24T03:17:00Z",{rest}}}"#)
}

fn to_proto(reading: &Reading) -> v1::TelemetryReading {
    let mut message = v1::TelemetryReading::default();
    super::reading::reading_to_proto(reading, |id| TABLE.get(id).name, &mut message);
    message
}

#[test]
fn the_example_of_the_contract_is_read_in_full() {
    let reading = accepted(EXAMPLE);
    assert_eq!(reading.recorded_at.to_string(), "2026-11-24T03:17:00.25Z");
    assert_eq!((reading.sequence, reading.boot_id), (Some(4711), None));
    let position = reading.position.unwrap();
    assert_eq!((position.latitude(), position.longitude()), (49.0123, 8.4041));
    assert_eq!((position.altitude_m, position.heading_deg, position.accuracy_m), (Some(118.0), Some(271.5), Some(4.0)));
    assert_eq!(reading.signals.get(signal::SPEED), Some(63.2));
    assert_eq!(reading.signals.len(), 4);
    assert_eq!(reading.ignition, Some(Ignition::On));
    assert_eq!(&*reading.dtcs[0], "P0301");
    assert_eq!(reading.fingerprint, reading.compute_fingerprint());
}

#[test]
fn elements_of_an_array_are_judged_one_by_one() {
    let good = with(r#""signals":{"gear":1}"#);
    let wrong = with(r#""signals":{"speed_km_per_h":"fast","gear":[{"deep":[1]}]}"#);
    let twice = with(r#""sequence":1,"signals":{"gear":1},"sequence":1"#);
    let decoded = decoded(format!("[{good},{wrong},{twice},17,{good}]"));
    assert_eq!(decoded.readings.len(), 2);
    let quarantined: Vec<_> = decoded.quarantined.iter().map(|one| (one.index, one.reason, &*one.detail)).collect();
    assert_eq!(
        quarantined,
        [
            (1, Reason::WrongType, "[1].signals.speed_km_per_h: a number is expected, found a string"),
            (2, Reason::DuplicateKey, "[2].sequence: stands there twice"),
            (3, Reason::WrongType, "[3]: a reading (an object) is expected, found a number"),
        ]
    );
    // The message is kept once.
    assert!(!decoded.quarantined[0].payload.is_empty() && decoded.quarantined[1].payload.is_empty());
}

#[test]
fn a_syntax_error_refuses_the_whole_message_whatever_came_before() {
    let good = with(r#""signals":{"gear":1}"#);
    assert_eq!(refused(format!("[{good},{{]")).0, Reason::JsonSyntax);
    assert_eq!(refused(format!("{good} x")).0, Reason::JsonSyntax);
    assert_eq!(refused(with(r#""signals":{"gear":"one"},"#)).0, Reason::JsonSyntax);
    assert_eq!(refused(format!("\u{feff}{good}")).0, Reason::JsonSyntax);
    assert_eq!(refused(&b"{\"recorded_at\":\"\xff\"}"[..]).0, Reason::JsonSyntax);
    assert_eq!(refused(" ").0, Reason::JsonSyntax);
    assert_eq!(refused("").0, Reason::EmptyPayload);
    assert_eq!(refused("[]").0, Reason::EmptyBatch);
    assert_eq!(refused("null").0, Reason::WrongType);
}

#[test]
fn numbers_that_are_not_finite_or_out_of_range_are_rejected_and_leave_the_reading() {
    let reading = accepted(with(
        r#""signals":{"speed_km_per_h":1e999,"gear":-1e39,"odometer_m":-1,"battery_voltage_v":14.1,"wiper":1e999}"#,
    ));
    let rejected: Vec<_> = reading.rejected.iter().map(|one| (&*one.name, one.value, one.rejection)).collect();
    assert_eq!(
        rejected,
        [
            ("gear", -1e39, Rejection::NotFinite),
            ("odometer_m", -1.0, Rejection::OutOfRange),
            ("speed_km_per_h", f64::INFINITY, Rejection::NotFinite),
            ("wiper", f64::INFINITY, Rejection::NotFinite),
        ]
    );
    assert_eq!(reading.signals.len(), 1);
    assert!(accepted(with(r#""signals":{"speed_km_per_h":300}"#)).rejected.is_empty());
    assert_eq!(accepted(with(r#""signals":{"speed_km_per_h":300.1}"#)).rejected.len(), 1);
}

#[test]
fn an_element_with_half_a_surrogate_pair_spares_its_neighbours() {
    let good = with(r#""signals":{"gear":1e999}"#);
    let bad = with(r#""ignition":"\ud800","signals":{"gear":1}"#);
    let bad_key = with(r#""signals":{"\ud800":1}"#);
    let decoded = decoded(format!("[{good},{bad},{bad_key}]"));
    assert_eq!(decoded.readings.len(), 1);
    let details: Vec<_> = decoded.quarantined.iter().map(|one| (one.reason, &*one.detail)).collect();
    assert_eq!(
        details,
        [
            (Reason::WrongType, "[1].ignition: a string is expected, found a string that is not Unicode"),
            (Reason::WrongType, "[2].signals: an object is expected, found a string that is not Unicode"),
        ]
    );
}

#[test]
fn undeclared_signals_become_extras_up_to_64() {
    let names: Vec<String> = (0..70).rev().map(|index| format!(r#""extra_{index:02}":{index}"#)).collect();
    let reading = accepted(with(&format!(r#""signals":{{{},"{}":1,"none":null}}"#, names.join(","), "y".repeat(65))));
    assert_eq!(reading.extras.len(), 64);
    assert_eq!(reading.extras[0], ("extra_00".into(), 0.0));
    assert!(reading.extras.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(reading.rejected.len(), 7);
    assert!(reading.rejected.iter().all(|one| one.rejection == Rejection::TooManyExtras && one.name.len() <= 64));
    assert_eq!(
        refused(with(r#""signals":{"wiper":1,"wiper":1}"#)),
        (Reason::DuplicateKey, "signals.wiper: stands there twice".into())
    );
    assert_eq!(refused(with(r#""signals":{"gear":null,"gear":1}"#)).0, Reason::DuplicateKey);
}

#[test]
fn null_means_missing() {
    let reading = accepted(with(
        r#""sequence":null,"position":{"latitude":null,"longitude":null},"signals":{"gear":1,"speed_km_per_h":null},"dtcs":null,"ignition":null"#,
    ));
    assert_eq!((reading.signals.len(), reading.position, reading.ignition), (1, None, None));
    assert_eq!(refused(r#"{"recorded_at":null,"signals":{"gear":1}}"#).0, Reason::RecordedAtMissing);
    assert_eq!(refused(with(r#""signals":{"gear":null}"#)).0, Reason::NothingMeasured);
    assert_eq!(refused("[null]").0, Reason::WrongType);
}

#[test]
fn the_vehicles_clock_has_limits() {
    let at = |recorded_at: &str| format!(r#"{{"recorded_at":{recorded_at},"signals":{{"gear":1}}}}"#);
    assert_eq!(accepted(at("1795490220250")).recorded_at.to_string(), "2026-11-24T03:17:00.25Z");
    assert_eq!(refused(at("1795490220")).0, Reason::RecordedAtInSeconds);
    assert_eq!(refused(at("1795490220250.5")).0, Reason::RecordedAtInvalid);
    assert_eq!(refused(at("-1")).0, Reason::RecordedAtInvalid);
    assert_eq!(refused(at("true")).0, Reason::WrongType);
    assert_eq!(refused(at("\"yesterday\"")).0, Reason::RecordedAtInvalid);
    assert_eq!(refused(at("18446744073709551615")).0, Reason::TooFarInFuture);
    assert_eq!(refused(at("\"2026-11-25T03:17:02Z\"")).0, Reason::TooFarInFuture);
    assert_eq!(accepted(at("\"2026-11-25T03:17:00Z\"")).signals.len(), 1);
    assert_eq!(refused(at("\"2014-12-31T23:59:59Z\"")).0, Reason::TooOld);
    assert_eq!(refused(at("\"2025-10-01T00:00:00Z\"")).0, Reason::TooOld);
}

#[test]
fn a_position_off_the_earth_refuses_the_reading_and_a_strange_detail_does_not() {
    assert_eq!(refused(with(r#""position":{"latitude":91,"longitude":8}"#)).0, Reason::PositionInvalid);
    assert_eq!(refused(with(r#""position":{"latitude":1e999,"longitude":8}"#)).0, Reason::PositionInvalid);
    assert_eq!(refused(with(r#""position":{"latitude":49}"#)), (Reason::PositionInvalid, "position.longitude: missing".into()));
    assert_eq!(refused(with(r#""position":{"lat":49}"#)), (Reason::UnknownField, "position.lat: no such field".into()));
    let reading = accepted(with(r#""position":{"latitude":49,"longitude":8,"heading_deg":361,"accuracy_m":-1}"#));
    assert_eq!(reading.rejected.len(), 2);
    assert_eq!(reading.position.unwrap().heading_deg, None);
}

#[test]
fn strings_are_checked_against_what_may_stand_there() {
    let gear = r#""signals":{"gear":1}"#;
    assert_eq!(refused(with(&format!(r#"{gear},"ignition":"running""#))).0, Reason::WrongType);
    assert_eq!(accepted(with(&format!(r#"{gear},"ignition":"START""#))).ignition, Some(Ignition::Start));
    let codes = |count: usize| vec![r#""P0301""#; count].join(",");
    assert_eq!(accepted(with(&format!(r#"{gear},"dtcs":[{}]"#, codes(64)))).dtcs.len(), 64);
    assert_eq!(refused(with(&format!(r#"{gear},"dtcs":[{}]"#, codes(65)))).0, Reason::TooManyDtcs);
    assert_eq!(refused(with(&format!(r#"{gear},"dtcs":["{}"]"#, "P".repeat(17)))).0, Reason::WrongType);
    assert_eq!(refused(with(&format!(r#"{gear},"vehicle_id":"truck-8""#))).0, Reason::VehicleIdMismatch);
    assert_eq!(accepted(with(&format!(r#"{gear},"vehicle_id":"truck-7""#))).signals.len(), 1);
    assert_eq!(refused(with(&format!(r#"{gear},"sequence":1.5"#))).0, Reason::WrongType);
}

#[test]
fn what_is_kept_of_a_refused_message_is_bounded() {
    let long = "ü".repeat(100_000);
    let decoded = decoded(with(&format!(r#""{long}":1"#)));
    let quarantined = &decoded.quarantined[0];
    assert_eq!(quarantined.payload.len(), MAX_KEPT_PAYLOAD_BYTES);
    assert!(quarantined.payload_bytes > 200_000 && quarantined.detail.len() <= 256);
    let elements = vec!["{}"; MAX_READINGS_PER_MESSAGE + 1].join(",");
    assert_eq!(refused(format!("[{elements}]")).0, Reason::PayloadTooLarge);
    let batch = v1::TelemetryBatch { readings: vec![v1::TelemetryReading::default(); MAX_READINGS_PER_MESSAGE + 1] };
    assert_eq!(refused(batch.encode_to_vec()).0, Reason::PayloadTooLarge);
}

#[test]
fn a_protobuf_message_cut_anywhere_is_refused_or_a_shorter_batch() {
    let reading = to_proto(&accepted(EXAMPLE));
    let whole = v1::TelemetryBatch { readings: vec![reading.clone(), reading] }.encode_to_vec();
    for end in 1..whole.len() {
        let decoded = decoded(whole[..end].to_vec());
        match end.cmp(&(whole.len() / 2)) {
            std::cmp::Ordering::Equal => assert_eq!(decoded.readings.len(), 1),
            _ => assert_eq!(decoded.quarantined[0].reason, Reason::ProtobufSyntax, "cut at {end}"),
        }
    }
    assert_eq!(decoded(whole).readings.len(), 2);
}

#[test]
fn protobuf_tolerates_what_it_does_not_know() {
    let mut reading = to_proto(&accepted(EXAMPLE)).encode_to_vec();
    reading.extend([0xfa, 0x01, 0x01, b'x']); // field 31, one byte
    let mut payload = vec![0x12, u8::try_from(reading.len()).unwrap()];
    payload.extend(reading);
    payload.extend([0x18, 0x05]); // field 3 of the batch
    assert_eq!(accepted(payload).fingerprint, accepted(EXAMPLE).fingerprint);
    assert_eq!(decoded_as(&[0x18, 0x05][..], Some(Format::Protobuf)).quarantined[0].reason, Reason::EmptyBatch);
}

fn shared(file: &str) -> Option<String> {
    let beside_repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    // A worktree lies one folder deeper.
    let candidates = [beside_repository.join(file), beside_repository.join("../../../shared/data").join(file)];
    let found = candidates.iter().find_map(|path| fs::read_to_string(path).ok());
    if found.is_none() {
        println!("NOT RUN: {file} is not in ../shared/data");
    }
    found
}

#[test]
fn the_json_parsing_suite_is_refused_or_read_as_its_names_say() {
    let Some(cases) = shared("json_parsing_suite/parsing.jsonl") else { return };
    let mut judged = 0;
    for case in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(case).unwrap();
        let (name, input) = (case["name"].as_str().unwrap(), case["input"].as_str().unwrap().to_owned());
        let inner = format!(r#"[{{"recorded_at":1795490220250,"signals":{{"gear":1}},"unknown":{input}}}]"#);
        for payload in [input, inner] {
            let decoded = decoded_as(payload, Some(Format::Json));
            assert!(decoded.readings.is_empty(), "{name} gave a reading");
            let is_syntax = matches!(decoded.quarantined[0].reason, Reason::JsonSyntax | Reason::EmptyPayload);
            match name.as_bytes()[0] {
                b'y' => assert!(!is_syntax, "{name}: {:?}", decoded.quarantined),
                b'n' => assert!(is_syntax, "{name}: {:?}", decoded.quarantined),
                _ => {}
            }
        }
        judged += 1;
    }
    assert_eq!(judged, 318);
}

#[test]
fn foreign_vehicle_messages_are_refused_by_their_unknown_field() {
    let Some(messages) = shared("hfp_mqtt/messages.jsonl") else { return };
    let mut judged = 0;
    for message in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(message).unwrap();
        let (reason, detail) = refused(message["payload"].as_str().unwrap().to_owned());
        assert_eq!(reason, Reason::UnknownField, "{detail}");
        judged += 1;
    }
    assert_eq!(judged, 20);
}

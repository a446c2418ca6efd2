//! R6: every bad message is acknowledged and quarantined with its reason, nothing crashes or hangs, and neighbours lose nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use odograph::domain::{Reading, Reason, SignalTable, SignalValues, Timestamp, VehicleId, signal};
use odograph::wire::encode::ProtobufEncoder;
use serde_json::Value;

use crate::support::device::{Device, Heard, Protocol};
use crate::support::fleet::Fleet;
use crate::support::{Site, shared_data, wait_for};

/// The neighbours publish at this rate in all.
const NEIGHBOURS_PER_SECOND: f64 = 100.0;
pub const DRAIN_WITHIN: Duration = Duration::from_secs(20);
const PACKET_TOO_LARGE: u8 = 0x95;

/// Runs `mischief` beside two vehicles that publish all the time, then sees whether they lost anything and whether the service is well.
#[track_caller]
pub fn beside_busy_neighbours(mischief: impl FnOnce(&Site)) {
    let mut site = Site::start();
    let neighbours = Fleet::new("neighbour", 2, 6);
    let (stopping, mqtt) = (AtomicBool::new(false), site.service().mqtt());
    thread::scope(|scope| {
        let publishing = scope.spawn(|| neighbours.publish(mqtt, NEIGHBOURS_PER_SECOND, &stopping));
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mischief(&site)));
        stopping.store(true, Ordering::Relaxed);
        let published = publishing.join().unwrap();
        if let Err(panic) = finished {
            eprintln!("Messages of the service:\n{}", site.service().messages());
            std::panic::resume_unwind(panic);
        }
        assert_eq!(published, Ok(()), "of the neighbours");
    });
    neighbours.audit(&site.api(), DRAIN_WITHIN).assert_clean();
    assert!(site.stop().success());
}

fn topic(vehicle_id: &str) -> String {
    format!("vehicles/{vehicle_id}/telemetry")
}

#[track_caller]
fn assert_acknowledged(device: &mut Device, what: &str, topic: &str, payload: &[u8]) {
    let heard = device.publish(topic, payload);
    assert!(matches!(heard, Heard::Acknowledged { .. }), "{what}: {heard:?}");
}

/// Waits until so many elements were quarantined for this reason.
#[track_caller]
fn wait_until_quarantined(site: &Site, reason: Reason, count: u64) {
    let api = site.api();
    let code = reason.code();
    wait_for(&format!("{count} × {code}"), DRAIN_WITHIN, || (api.quarantined(code) == count).then_some(()));
}

/// Name and text of each document; `n_` must be refused, `y_` is JSON, `i_` is left open.
pub fn parsing_suite() -> Option<Vec<(String, String)>> {
    let lines = std::fs::read_to_string(shared_data("json_parsing_suite")?.join("parsing.jsonl")).unwrap();
    let text = |case: &Value, field: &str| case[field].as_str().unwrap().to_owned();
    let cases = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    let cases: Vec<_> = cases.map(|case: Value| (text(&case, "name"), text(&case, "input"))).collect();
    assert!(cases.len() > 300, "only {} cases", cases.len());
    Some(cases)
}

#[test]
fn no_document_of_the_json_parsing_suite_is_taken_for_a_reading_or_breaks_anything() {
    let Some(cases) = parsing_suite() else { return };
    beside_busy_neighbours(|site| {
        for protocol in [Protocol::V311, Protocol::V5] {
            let mut device = Device::connect(site.service().mqtt(), "suite", protocol);
            for (name, input) in &cases {
                assert_acknowledged(&mut device, name, &topic("suite"), input.as_bytes());
            }
        }
        // Once a protocol; an array of several elements counts for each of them.
        let (api, least) = (site.api(), 2 * cases.len() as u64);
        wait_for("the suite in quarantine", DRAIN_WITHIN, || (api.all_quarantined() >= least).then_some(()));
        assert_eq!(api.readings("suite").len(), 0);
        assert!(api.vehicle("suite").is_none());
    });
}

fn protobuf_readings(vehicle_id: &str, count: usize) -> Vec<u8> {
    let now = odograph::clock::now();
    let readings: Vec<Reading> = (0..count)
        .map(|number| {
            let mut signals = SignalValues::default();
            signals.set(signal::SPEED, 63.25);
            signals.set(signal::ENGINE_SPEED, 2_110.0);
            Reading {
                received_at: now,
                boot_id: Some(7),
                sequence: Some(number as u64),
                odometer_m: Some(123_456_789.5),
                signals,
                dtcs: vec!["P0301".into()],
                extras: vec![("wiper_stage".into(), 2.0)],
                ..Reading::bare(
                    VehicleId::new(vehicle_id).unwrap(),
                    Timestamp::from_micros(now.as_micros() + i64::try_from(number).unwrap()),
                )
            }
        })
        .collect();
    let mut payload = Vec::new();
    ProtobufEncoder::new(Arc::new(SignalTable::default())).encode(&readings, &mut payload);
    payload
}

#[test]
fn protobuf_that_is_cut_at_any_byte_is_quarantined_and_what_is_whole_is_taken() {
    beside_busy_neighbours(|site| {
        let payload = protobuf_readings("cut", 2);
        let first = protobuf_readings("cut", 1).len();
        let mut device = Device::connect(site.service().mqtt(), "cut", Protocol::V5);
        for end in 0..=payload.len() {
            assert_acknowledged(&mut device, &format!("cut at {end}"), &topic("cut"), &payload[..end]);
        }
        wait_until_quarantined(site, Reason::EmptyPayload, 1);
        // All but nothing, the first reading alone, and both.
        wait_until_quarantined(site, Reason::ProtobufSyntax, payload.len() as u64 - 2);
        assert!(first < payload.len());
        let api = site.api();
        wait_for("both readings once", DRAIN_WITHIN, || (api.readings("cut").len() == 2).then_some(()));
        assert_eq!(api.readings("cut")[0].json["signals"]["speed_km_per_h"], 63.25);
    });
}

#[test]
fn large_payloads_are_quarantined_and_packets_over_two_mebibytes_end_the_connection() {
    beside_busy_neighbours(|site| {
        let mqtt = site.service().mqtt();
        let megabyte = 1 << 20;
        let mut array = b"[".to_vec();
        while array.len() < megabyte {
            array.extend_from_slice(br#"{"recorded_at":"2026-11-24T03:17:00Z","signals":{"speed_km_per_h":1}},"#);
        }
        array.extend_from_slice(b"0]");
        let deep = [vec![b'['; megabyte / 2], vec![b']'; megabyte / 2]].concat();
        let payloads = [vec![b'x'; megabyte], vec![0x12; megabyte], vec![0; megabyte], array, deep];
        for protocol in [Protocol::V311, Protocol::V5] {
            let mut device = Device::connect(mqtt, "large", protocol);
            for (number, payload) in payloads.iter().enumerate() {
                assert_acknowledged(&mut device, &format!("payload {number} over {protocol:?}"), &topic("large"), payload);
            }
        }
        wait_until_quarantined(site, Reason::PayloadTooLarge, 2 * payloads.len() as u64);
        let heard = Device::connect(mqtt, "huge", Protocol::V5).publish(&topic("huge"), &vec![b'x'; 3 << 20]);
        assert_eq!(heard, Heard::Disconnected { reason: Some(PACKET_TOO_LARGE) });
        let heard = Device::connect(mqtt, "huge", Protocol::V311).publish(&topic("huge"), &vec![b'x'; 3 << 20]);
        assert_eq!(heard, Heard::Disconnected { reason: None });
        // Just within 256 KiB, and deeper than any parser's stack.
        let depth = 100_000;
        let brackets = "[".repeat(depth) + &"]".repeat(depth);
        let braces = "{\"a\":".repeat(depth / 5) + "1" + &"}".repeat(depth / 5);
        let inside = |field: &str, value: &str| format!(r#"{{"recorded_at":"2026-11-24T03:17:00Z","{field}":{value}}}"#);
        let deep = [inside("position", &brackets), inside("signals", &braces), inside("anything", &brackets), brackets, braces];
        let mut device = Device::connect(mqtt, "deep", Protocol::V5);
        let before = site.api().all_quarantined();
        for (number, payload) in deep.iter().enumerate() {
            assert_acknowledged(&mut device, &format!("deep {number}"), &topic("deep"), payload.as_bytes());
        }
        let (api, all) = (site.api(), before + deep.len() as u64);
        wait_for("the deep ones in quarantine", DRAIN_WITHIN, || (api.all_quarantined() == all).then_some(()));
    });
}

#[test]
fn numbers_that_are_none_are_refused_or_kept_as_rejected_and_never_stored_as_signals() {
    beside_busy_neighbours(|site| {
        let mut device = Device::connect(site.service().mqtt(), "numbers", Protocol::V311);
        let now = odograph::clock::now();
        for (number, text) in ["NaN", "Infinity", "-Infinity", "nan", "1e", "+1", ".5", "0x10", "1_000", "--1"].iter().enumerate()
        {
            let payload = format!(r#"{{"recorded_at":"{now}","sequence":{number},"signals":{{"speed_km_per_h":{text}}}}}"#);
            assert_acknowledged(&mut device, text, &topic("numbers"), payload.as_bytes());
        }
        wait_until_quarantined(site, Reason::JsonSyntax, 10);
        let wrong_types = [r#""63""#, "true", "[63]", r#"{"value":63}"#];
        for text in wrong_types {
            let payload = format!(r#"{{"recorded_at":"{now}","signals":{{"speed_km_per_h":{text}}}}}"#);
            assert_acknowledged(&mut device, text, &topic("numbers"), payload.as_bytes());
        }
        wait_until_quarantined(site, Reason::WrongType, wrong_types.len() as u64);
        // Beyond what a vehicle can be: the reading stays, the signal does not.
        for (number, text) in ["1e999", "-5", "301", "1e39"].iter().enumerate() {
            let recorded_at = Timestamp::from_micros(now.as_micros() + i64::try_from(number).unwrap());
            let payload = format!(
                r#"{{"recorded_at":"{recorded_at}","signals":{{"speed_km_per_h":{text},"engine_speed_rpm":900,"gear":null}}}}"#
            );
            assert_acknowledged(&mut device, text, &topic("numbers"), payload.as_bytes());
        }
        let api = site.api();
        let stored = wait_for("four readings", DRAIN_WITHIN, || Some(api.readings("numbers")).filter(|stored| stored.len() == 4));
        for reading in stored {
            assert!(
                reading.json["signals"]["speed_km_per_h"].is_null() && reading.json["signals"]["gear"].is_null(),
                "{reading:?}"
            );
            assert_eq!(reading.json["signals"]["engine_speed_rpm"], 900.0, "{reading:?}");
        }
    });
}

#[test]
fn times_that_cannot_be_are_quarantined_with_the_reason() {
    beside_busy_neighbours(|site| {
        let mut device = Device::connect(site.service().mqtt(), "times", Protocol::V5);
        let now = odograph::clock::now();
        let tomorrow = now.plus(Duration::from_hours(25));
        let cases = [
            (r#"{"signals":{"gear":1}}"#.to_owned(), Reason::RecordedAtMissing),
            (r#"{"recorded_at":"yesterday","signals":{"gear":1}}"#.to_owned(), Reason::RecordedAtInvalid),
            (r#"{"recorded_at":"2026-13-24T03:17:00Z","signals":{"gear":1}}"#.to_owned(), Reason::RecordedAtInvalid),
            (format!(r#"{{"recorded_at":{},"signals":{{"gear":1}}}}"#, now.as_micros() / 1_000_000), Reason::RecordedAtInSeconds),
            (format!(r#"{{"recorded_at":"{tomorrow}","signals":{{"gear":1}}}}"#), Reason::TooFarInFuture),
            (r#"{"recorded_at":"2014-12-31T23:59:59Z","signals":{"gear":1}}"#.to_owned(), Reason::TooOld),
            (format!(r#"{{"recorded_at":"{now}"}}"#), Reason::NothingMeasured),
            (format!(r#"{{"recorded_at":"{now}","position":{{"latitude":91,"longitude":8}}}}"#), Reason::PositionInvalid),
            (format!(r#"{{"recorded_at":"{now}","recorded_at":"{now}","signals":{{"gear":1}}}}"#), Reason::DuplicateKey),
            ("[]".to_owned(), Reason::EmptyBatch),
        ];
        for (payload, reason) in &cases {
            assert_acknowledged(&mut device, payload, &topic("times"), payload.as_bytes());
            let expected =
                cases.iter().take_while(|(earlier, _)| earlier != payload).filter(|(_, known)| known == reason).count() + 1;
            wait_until_quarantined(site, *reason, expected as u64);
        }
        assert!(site.api().vehicle("times").is_none());
    });
}

#[test]
fn wrong_topics_and_ids_are_quarantined_and_topics_that_mqtt_forbids_end_the_connection() {
    beside_busy_neighbours(|site| {
        let mqtt = site.service().mqtt();
        let payload = format!(r#"{{"recorded_at":"{}","signals":{{"gear":1}}}}"#, odograph::clock::now());
        let mut device = Device::connect(mqtt, "lost", Protocol::V5);
        let unknown = [
            "telemetry",
            "vehicles/lost",
            "vehicles/lost/position",
            "Vehicles/lost/telemetry",
            "/vehicles/lost/telemetry",
            "vehicles//telemetry",
        ];
        for topic in unknown {
            assert_acknowledged(&mut device, topic, topic, payload.as_bytes());
        }
        wait_until_quarantined(site, Reason::TopicUnknown, unknown.len() as u64);
        let too_long = "x".repeat(65);
        let invalid = ["truck 7", "Straßenbahn", "truck.7", "$SYS", &too_long];
        for vehicle_id in invalid {
            assert_acknowledged(&mut device, vehicle_id, &topic(vehicle_id), payload.as_bytes());
        }
        wait_until_quarantined(site, Reason::VehicleIdInvalid, invalid.len() as u64);
        assert_acknowledged(&mut device, "another's reading", &topic("lost"), &protobuf_readings("found", 1));
        wait_until_quarantined(site, Reason::VehicleIdMismatch, 1);
        for topic in ["vehicles/+/telemetry", "#", ""] {
            let heard = Device::connect(mqtt, "forbidden", Protocol::V5).publish(topic, payload.as_bytes());
            assert!(matches!(heard, Heard::Disconnected { .. }), "{topic:?}: {heard:?}");
        }
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
            let mut device = Device::connect(mqtt, "garbage", Protocol::V311);
            let _closed_already = device.send_raw(garbage);
            let heard = device.hear(crate::support::device::ANSWER_WITHIN);
            assert!(matches!(heard, Heard::Disconnected { .. }), "{garbage:?}: {heard:?}");
        }
    });
}

#[test]
fn foreign_messages_of_another_system_are_refused_with_a_reason() {
    let Some(folder) = shared_data("hfp_mqtt") else { return };
    let lines = std::fs::read_to_string(folder.join("messages.jsonl")).unwrap();
    let messages: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages.len(), 20);
    beside_busy_neighbours(|site| {
        let mut device = Device::connect(site.service().mqtt(), "tram", Protocol::V311);
        let with_topic: Vec<&Value> = messages.iter().filter(|message| message["topic"].is_string()).collect();
        for message in &with_topic {
            let (topic, payload) = (message["topic"].as_str().unwrap(), message["payload"].as_str().unwrap());
            assert_acknowledged(&mut device, topic, topic, payload.as_bytes());
        }
        wait_until_quarantined(site, Reason::TopicUnknown, with_topic.len() as u64);
        let before = site.api().all_quarantined();
        for message in &messages {
            let payload = message["payload"].as_str().unwrap();
            assert_acknowledged(&mut device, payload, &topic("tram"), payload.as_bytes());
        }
        let (api, all) = (site.api(), before + messages.len() as u64);
        wait_for("all of them in quarantine", DRAIN_WITHIN, || (api.all_quarantined() == all).then_some(()));
        assert!(api.vehicle("tram").is_none());
    });
}

//! The line from end to end: what a vehicle says comes back from the API, is scored, survives restarts and stops, and is kept once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use odograph::bench::readings::Drive;
use odograph::bench::service::ServiceError;
use odograph::domain::{Reading, SignalTable, SignalValues, Timestamp, VehicleId, signal};
use odograph::wire::encode::ProtobufEncoder;
use serde_json::Value;

use crate::support::device::{Device, Heard, Protocol};
use crate::support::fleet::Fleet;
use crate::support::{STOP_WITHIN, Site, odograph, wait_for};

/// What is acknowledged is readable within this time (CONTRACTS §2).
const READABLE_WITHIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
const EXIT_SETTINGS: i32 = 3;
const EXIT_REFUSED: i32 = 5;

pub fn topic(vehicle_id: &str) -> String {
    format!("vehicles/{vehicle_id}/telemetry")
}

#[track_caller]
pub fn acknowledged(heard: &Heard) {
    assert!(matches!(heard, Heard::Acknowledged { .. }), "{heard:?}");
}

/// Whole seconds before now, so that readings are in order and in the past.
pub fn seconds_ago(seconds: i64) -> Timestamp {
    Timestamp::from_micros(odograph::clock::now().as_micros() - seconds * 1_000_000)
}

#[test]
fn a_reading_of_the_contract_comes_back_with_exactly_its_values() {
    let mut site = Site::start();
    let recorded_at = seconds_ago(2);
    let payload = format!(
        r#"{{"recorded_at":"{recorded_at}","sequence":4711,"position":{{"latitude":49.0123,"longitude":8.4041,"altitude_m":118.0,
        "heading_deg":271.5,"accuracy_m":4.0}},"signals":{{"speed_km_per_h":63.2,"engine_speed_rpm":2110,"odometer_m":123456789.5,
        "coolant_temperature_celsius":91.0,"battery_voltage_v":14.1,"wiper_stage":2}},"dtcs":["P0301"],"ignition":"on"}}"#
    );
    acknowledged(&Device::connect(site.service().mqtt(), "truck-7", Protocol::V5).publish(&topic("truck-7"), payload.as_bytes()));
    let since = Instant::now();
    let api = site.api();
    let reading = wait_for("the reading", READABLE_WITHIN, || api.readings("truck-7").pop());
    println!("readable after {:?}", since.elapsed());
    assert_eq!(reading.recorded_at_micros, recorded_at.as_micros());
    let vehicle = api.vehicle("truck-7").expect("it is live");
    for json in [&reading.json, &vehicle] {
        assert_eq!(json["position"]["latitude"], 49.0123);
        assert_eq!(json["position"]["longitude"], 8.4041);
        assert_eq!(json["position"]["heading_deg"], 271.5);
        #[expect(clippy::cast_possible_truncation, reason = "signals are f32")]
        let speed = json["signals"]["speed_km_per_h"].as_f64().unwrap() as f32;
        assert_eq!(speed.to_bits(), 63.2_f32.to_bits());
        assert_eq!(json["signals"]["engine_speed_rpm"], 2110.0);
        assert_eq!(json["signals"]["odometer_m"], 123_456_789.5);
    }
    assert_eq!(reading.json["extras"]["wiper_stage"], 2.0);
    assert_eq!(vehicle["vehicle_id"], "truck-7");
    assert_eq!(vehicle["recorded_at"], recorded_at.to_string());
    assert!(api.vehicle("truck-8").is_none());
    assert!(site.stop().success());
}

#[test]
fn every_way_of_writing_a_reading_is_one_and_the_same_reading() {
    let mut site = Site::start();
    let mqtt = site.service().mqtt();
    let (first, second) = (seconds_ago(10), seconds_ago(5));
    let json = |recorded_at: Timestamp| {
        format!(
            r#"{{"recorded_at":"{recorded_at}","sequence":1,"position":{{"latitude":49.5,"longitude":8.25}},"signals":{{"speed_km_per_h":63.2,"gear":4}}}}"#
        )
    };
    let array = format!("[{},{}]", json(first), json(second));
    let mut signals = SignalValues::default();
    signals.set(signal::SPEED, 63.2);
    signals.set(signal::GEAR, 4.0);
    let reading = |recorded_at| Reading {
        sequence: Some(1),
        position: Some(odograph::domain::Position::new(49.5, 8.25).unwrap()),
        signals,
        ..Reading::bare(VehicleId::new("bus-1").unwrap(), recorded_at)
    };
    let mut protobuf = Vec::new();
    ProtobufEncoder::new(Arc::new(SignalTable::default())).encode(&[reading(first), reading(second)], &mut protobuf);

    acknowledged(&Device::connect(mqtt, "bus-1", Protocol::V311).publish(&topic("bus-1"), array.as_bytes()));
    let mut device = Device::connect(mqtt, "bus-1", Protocol::V5);
    acknowledged(&device.publish(&topic("bus-1"), &protobuf));
    acknowledged(&device.publish(&topic("bus-1"), json(second).as_bytes()));
    device.send_with(&topic("bus-1"), &protobuf, Some("application/x-protobuf")).unwrap();
    acknowledged(&device.hear(PATIENCE));
    let api = site.api();
    let stored = wait_for("both readings", PATIENCE, || Some(api.readings("bus-1")).filter(|stored| stored.len() >= 2));
    assert_eq!(
        stored.iter().map(|reading| reading.recorded_at_micros).collect::<Vec<_>>(),
        [first.as_micros(), second.as_micros()]
    );
    // Also after a restart, which forgets nothing of what it has.
    site.kill();
    site.restart();
    acknowledged(&Device::connect(site.service().mqtt(), "bus-1", Protocol::V5).publish(&topic("bus-1"), &protobuf));
    assert!(site.stop().success());
    site.restart();
    assert_eq!(site.api().readings("bus-1").len(), 2);
}

#[test]
fn clients_of_a_common_library_in_both_versions_are_served() {
    let site = Site::start();
    let mqtt = site.service().mqtt();
    let payload = format!(r#"{{"recorded_at":"{}","signals":{{"gear":3}}}}"#, seconds_ago(1));

    let options = rumqttc::MqttOptions::new("plain-311", mqtt.ip().to_string(), mqtt.port());
    let (client, mut connection) = rumqttc::Client::new(options, 10);
    client.publish(topic("plain-311"), rumqttc::QoS::AtLeastOnce, false, payload.clone()).unwrap();
    let is_ack = |event: &rumqttc::Event| matches!(event, rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_)));
    assert!(connection.iter().map(|event| event.unwrap()).any(|event| is_ack(&event)));

    let options = rumqttc::v5::MqttOptions::new("plain-5", mqtt.ip().to_string(), mqtt.port());
    let (client, mut connection) = rumqttc::v5::Client::new(options, 10);
    client.publish(topic("plain-5"), rumqttc::v5::mqttbytes::QoS::AtLeastOnce, false, payload).unwrap();
    let is_ack = |event: &rumqttc::v5::Event| matches!(event, rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::PubAck(_)));
    assert!(connection.iter().map(|event| event.unwrap()).any(|event| is_ack(&event)));

    let api = site.api();
    for vehicle_id in ["plain-311", "plain-5"] {
        let reading = wait_for(vehicle_id, READABLE_WITHIN, || api.readings(vehicle_id).pop());
        assert_eq!(reading.json["signals"]["gear"], 3.0);
    }
}

#[test]
fn a_driving_vehicle_gets_scores_between_zero_and_one_that_vary() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/drive_autoencoder/drive_autoencoder.onnx");
    let mut site = Site::with_settings(&format!("[analytics]\nmodels = [{model:?}]"));
    let mut device = Device::connect(site.service().mqtt(), "driver", Protocol::V311);
    let mut drive = Drive::new(3);
    let start = seconds_ago(200);
    for second in 0..180_u32 {
        drive.step(1.0);
        let recorded_at = start.plus(Duration::from_secs(second.into())).to_string();
        let (whole, _) = recorded_at.split_once('.').unwrap_or((recorded_at.trim_end_matches('Z'), ""));
        let mut payload = Vec::new();
        drive.write_json(whole, 0, second.into(), &mut payload);
        acknowledged(&device.publish(&topic("driver"), &payload));
    }
    let api = site.api();
    let stored = wait_for("all readings", PATIENCE, || Some(api.readings("driver")).filter(|stored| stored.len() == 180));
    let scores: Vec<f64> = stored.iter().filter_map(|reading| reading.json["score"].as_f64()).collect();
    println!("{} of 180 readings have a score", scores.len());
    assert!(scores.len() > 90, "only {} of 180 readings have a score; the last: {}", scores.len(), stored[179].json);
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
    assert!(scores.iter().any(|score| (score - scores[0]).abs() > 1e-6), "every score is {}", scores[0]);
    let vehicle = api.vehicle("driver").unwrap();
    assert_eq!(vehicle["score"], stored[179].json["score"]);
    assert!(vehicle["scores"][0]["model"].is_string() && vehicle["scores"][0]["raw"].is_number(), "{vehicle}");
    assert!(site.stop().success());
}

/// What must not change by a restart.
fn lasting(vehicle: &Value) -> [&Value; 5] {
    ["recorded_at", "received_at", "position", "signals", "score"].map(|field| &vehicle[field])
}

#[test]
fn live_state_and_order_survive_a_stop_and_a_crash() {
    let mut site = Site::start();
    let fleet = Fleet::new("restart", 5, 9);
    fleet.publish_some(site.service().mqtt(), 200.0, Duration::from_millis(500));
    let live = |site: &Site| -> Vec<Value> {
        let api = site.api();
        fleet.ids().map(|id| api.vehicle(id).unwrap_or_else(|| panic!("{id} is unknown"))).collect()
    };
    let before = live(&site);
    assert!(site.stop().success());
    site.restart();
    for (earlier, later) in before.iter().zip(live(&site)) {
        assert_eq!(lasting(earlier), lasting(&later));
    }
    site.kill();
    site.restart();
    for (earlier, later) in before.iter().zip(live(&site)) {
        assert_eq!(lasting(earlier), lasting(&later));
    }
    // An older reading is stored and does not become the newest state, also after the restart.
    let api = site.api();
    let old = format!(r#"{{"recorded_at":"{}","signals":{{"gear":-1}}}}"#, seconds_ago(3_600));
    let vehicle_id = fleet.ids().next().unwrap().to_owned();
    acknowledged(&Device::connect(site.service().mqtt(), &vehicle_id, Protocol::V5).publish(&topic(&vehicle_id), old.as_bytes()));
    let first = wait_for("the old reading", PATIENCE, || {
        api.readings(&vehicle_id).into_iter().find(|reading| reading.json["signals"]["gear"] == -1.0)
    });
    assert_eq!(first.json["late"], true);
    assert_eq!(lasting(&api.vehicle(&vehicle_id).unwrap()), lasting(&before[0]));
}

#[test]
fn a_stop_under_load_loses_nothing_and_ends_with_success() {
    let mut site = Site::stopped();
    let fleet = Fleet::new("stop", 20, 4);
    for _ in 0..3 {
        site.restart();
        let (gone, mqtt) = (AtomicBool::new(false), site.service().mqtt());
        let status = thread::scope(|scope| {
            scope.spawn(|| fleet.publish(mqtt, 1_000.0, &gone));
            let enough = fleet.acknowledged() + 200;
            wait_for("load", PATIENCE, || (fleet.acknowledged() > enough).then_some(()));
            let status = site.stop();
            gone.store(true, Ordering::Relaxed);
            status
        });
        assert_eq!(status.code(), Some(0), "{status}");
    }
    site.restart();
    let audit = fleet.audit(&site.api(), PATIENCE);
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
}

#[test]
fn a_second_service_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let mut site = Site::start();
    match site.try_start(&[]) {
        Err(ServiceError::EndedEarly { status, messages }) => {
            assert_eq!(status.code(), Some(EXIT_REFUSED), "{messages}");
            assert!(messages.contains(&site.data().display().to_string()), "{messages}");
        }
        other => panic!("{other:?}"),
    }
    let payload = format!(r#"{{"recorded_at":"{}","signals":{{"gear":3}}}}"#, seconds_ago(1));
    acknowledged(&Device::connect(site.service().mqtt(), "first", Protocol::V5).publish(&topic("first"), payload.as_bytes()));
    assert!(site.stop().success());
    // The lock ends with its process.
    site.try_start(&[]).unwrap().stop(STOP_WITHIN).unwrap();
}

#[test]
fn wrong_settings_are_named_and_end_with_their_own_code() {
    let site = Site::stopped();
    let file = site.path().join("wrong.toml");
    std::fs::write(&file, "[journal]\nsegment = \"64kb\"\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in
        [&["run", "--config", file][..], &["config", "check", "--config", file], &["run", "--config", "/no/such/file"]]
    {
        let output = odograph(arguments);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(EXIT_SETTINGS), "{arguments:?}: {messages}");
        assert!(output.stdout.is_empty());
        assert!(messages.contains("segment") || messages.contains("/no/such/file"), "{messages}");
    }
    assert_eq!(odograph(&["run", "--speed", "fast"]).status.code(), Some(2));
}

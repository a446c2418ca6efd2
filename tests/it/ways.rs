//! Every way in with every kind of history: what was sent is what is stored. And a broker that dies under load.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use odograph::bench::service::Service;
use odograph::clock;
use odograph::domain::{Position, Reading, SignalTable};
use odograph::wire::encode::encode_json_message;
use odograph::wire::history::{ColumnMap, HistoryReader, ReadOptions};
use rustix::process::Signal;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::api::{Api, Stored};
use crate::support::broker::Mosquitto;
use crate::support::fleet::Fleet;
use crate::support::{STOP_WITHIN, Site, executable, odograph, seed, shared_data, wait_for};

const DRAIN_WITHIN: Duration = Duration::from_secs(30);
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// Readings of one message over HTTP and WebSocket.
const TOGETHER: usize = 40;

/// A file of history, thinned so that the test stays short.
struct Input {
    name: &'static str,
    file: PathBuf,
    columns: &'static str,
    every: Option<&'static str>,
}

impl Input {
    /// As a way in will see them, under ids that begin with its name; recorded moments are not moved.
    fn readings(&self, way: &str) -> BTreeMap<String, Vec<Reading>> {
        let table = Arc::new(SignalTable::default());
        let map = ColumnMap::load(self.columns, &table).unwrap();
        let every = self.every.map(|every| every.parse::<odograph::settings::Interval>().unwrap().duration());
        let options = ReadOptions { every, vehicle_prefix: Some(self.prefix(way)) };
        let mut by_vehicle: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
        for row in HistoryReader::open(&self.file, &map, table, &options).unwrap() {
            let reading = row.unwrap().reading;
            by_vehicle.entry(reading.vehicle_id.to_string()).or_default().push(reading);
        }
        by_vehicle
    }

    fn prefix(&self, way: &str) -> String {
        format!("{way}-{}", self.name)
    }

    /// `odograph replay` as a process of its own.
    fn replay(&self, way: &str, mqtt: std::net::SocketAddr) -> Child {
        let mut command = Command::new(executable());
        command.arg("replay").arg(&self.file).args(["--columns", self.columns, "--speed", "max", "--as", &self.prefix(way)]);
        command.args(["--mqtt", &format!("mqtt://{mqtt}")]);
        if let Some(every) = self.every {
            command.args(["--every", every]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What is here: the simulator always, real drives where `../shared/data` is.
fn inputs(folder: &Path) -> Vec<Input> {
    let simulated = folder.join("simulated.parquet");
    let path = simulated.to_str().unwrap();
    let output = odograph(&["simulate", "--vehicles", "5", "--seconds", "1800", "--seed", "7", "--out", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut inputs = vec![Input { name: "simulator", file: simulated, columns: "odograph", every: None }];
    let mut real = |name, folder: &str, file: &str, columns, every| {
        if let Some(folder) = shared_data(folder) {
            inputs.push(Input { name, file: folder.join(file), columns, every });
        }
    };
    real("kit", "kit_obd2", "2017-07-05_Seat_Leon_S_KA_Normal.csv.gz", "kit_obd2", Some("10s"));
    real("carobd", "carobd", "live1.csv.gz", "carobd", Some("10s"));
    real("envirocar", "envirocar", "track_1.flat.csv", "envirocar", None);
    inputs
}

/// Moments as distances from the first: replays move them.
fn offsets(moments: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut moments: Vec<i64> = moments.collect();
    moments.sort_unstable();
    let first = moments.first().copied().unwrap_or_default();
    moments.iter().map(|moment| moment - first).collect()
}

/// Waits for the archive, and compares moment by moment.
fn assert_all_stored(api: &Api, way: &str, input: &Input) {
    for (vehicle_id, sent) in input.readings(way) {
        let sent = offsets(sent.iter().map(|reading| reading.recorded_at.as_micros()));
        let since = Instant::now();
        let mut stored = api.readings(&vehicle_id);
        while stored.len() < sent.len() && since.elapsed() < DRAIN_WITHIN {
            thread::sleep(Duration::from_millis(50));
            stored = api.readings(&vehicle_id);
        }
        println!("{way}: {vehicle_id}: {} sent, {} stored", sent.len(), stored.len());
        assert!(sent.len() > 50, "{vehicle_id}: too few to show anything");
        assert_eq!(offsets(stored.iter().map(|reading| reading.recorded_at_micros)), sent, "{way}: {vehicle_id}");
    }
    assert_eq!(api.all_quarantined(), 0, "{way}");
}

/// By replay, all inputs at the same time.
fn replay_all(inputs: &[Input], way: &str, mqtt: std::net::SocketAddr) {
    let running: Vec<Child> = inputs.iter().map(|input| input.replay(way, mqtt)).collect();
    for (input, child) in inputs.iter().zip(running) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", input.name, String::from_utf8_lossy(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["sent"], summary["acknowledged"], "{summary}");
    }
}

/// Payloads of up to [`TOGETHER`] readings, the last of them a moment ago.
fn payloads(readings: &[Reading]) -> Vec<Vec<u8>> {
    let table = SignalTable::default();
    let last = readings.iter().map(|reading| reading.recorded_at).max().unwrap();
    let shift = clock::now().since(last);
    let shifted: Vec<Reading> =
        readings.iter().map(|reading| Reading { recorded_at: reading.recorded_at.plus(shift), ..reading.clone() }).collect();
    let payload = |some: &[Reading]| {
        let mut payload = Vec::new();
        encode_json_message(some, &table, &mut payload);
        payload
    };
    shifted.chunks(TOGETHER).map(payload).collect()
}

fn accepted(answer: &Value) -> u64 {
    assert_eq!(answer["duplicates"], 0, "{answer}");
    answer["accepted"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn all_of_every_history_is_stored_through_the_front_door_http_and_websocket() {
    let mut site = Site::start();
    let inputs = inputs(site.path());
    let api = site.api();
    replay_all(&inputs, "door", site.service().mqtt());
    for input in &inputs {
        assert_all_stored(&api, "door", input);
    }

    for input in &inputs {
        for (vehicle_id, readings) in input.readings("http") {
            let mut told = 0;
            for payload in payloads(&readings) {
                let answer = api.post(&format!("/api/v1/telemetry/{vehicle_id}"), "application/json", &payload);
                assert_eq!(answer.status, 200, "{}", answer.text);
                told += accepted(&answer.json);
            }
            assert_eq!(told, readings.len() as u64);
        }
        assert_all_stored(&api, "http", input);
    }

    for input in &inputs {
        for (vehicle_id, readings) in input.readings("socket") {
            let url = format!("ws://{}/api/v1/uplink/{vehicle_id}", site.service().http());
            let (mut socket, _) = tungstenite::connect(url).unwrap();
            let payloads = payloads(&readings);
            for payload in &payloads {
                socket.send(Message::text(std::str::from_utf8(payload).unwrap())).unwrap();
            }
            let mut told = 0;
            for _ in &payloads {
                let answer = socket.read().unwrap();
                told += accepted(&serde_json::from_str(answer.to_text().unwrap()).unwrap());
            }
            assert_eq!(told, readings.len() as u64);
        }
        assert_all_stored(&api, "socket", input);
    }
    assert!(site.stop().success());
}

/// A service that subscribes to `broker`, once its subscription stands.
fn subscribed(site: &Site, broker: &Mosquitto) -> Service {
    let settings = broker.settings_file();
    let service = site.try_start(&["--config", settings.to_str().unwrap()]).unwrap();
    wait_until_connected(&Api::new(service.http()));
    service
}

fn wait_until_connected(api: &Api) {
    let connected = || api.get("/metrics").text.lines().any(|line| line == "odograph_broker_connected 1");
    wait_for("the subscription", CONNECTED_WITHIN, || connected().then_some(()));
}

#[test]
fn all_of_every_history_is_stored_through_mosquitto_and_the_subscriber() {
    let Some(broker) = Mosquitto::start() else { return };
    let site = Site::stopped();
    let service = subscribed(&site, &broker);
    let inputs = inputs(site.path());
    replay_all(&inputs, "broker", broker.address());
    let api = Api::new(service.http());
    for input in &inputs {
        assert_all_stored(&api, "broker", input);
    }
    assert!(service.stop(STOP_WITHIN).unwrap().success());
}

/// Published by enviroCar for this track.
const TRACK_KM: f64 = 43.06;

#[test]
fn a_track_of_envirocar_is_as_long_in_the_archive_as_its_publisher_says() {
    let Some(folder) = shared_data("envirocar") else { return };
    let site = Site::start();
    let track = Input { name: "track", file: folder.join("track_1.flat.csv"), columns: "envirocar", every: None };
    replay_all(std::slice::from_ref(&track), "length", site.service().mqtt());
    let api = site.api();
    assert_all_stored(&api, "length", &track);
    let vehicle_id = track.readings("length").into_keys().next().unwrap();
    let position = |stored: &Stored| {
        let at = |axis: &str| stored.json["position"][axis].as_f64().unwrap();
        Position::new(at("latitude"), at("longitude")).unwrap()
    };
    let positions: Vec<Position> = api.readings(&vehicle_id).iter().map(position).collect();
    let km = positions.windows(2).map(|pair| pair[0].distance_m(&pair[1])).sum::<f64>() / 1_000.0;
    println!("{km:.3} km in {} positions, published {TRACK_KM} km", positions.len());
    assert!((km / TRACK_KM - 1.0).abs() < 0.02, "{km} km");
}

/// What a broker that is killed has acknowledged and not written down is the broker's to lose (config/mosquitto.conf): readings of the
/// last moment, at most.
const LOST_BY_THE_BROKER: Duration = Duration::from_secs(2);

/// Load until the broker is ended by `signal`, then again over a new one. Returns how long the way through it was away, and the
/// moment of the end.
fn end_and_restart(broker: &mut Mosquitto, fleet: &Fleet, api: &Api, signal: Signal) -> (Duration, i64) {
    const PER_SECOND: f64 = 500.0;
    let (never, address) = (AtomicBool::new(false), broker.address());
    let before = fleet.acknowledged();
    let ended_at = thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(address, PER_SECOND, &never));
        wait_for("load", DRAIN_WITHIN, || (fleet.acknowledged() > before + 500).then_some(()));
        let ended_at = clock::now().as_micros();
        broker.end(signal);
        assert!(publishing.join().unwrap().is_err(), "the load must notice");
        ended_at
    });
    broker.restart();
    let since = Instant::now();
    let stopping = AtomicBool::new(false);
    let back = thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(address, PER_SECOND, &stopping));
        let restarted_at = clock::now().as_micros();
        let id = fleet.ids().next().unwrap();
        wait_for("a reading measured after the restart", CONNECTED_WITHIN, || {
            let recorded_at: odograph::domain::Timestamp = api.vehicle(id)?["recorded_at"].as_str()?.parse().ok()?;
            (recorded_at.as_micros() > restarted_at).then_some(())
        });
        let back = since.elapsed();
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
        back
    });
    (back, ended_at)
}

#[test]
fn a_broker_ended_under_load_is_back_within_ten_seconds_and_loses_nothing_it_was_not_told_to_forget() {
    let Some(mut broker) = Mosquitto::start() else { return };
    let site = Site::stopped();
    let service = subscribed(&site, &broker);
    let api = Api::new(service.http());

    let fleet = Fleet::new("restarted", 20, seed());
    let (back, _) = end_and_restart(&mut broker, &fleet, &api, Signal::TERM);
    let audit = fleet.audit(&api, DRAIN_WITHIN);
    println!("SIGTERM: back after {back:?}, {} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();

    let fleet = Fleet::new("killed", 20, seed());
    let (back, ended_at) = end_and_restart(&mut broker, &fleet, &api, Signal::KILL);
    let audit = fleet.audit(&api, Duration::from_secs(3));
    let (acknowledged, stored, lost) = (audit.acknowledged, audit.stored, audit.missing.len());
    println!(
        "SIGKILL: back after {back:?}, {acknowledged} acknowledged by the broker, {stored} stored, {lost} lost by the broker"
    );
    let last_moment = i64::try_from(LOST_BY_THE_BROKER.as_micros()).unwrap();
    let is_the_brokers =
        |(_, recorded_at): &&(String, i64)| (ended_at - last_moment..=ended_at + last_moment).contains(recorded_at);
    let ours: Vec<_> = audit.missing.iter().filter(|missing| !is_the_brokers(missing)).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert!(audit.stored_twice.is_empty() && audit.changed.is_empty());
    assert!(service.stop(STOP_WITHIN).unwrap().success());
}

//! Clients in Python that know nothing of this program, against it: `tests/clients/clients.py` in the environment that `make test` makes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::Site;

/// With the libraries of tests/clients/requirements.txt.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/clients/bin/python");
    assert!(python.exists(), "there is no {}: `make clients` makes it", python.display());
    python
}

/// Killed when it is dropped.
struct Client {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(site: &Site, command: &str, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/clients.py");
        let mut child = Command::new(python())
            .arg(script)
            .args([command, &site.service().grpc().to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    /// `None`: it has ended.
    fn next(&mut self) -> Option<Value> {
        self.lines.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }

    fn ends_well(mut self) {
        assert_eq!(self.next(), None);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _it_may_have_ended = self.child.wait();
    }
}

#[test]
fn who_knows_only_reflection_takes_a_reading_in_and_lists_alerts() {
    let site = Site::start();
    let mut client = Client::start(&site, "reflection", &[]);
    let saw = client.next().expect("it says what it saw");
    let services: Vec<&str> = saw["services"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for service in ["grpc.health.v1.Health", "odograph.v1.AlertService", "odograph.v1.TelemetryService"] {
        assert!(services.contains(&service), "{services:?}");
    }
    assert_eq!(
        saw["telemetry"]["StreamVehicleState"],
        json!(["odograph.v1.VehicleStateRequest", "odograph.v1.VehicleState", true])
    );
    assert_eq!((&saw["first"], &saw["again"]), (&json!({"accepted": 1}), &json!({"duplicates": 1})));
    assert_eq!(saw["alerts"], json!({}));
    assert_eq!(saw["refused"][0], "INVALID_ARGUMENT");
    assert!(saw["refused"][1].as_str().unwrap().starts_with("alert_id"), "{}", saw["refused"]);
    client.ends_well();
}

#[test]
fn health_is_serving_and_then_not_while_the_process_drains() {
    let mut site = Site::start();
    let mut client = Client::start(&site, "health", &[]);
    // The first look at readiness comes a moment after the start.
    let first = client.next().unwrap();
    assert!(first == json!(["check", "SERVING"]) || first == json!(["check", "NOT_SERVING"]), "{first}");
    while client.next().expect("it goes on watching") != json!(["watch", "SERVING"]) {}
    assert!(site.stop().success());
    assert_eq!(client.next(), Some(json!(["watch", "NOT_SERVING"])), "before it is gone");
    client.ends_well();
}

#[test]
fn a_vehicle_is_followed_from_its_snapshot_through_its_changes_to_the_end() {
    let mut site = Site::start();
    let publish = |speed: f64, ago: u64| {
        let recorded_at = odograph::clock::now().minus(std::time::Duration::from_secs(ago)).to_string();
        let reading = json!({"recorded_at": recorded_at, "signals": {"speed_km_per_h": speed}});
        let url = format!("http://{}/api/v1/telemetry/truck-7", site.service().http());
        let answer = ureq::post(&url).send_json(&reading).unwrap();
        assert!(answer.status().is_success());
    };
    publish(50.0, 60);
    let mut client = Client::start(&site, "states", &["truck-7"]);
    let snapshot = client.next().expect("the snapshot");
    assert_eq!((&snapshot["vehicle_id"], &snapshot["speed_km_per_h"]), (&json!("truck-7"), &json!(50.0)));
    for (speed, ago) in [(60.0, 40), (70.0, 20)] {
        publish(speed, ago);
        let change = client.next().expect("the stream goes on");
        assert_eq!(change["speed_km_per_h"], json!(speed));
    }
    assert!(site.stop().success());
    client.ends_well();
}

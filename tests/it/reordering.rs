//! R7 on the real program: messages that overtake each other within `reorder_hold` are judged as if they had come in order.

use std::thread;
use std::time::Duration;

use odograph::clock;
use odograph::domain::Timestamp;
use serde_json::Value;

use crate::support::{Chance, Site, seed, wait_for};

const VEHICLES: usize = 4;
const READINGS: usize = 40;
const APART: Duration = Duration::from_secs(5);
const STORED_WITHIN: Duration = Duration::from_secs(30);

/// A drive on which the driver is too fast for a while, twice.
fn messages(now: Timestamp) -> Vec<(String, String)> {
    let message = |vehicle: usize, number: usize| {
        let back = APART * u32::try_from(READINGS - number).unwrap();
        let is_fast = (8..14).contains(&number) || (28..34).contains(&number);
        let speed = if is_fast { 220.0 } else { 90.0 } + f64::from(u32::try_from((number * 7 + vehicle) % 5).unwrap());
        let reading = format!(
            r#"{{"recorded_at":"{}","sequence":{number},"signals":{{"speed_km_per_h":{speed},"engine_speed_rpm":{},"coolant_temperature_celsius":90}},"ignition":"on"}}"#,
            now.minus(back),
            1_000.0 + 15.0 * speed
        );
        (format!("car-{vehicle}"), reading)
    };
    (0..READINGS).flat_map(|number| (0..VEHICLES).map(move |vehicle| message(vehicle, number))).collect()
}

/// What was made of each reading, and all alerts.
fn judged(site: &Site) -> (Vec<Value>, Vec<Value>) {
    let api = site.api();
    let of_one = |vehicle: usize| {
        wait_for("all readings", STORED_WITHIN, || {
            let stored = api.readings(&format!("car-{vehicle}"));
            (stored.len() == READINGS).then_some(stored)
        })
    };
    let readings = (0..VEHICLES).flat_map(of_one).map(|mut stored| {
        for of_this_run in ["arrival", "received_at"] {
            stored.json.as_object_mut().unwrap().remove(of_this_run);
        }
        stored.json
    });
    let readings = readings.collect();
    let answer = api.get("/api/v1/alerts?limit=100");
    let mut alerts = answer.json["alerts"].as_array().unwrap().clone();
    let what = |alert: &Value| {
        let names = [
            "alert_id",
            "vehicle_id",
            "alert_key",
            "severity",
            "condition",
            "opened_at",
            "last_seen_at",
            "closed_at",
            "count",
            "summary",
        ];
        names.into_iter().map(|name| alert[name].clone()).collect::<Value>()
    };
    alerts.sort_by_key(|alert| alert["alert_id"].to_string());
    (readings, alerts.iter().map(what).collect())
}

fn send(site: &Site, (vehicle, reading): &(String, String)) {
    let answer = site.api().post(&format!("/api/v1/telemetry/{vehicle}"), "application/json", reading.as_bytes());
    assert_eq!((answer.status, &answer.json["accepted"]), (200, &1.into()), "{}", answer.text);
}

#[test]
fn any_order_within_the_hold_gives_the_episodes_of_the_right_order() {
    let mut chance = Chance::new(seed());
    let in_order = messages(clock::now());
    let clean = Site::start();
    for message in &in_order {
        send(&clean, message);
    }
    let expected = judged(&clean);
    assert!(expected.1.len() >= VEHICLES, "a drive without alerts shows nothing: {:?}", expected.1);

    let mut shuffled: Vec<_> = in_order.iter().map(|message| (chance.next(), message)).collect();
    shuffled.sort_unstable_by_key(|(place, _)| *place);
    let held = Site::with_settings("[analytics]\nreorder_hold = \"2s\"\n");
    thread::scope(|scope| {
        for (_, message) in &shuffled {
            scope.spawn(|| send(&held, message));
            thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(judged(&held), expected);

    let not_held = Site::start();
    for (_, message) in &shuffled {
        send(&not_held, message);
    }
    assert_ne!(judged(&not_held), expected, "an order that changes nothing shows nothing");
}

//! Alerts from the reading that raises them to the person who handles them, over restarts, and judged again in the end.

use std::time::Duration;

use serde_json::Value;

use crate::line::seconds_ago;
use crate::support::{Site, odograph, wait_for};

/// An alert is shown once it is durable; these machines are shared.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
const ARCHIVED_WITHIN: Duration = Duration::from_secs(15);

/// Half a minute apart, the last one now.
pub fn overheats(readings: i64) -> String {
    let reading = |number: i64| {
        let recorded_at = seconds_ago(30 * (readings - number));
        let speed = 60 + number;
        format!(
            r#"{{"recorded_at":"{recorded_at}","ignition":"on","signals":{{"speed_km_per_h":{speed},"engine_speed_rpm":2100,"coolant_temperature_celsius":125}}}}"#
        )
    };
    format!("[{}]", (1..=readings).map(reading).collect::<Vec<_>>().join(","))
}

pub fn alerts(site: &Site, question: &str) -> Vec<Value> {
    let answer = site.api().get(&format!("/api/v1/alerts{question}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["alerts"].as_array().unwrap().clone()
}

#[test]
fn an_alert_is_opened_handled_kept_over_a_kill_and_judged_again_bit_for_bit() {
    let mut site = Site::start();
    let sent = site.api().post("/api/v1/telemetry/truck-7", "application/json", overheats(9).as_bytes());
    assert_eq!(sent.status, 200, "{}", sent.text);
    let open = || alerts(&site, "?vehicle_id=truck-7&condition=active");
    let alert = wait_for("the alert", SHOWN_WITHIN, || open().into_iter().find(|alert| alert["alert_key"] == "rule:overheating"));
    let id = alert["alert_id"].as_str().unwrap().to_owned();
    assert_eq!(site.api().vehicle("truck-7").unwrap()["state"], "alert");
    let done = site.api().post(
        &format!("/api/v1/alerts/{id}/acknowledge"),
        "application/json",
        br#"{"by":"ada","note":"called the driver"}"#,
    );
    assert_eq!((done.status, &done.json["changed"]), (200, &true.into()), "{}", done.text);

    site.kill();
    site.restart();
    let again = alerts(&site, "?vehicle_id=truck-7&condition=active");
    let again = again.iter().find(|alert| alert["alert_id"] == id.as_str()).expect("it is still open");
    assert_eq!((&again["handling"], &again["acknowledged_by"]), (&"acknowledged".into(), &"ada".into()));
    let shown = wait_for("its history", ARCHIVED_WITHIN, || {
        let shown = site.api().get(&format!("/api/v1/alerts/{id}")).json;
        (shown["history"].as_array().is_some_and(|history| history.len() >= 2)).then_some(shown)
    });
    let changes: Vec<_> = shown["history"].as_array().unwrap().iter().map(|entry| entry["change"].as_str().unwrap()).collect();
    assert_eq!((changes[0], changes.contains(&"acknowledged")), ("opened", true), "{changes:?}");
    let recording = site.api().get(&format!("/api/v1/alerts/{id}/recording")).json;
    assert_eq!(recording["readings"].as_array().unwrap().len(), 9);
    assert!(site.stop().success());
    site.restart();
    let state = site.api().vehicle("truck-7").unwrap()["state"].clone();
    assert_eq!(state, "alert", "it is known to be open though no change of it is read again");
    let stopped = site.stop();
    assert!(stopped.success(), "{stopped}");

    let data = site.data();
    let explained = odograph(&["explain", &id, "--data", data.to_str().unwrap(), "--json"]);
    assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!((&explained["identical"], &explained["opened_again"]), (&true.into(), &true.into()), "{explained}");
    assert!(explained["readings"].as_u64().unwrap() >= 2);
}

#[test]
fn a_fence_is_put_watched_and_still_there_after_a_restart_and_a_wrong_one_changes_nothing() {
    let mut site = Site::start();
    let square = r#"{"type":"FeatureCollection","features":[{"type":"Feature","id":"yard","properties":{"on":["enter"]},
        "geometry":{"type":"Polygon","coordinates":[[[8.4,49.0],[8.42,49.0],[8.42,49.02],[8.4,49.02],[8.4,49.0]]]}}]}"#;
    let put = |site: &Site, body: &str| site.api().put("/api/v1/fences", "application/geo+json", body.as_bytes());
    let answer = put(&site, square);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let revision = answer.json["configuration"].as_u64().unwrap();
    let unclosed = square.replace(",[8.4,49.0]]]}", "]]}");
    let refused = put(&site, &unclosed);
    assert_eq!((refused.status, &refused.json["code"]), (400, &"bad_fences".into()), "{}", refused.text);
    site.stop();
    site.restart();
    assert_eq!(site.api().get("/api/v1/fences").json["features"][0]["id"], "yard");
    let at = |seconds: i64, longitude: f64| {
        let recorded_at = seconds_ago(seconds);
        format!(
            r#"{{"recorded_at":"{recorded_at}","position":{{"latitude":49.01,"longitude":{longitude},"accuracy_m":5}},"signals":{{"speed_km_per_h":50}}}}"#
        )
    };
    let way = format!("[{},{},{}]", at(90, 8.39), at(60, 8.398), at(30, 8.41));
    assert_eq!(site.api().post("/api/v1/telemetry/van-1", "application/json", way.as_bytes()).status, 200);
    let of_fence = |alert: &Value| alert["alert_key"] == "fence:yard:enter";
    let alert = wait_for("the alert", SHOWN_WITHIN, || alerts(&site, "?vehicle_id=van-1").into_iter().find(of_fence));
    assert_eq!(alert["configuration"], revision);
    assert!(site.stop().success());
}

//! Vehicles and their readings as somebody else's program gets them.

use serde_json::Value;

use super::*;
use crate::domain::PositionVerdict;

#[tokio::test]
async fn a_vehicle_is_shown_as_the_contract_says_before_and_after_a_restart() {
    let server = a_server().await;
    assert_eq!(server.get("/api/v1/vehicles/truck-7").await.status, 404);
    let now = crate::clock::now();
    let mut newest = a_reading_at(now);
    newest.timing = Timing::InOrder;
    newest.quality.position = Some(PositionVerdict::Jump);
    newest.lost_before_us = 3;
    server.keeps(&newest).await;
    let from_archive = server.get("/api/v1/vehicles/truck-7").await;
    server.live.update(0, &mut vec![newest]);
    let from_live = server.get("/api/v1/vehicles/truck-7").await;
    assert_eq!((from_live.status, &from_live.json), (200, &from_archive.json));
    let expected = serde_json::json!({
        "vehicle_id": "truck-7", "recorded_at": now, "received_at": now,
        "position": {"latitude": 49.0123, "longitude": 8.4041, "heading_deg": 271.5},
        "signals": {"speed_km_per_h": 63.2, "odometer_m": 123_456_789.25}, "extras": {"wiper": 2.0}, "ignition": "on", "score": 0.2,
        "scores": [{"model": "forest", "version": "1", "score": 0.2, "raw": 0.6, "tail_probability": 0.8}],
        "quality": {"position": "jump"}, "lost_before_us": 3, "state": "ok", "open_alerts": [], "record": null
    });
    assert_eq!(from_live.json, expected);
    let list = server.get("/api/v1/vehicles?limit=1").await;
    assert_eq!(list.json["vehicles"], serde_json::json!([expected]));
}

#[tokio::test]
async fn a_registered_vehicle_is_shown_before_it_speaks() {
    let server = a_server().await;
    let put = |id: &str, body: &str| {
        let request = ureq::http::Request::put(format!("http://{}/api/v1/vehicles/{id}", server.address));
        server.send(request.body(body.as_bytes().to_vec()).unwrap())
    };
    let record = r#"{"class":"van","powertrain":"battery_electric","groups":["north"],"battery_kwh":75}"#;
    assert_eq!(put("van-1", record).await.status, 201);
    assert_eq!(put("van-1", record).await.status, 200);
    let shown = server.get("/api/v1/vehicles/van-1").await.json;
    assert_eq!((&shown["record"]["class"], &shown["record"]["battery_kwh"]), (&"van".into(), &75.0.into()));
    assert_eq!(
        (&shown["recorded_at"], &shown["signals"], &shown["state"]),
        (&Value::Null, &serde_json::json!({}), &"offline".into())
    );
    for (body, hint) in
        [(r#"{"clas":"van"}"#, "class"), (r#"{"battery_kwh":-1}"#, "battery_kwh"), ("", "EOF"), (r#"{"class":""}"#, "label")]
    {
        let answer = put("van-1", body).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (400, Some("bad_vehicle_record")), "{body}");
        assert!(answer.json["detail"].as_str().unwrap().contains(hint), "{body}: {}", answer.json["detail"]);
    }
    let import = |file: &str| {
        let request = ureq::http::Request::post(format!("http://{}/api/v1/vehicles/import", server.address));
        server.send(request.body(file.as_bytes().to_vec()).unwrap())
    };
    assert_eq!(import("vehicle_id,class\nvan-1,truck\nvan-2,van\n").await.json, serde_json::json!({"imported": 2, "new": 1}));
    assert_eq!(import("vehicle_id,class\nvan-3,van\nvan-3,van\n").await.json["code"], "bad_csv");
    let listed = server.get("/api/v1/vehicles").await.json;
    let listed: Vec<_> = listed["vehicles"].as_array().unwrap().iter().map(|each| each["record"]["class"].clone()).collect();
    assert_eq!(listed, ["truck", "van"], "the wrong file registered nothing");
}

#[tokio::test]
async fn silence_shows_unless_the_vehicle_is_parked() {
    let server = a_server().await;
    let now = crate::clock::now();
    for (minutes, ignition, state) in [(6, Ignition::On, "stale"), (31, Ignition::On, "offline"), (31, Ignition::Off, "parked")] {
        let mut newest = a_reading_at(now.minus(Duration::from_secs(60 * minutes)));
        newest.reading.vehicle_id = VehicleId::new(state).unwrap();
        (newest.timing, newest.reading.ignition) = (Timing::InOrder, Some(ignition));
        server.live.update(0, &mut vec![newest]);
        assert_eq!(server.get(&format!("/api/v1/vehicles/{state}")).await.json["state"], state);
    }
}

#[tokio::test]
async fn vehicles_of_archive_and_live_state_make_one_list() {
    let server = a_server().await;
    let mut all = Vec::new();
    for number in 0..25 {
        let mut newest = a_reading_at(crate::clock::now());
        newest.timing = Timing::InOrder;
        newest.reading.vehicle_id = VehicleId::new(&format!("v{number:02}")).unwrap();
        all.push(newest.reading.vehicle_id.to_string());
        if number % 3 != 0 {
            server.keeps(&newest).await;
        }
        if number % 2 == 0 || number % 3 == 0 {
            server.live.update(0, &mut vec![newest]);
        }
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/vehicles?limit=4".to_owned());
    loop {
        let page = server.get(&path).await.json;
        let ids = page["vehicles"].as_array().unwrap().iter();
        seen.extend(ids.map(|vehicle| vehicle["vehicle_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/vehicles?limit=4&cursor={cursor}");
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn readings_come_in_pages_oldest_first() {
    let server = a_server().await;
    for minute in [2, 0, 1] {
        server.keeps(&a_reading_at(moment(&format!("2026-11-24T03:0{minute}:00.000001Z")))).await;
    }
    let path = "/api/v1/vehicles/truck-7/readings?from=2026-11-24T03:00:00Z&to=2026-11-24T04:00:00%2B00:00&limit=2";
    let first = server.get(path).await;
    let reading = &first.json["readings"][0];
    assert_eq!((first.status, reading["recorded_at"].as_str()), (200, Some("2026-11-24T03:00:00.000001Z")), "{}", first.json);
    assert_eq!((&reading["late"], &reading["arrival"], &reading["extras"]["wiper"]), (&true.into(), &17.into(), &2.0.into()));
    let second = server.get(&format!("{path}&cursor={}", first.json["next_cursor"].as_str().unwrap())).await;
    assert_eq!(second.json["readings"][0]["recorded_at"], "2026-11-24T03:02:00.000001Z");
    assert_eq!(second.json["next_cursor"], Value::Null);
}

#[tokio::test]
async fn with_a_length_readings_come_summed_up_in_pages() {
    let server = a_server().await;
    for (minute, speed) in [("02", 40.0), ("04", 60.0), ("09", 63.2)] {
        let mut reading = a_reading_at(moment(&format!("2026-11-24T03:{minute}:00Z")));
        reading.reading.signals.set(signal::SPEED, speed);
        server.keeps(&reading).await;
    }
    let path = "/api/v1/vehicles/truck-7/readings?from=2026-11-24T03:00:00Z&to=2026-11-24T04:00:00Z&every=5m&limit=1";
    let first = server.get(path).await;
    let signals = |mean: f64, min: f64, max: f64| {
        let odometer = 123_456_789.25;
        serde_json::json!({
            "speed_km_per_h": {"mean": mean, "min": min, "max": max},
            "odometer_m": {"mean": odometer, "min": odometer, "max": odometer}
        })
    };
    let expected =
        serde_json::json!([{"start": "2026-11-24T03:00:00Z", "readings": 2, "score": 0.2, "signals": signals(50.0, 40.0, 60.0)}]);
    assert_eq!((first.status, &first.json["buckets"]), (200, &expected));
    let second = server.get(&format!("{path}&cursor={}", first.json["next_cursor"].as_str().unwrap())).await;
    let expected =
        serde_json::json!([{"start": "2026-11-24T03:05:00Z", "readings": 1, "score": 0.2, "signals": signals(63.2, 63.2, 63.2)}]);
    assert_eq!(second.json, serde_json::json!({"buckets": expected, "next_cursor": null}));
    // Seen, and not archived yet.
    let mut live = a_reading_at(crate::clock::now());
    (live.timing, live.reading.vehicle_id) = (Timing::InOrder, VehicleId::new("van-1").unwrap());
    server.live.update(0, &mut vec![live]);
    let unarchived = server.get("/api/v1/vehicles/van-1/readings?from=2026-11-24T03:00:00Z&every=1d").await;
    assert_eq!((unarchived.status, unarchived.json), (200, serde_json::json!({"buckets": [], "next_cursor": null})));
}

//! The API as somebody else's program sees it: over a socket.

use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::analytics::alerting::CommandRefused;
use crate::analytics::lane::Obeyed;
use crate::domain::{
    AlertEvent, Assessment, Change, Command, Condition, Delivery, Handling, Ignition, ModelScore, Outcome, Position,
    PositionVerdict, Quality, Quarantined, Reading, SignalTable, SignalValues, Slot, Source, Timestamp, Timing, VehicleId,
    signal,
};
use crate::fleet::{CommandFailed, Commands, FleetParts};
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::ingest::{Inlet, Intake};
use crate::live::{AlertFeed, LiveState, OpenAlerts};
use crate::settings;
use crate::storage::{ArchiveRecord, SqliteArchive, VehicleRegister};
use crate::wire::record::Record;

pub(super) struct Server {
    _folder: TempDir,
    /// The server ends with it.
    _tasks: crate::tasks::Tasks,
    pub address: SocketAddr,
    archive: SqliteArchive,
    pub live: Arc<LiveState>,
    pub open_alerts: Arc<OpenAlerts>,
    pub alert_feed: Arc<AlertFeed>,
    problem: Arc<Mutex<Option<String>>>,
}

pub(super) struct Answer {
    pub status: u16,
    pub json: Value,
    content_type: String,
    body: Vec<u8>,
}

pub(super) async fn a_server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let table = Arc::new(SignalTable::default());
    let archive = SqliteArchive::open(&folder.path().join("archive.sqlite"), Arc::clone(&table)).await.unwrap();
    let live = Arc::new(LiveState::new(1, 10_000));
    let open_alerts = Arc::new(OpenAlerts::default());
    let alert_feed = Arc::new(AlertFeed::new(100));
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let problem: Arc<Mutex<Option<String>>> = Arc::default();
    let tasks = Tasks::default();
    let parts = Parts {
        fleet: Fleet::new(FleetParts {
            live: Arc::clone(&live),
            open_alerts: Arc::clone(&open_alerts),
            alert_feed: Arc::clone(&alert_feed),
            commands: Commands::new({
                let open_alerts = Arc::clone(&open_alerts);
                move |command| std::future::ready(acknowledged(&open_alerts, &command))
            }),
            archive: archive.clone(),
            register: VehicleRegister::open(archive.clone()).await.unwrap(),
            table,
            settings: settings::Fleet::default(),
        }),
        fences: Fences {
            get: Arc::new(|| Box::pin(std::future::ready(r#"{"type":"FeatureCollection","features":[]}"#.to_owned()))),
            put: Arc::new(|text| Box::pin(std::future::ready(Err(FencesRefused::Mistakes(text))))),
        },
        models: Vec::new(),
        map: Map::new(&settings::Page::default(), None),
        replay: QuarantineReplay::new(
            Arc::new(Intake::new(keeping(), Arc::default(), &settings::Ingest::default())),
            archive.clone(),
        ),
        address,
        tasks: tasks.clone(),
        ready: Box::new({
            let problem = Arc::clone(&problem);
            move || problem.lock().unwrap().clone().map(|problem| Reason { part: "archive", problem }).into_iter().collect()
        }),
        metrics: Box::new(|| "odograph_connections 3\n".to_owned()),
    };
    let router = router(parts, axum::Router::new());
    tasks.spawn("http", async move { Ok(axum::serve(listener, router).await?) });
    Server { _folder: folder, _tasks: tasks, address, archive, live, open_alerts, alert_feed, problem }
}

/// Lanes that make everything durable at once.
fn keeping() -> Inlet {
    let keep = |delivery: Delivery| {
        let accepted = u32::try_from(delivery.readings.len()).unwrap();
        delivery.receipt.keep(Outcome { accepted, duplicates: 0 });
    };
    Inlet::new(
        move |delivery| {
            keep(delivery);
            std::future::ready(Ok(()))
        },
        move |delivery| {
            keep(delivery);
            Ok(())
        },
    )
}

/// In place of a lane, which has tests of its own.
fn acknowledged(open_alerts: &OpenAlerts, command: &Command) -> Result<Obeyed, CommandFailed> {
    let refused = || CommandRefused::NoSuchAlert { alert_id: command.alert_id };
    let mut alert = (*open_alerts.get(command.alert_id).ok_or_else(refused)?).clone();
    (alert.handling, alert.acknowledged_by) = (Handling::Acknowledged, Some(command.by.clone()));
    alert.revision += 1;
    let event = AlertEvent { change: Change::Acknowledged, at: command.at, alert: alert.clone() };
    open_alerts.apply(&event);
    Ok(Obeyed { alert, event: Some(event) })
}

impl Server {
    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&'static str, &'static str)]) -> Answer {
        let mut request = ureq::http::Request::get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Vec::new()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        let request = ureq::http::Request::post(format!("http://{}{path}", self.address));
        self.send(request.body(body.as_bytes().to_vec()).unwrap()).await
    }

    async fn send(&self, request: ureq::http::Request<Vec<u8>>) -> Answer {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let answer = move || {
            let mut response = agent.run(request).unwrap();
            let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
            let body = response.body_mut().read_to_vec().unwrap();
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Answer { status: response.status().as_u16(), json, content_type: content_type.unwrap_or_default(), body }
        };
        tokio::task::spawn_blocking(answer).await.unwrap()
    }

    pub async fn keeps(&self, assessment: &Assessment) {
        let slot = assessment.reading.vehicle_id.slot();
        let record = Record::Assessment(Box::new(assessment.clone()));
        self.archive.store(&[ArchiveRecord { slot, arrival: assessment.arrival, record }]).await.unwrap();
    }
}

pub(super) fn a_reading_at(recorded_at: Timestamp) -> Assessment {
    let mut signals = SignalValues::default();
    signals.set(signal::SPEED, 63.2);
    signals.set(signal::ODOMETER, 123_456_790.0);
    let mut position = Position::new(49.0123, 8.4041).unwrap();
    position.heading_deg = Some(271.5);
    Assessment {
        arrival: 17,
        timing: Timing::Late,
        scores: vec![ModelScore { model: "forest".into(), version: "1".into(), score: 0.2, raw: 0.6, tail_probability: 0.8 }],
        not_scored: None,
        quality: Quality::default(),
        lost_before_us: 0,
        findings: Vec::new(),
        revision: 0,
        reading: Reading {
            vehicle_id: VehicleId::new("truck-7").unwrap(),
            recorded_at,
            received_at: recorded_at,
            fingerprint: recorded_at.as_micros().unsigned_abs(),
            boot_id: None,
            sequence: None,
            position: Some(position),
            odometer_m: Some(123_456_789.25),
            signals,
            ignition: Some(Ignition::On),
            dtcs: Vec::new(),
            extras: vec![("wiper".into(), 2.0)],
            rejected: Vec::new(),
        },
    }
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

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
async fn refused_messages_are_listed_counted_and_exported() {
    let server = a_server().await;
    let payload: &[u8] = b"\xffno json";
    let message = Quarantined {
        received_at: moment("2026-11-24T03:17:00Z"),
        source: Source::Mqtt,
        vehicle_id: "truck 7".into(),
        reason: crate::domain::Reason::JsonSyntax,
        detail: "expected value at column 1".into(),
        payload: payload.into(),
        payload_bytes: payload.len() as u64,
        index: 0,
    };
    let record = Record::Quarantined(Box::new(message));
    server.archive.store(&[ArchiveRecord { slot: Slot::of("truck 7"), arrival: 1, record }]).await.unwrap();
    let listed = server.get("/api/v1/quarantine?reason=json_syntax").await.json;
    assert_eq!(listed["counts"], serde_json::json!({"json_syntax": 1}));
    let message = &listed["messages"][0];
    assert_eq!((message["payload_base64"].as_str(), message["source"].as_str()), (Some("/25vIGpzb24="), Some("mqtt")));
    let exported = server.get(&format!("/api/v1/quarantine/{}/payload", message["id"])).await;
    assert_eq!((exported.status, exported.body.as_slice()), (200, payload));
    assert_eq!(server.get("/api/v1/quarantine?reason=too_old").await.json["messages"], serde_json::json!([]));
    let replayed = server.post("/api/v1/quarantine/replay", r#"{"reason":"json_syntax"}"#).await;
    let expected = serde_json::json!({
        "taken": 0, "accepted": 0, "duplicates": 0, "still_refused": {"vehicle_id_invalid": 1}, "not_whole": 0, "not_replayable": 0
    });
    assert_eq!((replayed.status, replayed.json), (200, expected));
    for body in ["{}", r#"{"reason":"json"}"#, r#"{"ids":[1],"cursor":"1"}"#, ""] {
        let answer = server.post("/api/v1/quarantine/replay", body).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (400, Some("bad_replay")), "{body}");
    }
}

#[tokio::test]
async fn mistakes_are_explained_with_a_stable_code() {
    let server = a_server().await;
    server.keeps(&a_reading_at(moment("2026-11-24T03:00:00Z"))).await;
    let readings = "/api/v1/vehicles/truck-7/readings";
    for (path, status, code, hint) in [
        (format!("{readings}?form=2026-11-24T03:00:00Z"), 400, "bad_parameter", "did you mean `from`"),
        (format!("{readings}?from=2026-11-24T03:00:00+01:00"), 400, "bad_parameter", "write + as %2B"),
        (format!("{readings}?to=yesterday"), 400, "bad_parameter", "RFC 3339"),
        (format!("{readings}?limit=0"), 400, "bad_parameter", "1..1000"),
        (format!("{readings}?limit=1&limit=2"), 400, "bad_parameter", "twice"),
        (format!("{readings}?cursor=abc"), 400, "bad_parameter", "next_cursor"),
        (format!("{readings}?from=2026-11-24T04:00:00Z&to=2026-11-24T03:00:00Z"), 400, "bad_parameter", "before"),
        ("/api/v1/vehicles/truck%207".to_owned(), 400, "bad_parameter", "A-Z"),
        ("/api/v1/vehicles/van-1/readings".to_owned(), 404, "not_found", "van-1"),
        ("/api/v1/quarantine?reason=json".to_owned(), 400, "bad_parameter", "json_syntax"),
        ("/api/v1/quarantine/99/payload".to_owned(), 404, "not_found", "99"),
        ("/api/v1/vehicle".to_owned(), 404, "not_found", "/vehicles"),
        ("/nowhere".to_owned(), 404, "not_found", "/api/v1"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (status, Some(code)), "{path}");
        assert_eq!(answer.content_type, "application/problem+json", "{path}");
        assert_eq!(answer.json["status"], status, "{path}");
        assert!(answer.json["detail"].as_str().unwrap().contains(hint), "{path}: {}", answer.json["detail"]);
    }
    // By hand: the answer comes before the body, which a client that is still sending may not live to read.
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (address, length) = (server.address, LARGEST_BODY_BYTES + 1);
    let head = format!(
        "POST /api/v1/vehicles/import HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    let request = ureq::http::Request::delete(format!("http://{}/api/v1/vehicles/truck-7", server.address));
    let answer = server.send(request.body(Vec::new()).unwrap()).await;
    assert_eq!((answer.status, answer.json["code"].as_str()), (405, Some("method_not_allowed")));
}

#[tokio::test]
async fn other_hosts_other_origins_and_proxies_are_refused() {
    let server = a_server().await;
    for (name, value, code) in [
        ("host", "rebound.example", "host"),
        ("origin", "http://rebound.example", "origin"),
        ("origin", "null", "origin"),
        ("x-forwarded-for", "192.0.2.1", "forwarded"),
    ] {
        let answer = server.get_with("/api/v1/vehicles", &[(name, value)]).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (403, Some(code)), "{name}: {value}");
    }
}

#[tokio::test]
async fn health_says_why_and_metrics_are_text() {
    let server = a_server().await;
    assert_eq!(server.get("/health/live").await.status, 200);
    assert_eq!(server.get("/health/ready").await.json, serde_json::json!({"ready": true, "reasons": []}));
    *server.problem.lock().unwrap() = Some("the disk is full".to_owned());
    let answer = server.get("/health/ready").await;
    assert_eq!((answer.status, &answer.json["reasons"][0]["problem"]), (503, &"the disk is full".into()));
    let metrics = server.get("/metrics").await;
    assert!(metrics.content_type.starts_with("text/plain"));
    assert_eq!(metrics.body, b"odograph_connections 3\n");
    let page = server.get("/").await;
    assert!(page.content_type.starts_with("text/html") && page.status == 200);
}

#[tokio::test]
async fn an_open_alert_is_listed_shown_with_its_vehicle_and_handled_before_the_archive_knows_it() {
    let server = a_server().await;
    let mut event = crate::wire::alert::tests::a_full_alert_event();
    (event.change, event.alert.condition, event.alert.revision) = (Change::Opened, Condition::Active, 0);
    event.alert.handling = Handling::New;
    server.open_alerts.apply(&event);
    let id = event.alert.alert_id.to_string();
    let mut newest = vec![a_reading_at(crate::clock::now())];
    newest[0].timing = Timing::InOrder;
    server.live.update(0, &mut newest);
    let vehicle = server.get("/api/v1/vehicles/truck-7").await.json;
    assert_eq!((&vehicle["state"], &vehicle["open_alerts"][0]["alert_id"]), (&"alert".into(), &id.as_str().into()));
    let listed = server.get("/api/v1/alerts?condition=active&vehicle_id=truck-7").await.json;
    assert_eq!(listed["alerts"][0]["explanation"][0]["contribution"], 0.875);
    assert_eq!(server.get("/api/v1/alerts?condition=cleared").await.json["alerts"].as_array().unwrap().len(), 0);
    let answer = server.post(&format!("/api/v1/alerts/{id}/acknowledge"), r#"{"by":"ada"}"#).await;
    assert_eq!((answer.status, &answer.json["alert"]["acknowledged_by"]), (200, &"ada".into()));
    let shown = server.get(&format!("/api/v1/alerts/{id}")).await.json;
    assert_eq!((&shown["handling"], &shown["history"]), (&"acknowledged".into(), &Value::Array(Vec::new())));
}

#[tokio::test]
async fn a_command_that_makes_no_sense_says_what_would() {
    let server = a_server().await;
    let mut event = crate::wire::alert::tests::a_full_alert_event();
    event.alert.condition = Condition::Active;
    server.open_alerts.apply(&event);
    let id = event.alert.alert_id.to_string();
    for (action, body, status, expected) in [
        ("acknowledge", r#"{"who":"ada"}"#, 400, "unknown field `who`"),
        ("assign", "", 400, "assign needs `to`"),
        ("silence", "{}", 400, "silence needs `duration`"),
        ("silence", r#"{"duration":"60d"}"#, 400, "at most 30 days"),
        ("acknowledge", r#"{"verdict":"confirmed"}"#, 400, "`verdict` belongs to resolve"),
        ("resolve", r#"{"verdict":"maybe"}"#, 400, "confirmed, false_alarm"),
        ("close", "", 404, "acknowledge, assign, silence, resolve"),
    ] {
        let answer = server.post(&format!("/api/v1/alerts/{id}/{action}"), body).await;
        let detail = answer.json["detail"].as_str().unwrap_or_default();
        assert!(answer.status == status && detail.contains(expected), "{action} {body}: {} {detail}", answer.status);
    }
    assert_eq!(server.post("/api/v1/alerts/0000000000000001/acknowledge", "").await.status, 404);
    assert_eq!(server.post("/api/v1/alerts/xyz/acknowledge", "").await.status, 400);
}

//! The API as somebody else's program sees it: over a socket. Here: the server; what is asked of it stands below.

mod alerts;
mod map;
mod openapi;
mod refusals;
mod vehicles;

use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::analytics::alerting::CommandRefused;
use crate::analytics::lane::Obeyed;
use crate::domain::{
    AlertEvent, Assessment, Change, Command, Condition, Delivery, Handling, Ignition, ModelScore, Outcome, Position, Quality,
    Quarantined, Reading, SignalTable, SignalValues, Slot, Source, Timestamp, Timing, VehicleId, signal,
};
use crate::fleet::{CommandFailed, Commands, FencesRefused, FleetParts};
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::ingest::{Inlet, Intake, uplink};
use crate::journal::{DamageAlert, DamagedPlace};
use crate::live::{AlertFeed, LiveState, OpenAlerts};
use crate::settings;
use crate::storage::{self, ArchiveAddress, ArchiveRecord, SharedStore, VehicleRegister};
use crate::wire::record::Record;

pub(super) struct Server {
    _folder: TempDir,
    /// The server ends with it.
    _tasks: crate::tasks::Tasks,
    pub address: SocketAddr,
    archive: SharedStore,
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
    a_server_with(settings::Page::default()).await
}

async fn a_server_with(page: settings::Page) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let table = Arc::new(SignalTable::default());
    let archive = storage::open(ArchiveAddress::Sqlite(folder.path().join("archive.sqlite")), Arc::clone(&table)).await.unwrap();
    let live = Arc::new(LiveState::new(1, 10_000));
    let open_alerts = Arc::new(OpenAlerts::default());
    let alert_feed = Arc::new(AlertFeed::new(100));
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let problem: Arc<Mutex<Option<String>>> = Arc::default();
    let tasks = Tasks::default();
    let intake = Arc::new(Intake::new(keeping(), Arc::default(), &settings::Ingest::default()));
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
            get: Arc::new(|| Box::pin(std::future::ready(Ok(r#"{"type":"FeatureCollection","features":[]}"#.to_owned())))),
            put: Arc::new(|text| Box::pin(std::future::ready(Err(FencesRefused::Mistakes(text))))),
        },
        models: Vec::new(),
        map: Map::new(&page, None).unwrap(),
        replay: QuarantineReplay::new(Arc::clone(&intake), archive.clone()),
        tasks: tasks.clone(),
    };
    let health = Health {
        slo: Arc::default(),
        address,
        degraded: Box::new(Vec::new),
        damage: damage(),
        ready: Box::new({
            let problem = Arc::clone(&problem);
            move || problem.lock().unwrap().clone().map(|problem| Reason { part: "archive", problem }).into_iter().collect()
        }),
        metrics: Box::new(|| "odograph_connections 3\n".to_owned()),
    };
    let router = router(health, parts, Some(uplink::router(intake, Duration::from_secs(10), &tasks)));
    tasks.spawn("http", async move { Ok(axum::serve(listener, router).await?) });
    Server { _folder: folder, _tasks: tasks, address, archive, live, open_alerts, alert_feed, problem }
}

/// In place of a journal, which has tests of its own: one that is never quite acknowledged.
fn damage() -> Damage {
    let at = moment("2026-11-24T03:17:00Z");
    let place = DamagedPlace { file: "0.journal".to_owned(), offset: 4_096, bytes: 100, frames: Some(1), found_at: at };
    let alert = DamageAlert {
        opened_at: at,
        last_seen_at: at,
        count: 1,
        frames_at_least: 1,
        places: vec![place],
        acknowledged_at: None,
        acknowledged_by: None,
        note: None,
        revision: 1,
    };
    let asked = alert.clone();
    Damage {
        alert: Arc::new(move || Some(asked.clone())),
        acknowledge: Arc::new(move |by, note| {
            let (acknowledged_by, note) = (Some(by.to_owned()), note.map(str::to_owned));
            Ok(Some(DamageAlert { acknowledged_at: Some(at), acknowledged_by, note, ..alert.clone() }))
        }),
    }
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

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = ureq::http::Request::builder().method(method.to_uppercase().as_str());
        // As a WebSocket client does; others do not mind.
        let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
        let request = upgrade.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        self.send(request.uri(format!("http://{}{path}", self.address)).body(Vec::new()).unwrap()).await
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

    /// One message in quarantine, the first; returns its payload.
    async fn keeps_refused(&self) -> &'static [u8] {
        let payload = b"\xffno json".as_slice();
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
        self.archive.store(&[ArchiveRecord { slot: Slot::of("truck 7"), arrival: 1, record }]).await.unwrap();
        payload
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
async fn health_says_why_and_metrics_are_text() {
    let server = a_server().await;
    assert_eq!(server.get("/health/live").await.status, 200);
    assert_eq!(server.get("/health/ready").await.json, serde_json::json!({"ready": true, "reasons": [], "degraded": []}));
    *server.problem.lock().unwrap() = Some("the disk is full".to_owned());
    let answer = server.get("/health/ready").await;
    assert_eq!((answer.status, &answer.json["reasons"][0]["problem"]), (503, &"the disk is full".into()));
    let metrics = server.get("/metrics").await;
    assert!(metrics.content_type.starts_with("text/plain"));
    assert_eq!(metrics.body, b"odograph_connections 3\n");
    let page = server.get("/").await;
    assert!(page.content_type.starts_with("text/html") && page.status == 200);
}

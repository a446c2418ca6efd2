//! The gRPC services of the running program, by a client that was generated from the same files.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use odograph::clock;
use odograph::wire::proto::v1;
use odograph::wire::proto::v1::alert_service_client::AlertServiceClient;
use odograph::wire::proto::v1::alert_stream_message::Kind;
use odograph::wire::proto::v1::telemetry_service_client::TelemetryServiceClient;
use odograph::wire::proto::v1::vehicle_state::State;
use odograph::wire::reading::timestamp_to_proto;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

use crate::support::{Site, is_torture, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

async fn channel(site: &Site) -> Channel {
    Channel::from_shared(format!("http://{}", site.service().grpc())).unwrap().connect().await.unwrap()
}

pub(crate) fn reading(vehicle: &str, seconds_ago: u64, speed: f32) -> v1::TelemetryReading {
    v1::TelemetryReading {
        vehicle_id: vehicle.to_owned(),
        recorded_at: Some(timestamp_to_proto(clock::now().minus(Duration::from_secs(seconds_ago)))),
        position: Some(v1::Position { latitude: 49.0, longitude: 8.4, ..v1::Position::default() }),
        signals: Some(v1::Signals { speed_km_per_h: Some(speed), ..v1::Signals::default() }),
        ignition: v1::Ignition::On.into(),
        ..v1::TelemetryReading::default()
    }
}

pub(crate) async fn next<T>(stream: &mut Streaming<T>) -> T {
    timeout(PATIENCE, stream.next()).await.expect("a message in time").expect("the stream goes on").unwrap()
}

#[tokio::test]
async fn readings_are_taken_refused_and_recognised_as_over_every_other_way() {
    let site = Site::start();
    let mut telemetry = TelemetryServiceClient::new(channel(&site).await);
    let first = reading("truck-7", 60, 50.0);
    let answer = telemetry.ingest_reading(first.clone()).await.unwrap().into_inner();
    assert_eq!((answer.accepted, answer.duplicates, answer.quarantined.len()), (1, 0, 0));
    let again = telemetry.ingest_reading(first).await.unwrap().into_inner();
    assert_eq!((again.accepted, again.duplicates), (0, 1));
    let refused = telemetry.ingest_reading(reading("truck 8", 0, 50.0)).await.unwrap().into_inner();
    assert_eq!((refused.accepted, refused.quarantined[0].reason.as_str()), (0, "vehicle_id_invalid"));

    let timeless = v1::TelemetryReading { recorded_at: None, ..reading("bus-1", 0, 1.0) };
    let batches = vec![
        v1::TelemetryBatch {
            readings: vec![reading("bus-1", 40, 10.0), reading("truck-7", 30, 60.0), timeless, reading("bus-1", 10, 20.0)],
        },
        v1::TelemetryBatch { readings: vec![reading("truck-7", 20, 70.0)] },
        v1::TelemetryBatch::default(),
    ];
    let mut answers = telemetry.ingest_readings(tokio_stream::iter(batches)).await.unwrap().into_inner();
    let mut answer = next(&mut answers).await;
    let wrong = answer.quarantined.remove(0);
    assert_eq!(
        (answer.accepted, wrong.index, wrong.reason.as_str()),
        (3, 2, "recorded_at_missing"),
        "where it stood in the batch"
    );
    assert_eq!((next(&mut answers).await.accepted, next(&mut answers).await), (1, v1::IngestResponse::default()));
    assert!(answers.next().await.is_none());
    let stored =
        wait_for("what was acknowledged", PATIENCE, || Some(site.api().readings("truck-7")).filter(|all| all.len() == 3));
    assert_eq!(stored[2].json["signals"]["speed_km_per_h"], 70.0);
    assert_eq!(site.api().quarantined("recorded_at_missing"), 1);
}

#[tokio::test]
async fn a_vehicle_is_followed_from_before_it_spoke_through_its_alerts() {
    let site = Site::start();
    let channel = channel(&site).await;
    let mut telemetry = TelemetryServiceClient::new(channel.clone());
    let asked = v1::VehicleStateRequest { vehicle_id: "truck-7".to_owned() };
    let mut states = telemetry.stream_vehicle_state(asked.clone()).await.unwrap().into_inner();
    let mut alerts = AlertServiceClient::new(channel);
    let mut changes = alerts.stream_alerts(v1::StreamAlertsRequest::default()).await.unwrap().into_inner();
    telemetry.ingest_reading(reading("bus-1", 90, 1.0)).await.unwrap();
    for (ago, speed) in (1..=8).rev().map(|number| (10 * number, 230.0)) {
        telemetry.ingest_reading(reading("truck-7", ago, speed)).await.unwrap();
        let state = next(&mut states).await;
        assert_eq!((state.vehicle_id.as_str(), state.speed_km_per_h), ("truck-7", Some(230.0)));
        assert_eq!(state.reading.unwrap().signals.unwrap().speed_km_per_h, Some(230.0));
    }
    let Kind::Change(opened) = next(&mut changes).await.kind.unwrap() else { panic!("nothing was missed") };
    let alert = opened.alert.unwrap();
    assert_eq!((opened.change.as_str(), alert.alert_key.as_str()), ("opened", "rule:over_speed"));

    let late = telemetry.stream_vehicle_state(asked).await.unwrap().into_inner();
    let shown = next(&mut { late }).await;
    assert_eq!(
        (shown.state(), shown.open_alerts[0].alert_id.as_str()),
        (State::Alert, alert.alert_id.as_str()),
        "at once, as it is"
    );

    let acknowledge = v1::AcknowledgeAlertRequest {
        alert_id: alert.alert_id.clone(),
        vehicle_id: alert.vehicle_id.clone(),
        by: "Ada".to_owned(),
    };
    let acknowledged = alerts.acknowledge_alert(acknowledge.clone()).await.unwrap().into_inner();
    assert_eq!((acknowledged.handling.as_str(), acknowledged.acknowledged_by.as_str()), ("acknowledged", "Ada"));
    // What is listed follows the journal, a moment later.
    let since = Instant::now();
    loop {
        let asked = v1::ListAlertsRequest { vehicle_id: "truck-7".to_owned() };
        let listed = alerts.list_alerts(asked).await.unwrap().into_inner().alerts;
        let listed = listed.iter().find(|one| one.alert_id == alert.alert_id).expect("it is not over");
        if listed.handling == "acknowledged" {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "still {}", listed.handling);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        alerts
            .list_alerts(v1::ListAlertsRequest { vehicle_id: "bus-1".to_owned() })
            .await
            .unwrap()
            .into_inner()
            .alerts
            .is_empty()
    );
    let nobody = v1::AcknowledgeAlertRequest { by: String::new(), ..acknowledge.clone() };
    assert_eq!(alerts.acknowledge_alert(nobody).await.unwrap_err().code(), Code::InvalidArgument);
    let unknown = v1::AcknowledgeAlertRequest { alert_id: "0123456789abcdef".to_owned(), ..acknowledge };
    assert_eq!(alerts.acknowledge_alert(unknown).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn many_vehicles_come_over_one_stream_by_ids_and_by_box() {
    let site = Site::start();
    let mut telemetry = TelemetryServiceClient::new(channel(&site).await);
    let readings = (0..2_500).map(|number| reading(&format!("van-{number:04}"), 10, 30.0)).collect();
    let batch = v1::TelemetryBatch { readings };
    let mut answers = telemetry.ingest_readings(tokio_stream::iter(vec![batch])).await.unwrap().into_inner();
    assert_eq!(next(&mut answers).await.accepted, 2_500);

    let mut all = telemetry.stream_fleet_state(v1::FleetStateRequest::default()).await.unwrap().into_inner();
    let mut seen = BTreeSet::new();
    loop {
        let part = next(&mut all).await;
        seen.extend(part.vehicles.into_iter().map(|vehicle| vehicle.vehicle_id));
        if part.complete {
            break;
        }
    }
    assert_eq!(seen.len(), 2_500);
    let listed = v1::FleetStateRequest { vehicle_ids: vec!["van-0007".to_owned()], bounding_box: None };
    let mut listed = telemetry.stream_fleet_state(listed).await.unwrap().into_inner();
    let mut names = Vec::new();
    loop {
        let part = next(&mut listed).await;
        names.extend(part.vehicles.into_iter().map(|vehicle| vehicle.vehicle_id));
        if part.complete {
            break;
        }
    }
    assert_eq!(names, ["van-0007"]);
    telemetry.ingest_reading(reading("van-0008", 0, 1.0)).await.unwrap();
    telemetry.ingest_reading(reading("van-0007", 0, 99.0)).await.unwrap();
    let change = next(&mut listed).await;
    assert_eq!(change.vehicles.iter().map(|one| one.speed_km_per_h).collect::<Vec<_>>(), [Some(99.0)]);
    let nowhere = v1::FleetStateRequest {
        vehicle_ids: Vec::new(),
        bounding_box: Some(v1::BoundingBox { west: 0.0, south: 60.0, east: 1.0, north: 50.0 }),
    };
    assert_eq!(telemetry.stream_fleet_state(nowhere).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn health_is_honest_and_streams_end_with_the_process() {
    let mut site = Site::start();
    let channel = channel(&site).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let mut status = async |service: &str| {
        let asked = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        health.check(asked).await.map(|answer| answer.into_inner().status())
    };
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    for service in ["odograph.v1.TelemetryService", "odograph.v1.AlertService", ""] {
        assert_eq!(status(service).await.unwrap(), serving);
    }
    assert_eq!(status("odograph.v1.Nobody").await.unwrap_err().code(), Code::NotFound);
    let mut telemetry = TelemetryServiceClient::new(channel);
    let asked = v1::VehicleStateRequest { vehicle_id: "truck-7".to_owned() };
    let mut followed = telemetry.stream_vehicle_state(Request::new(asked)).await.unwrap().into_inner();
    let stopped = tokio::task::spawn_blocking(move || site.stop().success());
    assert!(timeout(PATIENCE, followed.next()).await.expect("in time").is_none(), "an end, not an error");
    assert!(stopped.await.unwrap());
}

/// The design allows 200 MB for 10,000.
pub(crate) const STREAM_BYTES: u64 = 20_000;

#[tokio::test]
async fn thousands_of_vehicles_each_on_a_stream_of_its_own_cost_little_and_hear_at_once() {
    let streams: usize = if is_torture() { 10_000 } else { 2_000 };
    let site = Site::start();
    let channel = channel(&site).await;
    let mut telemetry = TelemetryServiceClient::new(channel);
    let id = |number: usize| format!("car-{number:05}");
    let send_all = async |telemetry: &mut TelemetryServiceClient<Channel>, ago: u64| {
        let numbers: Vec<usize> = (0..streams).collect();
        let batch = |part: &[usize]| v1::TelemetryBatch {
            readings: part.iter().map(|number| reading(&id(*number), ago, 50.0)).collect(),
        };
        let batches: Vec<_> = numbers.chunks(200).map(batch).collect();
        let mut answers = telemetry.ingest_readings(tokio_stream::iter(batches)).await.unwrap().into_inner();
        while let Some(answer) = answers.next().await {
            assert_eq!(answer.unwrap().accepted, 200);
        }
    };
    send_all(&mut telemetry, 60).await;
    let rss_before = site.rss_bytes();
    let mut open = Vec::new();
    for number in 0..streams {
        let mut states =
            telemetry.stream_vehicle_state(v1::VehicleStateRequest { vehicle_id: id(number) }).await.unwrap().into_inner();
        assert_eq!(next(&mut states).await.vehicle_id, id(number));
        open.push(states);
    }
    let each = site.rss_bytes().saturating_sub(rss_before) / streams as u64;
    // One after another, so that each is alone on its way.
    let mut delays = Vec::new();
    for number in (0..streams).step_by(streams / 200) {
        let sent = Instant::now();
        telemetry.ingest_reading(reading(&id(number), 0, 60.0)).await.unwrap();
        assert_eq!(next(&mut open[number]).await.speed_km_per_h, Some(60.0));
        delays.push(sent.elapsed());
    }
    delays.sort_unstable();
    println!(
        "{streams} streams: {each} bytes each; sent to heard: p50 {:?}, p99 {:?}",
        delays[delays.len() / 2],
        delays[delays.len() * 99 / 100]
    );
    assert!(each < STREAM_BYTES, "{each} bytes a stream");
}

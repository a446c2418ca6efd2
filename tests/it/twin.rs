//! The offline twin: what the service said about a recorded day, with a kill in the middle, and what the lane's code says about what is
//! stored, are the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use odograph::analytics::library::find_library;
use odograph::analytics::offline::OfflineLane;
use odograph::clock;
use odograph::configuration::Configuration;
use odograph::domain::{Alert, AlertEvent, AlertId, Assessment, Reading, SignalTable, Timestamp};
use odograph::settings::Analytics;
use odograph::storage::{AlertsQuery, ArchiveAddress, SharedArchive, SharedStore, Walk, open_existing};
use odograph::wire::encode::encode_json_message;
use odograph::wire::history::{ColumnMap, HistoryReader, ReadOptions};

use crate::support::{Chance, Site, odograph, seed};

const VEHICLES: usize = 6;
/// Readings of one message.
const TOGETHER: usize = 60;
const MESSAGES: usize = VEHICLES * 86_400 / 30 / TOGETHER;

/// A day of a fleet that falls ill, so moved that it ends now; by message, as vehicles send one after the other what they kept.
pub fn a_day(folder: &Path, seed: u64, table: &Arc<SignalTable>) -> Vec<(String, Vec<Reading>)> {
    let file = folder.join("day.parquet");
    let (vehicles, path, seed) = (VEHICLES.to_string(), file.to_str().unwrap(), seed.to_string());
    let day = ["--every", "30s", "--seconds", "86400", "--faults-every", "12h", "--seed", &seed, "--out", path];
    let output = odograph(&[&["simulate", "--vehicles", &vehicles], &day[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let map = ColumnMap::load("odograph", table).unwrap();
    let mut by_vehicle: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
    for row in HistoryReader::open(&file, &map, Arc::clone(table), &ReadOptions::default()).unwrap() {
        let reading = row.unwrap().reading;
        by_vehicle.entry(reading.vehicle_id.to_string()).or_default().push(reading);
    }
    let last = by_vehicle.values().flatten().map(|reading| reading.recorded_at).max().unwrap();
    let later = clock::now().as_micros() - last.as_micros();
    let mut messages = Vec::new();
    for (vehicle_id, readings) in &mut by_vehicle {
        for reading in &mut *readings {
            reading.recorded_at = Timestamp::from_micros(reading.recorded_at.as_micros() + later);
        }
        messages.extend(readings.chunks(TOGETHER).enumerate().map(|(turn, part)| (turn, vehicle_id.clone(), part.to_vec())));
    }
    messages.sort_by_key(|(turn, ..)| *turn);
    messages.into_iter().map(|(_, vehicle_id, readings)| (vehicle_id, readings)).collect()
}

/// Everything that was judged, in the order in which it came.
async fn stored(archive: &SharedStore) -> Vec<Assessment> {
    let now = clock::now();
    let mut walk = Walk::new(Timestamp::from_micros(0), Timestamp::from_micros(now.as_micros() + 3_600_000_000));
    let mut all = Vec::new();
    loop {
        let page = archive.walk(&mut walk, 10_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    all.sort_by_key(|one| (one.reading.received_at, one.arrival));
    all
}

async fn stored_alerts(archive: &SharedStore) -> BTreeMap<AlertId, Alert> {
    let query = AlertsQuery { limit: 10_000, ..AlertsQuery::default() };
    let page = archive.alerts(&query).await.unwrap();
    assert!(page.next.is_none(), "all fit one page");
    page.alerts.into_iter().map(|alert| (alert.alert_id, alert)).collect()
}

/// One reading at a time, by the configuration that the archive keeps.
async fn judged_again(archive: &SharedStore, stored: &[Assessment]) -> (Vec<Assessment>, BTreeMap<AlertId, Alert>) {
    let newest = archive.newest_configuration().await.unwrap().unwrap();
    let asked: SharedArchive = archive.clone();
    let configuration = Configuration::load(newest.revision, &asked).await.unwrap();
    assert!(!configuration.models.is_empty(), "models take part");
    let library = find_library(&Analytics::default().onnxruntime);
    let blueprint = configuration.blueprint(newest.revision, &asked, library).await.unwrap();
    let mut lane = OfflineLane::new(blueprint.parts(1).unwrap().pop().unwrap());
    let (mut again, mut alerts) = (Vec::new(), BTreeMap::new());
    let mut tell = |event: &AlertEvent| {
        alerts.insert(event.alert.alert_id, event.alert.clone());
    };
    for assessment in stored {
        lane.push(assessment.reading.clone(), &mut tell);
        lane.finish(&mut tell);
        again.append(lane.newest());
    }
    (again, alerts)
}

/// What an offline lane cannot know left out: numbers of arrival count from its own start.
fn comparable(assessment: &Assessment) -> Assessment {
    Assessment { arrival: 0, ..assessment.clone() }
}

/// Left out: normals that an explanation shows are those of the end of a batch, which may hold later readings of the vehicle.
fn comparable_alert(alert: &Alert) -> Alert {
    let mut alert = alert.clone();
    alert.opened_by.arrival = 0;
    alert.explanation.iter_mut().for_each(|part| (part.normal, part.cohort_normal) = (None, None));
    alert.summary = alert.summary.split(", usually").next().unwrap_or_default().into();
    alert
}

#[tokio::test]
async fn a_recorded_day_is_judged_alike_live_over_a_kill_and_offline() {
    let seed = seed();
    let mut chance = Chance::new(seed);
    let table = Arc::new(SignalTable::default());
    let mut site = Site::start();
    let messages = a_day(site.path(), seed, &table);
    assert_eq!(messages.len(), MESSAGES);
    let killed_behind = MESSAGES / 4 + usize::try_from(chance.next()).unwrap_or_default() % (MESSAGES / 2);
    for (number, (vehicle_id, readings)) in messages.iter().enumerate() {
        let mut body = Vec::new();
        encode_json_message(readings, &table, &mut body);
        let answer = site.api().post(&format!("/api/v1/telemetry/{vehicle_id}"), "application/json", &body);
        assert_eq!((answer.status, &answer.json["accepted"]), (200, &readings.len().into()), "{}", answer.text);
        if number == killed_behind {
            site.kill();
            site.restart();
        }
    }
    assert!(site.stop().success());

    let archive = ArchiveAddress::Sqlite(site.data().join("archive.sqlite"));
    let archive = open_existing(archive, Arc::clone(&table)).await.unwrap();
    let live = stored(&archive).await;
    assert_eq!(live.len(), MESSAGES * TOGETHER);
    let live_alerts = stored_alerts(&archive).await;
    let (offline, offline_alerts) = judged_again(&archive, &live).await;
    archive.close().await;

    let scored = live.iter().filter(|one| !one.scores.is_empty()).count();
    let opened: Vec<_> = live_alerts.values().map(|alert| format!("{} {}", alert.vehicle_id, alert.key)).collect();
    println!("{} readings, {scored} of them scored, killed behind message {killed_behind}, alerts: {opened:?}", live.len());
    assert!(scored > 1_000 && !live_alerts.is_empty(), "a day on which nothing is judged shows nothing");
    for (live, offline) in live.iter().zip(&offline) {
        assert_eq!(comparable(live), comparable(offline));
    }
    let comparable = |alerts: &BTreeMap<AlertId, Alert>| -> Vec<Alert> { alerts.values().map(comparable_alert).collect() };
    assert_eq!(comparable(&live_alerts), comparable(&offline_alerts));
}

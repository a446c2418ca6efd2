//! Real drives of two cars without faults.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use odograph::domain::{SignalTable, Timestamp};
use odograph::wire::history::{ColumnMap, HistoryReader, ReadOptions};

use super::*;

/// Files of one folder of the real data; none, said where the test runner cannot swallow it, if it is not there.
fn real_data(folder: &str) -> Vec<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = manifest.ancestors().skip(1).map(|above| above.join("shared/data").join(folder)).find(|path| path.is_dir());
    let Some(folder) = found else {
        let _closed = writeln!(
            std::io::stderr(),
            "NOT RUN: rules on the real drives of {folder}, because ../shared/data/{folder} is missing"
        );
        return Vec::new();
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".csv.gz"));
    files.sort();
    files
}

/// Alerts of all drives, one row a second, and how long the drives took. All of them one after another as one vehicle, with a night
/// between, so that what rules learn of a vehicle counts.
fn alerts_of(folder: &str) -> (Vec<String>, f64) {
    let rules = shipped_rules();
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load(folder, &table).unwrap();
    let every_second = ReadOptions { every: Some(Duration::from_secs(1)), vehicle_prefix: None };
    let (mut alerts, mut hours) = (Vec::new(), 0.0);
    let mut watch = Watch::new(&rules);
    let mut begin: Timestamp = "2019-01-01T12:00:00Z".parse().unwrap();
    for path in real_data(folder) {
        let (mut first, mut last) = (None, begin);
        for row in HistoryReader::open(&path, &map, Arc::clone(&table), &every_second).unwrap() {
            let mut reading = row.unwrap().reading;
            let first = *first.get_or_insert(reading.recorded_at);
            reading.recorded_at = begin.plus(reading.recorded_at.since(first));
            // As if it had been sent at once.
            reading.received_at = reading.recorded_at;
            reading.fingerprint = reading.compute_fingerprint();
            watch.observe(&reading);
            last = reading.recorded_at;
        }
        hours += last.seconds_since(begin) / 3_600.0;
        alerts.extend(watch.opened().map(described));
        watch.events.clear();
        begin = last.plus(Duration::from_hours(12));
    }
    (alerts, hours)
}

#[test]
fn real_drives_of_kit_obd2_are_quiet_but_for_what_the_driver_does() {
    let (alerts, hours) = alerts_of("kit_obd2");
    println!("{} alerts in {hours:.1} h:\n{}", alerts.len(), alerts.join("\n"));
    // He does brake hard and drive 200 km/h: those are no false alarms.
    let is_driver = |alert: &&String| alert.contains("rule:harsh_") || alert.contains("rule:over_speed");
    let (driver, other): (Vec<_>, Vec<_>) = alerts.iter().partition(is_driver);
    assert_eq!(other, Vec::<&String>::new());
    assert!(driver.len() <= 12, "{} events", driver.len());
    let has_full_braking = alerts.iter().any(|alert| alert.contains("Vollbremsung") && alert.contains("harsh_braking"));
    assert!(has_full_braking || hours == 0.0, "one drive is named for its full braking");
}

#[test]
fn real_drives_of_carobd_are_quiet() {
    let (alerts, hours) = alerts_of("carobd");
    println!("{} alerts in {hours:.1} h:\n{}", alerts.len(), alerts.join("\n"));
    assert!(alerts.is_empty());
}

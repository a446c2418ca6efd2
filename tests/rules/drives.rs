//! Real drives of two cars without faults, and with the sensor faults of the simulator put into their signals.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use odograph::domain::{SignalTable, Timestamp};
use odograph::simulator::distortion::Distortion;
use odograph::simulator::faults::Fault;
use odograph::simulator::illness::{Illness, Plan};
use odograph::simulator::kinds::Kind;
use odograph::simulator::random::{Purpose, Random};
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

/// All drives, one row a second, one after another as one vehicle, with a night between, so that what rules learn of a vehicle counts.
fn drives_of(folder: &str) -> Vec<Vec<Reading>> {
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load(folder, &table).unwrap();
    let every_second = ReadOptions { every: Some(Duration::from_secs(1)), vehicle_prefix: None };
    let mut begin: Timestamp = "2019-01-01T12:00:00Z".parse().unwrap();
    let mut drives = Vec::new();
    for path in real_data(folder) {
        let rows = HistoryReader::open(&path, &map, Arc::clone(&table), &every_second).unwrap();
        let mut drive: Vec<Reading> = rows.map(|row| row.unwrap().reading).collect();
        let first = drive[0].recorded_at;
        for reading in &mut drive {
            reading.recorded_at = begin.plus(reading.recorded_at.since(first));
            // As if it had been sent at once.
            reading.received_at = reading.recorded_at;
            reading.fingerprint = reading.compute_fingerprint();
        }
        begin = drive[drive.len() - 1].recorded_at.plus(Duration::from_hours(12));
        drives.push(drive);
    }
    drives
}

fn hours(drives: &[Vec<Reading>]) -> f64 {
    drives.iter().map(|drive| drive[drive.len() - 1].recorded_at.seconds_since(drive[0].recorded_at) / 3_600.0).sum()
}

/// Alerts of all drives, and how long the drives took.
fn alerts_of(folder: &str) -> (Vec<String>, f64) {
    let rules = shipped_rules();
    let drives = drives_of(folder);
    let mut watch = Watch::new(&rules);
    for reading in drives.iter().flatten() {
        watch.observe(reading);
    }
    (watch.opened().map(described).collect(), hours(&drives))
}

/// What sits in sensors and wires, so that it can be put into signals that somebody else measured.
const SENSOR_FAULTS: [Fault; 7] = [
    Fault::SensorStuck,
    Fault::SensorDrift,
    Fault::SensorOffset,
    Fault::SensorOpenCircuit,
    Fault::SensorSwapped,
    Fault::SensorDropout,
    Fault::AirFlowLow,
];
const GRACE: Duration = Duration::from_mins(10);
/// A drive that has driven for this long before its fault begins, and goes on for as long.
const BEFORE_AND_AFTER: Duration = Duration::from_mins(10);
/// A fault is put into the signal of every so many drives, and each of them is tried alone, behind all drives before it.
const EVERY_DRIVE: usize = 6;

/// The fault as the simulator draws it for a car that has the target among its signals; `None` if no draw hits one.
fn drawn(fault: Fault, onset: Timestamp, reading: &Reading, number: u64) -> Option<(Illness, Random)> {
    (0..64).find_map(|draw| {
        let mut random = Random::stream(number * 64 + draw, Purpose::Faults, 0);
        let plan = Plan { vehicle: 0, fault, onset, severity: None, sudden: false };
        let mut illness = Illness::planned(&plan, Kind::Car, &mut random)?;
        let is_pair = fault == Fault::SensorSwapped;
        let is_there =
            reading.signals.get(illness.target).is_some() && (!is_pair || reading.signals.get(illness.other).is_some());
        let begins = (is_there || fault == Fault::AirFlowLow) && illness.try_begin(onset, true);
        begins.then_some((illness, random))
    })
}

/// How long until the first alert about a fault that begins in this drive, in seconds; `None` if none came. An alert about how the
/// driver drives is none.
fn delay_s(mut ill: Watch<'_>, drive: &[Reading], illness: &Illness, onset: Timestamp, random: &mut Random) -> Option<f64> {
    let mut distortion = Distortion::default();
    let mut end = onset;
    for reading in drive {
        let mut reading = reading.clone();
        if reading.recorded_at >= onset && !illness.is_over(reading.recorded_at) {
            distortion.apply(illness, reading.recorded_at, random, &mut reading);
            reading.fingerprint = reading.compute_fingerprint();
            end = reading.recorded_at;
        }
        ill.observe(&reading);
    }
    let is_about_it = |alert: &&Alert| {
        let is_driver = alert.key.as_str().contains("harsh_") || alert.key.as_str().contains("over_speed");
        !is_driver && (onset..=end.plus(GRACE)).contains(&alert.opened_at)
    };
    ill.opened().find(is_about_it).map(|alert| alert.opened_at.seconds_since(onset))
}

#[test]
fn sensor_faults_that_rules_are_meant_for_are_found_in_real_drives() {
    let drives = drives_of("kit_obd2");
    let rules = shipped_rules();
    let mut watch = Watch::new(&rules);
    let mut tried = SENSOR_FAULTS.map(|fault| (fault, Vec::new()));
    for (number, drive) in drives.iter().enumerate() {
        let onset = drive[0].recorded_at.plus(BEFORE_AND_AFTER);
        let is_long_enough = drive[drive.len() - 1].recorded_at >= onset.plus(BEFORE_AND_AFTER);
        let begin = drive.partition_point(|reading| reading.recorded_at < onset);
        for (fault, delays) in tried.iter_mut().filter(|_| is_long_enough && number % EVERY_DRIVE == 0) {
            if let Some((illness, mut random)) = drawn(*fault, onset, &drive[begin], number as u64) {
                delays.push(delay_s(watch.clone(), drive, &illness, onset, &mut random));
            }
        }
        for reading in drive {
            watch.observe(reading);
        }
        watch.events.clear();
    }
    println!("{} drives, {:.1} h", drives.len(), hours(&drives));
    for (fault, delays) in tried {
        let mut found: Vec<f64> = delays.iter().copied().flatten().collect();
        found.sort_by(f64::total_cmp);
        let median_s = found.get(found.len() / 2);
        println!("{}: {} of {} found, median {median_s:?} s", fault.spec().name, found.len(), delays.len());
        assert!(drives.is_empty() || delays.len() >= 5, "{}: too few to say anything", fault.spec().name);
        let is_meant =
            matches!(fault, Fault::SensorOpenCircuit | Fault::SensorStuck | Fault::SensorDropout | Fault::SensorSwapped);
        assert!(!is_meant || found.len() * 5 >= delays.len() * 4, "{}", fault.spec().name);
    }
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

//! The same options give the same fleet, and no vehicle depends on its neighbours.

use std::sync::Arc;

use super::*;
use crate::domain::SignalTable;
use crate::simulator::{labels, out};
use crate::wire::history::{ColumnMap, HistoryReader, ReadOptions};

fn file(name: &str, options: &Options) -> (Vec<u8>, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let (path, labels_path) = (directory.path().join(name), directory.path().join("labels.jsonl"));
    let table = SignalTable::default();
    let written = out::write(&mut Fleet::new(options), hours(2), &path, &table, |_share| {}).unwrap();
    assert_eq!(written.readings, u64::from(options.vehicles) * 240);
    labels::write(&labels_path, written.labels, &table).unwrap();
    (std::fs::read(path).unwrap(), std::fs::read(labels_path).unwrap())
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let mut ill = options(6, 1);
    ill.faults = RandomFaults { mean_days_between: 0.02, ..RandomFaults::all() };
    for name in ["fleet.csv", "fleet.parquet"] {
        let (first, labels) = file(name, &ill);
        assert!(!labels.is_empty());
        assert!((first.clone(), labels) == file(name, &ill), "{name}");
        let other = Options { seed: 2, ..ill.clone() };
        assert!(first != file(name, &other).0, "{name}");
    }
}

#[test]
fn vehicle_7_is_the_same_in_fleets_of_10_and_of_100() {
    let end = START.parse::<Timestamp>().unwrap().plus(hours(3));
    let with_faults = |vehicles| Options { faults: RandomFaults::all(), ..options(vehicles, 5) };
    let small = history(&mut Fleet::new(&with_faults(10)), 7, end);
    let large = history(&mut Fleet::new(&with_faults(100)), 7, end);
    assert_eq!(small.len(), 360);
    assert_eq!(small, large);
}

#[test]
fn a_vehicle_is_small() {
    // Its id and nothing else is on the heap: 16 bytes of counters and at most 16 of text.
    assert!(size_of::<Vehicle>() + 32 <= 500, "{}", size_of::<Vehicle>());
}

#[test]
fn vehicles_report_evenly_over_the_interval() {
    let mut fleet = Fleet::new(&options(1_000, 1));
    fleet.sort_by_turn();
    let gaps = fleet.vehicles.windows(2).map(|pair| pair[1].next_at().since(pair[0].next_at()));
    assert!(gaps.max().unwrap() < Duration::from_millis(100), "30 ms would be perfect");
}

#[test]
fn a_row_has_the_signals_and_the_label_of_its_moment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fleet.csv");
    let mut ill = options(1, 1);
    ill.plans.push(Plan {
        vehicle: 0,
        fault: crate::simulator::faults::Fault::Overheating,
        onset: ill.start.plus(Duration::from_mins(10)),
        severity: Some(0.9),
        sudden: true,
    });
    out::write(&mut Fleet::new(&ill), hours(1), &path, &SignalTable::default(), |_share| {}).unwrap();
    let mut rows = csv::Reader::from_path(&path).unwrap();
    let column = |name: &str, headers: &csv::StringRecord| headers.iter().position(|header| header == name).unwrap();
    let headers = rows.headers().unwrap().clone();
    let (fault, severity, coolant) =
        (column("fault", &headers), column("severity", &headers), column("coolant_temperature_celsius", &headers));
    for (index, row) in rows.records().enumerate() {
        let row = row.unwrap();
        let before = index < 19;
        let after = index > 21;
        assert!(!before || (row[fault].is_empty() && row[severity].is_empty()), "row {index}");
        let driving = !row[coolant].is_empty();
        assert!(!(after && driving && index < 60) || (&row[fault], &row[severity]) == ("overheating", "0.9"), "row {index}");
    }
}

#[test]
fn a_fleet_in_a_file_is_read_back_reading_by_reading() {
    let directory = tempfile::tempdir().unwrap();
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load("odograph", &table).unwrap();
    let options = options(4, 3);
    let mut driven = Vec::new();
    let kept: Result<u64, std::convert::Infallible> =
        out::each_reading(&mut Fleet::new(&options), hours(2), &mut |_| {}, |reading, _| {
            driven.push(reading.clone());
            Ok(())
        });
    assert_eq!(kept.unwrap(), 960);
    for name in ["fleet.parquet", "fleet.csv"] {
        let path = directory.path().join(name);
        out::write(&mut Fleet::new(&options), hours(2), &path, &table, |_share| {}).unwrap();
        let read = HistoryReader::open(&path, &map, Arc::clone(&table), &ReadOptions::default()).unwrap();
        let read: Vec<Reading> = read.map(|row| row.unwrap().reading).collect();
        let what = |reading: &Reading| {
            (
                reading.vehicle_id.clone(),
                reading.recorded_at,
                reading.position,
                reading.odometer_m,
                reading.signals,
                reading.ignition,
            )
        };
        assert_eq!(read.len(), driven.len(), "{name}");
        for (read, driven) in read.iter().zip(&driven) {
            assert_eq!(what(read), what(driven), "{name}");
        }
    }
}

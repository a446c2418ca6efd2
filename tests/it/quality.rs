//! Verdicts on data against real drives, which have none, and against simulated receivers that are broken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use odograph::analytics::vehicle::Vehicle;
use odograph::analytics::window::WindowLimits;
use odograph::domain::{Flaw, SignalTable, VehicleId};
use odograph::wire::history::{ColumnMap, HistoryReader, ReadOptions};

use crate::support::{odograph, shared_data};

/// Every so many files: all of them take minutes in a debug build, and gave no verdict either (161,871 readings).
const FILES_STEP: usize = 4;

/// Readings by verdict, and how many there were.
#[derive(Debug, Default)]
struct Verdicts {
    readings: u64,
    flaws: BTreeMap<&'static str, u64>,
    stuck: BTreeMap<&'static str, u64>,
}

impl Verdicts {
    fn judge(&mut self, file: &Path, columns: &str, every: Duration) {
        let table = Arc::new(SignalTable::default());
        let map = ColumnMap::load(columns, &table).unwrap();
        let limits = WindowLimits::new(Duration::from_mins(10), 64 << 10);
        let options = ReadOptions { every: Some(every), vehicle_prefix: None };
        let mut vehicles: BTreeMap<VehicleId, Vehicle> = BTreeMap::new();
        for row in HistoryReader::open(file, &map, table, &options).unwrap() {
            let reading = row.unwrap().reading;
            let vehicle = vehicles.entry(reading.vehicle_id.clone()).or_default();
            let Some(placed) = vehicle.place(&reading, &limits) else { continue };
            self.readings += 1;
            for flaw in Flaw::ALL.iter().filter(|flaw| placed.quality.has(**flaw)) {
                *self.flaws.entry(flaw.code()).or_default() += 1;
            }
            for name in placed.quality.stuck_names() {
                *self.stuck.entry(name).or_default() += 1;
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.to_str().unwrap().ends_with(".csv.gz")).collect();
    files.sort_unstable();
    files
}

#[test]
fn real_drives_of_healthy_sensors_are_believed_at_a_reading_a_second_and_at_one_every_thirty() {
    let mut judged = 0;
    for every in [Duration::from_secs(1), Duration::from_secs(30)] {
        let mut verdicts = Verdicts::default();
        for (folder, columns) in [("kit_obd2", "kit_obd2"), ("carobd", "carobd")] {
            let files = shared_data(folder).map_or_else(Vec::new, |folder| files(&folder));
            files.iter().step_by(FILES_STEP).for_each(|file| verdicts.judge(file, columns, every));
        }
        if let Some(folder) = shared_data("envirocar") {
            verdicts.judge(&folder.join("track_1.flat.csv"), "envirocar", every);
        }
        println!("every {every:?}: {verdicts:?}");
        judged += verdicts.readings;
        assert_eq!(verdicts.flaws, BTreeMap::new(), "every {every:?}: {:?}", verdicts.stuck);
    }
    println!("{judged} readings judged");
}

/// Verdicts on six simulated vehicles that drive for four hours, from the half hour on with `fault`.
fn simulated(fault: &str) -> Verdicts {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.parquet");
    let file = file.to_str().unwrap();
    let mut arguments = vec!["simulate", "--vehicles", "6", "--seconds", "14400", "--faults", "none", "--out", file];
    let plans: Vec<String> = (0..6).map(|vehicle| format!("{vehicle}:{fault}:30m")).collect();
    if fault != "none" {
        for plan in &plans {
            arguments.extend(["--plan", plan]);
        }
    }
    let output = odograph(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut verdicts = Verdicts::default();
    verdicts.judge(Path::new(file), "odograph", Duration::from_secs(30));
    println!("{fault}: {verdicts:?}");
    verdicts
}

#[test]
fn a_simulated_receiver_that_jumps_or_freezes_is_not_believed_and_a_healthy_one_is() {
    assert_eq!(simulated("none").flaws, BTreeMap::new());
    assert!(simulated("gps_jumps").flaws.contains_key("position_jump"));
    assert!(simulated("gps_freeze").flaws.contains_key("position_frozen"));
}

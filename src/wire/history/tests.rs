//! Files in, readings out, and back: small files of `tests/fixtures/history`, and the real data of `../shared/data` where it is there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::{SignalTable, Timestamp, VehicleId, signal};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/history").join(name)
}

fn open(path: &Path, map: &str, options: &ReadOptions) -> HistoryReader {
    let table = Arc::new(SignalTable::default());
    HistoryReader::open(path, &ColumnMap::load(map, &table).unwrap(), table, options).unwrap()
}

fn read(path: &Path, map: &str, options: &ReadOptions) -> (Vec<HistoryRow>, RowCounts) {
    let mut reader = open(path, map, options);
    let rows = reader.by_ref().collect::<Result<_, _>>().unwrap();
    (rows, reader.counts().clone())
}

fn every_second() -> ReadOptions {
    ReadOptions { every: Some(Duration::from_secs(1)), ..ReadOptions::default() }
}

fn row_numbers(rows: &[HistoryRow]) -> Vec<u64> {
    rows.iter().map(|row| row.row).collect()
}

#[test]
fn rows_that_are_no_readings_are_counted_with_reason_and_row() {
    let (rows, counts) = read(&fixture("2017-07-05_kit_like.csv"), "kit_obd2", &ReadOptions::default());
    assert_eq!(row_numbers(&rows), [2, 3, 4, 9, 10]);
    let refused: Vec<_> = counts.refused.iter().map(|(why, rows)| (why.code(), rows.count, rows.first_row)).collect();
    let expected = [
        ("row_broken", 1, 7),
        ("time_invalid", 1, 8),
        ("time_backwards", 1, 5),
        ("not_a_number", 1, 6),
        ("nothing_measured", 1, 1),
    ];
    assert_eq!(refused, expected);
    assert_eq!(counts.refused[&Refusal::NotANumber].first_detail, "Engine RPM [RPM]: \"seven\"");
    assert_eq!((counts.rows, counts.readings, counts.refused_rows()), (10, 5, 5));
}

#[test]
fn the_doubly_encoded_header_is_understood_and_the_file_name_is_vehicle_and_date() {
    let (rows, _) = read(&fixture("2017-07-05_kit_like.csv"), "kit_obd2", &ReadOptions::default());
    let reading = &rows[1].reading;
    assert_eq!(reading.vehicle_id.as_str(), "2017-07-05_kit_like");
    assert_eq!(reading.recorded_at.to_string(), "2017-07-05T05:59:58.9Z");
    assert_eq!(reading.signals.get(signal::COOLANT_TEMPERATURE), Some(31.0));
    assert_eq!(reading.signals.get(signal::ACCELERATOR_PEDAL), Some(14.1), "pedal D, not E");
    assert_eq!(reading.signals.len(), 9);
    assert_eq!(reading.fingerprint, reading.compute_fingerprint());
}

#[test]
fn an_implausible_value_is_set_aside_and_its_reading_stays() {
    let (rows, counts) = read(&fixture("2017-07-05_kit_like.csv"), "kit_obd2", &ReadOptions::default());
    let last = &rows.last().unwrap().reading;
    assert_eq!(last.signals.get(signal::ENGINE_SPEED), None);
    assert_eq!(last.rejected[0].name.as_ref(), "engine_speed_rpm");
    assert_eq!(counts.rejected_signals, 1);
}

#[test]
fn thinning_keeps_the_last_reading_of_every_interval() {
    let (rows, counts) = read(&fixture("2017-07-05_kit_like.csv"), "kit_obd2", &every_second());
    assert_eq!(row_numbers(&rows), [3, 9, 10]);
    assert_eq!((counts.thinned, counts.readings), (2, 3));
}

#[test]
fn thinning_keeps_vehicles_apart() {
    let options = ReadOptions { every: Some(Duration::from_mins(1)), ..ReadOptions::default() };
    let (rows, _) = read(&fixture("odograph_like.parquet"), "odograph", &options);
    let kept: Vec<_> = rows.iter().map(|row| (row.reading.vehicle_id.as_str(), row.row)).collect();
    assert_eq!(kept, [("truck-8", 2), ("truck-7", 3)]);
}

#[test]
fn gzipped_winter_time_is_one_hour_from_utc() {
    let (rows, _) = read(&fixture("2017-12-05_kit_like.csv.gz"), "kit_obd2", &ReadOptions::default());
    assert_eq!(rows[0].reading.recorded_at.to_string(), "2017-12-05T06:59:58.9Z");
}

#[test]
fn seconds_since_the_start_may_repeat_and_ids_get_their_prefix() {
    let options = ReadOptions { vehicle_prefix: Some("test".to_owned()), ..ReadOptions::default() };
    let (rows, counts) = read(&fixture("carobd_like.csv"), "carobd", &options);
    assert_eq!(row_numbers(&rows), [1, 2, 4]);
    assert_eq!(rows[1].reading.recorded_at, rows[0].reading.recorded_at);
    assert_eq!(rows[2].reading.recorded_at.to_string(), "2019-01-01T12:00:03Z");
    assert_eq!(rows[2].reading.vehicle_id.as_str(), "test-carobd_like");
    assert_eq!(counts.refused[&Refusal::NothingMeasured].first_row, 3);
}

#[test]
fn positions_come_along_and_one_off_the_earth_refuses_its_row() {
    let (rows, counts) = read(&fixture("envirocar_like.flat.csv"), "envirocar", &ReadOptions::default());
    let position = rows[0].reading.position.unwrap();
    assert_eq!((position.latitude(), position.longitude(), position.altitude_m), (53.0, 9.0, Some(57.0)));
    assert_eq!((position.heading_deg, position.accuracy_m), (Some(257.2), Some(1.5)));
    assert_eq!(rows[0].reading.signals.get(signal::SPEED), Some(58.5), "Speed, not GPS Speed");
    assert_eq!(counts.refused[&Refusal::PositionInvalid].first_row, 3);
}

#[test]
fn parquet_of_another_writer_is_read_with_nulls_and_full_precision() {
    let (rows, counts) = read(&fixture("odograph_like.parquet"), "odograph", &ReadOptions::default());
    assert_eq!(row_numbers(&rows), [1, 2, 3]);
    assert_eq!(rows[0].reading.recorded_at.to_string(), "2026-11-24T03:17:00.250001Z");
    assert_eq!(rows[0].reading.odometer_m, Some(123_456_789.125));
    assert_eq!(rows[1].reading.signals.get(signal::SPEED), None);
    assert!(rows[1].reading.position.is_none() && rows[2].reading.position.is_some());
    assert_eq!(counts.refused[&Refusal::VehicleIdInvalid].first_row, 4);
}

#[test]
fn a_column_that_is_missing_is_named_with_those_there_are() {
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load("carobd", &table).unwrap();
    let error = HistoryReader::open(&fixture("envirocar_like.flat.csv"), &map, table, &ReadOptions::default()).err().unwrap();
    assert!(matches!(&error, HistoryError::NoColumn { column, .. } if column == "PEDAL_D"), "{error}");
}

#[test]
fn factor_and_offset_lead_to_the_unit_of_the_signal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imperial.csv");
    std::fs::write(&path, "when,car,mph,coolant_f\n2026-11-24T03:17:00Z,7,50,212\n").unwrap();
    let map = r#"
        time = { column = "when", form = "rfc_3339" }
        vehicle = { from = "column", column = "car" }
        [signals]
        speed_km_per_h = { column = "mph", factor = 1.609344 }
        coolant_temperature_celsius = { column = "coolant_f", factor = 0.5555555555555556, offset = -17.77777777777778 }
    "#;
    let map_path = folder.path().join("imperial.toml");
    std::fs::write(&map_path, map).unwrap();
    let (rows, _) = read(&path, map_path.to_str().unwrap(), &ReadOptions::default());
    assert_eq!(rows[0].reading.vehicle_id.as_str(), "7");
    assert_eq!(rows[0].reading.signals.get(signal::SPEED), Some(80.4672));
    assert_eq!(rows[0].reading.signals.get(signal::COOLANT_TEMPERATURE), Some(100.0));
}

#[test]
fn a_file_that_ends_too_early_is_an_error_after_its_readable_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("2017-07-05_cut.csv.gz");
    let whole = std::fs::read(fixture("2017-12-05_kit_like.csv.gz")).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 6]).unwrap();
    let items: Vec<_> = open(&path, "kit_obd2", &ReadOptions::default()).collect();
    assert!(matches!(items.last(), Some(Err(HistoryError::Csv { .. }))), "{items:?}");
}

fn columns() -> Vec<Column> {
    vec![
        Column { name: "speed_km_per_h".to_owned(), kind: ColumnType::F32 },
        Column { name: "odometer_m".to_owned(), kind: ColumnType::F64 },
    ]
}

/// Not exact in binary, so that every digit counts.
fn speed_of(step: u32) -> f32 {
    0.1 + f32::from(u16::try_from(step % 997).unwrap()) / 4.0
}

#[test]
fn what_is_written_reads_back_the_same_as_parquet_and_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    let vehicle_id = VehicleId::new("truck-7").unwrap();
    let start = Timestamp::from_micros(1_764_000_000_000_001);
    for name in ["table.parquet", "table.csv"] {
        let path = folder.path().join(name);
        let mut writer = TableWriter::create(&path, columns()).unwrap();
        // More than one row group.
        for step in 0..70_000u32 {
            let speed = if step % 3 == 0 { f64::NAN } else { f64::from(speed_of(step)) };
            let row = [speed, 1e8 + f64::from(step) / 3.0].map(Value::Number);
            writer.row(&vehicle_id, start.plus(Duration::from_secs(u64::from(step))), row).unwrap();
        }
        assert!(!path.exists(), "not before it is complete");
        assert_eq!(writer.finish().unwrap(), 70_000);
        let (rows, counts) = read(&path, "odograph", &ReadOptions::default());
        assert_eq!((rows.len(), counts.refused_rows()), (70_000, 0), "{name}");
        for (step, row) in (0..70_000u32).zip(&rows) {
            let speed = (step % 3 != 0).then(|| speed_of(step));
            assert_eq!(row.reading.signals.get(signal::SPEED), speed, "{name}, row {step}");
            assert_eq!(row.reading.odometer_m, Some(1e8 + f64::from(step) / 3.0));
            assert_eq!(row.reading.recorded_at, start.plus(Duration::from_secs(u64::from(step))));
        }
    }
}

#[test]
fn two_columns_of_one_name_and_an_unknown_ending_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let twice = [columns(), columns()].concat();
    assert!(matches!(TableWriter::create(&folder.path().join("a.csv"), twice), Err(HistoryError::SameColumn { .. })));
    assert!(matches!(TableWriter::create(&folder.path().join("a.xlsx"), columns()), Err(HistoryError::Ending { .. })));
}

/// Files of one folder of the real data; none, said where the test runner cannot swallow it, if it is not there.
fn real_data(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let _closed = writeln!(std::io::stderr(), "NOT RUN: a test on real data, because {} is missing", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

#[test]
fn real_drives_of_kit_obd2_are_read_to_the_last_row() {
    let files = real_data("kit_obd2", ".csv.gz");
    // The smallest drive and one whose clock steps back once.
    // Counts of a few lines of Python over the same files.
    for (name, rows, backwards, readings) in
        [("2017-07-14_Seat_Leon_KA_KA_Frei", 6_829, 0, 601), ("2017-08-01_Seat_Leon_KA_KA_Frei", 14_510, 3, 1_240)]
    {
        let Some(path) = files.iter().find(|path| path.to_string_lossy().contains(name)) else { continue };
        let (kept, counts) = read(path, "kit_obd2", &every_second());
        assert_eq!(counts.rows, rows, "{name}");
        assert_eq!(counts.refused.get(&Refusal::TimeBackwards).map_or(0, |rows| rows.count), backwards, "{name}");
        assert_eq!(counts.refused_rows(), backwards, "{name}: {:?}", counts.refused);
        assert_eq!((kept.len(), counts.rejected_signals), (readings, 0), "{name}");
    }
}

#[test]
fn real_drives_of_carobd_are_read_to_the_last_row() {
    let files = real_data("carobd", "idle8.csv.gz");
    for path in files {
        let (rows, counts) = read(&path, "carobd", &ReadOptions::default());
        assert_eq!((counts.refused_rows(), counts.rejected_signals), (0, 0), "{:?}", counts.refused);
        assert_eq!(rows.len() as u64, counts.rows);
        assert_eq!(rows[0].reading.vehicle_id.as_str(), "idle8");
    }
}

#[test]
fn the_real_trip_of_envirocar_is_as_long_as_published() {
    for path in real_data("envirocar", "track_1.flat.csv") {
        let (rows, counts) = read(&path, "envirocar", &ReadOptions::default());
        assert_eq!((rows.len(), counts.refused_rows()), (368, 0), "{:?}", counts.refused);
        let positions: Vec<_> = rows.iter().map(|row| row.reading.position.unwrap()).collect();
        let metres: f64 = positions.windows(2).map(|pair| pair[0].distance_m(&pair[1])).sum();
        // The README of the data says 43.1 km.
        assert!((metres - 43_100.0).abs() < 200.0, "{metres}");
    }
}

//! `odograph features`: training sets from history with the code that scores, and the list of all features.
//! Computes none itself: `analytics::features`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::replay::{RefusedByReason, refused_by_reason, report_refused};
use crate::analytics::contract::Contract;
use crate::analytics::features::{FeatureDescription, describe};
use crate::analytics::rows::{FeatureRows, Wanted};
use crate::domain::SignalTable;
use crate::settings::{self, Interval};
use crate::wire::history::{Column, ColumnMap, ColumnType, HistoryReader, ReadOptions, TableWriter, Value};

const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, Subcommand)]
pub enum FeaturesCommand {
    /// Computes features of recorded history, as the lanes would on its arrival.
    Export(ExportArgs),
    /// Every feature there is: name, unit, meaning and formula.
    List(ListArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// CSV, gzipped CSV or Parquet files, in the order in which their readings arrive.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What the columns mean: `kit_obd2`, `carobd`, `envirocar`, `odograph`, or a TOML file.
    #[arg(long, value_name = "MAP")]
    pub columns: String,
    /// Names with commas between, or `@FILE`: a JSON list of names, or an object that has one under `features`, or under `window` what a
    /// window model takes: `{"steps":16,"signals":[…],"step":"30s","max_age":"90s"}`.
    #[arg(long, value_name = "LIST|@FILE")]
    pub features: String,
    /// Of every interval of this length, only the last reading of each vehicle, such as `1s`.
    #[arg(long, value_name = "INTERVAL")]
    pub every: Option<Interval>,
    /// Put before every vehicle id, with a dash between.
    #[arg(long = "as", value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// What to write: a name that ends in `.parquet` or `.csv`.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Summary {
    schema_version: u32,
    files: usize,
    vehicles: usize,
    rows: u64,
    refused: RefusedByReason,
    thinned: u64,
    duplicates: u64,
    /// Rows whose window had lost steps for want of memory: features that need them are missing.
    cut: u64,
    features: usize,
    exported: u64,
    out: PathBuf,
}

/// Runs the command to its end. `export` prints a JSON line on stdout.
///
/// # Errors
/// Where a name, a file or a map is wrong; the output file appears only when it is complete.
pub fn run(command: &FeaturesCommand) -> anyhow::Result<ExitCode> {
    match command {
        FeaturesCommand::Export(args) => export(args)?,
        FeaturesCommand::List(args) => list(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let all = describe(&SignalTable::default());
    let mut out = std::io::stdout().lock();
    let text = if args.json { serde_json::to_string_pretty(&all)? } else { all.iter().map(as_line).collect() };
    match writeln!(out, "{}", text.trim_end()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn as_line(feature: &FeatureDescription) -> String {
    let unit = if feature.unit.is_empty() { String::new() } else { format!(" [{}]", feature.unit) };
    format!("{}{unit}: {}; {}\n", feature.name, feature.meaning, feature.formula)
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load(&args.columns, &table)?;
    let wanted = wanted(&args.features, &table)?;
    let names = wanted.names();
    let window_bytes = settings::Analytics::default().window_bytes.bytes();
    let mut computation = FeatureRows::new(&wanted, &table, usize::try_from(window_bytes).context("window_bytes")?)?;
    let columns = names.iter().map(|name| Column { name: name.clone(), kind: ColumnType::F32 }).collect();
    let mut writer = TableWriter::create(&args.out, columns)?;
    let read = ReadOptions { every: args.every.map(Interval::duration), vehicle_prefix: args.prefix.clone() };
    let mut counts = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let mut rows = HistoryReader::open(path, &map, Arc::clone(&table), &read)?;
        for row in rows.by_ref() {
            let reading = row?.reading;
            if let Some(values) = computation.row(&reading) {
                let values = values.iter().map(|value| Value::Number(f64::from(*value)));
                writer.row(&reading.vehicle_id, reading.recorded_at, values)?;
            }
        }
        report_refused(path, rows.counts());
        counts.push(rows.counts().clone());
    }
    let exported = writer.finish()?;
    let summary = Summary {
        schema_version: SCHEMA_VERSION,
        files: args.files.len(),
        vehicles: computation.vehicles(),
        rows: counts.iter().map(|counts| counts.rows).sum(),
        refused: refused_by_reason(&counts),
        thinned: counts.iter().map(|counts| counts.thinned).sum(),
        duplicates: computation.duplicates(),
        cut: computation.cut(),
        features: names.len(),
        exported,
        out: args.out.clone(),
    };
    println!("{}", serde_json::to_string(&summary).context("could not write the summary")?);
    Ok(())
}

/// What `a,b,c` or a JSON file asks for.
pub(super) fn wanted(given: &str, table: &SignalTable) -> anyhow::Result<Wanted> {
    let names: Vec<serde_json::Value> = match given.strip_prefix('@') {
        Some(path) => match json_of(Path::new(path))? {
            serde_json::Value::Object(object) => {
                return Contract::read_input(&object, table).with_context(|| format!("{path} names no input"));
            }
            serde_json::Value::Array(names) => names,
            _ => bail!("{path} is no JSON list or object"),
        },
        None => given.split(',').map(str::trim).filter(|name| !name.is_empty()).map(serde_json::Value::from).collect(),
    };
    ensure!(!names.is_empty(), "--features names none; `odograph features list` shows all");
    let object = serde_json::Map::from_iter([("features".to_owned(), serde_json::Value::Array(names))]);
    Ok(Contract::read_input(&object, table)?)
}

fn json_of(path: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::analytics::blueprint::{Blueprint, ModelSource, Records};
    use crate::analytics::contract::PREFIX;
    use crate::analytics::library::find_library;
    use crate::analytics::model::{Model, Runtime};
    use crate::analytics::offline::OfflineLane;
    use crate::analytics::onnx_file::{metadata_of, with_metadata};
    use crate::domain::{Timestamp, VehicleId};
    use crate::simulator::fleet::{Fleet as SimulatedFleet, Options as FleetOptions};
    use crate::simulator::illness::RandomFaults;
    use crate::simulator::out::write as write_fleet;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/history").join(name)
    }

    fn export_csv(file: &str, columns: &str, features: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("features.csv");
        let args = ExportArgs {
            files: vec![fixture(file)],
            columns: columns.to_owned(),
            features: features.to_owned(),
            every: None,
            prefix: None,
            out: out.clone(),
        };
        export(&args).unwrap();
        std::fs::read_to_string(out).unwrap()
    }

    #[test]
    fn rows_hold_the_features_as_of_their_reading_and_nothing_where_missing() {
        let csv = export_csv(
            "2017-07-05_kit_like.csv",
            "kit_obd2",
            "engine_speed_rpm, engine_speed_rpm.delta, coolant_temperature_celsius.mean_1m",
        );
        let expected = "\
vehicle_id,recorded_at,engine_speed_rpm,engine_speed_rpm.delta,coolant_temperature_celsius.mean_1m
2017-07-05_kit_like,2017-07-05T05:59:58.2Z,,,31
2017-07-05_kit_like,2017-07-05T05:59:58.9Z,0,,31
2017-07-05_kit_like,2017-07-05T05:59:59.1Z,700,700,31
2017-07-05_kit_like,2017-07-05T05:59:59.9Z,720,20,31.25
2017-07-05_kit_like,2017-07-05T06:00:00.1Z,,,31.4
";
        assert_eq!(csv, expected);
    }

    #[test]
    fn a_reading_that_comes_twice_is_exported_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twice.csv");
        let row = "truck-7,2026-11-24T03:17:00Z,50\n";
        std::fs::write(&path, format!("vehicle_id,recorded_at,speed_km_per_h\n{row}{row}")).unwrap();
        let out = folder.path().join("features.csv");
        let args = ExportArgs {
            files: vec![path],
            columns: "odograph".to_owned(),
            features: "speed_km_per_h.count_5m".to_owned(),
            every: None,
            prefix: None,
            out: out.clone(),
        };
        export(&args).unwrap();
        assert_eq!(std::fs::read_to_string(out).unwrap().lines().count(), 2);
    }

    /// Raw scores of a model that returns its feature as it came, from a lane that judges the file; in the order of the readings.
    fn served(file: &Path, feature: &str) -> HashMap<(VehicleId, Timestamp), u32> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let echo = std::fs::read(root.join("tests/models/echo.onnx")).unwrap();
        let mut contract = metadata_of(&echo).unwrap();
        contract.insert(format!("{PREFIX}features"), serde_json::json!([feature]).to_string());
        let mut blueprint = Blueprint {
            settings: settings::Analytics::default(),
            table: Arc::new(SignalTable::default()),
            models: vec![ModelSource { origin: "echo".into(), file: with_metadata(&echo, PREFIX, &contract).unwrap().into() }],
            checks: Arc::default(),
            records: Records::default(),
            library: find_library(Path::new("")),
        };
        blueprint.settings.alert.open_tail_probability = 1e-9;
        let mut lane = OfflineLane::new(blueprint.parts(1).unwrap().pop().unwrap());
        let map = ColumnMap::load("odograph", &blueprint.table).unwrap();
        let rows = HistoryReader::open(file, &map, Arc::clone(&blueprint.table), &ReadOptions::default()).unwrap();
        let mut served = HashMap::new();
        let mut take = |lane: &mut OfflineLane| {
            for assessment in lane.newest().drain(..) {
                let raw = assessment.scores.first().map_or(f32::NAN, |score| score.raw);
                served.insert((assessment.reading.vehicle_id.clone(), assessment.reading.recorded_at), raw.to_bits());
            }
        };
        for row in rows {
            lane.push(row.unwrap().reading, &mut |_| {});
            take(&mut lane);
        }
        lane.finish(&mut |_| {});
        take(&mut lane);
        served
    }

    #[test]
    fn what_is_exported_is_bit_for_bit_what_a_lane_serves_to_models() {
        let folder = tempfile::tempdir().unwrap();
        let (history, out) = (folder.path().join("history.parquet"), folder.path().join("features.csv"));
        let options = FleetOptions {
            vehicles: 12,
            every: Duration::from_secs(30),
            seed: 31,
            start: "2026-11-02T05:00:00Z".parse().unwrap(),
            faults: RandomFaults::none(),
            plans: Vec::new(),
        };
        let mut fleet = SimulatedFleet::new(&options);
        write_fleet(&mut fleet, Duration::from_hours(4), &history, &SignalTable::default(), |_| {}).unwrap();
        let features = [
            "speed_km_per_h.mean_5m",
            "coolant_temperature_celsius.zscore",
            "effective_displacement_l.zscore",
            "tire_spread_share.zscore",
            "coolant_drop_k",
            "engine_speed_rpm.unchanged",
            "battery_voltage_v.slope_10m",
        ];
        let args = ExportArgs {
            files: vec![history.clone()],
            columns: "odograph".to_owned(),
            features: features.join(","),
            every: None,
            prefix: None,
            out: out.clone(),
        };
        export(&args).unwrap();
        let text = std::fs::read_to_string(out).unwrap();
        for (column, feature) in features.iter().enumerate() {
            let served = served(&history, feature);
            let (mut rows, mut present) = (0, 0);
            for line in text.lines().skip(1) {
                let cells: Vec<&str> = line.split(',').collect();
                let exported = cells[2 + column];
                let exported = if exported.is_empty() { f32::NAN } else { exported.parse::<f32>().unwrap() };
                let reading = (VehicleId::new(cells[0]).unwrap(), cells[1].parse().unwrap());
                let served = f32::from_bits(served[&reading]);
                assert!(
                    exported.to_bits() == served.to_bits() || (exported.is_nan() && served.is_nan()),
                    "{line}: {feature} {served}"
                );
                rows += 1;
                present += u32::from(!exported.is_nan());
            }
            assert!(rows > 4_000 && present > 200, "{feature}: {present} values in {rows} rows");
        }
    }

    fn wanted_names(given: &str) -> anyhow::Result<Vec<String>> {
        Ok(wanted(given, &SignalTable::default())?.names())
    }

    #[test]
    fn names_come_from_a_list_or_from_a_contract() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contract.json");
        for text in [r#"{"name": "engine", "features": ["gear", "hour_sin"]}"#, r#"["gear", "hour_sin"]"#] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(wanted_names(&format!("@{}", path.display())).unwrap(), ["gear", "hour_sin"]);
        }
        assert_eq!(wanted_names("gear, hour_sin,").unwrap(), ["gear", "hour_sin"]);
        assert!(wanted_names(" ").is_err());
        std::fs::write(&path, "{}").unwrap();
        let error = wanted_names(&format!("@{}", path.display())).unwrap_err();
        assert!(format!("{error:#}").contains("features is missing"), "{error:#}");
        std::fs::write(&path, r#"{"window": {"steps": 2, "signals": ["gear", "speed_km_per_h"], "step": "30s"}}"#).unwrap();
        let window = ["gear@-30s", "speed_km_per_h@-30s", "gear@-0s", "speed_km_per_h@-0s"];
        assert_eq!(wanted_names(&format!("@{}", path.display())).unwrap(), window);
    }

    #[test]
    fn the_shipped_model_passes_its_check_and_scores_like_python() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("models/drive_autoencoder");
        let library = root.join(".cache/onnxruntime/libonnxruntime.so.1.32.0");
        let runtime = Runtime::load(&library).expect("run `make fetch`");
        let file = std::fs::read(folder.join("drive_autoencoder.onnx")).unwrap();
        let mut model = Model::load(&runtime, &file, &SignalTable::default()).unwrap();
        let contract = model.contract().clone();
        let asked = wanted_names(&format!("@{}", folder.join("features.json").display())).unwrap();
        assert_eq!(contract.features, asked, "make exports what it takes");
        let mut raw = Vec::new();
        model.score(&contract.golden.rows, &mut raw).unwrap();
        assert_eq!(raw.len(), contract.golden.raw.len());
        for (here, python) in raw.iter().zip(&contract.golden.raw) {
            assert!((here - python).abs() <= 1e-6 * python.abs().max(1.0), "{here} here, {python} in Python");
        }
    }
}

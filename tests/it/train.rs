//! `odograph train`: from a fleet's history to a model that scores its live readings, by the commands that a user types.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use odograph::analytics::blueprint::{Blueprint, ModelSource, Records};
use odograph::analytics::library::find_library;
use odograph::analytics::model::{Model, Runtime};
use odograph::analytics::offline::OfflineLane;
use odograph::domain::SignalTable;
use odograph::settings;
use odograph::wire::history::{ColumnMap, HistoryReader, ReadOptions};
use odograph_training::{Applies, Baseline, Contract, Kind, Options, Requires, Rows, Training, onnx_file};
use serde_json::Value;

use crate::line::seconds_ago;
use crate::support::{Chance, Site, odograph, wait_for};

const FEATURES: &str =
    "speed_km_per_h,engine_speed_rpm,coolant_temperature_celsius,battery_voltage_v,coolant_temperature_celsius.slope_5m";
const ARCHIVED_WITHIN: Duration = Duration::from_secs(10);

/// Runs a command that has to succeed; its stdout.
#[track_caller]
fn done(arguments: &[&str]) -> String {
    let output = odograph(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&done(arguments)).unwrap()
}

/// Code and message of a command that has to fail.
#[track_caller]
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = odograph(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A working day of a dozen vehicles, and what was wrong with them.
fn simulate(folder: &Path, faults: &str) -> (PathBuf, PathBuf) {
    let (history, labels) = (folder.join("fleet.parquet"), folder.join("labels.jsonl"));
    let fleet = ["simulate", "--vehicles", "12", "--seconds", "28800", "--start", "2026-11-02T05:00:00Z", "--seed", "5"];
    let faults = ["--faults", faults, "--faults-every", "1d"];
    let files = ["--labels", labels.to_str().unwrap(), "--out", history.to_str().unwrap()];
    done(&[&fleet[..], &faults, &files].concat());
    (history, labels)
}

#[test]
fn a_fleets_own_baseline_passes_its_check_is_evaluated_and_scores_live_readings() {
    let mut site = Site::stopped();
    let (history, labels) = simulate(site.path(), "overheating,battery_cell");
    let (history, labels) = (history.to_str().unwrap(), labels.to_str().unwrap());
    for kind in ["pca", "gaussian-mixture"] {
        let out = site.path().join(format!("models/{kind}/{kind}.onnx"));
        let again = site.path().join("again.onnx");
        let train = |out: &Path, name: &str| {
            let out = out.to_str().unwrap();
            json_of(&[
                "train",
                history,
                "--labels",
                labels,
                "--features",
                FEATURES,
                "--kind",
                kind,
                "--name",
                name,
                "--out",
                out,
                "--json",
            ])
        };
        let report = train(&out, kind);
        train(&again, kind);
        assert!(std::fs::read(&out).unwrap() == std::fs::read(&again).unwrap(), "the same history and seed give the same bytes");
        let training = &report["training"];
        assert!(report["left_out"]["not_healthy"].as_u64().unwrap() > 0, "{report}");
        let held_out = training["vehicles_calibration"].as_u64().unwrap();
        assert!(training["split_by"] == "vehicle" && held_out > 0, "{report}");
        let checked = json_of(&["model", "check", out.to_str().unwrap(), "--json"]);
        assert_eq!(checked["passed"], true, "{checked}");
        let described = json_of(&["model", "describe", out.to_str().unwrap(), "--json"]);
        assert_eq!(described["contract"]["training"], *training);
        let evaluated = json_of(&["model", "evaluate", history, "--model", out.to_str().unwrap(), "--json"]);
        assert!(evaluated["vehicle_days"].as_f64().unwrap() > 1.0, "{evaluated}");
    }

    let config = site.path().join("odograph.toml");
    let models = ["pca", "gaussian-mixture"].map(|kind| site.path().join(format!("models/{kind}/{kind}.onnx")));
    std::fs::write(&config, format!("[analytics]\nmodels = {models:?}\n")).unwrap();
    site.restart_with(&["--config", config.to_str().unwrap()]);
    let api = site.api();
    let readings: Vec<String> = (0..12)
        .map(|step| {
            format!(
                r#"{{"recorded_at":"{}","signals":{{"speed_km_per_h":50,"engine_speed_rpm":1800,"coolant_temperature_celsius":88.{step},"battery_voltage_v":14}}}}"#,
                seconds_ago(400 - step * 30)
            )
        })
        .collect();
    let body = format!("[{}]", readings.join(","));
    assert_eq!(api.post("/api/v1/telemetry/van-1", "application/json", body.as_bytes()).status, 200);
    let vehicle = wait_for("the vehicle", ARCHIVED_WITHIN, || api.vehicle("van-1"));
    let scores = vehicle["scores"].as_array().unwrap();
    let mut names: Vec<&str> = scores.iter().map(|score| score["model"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["gaussian-mixture", "pca"], "{vehicle}");
    assert!(site.stop().success());
}

#[test]
fn what_is_learnt_from_is_exactly_what_a_lane_scores() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = simulate(folder.path(), "none");
    let out = folder.path().join("fleet.onnx");
    let report = json_of(&["train", history.to_str().unwrap(), "--min-readings", "10", "--out", out.to_str().unwrap(), "--json"]);
    // So small a fleet does not have all of the default features, and is not bothered with that.
    assert!(report["features_left_out"].as_array().unwrap().iter().any(|name| name == "oil_pressure_kpa.zscore"), "{report}");
    let learnt = report["training"]["rows"].as_u64().unwrap() + report["training"]["rows_calibration"].as_u64().unwrap();

    let table = Arc::new(SignalTable::default());
    let blueprint = Blueprint {
        settings: settings::Analytics::default(),
        table: Arc::clone(&table),
        models: vec![ModelSource { origin: out.clone(), file: std::fs::read(&out).unwrap().into() }],
        checks: Arc::default(),
        records: Records::default(),
        library: find_library(Path::new("")),
    };
    let mut lane = OfflineLane::new(blueprint.parts(1).unwrap().pop().unwrap());
    let columns = ColumnMap::load("odograph", &table).unwrap();
    let mut scored = 0;
    let mut reasons = std::collections::BTreeMap::new();
    let mut take = |lane: &mut OfflineLane| {
        for assessment in lane.newest().drain(..) {
            match assessment.not_scored {
                None => scored += 1,
                Some(reason) => *reasons.entry(reason.code()).or_insert(0_u64) += 1,
            }
        }
    };
    for row in HistoryReader::open(&history, &columns, table, &ReadOptions::default()).unwrap() {
        lane.push(row.unwrap().reading, &mut |_| {});
        take(&mut lane);
    }
    lane.finish(&mut |_| {});
    take(&mut lane);
    assert_eq!(scored, learnt, "{report}");
    assert_eq!(serde_json::to_value(reasons).unwrap(), report["left_out"]);
}

#[test]
fn an_archive_teaches_too_less_the_vehicles_with_an_open_alert() {
    let mut site = Site::start();
    let mut chance = Chance::new(3);
    for vehicle in ["van-1", "van-2", "van-3"] {
        let reading = |step: i64| {
            let noise = |most: u64, chance: &mut Chance| chance.next() % most;
            // The third boils from the middle on.
            let coolant = if vehicle == "van-3" && step > 100 { 128 } else { 85 + noise(6, &mut chance) };
            let (speed, battery) = (40 + noise(20, &mut chance), noise(10, &mut chance));
            format!(
                r#"{{"recorded_at":"{}","ignition":"on","signals":{{"speed_km_per_h":{speed},"engine_speed_rpm":{},"coolant_temperature_celsius":{coolant},"battery_voltage_v":14.{battery}}}}}"#,
                seconds_ago(6_100 - step * 30),
                speed * 30
            )
        };
        let body = format!("[{}]", (0..200).map(reading).collect::<Vec<_>>().join(","));
        let path = format!("/api/v1/telemetry/{vehicle}");
        let answer = site.api().post(&path, "application/json", body.as_bytes());
        assert_eq!(answer.json["accepted"], 200, "{}", answer.text);
    }
    wait_for("all in the archive", ARCHIVED_WITHIN, || (site.api().readings("van-3").len() == 200).then_some(()));
    assert!(site.stop().success());
    let (data, out) = (site.data(), site.path().join("own.onnx"));
    let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
    let train = ["train", "--data", data, "--features", FEATURES, "--out", out, "--json"];
    let report = json_of(&train);
    let not_healthy = report["left_out"]["not_healthy"].as_u64().unwrap();
    assert!((80..110).contains(&not_healthy), "{report}");
    let learnt = report["training"]["rows"].as_u64().unwrap() + report["training"]["rows_calibration"].as_u64().unwrap();
    let others: u64 = report["left_out"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!((report["readings"].as_u64().unwrap(), learnt + others), (600, 600), "{report}");
    assert_eq!(json_of(&["model", "check", out, "--json"])["passed"], true);
    let (_, message) = refused(&[&train[..], &["--classes", "tram"]].concat());
    assert!(message.contains("600 not_applicable"), "{message}");
}

#[test]
fn mistakes_are_named_with_what_to_do_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = simulate(folder.path(), "none");
    let out = folder.path().join("never.onnx");
    let (history, never) = (history.to_str().unwrap(), out.to_str().unwrap());
    let cases: [(&[&str], i32, &str); 6] = [
        (&[history, "--features", "sped_km_per_h"], 2, "speed_km_per_h"),
        (&[history, "--features", FEATURES, "--components", "5"], 2, "5 features take 1 to 4"),
        (&[history, "--max-gap", "10s"], 1, "--max-gap 10s"),
        (&[history, "--features", "speed_km_per_h,gear", "--max-missing", "1"], 1, "gear is missing in every row"),
        (&["--data", "/nowhere"], 4, "there is no archive /nowhere/archive.sqlite"),
        (&["nowhere.parquet"], 1, "nowhere.parquet"),
    ];
    for (arguments, code, words) in cases {
        let (given, message) = refused(&[&["train", "--out", never], arguments].concat());
        assert!(given == code && message.contains(words), "{arguments:?}: {given} {message}");
        assert!(!out.exists());
    }
}

/// Rows of two ways to drive, some of them broken, some far from everything, some with values missing.
fn rows(chance: &mut Chance, count: usize) -> Vec<f32> {
    let mut uniform = move || f32::from(u16::try_from(chance.next() >> 48).expect("16 bits are left")) / 65_536.0;
    let mut rows = Vec::with_capacity(count * 5);
    for step in 0..count {
        let on_motorway = step % 3 == 0;
        let speed = if on_motorway { 120.0 } else { 40.0 } + 10.0 * uniform();
        let mut row = [
            speed,
            speed * if on_motorway { 20.0 } else { 35.0 } + 50.0 * uniform(),
            85.0 + 8.0 * uniform(),
            14.0 + uniform(),
            uniform() - 0.5,
        ];
        match step % 20 {
            17 => row[step % 5] = f32::NAN,
            18 => row[1] *= 3.0,
            19 => row = row.map(|value| value * 100.0 * (uniform() - 0.5)),
            _ => {}
        }
        rows.extend(row);
    }
    rows
}

#[test]
fn the_graph_in_onnx_runtime_gives_row_by_row_what_was_fitted() {
    let names: Vec<String> = FEATURES.split(',').map(str::to_owned).collect();
    let runtime = Runtime::load(&find_library(Path::new(""))).unwrap();
    let mut chance = Chance::new(11);
    let (fitted, tried) = (rows(&mut chance, 4_000), rows(&mut chance, 2_000));
    let (fitted, tried) = (Rows::new(&fitted, 5), Rows::new(&tried, 5));
    for (kind, components) in
        [(Kind::Pca, Some(2)), (Kind::Pca, None), (Kind::GaussianMixture, Some(1)), (Kind::GaussianMixture, Some(4))]
    {
        let baseline = Baseline::fit(fitted, &names, &Options { kind, components, seed: 7 }).unwrap();
        let expected: Vec<f32> = tried.iter().map(|row| baseline.raw(row)).collect();
        let training = Training {
            data_sha256: Vec::new(),
            rows: fitted.len(),
            rows_calibration: tried.len(),
            period: [String::new(), String::new()],
            split_by: "vehicle",
            vehicles: 1,
            vehicles_calibration: 1,
            components: baseline.components(),
            explained_variance: baseline.explained(),
            alert: None,
            tool: "test".to_owned(),
            versions: std::collections::BTreeMap::new(),
            seed: 7,
        };
        let contract = Contract {
            name: "own",
            version: "1",
            description: "",
            author: "",
            license: "",
            features: &names,
            requires: Requires { min_readings: 1, max_missing: 4, max_gap: "3m".to_owned() },
            applies_to: Applies::default(),
            alert: None,
            training,
        };
        let file = onnx_file(&baseline, &contract, tried, &expected).unwrap();
        let mut model = Model::load(&runtime, &file, &SignalTable::default()).unwrap();
        let mut raw = Vec::new();
        model.score(&tried.iter().flatten().copied().collect::<Vec<_>>(), &mut raw).unwrap();
        assert_eq!(raw.len(), expected.len());
        for (row, (raw, expected)) in raw.iter().zip(&expected).enumerate() {
            let difference = (raw - expected).abs() / expected.abs().max(1.0);
            assert!(difference < 1e-4, "{kind:?} {components:?}, row {row} {:?}: {raw} is not {expected}", tried.row(row));
        }
        // Rows far from everything have scores far from the usual.
        let median = |of: &mut Vec<f32>| {
            of.sort_unstable_by(f32::total_cmp);
            of[of.len() / 2]
        };
        let by_place = |place: usize| raw.iter().skip(place).step_by(20).copied().collect::<Vec<_>>();
        assert!(median(&mut by_place(19)) > median(&mut by_place(5)) + 10.0, "{kind:?}");
    }
}

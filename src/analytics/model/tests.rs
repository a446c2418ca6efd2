//! Tests of `model`.

use super::*;
use crate::analytics::fixtures::{model_file, runtime};

fn load(name: &str) -> Result<Model, ModelError> {
    Model::load(&runtime(), &model_file(name), &SignalTable::default())
}

fn refusal(name: &str) -> String {
    load(name).unwrap_err().to_string()
}

fn scores(model: &mut Model, rows: &[[f32; 4]]) -> Vec<f32> {
    let mut raw = Vec::new();
    model.score(rows.as_flattened(), &mut raw).unwrap();
    raw
}

#[test]
fn a_library_that_is_not_there_is_a_clean_error() {
    let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
    assert!(error.to_string().contains("`make fetch`"), "{error}");
}

#[test]
fn the_error_of_a_reconstruction_is_averaged_over_present_features() {
    let mut model = load("autoencoder").unwrap();
    let raw = scores(&mut model, &[[50.0, 2000.0, 90.0, 90.0], [80.0, 2500.0, f32::NAN, f32::NAN], [f32::NAN; 4]]);
    assert!(raw[0] < 1e-6, "the mean of all is reconstructed: {}", raw[0]);
    assert!(raw[1] > 0.1);
    assert!(raw[2].is_nan(), "nothing present, nothing to say");
}

#[test]
fn scores_do_not_depend_on_the_batch() {
    let mut model = load("autoencoder").unwrap();
    let rows: Vec<[f32; 4]> =
        (0..100_u8).map(|row| [f32::from(row), 20.0 * f32::from(row), 90.0, 80.0 + f32::from(row % 7)]).collect();
    let together = scores(&mut model, &rows);
    for (row, together) in rows.iter().zip(together) {
        let alone = scores(&mut model, &[*row])[0];
        assert!((alone - together).abs() <= 1e-5 * together.abs().max(1.0), "{alone} {together}");
    }
}

#[test]
fn every_kind_of_output_is_understood() {
    assert_eq!(scores(&mut load("score").unwrap(), &[[50.0, 2000.0, 90.0, 90.0], [100.0, 4000.0, 180.0, 180.0]]), [1.0, 2.0]);
    assert_eq!(scores(&mut load("probability").unwrap(), &[[0.0; 4]]), [0.5]);
    let normal = load("score_higher_is_normal").unwrap();
    assert!(normal.contract().oriented(2.0) < normal.contract().oriented(1.0));
}

#[test]
fn what_is_no_number_is_no_score_and_leaves_its_neighbours_alone() {
    let raw = scores(&mut load("nan").unwrap(), &[[20.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0], [10.0, 0.0, 0.0, 0.0]]);
    assert!((raw[0] - 10.0_f32.ln()).abs() < 1e-6);
    assert!(raw[1].is_nan(), "log of a negative number");
    assert!(raw[2].is_nan(), "log of zero is infinite");
}

#[test]
fn a_failed_run_adds_nothing_and_the_session_stays_usable() {
    let mut model = load("fails_when_fast").unwrap();
    let mut raw = vec![7.0];
    let error = model.score(&[250.0, 0.0, 0.0, 0.0], &mut raw).unwrap_err();
    assert!(matches!(error, ModelError::Run(_)), "{error}");
    assert_eq!(raw, [7.0]);
    assert_eq!(scores(&mut model, &[[199.0, 0.0, 0.0, 0.0]]), [1.0]);
}

#[test]
fn models_that_do_not_keep_their_contract_are_refused_with_the_reason() {
    let cases = [
        ("wrong_golden", "golden row 2 gives"),
        ("fixed_batch", r#"input "features" has a fixed batch of 1"#),
        ("unknown_output", r#"there is no output "agian"; the model has ["again"]"#),
        ("too_wide", "[-1, 5]; the contract makes it a tensor of f32, batch and [4]"),
        ("double_input", "a tensor of f64"),
        ("one_score_for_all", r#"output "score" is [] for 3 rows"#),
        ("zipmap", r#"output "maps" is a list of maps; a tensor of f32 is wanted: export without ZipMap"#),
        ("no_contract", "odograph.contract is missing"),
        ("external_data", "keeps its data in another file"),
        ("custom_operator", r#"operator "Run" of domain "com.example""#),
    ];
    for (name, expected) in cases {
        let refusal = refusal(name);
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
}

#[test]
fn a_run_that_does_not_end_is_stopped_and_the_model_rests() {
    let mut model = load("endless_when_fast").unwrap();
    assert_eq!(scores(&mut model, &[[100.0, 0.0, 0.0, 0.0]]), [2.0]);
    let began = Instant::now();
    let error = model.score(&[250.0, 0.0, 0.0, 0.0], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ModelError::TooSlow), "{error}");
    assert!(began.elapsed() > RUN_LIMIT, "{:?}", began.elapsed());
    let error = model.score(&[100.0, 0.0, 0.0, 0.0], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ModelError::Resting), "{error}");
    model.rests_until = Some(Instant::now());
    assert_eq!(scores(&mut model, &[[100.0, 0.0, 0.0, 0.0]]), [2.0], "the session is whole");
}

#[test]
fn a_window_model_takes_steps_and_signals_and_averages_over_present_cells() {
    let mut model = load("window").unwrap();
    let moved = [10.0, 90.0, 20.0, 90.0, 30.0, 90.0, 40.0, f32::NAN];
    let mut raw = Vec::new();
    model.score(&[[50.0, 90.0].repeat(4), moved.to_vec()].concat(), &mut raw).unwrap();
    assert_eq!(raw[0].to_bits(), 0.0_f32.to_bits());
    // 15, 5, 5 and 15 km/h from the mean of 25, in units of 10; three coolant values at their mean.
    assert!((raw[1] - 5.0 / 7.0).abs() < 1e-6, "{raw:?}");
}

#[test]
fn a_reconstruction_says_itself_which_columns_it_misses() {
    let mut model = load("window").unwrap();
    let row = [20.0, 90.0, 20.0, 90.0, 60.0, 90.0, 60.0, 100.0];
    let Shares { columns, groups } = model.explain(&row, &[1, 0]).unwrap();
    // Speed: 4 * 2² = 16; coolant: (3 * 2.5² + 7.5²) / 25 = 3.
    assert!((columns[0] - 16.0 / 19.0).abs() < 1e-6 && (columns[1] - 3.0 / 19.0).abs() < 1e-6, "{columns:?}");
    assert_eq!(groups, [columns[1], columns[0]]);
    assert!(matches!(model.explain(&row[..6], &[1, 0]), Err(ModelError::Rows { given: 6, width: 8 })));
}

#[test]
fn of_a_score_the_columns_matter_without_which_it_falls() {
    let mut model = load("score").unwrap();
    // The score is the mean of value / usual; usual values are filled in.
    let shares = model.explain(&[150.0, 2_000.0, 90.0, 180.0], &[0, 1, 2, 2]).unwrap();
    assert_eq!(shares.columns, [2.0 / 3.0, 0.0, 0.0, 1.0 / 3.0]);
    assert_eq!(shares.groups, [2.0 / 3.0, 0.0, 1.0 / 3.0]);
    let calm = model.explain(&[50.0, 2_000.0, 90.0, 90.0], &[0, 1, 2, 2]).unwrap();
    assert_eq!(calm.columns, [0.0; 4], "nothing is unusual, nothing explains");
}

#[test]
fn every_point_of_a_check_passes_or_says_what_is_wrong() {
    use super::check::{POINTS, Verdict, check};
    let points = |name: &str, budget| check(&runtime(), &model_file(name), &SignalTable::default(), budget);
    for name in ["autoencoder", "window", "probability", "echo"] {
        let points = points(name, Duration::from_millis(10));
        assert_eq!(points.iter().map(|point| point.name).collect::<Vec<_>>(), POINTS);
        assert!(points.iter().all(|point| point.verdict == Verdict::Pass), "{name}: {points:?}");
    }
    for (name, failed) in [
        ("external_data", "safety"),
        ("custom_operator", "safety"),
        ("no_contract", "contract"),
        ("zipmap", "graph"),
        ("double_input", "graph"),
        ("fixed_batch", "dynamic batch"),
        ("one_score_for_all", "dynamic batch"),
        ("wrong_golden", "golden rows"),
        ("fails_when_fast", "edge inputs"),
    ] {
        let points = points(name, Duration::from_millis(10));
        assert_eq!(points.iter().map(|point| point.name).collect::<Vec<_>>(), POINTS, "{name}");
        let first = points.iter().position(|point| point.verdict != Verdict::Pass).unwrap();
        assert_eq!((points[first].name, points[first].verdict), (failed, Verdict::Fail), "{name}: {points:?}");
        assert!(points[first + 1..].iter().all(|point| point.verdict == Verdict::Skipped), "{name}: {points:?}");
    }
    let points = points("autoencoder", Duration::ZERO);
    assert_eq!(points.iter().find(|point| point.verdict == Verdict::Fail).map(|point| point.name), Some("speed"));
}

#[test]
fn a_truncated_file_is_refused() {
    let file = model_file("autoencoder");
    for length in 0..file.len() {
        assert!(Model::load(&runtime(), &file[..length], &SignalTable::default()).is_err(), "{length} bytes");
    }
}

#[test]
fn a_model_can_go_to_another_thread() {
    const fn is_send<T: Send>() {}
    is_send::<Model>();
}

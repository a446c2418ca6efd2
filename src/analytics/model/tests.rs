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

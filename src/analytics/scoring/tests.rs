//! Tests of `scoring`.

use super::scorer::longest_gap;
use super::*;
use crate::analytics::fixtures::{at, model, reading_at};
use crate::analytics::profile::Profile;
use crate::analytics::window::{Window, WindowLimits};
use crate::domain::{Quality, signal};

fn scoring(names: &[&str], batch_max: usize) -> Scoring {
    let models = names.iter().map(|name| model(name)).collect();
    Scoring::new(models, &SignalTable::default(), batch_max).unwrap()
}

/// Adds a reading of this speed to the window and the batch.
fn add(scoring: &mut Scoring, window: &mut Window, seconds: i64, speed: f32) -> usize {
    let reading = reading_at(seconds, &[(signal::SPEED, speed)]);
    window.insert(&reading, &WindowLimits::new(Duration::ZERO, 1 << 16));
    let step = window.first_after(at(seconds - 1));
    let as_of = AsOf { window, step, profile: &Profile::default(), cohort: None, quality: &Quality::default() };
    scoring.add(&Asked { as_of, timing: Timing::InOrder, record: None })
}

fn raw(scoring: &Scoring, number: usize) -> Result<Vec<(String, f32)>, NotScored> {
    let mut scores = Vec::new();
    scoring.judged(number).scores(&mut scores)?;
    Ok(scores.into_iter().map(|score| (score.model.to_string(), score.raw)).collect())
}

#[test]
fn every_model_gets_its_own_columns_of_the_shared_row() {
    let mut scoring = scoring(&["probability", "score"], 8);
    assert_eq!(scoring.plan.width(), 4, "both ask for the same features");
    let number = add(&mut scoring, &mut Window::default(), 0, 100.0);
    scoring.run();
    let scores = raw(&scoring, number).unwrap();
    // Speed twice its normal, everything else filled with the normal.
    assert_eq!(scores[1], ("score".to_owned(), 1.25));
    assert!((scores[0].1 - 0.731_058_6).abs() < 1e-6, "{scores:?}");
}

#[test]
fn a_batch_larger_than_one_run_is_scored_in_several() {
    let mut scoring = scoring(&["score"], 3);
    let mut window = Window::default();
    let numbers: Vec<_> =
        (0..10_u8).map(|step| add(&mut scoring, &mut window, i64::from(step), 50.0 * f32::from(step))).collect();
    assert_eq!(scoring.scorers[0].rows.len(), 4, "nine of ten went in runs of three");
    scoring.run();
    for (step, number) in numbers.into_iter().enumerate() {
        let expected = (step as f32 + 3.0) / 4.0;
        assert_eq!(raw(&scoring, number).unwrap()[0].1, expected);
    }
}

#[test]
fn a_row_that_a_model_cannot_bear_costs_neither_neighbours_nor_other_models() {
    let mut scoring = scoring(&["fails_when_fast", "nan"], 8);
    let mut window = Window::default();
    let numbers = [100.0, 250.0, 5.0].map(|speed| add(&mut scoring, &mut window, speed as i64, speed));
    scoring.run();
    let models = |number| raw(&scoring, number).unwrap().into_iter().map(|(model, _)| model).collect::<Vec<_>>();
    assert_eq!(models(numbers[0]), ["fails_when_fast", "nan"]);
    assert_eq!(models(numbers[1]), ["nan"]);
    assert_eq!(models(numbers[2]), ["fails_when_fast"]);
    let failures: Vec<_> = scoring
        .take_failures()
        .map(|(contract, failures)| (contract.name.to_string(), failures.rows, failures.error.is_some()))
        .collect();
    assert_eq!(failures, [("fails_when_fast".to_owned(), 1, true), ("nan".to_owned(), 1, false)]);
    assert_eq!(scoring.take_failures().count(), 0);
}

#[test]
fn a_reading_that_no_model_scores_has_the_first_reason() {
    let mut scoring = scoring(&["nan"], 8);
    let number = add(&mut scoring, &mut Window::default(), 0, 5.0);
    scoring.run();
    assert_eq!(raw(&scoring, number), Err(NotScored::ModelFailed));
    let mut nothing = Scoring::new(Vec::new(), &SignalTable::default(), 8).unwrap();
    let number = add(&mut nothing, &mut Window::default(), 0, 5.0);
    nothing.run();
    assert_eq!(raw(&nothing, number), Err(NotScored::NoModel));
}

#[test]
fn scores_are_calibrated_and_rise_with_the_raw_output() {
    let mut scoring = scoring(&["score"], 8);
    let mut window = Window::default();
    let numbers = [50.0, 250.0, 300.0].map(|speed| add(&mut scoring, &mut window, speed as i64, speed));
    scoring.run();
    let judged = numbers.map(|number| {
        let mut scores = Vec::new();
        scoring.judged(number).scores(&mut scores).unwrap();
        (scores[0].raw, scores[0].score, scores[0].tail_probability)
    });
    // Quantiles 0, 0.5, 1, 2, 4 of 999 readings.
    assert_eq!((judged[0].0, judged[1].0), (1.0, 2.0));
    assert!((judged[0].2 - (1.0 + 999.0 * 0.5) / 1000.0).abs() < 1e-9);
    assert!((judged[1].2 - (1.0 + 999.0 * 0.25) / 1000.0).abs() < 1e-9);
    assert!(judged[1].1 < judged[2].1 && judged[2].1 < 1.0);
}

#[test]
fn the_longest_gap_is_between_neighbours() {
    let mut window = Window::default();
    for seconds in [0, 30, 120, 150] {
        window.insert(&reading_at(seconds, &[(signal::SPEED, 1.0)]), &WindowLimits::new(Duration::ZERO, 1 << 16));
    }
    assert_eq!(longest_gap(&window, 0, 3), Some(Duration::from_secs(90)));
    assert_eq!(longest_gap(&window, 2, 3), Some(Duration::from_secs(30)));
    assert_eq!(longest_gap(&window, 3, 3), None);
}

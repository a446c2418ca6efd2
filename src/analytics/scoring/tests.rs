//! Tests of `scoring`.

use super::*;
use crate::analytics::claim::{Claim, Level};
use crate::analytics::contract::PREFIX;
use crate::analytics::fixtures::{at, model, model_file, reading_at, runtime};
use crate::analytics::onnx_file::{metadata_of, with_metadata};
use crate::analytics::profile::Profile;
use crate::analytics::window::{Window, WindowLimits};
use crate::domain::{AlertKey, Class, Label, Quality, signal};

fn scoring(names: &[&str], batch_max: usize) -> Scoring {
    let models = names.iter().map(|name| model(name)).collect();
    Scoring::new(models, &SignalTable::default(), batch_max).unwrap()
}

/// A test model with other words in its contract.
fn with_keys(name: &str, keys: &[(&str, &str)]) -> Vec<u8> {
    let file = model_file(name);
    let mut entries = metadata_of(&file).unwrap();
    entries.extend(keys.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())));
    with_metadata(&file, PREFIX, &entries).unwrap()
}

fn load(file: &[u8]) -> Model {
    Model::load(&runtime(), file, &SignalTable::default()).unwrap()
}

fn ask(scoring: &mut Scoring, window: &Window, step: usize) -> usize {
    let as_of = AsOf { window, step, profile: &Profile::default(), cohort: None, quality: &Quality::default() };
    scoring.add(&Asked { as_of, timing: Timing::InOrder, record: None })
}

/// Adds a reading of this speed to the window and the batch.
fn add(scoring: &mut Scoring, window: &mut Window, seconds: i64, speed: f32) -> usize {
    let reading = reading_at(seconds, &[(signal::SPEED, speed)]);
    window.insert(&reading, &WindowLimits::new(Duration::ZERO, 1 << 16));
    ask(scoring, window, window.first_after(at(seconds - 1)))
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
fn a_model_scores_the_vehicles_that_its_contract_selects() {
    let file = with_keys("score", &[("applies_to", r#"{"classes": ["van"]}"#)]);
    let mut scoring = Scoring::new(vec![load(&file)], &SignalTable::default(), 8).unwrap();
    let van = VehicleRecord { class: Class::new(Label::new("van").unwrap()), ..VehicleRecord::default() };
    let mut window = Window::default();
    window.insert(&reading_at(0, &[(signal::SPEED, 50.0)]), &WindowLimits::new(Duration::ZERO, 1 << 16));
    let (profile, quality) = (Profile::default(), Quality::default());
    let as_of = AsOf { window: &window, step: 0, profile: &profile, cohort: None, quality: &quality };
    let numbers = [Some(&van), None].map(|record| scoring.add(&Asked { as_of, timing: Timing::InOrder, record }));
    scoring.run();
    assert!(raw(&scoring, numbers[0]).is_ok());
    assert_eq!(raw(&scoring, numbers[1]), Err(NotScored::NotApplicable));
}

#[test]
fn a_window_model_scores_once_the_window_is_there() {
    let mut scoring = scoring(&["window"], 8);
    assert_eq!(scoring.keep(), Duration::from_mins(10), "150 s are less than what is kept anyway");
    let mut window = Window::default();
    let numbers: Vec<_> = [40.0, 40.0, 40.0, 80.0]
        .into_iter()
        .enumerate()
        .map(|(step, speed)| add(&mut scoring, &mut window, 30 * i64::try_from(step).unwrap(), speed))
        .collect();
    scoring.run();
    assert_eq!(raw(&scoring, numbers[2]), Err(NotScored::TooFewReadings));
    // Coolant is missing in all four steps, and three cells may be.
    assert_eq!(raw(&scoring, numbers[3]), Err(NotScored::TooManyMissing));
    for step in 4..8 {
        let reading = reading_at(30 * step, &[(signal::SPEED, 80.0), (signal::COOLANT_TEMPERATURE, 90.0)]);
        window.insert(&reading, &WindowLimits::new(Duration::ZERO, 1 << 16));
    }
    scoring.clear();
    let number = ask(&mut scoring, &window, window.len() - 1);
    scoring.run();
    assert_eq!(raw(&scoring, number).unwrap(), [("window".to_owned(), 0.0)]);
}

/// The speed by which `window` is judged, one reading at a time: 4 opens, 1 closes.
fn claims_of(scoring: &mut Scoring, window: &Window, followed: &[AlertKey]) -> Vec<Claim> {
    scoring.clear();
    let number = ask(scoring, window, window.len() - 1);
    scoring.run();
    let mut claims = Vec::new();
    let profile = Profile::default();
    scoring.claims(number, Normals { profile: &profile, cohort: None }, followed.iter(), &mut claims);
    claims
}

fn moving(speeds: [f32; 4]) -> Window {
    let mut window = Window::default();
    for (step, speed) in (0..).zip(speeds) {
        let reading = reading_at(30 * step, &[(signal::SPEED, speed), (signal::COOLANT_TEMPERATURE, 90.0)]);
        window.insert(&reading, &WindowLimits::new(Duration::ZERO, 1 << 16));
    }
    window
}

#[test]
fn a_score_beyond_its_limit_claims_an_alert_of_the_group_that_explains_it() {
    let mut scoring = scoring(&["window"], 8);
    let claims = claims_of(&mut scoring, &moving([0.0, 0.0, 100.0, 100.0]), &[]);
    assert_eq!(claims.len(), 1);
    let claim = &claims[0];
    assert_eq!((claim.key.as_str(), claim.level), ("model:window:motion", Level::Raised));
    assert_eq!((claim.value, claim.limit), (Some(12.5), Some(4.0)), "8 cells, 25 each for the speed");
    assert_eq!(&*claim.explanation[0].feature, "speed_km_per_h");
    assert_eq!((claim.explanation[0].value, claim.explanation[0].contribution), (Some(100.0), 1.0));
    assert!(claim.summary.contains("window: score") && claim.summary.contains("speed_km_per_h 100"), "{}", claim.summary);
    assert_eq!(claim.persistence.raised, 1);
}

#[test]
fn below_the_limit_a_model_speaks_only_of_alerts_that_are_under_way() {
    let mut scoring = scoring(&["window"], 8);
    let key = AlertKey::model("window", "motion");
    let others = [key.clone(), AlertKey::model("window_2", "motion"), AlertKey::rule("overheating")];
    let levels = |scoring: &mut Scoring, speeds, followed: &[AlertKey]| {
        let claims = claims_of(scoring, &moving(speeds), followed);
        claims.into_iter().map(|claim| (claim.key, claim.level)).collect::<Vec<_>>()
    };
    assert_eq!(levels(&mut scoring, [50.0; 4], &[]), []);
    assert_eq!(levels(&mut scoring, [50.0; 4], &others), [(key.clone(), Level::Calm)]);
    assert_eq!(levels(&mut scoring, [0.0, 0.0, 40.0, 40.0], &others), [(key.clone(), Level::Holding)], "2, between 1 and 4");
    let cooling = AlertKey::model("window", "cooling");
    let found = levels(&mut scoring, [0.0, 0.0, 100.0, 100.0], &[cooling.clone(), key.clone()]);
    assert_eq!(found, [(cooling, Level::Holding), (key.clone(), Level::Raised)], "one alert, the other is held");
    let found = levels(&mut scoring, [0.0, 0.0, 100.0, 100.0], std::slice::from_ref(&AlertKey::model("window", "cooling")));
    let raised = |found: &[(AlertKey, Level)]| {
        found.iter().filter(|(_, level)| *level == Level::Raised).map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(raised(&found), std::slice::from_ref(&key), "an alert about something else does not take it over");
    let mut short = Window::default();
    short.insert(&reading_at(0, &[(signal::SPEED, 50.0)]), &WindowLimits::new(Duration::ZERO, 1 << 16));
    let claims = claims_of(&mut scoring, &short, &[key]);
    assert_eq!(claims[0].level, Level::NotAssessed);
}

#[test]
fn the_journal_says_the_same_claims_again() {
    let mut scoring = scoring(&["window"], 8);
    let followed = [AlertKey::model("window", "cooling"), AlertKey::model("window", "motion")];
    for speeds in [[50.0; 4], [0.0, 0.0, 40.0, 40.0], [0.0, 0.0, 100.0, 100.0]] {
        for followed in [&followed[..0], &followed[..1], &followed[..]] {
            let claims = claims_of(&mut scoring, &moving(speeds), followed);
            let mut scores = Vec::new();
            scoring.judged(0).scores(&mut scores).unwrap();
            let findings: Vec<_> = claims.iter().filter_map(Claim::finding).collect();
            scoring.clear();
            let number = scoring.has_raised(&findings).then(|| ask(&mut scoring, &moving(speeds), 3));
            let mut again = Vec::new();
            let normals = Normals { profile: &Profile::default(), cohort: None };
            let said = Said { scores: &scores, findings: &findings, number };
            scoring.claims_again(&said, normals, followed.iter(), &mut again);
            let words = |claims: &[Claim]| {
                let mut words = claims.to_vec();
                words.sort_by(|one, other| one.key.cmp(&other.key));
                words
            };
            assert_eq!(words(&again), words(&claims), "{speeds:?} {followed:?}");
        }
    }
}

#[test]
fn a_calibration_that_cannot_tell_the_wanted_probability_raises_nothing_and_says_so() {
    // 999 held-out readings tell one in a thousand.
    let settings = |open| settings::ModelAlert { open_tail_probability: open, ..settings::ModelAlert::default() };
    let models = || Scoring::new(vec![model("score")], &SignalTable::default(), 8).unwrap();
    let too_rare = models().alerting(&settings(1e-5));
    let (contract, why) = too_rare.without_alerts().next().unwrap();
    assert_eq!(&*contract.name, "score");
    assert!(why.to_string().contains("down to 1.0e-3, the setting analytics.alert.open_tail_probability is 1.0e-5"), "{why}");
    let mut scoring = models().alerting(&settings(1e-3));
    assert_eq!(scoring.without_alerts().count(), 0);
    let mut window = Window::default();
    window.insert(&reading_at(0, &[(signal::SPEED, 300.0)]), &WindowLimits::new(Duration::ZERO, 1 << 16));
    assert_eq!(claims_of(&mut scoring, &window, &[]), [], "a speed of 300 km/h is among the normal ones");
    window.insert(
        &reading_at(1, &[(signal::SPEED, 50.0), (signal::ENGINE_SPEED, 40_000.0)]),
        &WindowLimits::new(Duration::ZERO, 1 << 16),
    );
    let claims = claims_of(&mut scoring, &window, &[]);
    assert_eq!(claims[0].key.as_str(), "model:score:engine");
}

#[test]
fn a_model_that_takes_too_long_costs_a_second_once_and_no_reading() {
    let mut scoring = scoring(&["endless_when_fast", "score"], 8);
    let mut window = Window::default();
    let numbers = [50.0, 250.0].map(|speed| add(&mut scoring, &mut window, speed as i64, speed));
    scoring.run();
    for number in numbers {
        assert_eq!(raw(&scoring, number).unwrap().len(), 1, "the other model goes on");
    }
    let failures: Vec<_> =
        scoring.take_failures().map(|(_, failures)| (failures.rows, failures.error.unwrap().to_string())).collect();
    assert!(failures[0].0 == 2 && failures[0].1.contains("stopped"), "{failures:?}");
}

#[test]
fn under_overload_the_why_is_left_out_first_and_second_models_next_and_episodes_go_on() {
    let mut scoring = scoring(&["window", "score"], 8);
    let jump = moving([0.0, 0.0, 100.0, 100.0]);
    let scored = |scoring: &Scoring| raw(scoring, 0).unwrap().len();
    let with_why = claims_of(&mut scoring, &jump, &[]);
    assert!(!with_why[0].explanation.is_empty());
    assert_eq!((scored(&scoring), scoring.take_left_out()), (2, LeftOut::default()));

    scoring.shed(Shed::Explanations);
    let followed = with_why[0].key.clone();
    let without_why = claims_of(&mut scoring, &jump, std::slice::from_ref(&followed));
    assert_eq!((without_why[0].level, &without_why[0].key), (Level::Raised, &followed), "the episode goes on");
    assert!(without_why[0].explanation.is_empty() && without_why[0].score == with_why[0].score);
    assert_eq!((scored(&scoring), scoring.take_left_out()), (2, LeftOut { explanations: 1, scores: 0 }));

    scoring.shed(Shed::SecondModels);
    claims_of(&mut scoring, &jump, &[]);
    assert_eq!((scored(&scoring), scoring.take_left_out()), (1, LeftOut { explanations: 1, scores: 1 }));
}

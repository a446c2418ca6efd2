//! Tests of `contract`.

use super::*;

fn metadata(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut metadata: BTreeMap<String, String> = [
        ("odograph.contract", "1"),
        ("odograph.name", "engine"),
        ("odograph.version", "3"),
        ("odograph.features", r#"["speed_km_per_h", "coolant_temperature_celsius.slope_5m"]"#),
        ("odograph.fill", "[0, null]"),
        ("odograph.requires", r#"{"min_readings": 3, "max_missing": 1, "max_gap": "90s"}"#),
        ("odograph.score", r#"{"kind": "reconstruction", "output": "again", "spread": [10, 0.5]}"#),
        ("odograph.calibration", r#"{"count": 99, "quantiles": [0, 1]}"#),
        ("odograph.golden", r#"{"rows": [[1, null]], "raw": [0.5]}"#),
        ("unrelated", "kept alone"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    for (key, value) in changes {
        if value.is_empty() {
            metadata.remove(*key);
        } else {
            metadata.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    metadata
}

fn read(changes: &[(&str, &str)]) -> Result<Contract, ContractError> {
    Contract::read(&metadata(changes), &SignalTable::default())
}

fn refusal(key: &str, value: &str) -> String {
    read(&[(key, value)]).unwrap_err().to_string()
}

#[test]
fn a_whole_contract_is_read() {
    let contract = read(&[]).unwrap();
    assert_eq!((&*contract.name, &*contract.version, contract.width()), ("engine", "3", 2));
    assert_eq!(contract.kind, Kind::Reconstruction { spread: vec![10.0, 0.5] });
    assert!(contract.fill[0] == 0.0 && contract.fill[1].is_nan());
    let requires = Requires { min_readings: 3, max_missing: 1, max_gap: Some(Duration::from_secs(90)) };
    assert_eq!(contract.requires, requires);
    let golden = contract.golden;
    assert!(golden.rows[0] == 1.0 && golden.rows[1].is_nan() && golden.tolerance == 1e-4);
}

#[test]
fn every_refusal_names_the_key_and_the_reason() {
    let cases = [
        ("odograph.name", "", "metadata key odograph.name is missing"),
        ("odograph.version", " ", "odograph.version is empty"),
        ("odograph.contract", "2", r#"odograph.contract is "2"; this version reads contract "1""#),
        ("odograph.feature", "[]", r#"there is no metadata key "odograph.feature"; did you mean "odograph.features"?"#),
        (
            "odograph.features",
            r#"["sped_km_per_h"]"#,
            r#"odograph.features: there is no feature "sped_km_per_h"; did you mean "speed_km_per_h"?"#,
        ),
        ("odograph.features", r#"["gear", "gear"]"#, r#"odograph.features: "gear" is there twice"#),
        ("odograph.features", "[]", "odograph.features is empty"),
        ("odograph.features", "{", "odograph.features is not the expected JSON: invalid type"),
        ("odograph.fill", "[0]", "odograph.fill: the list has 1 numbers, 2 are wanted: one per feature or signal"),
        ("odograph.requires", r#"{"max_gap": "soon"}"#, r#"odograph.requires: max_gap "soon" is no duration"#),
        ("odograph.requires", r#"{"max_mising": 3}"#, "unknown field `max_mising`"),
        ("odograph.score", r#"{"kind": "reconstruction", "output": "x"}"#, "reconstruction needs a spread"),
        ("odograph.score", r#"{"kind": "reconstruction", "output": "x", "spread": [1]}"#, "spread has 1 numbers, 2 are wanted"),
        (
            "odograph.score",
            r#"{"kind": "reconstruction", "output": "x", "spread": [1, 0]}"#,
            r#"spread of "coolant_temperature_celsius.slope_5m" is 0"#,
        ),
        ("odograph.score", r#"{"kind": "cluster", "output": "x"}"#, "unknown variant `cluster`"),
        ("odograph.score", r#"{"kind": "probability", "output": "x"}"#, "probability needs a column"),
        ("odograph.calibration", "", "odograph.calibration is missing"),
        ("odograph.calibration", r#"{"count": 9, "quantiles": [2, 1]}"#, "odograph.calibration: quantile 1 is 1"),
        ("odograph.golden", "", "odograph.golden is missing"),
        ("odograph.golden", r#"{"rows": [[1, 2]], "raw": []}"#, "odograph.golden: 1 rows need as many raw scores, not 0"),
        ("odograph.golden", r#"{"rows": [[1]], "raw": [1]}"#, "odograph.golden: a row has 1 numbers"),
        ("odograph.applies_to", r#"{"powertrains": ["two words"]}"#, r#"odograph.applies_to: "two words" is no label"#),
        ("odograph.applies_to", r#"{"powertrain": ["electric"]}"#, "unknown field `powertrain`"),
        (
            "odograph.window",
            r#"{"steps": 8, "signals": ["gear"], "step": "30s"}"#,
            "odograph.features and odograph.window are both there",
        ),
        ("odograph.alert", r#"{"open": 1, "close": 2}"#, "odograph.alert: close must be at most as anomalous as open"),
        ("odograph.alert", r#"{"open": 2, "close": 1, "raised": 6}"#, "odograph.alert: raised must be 1 to of"),
        ("odograph.alert", r#"{"open": 2, "close": 1, "calm_for": "long"}"#, r#"odograph.alert: calm_for "long" is no duration"#),
        ("odograph.alert", r#"{"open": 2, "close": 1, "severity": "bad"}"#, "severity must be info, warning or critical"),
        ("odograph.baseline", r#"[{"edges": [0, 1], "counts": [1]}]"#, "odograph.baseline: the list has 1 numbers"),
        (
            "odograph.baseline",
            r#"[{"edges": [0], "counts": [1]}, {"edges": [0, 1], "counts": [1]}]"#,
            "odograph.baseline: 1 rising edges",
        ),
        ("odograph.training", "by hand", "odograph.training is not the expected JSON"),
    ];
    for (key, value, expected) in cases {
        let refusal = refusal(key, value);
        assert!(refusal.contains(expected), "{key} = {value}: {refusal}");
    }
}

#[test]
fn a_window_model_has_signals_for_columns_and_as_many_values_as_cells() {
    let window = r#"{"steps": 3, "signals": ["gear", "speed_km_per_h"], "step": "30s"}"#;
    let golden = r#"{"rows": [[1, 2, 3, 4, 5, null]], "raw": [0.5]}"#;
    let contract = read(&[("odograph.features", ""), ("odograph.window", window), ("odograph.golden", golden)]).unwrap();
    let grid = Grid { steps: 3, step: Duration::from_secs(30), max_age: Duration::from_mins(1) };
    assert_eq!((contract.window, contract.width(), contract.features.len()), (Some(grid), 6, 2));
    let refuse = |window: &str| {
        read(&[("odograph.features", ""), ("odograph.window", window), ("odograph.golden", golden)]).unwrap_err().to_string()
    };
    assert!(refuse(r#"{"steps": 1, "signals": ["gear"], "step": "30s"}"#).contains("odograph.window: steps must be 2 to 1024"));
    assert!(refuse(r#"{"steps": 3, "signals": ["gear"], "step": "0s"}"#).contains("odograph.window"));
    assert!(refuse(r#"{"steps": 3, "signals": ["geer"], "step": "30s"}"#).contains(r#"did you mean "gear"?"#));
    assert!(refuse(r#"{"steps": 1000, "signals": ["gear"], "step": "30m"}"#).contains("over more than 24h"));
}

#[test]
fn a_usual_value_is_the_median_of_the_baseline_else_what_is_filled_in_else_that_of_the_golden_rows() {
    let golden = ("odograph.golden", r#"{"rows": [[1, 5], [2, 9], [3, 7]], "raw": [0, 0, 0]}"#);
    assert_eq!(read(&[golden]).unwrap().usual, [0.0, 7.0]);
    let baseline = r#"[{"edges": [0, 10, 20], "counts": [1, 3]}, {"edges": [0, 1], "counts": [0]}]"#;
    let usual = read(&[golden, ("odograph.baseline", baseline)]).unwrap().usual;
    assert!((usual[0] - (10.0 + 10.0 / 3.0)).abs() < 1e-5 && usual[1] == 7.0, "{usual:?}");
}

#[test]
fn a_model_is_for_the_vehicles_that_its_contract_selects() {
    let record = |class: &str, powertrain: Option<&str>| VehicleRecord {
        class: crate::domain::Class::new(crate::domain::Label::new(class).unwrap()),
        powertrain: powertrain.map(|label| crate::domain::Label::new(label).unwrap()),
        ..VehicleRecord::default()
    };
    let selector =
        read(&[("odograph.applies_to", r#"{"classes": ["van", "unknown"], "powertrains": ["diesel"]}"#)]).unwrap().applies_to;
    assert!(selector.selects(Some(&record("van", Some("diesel")))));
    assert!(!selector.selects(Some(&record("van", Some("electric")))));
    assert!(!selector.selects(Some(&record("van", None))), "nobody said what drives it");
    assert!(!selector.selects(Some(&record("truck", Some("diesel")))));
    let classes = read(&[("odograph.applies_to", r#"{"classes": ["unknown"]}"#)]).unwrap().applies_to;
    assert!(classes.selects(None) && Selector::default().selects(None));
}

#[test]
fn limits_of_an_alert_follow_the_sign_of_the_score() {
    use crate::analytics::claim::Level::{Calm, Holding, Raised};
    let limits = read(&[("odograph.alert", r#"{"open": 5, "close": 2}"#)]).unwrap().alert.unwrap();
    assert_eq!([5.0, 4.9, 2.0, 1.9].map(|raw| limits.level(raw)), [Raised, Holding, Holding, Calm]);
    assert_eq!((limits.persistence.raised, limits.persistence.of, limits.persistence.calm_for), (3, 5, Duration::from_mins(5)));
    let score = ("odograph.score", r#"{"kind": "score", "output": "x", "higher_is": "normal"}"#);
    let limits = read(&[score, ("odograph.alert", r#"{"open": -5, "close": -2}"#)]).unwrap().alert.unwrap();
    assert_eq!([-5.0, -4.9, -1.9].map(|raw| limits.level(raw)), [Raised, Holding, Calm]);
}

#[test]
fn a_probability_needs_no_calibration() {
    let score = r#"{"kind": "probability", "output": "p", "column": 1}"#;
    let contract = read(&[("odograph.score", score), ("odograph.calibration", "")]).unwrap();
    assert_eq!((contract.kind, contract.calibration), (Kind::Probability { column: 1 }, None));
}

#[test]
fn requirements_give_their_own_reason() {
    let requires = Requires { min_readings: 3, max_missing: 1, max_gap: Some(Duration::from_secs(90)) };
    let gap = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(requires.check(3, 1, gap(90)), Ok(()));
    assert_eq!(requires.check(2, 1, gap(90)), Err(NotScored::TooFewReadings));
    assert_eq!(requires.check(3, 2, gap(90)), Err(NotScored::TooManyMissing));
    assert_eq!(requires.check(3, 1, gap(91)), Err(NotScored::GapTooLong));
    assert_eq!(requires.check(3, 1, None), Err(NotScored::GapTooLong));
}

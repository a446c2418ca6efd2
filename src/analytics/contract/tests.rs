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
        ("odograph.fill", "[0]", "odograph.fill: the list has 1 numbers, one per feature makes 2"),
        ("odograph.requires", r#"{"max_gap": "soon"}"#, r#"odograph.requires: max_gap "soon" is no duration"#),
        ("odograph.requires", r#"{"max_mising": 3}"#, "unknown field `max_mising`"),
        ("odograph.score", r#"{"kind": "reconstruction", "output": "x"}"#, "reconstruction needs a spread"),
        (
            "odograph.score",
            r#"{"kind": "reconstruction", "output": "x", "spread": [1]}"#,
            "spread has 1 numbers, one per feature makes 2",
        ),
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
        ("odograph.applies_to", r#"{"powertrains": ["electric"]}"#, "odograph.applies_to is not supported yet"),
        ("odograph.window", "{}", "odograph.window is not supported yet"),
        ("odograph.training", "by hand", "odograph.training is not the expected JSON"),
    ];
    for (key, value, expected) in cases {
        let refusal = refusal(key, value);
        assert!(refusal.contains(expected), "{key} = {value}: {refusal}");
    }
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

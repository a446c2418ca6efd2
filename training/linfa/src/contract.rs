//! The contract of a baseline, key by key as Odograph reads it (`training/python/odograph_contract.py` writes the same), and the whole
//! file. Calibration, usual values and golden rows are measured on rows that nothing was fitted to.

use serde::Serialize;

use crate::alert::AlertLimits;
use crate::baseline::Baseline;
use crate::graph::{RECONSTRUCTION, SCORE};
use crate::onnx;
use crate::rows::{Rows, as_f32, as_f64, quantile};
use crate::{FEWEST_ROWS, TrainError};

/// Dense where it matters: a score of 0.999 says that one normal reading in a thousand is as odd.
const PROBABILITIES: [f64; 23] = [
    0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999,
    0.99999, 1.0,
];
const BINS: usize = 20;
const GOLDEN_ROWS: usize = 8;
/// Of f32 arithmetic in another order, relative to the larger of 1 and the score.
const TOLERANCE: f64 = 1e-4;

/// What only the one who trains knows.
#[derive(Debug, Clone)]
pub struct Contract<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub description: &'a str,
    pub author: &'a str,
    pub license: &'a str,
    pub features: &'a [String],
    pub requires: Requires,
    pub applies_to: Applies,
    /// `None`: the settings of an installation say when a score becomes an alert.
    pub alert: Option<AlertLimits>,
    pub training: Training,
}

#[derive(Debug, Clone, Serialize)]
pub struct Requires {
    pub min_readings: usize,
    pub max_missing: usize,
    /// Such as `3m`.
    pub max_gap: String,
}

/// Empty: all.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Applies {
    pub classes: Vec<String>,
    pub powertrains: Vec<String>,
}

/// Where a model comes from, for people.
#[derive(Debug, Clone, Serialize)]
pub struct Training {
    /// Of each file, or of the archive's readings.
    pub data_sha256: Vec<String>,
    pub rows: usize,
    pub rows_calibration: usize,
    /// First and last day, UTC.
    pub period: [String; 2],
    /// `vehicle` or `time`: what tells the rows of the fit from those that were measured on.
    pub split_by: &'static str,
    pub vehicles: usize,
    pub vehicles_calibration: usize,
    pub components: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained_variance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<crate::alert::Found>,
    pub tool: String,
    pub versions: std::collections::BTreeMap<&'static str, String>,
    pub seed: u64,
}

#[derive(Serialize)]
struct Score<'a> {
    kind: &'static str,
    output: &'static str,
    higher_is: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<&'a [f32]>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Calibration {
    count: usize,
    quantiles: Vec<f64>,
    probabilities: Vec<f64>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Histogram {
    edges: Vec<f32>,
    counts: Vec<usize>,
    missing: f64,
}

#[derive(Serialize)]
struct Golden {
    rows: Vec<Vec<Option<f32>>>,
    raw: Vec<f32>,
    tolerance: f64,
}

/// The bytes of an ONNX file that Odograph scores live traffic with. `normal`: held-out rows of healthy readings, `raw`: what
/// [`Baseline::raw`] says to each.
///
/// # Errors
/// Where there are too few of them.
pub fn onnx_file(baseline: &Baseline, contract: &Contract<'_>, normal: Rows<'_>, raw: &[f32]) -> Result<Vec<u8>, TrainError> {
    let scored: Vec<f32> = raw.iter().copied().filter(|raw| raw.is_finite()).collect();
    if scored.len() < FEWEST_ROWS {
        return Err(TrainError::TooFewRows { part: "the part that is held out to measure on", rows: scored.len() });
    }
    let score = match baseline.spread() {
        Some(spread) => Score { kind: "reconstruction", output: RECONSTRUCTION, higher_is: "anomalous", spread: Some(spread) },
        None => Score { kind: "score", output: SCORE, higher_is: "anomalous", spread: None },
    };
    let mut metadata = Vec::new();
    let mut say = |key: &str, value: String| metadata.push((format!("odograph.{key}"), value));
    say("contract", "1".to_owned());
    for (key, text) in [
        ("name", contract.name),
        ("version", contract.version),
        ("description", contract.description),
        ("author", contract.author),
        ("license", contract.license),
    ] {
        say(key, text.to_owned());
    }
    say("features", json(&contract.features));
    say("fill", json(&baseline.scaling.middle));
    say("requires", json(&contract.requires));
    say("score", json(&score));
    say("calibration", json(&calibration(&scored)));
    say("baseline", json(&(0..normal.width()).map(|column| histogram(normal, column)).collect::<Vec<_>>()));
    say("golden", json(&golden(baseline, normal)));
    say("applies_to", json(&contract.applies_to));
    if let Some(alert) = &contract.alert {
        say("alert", json(alert));
    }
    say("training", json(&contract.training));
    Ok(onnx::file_of(baseline.graph(contract.name), &metadata))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain numbers and texts are JSON")
}

/// Beyond what so many readings can tell, no quantiles are written.
fn calibration(raw: &[f32]) -> Calibration {
    let mut rising: Vec<f64> = raw.iter().copied().map(f64::from).collect();
    rising.sort_unstable_by(f64::total_cmp);
    let is_told = |share: &f64| *share == 0.0 || *share >= 1.0 || (1.0 - share) * as_f64(rising.len()) >= 1.0;
    let probabilities: Vec<f64> = PROBABILITIES.into_iter().filter(is_told).collect();
    let quantiles = probabilities.iter().map(|share| quantile(&rising, *share)).collect();
    Calibration { count: rising.len(), quantiles, probabilities }
}

/// Bins of equal counts: what was usual, for explanations and for drift.
fn histogram(rows: Rows<'_>, column: usize) -> Histogram {
    let present = rows.sorted_column(column);
    let missing = 1.0 - as_f64(present.len()) / as_f64(rows.len());
    let missing = (missing * 1e6).round() / 1e6;
    let rising: Vec<f64> = present.iter().copied().map(f64::from).collect();
    if rising.is_empty() {
        return Histogram { edges: vec![0.0, 0.0], counts: vec![0], missing };
    }
    let mut edges: Vec<f32> = (0..=BINS).map(|bin| as_f32(quantile(&rising, as_f64(bin) / as_f64(BINS)))).collect();
    edges.dedup();
    if edges.len() < 2 {
        return Histogram { edges: vec![edges[0]; 2], counts: vec![present.len()], missing };
    }
    // A bin takes its lower edge, the last one both.
    let below = |edge: f32| present.partition_point(|value| *value < edge);
    let bins = edges.len() - 1;
    let ends = (1..=bins).map(|bin| if bin == bins { present.len() } else { below(edges[bin]) });
    let mut begin = 0;
    let counts = ends.map(|end| end - std::mem::replace(&mut begin, end)).collect();
    Histogram { edges, counts, missing }
}

/// Rows from begin to end of what was held out; the last lacks a value more, so that what is filled in is checked too.
fn golden(baseline: &Baseline, normal: Rows<'_>) -> Golden {
    let last = GOLDEN_ROWS - 1;
    let mut rows: Vec<Vec<f32>> = (0..GOLDEN_ROWS).map(|place| normal.row((normal.len() - 1) * place / last).to_vec()).collect();
    let several = rows[last].iter().filter(|value| !value.is_nan()).count() > 1;
    if let Some(value) = rows[last].iter_mut().find(|value| !value.is_nan()).filter(|_| several) {
        *value = f32::NAN;
    }
    rows.retain(|row| baseline.raw(row).is_finite());
    let raw = rows.iter().map(|row| baseline.raw(row)).collect();
    let nulls = |row: Vec<f32>| row.into_iter().map(|value| Some(value).filter(|value| !value.is_nan())).collect();
    Golden { rows: rows.into_iter().map(nulls).collect(), raw, tolerance: TOLERANCE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_written_as_far_as_the_readings_can_tell() {
        let raw: Vec<f32> = (0..200_u8).map(f32::from).collect();
        let Calibration { count, quantiles, probabilities } = calibration(&raw);
        assert_eq!((count, probabilities[probabilities.len() - 2..].to_vec()), (200, vec![0.995, 1.0]));
        assert!((quantiles[6] - 99.5).abs() < 1e-9 && quantiles.ends_with(&[199.0]), "{quantiles:?}");
    }

    #[test]
    fn histograms_count_every_value_once() {
        let mut values: Vec<f32> = (0..100_u8).map(f32::from).collect();
        values.extend([f32::NAN; 25]);
        let Histogram { edges, counts, missing } = histogram(Rows::new(&values, 1), 0);
        assert_eq!((edges.len(), counts.len(), counts.iter().sum::<usize>(), missing), (21, 20, 100, 0.2));
        assert!(counts.iter().all(|count| (4..=6).contains(count)), "{counts:?}");
        let same = histogram(Rows::new(&[3.0; 9], 1), 0);
        assert_eq!(same, Histogram { edges: vec![3.0, 3.0], counts: vec![9], missing: 0.0 });
        let never = histogram(Rows::new(&[f32::NAN; 9], 1), 0);
        assert_eq!(never, Histogram { edges: vec![0.0, 0.0], counts: vec![0], missing: 1.0 });
    }
}

//! Slower, the same, or faster than a run before: cell by cell, with certainty. Measures nothing.
//!
//! Compared are the ratios ours/bare, since the runs were at other times and perhaps beside other work: what slows the machine slows both
//! sides of a ratio. The interval of a change comes from resampling the rounds of both runs (bootstrap, Efron and Tibshirani 1993,
//! chapter 13), at 95 % for all cells together (Bonferroni). What the rounds of one run cannot show, such as where the linker put a
//! loop, is left to the tolerance: a cell is slower only if all of its interval is below 1 - tolerance.
//!
//! So it does not see that the runtime itself or the machine became slower; the rows per second of both sides do.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::cell::as_f64;
use super::report::SCHEMA_VERSION;

const RESAMPLES: usize = 5_000;
const CONFIDENCE: f64 = 0.95;

/// As far as comparing goes, what a report of another run says.
#[derive(Debug, Deserialize)]
pub struct Baseline {
    schema_version: u32,
    models: Vec<BaselineCell>,
}

#[derive(Debug, Deserialize)]
struct BaselineCell {
    name: String,
    batch: usize,
    lanes: usize,
    ratios: Vec<f64>,
}

#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    #[error("cannot read the baseline {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("the baseline {path} is no report of this command: {source}")]
    Json { path: String, source: serde_json::Error },
    #[error("the baseline {path} has schema version {given}, this program writes {SCHEMA_VERSION}; measure it anew")]
    Version { path: String, given: u32 },
    #[error("the baseline has no cell (model, batch, lanes) of this run")]
    NothingInCommon,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Slower,
    Same,
    Faster,
}

/// A cell of this run and of the baseline.
#[derive(Debug, Clone, Serialize)]
pub struct CellChange {
    pub name: String,
    pub batch: usize,
    pub lanes: usize,
    /// Ratio ours/bare now over then; below 1 is slower.
    pub change: f64,
    pub change_interval: [f64; 2],
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    pub verdict: Verdict,
    pub tolerance: f64,
    pub cells: Vec<CellChange>,
    /// Cells of this run that the baseline has not.
    pub not_compared: usize,
}

/// One cell of this run.
pub(super) struct Now<'a> {
    pub name: &'a str,
    pub batch: usize,
    pub lanes: usize,
    pub ratios: &'a [f64],
}

impl Baseline {
    /// # Errors
    /// Where the file is no report that this version can compare.
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| BaselineError::Read { path: name(), source })?;
        let baseline: Self = serde_json::from_str(&text).map_err(|source| BaselineError::Json { path: name(), source })?;
        if baseline.schema_version != SCHEMA_VERSION {
            return Err(BaselineError::Version { path: name(), given: baseline.schema_version });
        }
        Ok(baseline)
    }

    pub(super) fn compare(&self, cells: &[Now<'_>], tolerance: f64) -> Result<Comparison, BaselineError> {
        let then = |now: &Now<'_>| {
            let mut cells = self.models.iter();
            cells.find(|then| then.name == now.name && then.batch == now.batch && then.lanes == now.lanes)
        };
        let pairs: Vec<_> = cells.iter().filter_map(|now| Some((now, then(now)?))).collect();
        if pairs.is_empty() {
            return Err(BaselineError::NothingInCommon);
        }
        let outside = (1.0 - CONFIDENCE) / as_f64(pairs.len());
        let changes: Vec<CellChange> = pairs.iter().map(|(now, then)| change(now, &then.ratios, outside, tolerance)).collect();
        let any = |verdict| changes.iter().any(|change| change.verdict == verdict);
        let verdict = match (any(Verdict::Slower), any(Verdict::Faster)) {
            (true, _) => Verdict::Slower,
            (false, true) => Verdict::Faster,
            (false, false) => Verdict::Same,
        };
        Ok(Comparison { verdict, tolerance, not_compared: cells.len() - pairs.len(), cells: changes })
    }
}

fn change(now: &Now<'_>, then: &[f64], outside: f64, tolerance: f64) -> CellChange {
    let mut random = StdRng::seed_from_u64(1);
    let resampled = (0..RESAMPLES).map(|_| resample(now.ratios, &mut random) / resample(then, &mut random));
    let change_interval = interval(resampled.collect(), outside);
    let verdict = match change_interval {
        [_, high] if high < 1.0 - tolerance => Verdict::Slower,
        [low, _] if low > 1.0 + tolerance => Verdict::Faster,
        _ => Verdict::Same,
    };
    let change = median(now.ratios) / median(then);
    CellChange { name: now.name.to_owned(), batch: now.batch, lanes: now.lanes, change, change_interval, verdict }
}

/// The interval that holds the median of `samples` with 95 %.
pub(super) fn interval_of_median(samples: &[f64]) -> [f64; 2] {
    let mut random = StdRng::seed_from_u64(1);
    interval((0..RESAMPLES).map(|_| resample(samples, &mut random)).collect(), 1.0 - CONFIDENCE)
}

/// NaN where there is none.
pub(super) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    median_in_place(&mut sorted)
}

fn median_in_place(samples: &mut [f64]) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    let upper = samples.len() / 2;
    match samples {
        [] => f64::NAN,
        _ if samples.len().is_multiple_of(2) => f64::midpoint(samples[upper - 1], samples[upper]),
        _ => samples[upper],
    }
}

/// The median of as many draws, with replacement.
fn resample(samples: &[f64], random: &mut StdRng) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    let mut drawn: Vec<f64> = (0..samples.len()).map(|_| samples[random.random_range(0..samples.len())]).collect();
    median_in_place(&mut drawn)
}

/// The middle of the values, so that a share `outside` is beyond it, half at each end.
fn interval(mut values: Vec<f64>, outside: f64) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the number of values")]
    let beyond = (as_f64(values.len()) * outside / 2.0) as usize;
    [values[beyond], values[values.len() - 1 - beyond]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds around a ratio, with a noise that is sometimes gross.
    fn rounds(ratio: f64, seed: u64) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        let round = |number: u32| {
            let gross = if number.is_multiple_of(9) { random.random_range(0.5..1.6) } else { 1.0 };
            ratio * gross * random.random_range(0.96..1.04)
        };
        (0..31).map(round).collect()
    }

    fn verdict_of(now: &[f64], then: &[f64]) -> Verdict {
        let cell = BaselineCell { name: "m".to_owned(), batch: 1, lanes: 1, ratios: then.to_vec() };
        let baseline = Baseline { schema_version: SCHEMA_VERSION, models: vec![cell] };
        let now = [Now { name: "m", batch: 1, lanes: 1, ratios: now }];
        baseline.compare(&now, 0.05).unwrap().verdict
    }

    #[test]
    fn a_tenth_is_noticed_and_noise_is_not() {
        for seed in 0..4 {
            let then = rounds(0.9, 1_000 + seed);
            assert_eq!(verdict_of(&rounds(0.9, seed), &then), Verdict::Same, "{seed}");
            assert_eq!(verdict_of(&rounds(0.81, seed), &then), Verdict::Slower, "{seed}");
            assert_eq!(verdict_of(&rounds(0.99, seed), &then), Verdict::Faster, "{seed}");
        }
    }

    #[test]
    fn two_runs_without_a_common_cell_cannot_be_compared() {
        let baseline = Baseline { schema_version: SCHEMA_VERSION, models: Vec::new() };
        let now = [Now { name: "m", batch: 1, lanes: 1, ratios: &[1.0] }];
        assert!(matches!(baseline.compare(&now, 0.05), Err(BaselineError::NothingInCommon)));
    }

    #[test]
    fn a_baseline_of_another_schema_or_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        std::fs::write(&path, r#"{"schema_version":99,"models":[]}"#).unwrap();
        assert!(Baseline::read(&path).unwrap_err().to_string().contains("version 99"));
        std::fs::write(&path, r#"{"readings_per_second":1}"#).unwrap();
        assert!(matches!(Baseline::read(&path), Err(BaselineError::Json { .. })));
        assert!(matches!(Baseline::read(&folder.path().join("none")), Err(BaselineError::Read { .. })));
    }

    #[test]
    fn medians_of_even_and_odd_numbers() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
        assert!(median(&[]).is_nan());
    }
}

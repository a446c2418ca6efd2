//! From a model's raw output to a score that means the same for every model: how rare it is among normal readings.
//!
//! Split conformal prediction (Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2005, chapter 2): with n held-out
//! normal scores, the probability that another normal reading scores at least `s` is at most (1 + #{scores >= s}) / (n + 1). That is
//! the tail probability; the score is the rest to one. The file carries quantiles instead of all n scores; between two of them
//! the share is interpolated linearly.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Held-out normal readings behind it.
    count: f64,
    /// Rising; a larger one is more anomalous.
    quantiles: Vec<f64>,
    /// Share of the held-out scores below each of them.
    shares: Vec<f64>,
}

/// As it stands in the file. Without `probabilities`, the quantiles are evenly spaced from the smallest score to the largest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CalibrationJson {
    count: u64,
    quantiles: Vec<f64>,
    probabilities: Option<Vec<f64>>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    #[error("at least 2 quantiles and a count of at least 1 are needed")]
    TooFew,
    #[error("{quantiles} quantiles need as many probabilities, not {probabilities}")]
    Lengths { quantiles: usize, probabilities: usize },
    #[error("quantile {index} is {value}, below the one before it or not finite")]
    Quantiles { index: usize, value: f64 },
    #[error("probability {index} is {value}; they rise from 0 to 1")]
    Probabilities { index: usize, value: f64 },
}

/// A raw output, judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibrated {
    /// 0 to 1, 1 = most anomalous.
    pub score: f32,
    pub tail_probability: f64,
}

impl Calibration {
    /// `sign` is -1 for a model whose higher outputs are the normal ones.
    pub(super) fn new(json: CalibrationJson, sign: f64) -> Result<Self, CalibrationError> {
        let CalibrationJson { count, mut quantiles, probabilities } = json;
        if quantiles.len() < 2 || count == 0 {
            return Err(CalibrationError::TooFew);
        }
        let steps = as_f64(quantiles.len() as u64 - 1);
        let mut shares =
            probabilities.unwrap_or_else(|| (0..quantiles.len()).map(|index| as_f64(index as u64) / steps).collect());
        if shares.len() != quantiles.len() {
            return Err(CalibrationError::Lengths { quantiles: quantiles.len(), probabilities: shares.len() });
        }
        if let Some(index) = first_falling(&quantiles) {
            return Err(CalibrationError::Quantiles { index, value: quantiles[index] });
        }
        let beyond = shares.iter().position(|share| !(0.0..=1.0).contains(share));
        if let Some(index) = beyond.or_else(|| first_falling(&shares)) {
            return Err(CalibrationError::Probabilities { index, value: shares[index] });
        }
        if sign < 0.0 {
            quantiles.reverse();
            for quantile in &mut quantiles {
                *quantile = -*quantile;
            }
            shares.reverse();
            for share in &mut shares {
                *share = 1.0 - *share;
            }
        }
        Ok(Self { count: as_f64(count), quantiles, shares })
    }

    /// The smallest tail probability that it can tell: beyond all of its held-out readings.
    #[must_use]
    pub fn resolution(&self) -> f64 {
        1.0 / (self.count + 1.0)
    }

    /// `raw` with the sign that makes larger ones more anomalous.
    #[must_use]
    pub fn judge(&self, raw: f64) -> Calibrated {
        let at_least_as_anomalous = self.count * (1.0 - self.share_below(raw));
        let tail_probability = (1.0 + at_least_as_anomalous) / (self.count + 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "the tail probability beside it has the precision")]
        let score = (1.0 - tail_probability) as f32;
        Calibrated { score, tail_probability }
    }

    fn share_below(&self, raw: f64) -> f64 {
        // The first quantile that is not below: equal scores count as at least as anomalous.
        let next = self.quantiles.partition_point(|quantile| *quantile < raw);
        if next == 0 {
            return 0.0;
        }
        if next == self.quantiles.len() {
            return 1.0;
        }
        let (low, high) = (self.quantiles[next - 1], self.quantiles[next]);
        let way = (raw - low) / (high - low);
        way.mul_add(self.shares[next] - self.shares[next - 1], self.shares[next - 1])
    }
}

fn first_falling(values: &[f64]) -> Option<usize> {
    let mut before = f64::NEG_INFINITY;
    values.iter().position(|value| {
        let falls = !value.is_finite() || *value < before;
        before = *value;
        falls
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of readings are far below 2^53")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small whole numbers are exact, and so must their sums be")]
mod tests {
    use super::*;

    fn calibration(json: &str, sign: f64) -> Result<Calibration, CalibrationError> {
        Calibration::new(serde_json::from_str(json).unwrap(), sign)
    }

    #[test]
    fn the_tail_probability_is_the_conformal_one() {
        let calibration = calibration(r#"{"count": 99, "quantiles": [0, 1, 2, 3, 4]}"#, 1.0).unwrap();
        // Beyond all 99: (1 + 0) / (99 + 1).
        assert_eq!(calibration.judge(5.0), Calibrated { score: 0.99, tail_probability: 0.01 });
        // Below all: (1 + 99) / (99 + 1).
        assert_eq!(calibration.judge(-1.0), Calibrated { score: 0.0, tail_probability: 1.0 });
        assert!((calibration.judge(2.0).tail_probability - (1.0 + 49.5) / 100.0).abs() < 1e-12);
        assert!((calibration.judge(3.5).tail_probability - (1.0 + 99.0 / 8.0) / 100.0).abs() < 1e-12);
    }

    #[test]
    fn a_model_whose_low_outputs_are_anomalous_is_turned_around() {
        let calibration = calibration(r#"{"count": 99, "quantiles": [-3, 0, 10]}"#, -1.0).unwrap();
        // The raw output -4 is lower than all, so the most anomalous.
        assert_eq!(calibration.judge(4.0), Calibrated { score: 0.99, tail_probability: 0.01 });
        assert_eq!(calibration.judge(-11.0).tail_probability, 1.0);
    }

    #[test]
    fn probabilities_may_be_dense_where_it_matters() {
        let json = r#"{"count": 9999, "quantiles": [0, 1, 2, 3], "probabilities": [0, 0.5, 0.999, 1]}"#;
        let judged = calibration(json, 1.0).unwrap().judge(2.0);
        assert!((judged.tail_probability - (1.0 + 9.999) / 10_000.0).abs() < 1e-9);
    }

    #[test]
    fn quantiles_that_fall_are_refused() {
        let error = calibration(r#"{"count": 9, "quantiles": [0, 2, 1]}"#, 1.0).unwrap_err();
        assert_eq!(error, CalibrationError::Quantiles { index: 2, value: 1.0 });
        assert_eq!(calibration(r#"{"count": 9, "quantiles": [0]}"#, 1.0), Err(CalibrationError::TooFew));
    }

    #[test]
    fn scores_of_normal_readings_are_evenly_spread() {
        // The definition of calibration: of held-out scores, a share of p scores at least 1 - p.
        let raw: Vec<f64> = (0..1_000).map(|index| f64::from(index * index)).collect();
        let quantiles: Vec<f64> = (0..=100).map(|percent| raw[(percent * 999) / 100]).collect();
        let json = serde_json::json!({"count": 1000, "quantiles": quantiles}).to_string();
        let calibration = calibration(&json, 1.0).unwrap();
        let above = raw.iter().filter(|raw| calibration.judge(**raw).tail_probability <= 0.05).count();
        assert!((45..=55).contains(&above), "{above}");
    }
}

//! The values of contract keys as they stand in the file.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Score {
    pub kind: Kind,
    pub output: String,
    #[serde(default)]
    pub higher_is: HigherIs,
    pub spread: Option<Vec<f32>>,
    pub column: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Score,
    Reconstruction,
    Probability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum HigherIs {
    #[default]
    Anomalous,
    Normal,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Requires {
    pub min_readings: Option<usize>,
    pub max_missing: Option<usize>,
    pub max_gap: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    pub rows: Vec<Vec<Option<f32>>>,
    pub raw: Vec<f32>,
    /// Of f32 arithmetic in another order.
    #[serde(default = "default_tolerance")]
    pub tolerance: f64,
}

const fn default_tolerance() -> f64 {
    1e-4
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub steps: usize,
    pub signals: Vec<String>,
    pub step: String,
    pub max_age: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AppliesTo {
    pub classes: Vec<String>,
    pub powertrains: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alert {
    pub open: f64,
    pub close: f64,
    #[serde(default = "default_raised")]
    pub raised: u8,
    #[serde(default = "default_of")]
    pub of: u8,
    #[serde(default = "default_calm_for")]
    pub calm_for: String,
    #[serde(default = "default_raised")]
    pub calm_readings: u8,
    #[serde(default = "default_severity")]
    pub severity: String,
}

/// Of one column of the input over the training rows. `edges` has one number more than `counts`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Histogram {
    pub edges: Vec<f32>,
    pub counts: Vec<u64>,
    /// Share of rows without a value.
    #[serde(default)]
    pub missing: f64,
}

impl Histogram {
    /// Within its bin by the straight line; `None` where nothing was counted.
    pub fn median(&self) -> Result<Option<f32>, String> {
        let rises = self.edges.is_sorted() && self.edges.iter().all(|edge| edge.is_finite());
        if self.edges.len() != self.counts.len() + 1 || !rises {
            return Err(format!("{} rising edges do not fit {} counts", self.edges.len(), self.counts.len()));
        }
        if !(0.0..=1.0).contains(&self.missing) {
            return Err(format!("a share of {} missing", self.missing));
        }
        let total: u64 = self.counts.iter().sum();
        let mut before = 0;
        for (bin, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if 2 * (before + count) >= total {
                #[expect(clippy::cast_precision_loss, reason = "counts of readings; a usual value need not be exact")]
                let way = (total as f32 / 2.0 - before as f32) / *count as f32;
                return Ok(Some(way.mul_add(self.edges[bin + 1] - self.edges[bin], self.edges[bin])));
            }
            before += count;
        }
        Ok(None)
    }
}

const fn default_raised() -> u8 {
    3
}

const fn default_of() -> u8 {
    5
}

fn default_calm_for() -> String {
    "5m".to_owned()
}

fn default_severity() -> String {
    "warning".to_owned()
}

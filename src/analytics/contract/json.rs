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

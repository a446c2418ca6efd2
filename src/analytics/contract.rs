//! The contract that a model file carries in its metadata: which features it takes, what stands for a missing one, what its output
//! means. Reads it and checks it against itself; whether the graph keeps it, `model` finds out.

mod alert;
mod json;
mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::calibration::{Calibration, CalibrationError};
use super::features::{FeatureNameError, Grid};
use super::rows::Wanted;
use crate::domain::{NotScored, SignalTable, VehicleRecord};

pub use alert::AlertLimits;

/// Keys of the contract begin so; others belong to other tools.
pub const PREFIX: &str = "odograph.";

/// The version of the contract that this code reads.
pub const VERSION: &str = "1";

/// What a model file says about itself, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    pub name: Arc<str>,
    pub version: Arc<str>,
    pub description: String,
    pub author: String,
    pub license: String,
    /// In the order of the input's columns; of a window model its signals.
    pub features: Vec<String>,
    /// A window model takes `[batch, steps, signals]`; the others `[batch, features]`.
    pub window: Option<Grid>,
    /// One per column: what stands for a missing value; NaN passes it through.
    pub fill: Vec<f32>,
    /// One per column: a usual value, to see what a score would be without the unusual one.
    pub usual: Vec<f32>,
    pub requires: Requires,
    /// Name of the output that `kind` is about.
    pub output: String,
    pub kind: Kind,
    pub calibration: Option<Calibration>,
    /// Whether higher outputs are the anomalous ones.
    pub higher_is_anomalous: bool,
    /// Required, since they are what shows that a file is whole and that this runtime computes what its maker meant.
    pub golden: Golden,
    pub applies_to: Selector,
    /// When its score becomes an alert; `None`: as the settings say.
    pub alert: Option<AlertLimits>,
}

/// What the output means, and so how it becomes one raw score a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One number a row.
    Score,
    /// The input again, as the model sees it: raw = mean over present cells of ((x - x̂) / spread)². One spread per column.
    Reconstruction { spread: Vec<f32> },
    /// Of several classes; this column is the one of the anomalous.
    Probability { column: usize },
}

/// What a reading needs to be scored at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requires {
    /// Steps within the longest duration of the features (at least 10 min), this reading included.
    pub min_readings: usize,
    /// Values of the row that may be missing.
    pub max_missing: usize,
    /// Longest time between two of these steps.
    pub max_gap: Option<Duration>,
}

/// Which vehicles a model is for. An empty list is every vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    pub classes: Vec<String>,
    /// A vehicle of which nobody said what drives it is none of these.
    pub powertrains: Vec<String>,
}

/// Rows with the raw scores that they must give.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Raw values, NaN where missing, row after row, of a window model step after step.
    pub rows: Vec<f32>,
    pub raw: Vec<f32>,
    /// Relative to the larger of 1 and the expected score.
    pub tolerance: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    #[error("metadata key {PREFIX}{key} is missing")]
    Missing { key: &'static str },
    #[error("there is no metadata key {key:?}{}", nearest.as_ref().map_or_else(String::new, |key| format!("; did you mean {key:?}?")))]
    UnknownKey { key: String, nearest: Option<String> },
    #[error("{PREFIX}contract is {given:?}; this version reads contract {VERSION:?}")]
    Version { given: String },
    #[error("{PREFIX}{key} is empty")]
    Empty { key: &'static str },
    #[error("{PREFIX}{key} is not the expected JSON: {error}")]
    Json { key: &'static str, error: serde_json::Error },
    #[error("{PREFIX}{key}: {what} has {given} numbers, {wanted} are wanted: {per}")]
    Width { key: &'static str, what: &'static str, given: usize, wanted: usize, per: &'static str },
    #[error("{PREFIX}{key}: {error}")]
    Feature { key: &'static str, error: FeatureNameError },
    #[error("{PREFIX}{key}: {name:?} is there twice")]
    DuplicateFeature { key: &'static str, name: String },
    #[error("{PREFIX}features and {PREFIX}window are both there; a model takes the one or the other")]
    TwoInputs,
    #[error("{PREFIX}window: {problem}")]
    Window { problem: &'static str },
    #[error("{PREFIX}score: spread of {feature:?} is {value}; it must be finite and above zero")]
    Spread { feature: String, value: f32 },
    #[error("{PREFIX}score: {kind} {problem}")]
    Score { kind: &'static str, problem: &'static str },
    #[error("{PREFIX}calibration: {0}")]
    Calibration(#[from] CalibrationError),
    #[error("{PREFIX}golden: {rows} rows need as many raw scores, not {raw}")]
    GoldenLength { rows: usize, raw: usize },
    #[error("{PREFIX}{key}: {field} {given:?} is no duration such as \"90s\"")]
    Duration { key: &'static str, field: &'static str, given: String },
    #[error("{PREFIX}applies_to: {label:?} is no label; write 1 to 64 of A-Z, a-z, 0-9, _ and -")]
    Label { label: String },
    #[error("{PREFIX}baseline: {problem}")]
    Baseline { problem: String },
    #[error("{PREFIX}alert: {problem}")]
    Alert { problem: &'static str },
}

pub const KEYS: [&str; 17] = [
    "contract",
    "name",
    "version",
    "description",
    "author",
    "license",
    "features",
    "window",
    "fill",
    "requires",
    "score",
    "calibration",
    "baseline",
    "golden",
    "applies_to",
    "alert",
    "training",
];

impl Contract {
    /// # Errors
    /// [`ContractError`] naming the key and what is wrong with it.
    pub fn read(metadata: &BTreeMap<String, String>, table: &SignalTable) -> Result<Self, ContractError> {
        parts::check_keys(metadata)?;
        let keys = parts::Keys(metadata);
        let given = keys.required("contract")?;
        if given.trim() != VERSION {
            return Err(ContractError::Version { given: given.to_owned() });
        }
        let (features, window) = parts::read_input(&keys, table)?;
        let columns = features.len();
        let width = columns * window.map_or(1, |grid| grid.steps);
        let score: json::Score = keys.json("score")?.ok_or(ContractError::Missing { key: "score" })?;
        let higher_is_anomalous = score.higher_is != json::HigherIs::Normal;
        let (output, kind) = parts::read_kind(score, &features)?;
        let sign = if higher_is_anomalous { 1.0 } else { -1.0 };
        let calibration = keys.json("calibration")?.map(|json| Calibration::new(json, sign)).transpose()?;
        if calibration.is_none() && !matches!(kind, Kind::Probability { .. }) {
            return Err(ContractError::Missing { key: "calibration" });
        }
        // Only for people, but it has to be JSON.
        keys.json::<serde_json::Value>("training")?;
        let fill = parts::read_fill(&keys, columns)?;
        let golden = parts::read_golden(&keys, width)?;
        let text = |key| metadata.get(&format!("{PREFIX}{key}")).cloned().unwrap_or_default();
        Ok(Self {
            name: keys.required("name")?.into(),
            version: keys.required("version")?.into(),
            description: text("description"),
            author: text("author"),
            license: text("license"),
            usual: parts::read_usual(&keys, &fill, &golden)?,
            fill,
            requires: parts::read_requires(&keys, width)?,
            golden,
            features,
            window,
            output,
            kind,
            calibration,
            higher_is_anomalous,
            applies_to: parts::read_selector(&keys)?,
            alert: keys.json("alert")?.map(|json| AlertLimits::new(&json, sign)).transpose()?,
        })
    }

    /// The input that a JSON object asks for, by its `features` or its `window`, as a contract has them.
    ///
    /// # Errors
    /// [`ContractError`] naming the key and what is wrong with it.
    pub fn read_input(json: &serde_json::Map<String, serde_json::Value>, table: &SignalTable) -> Result<Wanted, ContractError> {
        let asked = json.iter().filter(|(key, _)| matches!(key.as_str(), "features" | "window"));
        let metadata = asked.map(|(key, value)| (format!("{PREFIX}{key}"), value.to_string())).collect();
        let (columns, window) = parts::read_input(&parts::Keys(&metadata), table)?;
        Ok(match window {
            Some(grid) => Wanted::Window(grid, columns),
            None => Wanted::Features(columns),
        })
    }

    /// Values of a row: columns of the input, times its steps.
    #[must_use]
    pub fn width(&self) -> usize {
        self.features.len() * self.window.map_or(1, |grid| grid.steps)
    }

    /// `raw` with the sign that makes larger ones more anomalous.
    #[must_use]
    pub fn oriented(&self, raw: f32) -> f64 {
        if self.higher_is_anomalous { f64::from(raw) } else { -f64::from(raw) }
    }
}

impl Selector {
    /// A vehicle that nobody registered is of the class `unknown`.
    #[must_use]
    pub fn selects(&self, record: Option<&VehicleRecord>) -> bool {
        let class = record.map_or("unknown", |record| record.class.as_str());
        let powertrain = record.and_then(|record| record.powertrain.as_ref()).map(crate::domain::Label::as_str);
        let is_class = self.classes.is_empty() || self.classes.iter().any(|wanted| wanted == class);
        let is_powertrain =
            self.powertrains.is_empty() || self.powertrains.iter().any(|wanted| Some(wanted.as_str()) == powertrain);
        is_class && is_powertrain
    }
}

impl Requires {
    /// `readings`: steps of the span; `missing`: missing ones among the values of the row; `longest_gap`: between steps of the span, and
    /// `None` where there is no previous step.
    ///
    /// # Errors
    /// The reason not to score.
    pub fn check(&self, readings: usize, missing: usize, longest_gap: Option<Duration>) -> Result<(), NotScored> {
        if readings < self.min_readings {
            return Err(NotScored::TooFewReadings);
        }
        if missing > self.max_missing {
            return Err(NotScored::TooManyMissing);
        }
        match (self.max_gap, longest_gap) {
            (Some(max_gap), Some(gap)) if gap > max_gap => Err(NotScored::GapTooLong),
            (Some(_), None) => Err(NotScored::GapTooLong),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "numbers are read, not computed")]
mod tests;

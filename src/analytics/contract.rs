//! The contract that a model file carries in its metadata: which features it takes, what stands for a missing one, what its output
//! means. Reads it and checks it against itself; whether the graph keeps it, `model` finds out.

mod json;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::calibration::{Calibration, CalibrationError};
use super::features::{FeatureNameError, FeaturePlan};
use crate::domain::{NotScored, SignalTable};

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
    /// In the order of the input's columns.
    pub features: Vec<String>,
    /// One per feature: what stands for a missing value; NaN passes it through.
    pub fill: Vec<f32>,
    pub requires: Requires,
    /// Name of the output that `kind` is about.
    pub output: String,
    pub kind: Kind,
    pub calibration: Option<Calibration>,
    /// Whether higher outputs are the anomalous ones.
    pub higher_is_anomalous: bool,
    /// Required, since they are what shows that a file is whole and that this runtime computes what its maker meant.
    pub golden: Golden,
}

/// What the output means, and so how it becomes one raw score a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One number a row.
    Score,
    /// The input again, as the model sees it: raw = mean over present features of ((x - x̂) / spread)².
    Reconstruction { spread: Vec<f32> },
    /// Of several classes; this column is the one of the anomalous.
    Probability { column: usize },
}

/// What a reading needs to be scored at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requires {
    /// Steps within the longest duration of the features (at least 10 min), this reading included.
    pub min_readings: usize,
    /// Features of the row that may be missing.
    pub max_missing: usize,
    /// Longest time between two of these steps.
    pub max_gap: Option<Duration>,
}

/// Rows with the raw scores that they must give.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Raw features, NaN where missing, row after row.
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
    #[error("{PREFIX}{key}: {what} has {given} numbers, one per feature makes {wanted}")]
    Width { key: &'static str, what: &'static str, given: usize, wanted: usize },
    #[error("{PREFIX}features: {0}")]
    Feature(#[from] FeatureNameError),
    #[error("{PREFIX}features: {name:?} is there twice")]
    DuplicateFeature { name: String },
    #[error("{PREFIX}score: spread of {feature:?} is {value}; it must be finite and above zero")]
    Spread { feature: String, value: f32 },
    #[error("{PREFIX}score: {kind} {problem}")]
    Score { kind: &'static str, problem: &'static str },
    #[error("{PREFIX}calibration: {0}")]
    Calibration(#[from] CalibrationError),
    #[error("{PREFIX}golden: {rows} rows need as many raw scores, not {raw}")]
    GoldenLength { rows: usize, raw: usize },
    #[error("{PREFIX}requires: max_gap {given:?} is no duration such as \"90s\"")]
    MaxGap { given: String },
    #[error("{PREFIX}{key} is not supported yet: {instead}")]
    Unsupported { key: &'static str, instead: &'static str },
}

const KEYS: [&str; 16] = [
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
    "training",
];

impl Contract {
    /// # Errors
    /// [`ContractError`] naming the key and what is wrong with it.
    pub fn read(metadata: &BTreeMap<String, String>, table: &SignalTable) -> Result<Self, ContractError> {
        check_keys(metadata)?;
        let keys = Keys(metadata);
        let given = keys.required("contract")?;
        if given.trim() != VERSION {
            return Err(ContractError::Version { given: given.to_owned() });
        }
        keys.refuse_unsupported()?;
        let features: Vec<String> = keys.json("features")?.ok_or(ContractError::Missing { key: "features" })?;
        check_features(&features, table)?;
        let score: json::Score = keys.json("score")?.ok_or(ContractError::Missing { key: "score" })?;
        let higher_is_anomalous = score.higher_is != json::HigherIs::Normal;
        let (output, kind) = read_kind(score, &features)?;
        let sign = if higher_is_anomalous { 1.0 } else { -1.0 };
        let calibration = keys.json("calibration")?.map(|json| Calibration::new(json, sign)).transpose()?;
        if calibration.is_none() && !matches!(kind, Kind::Probability { .. }) {
            return Err(ContractError::Missing { key: "calibration" });
        }
        let text = |key| metadata.get(&format!("{PREFIX}{key}")).cloned().unwrap_or_default();
        Ok(Self {
            name: keys.required("name")?.into(),
            version: keys.required("version")?.into(),
            description: text("description"),
            author: text("author"),
            license: text("license"),
            fill: read_fill(&keys, features.len())?,
            requires: read_requires(&keys, features.len())?,
            golden: read_golden(&keys, features.len())?,
            features,
            output,
            kind,
            calibration,
            higher_is_anomalous,
        })
    }

    /// Features of a row, columns of the input.
    #[must_use]
    pub fn width(&self) -> usize {
        self.features.len()
    }

    /// `raw` with the sign that makes larger ones more anomalous.
    #[must_use]
    pub fn oriented(&self, raw: f32) -> f64 {
        if self.higher_is_anomalous { f64::from(raw) } else { -f64::from(raw) }
    }
}

impl Requires {
    /// `readings`: steps of the span; `missing`: missing ones among `width` features; `longest_gap`: between steps of the span, and
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

struct Keys<'a>(&'a BTreeMap<String, String>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(&format!("{PREFIX}{key}")).map(String::as_str)
    }

    fn required(&self, key: &'static str) -> Result<&str, ContractError> {
        let value = self.get(key).ok_or(ContractError::Missing { key })?;
        if value.trim().is_empty() { Err(ContractError::Empty { key }) } else { Ok(value) }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, key: &'static str) -> Result<Option<T>, ContractError> {
        let parse = |text| serde_json::from_str(text).map_err(|error| ContractError::Json { key, error });
        self.get(key).map(parse).transpose()
    }

    /// What the contract may say and this version cannot do yet is refused, never silently left out.
    fn refuse_unsupported(&self) -> Result<(), ContractError> {
        if self.get("window").is_some() {
            return Err(ContractError::Unsupported { key: "window", instead: "list features" });
        }
        let applies_to: serde_json::Map<String, serde_json::Value> = self.json("applies_to")?.unwrap_or_default();
        if !applies_to.is_empty() {
            return Err(ContractError::Unsupported {
                key: "applies_to",
                instead: "leave it out, the model scores every vehicle",
            });
        }
        // Only for people and later checks, but it has to be JSON.
        self.json::<serde_json::Value>("training")?;
        self.json::<serde_json::Value>("baseline")?;
        Ok(())
    }
}

fn check_keys(metadata: &BTreeMap<String, String>) -> Result<(), ContractError> {
    for key in metadata.keys() {
        let Some(ours) = key.strip_prefix(PREFIX) else { continue };
        if !KEYS.contains(&ours) {
            let nearest = super::features::nearest(ours, KEYS.into_iter()).map(|nearest| format!("{PREFIX}{nearest}"));
            return Err(ContractError::UnknownKey { key: key.clone(), nearest });
        }
    }
    Ok(())
}

fn check_features(features: &[String], table: &SignalTable) -> Result<(), ContractError> {
    if features.is_empty() {
        return Err(ContractError::Empty { key: "features" });
    }
    FeaturePlan::compile(features.iter().map(String::as_str), table)?;
    for (index, name) in features.iter().enumerate() {
        if features[..index].contains(name) {
            return Err(ContractError::DuplicateFeature { name: name.clone() });
        }
    }
    Ok(())
}

fn read_kind(score: json::Score, features: &[String]) -> Result<(String, Kind), ContractError> {
    let refuse = |kind, problem| Err(ContractError::Score { kind, problem });
    let kind = match (score.kind, score.spread, score.column) {
        (json::Kind::Score, None, None) => Kind::Score,
        (json::Kind::Score, ..) => return refuse("score", "takes neither spread nor column"),
        (json::Kind::Probability, None, Some(column)) => Kind::Probability { column },
        (json::Kind::Probability, ..) => return refuse("probability", "needs a column and takes no spread"),
        (json::Kind::Reconstruction, Some(spread), None) => {
            if score.higher_is == json::HigherIs::Normal {
                return refuse("reconstruction", "is an error, higher is always anomalous");
            }
            check_width("score", "spread", spread.len(), features.len())?;
            let unusable = spread.iter().position(|value| !value.is_finite() || *value <= 0.0);
            if let Some(index) = unusable {
                return Err(ContractError::Spread { feature: features[index].clone(), value: spread[index] });
            }
            Kind::Reconstruction { spread }
        }
        (json::Kind::Reconstruction, ..) => return refuse("reconstruction", "needs a spread and takes no column"),
    };
    Ok((score.output, kind))
}

fn read_fill(keys: &Keys<'_>, width: usize) -> Result<Vec<f32>, ContractError> {
    let fill: Vec<Option<f32>> = keys.json("fill")?.unwrap_or_else(|| vec![None; width]);
    check_width("fill", "the list", fill.len(), width)?;
    Ok(fill.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect())
}

fn read_requires(keys: &Keys<'_>, width: usize) -> Result<Requires, ContractError> {
    let json: json::Requires = keys.json("requires")?.unwrap_or_default();
    let max_gap = json.max_gap.map(|given| match given.parse::<crate::settings::Interval>() {
        Ok(interval) => Ok(interval.duration()),
        Err(_) => Err(ContractError::MaxGap { given }),
    });
    Ok(Requires {
        min_readings: json.min_readings.unwrap_or(1),
        // A row of nothing says nothing, whatever the contract.
        max_missing: json.max_missing.unwrap_or(width).min(width - 1),
        max_gap: max_gap.transpose()?,
    })
}

fn read_golden(keys: &Keys<'_>, width: usize) -> Result<Golden, ContractError> {
    let json: json::Golden = keys.json("golden")?.ok_or(ContractError::Missing { key: "golden" })?;
    if json.rows.len() != json.raw.len() || json.rows.is_empty() {
        return Err(ContractError::GoldenLength { rows: json.rows.len(), raw: json.raw.len() });
    }
    for row in &json.rows {
        check_width("golden", "a row", row.len(), width)?;
    }
    let rows = json.rows.into_iter().flatten().map(|value| value.unwrap_or(f32::NAN)).collect();
    Ok(Golden { rows, raw: json.raw, tolerance: json.tolerance })
}

fn check_width(key: &'static str, what: &'static str, given: usize, wanted: usize) -> Result<(), ContractError> {
    if given == wanted { Ok(()) } else { Err(ContractError::Width { key, what, given, wanted }) }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "numbers are read, not computed")]
mod tests;

//! The parts of a contract, key by key.

use std::collections::BTreeMap;

use super::{ContractError, Golden, KEYS, Kind, PREFIX, Requires, Selector, json};
use crate::analytics::features::{FeaturePlan, Grid, GridPlan, nearest};
use crate::domain::{Label, SignalTable};
use crate::settings::Interval;

const PER_COLUMN: &str = "one per feature or signal";
const PER_CELL: &str = "one per value of the input";

pub(super) struct Keys<'a>(pub &'a BTreeMap<String, String>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(&format!("{PREFIX}{key}")).map(String::as_str)
    }

    pub fn required(&self, key: &'static str) -> Result<&str, ContractError> {
        let value = self.get(key).ok_or(ContractError::Missing { key })?;
        if value.trim().is_empty() { Err(ContractError::Empty { key }) } else { Ok(value) }
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self, key: &'static str) -> Result<Option<T>, ContractError> {
        let parse = |text| serde_json::from_str(text).map_err(|error| ContractError::Json { key, error });
        self.get(key).map(parse).transpose()
    }
}

pub(super) fn check_keys(metadata: &BTreeMap<String, String>) -> Result<(), ContractError> {
    for key in metadata.keys() {
        let Some(ours) = key.strip_prefix(PREFIX) else { continue };
        if !KEYS.contains(&ours) {
            let nearest = nearest(ours, KEYS.into_iter()).map(|nearest| format!("{PREFIX}{nearest}"));
            return Err(ContractError::UnknownKey { key: key.clone(), nearest });
        }
    }
    Ok(())
}

/// Names of the columns, and the grid of a window model.
pub(super) fn read_input(keys: &Keys<'_>, table: &SignalTable) -> Result<(Vec<String>, Option<Grid>), ContractError> {
    let window: Option<json::Window> = keys.json("window")?;
    let features: Option<Vec<String>> = keys.json("features")?;
    match (features, window) {
        (Some(_), Some(_)) => Err(ContractError::TwoInputs),
        (None, None) => Err(ContractError::Missing { key: "features" }),
        (Some(features), None) => {
            check_names("features", &features)?;
            let names = features.iter().map(String::as_str);
            FeaturePlan::compile(names, table).map_err(|error| ContractError::Feature { key: "features", error })?;
            Ok((features, None))
        }
        (None, Some(json::Window { steps, signals, step, max_age })) => {
            let duration = |field, given: String| match given.parse::<Interval>() {
                Ok(interval) => Ok(interval.duration()),
                Err(_) => Err(ContractError::Duration { key: "window", field, given }),
            };
            let step = duration("step", step)?;
            // A vehicle that reports in step is a little late now and then.
            let max_age = max_age.map(|given| duration("max_age", given)).transpose()?.unwrap_or(step * 2);
            let grid = Grid { steps, step, max_age };
            if let Some(problem) = grid.problem() {
                return Err(ContractError::Window { problem });
            }
            check_names("window", &signals)?;
            GridPlan::compile(grid, &signals, table).map_err(|error| ContractError::Feature { key: "window", error })?;
            Ok((signals, Some(grid)))
        }
    }
}

fn check_names(key: &'static str, names: &[String]) -> Result<(), ContractError> {
    if names.is_empty() {
        return Err(ContractError::Empty { key });
    }
    match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        Some((_, name)) => Err(ContractError::DuplicateFeature { key, name: name.clone() }),
        None => Ok(()),
    }
}

pub(super) fn read_kind(score: json::Score, columns: &[String]) -> Result<(String, Kind), ContractError> {
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
            check_width("score", "spread", (spread.len(), columns.len()), PER_COLUMN)?;
            let unusable = spread.iter().position(|value| !value.is_finite() || *value <= 0.0);
            if let Some(index) = unusable {
                return Err(ContractError::Spread { feature: columns[index].clone(), value: spread[index] });
            }
            Kind::Reconstruction { spread }
        }
        (json::Kind::Reconstruction, ..) => return refuse("reconstruction", "needs a spread and takes no column"),
    };
    Ok((score.output, kind))
}

pub(super) fn read_fill(keys: &Keys<'_>, columns: usize) -> Result<Vec<f32>, ContractError> {
    let fill: Vec<Option<f32>> = keys.json("fill")?.unwrap_or_else(|| vec![None; columns]);
    check_width("fill", "the list", (fill.len(), columns), PER_COLUMN)?;
    Ok(fill.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect())
}

pub(super) fn read_requires(keys: &Keys<'_>, width: usize) -> Result<Requires, ContractError> {
    let json: json::Requires = keys.json("requires")?.unwrap_or_default();
    let max_gap = json.max_gap.map(|given| match given.parse::<Interval>() {
        Ok(interval) => Ok(interval.duration()),
        Err(_) => Err(ContractError::Duration { key: "requires", field: "max_gap", given }),
    });
    Ok(Requires {
        min_readings: json.min_readings.unwrap_or(1),
        // A row of nothing says nothing, whatever the contract.
        max_missing: json.max_missing.unwrap_or(width).min(width - 1),
        max_gap: max_gap.transpose()?,
    })
}

pub(super) fn read_selector(keys: &Keys<'_>) -> Result<Selector, ContractError> {
    let json: json::AppliesTo = keys.json("applies_to")?.unwrap_or_default();
    if let Some(label) = json.classes.iter().chain(&json.powertrains).find(|label| Label::new(label).is_err()) {
        return Err(ContractError::Label { label: label.clone() });
    }
    Ok(Selector { classes: json.classes, powertrains: json.powertrains })
}

pub(super) fn read_golden(keys: &Keys<'_>, width: usize) -> Result<Golden, ContractError> {
    let json: json::Golden = keys.json("golden")?.ok_or(ContractError::Missing { key: "golden" })?;
    if json.rows.len() != json.raw.len() || json.rows.is_empty() {
        return Err(ContractError::GoldenLength { rows: json.rows.len(), raw: json.raw.len() });
    }
    for row in &json.rows {
        check_width("golden", "a row", (row.len(), width), PER_CELL)?;
    }
    let rows = json.rows.into_iter().flatten().map(|value| value.unwrap_or(f32::NAN)).collect();
    Ok(Golden { rows, raw: json.raw, tolerance: json.tolerance })
}

/// The median of the baseline; without one what is filled in, else the median of the golden rows.
pub(super) fn read_usual(keys: &Keys<'_>, fill: &[f32], golden: &Golden) -> Result<Vec<f32>, ContractError> {
    let baseline: Option<Vec<json::Histogram>> = keys.json("baseline")?;
    if let Some(baseline) = &baseline {
        check_width("baseline", "the list", (baseline.len(), fill.len()), PER_COLUMN)?;
    }
    let mut usual = Vec::with_capacity(fill.len());
    for (column, fill) in fill.iter().enumerate() {
        let from_baseline = match &baseline {
            Some(baseline) => baseline[column].median().map_err(|problem| ContractError::Baseline { problem })?,
            None => None,
        };
        let from_fill = Some(*fill).filter(|fill| !fill.is_nan());
        usual.push(from_baseline.or(from_fill).or_else(|| golden_median(golden, column, usual.capacity())).unwrap_or(0.0));
    }
    Ok(usual)
}

fn golden_median(golden: &Golden, column: usize, columns: usize) -> Option<f32> {
    let mut values: Vec<f32> =
        golden.rows.iter().skip(column).step_by(columns).copied().filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

fn check_width(
    key: &'static str,
    what: &'static str,
    (given, wanted): (usize, usize),
    per: &'static str,
) -> Result<(), ContractError> {
    if given == wanted { Ok(()) } else { Err(ContractError::Width { key, what, given, wanted, per }) }
}

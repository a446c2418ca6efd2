//! Which columns of a row make its score what it is. A reconstruction says so itself; of other models one column after the other is
//! set to its usual value, and what the score falls by is that column's part (occlusion: Zeiler, Fergus, ECCV 2014), all in one run.

use super::{Kind, Model, ModelError};

/// Parts of a score, 0 to 1, by column of the input and by group of columns; each sums to 1, or is all zero where nothing explains it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shares {
    pub columns: Vec<f64>,
    pub groups: Vec<f64>,
}

impl Model {
    /// Of one row. `group_of`: the group of each column, numbered from 0.
    ///
    /// # Errors
    /// As of [`Model::score`].
    pub fn explain(&mut self, row: &[f32], group_of: &[usize]) -> Result<Shares, ModelError> {
        let columns = self.contract.features.len();
        if row.len() != self.contract.width() || group_of.len() != columns {
            return Err(ModelError::Rows { given: row.len(), width: self.contract.width() });
        }
        match self.contract.kind.clone() {
            Kind::Reconstruction { spread } => self.explain_reconstruction(row, &spread, group_of),
            Kind::Score | Kind::Probability { .. } => self.explain_by_occlusion(row, group_of),
        }
    }

    fn explain_reconstruction(&mut self, row: &[f32], spread: &[f32], group_of: &[usize]) -> Result<Shares, ModelError> {
        // The shape is checked by scoring.
        self.score(row, &mut Vec::with_capacity(1))?;
        // Where it stands twice.
        let errors = self.run(2, |_, filled, _, again| {
            let mut errors = vec![0.0; spread.len()];
            for (column, error) in squared_errors(row, filled, again, spread) {
                errors[column] += error;
            }
            Ok(errors)
        })?;
        let mut groups = vec![0.0; count(group_of)];
        errors.iter().zip(group_of).for_each(|(error, group)| groups[*group] += error);
        Ok(Shares { columns: normalised(errors), groups: normalised(groups) })
    }

    /// Columns that say the same hide each other: without one, the others still raise the score. So each group is occluded as a whole
    /// too, and where no single column matters, the columns of a group share its part.
    fn explain_by_occlusion(&mut self, row: &[f32], group_of: &[usize]) -> Result<Shares, ModelError> {
        let columns = group_of.len();
        let groups = count(group_of);
        let mut rows = row.to_vec();
        for occluded in 0..columns + groups {
            let is_occluded = |column: usize| {
                if occluded < columns { column == occluded } else { group_of[column] == occluded - columns }
            };
            let usual = &self.contract.usual;
            rows.extend(row.iter().enumerate().map(|(cell, value)| {
                let column = cell % columns;
                if is_occluded(column) { usual[column] } else { *value }
            }));
        }
        let mut raw = Vec::with_capacity(1 + columns + groups);
        self.score(&rows, &mut raw)?;
        let whole = self.contract.oriented(raw[0]);
        // What is no number explains nothing.
        let drops: Vec<f64> = raw[1..].iter().map(|raw| (whole - self.contract.oriented(*raw)).max(0.0)).collect();
        let (by_column, by_group) = drops.split_at(columns);
        let mut by_column = by_column.to_vec();
        if by_column.iter().sum::<f64>() <= 0.0 {
            for (part, group) in by_column.iter_mut().zip(group_of) {
                let members = group_of.iter().filter(|other| *other == group).count();
                #[expect(clippy::cast_precision_loss, reason = "a few columns")]
                let members = members as f64;
                *part = by_group[*group] / members;
            }
        }
        Ok(Shares { columns: normalised(by_column), groups: normalised(by_group.to_vec()) })
    }
}

/// Cells that are summed side by side: as many f64 as two vector registers hold, so that no division waits for a sum.
const ABREAST: usize = 8;

/// Mean over present cells of ((x - x̂) / spread)², in f64; NaN if none is present.
pub(super) fn mean_error(features: &[f32], filled: &[f32], again: &[f32], spread: &[f32]) -> f32 {
    let (mut sums, mut present) = ([0.0_f64; ABREAST], [0.0_f64; ABREAST]);
    let mut add = |place: usize, value: f32, filled: f32, again: f32, spread: f32| {
        let error = (f64::from(filled) - f64::from(again)) / f64::from(spread);
        sums[place] += if value.is_nan() { 0.0 } else { error * error };
        present[place] += if value.is_nan() { 0.0 } else { 1.0 };
    };
    let columns = spread.len();
    let (spreads, last_spreads) = spread.as_chunks::<ABREAST>();
    // A row of a window has the columns once for every step.
    for ((features, filled), again) in features.chunks(columns).zip(filled.chunks(columns)).zip(again.chunks(columns)) {
        let (features, last_features) = features.as_chunks::<ABREAST>();
        let (filled, last_filled) = filled.as_chunks::<ABREAST>();
        let (again, last_again) = again.as_chunks::<ABREAST>();
        for (((features, filled), again), spread) in features.iter().zip(filled).zip(again).zip(spreads) {
            for place in 0..ABREAST {
                add(place, features[place], filled[place], again[place], spread[place]);
            }
        }
        for place in 0..last_spreads.len() {
            add(place, last_features[place], last_filled[place], last_again[place], last_spreads[place]);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a raw score is f32")]
    let mean = (sums.iter().sum::<f64>() / present.iter().sum::<f64>()) as f32;
    mean
}

/// Of the present cells, with their columns.
fn squared_errors(features: &[f32], filled: &[f32], again: &[f32], spread: &[f32]) -> impl Iterator<Item = (usize, f64)> {
    let cells = features.iter().zip(filled).zip(again).zip(spread.iter().enumerate().cycle());
    cells.filter(|(((value, _), _), _)| !value.is_nan()).map(|(((_, filled), again), (column, spread))| {
        let error = (f64::from(*filled) - f64::from(*again)) / f64::from(*spread);
        (column, error * error)
    })
}

fn count(group_of: &[usize]) -> usize {
    group_of.iter().max().map_or(0, |last| last + 1)
}

fn normalised(mut parts: Vec<f64>) -> Vec<f64> {
    let sum: f64 = parts.iter().filter(|part| part.is_finite()).sum();
    for part in &mut parts {
        *part = if sum > 0.0 && part.is_finite() { *part / sum } else { 0.0 };
    }
    parts
}

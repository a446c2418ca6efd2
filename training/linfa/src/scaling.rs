//! What stands for a missing value, where the middle of each feature is and how far from it is usual. Medians and quantiles, since
//! history holds faults that nobody marked: they move a mean and a deviation, and hardly these.

use ndarray::Array2;

use crate::TrainError;
use crate::rows::{Rows, as_f32, as_f64, quantile};

/// Where scaled values are cut: what never occurred says nothing about how odd it is.
pub(crate) const CUT: f32 = 8.0;
/// Of a normal distribution, 90 % lie within so many deviations of the middle, on both sides together.
const DEVIATIONS_OF_90_PERCENT: f64 = 3.29;
/// A feature that hardly ever moves is measured by its few moves, at this share of their deviation.
const SHARE_OF_RARE_MOVES: f64 = 0.1;
/// f32 keeps 7 digits: below this share of its size a feature's noise is the noise of its numbers.
const FINEST_SHARE: f64 = 1e-4;
const FINEST: f64 = 1e-6;

#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The median: also what is filled in.
    pub middle: Vec<f32>,
    /// Above 0.
    pub deviation: Vec<f32>,
}

impl Scaling {
    pub fn fit(rows: Rows<'_>, names: &[String]) -> Result<Self, TrainError> {
        let mut scaling = Self { middle: Vec::with_capacity(rows.width()), deviation: Vec::with_capacity(rows.width()) };
        for (column, name) in names.iter().enumerate() {
            let present: Vec<f64> = rows.sorted_column(column).into_iter().map(f64::from).collect();
            if present.is_empty() {
                return Err(TrainError::AlwaysMissing { name: name.clone() });
            }
            let middle = quantile(&present, 0.5);
            let usual = (quantile(&present, 0.95) - quantile(&present, 0.05)) / DEVIATIONS_OF_90_PERCENT;
            let rare = SHARE_OF_RARE_MOVES * deviation(&present);
            let largest = present[0].abs().max(present[present.len() - 1].abs());
            scaling.middle.push(as_f32(middle));
            scaling.deviation.push(as_f32(usual.max(rare).max(FINEST_SHARE * largest).max(FINEST)));
        }
        Ok(scaling)
    }

    pub fn filled(&self, row: &[f32]) -> impl Iterator<Item = f32> {
        row.iter().zip(&self.middle).map(|(value, middle)| if value.is_nan() { *middle } else { *value })
    }

    /// In f32 and in the order of the graph, so that both give the same.
    pub fn scaled(&self, row: &[f32]) -> impl Iterator<Item = f32> {
        let filled = self.filled(row).zip(&self.middle).zip(&self.deviation);
        filled.map(|((value, middle), deviation)| ((value - middle) / deviation).clamp(-CUT, CUT))
    }

    pub fn scaled_rows<'a>(&self, rows: impl ExactSizeIterator<Item = &'a [f32]>) -> Array2<f64> {
        let shape = (rows.len(), self.middle.len());
        let values = rows.flat_map(|row| self.scaled(row)).map(f64::from).collect();
        Array2::from_shape_vec(shape, values).expect("each row has one value per feature")
    }
}

fn deviation(values: &[f64]) -> f64 {
    let count = as_f64(values.len());
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_wild_values_leave_the_scale_alone() {
        let mut values: Vec<f32> = (0..1_000_u16).map(|step| 90.0 + f32::from(step % 11)).collect();
        values[..10].fill(-40.0);
        values[10..20].fill(f32::NAN);
        let scaling = Scaling::fit(Rows::new(&values, 1), &["coolant".to_owned()]).unwrap();
        assert_eq!(scaling.middle, [95.0]);
        assert!((2.5..3.5).contains(&scaling.deviation[0]), "{scaling:?}");
    }

    #[test]
    fn what_never_moves_still_has_a_scale() {
        let values = [[300_000.0_f32, 0.0]; 200].concat();
        let names = ["odometer".to_owned(), "zero".to_owned()];
        let scaling = Scaling::fit(Rows::new(&values, 2), &names).unwrap();
        assert_eq!(scaling.deviation, [30.0, 1e-6]);
    }

    #[test]
    fn what_is_never_there_is_refused_by_name() {
        let values = [1.0, f32::NAN, 2.0, f32::NAN];
        let error = Scaling::fit(Rows::new(&values, 2), &["a".to_owned(), "b".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "feature b is missing in every row");
    }
}

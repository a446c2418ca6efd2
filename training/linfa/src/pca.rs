//! Principal components by linfa: how features usually move together. What does not fit into them is what a reconstruction gets wrong.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;
use ndarray::{Array1, Array2, Axis};

use crate::TrainError;
use crate::rows::as_f64;

/// Of the variance of the scaled features, where nobody says how many components: the rest is what a fault shows in.
const EXPLAINED: f64 = 0.9;

#[derive(Debug, Clone)]
pub struct Components {
    /// Of the scaled features.
    pub mean: Array1<f64>,
    /// One row per component, one column per feature; orthonormal.
    pub axes: Array2<f64>,
    /// Share of the variance that they explain.
    pub explained: f64,
}

impl Components {
    /// `scaled`: without missing values. `count`: as many as explain 90 % of the variance where `None`.
    pub fn fit(scaled: Array2<f64>, count: Option<usize>) -> Result<Self, TrainError> {
        let features = scaled.ncols();
        let most = features - 1;
        if let Some(given) = count.filter(|count| !(1..=most).contains(count)) {
            return Err(TrainError::Components { given, features, most });
        }
        // linfa's solver ends at an absolute residual: with variances in place of sums of squares it is reached in a few steps.
        let per_row = as_f64(scaled.nrows()).sqrt().recip();
        let pca = Pca::params(features).fit(&DatasetBase::from(scaled * per_row))?;
        let variances: Vec<f64> = pca.singular_values().iter().map(|value| value * value).collect();
        let whole: f64 = variances.iter().sum();
        let enough = |count: &usize| variances[..*count].iter().sum::<f64>() >= EXPLAINED * whole;
        // A feature that never moves has no component.
        let most = most.min(variances.len());
        let kept = count.or_else(|| (1..=most).find(enough)).unwrap_or(most).min(most);
        Ok(Self {
            mean: pca.mean() / per_row,
            axes: pca.components().slice_axis(Axis(0), (..kept).into()).to_owned(),
            explained: variances[..kept].iter().sum::<f64>() / whole.max(f64::MIN_POSITIVE),
        })
    }

    pub fn count(&self) -> usize {
        self.axes.nrows()
    }

    /// A scaled row as the components see it.
    pub fn again(&self, scaled: &[f64]) -> Array1<f64> {
        let centred = ndarray::ArrayView1::from(scaled).to_owned() - &self.mean;
        self.axes.dot(&centred).dot(&self.axes) + &self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five features of two hidden causes, with offsets.
    fn plane(rows: usize) -> Array2<f64> {
        let axes = [[1.0, 2.0, 0.0, -1.0, 0.5], [0.0, 1.0, 1.0, 1.0, -2.0]];
        Array2::from_shape_fn((rows, 5), |(row, column)| {
            let causes = [(as_f64(row) * 0.7).sin(), (as_f64(row) * 1.3).cos() * 0.5];
            causes[0].mul_add(axes[0][column], causes[1] * axes[1][column]) + as_f64(column)
        })
    }

    #[test]
    fn rows_of_a_known_plane_are_reconstructed_and_others_are_not() {
        let rows = plane(2_000);
        let components = Components::fit(rows.clone(), Some(2)).unwrap();
        assert!(components.explained > 0.999_999, "{}", components.explained);
        for row in rows.rows().into_iter().take(50) {
            let again = components.again(row.as_slice().unwrap());
            assert!((&again - &row).iter().all(|error| error.abs() < 1e-6), "{row} became {again}");
        }
        // This direction is at right angles to both axes of the plane.
        let mut off: Vec<f64> = rows.row(7).to_vec();
        let normal = [2.0, -1.0, 1.0, 0.0, 0.0];
        off.iter_mut().zip(normal).for_each(|(value, step)| *value += step);
        let error: f64 = components.again(&off).iter().zip(&off).map(|(again, was)| (again - was).powi(2)).sum();
        assert!((error - 6.0).abs() < 1e-3, "all of the step is missing in the reconstruction, {error}");
    }

    #[test]
    fn as_many_components_are_kept_as_explain_nine_tenths() {
        let components = Components::fit(plane(1_000), None).unwrap();
        assert_eq!((components.count(), components.axes.ncols()), (2, 5));
        let gram = components.axes.dot(&components.axes.t());
        assert!((gram - Array2::<f64>::eye(2)).iter().all(|rest| rest.abs() < 1e-9), "orthonormal");
    }

    #[test]
    fn as_many_components_as_features_would_reconstruct_everything_and_are_refused() {
        let error = Components::fit(plane(200), Some(5)).unwrap_err().to_string();
        assert_eq!(error, "5 components were asked for; 5 features take 1 to 4");
        assert!(Components::fit(plane(200), Some(0)).is_err());
    }
}

//! A Gaussian mixture by linfa: a few clouds of usual states, such as idling, town and motorway. What lies in none of them is unlikely.

use std::f64::consts::PI;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{GaussianMixtureModel, GmmError};
use linfa_linalg::cholesky::Cholesky;
use linfa_linalg::triangular::{SolveTriangular, UPLO};
use ndarray::{Array1, Array2, ArrayView1};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::TrainError;
use crate::rows::as_f64;

/// Where nobody says.
pub(crate) const COMPONENTS: usize = 6;
/// A cloud is at least so wide, as a variance of scaled features. A narrow cloud that owns a far row underflows linfa's likelihoods
/// (it takes exponentials before their sum); then the next one is tried.
const NARROWEST: [f64; 3] = [1e-3, 1e-2, 1e-1];

#[derive(Debug, Clone)]
pub struct Mixture {
    pub means: Array2<f64>,
    /// Of each component, upper triangular: times its transpose the inverse of the covariance.
    pub factors: Vec<Array2<f64>>,
    /// Of each component: ln weight + ln det factor - width / 2 · ln 2π.
    pub constants: Array1<f64>,
}

impl Mixture {
    /// `scaled`: without missing values.
    pub fn fit(scaled: &Array2<f64>, components: usize, seed: u64) -> Result<Self, TrainError> {
        if components == 0 || components > scaled.nrows() / 10 {
            return Err(TrainError::Components { given: components, features: scaled.ncols(), most: scaled.nrows() / 10 });
        }
        let dataset = DatasetBase::from(scaled.view());
        let mut failed = None;
        for narrowest in NARROWEST {
            match fit(&dataset, components, seed, narrowest).and_then(|model| Self::of(&model)) {
                Ok(mixture) => return Ok(mixture),
                Err(error) => failed = Some(error),
            }
        }
        Err(TrainError::Mixture { components, error: failed.expect("at least one width was tried") })
    }

    fn of(model: &GaussianMixtureModel<f64>) -> Result<Self, GmmError> {
        let (components, width) = model.means().dim();
        let mut factors = Vec::with_capacity(components);
        let mut constants = Array1::zeros(components);
        for (component, covariance) in model.covariances().outer_iter().enumerate() {
            let lower = covariance.cholesky()?;
            let factor = lower.solve_triangular(&Array2::eye(width), UPLO::Lower)?.t().to_owned();
            let log_determinant: f64 = factor.diag().iter().map(|value| value.ln()).sum();
            constants[component] = model.weights()[component].ln() + log_determinant - 0.5 * as_f64(width) * (2.0 * PI).ln();
            factors.push(factor);
        }
        Ok(Self { means: model.means().clone(), factors, constants })
    }

    pub fn negative_log_likelihood(&self, scaled: &[f64]) -> f64 {
        let logs = self.log_densities(scaled);
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        -(largest + logs.iter().map(|log| (log - largest).exp()).sum::<f64>().ln())
    }

    /// Of each component, its weight included.
    fn log_densities(&self, scaled: &[f64]) -> Vec<f64> {
        let row = ArrayView1::from(scaled);
        let of = |(component, factor): (usize, &Array2<f64>)| {
            let distance = (&row - &self.means.row(component)).dot(factor);
            self.constants[component] - 0.5 * distance.dot(&distance)
        };
        self.factors.iter().enumerate().map(of).collect()
    }
}

fn fit(
    dataset: &DatasetBase<ndarray::ArrayView2<'_, f64>, Array1<()>>,
    components: usize,
    seed: u64,
    narrowest: f64,
) -> Result<GaussianMixtureModel<f64>, GmmError> {
    GaussianMixtureModel::params_with_rng(components, Xoshiro256Plus::seed_from_u64(seed)).reg_covariance(narrowest).fit(dataset)
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::rand_core::RngCore;

    use super::*;

    const CENTRES: [[f64; 2]; 2] = [[-3.0, 1.0], [2.0, -1.0]];
    const WIDTHS: [f64; 2] = [0.5, 1.0];

    /// Three of four rows around the first centre.
    fn two_clouds(rows: usize) -> Array2<f64> {
        let mut random = Xoshiro256Plus::seed_from_u64(5);
        let mut uniform = || as_f64((random.next_u64() >> 40) as usize + 1) / as_f64(1 << 24);
        let mut normal = || (-2.0 * uniform().ln()).sqrt() * (2.0 * PI * uniform()).cos();
        Array2::from_shape_fn((rows, 2), |(row, column)| {
            let cloud = usize::from(row % 4 == 3);
            normal().mul_add(WIDTHS[cloud], CENTRES[cloud][column])
        })
    }

    #[test]
    fn two_known_clouds_are_found() {
        let mixture = Mixture::fit(&two_clouds(4_000), 2, 7).unwrap();
        let first = usize::from(mixture.means[[0, 0]] > 0.0);
        for (cloud, component) in [(0, first), (1, 1 - first)] {
            for (column, centre) in CENTRES[cloud].into_iter().enumerate() {
                let found = mixture.means[[component, column]];
                assert!((found - centre).abs() < 0.1, "cloud {cloud}: {:?}", mixture.means);
                let width = mixture.factors[component][[column, column]].recip();
                assert!((width - WIDTHS[cloud]).abs() < 0.06, "cloud {cloud}: {width}");
            }
        }
    }

    #[test]
    fn the_likelihood_is_that_of_the_textbook_and_far_rows_have_one_too() {
        let mixture = Mixture::fit(&two_clouds(4_000), 1, 7).unwrap();
        let (mean, factor) = (mixture.means.row(0), &mixture.factors[0]);
        let precision = factor.dot(&factor.t());
        let difference = ndarray::array![400.0, -90.0] - mean;
        let determinant = precision[[0, 0]].mul_add(precision[[1, 1]], -(precision[[0, 1]] * precision[[1, 0]]));
        let expected = 0.5 * difference.dot(&precision).dot(&difference) - 0.5 * determinant.ln() + (2.0 * PI).ln();
        let found = mixture.negative_log_likelihood(&[400.0, -90.0]);
        assert!((found - expected).abs() < 1e-9 * expected, "{found} is not {expected}");
    }

    #[test]
    fn a_row_belongs_to_each_component_as_much_as_linfa_says() {
        let rows = two_clouds(2_000);
        let model = fit(&DatasetBase::from(rows.view()), 3, 7, NARROWEST[0]).unwrap();
        let mixture = Mixture::of(&model).unwrap();
        let by_linfa = model.predict_proba(&rows);
        for (row, by_linfa) in rows.rows().into_iter().zip(by_linfa.rows()) {
            let row = row.as_slice().unwrap();
            let whole = mixture.negative_log_likelihood(row);
            for (log, expected) in mixture.log_densities(row).iter().zip(by_linfa) {
                assert!(((log + whole).exp() - expected).abs() < 1e-9, "{row:?}");
            }
        }
    }

    #[test]
    fn a_row_far_from_everything_does_not_stop_the_fit() {
        let mut rows = two_clouds(4_000);
        rows.row_mut(100).fill(60.0);
        let mixture = Mixture::fit(&rows, 2, 7).unwrap();
        assert!(mixture.negative_log_likelihood(&[-3.0, 1.0]).is_finite());
    }

    #[test]
    fn more_components_than_rows_can_carry_are_refused() {
        assert!(matches!(Mixture::fit(&two_clouds(40), 5, 7), Err(TrainError::Components { given: 5, most: 4, .. })));
    }
}

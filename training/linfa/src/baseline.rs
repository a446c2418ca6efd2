//! A baseline, fitted: what a fleet usually looks like, and how far a row is from it. Writes nothing: `contract::onnx_file`.

use crate::graph::{Constants, reconstruction, score};
use crate::mixture::{COMPONENTS, Mixture};
use crate::onnx::GraphProto;
use crate::pca::Components;
use crate::rows::{Rows, as_f32, as_f64};
use crate::scaling::Scaling;
use crate::{FEWEST_ROWS, TrainError};

/// Expectation maximisation walks through all rows up to a hundred times: of more than this, every n-th is taken.
const MOST_ROWS_OF_A_MIXTURE: usize = 50_000;
/// A residual is never taken for smaller than this share of its feature's deviation.
const SMALLEST_RESIDUAL: f64 = 1e-3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows are projected on the principal components and back; the raw score is the mean of ((x - x̂) / spread)².
    Pca,
    /// The raw score is the negative log likelihood.
    GaussianMixture,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub kind: Kind,
    /// `None`: as many principal components as explain 90 % of the variance; six clouds.
    pub components: Option<usize>,
    pub seed: u64,
}

#[derive(Debug, Clone)]
pub struct Baseline {
    pub(crate) scaling: Scaling,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Reconstruction {
        components: Components,
        /// Root mean square of each feature's residual on the rows of the fit, raw.
        spread: Vec<f32>,
    },
    Score(Mixture),
}

impl Baseline {
    /// `rows`: raw features in the order of `names`, NaN where missing.
    ///
    /// # Errors
    /// [`TrainError`] with what the rows lack, or where linfa gives up.
    pub fn fit(rows: Rows<'_>, names: &[String], options: &Options) -> Result<Self, TrainError> {
        if rows.len() < FEWEST_ROWS {
            return Err(TrainError::TooFewRows { part: "the part that the model is fitted to", rows: rows.len() });
        }
        let scaling = Scaling::fit(rows, names)?;
        let form = match options.kind {
            Kind::Pca => {
                let components = Components::fit(scaling.scaled_rows(rows.iter()), options.components)?;
                let spread = spread(rows, &scaling, &components);
                Form::Reconstruction { components, spread }
            }
            Kind::GaussianMixture => {
                let every = rows.len().div_ceil(MOST_ROWS_OF_A_MIXTURE);
                let some: Vec<&[f32]> = rows.iter().step_by(every).collect();
                let scaled = scaling.scaled_rows(some.into_iter());
                Form::Score(Mixture::fit(&scaled, options.components.unwrap_or(COMPONENTS), options.seed)?)
            }
        };
        Ok(Self { scaling, form })
    }

    /// The raw score that Odograph makes of what the graph gives for this row, NaN where there is none.
    #[must_use]
    pub fn raw(&self, row: &[f32]) -> f32 {
        let scaled: Vec<f64> = self.scaling.scaled(row).map(f64::from).collect();
        match &self.form {
            Form::Score(mixture) => as_f32(mixture.negative_log_likelihood(&scaled)),
            Form::Reconstruction { components, spread } => {
                let errors = residuals(row, &scaled, &self.scaling, components).zip(spread);
                let errors = errors.map(|((_, residual), spread)| (residual / f64::from(*spread)).powi(2));
                let present = errors.zip(row).filter(|(_, value)| !value.is_nan()).map(|(error, _)| error);
                let (sum, count) = present.fold((0.0, 0), |(sum, count), error| (sum + error, count + 1));
                as_f32(sum / as_f64(count))
            }
        }
    }

    /// Principal components or clouds.
    #[must_use]
    pub fn components(&self) -> usize {
        match &self.form {
            Form::Reconstruction { components, .. } => components.count(),
            Form::Score(mixture) => mixture.factors.len(),
        }
    }

    /// Share of the variance of the scaled features that the principal components explain.
    #[must_use]
    pub fn explained(&self) -> Option<f64> {
        match &self.form {
            Form::Reconstruction { components, .. } => Some(components.explained),
            Form::Score(_) => None,
        }
    }

    pub(crate) fn spread(&self) -> Option<&[f32]> {
        match &self.form {
            Form::Reconstruction { spread, .. } => Some(spread),
            Form::Score(_) => None,
        }
    }

    pub(crate) fn graph(&self, name: &str) -> GraphProto {
        let constants = Constants { middle: &self.scaling.middle, deviation: &self.scaling.deviation };
        match &self.form {
            Form::Reconstruction { components, .. } => reconstruction(name, &constants, components),
            Form::Score(mixture) => score(name, &constants, mixture),
        }
    }
}

/// Of each feature the filled value and what the reconstruction lacks of it, both raw, in f32 where the graph is.
fn residuals<'a>(
    row: &'a [f32],
    scaled: &[f64],
    scaling: &'a Scaling,
    components: &Components,
) -> impl Iterator<Item = (f32, f64)> + 'a {
    let again = components.again(scaled).into_iter().zip(&scaling.deviation).zip(&scaling.middle);
    let again = again.map(|((again, deviation), middle)| as_f32(again) * deviation + middle);
    scaling.filled(row).zip(again).map(|(value, again)| (value, f64::from(value) - f64::from(again)))
}

fn spread(rows: Rows<'_>, scaling: &Scaling, components: &Components) -> Vec<f32> {
    let mut squares = vec![0.0; rows.width()];
    let mut present = vec![0; rows.width()];
    for row in rows.iter() {
        let scaled: Vec<f64> = scaling.scaled(row).map(f64::from).collect();
        for (column, (_, residual)) in residuals(row, &scaled, scaling, components).enumerate() {
            if !row[column].is_nan() {
                squares[column] += residual * residual;
                present[column] += 1;
            }
        }
    }
    let of = |((squares, present), deviation): ((&f64, &usize), &f32)| {
        as_f32(SMALLEST_RESIDUAL.mul_add(f64::from(*deviation), (squares / as_f64(*present)).sqrt()))
    };
    squares.iter().zip(&present).zip(&scaling.deviation).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["a", "b", "c", "d"].map(str::to_owned).to_vec()
    }

    /// Four features; the third is the sum of the first two, the fourth hardly moves.
    fn values(rows: usize) -> Vec<f32> {
        let row = |step: usize| {
            let time = as_f32(as_f64(step));
            let (a, b) = ((time * 0.37).sin() * 20.0 + 80.0, (time * 0.11).cos() * 3.0);
            [a, b, a + b, if step.is_multiple_of(50) { 1.0 } else { 0.0 }]
        };
        (0..rows).flat_map(row).collect()
    }

    fn fit(kind: Kind, components: Option<usize>) -> Baseline {
        let values = values(3_000);
        Baseline::fit(Rows::new(&values, 4), &names(), &Options { kind, components, seed: 7 }).unwrap()
    }

    #[test]
    fn what_breaks_the_usual_relation_scores_higher_than_what_is_merely_large() {
        for (kind, components) in [(Kind::Pca, Some(2)), (Kind::GaussianMixture, Some(3))] {
            let baseline = fit(kind, components);
            let usual = baseline.raw(&[90.0, 1.0, 91.0, 0.0]);
            let broken = baseline.raw(&[90.0, 1.0, 70.0, 0.0]);
            assert!(broken > usual + 5.0, "{kind:?}: {broken} is not far above {usual}");
        }
    }

    #[test]
    fn a_missing_value_costs_a_reconstruction_nothing() {
        let baseline = fit(Kind::Pca, Some(2));
        let raw = baseline.raw(&[80.0, 0.0, f32::NAN, 0.0]);
        assert!(raw.is_finite() && raw < 5.0, "{raw}");
        assert!(baseline.raw(&[f32::NAN; 4]).is_nan(), "a row of nothing has no score");
    }

    #[test]
    fn reconstruction_errors_of_the_training_rows_are_about_one() {
        let baseline = fit(Kind::Pca, Some(1));
        let values = values(3_000);
        let rows = Rows::new(&values, 4);
        let mean = rows.iter().map(|row| f64::from(baseline.raw(row))).sum::<f64>() / as_f64(rows.len());
        assert!((0.5..1.5).contains(&mean), "{mean}");
    }

    #[test]
    fn too_few_rows_are_refused() {
        let values = values(99);
        let options = Options { kind: Kind::Pca, components: None, seed: 7 };
        let error = Baseline::fit(Rows::new(&values, 4), &names(), &options).unwrap_err().to_string();
        assert_eq!(error, "the part that the model is fitted to has 99 rows, at least 100 are needed");
    }
}

//! Rows of features in, scores out: all models of a lane, in batches. Knows windows, not vehicles: `lane`.

use std::time::Duration;

use super::calibration::Calibrated;
use super::contract::Contract;
use super::features::{FeatureNameError, FeaturePlan, PREVIOUS_MAX_AGE};
use super::model::{Model, ModelError};
use super::window::Window;
use crate::domain::{ModelScore, NotScored, Quality, SignalTable, Timing};

/// The models of one lane, and what waits for them.
#[derive(Debug)]
pub struct Scoring {
    /// Every feature that any model asks for, once.
    plan: FeaturePlan,
    row: Vec<f32>,
    scorers: Vec<Scorer>,
    /// One per reading and model, in the order of [`Scoring::add`].
    tickets: Vec<Ticket>,
}

/// Where the score of a reading by one model will stand, or why there will be none.
type Ticket = Result<usize, NotScored>;

#[derive(Debug)]
struct Scorer {
    model: Model,
    /// Where its features stand in the row of the plan.
    columns: Vec<usize>,
    /// What its features need of a window.
    reach: Duration,
    /// Rows that wait for the next run.
    rows: Vec<f32>,
    /// Values of the largest run.
    most_values: usize,
    /// Raw scores since the last [`Scoring::clear`]; NaN where there is none.
    raw: Vec<f32>,
    failures: Failures,
}

/// Rows that a model gave no score for since they were last taken.
#[derive(Debug, Default)]
pub struct Failures {
    pub rows: u64,
    /// Of the last run that failed; `None` where runs went well and gave no number.
    pub error: Option<ModelError>,
}

/// The scores of one reading.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    scoring: &'a Scoring,
    /// Its first ticket.
    first: usize,
}

impl Scoring {
    /// `batch_max`: most rows of one run.
    ///
    /// # Errors
    /// Where a contract names a feature that the table does not know; loading the model has checked that already.
    pub fn new(models: Vec<Model>, table: &SignalTable, batch_max: usize) -> Result<Self, FeatureNameError> {
        let mut names: Vec<String> = Vec::new();
        let mut scorers = Vec::with_capacity(models.len());
        for model in models {
            let contract = model.contract();
            let own = FeaturePlan::compile(contract.features.iter().map(String::as_str), table)?;
            let columns = contract.features.iter().map(|name| {
                names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                })
            });
            let columns = columns.collect();
            let most_values = batch_max * contract.width();
            scorers.push(Scorer {
                columns,
                reach: own.longest(),
                rows: Vec::with_capacity(most_values),
                most_values,
                raw: Vec::with_capacity(batch_max),
                failures: Failures::default(),
                model,
            });
        }
        let plan = FeaturePlan::compile(names.iter().map(String::as_str), table)?;
        Ok(Self { row: vec![f32::NAN; plan.width()], plan, tickets: Vec::with_capacity(batch_max * scorers.len()), scorers })
    }

    /// How far back windows have to reach.
    #[must_use]
    pub fn keep(&self) -> Duration {
        self.plan.keep()
    }

    pub fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.scorers.iter().map(|scorer| scorer.model.contract())
    }

    /// Forgets the readings of the last batch.
    pub fn clear(&mut self) {
        self.tickets.clear();
        for scorer in &mut self.scorers {
            scorer.rows.clear();
            scorer.raw.clear();
        }
    }

    /// Takes one reading, as the window shows it now; what cannot be believed counts as missing. Returns its number for [`Scoring::judged`].
    pub fn add(&mut self, window: &Window, step: usize, timing: Timing, quality: &Quality) -> usize {
        let first = self.tickets.len();
        if self.scorers.is_empty() {
            return first;
        }
        self.plan.fill_row(window, step, quality, &mut self.row);
        for scorer in &mut self.scorers {
            let ticket = scorer.admits(window, step, timing, &self.row).map(|()| scorer.add(&self.row));
            self.tickets.push(ticket);
        }
        first
    }

    /// Takes a row of all features that was made elsewhere, whatever the models require of a window. Returns its number.
    pub fn add_row(&mut self, row: &[f32]) -> usize {
        let first = self.tickets.len();
        for scorer in &mut self.scorers {
            let ticket = scorer.add(row);
            self.tickets.push(Ok(ticket));
        }
        first
    }

    /// Runs the models on everything that was added.
    pub fn run(&mut self) {
        self.scorers.iter_mut().for_each(Scorer::run);
    }

    /// After [`Scoring::run`]: what became of the reading with that number.
    #[must_use]
    pub const fn judged(&self, number: usize) -> Judged<'_> {
        Judged { scoring: self, first: number }
    }

    /// What failed since the last call, by model.
    pub fn take_failures(&mut self) -> impl Iterator<Item = (&Contract, Failures)> {
        let failed = self.scorers.iter_mut().filter(|scorer| scorer.failures.rows > 0);
        failed.map(|scorer| (scorer.model.contract(), std::mem::take(&mut scorer.failures)))
    }
}

impl Judged<'_> {
    /// Appends its scores, one per model that has one.
    ///
    /// # Errors
    /// Why there is none at all.
    pub fn scores(&self, into: &mut Vec<ModelScore>) -> Result<(), NotScored> {
        let before = into.len();
        let mut reason = None;
        for (index, scorer) in self.scoring.scorers.iter().enumerate() {
            match self.scoring.tickets[self.first + index].and_then(|row| scorer.score(row)) {
                Ok(score) => into.push(score),
                Err(not_scored) => reason = reason.or(Some(not_scored)),
            }
        }
        if into.len() > before { Ok(()) } else { Err(reason.unwrap_or(NotScored::NoModel)) }
    }
}

impl Scorer {
    fn admits(&self, window: &Window, step: usize, timing: Timing, row: &[f32]) -> Result<(), NotScored> {
        let now = window.recorded_at(step);
        if timing == Timing::Late && !window.reaches_back_to(now.minus(self.reach)) {
            return Err(NotScored::BeforeWindow);
        }
        let from = window.first_after(now.minus(self.reach.max(PREVIOUS_MAX_AGE)));
        let missing = self.columns.iter().filter(|column| row[**column].is_nan()).count();
        let requires = &self.model.contract().requires;
        let longest_gap = if requires.max_gap.is_some() { longest_gap(window, from, step) } else { None };
        requires.check(step + 1 - from, missing, longest_gap)
    }

    fn add(&mut self, row: &[f32]) -> usize {
        if self.rows.len() == self.most_values {
            self.run();
        }
        self.rows.extend(self.columns.iter().map(|column| row[*column]));
        self.raw.len() + self.rows.len() / self.columns.len() - 1
    }

    fn run(&mut self) {
        let before = self.raw.len();
        if let Err(error) = self.model.score(&self.rows, &mut self.raw) {
            self.failures.error = Some(error);
            self.run_one_by_one();
        }
        let failed = self.raw[before..].iter().filter(|raw| raw.is_nan()).count();
        self.failures.rows += failed as u64;
        self.rows.clear();
    }

    /// One row that a model cannot bear costs its neighbours nothing.
    fn run_one_by_one(&mut self) {
        for row in self.rows.chunks_exact(self.columns.len()) {
            if self.model.score(row, &mut self.raw).is_err() {
                self.raw.push(f32::NAN);
            }
        }
    }

    fn score(&self, row: usize) -> Result<ModelScore, NotScored> {
        let raw = self.raw[row];
        if raw.is_nan() {
            return Err(NotScored::ModelFailed);
        }
        let contract = self.model.contract();
        let Calibrated { score, tail_probability } = contract.calibration.as_ref().map_or_else(
            // Only a probability comes without calibration: it is what it says.
            || {
                let score = if contract.higher_is_anomalous { raw } else { 1.0 - raw }.clamp(0.0, 1.0);
                Calibrated { score, tail_probability: 1.0 - f64::from(score) }
            },
            |calibration| calibration.judge(contract.oriented(raw)),
        );
        Ok(ModelScore { model: contract.name.clone(), version: contract.version.clone(), score, raw, tail_probability })
    }
}

/// Longest time between two neighbours of the steps `from` to `step`; `None` where there is only one.
fn longest_gap(window: &Window, from: usize, step: usize) -> Option<Duration> {
    let mut times = window.micros_between(from, step + 1);
    let mut before = times.next()?;
    let gaps = times.map(|micros| {
        let gap = micros - before;
        before = micros;
        gap
    });
    gaps.max().map(|micros| Duration::from_micros(micros.unsigned_abs()))
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small whole numbers are exact, and so must their sums be"
)]
mod tests;

//! Rows of features in, scores and claims out: all models of a lane, in batches. Knows windows and profiles, not vehicles: `lane`.

mod claims;
mod policy;
mod scorer;

use std::time::Duration;

use super::claim::Level;
use super::contract::Contract;
use super::features::{AsOf, FeatureNameError, FeaturePlan};
use super::model::{Model, ModelError};
use super::overload::Shed;
use crate::domain::{ModelScore, NotScored, SignalTable, Timing, VehicleRecord};
use crate::settings;

pub use claims::{Normals, Said};
pub use policy::NoAlerts;

use scorer::Scorer;

/// The models of one lane, and what waits for them.
#[derive(Debug)]
pub struct Scoring {
    /// Every feature that any model asks for, once.
    plan: FeaturePlan,
    row: Vec<f32>,
    scorers: Vec<Scorer>,
    /// One per reading and model, in the order of [`Scoring::add`].
    tickets: Vec<Ticket>,
    shed: Shed,
    /// What was left out since it was last taken.
    left_out: LeftOut,
}

/// What overload cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    pub explanations: u64,
    /// Scores of second models.
    pub scores: u64,
}

/// Where the score of a reading by one model will stand, or why there will be none.
type Ticket = Result<usize, NotScored>;

/// A reading to be scored.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub as_of: AsOf<'a>,
    pub timing: Timing,
    /// `None`: nobody registered the vehicle.
    pub record: Option<&'a VehicleRecord>,
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
            scorers.push(Scorer::new(model, table, batch_max, &mut names)?);
        }
        let plan = FeaturePlan::compile(names.iter().map(String::as_str), table)?;
        Ok(Self {
            row: vec![f32::NAN; plan.width()],
            plan,
            tickets: Vec::with_capacity(batch_max * scorers.len()),
            scorers,
            shed: Shed::default(),
            left_out: LeftOut::default(),
        })
    }

    /// When models alert whose contract does not say so itself.
    #[must_use]
    pub fn alerting(mut self, settings: &settings::ModelAlert) -> Self {
        self.scorers.iter_mut().for_each(|scorer| scorer.set_policy(settings));
        self
    }

    /// How far back windows have to reach.
    #[must_use]
    pub fn keep(&self) -> Duration {
        self.scorers.iter().map(|scorer| scorer.reach).fold(self.plan.keep(), Duration::max)
    }

    pub fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.scorers.iter().map(|scorer| scorer.model.contract())
    }

    /// Models that score and never alert, and why.
    pub fn without_alerts(&self) -> impl Iterator<Item = (&Contract, NoAlerts)> {
        self.scorers.iter().filter_map(|scorer| Some((scorer.model.contract(), scorer.policy.no_alerts()?)))
    }

    /// What to leave out from now on.
    pub const fn shed(&mut self, shed: Shed) {
        self.shed = shed;
    }

    /// What was left out since the last call.
    pub fn take_left_out(&mut self) -> LeftOut {
        std::mem::take(&mut self.left_out)
    }

    /// Forgets the readings of the last batch.
    pub fn clear(&mut self) {
        self.tickets.clear();
        self.scorers.iter_mut().for_each(Scorer::clear);
    }

    /// Takes one reading, as window and profile show it now. Returns its number for [`Scoring::judged`].
    pub fn add(&mut self, asked: &Asked<'_>) -> usize {
        let first = self.tickets.len();
        if self.scorers.is_empty() {
            return first;
        }
        self.plan.fill_row(&asked.as_of, &mut self.row);
        let mut has_model = false;
        for scorer in &mut self.scorers {
            if has_model && self.shed >= Shed::SecondModels {
                self.left_out.scores += u64::from(scorer.is_for(asked));
                self.tickets.push(Err(NotScored::NotApplicable));
                continue;
            }
            let ticket = scorer.add(asked, &self.row);
            has_model |= ticket.is_ok();
            self.tickets.push(ticket);
        }
        first
    }

    /// Takes a row of all features that was made elsewhere (of a window model: all values of its window), whatever the models require
    /// of a window. Returns its number.
    pub fn add_row(&mut self, row: &[f32]) -> usize {
        let first = self.tickets.len();
        for scorer in &mut self.scorers {
            let ticket = scorer.add_row(row);
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
    /// Whether one of the models raises.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        let tickets = &self.scoring.tickets[self.first..];
        self.scoring
            .scorers
            .iter()
            .zip(tickets)
            .any(|(scorer, ticket)| ticket.is_ok_and(|row| scorer.level(row) == Level::Raised))
    }

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
                // A model that is not for this vehicle is the least of the reasons.
                Err(NotScored::NotApplicable) => {}
                Err(not_scored) => reason = reason.or(Some(not_scored)),
            }
        }
        let without_model = if self.scoring.scorers.is_empty() { NotScored::NoModel } else { NotScored::NotApplicable };
        if into.len() > before { Ok(()) } else { Err(reason.unwrap_or(without_model)) }
    }
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small whole numbers are exact, and so must their sums be"
)]
mod tests;

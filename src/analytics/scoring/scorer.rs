//! One model of a lane: which readings it takes, the rows that wait for it, and what it said.

use std::time::Duration;

use super::claims::Columns;
use super::policy::Policy;
use super::{Asked, Failures, Ticket};
use crate::analytics::admission::{self, Candidate};
use crate::analytics::calibration::Calibrated;
use crate::analytics::claim::Level;
use crate::analytics::contract::Contract;
use crate::analytics::features::{AsOf, FeatureNameError, FeaturePlan, GridPlan};
use crate::analytics::model::{Model, ModelError};
use crate::domain::{ModelScore, NotScored, SignalTable};
use crate::settings;

#[derive(Debug)]
pub(super) struct Scorer {
    pub model: Model,
    input: Input,
    /// What its features need of a window.
    pub reach: Duration,
    /// Rows that wait for the next run.
    pub rows: Vec<f32>,
    /// Values of the largest run.
    most_values: usize,
    /// Raw scores since the last [`Scorer::clear`]; NaN where there is none.
    raw: Vec<f32>,
    /// What the calibration says of each of them; of NaN, nothing that counts.
    calibrated: Vec<Calibrated>,
    /// Rows since then that raised, by their number: they are to be explained.
    pub raised: Vec<(usize, Box<[f32]>)>,
    pub failures: Failures,
    pub policy: Policy,
    pub columns: Columns,
}

#[derive(Debug)]
enum Input {
    /// Where its features stand in the row of the plan.
    Features(Vec<usize>),
    Window(GridPlan),
}

impl Scorer {
    /// `names`: the features of all models, to which its own are added.
    pub fn new(model: Model, table: &SignalTable, batch_max: usize, names: &mut Vec<String>) -> Result<Self, FeatureNameError> {
        let contract = model.contract();
        let (input, reach) = if let Some(grid) = contract.window {
            (Input::Window(GridPlan::compile(grid, &contract.features, table)?), grid.reach())
        } else {
            let own = FeaturePlan::compile(contract.features.iter().map(String::as_str), table)?;
            let columns = contract.features.iter().map(|name| {
                names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                })
            });
            (Input::Features(columns.collect()), own.longest())
        };
        let most_values = batch_max * contract.width();
        Ok(Self {
            input,
            reach,
            rows: Vec::with_capacity(most_values),
            most_values,
            raw: Vec::with_capacity(batch_max),
            calibrated: Vec::with_capacity(batch_max),
            raised: Vec::new(),
            failures: Failures::default(),
            policy: Policy::of(contract, &settings::ModelAlert::default()),
            columns: Columns::new(&contract.name, &contract.features, table),
            model,
        })
    }

    pub fn set_policy(&mut self, settings: &settings::ModelAlert) {
        self.policy = Policy::of(self.model.contract(), settings);
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.raw.clear();
        self.calibrated.clear();
        self.raised.clear();
    }

    /// By class and powertrain of the vehicle.
    pub fn is_for(&self, asked: &Asked<'_>) -> bool {
        self.model.contract().applies_to.selects(asked.record)
    }

    /// `row`: of the plan of all models.
    pub fn add(&mut self, asked: &Asked<'_>, row: &[f32]) -> Ticket {
        let AsOf { window, step, .. } = asked.as_of;
        if !self.is_for(asked) {
            return Err(NotScored::NotApplicable);
        }
        admission::reach_back(asked.timing, self.reach, window, step)?;
        if self.rows.len() == self.most_values {
            self.run();
        }
        let begin = self.rows.len();
        let missing = match &self.input {
            Input::Features(columns) => {
                self.rows.extend(columns.iter().map(|column| row[*column]));
                self.rows[begin..].iter().filter(|value| value.is_nan()).count()
            }
            Input::Window(grid) => grid.append(&asked.as_of, &mut self.rows)?,
        };
        let requires = &self.model.contract().requires;
        if let Err(reason) = admission::admit(requires, self.reach, Candidate { window, step, missing }) {
            self.rows.truncate(begin);
            return Err(reason);
        }
        Ok(self.raw.len() + begin / self.model.contract().width())
    }

    pub fn add_row(&mut self, row: &[f32]) -> usize {
        if self.rows.len() == self.most_values {
            self.run();
        }
        let begin = self.rows.len();
        match &self.input {
            Input::Features(columns) => self.rows.extend(columns.iter().map(|column| row[*column])),
            Input::Window(_) => self.rows.extend_from_slice(row),
        }
        self.raw.len() + begin / self.model.contract().width()
    }

    pub fn run(&mut self) {
        let before = self.raw.len();
        if let Err(error) = self.model.score(&self.rows, &mut self.raw) {
            let is_slow = matches!(error, ModelError::TooSlow | ModelError::Resting);
            self.failures.error = Some(error);
            self.run_one_by_one(is_slow);
        }
        let failed = self.raw[before..].iter().filter(|raw| raw.is_nan()).count();
        self.failures.rows += failed as u64;
        self.calibrated.extend(self.raw[before..].iter().map(|raw| calibrate(self.model.contract(), *raw)));
        for (index, row) in self.rows.chunks_exact(self.model.contract().width()).enumerate() {
            let number = before + index;
            if self.level(number) == Level::Raised {
                self.raised.push((number, row.into()));
            }
        }
        self.rows.clear();
    }

    /// One row that a model cannot bear costs its neighbours nothing; a model that takes too long is not asked again.
    fn run_one_by_one(&mut self, is_slow: bool) {
        for row in self.rows.chunks_exact(self.model.contract().width()) {
            if is_slow || self.model.score(row, &mut self.raw).is_err() {
                self.raw.push(f32::NAN);
            }
        }
    }

    pub fn score(&self, row: usize) -> Result<ModelScore, NotScored> {
        let raw = self.raw[row];
        if raw.is_nan() {
            return Err(NotScored::ModelFailed);
        }
        let contract = self.model.contract();
        let Calibrated { score, tail_probability } = self.calibrated[row];
        Ok(ModelScore { model: contract.name.clone(), version: contract.version.clone(), score, raw, tail_probability })
    }

    /// After its run.
    pub fn level(&self, row: usize) -> Level {
        let raw = self.raw[row];
        if raw.is_nan() { Level::NotAssessed } else { self.policy.level(raw, self.calibrated[row].tail_probability) }
    }
}

fn calibrate(contract: &Contract, raw: f32) -> Calibrated {
    contract.calibration.as_ref().map_or_else(
        // Only a probability comes without calibration: it is what it says.
        || {
            let score = if contract.higher_is_anomalous { raw } else { 1.0 - raw }.clamp(0.0, 1.0);
            Calibrated { score, tail_probability: 1.0 - f64::from(score) }
        },
        |calibration| calibration.judge(contract.oriented(raw)),
    )
}

//! Rows of features from history, as lanes compute them of the same readings on their arrival: training sets. Scores nothing: `scoring`.
//!
//! Rules of a fresh installation keep profiles from learning as they do there; what models say does not: there are none here.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::admission::{self, Candidate};
use super::blueprint::Records;
use super::checks::{At, Checks};
use super::claim::Claim;
use super::contract::Requires;
use super::features::{AsOf, FeatureNameError, FeaturePlan, Grid, GridPlan};
use super::profile::{Cohorts, Lesson};
use super::rules;
use super::vehicle::Vehicle;
use super::window::WindowLimits;
use crate::domain::{NotScored, Reading, SignalTable, Timing, VehicleId};

/// What a row is made of.
#[derive(Debug, Clone)]
pub enum Wanted {
    Features(Vec<String>),
    /// The input of a window model: signals on a grid.
    Window(Grid, Vec<String>),
}

/// Windows, profiles and cohorts of a fleet.
#[derive(Debug)]
pub struct FeatureRows {
    plan: Plan,
    /// What the features need of a window.
    reach: Duration,
    /// What a reading needs for a row.
    requires: Option<Requires>,
    records: Records,
    limits: WindowLimits,
    vehicles: HashMap<VehicleId, Vehicle>,
    cohorts: Cohorts,
    checks: Checks,
    claims: Vec<Claim>,
    row: Vec<f32>,
    duplicates: u64,
    cut: u64,
    not_admitted: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
enum Plan {
    Features(FeaturePlan),
    Window(GridPlan),
}

impl Wanted {
    /// One name per value of a row; of a window `SIGNAL@-SECONDSs`, oldest step first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Features(names) => names.clone(),
            Self::Window(grid, signals) => {
                let seconds = |step: usize| (grid.steps - 1 - step) as u64 * grid.step.as_secs();
                let of_step = |step| signals.iter().map(move |signal| format!("{signal}@-{}s", seconds(step)));
                (0..grid.steps).flat_map(of_step).collect()
            }
        }
    }
}

impl FeatureRows {
    /// # Errors
    /// Where a name means nothing.
    pub fn new(wanted: &Wanted, table: &SignalTable, window_bytes: usize) -> Result<Self, FeatureNameError> {
        let (plan, keep, reach) = match wanted {
            Wanted::Features(names) => {
                let plan = FeaturePlan::compile(names.iter().map(String::as_str), table)?;
                let (keep, reach) = (plan.keep(), plan.longest());
                (Plan::Features(plan), keep, reach)
            }
            Wanted::Window(grid, signals) => {
                (Plan::Window(GridPlan::compile(*grid, signals, table)?), grid.reach(), grid.reach())
            }
        };
        Ok(Self {
            limits: WindowLimits::new(keep, window_bytes),
            row: vec![f32::NAN; wanted.names().len()],
            plan,
            reach,
            requires: None,
            records: Records::default(),
            vehicles: HashMap::new(),
            cohorts: Cohorts::default(),
            checks: Checks::default(),
            claims: Vec::new(),
            duplicates: 0,
            cut: 0,
            not_admitted: BTreeMap::new(),
        })
    }

    /// Rows only of readings that a model with these requirements would score.
    #[must_use]
    pub fn requiring(self, requires: Requires) -> Self {
        Self { requires: Some(requires), ..self }
    }

    /// Vehicles are compared with their like as these records say; without them all are alike.
    #[must_use]
    pub fn knowing(self, records: Records) -> Self {
        Self { records, ..self }
    }

    /// One value per name, NaN where missing; `None` for what a lane would not score either: a duplicate, a reading from before its
    /// window or ahead of its time, one without enough history for a grid, one that lacks what is required. Readings come in the order
    /// of their arrival.
    pub fn row(&mut self, reading: &Reading) -> Option<&[f32]> {
        if !self.vehicles.contains_key(&reading.vehicle_id) {
            self.vehicles.insert(reading.vehicle_id.clone(), Vehicle::default());
        }
        let vehicle = self.vehicles.get_mut(&reading.vehicle_id)?;
        let Some(placed) = vehicle.place(reading, &self.limits) else {
            self.duplicates += 1;
            return None;
        };
        self.cut += u64::from(placed.cut);
        let quality = &placed.quality;
        let step = placed.step.filter(|_| !quality.is_clock_frozen)?;
        let moves = matches!(placed.timing, Timing::InOrder | Timing::Delayed);
        if moves && self.cohorts.are_due(reading.recorded_at) {
            let mut in_order: Vec<_> = self.vehicles.iter().collect();
            in_order.sort_unstable_by_key(|(id, _)| *id);
            let records: Vec<_> = in_order.iter().map(|(id, _)| (self.records.of)(id)).collect();
            let like = records.iter().zip(&in_order).map(|(record, (_, vehicle))| (record.as_deref(), &vehicle.profile));
            self.cohorts.form(reading.recorded_at, like);
        }
        let Vehicle { window, profile, memory, episodes, .. } = self.vehicles.get_mut(&reading.vehicle_id)?;
        let record = (self.records.of)(&reading.vehicle_id);
        let as_of = AsOf { window, step, profile, cohort: self.cohorts.of(record.as_deref()), quality };
        let mut has_row = match &self.plan {
            Plan::Features(plan) => {
                plan.fill_row(&as_of, &mut self.row);
                true
            }
            Plan::Window(plan) => {
                self.row.clear();
                plan.append(&as_of, &mut self.row).is_ok()
            }
        };
        if let Some(requires) = self.requires.filter(|_| has_row) {
            let missing = self.row.iter().filter(|value| value.is_nan()).count();
            let reaches = admission::reach_back(placed.timing, self.reach, window, step);
            if let Err(reason) =
                reaches.and_then(|()| admission::admit(&requires, self.reach, Candidate { window, step, missing }))
            {
                *self.not_admitted.entry(NotScored::code(reason)).or_default() += 1;
                has_row = false;
            }
        }
        self.claims.clear();
        let at =
            At { window, step, reading, timing: placed.timing, quality, record: record.as_deref(), episodes, follows_all: false };
        self.checks.check(&at, memory, &mut self.claims);
        if moves {
            let raised = rules::has_raised(&self.claims);
            profile.learn(&Lesson { reading, window, step, quality, raised });
        }
        has_row.then_some(&*self.row)
    }

    #[must_use]
    pub fn vehicles(&self) -> usize {
        self.vehicles.len()
    }

    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Readings that lacked what is required, by the reason that a lane would give.
    #[must_use]
    pub const fn not_admitted(&self) -> &BTreeMap<&'static str, u64> {
        &self.not_admitted
    }

    /// Windows that lost steps for want of memory: features that need those are missing.
    #[must_use]
    pub const fn cut(&self) -> u64 {
        self.cut
    }
}

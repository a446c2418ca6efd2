//! Rows of features from history, as lanes compute them of the same readings on their arrival: training sets. Scores nothing: `scoring`.
//!
//! Rules of a fresh installation keep profiles from learning as they do there; what models say does not: there are none here.

use std::collections::HashMap;

use super::checks::{At, Checks};
use super::claim::Claim;
use super::features::{AsOf, FeatureNameError, FeaturePlan};
use super::profile::{Cohorts, Lesson};
use super::rules;
use super::vehicle::Vehicle;
use super::window::WindowLimits;
use crate::domain::{Reading, SignalTable, Timing, VehicleId};

/// Windows, profiles and cohorts of a fleet.
#[derive(Debug)]
pub struct FeatureRows {
    plan: FeaturePlan,
    limits: WindowLimits,
    vehicles: HashMap<VehicleId, Vehicle>,
    cohorts: Cohorts,
    checks: Checks,
    claims: Vec<Claim>,
    row: Vec<f32>,
    duplicates: u64,
    cut: u64,
}

impl FeatureRows {
    /// # Errors
    /// Where a name means nothing.
    pub fn new(names: &[String], table: &SignalTable, window_bytes: usize) -> Result<Self, FeatureNameError> {
        let plan = FeaturePlan::compile(names.iter().map(String::as_str), table)?;
        Ok(Self {
            limits: WindowLimits::new(plan.keep(), window_bytes),
            row: vec![f32::NAN; plan.width()],
            plan,
            vehicles: HashMap::new(),
            cohorts: Cohorts::default(),
            checks: Checks::default(),
            claims: Vec::new(),
            duplicates: 0,
            cut: 0,
        })
    }

    /// One value per name, NaN where missing; `None` for what a lane would not score either: a duplicate, or a reading from before its
    /// window or ahead of its time. Readings come in the order of their arrival.
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
            self.cohorts.form(reading.recorded_at, in_order.iter().map(|(_, vehicle)| (None, &vehicle.profile)));
        }
        let Vehicle { window, profile, memory, episodes, .. } = self.vehicles.get_mut(&reading.vehicle_id)?;
        self.plan.fill_row(&AsOf { window, step, profile, cohort: self.cohorts.of(None), quality }, &mut self.row);
        self.claims.clear();
        let at = At { window, step, reading, timing: placed.timing, quality, record: None, episodes, follows_all: false };
        self.checks.check(&at, memory, &mut self.claims);
        if moves {
            let raised = rules::has_raised(&self.claims);
            profile.learn(&Lesson { reading, window, step, quality, raised });
        }
        Some(&self.row)
    }

    #[must_use]
    pub fn vehicles(&self) -> usize {
        self.vehicles.len()
    }

    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Windows that lost steps for want of memory: features that need those are missing.
    #[must_use]
    pub const fn cut(&self) -> u64 {
        self.cut
    }
}

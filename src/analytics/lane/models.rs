//! A lane's share in models: the profiles and cohorts that their features compare with, and what they claim.

use super::{Judge, Lane, Owned, Unheard};
use crate::analytics::claim::Level;
use crate::analytics::features::AsOf;
use crate::analytics::profile::{Lesson, MODELS_HEARD_AFTER};
use crate::analytics::rules;
use crate::analytics::scoring::{Asked, Normals, Said};
use crate::analytics::vehicle::Vehicle;
use crate::domain::{Assessment, Reading, Timing};

impl Lane {
    /// First pass: the row of this reading waits for the models. Returns its number.
    pub(super) fn ask_models(&mut self, vehicle: u32, judge: Judge<'_>) -> usize {
        let at = self.vehicles[vehicle as usize].state.window.recorded_at(judge.step);
        if self.vehicles[vehicle as usize].unheard_since.is_some_and(|since| at >= since.plus(MODELS_HEARD_AFTER)) {
            self.hear_models();
        }
        self.form_cohorts(vehicle, judge);
        let Judge { timing, step, quality } = judge;
        let Owned { record, state, unheard_since, .. } = &mut self.vehicles[vehicle as usize];
        let cohort = self.cohorts.of(record.as_deref());
        let as_of = AsOf { window: &state.window, step, profile: &state.profile, cohort, quality };
        let number = self.scoring.add(&Asked { as_of, timing, record: record.as_deref() });
        *unheard_since = Some(unheard_since.map_or(at, |since| since.min(at)));
        self.unheard.push(Unheard { vehicle, at, number });
        number
    }

    /// Asks the models about all readings that wait, and lets the profiles know.
    pub(super) fn hear_models(&mut self) {
        self.scoring.run();
        for Unheard { vehicle, at, number } in self.unheard.drain(..) {
            let owned = &mut self.vehicles[vehicle as usize];
            owned.unheard_since = None;
            if self.scoring.judged(number).is_raised() {
                owned.state.profile.hear_model(at);
            }
        }
    }

    /// After that: the profile takes the reading in. What checks say about it is in `self.claims`.
    pub(super) fn learn(&mut self, vehicle: u32, reading: &Reading, judge: Judge<'_>) {
        let Judge { timing, step, quality } = judge;
        if !matches!(timing, Timing::InOrder | Timing::Delayed) || quality.is_clock_frozen {
            return;
        }
        self.form_cohorts(vehicle, judge);
        let raised = rules::has_raised(&self.claims);
        let Vehicle { window, profile, .. } = &mut self.vehicles[vehicle as usize].state;
        profile.learn(&Lesson { reading, window, step, quality, raised });
    }

    /// Last pass: what the models claim joins what the checks said, in `self.claims`.
    pub(super) fn claim_by_models(&mut self, vehicle: u32, number: usize) {
        let Owned { record, state: Vehicle { profile, episodes, .. }, .. } = &self.vehicles[vehicle as usize];
        let normals = Normals { profile, cohort: self.cohorts.of(record.as_deref()) };
        self.scoring.claims(number, normals, episodes.followed(), &mut self.claims);
    }

    /// A reading of the journal of which a model raised: its row is made once more, as window and profile show it now, for the why.
    pub(super) fn row_again(&mut self, vehicle: u32, assessment: &Assessment, judge: Judge<'_>) -> Option<usize> {
        if !self.scoring.has_raised(&assessment.findings) {
            return None;
        }
        self.form_cohorts(vehicle, judge);
        let Judge { timing, step, quality } = judge;
        let Owned { record, state, .. } = &self.vehicles[vehicle as usize];
        let cohort = self.cohorts.of(record.as_deref());
        let as_of = AsOf { window: &state.window, step, profile: &state.profile, cohort, quality };
        self.scoring.clear();
        Some(self.scoring.add(&Asked { as_of, timing, record: record.as_deref() }))
    }

    /// The same from a record of the journal. `number`: of its row.
    pub(super) fn claim_by_models_again(&mut self, vehicle: u32, assessment: &Assessment, number: Option<usize>) {
        let before = self.claims.len();
        let Owned { record, state: Vehicle { profile, episodes, .. }, .. } = &mut self.vehicles[vehicle as usize];
        let normals = Normals { profile, cohort: self.cohorts.of(record.as_deref()) };
        let said = Said { scores: &assessment.scores, findings: &assessment.findings, number };
        self.scoring.claims_again(&said, normals, episodes.followed(), &mut self.claims);
        if self.claims[before..].iter().any(|claim| claim.level == Level::Raised) {
            profile.hear_model(assessment.reading.recorded_at);
        }
    }

    /// Once an hour of event time.
    fn form_cohorts(&mut self, vehicle: u32, judge: Judge<'_>) {
        let at = self.vehicles[vehicle as usize].state.window.recorded_at(judge.step);
        let moves = matches!(judge.timing, Timing::InOrder | Timing::Delayed) && !judge.quality.is_clock_frozen;
        if !moves || !self.cohorts.are_due(at) {
            return;
        }
        let mut in_order: Vec<&Owned> = self.vehicles.iter().collect();
        in_order.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        self.cohorts.form(at, in_order.iter().map(|owned| (owned.record.as_deref(), &owned.state.profile)));
        self.cohorts_have_changed = true;
    }
}

//! What is normal for vehicles of one class and powertrain: the profiles of a lane's vehicles, taken together once an hour.
//!
//! A young vehicle is compared with the cohort of the hour, so every reading of that hour meets the same one. It is formed at the first
//! reading of an hour in event time, from the profiles as they are then, in the order of the vehicles' ids, and is saved: the same
//! readings give the same cohorts, and a restart goes on with the ones of the hour. A lane has its own: another number of lanes means
//! other cohorts.

use super::Profile;
use crate::domain::{Timestamp, VehicleRecord};

const MICROS_PER_HOUR: i64 = 3_600_000_000;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cohorts {
    /// Hours since 1970; the newest that any reading was of.
    pub(super) hour: i64,
    pub(super) cohorts: Vec<Cohort>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cohort {
    pub class: Box<str>,
    /// Empty: nobody said.
    pub powertrain: Box<str>,
    pub profile: Profile,
}

impl Cohorts {
    /// The one of such a vehicle; `None` before the first hour with one.
    #[must_use]
    pub fn of(&self, record: Option<&VehicleRecord>) -> Option<&Profile> {
        let (class, powertrain) = labels(record);
        let is_it = |cohort: &&Cohort| *cohort.class == *class && *cohort.powertrain == *powertrain;
        self.cohorts.iter().find(is_it).map(|cohort| &cohort.profile)
    }

    /// Whether a reading of that moment begins another hour.
    #[must_use]
    pub const fn are_due(&self, at: Timestamp) -> bool {
        at.as_micros().div_euclid(MICROS_PER_HOUR) > self.hour
    }

    /// Forms them anew. The order of the vehicles is part of the result: pass them in the order of their ids.
    pub fn form<'a>(&mut self, at: Timestamp, vehicles: impl Iterator<Item = (Option<&'a VehicleRecord>, &'a Profile)>) {
        self.hour = at.as_micros().div_euclid(MICROS_PER_HOUR);
        self.cohorts.clear();
        for (record, profile) in vehicles {
            let (class, powertrain) = labels(record);
            let known = self.cohorts.iter().position(|cohort| *cohort.class == *class && *cohort.powertrain == *powertrain);
            let place = known.unwrap_or_else(|| {
                self.cohorts.push(Cohort { class: class.into(), powertrain: powertrain.into(), profile: Profile::default() });
                self.cohorts.len() - 1
            });
            self.cohorts[place].profile.merge(profile);
        }
    }

    /// Of several that were saved, by other numbers of lanes, the newest stand until the next hour.
    pub fn take_up(&mut self, saved: Self) {
        if saved.hour >= self.hour {
            *self = saved;
        }
    }
}

/// A vehicle that nobody registered is of the class `unknown`.
fn labels(record: Option<&VehicleRecord>) -> (&str, &str) {
    let class = record.map_or("unknown", |record| record.class.as_str());
    (class, record.and_then(|record| record.powertrain.as_ref()).map_or("", crate::domain::Label::as_str))
}

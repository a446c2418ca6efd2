//! A fleet and the world it shares. Pure: no clock, no files, no network; the same options give the same readings for ever.

use std::time::Duration;

use super::faults::{FAULTS, MEAN_DAYS_BETWEEN_FAULTS};
use super::illness::{Plan, RandomFaults};
use super::roads::Roads;
use super::vehicle::Vehicle;
use crate::domain::{Reading, Timestamp, VehicleId};

#[derive(Debug, Clone)]
pub struct Options {
    pub vehicles: u32,
    pub seed: u64,
    /// The fleet's first moment.
    pub start: Timestamp,
    /// Between two readings of one vehicle.
    pub every: Duration,
    pub faults: RandomFaults,
    /// Faults on demand; the first of a vehicle counts.
    pub plans: Vec<Plan>,
}

/// What all vehicles share and none changes.
#[derive(Debug)]
pub struct World {
    pub(super) seed: u64,
    pub(super) start: Timestamp,
    pub(super) every: Duration,
    pub(super) faults: RandomFaults,
    pub(super) roads: Roads,
}

#[derive(Debug)]
pub struct Fleet {
    pub world: World,
    pub vehicles: Vec<Vehicle>,
}

impl RandomFaults {
    pub fn none() -> Self {
        Self { kinds: Vec::new(), mean_days_between: MEAN_DAYS_BETWEEN_FAULTS }
    }

    /// Every kind, at the documented rate.
    pub fn all() -> Self {
        Self { kinds: FAULTS.iter().map(|spec| spec.fault).collect(), mean_days_between: MEAN_DAYS_BETWEEN_FAULTS }
    }
}

impl World {
    pub const fn roads(&self) -> &Roads {
        &self.roads
    }
}

impl Fleet {
    pub fn new(options: &Options) -> Self {
        let world = World {
            seed: options.seed,
            start: options.start,
            every: options.every,
            faults: options.faults.clone(),
            roads: Roads::new(options.seed),
        };
        let plan = |index| options.plans.iter().find(|plan| plan.vehicle == index);
        let vehicles = (0..options.vehicles).map(|index| Vehicle::new(index, &world, plan(index))).collect();
        Self { world, vehicles }
    }

    /// Vehicles in the order in which they report within every interval.
    pub fn sort_by_turn(&mut self) {
        self.vehicles.sort_by_key(|vehicle| (vehicle.next_at(), vehicle.index));
    }
}

/// An empty reading to be filled again and again.
pub fn blank_reading() -> Reading {
    Reading::bare(VehicleId::new("nobody").expect("letters only"), Timestamp::default())
}

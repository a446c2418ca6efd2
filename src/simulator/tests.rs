//! A fleet as a whole: the same for ever by seed, believable in health, and ill in the way its labels say.

mod health;
mod illness;
mod same;

use std::time::Duration;

use super::fleet::{Fleet, Options, blank_reading};
use super::illness::{Plan, RandomFaults};
use super::kinds::Kind;
use super::vehicle::{Label, Vehicle};
use crate::domain::{Reading, SignalId, Timestamp};

/// A Tuesday, before the early shift.
const START: &str = "2026-11-03T04:00:00Z";

fn options(vehicles: u32, seed: u64) -> Options {
    Options {
        vehicles,
        seed,
        start: START.parse().unwrap(),
        every: Duration::from_secs(30),
        faults: RandomFaults::none(),
        plans: Vec::new(),
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

/// Everything a vehicle reports until `end`, with its labels.
fn history(fleet: &mut Fleet, vehicle: usize, end: Timestamp) -> Vec<(Reading, Option<Label>)> {
    let Fleet { world, vehicles } = fleet;
    let vehicle: &mut Vehicle = &mut vehicles[vehicle];
    let mut readings = Vec::new();
    let mut reading = blank_reading();
    while vehicle.next_at() < end {
        vehicle.next_reading(world, &mut reading);
        readings.push((reading.clone(), vehicle.label()));
    }
    readings
}

fn value(reading: &Reading, id: SignalId) -> f32 {
    reading.signals.get(id).unwrap_or(f32::NAN)
}

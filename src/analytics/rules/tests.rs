//! Each rule alone: what raises it, what must not, and what it may not judge.

mod engine_and_electrics;
mod kept;
mod sensors_and_places;
mod tires_and_fuel;

use std::time::Duration;

use super::*;
use crate::analytics::claim::{Claim, Level};
use crate::analytics::fixtures::{at, reading_at};
use crate::analytics::vehicle::Vehicle;
use crate::analytics::window::WindowLimits;
use crate::domain::{Class, Ignition, Label, Position, SignalId, signal as s};
use crate::settings;

/// One vehicle and the newest word of every rule about it.
struct Drive {
    rules: Rules,
    limits: WindowLimits,
    vehicle: Vehicle,
    memory: RuleMemory,
    record: Option<VehicleRecord>,
    claims: Vec<Claim>,
    seconds: i64,
    every_s: i64,
    ignition: Option<Ignition>,
    position: Option<Position>,
    odometer_m: Option<f64>,
    codes: Vec<Box<str>>,
}

fn a_vehicle() -> Drive {
    Drive {
        rules: Rules::new(&settings::Rules::default()).unwrap(),
        limits: WindowLimits::new(Duration::from_mins(10), 64 << 10),
        vehicle: Vehicle::default(),
        memory: RuleMemory::default(),
        record: None,
        claims: Vec::new(),
        seconds: 0,
        every_s: 30,
        ignition: Some(Ignition::On),
        position: None,
        odometer_m: None,
        codes: Vec::new(),
    }
}

impl Drive {
    fn every(mut self, seconds: i64) -> Self {
        self.every_s = seconds;
        self
    }

    fn with_ignition(mut self, ignition: Ignition) -> Self {
        self.ignition = Some(ignition);
        self
    }

    fn of_class(mut self, class: &str) -> Self {
        let class = Class::new(Label::new(class).unwrap());
        self.record = Some(VehicleRecord { class, ..VehicleRecord::default() });
        self
    }

    /// So many readings of the same content.
    fn sends(mut self, readings: usize, values: &[(SignalId, f32)]) -> Self {
        for _ in 0..readings {
            self.send(values);
        }
        self
    }

    fn send(&mut self, values: &[(SignalId, f32)]) {
        self.seconds += self.every_s;
        self.send_at(self.seconds, values);
    }

    fn send_at(&mut self, seconds: i64, values: &[(SignalId, f32)]) {
        let mut reading = reading_at(seconds, values);
        reading.ignition = self.ignition;
        reading.position = self.position;
        reading.odometer_m = self.odometer_m;
        reading.dtcs.clone_from(&self.codes);
        reading.fingerprint = reading.compute_fingerprint();
        let placed = self.vehicle.place(&reading, &self.limits).expect("no duplicate");
        let step = placed.step.expect("in the window");
        let context = Context {
            reading: &reading,
            timing: placed.timing,
            window: &self.vehicle.window,
            step,
            record: self.record.as_ref(),
        };
        self.claims.clear();
        self.rules.check(&context, &mut self.memory, |_| true, &mut self.claims);
    }

    fn after(mut self, seconds: i64) -> Self {
        self.seconds += seconds;
        self
    }

    fn claim(&self, rule: &str) -> &Claim {
        let key = format!("rule:{rule}");
        self.claims.iter().find(|claim| claim.key.as_str() == key).expect("every rule says something about a followed key")
    }

    fn says(&self, rule: &str) -> Level {
        self.claim(rule).level
    }

    fn summary(&self, rule: &str) -> &str {
        &self.claim(rule).summary
    }
}

/// A car on a country road.
const DRIVING: [(SignalId, f32); 2] = [(s::SPEED, 60.0), (s::ENGINE_SPEED, 1_800.0)];

fn driving_with(values: &[(SignalId, f32)]) -> Vec<(SignalId, f32)> {
    [&DRIVING, values].concat()
}

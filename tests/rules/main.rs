//! What the rules say about fleets and drives: nothing where all is well, and something where a fault is one of theirs.

#![expect(clippy::unwrap_used, reason = "a test")]

mod drives;
mod fleets;

use std::time::Duration;

use odograph::analytics::alerting::{Episodes, Seen};
use odograph::analytics::claim::Claim;
use odograph::analytics::rules::{Context, RuleMemory, Rules};
use odograph::analytics::vehicle::Vehicle;
use odograph::analytics::window::WindowLimits;
use odograph::domain::{Alert, AlertEvent, Change, Reading, VehicleRecord};
use odograph::settings;

/// One vehicle under the rules as they are shipped, from its first reading on.
#[derive(Clone)]
struct Watch<'a> {
    rules: &'a Rules,
    limits: WindowLimits,
    vehicle: Vehicle,
    memory: RuleMemory,
    episodes: Episodes,
    claims: Vec<Claim>,
    events: Vec<AlertEvent>,
    readings: u64,
    record: Option<VehicleRecord>,
}

fn shipped_rules() -> Rules {
    Rules::new(&settings::Rules::default()).unwrap()
}

impl<'a> Watch<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            limits: WindowLimits::new(Duration::from_mins(10), 64 << 10),
            vehicle: Vehicle::default(),
            memory: RuleMemory::default(),
            episodes: Episodes::default(),
            claims: Vec::new(),
            events: Vec::new(),
            readings: 0,
            record: None,
        }
    }

    fn observe(&mut self, reading: &Reading) {
        self.readings += 1;
        let Some(placed) = self.vehicle.place(reading, &self.limits) else { return };
        let Some(step) = placed.step else { return };
        let context =
            Context { reading, timing: placed.timing, window: &self.vehicle.window, step, record: self.record.as_ref() };
        self.claims.clear();
        self.rules.check(&context, &mut self.memory, |key| self.episodes.follows(key), &mut self.claims);
        let seen =
            Seen { vehicle_id: &reading.vehicle_id, reading, timing: placed.timing, arrival: self.readings, configuration: 1 };
        self.episodes.observe(&seen, &self.claims, &mut self.events);
    }

    fn opened(&self) -> impl Iterator<Item = &Alert> {
        self.events.iter().filter(|event| event.change == Change::Opened).map(|event| &event.alert)
    }
}

fn described(alert: &Alert) -> String {
    format!("{} {} at {}: {}", alert.vehicle_id, alert.key, alert.opened_at, alert.summary)
}

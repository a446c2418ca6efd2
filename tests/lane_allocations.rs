//! A lane in its steady state takes nothing from the heap for an ordinary reading. A binary of its own, since it counts every
//! allocation of its thread.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test of small numbers")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use odograph::analytics::alerting::{Episodes, Seen};
use odograph::analytics::blueprint::Records;
use odograph::analytics::checks::Checks;
use odograph::analytics::lane::{Lane, LaneParts};
use odograph::analytics::library::find_library;
use odograph::analytics::model::{Model, Runtime};
use odograph::analytics::rules::{Context, RuleMemory, Rules};
use odograph::analytics::scoring::Scoring;
use odograph::analytics::vehicle::Vehicle;
use odograph::analytics::window::WindowLimits;
use odograph::domain::{
    Delivery, Position, Reading, Receipt, SLOTS, SignalId, SignalTable, SignalValues, Timestamp, VehicleId, signal,
};
use odograph::journal::Batch;
use odograph::settings;

const VEHICLES: usize = 100;

/// Rounds until every window has its size: 10 minutes at 30 s, and some more.
const WARM_UP: usize = 40;
const MEASURED: usize = 40;

#[test]
fn a_reading_without_models_allocates_nothing() {
    assert_eq!(allocations(&[]), 0);
}

#[test]
fn a_scored_reading_allocates_the_list_of_scores_that_it_takes_along_and_nothing_else() {
    /// What `ort` allocates around a run: names, shapes, handles.
    const MOST_PER_RUN: usize = 32;
    let allocations = allocations(&["autoencoder"]);
    let (runs, readings) = (MEASURED, MEASURED * VEHICLES);
    println!("{allocations} allocations, {readings} readings, {runs} runs");
    assert!(allocations >= readings, "each published assessment owns its scores");
    assert!(allocations - readings <= runs * MOST_PER_RUN, "{allocations} allocations");
}

#[test]
fn a_reading_that_is_calm_by_every_rule_allocates_nothing() {
    let rules = Rules::new(&settings::Rules::default()).unwrap();
    let limits = WindowLimits::new(Duration::from_mins(10), 64 << 10);
    let (mut vehicle, mut memory, mut episodes) = (Vehicle::default(), RuleMemory::default(), Episodes::default());
    let (mut claims, mut events) = (Vec::new(), Vec::new());
    let mut counted = 0;
    for round in 0..WARM_UP + MEASURED {
        let reading = a_calm_reading(round);
        let placed = vehicle.place(&reading, &limits).unwrap();
        let context = Context {
            reading: &reading,
            timing: placed.timing,
            window: &vehicle.window,
            step: placed.step.unwrap(),
            record: None,
        };
        let seen = Seen {
            vehicle_id: &reading.vehicle_id,
            reading: &reading,
            timing: placed.timing,
            arrival: round as u64,
            configuration: 1,
        };
        let during = allocation_counter::measure(|| {
            claims.clear();
            rules.check(&context, &mut memory, |key| episodes.follows(key), &mut claims);
            episodes.observe(&seen, &claims, &mut events);
        });
        assert_eq!(claims, []);
        if round >= WARM_UP {
            counted += during.count_total;
        }
    }
    assert_eq!(counted, 0);
}

/// Of all measured rounds together; one batch of all vehicles a round.
fn allocations(models: &[&str]) -> usize {
    let table = Arc::new(SignalTable::default());
    let mut lane = Lane::new(
        LaneParts {
            scoring: Scoring::new(models.iter().map(|name| load(name, &table)).collect(), &table, VEHICLES).unwrap(),
            table,
            // What these readings say of themselves would raise some; rules have a test of their own below.
            checks: Arc::new(Checks::default().without_rules()),
            records: Records::default(),
            window_bytes: 64 << 10,
            checkpoint_groups: 10,
        },
        &[0; SLOTS as usize],
    );
    let (mut batch, mut newest) = (Batch::new(), Vec::new());
    let mut counted = 0;
    for round in 0..WARM_UP + MEASURED {
        let mut deliveries: Vec<Delivery> = (0..VEHICLES).map(|vehicle| a_delivery(vehicle, round)).collect();
        let during = allocation_counter::measure(|| {
            lane.assess(&mut deliveries, &mut batch, &mut newest);
            // As the journal and live state do.
            batch.clear();
            newest.clear();
        });
        if round >= WARM_UP {
            counted += usize::try_from(during.count_total).unwrap();
        }
    }
    counted
}

fn load(name: &str, table: &SignalTable) -> Model {
    let runtime = Runtime::load(&find_library(Path::new(""))).expect("run `make fetch`");
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/models/{name}.onnx"))).unwrap();
    Model::load(&runtime, &file, table).unwrap()
}

/// A car on a country road.
fn a_calm_reading(round: usize) -> Reading {
    let mut reading = a_delivery(40, round).readings.remove(0);
    let calm = [
        (signal::ACCELERATION_LONGITUDINAL, 0.2),
        (signal::ACCELERATION_LATERAL, 0.2),
        (signal::ENGINE_SPEED, 1_800.0 + round as f32),
        (signal::COOLANT_TEMPERATURE, 90.0),
        (signal::OIL_TEMPERATURE, 95.0),
        (signal::BATTERY_VOLTAGE, 14.1),
    ];
    for (id, value) in calm {
        reading.signals.set(id, value);
    }
    reading.fingerprint = reading.compute_fingerprint();
    reading
}

/// Ten signals and a position every 30 s, a little out of step.
fn a_delivery(vehicle: usize, round: usize) -> Delivery {
    let micros = i64::try_from(round * 30_000_000 + (vehicle * 7_919 + round * 104_729) % 900_000).unwrap();
    let recorded_at = Timestamp::from_micros(1_764_000_000_000_000 + micros);
    let mut signals = SignalValues::default();
    for id in (0..10).filter_map(SignalId::from_index) {
        signals.set(id, (vehicle % 50) as f32 + (round % 13) as f32);
    }
    let mut position = Position::new(49.0 + round as f64 * 1e-4, 8.4).unwrap();
    position.heading_deg = Some(10.0);
    let mut reading = Reading {
        position: Some(position),
        signals,
        ..Reading::bare(VehicleId::new(&format!("vehicle-{vehicle}")).unwrap(), recorded_at)
    };
    reading.fingerprint = reading.compute_fingerprint();
    let slot = reading.vehicle_id.slot();
    Delivery { slot, readings: vec![reading], quarantined: Vec::new(), receipt: Receipt::new().0 }
}

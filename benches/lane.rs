//! What a lane costs: one feature row, and one whole step from deliveries to encoded frames. Leaves out the journal's writing and
//! the inbox. Rows vary; repeated ones flatter models.
//!
//! `cargo bench --bench lane`; figures per element are per reading.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a benchmark of small numbers")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use odograph::analytics::blueprint::Records;
use odograph::analytics::features::{AsOf, FeaturePlan};
use odograph::analytics::lane::{Lane, LaneParts};
use odograph::analytics::library::find_library;
use odograph::analytics::model::{Model, Runtime};
use odograph::analytics::profile::Profile;
use odograph::analytics::scoring::Scoring;
use odograph::analytics::window::{Window, WindowLimits};
use odograph::domain::{
    Delivery, Position, Quality, Reading, Receipt, SLOTS, SignalId, SignalTable, SignalValues, Timestamp, VehicleId,
};
use odograph::journal::Batch;

/// As many as report in half a minute at 333 readings/s.
const VEHICLES: usize = 10_000;
const SIGNALS: usize = 10;
/// Rounds of 30 s until every window of 10 minutes is full.
const WARM_UP_ROUNDS: usize = 22;
const MODEL: &str = "wide_autoencoder";

fn feature_row(criterion: &mut Criterion) {
    let table = SignalTable::default();
    let model = load(&table);
    let plan = FeaturePlan::compile(model.contract().features.iter().map(String::as_str), &table).unwrap();
    let limits = WindowLimits::new(plan.keep(), 64 << 10);
    let mut window = Window::default();
    let mut readings = (0..).map(|round| a_reading(&VehicleId::new("truck-7").unwrap(), 7, round));
    for reading in readings.by_ref().take(WARM_UP_ROUNDS) {
        window.insert(&reading, &limits);
    }
    let mut row = vec![0.0; plan.width()];
    let mut group = criterion.benchmark_group("window");
    group.throughput(Throughput::Elements(1));
    group.bench_function("feature row, 20 features over 5 min at 30 s", |bencher| {
        let as_of = AsOf {
            window: &window,
            step: window.len() - 1,
            profile: &Profile::default(),
            cohort: None,
            quality: &Quality::default(),
        };
        bencher.iter(|| plan.fill_row(black_box(&as_of), &mut row));
    });
    let mut later = readings.take(10_000).collect::<Vec<_>>().into_iter().cycle();
    group.bench_function("insert, 10 signals and a position", |bencher| {
        bencher.iter_custom(|count| {
            let mut window = window.clone();
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                let reading = later.next().unwrap();
                let is_over = window.newest().is_some_and(|newest| reading.recorded_at < newest);
                if is_over {
                    window = Window::default();
                }
                let began = Instant::now();
                black_box(window.insert(&reading, &limits));
                spent += began.elapsed();
            }
            spent
        });
    });
    group.finish();
}

fn lane_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane step");
    for with_model in [false, true] {
        for batch_readings in [1, 64, 512] {
            let mut fleet = SyntheticFleet::new(with_model, batch_readings);
            group.throughput(Throughput::Elements(batch_readings as u64));
            let model = if with_model { "autoencoder of 20 features" } else { "no model" };
            group.bench_function(format!("{model}, batch {batch_readings}"), |bencher| {
                bencher.iter_custom(|steps| (0..steps).map(|_| fleet.step()).sum());
            });
        }
    }
    group.finish();
}

/// A lane with vehicles whose windows are full.
struct SyntheticFleet {
    lane: Lane,
    ids: Vec<VehicleId>,
    batch_readings: usize,
    next: usize,
    batch: Batch,
}

impl SyntheticFleet {
    fn new(with_model: bool, batch_readings: usize) -> Self {
        let table = Arc::new(SignalTable::default());
        let models = if with_model { vec![load(&table)] } else { Vec::new() };
        let scoring = Scoring::new(models, &table, 512).unwrap();
        let parts = LaneParts {
            table,
            scoring,
            checks: Arc::default(),
            records: Records::default(),
            window_bytes: 64 << 10,
            checkpoint_groups: 10,
        };
        let ids = (0..VEHICLES).map(|vehicle| VehicleId::new(&format!("vehicle-{vehicle}")).unwrap()).collect();
        let lane = Lane::new(parts, &[0; SLOTS as usize]);
        let mut fleet = Self { lane, ids, batch_readings: 512, next: 0, batch: Batch::new() };
        while fleet.next < VEHICLES * WARM_UP_ROUNDS {
            fleet.step();
        }
        fleet.batch_readings = batch_readings;
        fleet
    }

    /// Making the deliveries is not counted; the allocator frees them within the step, as it does in life.
    fn step(&mut self) -> Duration {
        let mut deliveries: Vec<Delivery> = (self.next..self.next + self.batch_readings)
            .map(|index| {
                let vehicle = index % VEHICLES;
                let reading = a_reading(&self.ids[vehicle], vehicle, index / VEHICLES);
                let slot = reading.vehicle_id.slot();
                Delivery { slot, readings: vec![reading], quarantined: Vec::new(), receipt: Receipt::new().0 }
            })
            .collect();
        self.next += self.batch_readings;
        let mut newest = Vec::with_capacity(self.batch_readings);
        let began = Instant::now();
        self.lane.assess(&mut deliveries, &mut self.batch, &mut newest);
        let spent = began.elapsed();
        self.batch.clear();
        spent
    }
}

fn load(table: &SignalTable) -> Model {
    let runtime = Runtime::load(&find_library(Path::new(""))).expect("run `make fetch`");
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/models/{MODEL}.onnx"))).unwrap();
    Model::load(&runtime, &file, table).unwrap()
}

/// Every 30 s, each vehicle at its own moment and with its own values; engine and vehicle speed and three temperatures among them.
fn a_reading(id: &VehicleId, vehicle: usize, round: usize) -> Reading {
    let micros = i64::try_from(round * 30_000_000 + (vehicle * 7_919 + round * 104_729) % 900_000).unwrap();
    let recorded_at = Timestamp::from_micros(1_764_000_000_000_000 + micros);
    let mut signals = SignalValues::default();
    for index in 0..SIGNALS {
        let value = ((vehicle * 31 + round * 17 + index * 7) % 97) as f32;
        signals.set(SignalId::from_index(index).unwrap(), value);
    }
    let mut position = Position::new(49.0 + (round % 1_000) as f64 * 1e-4, 8.4).unwrap();
    position.heading_deg = Some(10.0);
    let mut reading =
        Reading { sequence: Some(round as u64), position: Some(position), signals, ..Reading::bare(id.clone(), recorded_at) };
    reading.fingerprint = reading.compute_fingerprint();
    reading
}

criterion_group!(benches, feature_row, lane_step);
criterion_main!(benches);

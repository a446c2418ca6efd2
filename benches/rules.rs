//! What all rules together cost a reading: a healthy simulated fleet, one batch of 100 vehicles a pass.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use odograph::analytics::alerting::{Episodes, Seen};
use odograph::analytics::claim::Claim;
use odograph::analytics::rules::{Context, RuleMemory, Rules};
use odograph::analytics::vehicle::Vehicle;
use odograph::analytics::window::WindowLimits;
use odograph::domain::{Reading, Timing};
use odograph::settings;
use odograph::simulator::fleet::{Fleet, Options, blank_reading};
use odograph::simulator::illness::RandomFaults;

const VEHICLES: u32 = 100;
const READINGS: usize = 200;

struct Watched {
    vehicle: Vehicle,
    memory: RuleMemory,
    episodes: Episodes,
    /// The newest reading, and the step of the window where it stands.
    reading: Reading,
    step: usize,
}

fn fleet() -> Vec<Watched> {
    let options = Options {
        vehicles: VEHICLES,
        seed: 5,
        start: "2026-11-03T09:00:00Z".parse().expect("a time"),
        every: Duration::from_secs(30),
        faults: RandomFaults::none(),
        plans: Vec::new(),
    };
    let limits = WindowLimits::new(Duration::from_mins(10), 64 << 10);
    let Fleet { world, vehicles } = Fleet::new(&options);
    let watch = |mut simulated: odograph::simulator::vehicle::Vehicle| {
        let mut reading = blank_reading();
        let mut vehicle = Vehicle::default();
        let mut step = 0;
        for _ in 0..READINGS {
            simulated.next_reading(&world, &mut reading);
            reading.fingerprint = reading.compute_fingerprint();
            step = vehicle.place(&reading, &limits).and_then(|placed| placed.step).expect("in order");
        }
        Watched { vehicle, memory: RuleMemory::default(), episodes: Episodes::default(), reading, step }
    };
    vehicles.into_iter().map(watch).collect()
}

fn rules(criterion: &mut Criterion) {
    let rules = Rules::new(&settings::Rules::default()).expect("the shipped rules");
    let mut fleet = fleet();
    let (mut claims, mut events): (Vec<Claim>, Vec<_>) = (Vec::new(), Vec::new());
    let mut group = criterion.benchmark_group("rules");
    group.throughput(Throughput::Elements(u64::from(VEHICLES)));
    group.bench_function("check and observe", |bencher| {
        bencher.iter(|| {
            for watched in &mut fleet {
                let Watched { vehicle, memory, episodes, reading, step } = watched;
                // The same moment again would be no step forward.
                reading.recorded_at = reading.recorded_at.plus(Duration::from_secs(30));
                let context = Context { reading, timing: Timing::InOrder, window: &vehicle.window, step: *step, record: None };
                claims.clear();
                rules.check(&context, memory, |key| episodes.follows(key), &mut claims);
                let seen =
                    Seen { vehicle_id: &reading.vehicle_id, reading, timing: Timing::InOrder, arrival: 1, configuration: 1 };
                black_box(episodes.observe(&seen, &claims, &mut events));
                events.clear();
            }
        });
    });
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);

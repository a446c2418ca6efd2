//! What a reading costs the archive, and what its history costs whoever asks: `cargo bench --bench archive`, or with the names of archives and
//! parts behind `--`: `sqlite`, `postgres-tcp`, `postgres-socket`; `store`, `touch`, `day`.
//!
//! `store`: 10,000 vehicles in random order, each every 30 s, into an archive that has a history already; 17 signals, a position and a score a
//! reading. `touch`: the same by turns into an hour that is being summed up, where every reading touches its hour again, as the first of a
//! vehicle in each hour does. `day`: 1,000 vehicles, each every 30 s for 24 hours, then the day of one vehicle after another, whole, and in
//! buckets from readings and summed up. No criterion: a transaction is no micro-benchmark, and CPU time is what the budget counts. The
//! PostgreSQL server is one of its own, as Debian sets it up, with fsync.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "numbers of rows and of hundredths are small")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use odograph::bench::postgres::{Promise, Server, run_sql};
use odograph::domain::{
    Assessment, Ignition, ModelScore, Position, Quality, Reading, SignalId, SignalTable, SignalValues, Timestamp, Timing,
    VehicleId,
};
use odograph::storage::{ArchiveAddress, ArchiveRecord, BucketLength, BucketsQuery, ReadingsQuery, SharedStore, open};
use odograph::wire::record::Record;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rustix::time::{ClockId, clock_gettime};

const ARCHIVES: [&str; 3] = ["sqlite", "postgres-tcp", "postgres-socket"];
const PARTS: [&str; 3] = ["store", "touch", "day"];
const VEHICLES: usize = 10_000;
const HISTORY: usize = 300_000;
const MEASURED: usize = 200_000;
/// Of part `day`.
const VEHICLES_OF_DAY: usize = 1_000;
const READINGS_OF_DAY: usize = 2_880;
const ASKED: usize = 200;
/// 2026-11-24T00:00:00Z.
const MIDNIGHT: i64 = 1_795_478_400_000_000;

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str, all: &[&str]| {
        let chosen = named.iter().any(|named| named == name);
        chosen || !named.iter().any(|named| all.contains(&named.as_str()))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        for name in ARCHIVES.into_iter().filter(|name| is_wanted(name, &ARCHIVES)) {
            for batch in [100, 1_000, 5_000].into_iter().filter(|_| is_wanted("store", &PARTS)) {
                store(&Place::new(name), batch).await;
            }
            if is_wanted("touch", &PARTS) {
                touch(&Place::new(name)).await;
            }
            if is_wanted("day", &PARTS) {
                day(&Place::new(name)).await;
            }
        }
    });
}

/// Where an archive is, for as long as it is measured.
struct Place {
    name: &'static str,
    folder: tempfile::TempDir,
    server: Option<Server>,
}

impl Place {
    fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
        let server = (name != "sqlite").then(|| Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}")));
        Self { name, folder, server }
    }

    async fn open(&self) -> SharedStore {
        let url = match &self.server {
            None => String::new(),
            Some(server) if self.name == "postgres-tcp" => server.url("postgres"),
            Some(server) => server.socket_url("postgres"),
        };
        let address = ArchiveAddress::read(&url, self.folder.path()).expect("it is an address");
        open(address, Arc::new(SignalTable::default())).await.expect("it opens")
    }

    fn bytes(&self) -> u64 {
        match &self.server {
            None => std::fs::metadata(self.folder.path().join("archive.sqlite")).map_or(0, |metadata| metadata.len()),
            Some(server) => {
                let size = run_sql(&server.url("postgres"), "select pg_database_size(current_database())").expect("it answers");
                size.parse().expect("it is a number")
            }
        }
    }
}

async fn store(place: &Place, batch: usize) {
    let archive = place.open().await;
    let mut fleet = Fleet::new(VEHICLES);
    for _ in 0..HISTORY / 4_000 {
        archive.store(&fleet.next(4_000)).await.expect("it stores");
    }
    let (mut cpu, mut times) = (Duration::ZERO, Vec::new());
    for _ in 0..MEASURED / batch {
        let records = fleet.next(batch);
        let (started, cpu_before) = (Instant::now(), cpu_time());
        archive.store(&records).await.expect("it stores");
        cpu += cpu_time().saturating_sub(cpu_before);
        times.push(started.elapsed());
    }
    let wall: Duration = times.iter().sum();
    times.sort_unstable();
    println!(
        "{} store {batch:>4}: {:>7.0} rows/s, transaction p50 {:.1?} p99 {:.1?} max {:.1?}, {:.2} µs of our CPU a row, {} bytes a row",
        place.name,
        MEASURED as f64 / wall.as_secs_f64(),
        percentile(&times, 50),
        percentile(&times, 99),
        percentile(&times, 100),
        cpu.as_secs_f64() * 1e6 / MEASURED as f64,
        place.bytes() / (HISTORY + MEASURED) as u64,
    );
    archive.close().await;
}

/// In rounds of a time and a half of a fleet each, so that the machine's moods meet both alike.
async fn touch(place: &Place) {
    const ROUNDS: usize = 12;
    const BATCH: usize = 1_000;
    let (usual, summing) = (place.open().await, Place::new(place.name));
    let summing = summing.open().await;
    let (mut to_usual, mut to_summing) = (Fleet::new(VEHICLES), Fleet::new(VEHICLES));
    // Everything that comes is for an hour that is said to be over.
    let over = Timestamp::from_micros(MIDNIGHT + 86_400_000_000);
    summing.sum_up(over, 1).await.expect("it sums up");
    for _ in 0..VEHICLES * 6 / BATCH {
        usual.store(&to_usual.next(BATCH)).await.expect("it stores");
        summing.store(&to_summing.next(BATCH)).await.expect("it stores");
    }
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let mut cpu = [Duration::ZERO; 2];
        for _ in 0..VEHICLES * 3 / 2 / BATCH {
            for (cpu, (archive, fleet)) in cpu.iter_mut().zip([(&usual, &mut to_usual), (&summing, &mut to_summing)]) {
                let records = fleet.next(BATCH);
                let before = cpu_time();
                archive.store(&records).await.expect("it stores");
                *cpu += cpu_time().saturating_sub(before);
            }
        }
        ratios.push(cpu[1].as_secs_f64() / cpu[0].as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{} touch: a reading that touches its hour costs {:.3} times the CPU of one that does not ({:.3} to {:.3} in {ROUNDS} rounds)",
        place.name,
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
    );
    usual.close().await;
    summing.close().await;
}

async fn day(place: &Place) {
    let archive = place.open().await;
    let mut fleet = Fleet::new(VEHICLES_OF_DAY);
    let rows = VEHICLES_OF_DAY * READINGS_OF_DAY;
    let started = Instant::now();
    for _ in 0..rows / 4_000 {
        archive.store(&fleet.next(4_000)).await.expect("it stores");
    }
    let filled = started.elapsed();
    for limit in [1_000, 10_000] {
        let (mut times, mut readings) = (Vec::new(), 0);
        for number in (0..VEHICLES_OF_DAY).step_by(VEHICLES_OF_DAY / ASKED) {
            let started = Instant::now();
            let page = archive.readings(&day_of(number, limit)).await.expect("it answers").expect("it has readings");
            times.push(started.elapsed());
            readings += page.readings.len();
        }
        times.sort_unstable();
        println!(
            "{} day: {rows} rows stored in {filled:.1?}; {} readings of a vehicle in p50 {:.1?} p99 {:.1?}",
            place.name,
            readings / ASKED,
            percentile(&times, 50),
            percentile(&times, 99),
        );
    }
    buckets(place.name, "from readings", &archive).await;
    let (started, cpu_before) = (Instant::now(), cpu_time());
    while archive.sum_up(Timestamp::from_micros(MIDNIGHT + 2 * 86_400_000_000), 64).await.expect("it sums up") > 0 {}
    let cpu = cpu_time().saturating_sub(cpu_before);
    println!(
        "{} day: summed up in {:.1?}, {:.2} µs of our CPU a row",
        place.name,
        started.elapsed(),
        cpu.as_secs_f64() * 1e6 / rows as f64
    );
    buckets(place.name, "from summaries", &archive).await;
    archive.close().await;
}

async fn buckets(name: &str, from: &str, archive: &SharedStore) {
    let every = BucketLength::new(Duration::from_mins(15)).expect("it is whole seconds");
    let (mut times, mut found) = (Vec::new(), 0);
    for number in (0..VEHICLES_OF_DAY).step_by(VEHICLES_OF_DAY / ASKED) {
        let ReadingsQuery { vehicle_id, from, to, limit, .. } = day_of(number, 1_000);
        let (from, to) = (from.expect("it has one"), to.expect("it has one"));
        let query = BucketsQuery { vehicle_id, from, to, every, next: None, limit };
        let started = Instant::now();
        let page = archive.buckets(&query).await.expect("it answers").expect("it has readings");
        times.push(started.elapsed());
        found += page.buckets.len();
    }
    times.sort_unstable();
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    println!("{name} day: {} buckets of a vehicle {from} in p50 {p50:.1?} p99 {p99:.1?}", found / ASKED);
}

fn day_of(number: usize, limit: u32) -> ReadingsQuery {
    let vehicle_id = VehicleId::new(&format!("vehicle-{number:05}")).expect("it is an id");
    let (from, to) = (Timestamp::from_micros(MIDNIGHT), Timestamp::from_micros(MIDNIGHT + 86_400_000_000));
    ReadingsQuery { vehicle_id, from: Some(from), to: Some(to), after: None, limit }
}

/// Of sorted times.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

struct Fleet {
    random: StdRng,
    ids: Vec<VehicleId>,
    sent: usize,
}

impl Fleet {
    fn new(vehicles: usize) -> Self {
        let ids = (0..vehicles).map(|number| VehicleId::new(&format!("vehicle-{number:05}")).expect("it is an id"));
        Self { random: StdRng::seed_from_u64(1), ids: ids.collect(), sent: 0 }
    }

    fn next(&mut self, count: usize) -> Vec<ArchiveRecord> {
        (0..count).map(|_| self.one()).collect()
    }

    fn one(&mut self) -> ArchiveRecord {
        let turn = self.sent % self.ids.len();
        if turn == 0 {
            self.ids.shuffle(&mut self.random);
        }
        let vehicle_id = self.ids[turn].clone();
        self.sent += 1;
        // One turn takes 30 s; clocks and ways differ by up to 5 s.
        let sent_at = MIDNIGHT + self.sent as i64 * 30_000_000 / self.ids.len() as i64;
        let recorded_at = sent_at - self.random.random_range(0..5_000_000);
        let mut signals = SignalValues::default();
        for index in (0..17).map(|step| step * 2 % 33) {
            let id = SignalId::from_index(index).expect("it is below 64");
            signals.set(id, self.random.random_range(0..20_000) as f32 / 100.0);
        }
        let mut position =
            Position::new(self.random.random_range(45.0..55.0), self.random.random_range(5.0..15.0)).expect("on Earth");
        position.heading_deg = Some(self.random.random_range(0..3_600) as f32 / 10.0);
        let score = self.random.random();
        let assessment = Assessment {
            arrival: self.sent as u64,
            timing: Timing::InOrder,
            scores: vec![ModelScore {
                model: "isolation_forest".into(),
                version: "1.0.0".into(),
                score,
                raw: self.random.random(),
                tail_probability: f64::from(1.0 - score),
            }],
            not_scored: None,
            quality: Quality::default(),
            lost_before_us: 0,
            findings: Vec::new(),
            revision: 3,
            reading: Reading {
                received_at: Timestamp::from_micros(sent_at),
                fingerprint: self.random.random(),
                sequence: Some((self.sent / self.ids.len()) as u64),
                position: Some(position),
                signals,
                ignition: Some(Ignition::On),
                ..Reading::bare(vehicle_id.clone(), Timestamp::from_micros(recorded_at))
            },
        };
        ArchiveRecord { slot: vehicle_id.slot(), arrival: assessment.arrival, record: Record::Assessment(Box::new(assessment)) }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

//! What a reading costs the archive: `cargo bench --bench archive`. 10,000 vehicles in random order, each every 30 s, over a file that
//! has a history already; 17 signals, a position and a score a reading. No criterion: a transaction is no micro-benchmark, and CPU time
//! is what the budget counts.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "numbers of rows and of hundredths are small")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use odograph::domain::{
    Assessment, Ignition, ModelScore, Position, Quality, Reading, SignalId, SignalTable, SignalValues, Timestamp, Timing,
    VehicleId,
};
use odograph::storage::{Archive, ArchiveRecord, ReadingArchive, ReadingsQuery, SqliteArchive};
use odograph::wire::record::Record;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rustix::time::{ClockId, clock_gettime};

const VEHICLES: usize = 10_000;
const HISTORY: usize = 300_000;
const MEASURED: usize = 200_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        for batch in [100, 1_000, 4_000] {
            measure(batch).await;
        }
    });
}

async fn measure(batch: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
    let file = folder.path().join("archive.sqlite");
    let archive = SqliteArchive::open(&file, Arc::new(SignalTable::default())).await.expect("it opens");
    let mut fleet = Fleet::new();
    for _ in 0..HISTORY / 4_000 {
        archive.store(&fleet.next(4_000)).await.expect("it stores");
    }
    let (mut wall, mut cpu) = (Duration::ZERO, Duration::ZERO);
    let mut slowest = Duration::ZERO;
    for _ in 0..MEASURED / batch {
        let records = fleet.next(batch);
        let (started, cpu_before) = (Instant::now(), cpu_time());
        archive.store(&records).await.expect("it stores");
        cpu += cpu_time().saturating_sub(cpu_before);
        wall += started.elapsed();
        slowest = slowest.max(started.elapsed());
    }
    let (page, of_history) = history(&archive).await;
    println!(
        "batch {batch:>4}: {:>7.0} rows/s, {:.2} µs CPU a row, slowest transaction {slowest:.1?}, {} bytes a row; {page} readings of one vehicle in {of_history:.2?}",
        MEASURED as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / MEASURED as f64,
        size(&file) / (HISTORY + MEASURED) as u64,
    );
    archive.close().await;
}

async fn history(archive: &SqliteArchive) -> (usize, Duration) {
    let vehicle_id = VehicleId::new("vehicle-00077").expect("it is an id");
    let query = ReadingsQuery { vehicle_id, from: None, to: None, after: None, limit: 1_000 };
    let started = Instant::now();
    let page = archive.readings(&query).await.expect("it answers").expect("it has readings");
    (page.readings.len(), started.elapsed())
}

struct Fleet {
    random: StdRng,
    ids: Vec<VehicleId>,
    sent: usize,
}

impl Fleet {
    fn new() -> Self {
        let ids = (0..VEHICLES).map(|number| VehicleId::new(&format!("vehicle-{number:05}")).expect("it is an id"));
        Self { random: StdRng::seed_from_u64(1), ids: ids.collect(), sent: 0 }
    }

    fn next(&mut self, count: usize) -> Vec<ArchiveRecord> {
        (0..count).map(|_| self.one()).collect()
    }

    fn one(&mut self) -> ArchiveRecord {
        let turn = self.sent % VEHICLES;
        if turn == 0 {
            self.ids.shuffle(&mut self.random);
        }
        let vehicle_id = self.ids[turn].clone();
        self.sent += 1;
        // One turn takes 30 s; clocks and ways differ by up to 5 s.
        let sent_at = 1_795_478_400_000_000 + self.sent as i64 * 30_000_000 / VEHICLES as i64;
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
                sequence: Some((self.sent / VEHICLES) as u64),
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

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

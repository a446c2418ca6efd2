//! R7 over the line in one process: lane, journal and SQLite archive are the real ones, and the order is what chance makes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use odograph::analytics::blueprint::Records;
use odograph::analytics::lane::{Lane, LaneParts};
use odograph::analytics::library::find_library;
use odograph::analytics::model::{Model, Runtime};
use odograph::analytics::scoring::Scoring;
use odograph::domain::{
    Assessment, Delivery, Position, Reading, Receipt, SLOTS, SignalTable, SignalValues, Timestamp, VehicleId, signal,
};
use odograph::journal::{Batch, Journal};
use odograph::settings::{self, ByteSize};
use odograph::storage::{ArchiveRecord, ArchiveStore, ReadingArchive, ReadingsQuery, SqliteArchive};
use odograph::tasks::Tasks;
use odograph::wire::record::decode_record;
use proptest::prelude::*;
use proptest::sample::Index;

/// Each of them opens a journal and an archive.
const CASES: u32 = 24;
const VEHICLES: [&str; 2] = ["truck-7", "bus-1"];

/// Vehicle, seconds to its last reading (0: the same moment again), speed.
type Sent = (usize, i64, u8);

fn readings_of(sent: &[Sent]) -> Vec<Reading> {
    let mut seconds = [0; VEHICLES.len()];
    let reading = |(sequence, (vehicle, later, speed)): (usize, &Sent)| {
        seconds[*vehicle] += later;
        let recorded_at = Timestamp::from_micros(1_795_478_400_000_000 + seconds[*vehicle] * 1_000_000);
        let mut signals = SignalValues::default();
        signals.set(signal::SPEED, f32::from(*speed));
        signals.set(signal::ENGINE_SPEED, 900.0 + 20.0 * f32::from(*speed));
        // The model takes its mean over five minutes: what stands in the window shows in the scores.
        signals.set(signal::COOLANT_TEMPERATURE, 70.0 + f32::from(*speed) / 4.0);
        let mut reading = Reading {
            sequence: Some(sequence as u64),
            position: Some(Position::new(49.0 + f64::from(*speed) / 1e3, 8.4).unwrap()),
            signals,
            ..Reading::bare(VehicleId::new(VEHICLES[*vehicle]).unwrap(), recorded_at)
        };
        reading.fingerprint = reading.compute_fingerprint();
        reading
    };
    sent.iter().enumerate().map(reading).collect()
}

fn lane(table: &Arc<SignalTable>) -> Lane {
    let runtime = Runtime::load(&find_library(Path::new(""))).expect("run `make fetch`");
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/autoencoder.onnx")).unwrap();
    let models = vec![Model::load(&runtime, &file, table).unwrap()];
    let parts = LaneParts {
        table: Arc::clone(table),
        scoring: Scoring::new(models, table, 16).unwrap(),
        checks: Arc::default(),
        records: Records::default(),
        window_bytes: 64 << 10,
        checkpoint_groups: 10,
    };
    Lane::new(parts, &[0; SLOTS as usize])
}

/// What the archive has of the stream, delivered in messages of `together`, in the order of the archive's own identity.
async fn stored(stream: Vec<Reading>, together: usize) -> BTreeMap<(String, i64, u64), Assessment> {
    let folder = tempfile::tempdir().unwrap();
    let (table, tasks) = (Arc::new(SignalTable::default()), Tasks::default());
    let settings = settings::Journal { segment: ByteSize::from_kib(256), max: ByteSize::from_mib(16) };
    let (journal, _recovery) = Journal::open(&folder.path().join("journal"), &settings, &tasks).unwrap();
    let archive = SqliteArchive::open(&folder.path().join("archive.sqlite"), Arc::clone(&table)).await.unwrap();
    let mut lane = lane(&table);
    let mut promises = Vec::new();
    let mut waiting = Vec::new();
    for readings in stream.chunk_by(|left, right| left.vehicle_id == right.vehicle_id) {
        for readings in readings.chunks(together) {
            let (receipt, promise) = Receipt::new();
            let slot = readings[0].vehicle_id.slot();
            waiting.push(Delivery { slot, readings: readings.to_vec(), quarantined: Vec::new(), receipt });
            promises.push(promise);
        }
        if waiting.len() >= together {
            let mut batch = Batch::new();
            lane.assess(&mut waiting, &mut batch, &mut Vec::new());
            journal.submit(batch).unwrap();
        }
    }
    let mut batch = Batch::new();
    lane.assess(&mut waiting, &mut batch, &mut Vec::new());
    journal.submit(batch).unwrap();
    for promise in promises {
        promise.await.expect("everything is promised");
    }
    let frames = journal.reader("archive").unwrap().next(usize::MAX).unwrap();
    let record = |frame: &odograph::journal::Frame| ArchiveRecord {
        slot: frame.slot,
        arrival: frame.arrival,
        record: decode_record(&frame.payload, frame.arrival, &table).unwrap(),
    };
    archive.store(&frames.iter().map(record).collect::<Vec<_>>()).await.unwrap();
    let mut all = BTreeMap::new();
    for id in VEHICLES {
        let vehicle_id = VehicleId::new(id).unwrap();
        let query = ReadingsQuery { vehicle_id, from: None, to: None, after: None, limit: 1_000 };
        let page = archive.readings(&query).await.unwrap();
        for assessment in page.map_or_else(Vec::new, |page| page.readings) {
            let key = (id.to_owned(), assessment.reading.recorded_at.as_micros(), assessment.reading.fingerprint);
            assert!(all.insert(key, assessment).is_none(), "twice");
        }
    }
    archive.close().await;
    drop(journal);
    tasks.finished().await.unwrap();
    all
}

fn run(stream: Vec<Reading>, together: usize) -> BTreeMap<(String, i64, u64), Assessment> {
    tokio::runtime::Runtime::new().unwrap().block_on(stored(stream, together))
}

/// Identity and content of what is stored.
fn contents(stored: &BTreeMap<(String, i64, u64), Assessment>) -> Vec<&Reading> {
    stored.values().map(|assessment| &assessment.reading).collect()
}

/// What was made of each, bit by bit.
fn judgements(stored: &BTreeMap<(String, i64, u64), Assessment>) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let judged = |assessment: &Assessment| {
        let scores: Vec<_> = assessment.scores.iter().map(|score| (score.score.to_bits(), score.raw.to_bits())).collect();
        (scores, assessment.not_scored, assessment.timing, assessment.quality, assessment.lost_before_us)
    };
    stored.values().map(judged).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_permutation_and_repetition_of_a_stream_stores_the_same_set(
        sent in prop::collection::vec((0..2_usize, prop_oneof![2 => Just(0_i64), 2 => 1..60_i64, 1 => 500..1_500_i64], 0..130_u8), 1..40),
        repeated in prop::collection::vec(any::<Index>(), 0..40),
        places in prop::collection::vec(any::<u64>(), 80),
        together in 1..7_usize,
    ) {
        let readings = readings_of(&sent);
        let clean = run(readings.clone(), 1);
        prop_assert_eq!(clean.len(), readings.len());
        let mut stream = readings.clone();
        stream.extend(repeated.iter().map(|index| index.get(&readings).clone()));
        let mut shuffled: Vec<(u64, Reading)> = places.into_iter().zip(stream).collect();
        shuffled.sort_by_key(|(place, _)| *place);
        let moved: Vec<Reading> = shuffled.into_iter().map(|(_, reading)| reading).collect();
        let stored = run(moved, together);
        prop_assert_eq!(contents(&stored), contents(&clean));
    }

    #[test]
    fn duplicates_and_replays_change_no_score(
        sent in prop::collection::vec((0..2_usize, prop_oneof![2 => Just(0_i64), 2 => 1..60_i64, 1 => 500..1_500_i64], 0..130_u8), 1..40),
        repeated in prop::collection::vec((any::<Index>(), any::<Index>()), 0..40),
        replays_all in any::<bool>(),
        together in 1..7_usize,
    ) {
        let readings = readings_of(&sent);
        let clean = run(readings.clone(), 1);
        // Each copy comes somewhere behind its original.
        let mut after: BTreeMap<usize, Vec<Reading>> = BTreeMap::new();
        for (original, place) in repeated {
            let original = original.index(readings.len());
            let place = original + place.index(readings.len() - original);
            after.entry(place).or_default().push(readings[original].clone());
        }
        let mut stream = Vec::new();
        for (index, reading) in readings.iter().enumerate() {
            stream.push(reading.clone());
            stream.extend(after.remove(&index).unwrap_or_default());
        }
        if replays_all {
            stream.extend(readings.iter().cloned());
        }
        let stored = run(stream, together);
        prop_assert_eq!(contents(&stored), contents(&clean));
        prop_assert_eq!(judgements(&stored), judgements(&clean));
    }
}

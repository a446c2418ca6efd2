//! The archive against real files: every value comes back, nothing is stored twice.

use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::signal::{self, SIGNALS};
use crate::domain::{
    AlertKey, Assessment, Finding, Ignition, ModelScore, NotScored, Position, PositionVerdict, Quality, Reading, RejectedSignal,
    Rejection, Severity, Signal, SignalId, SignalValues, Timestamp, Timing, VehicleId,
};
use crate::wire::record::Record;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-24T00:00:00Z.
pub(crate) const MIDNIGHT: i64 = 1_795_478_400_000_000;

pub(crate) async fn an_archive() -> (TempDir, SqliteArchive) {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(&folder).await;
    (folder, archive)
}

pub(super) async fn open(folder: &TempDir) -> SqliteArchive {
    SqliteArchive::open(&folder.path().join("archive.sqlite"), table()).await.unwrap()
}

/// With one declared signal.
fn table() -> Arc<SignalTable> {
    let mut signals = SIGNALS.to_vec();
    signals.push(Signal {
        name: "cargo_temperature_celsius",
        unit: "celsius",
        vss_path: "",
        plausible: (-90.0, 90.0),
        hold: None,
    });
    Arc::new(SignalTable::new(signals))
}

pub(crate) fn at(recorded_at: i64) -> Assessment {
    let mut signals = SignalValues::default();
    signals.set(signal::SPEED, 63.2);
    Assessment {
        arrival: 1,
        timing: Timing::InOrder,
        scores: Vec::new(),
        not_scored: Some(NotScored::NoModel),
        quality: Quality::default(),
        lost_before_us: 0,
        findings: Vec::new(),
        revision: 0,
        reading: Reading {
            vehicle_id: VehicleId::new("truck-7").unwrap(),
            recorded_at: Timestamp::from_micros(recorded_at),
            received_at: Timestamp::from_micros(recorded_at + 20_000),
            fingerprint: recorded_at.unsigned_abs().rotate_left(17),
            boot_id: None,
            sequence: None,
            position: None,
            odometer_m: None,
            signals,
            ignition: None,
            dtcs: Vec::new(),
            extras: Vec::new(),
            rejected: Vec::new(),
        },
    }
}

pub(crate) fn by(vehicle_id: &str, recorded_at: i64) -> Assessment {
    let mut assessment = at(recorded_at);
    assessment.reading.vehicle_id = VehicleId::new(vehicle_id).unwrap();
    assessment
}

pub(crate) fn record(assessment: &Assessment) -> ArchiveRecord {
    let slot = assessment.reading.vehicle_id.slot();
    ArchiveRecord { slot, arrival: assessment.arrival, record: Record::Assessment(Box::new(assessment.clone())) }
}

pub(crate) fn all_of(vehicle_id: &str, limit: u32) -> ReadingsQuery {
    ReadingsQuery { vehicle_id: VehicleId::new(vehicle_id).unwrap(), from: None, to: None, after: None, limit }
}

async fn history(archive: &SqliteArchive, vehicle_id: &str) -> Vec<Assessment> {
    archive.readings(&all_of(vehicle_id, 10_000)).await.unwrap().map_or_else(Vec::new, |page| page.readings)
}

fn times(readings: &[Assessment]) -> Vec<i64> {
    readings.iter().map(|assessment| assessment.reading.recorded_at.as_micros()).collect()
}

fn a_full_assessment() -> Assessment {
    let mut full = at(MIDNIGHT + 123_456);
    for index in 0..=SIGNALS.len() {
        full.reading.signals.set(SignalId::from_index(index).unwrap(), 0.1 + f32::from(u8::try_from(index).unwrap()));
    }
    full.reading.odometer_m = Some(123_456_789.123);
    full.reading.signals.set(signal::ODOMETER, 123_456_790.0);
    let mut position = Position::new(49.012_345_678, -8.404_1).unwrap();
    (position.altitude_m, position.heading_deg, position.accuracy_m) = (Some(118.3), Some(271.5), Some(4.1));
    full.reading.position = Some(position);
    full.reading.fingerprint = u64::MAX - 5;
    full.reading.boot_id = Some(u64::MAX);
    full.reading.sequence = Some(4711);
    full.findings = vec![Finding {
        key: AlertKey::rule("overheating"),
        severity: Severity::Warning,
        is_raised: false,
        value: Some(109.5),
        limit: None,
    }];
    full.reading.ignition = Some(Ignition::Acc);
    full.reading.dtcs = vec!["P0301".into(), "U0100\u{0}\"".into()];
    full.reading.extras = vec![("door_state".into(), 1e-7), ("wiper".into(), -2.5)];
    full.reading.rejected = vec![RejectedSignal { name: "gear".into(), value: 99.5, rejection: Rejection::OutOfRange }];
    full.timing = Timing::Delayed;
    let score =
        |model: &str, score| ModelScore { model: model.into(), version: "1.2".into(), score, raw: 3e-9, tail_probability: 1e-12 };
    full.scores = vec![score("forest", 0.25), score("drift", 0.9)];
    full.not_scored = None;
    full.quality = Quality {
        stuck: 1 << signal::ENGINE_LOAD.index(),
        position: Some(PositionVerdict::Jump),
        is_clock_frozen: true,
        has_sequence_conflict: true,
    };
    full.lost_before_us = 12;
    full.arrival = u64::MAX / 2;
    full.revision = 7;
    full
}

#[tokio::test]
async fn a_reading_comes_back_as_it_was_stored() {
    let (folder, archive) = an_archive().await;
    let full = a_full_assessment();
    let plain = at(MIDNIGHT);
    let stored = archive.store(&[record(&full), record(&plain)]).await.unwrap();
    assert_eq!(stored, Stored { readings: 2, quarantined: 0, alert_events: 0, duplicates: 0 });
    assert_eq!(history(&archive, "truck-7").await, [plain.clone(), full.clone()]);
    archive.close().await;
    assert_eq!(history(&open(&folder).await, "truck-7").await, [plain, full], "and after a restart");
}

#[tokio::test]
async fn every_signal_of_the_table_has_its_column() {
    let (_folder, archive) = an_archive().await;
    let columns: Vec<(String,)> =
        sqlx::query_as("select name from pragma_table_info('readings')").fetch_all(&archive.0.readers).await.unwrap();
    let mut columns: Vec<&str> = columns.iter().map(|(name,)| name.as_str()).collect();
    let signals: Vec<&str> = SIGNALS.iter().map(|signal| signal.name).collect();
    let mut expected = [columns::REQUIRED, columns::OPTIONAL, &signals].concat();
    // Later migrations add theirs at the end.
    columns.sort_unstable();
    expected.sort_unstable();
    assert_eq!(columns, expected, "migrations and code list the same columns");
}

#[tokio::test]
async fn what_is_there_already_is_counted_and_not_stored_again() {
    let (folder, archive) = an_archive().await;
    let batch: Vec<ArchiveRecord> = (0..700).map(|step| record(&at(MIDNIGHT + step * 30_000_000))).collect();
    let first = archive.store(&batch).await.unwrap();
    assert_eq!(first, Stored { readings: 700, quarantined: 0, alert_events: 0, duplicates: 0 });
    let mut same_time = at(MIDNIGHT);
    same_time.reading.fingerprint += 1;
    archive.close().await;
    let archive = open(&folder).await;
    let again = archive.store(&[&batch[650..], &[record(&same_time)]].concat()).await.unwrap();
    assert_eq!(again, Stored { readings: 1, quarantined: 0, alert_events: 0, duplicates: 50 });
    assert_eq!(history(&archive, "truck-7").await.len(), 701);
}

#[tokio::test]
async fn pages_cover_a_sparse_history_in_order_and_without_gaps() {
    let (_folder, archive) = an_archive().await;
    // Dense at first, then silent for 40 days, then once an hour; another vehicle speaks all the time.
    let dense = (0..200).map(|step| MIDNIGHT + step * 5_000_000);
    let sparse = (0..300).map(|step| MIDNIGHT + 40 * 24 * HOUR + step * HOUR + step);
    let expected: Vec<i64> = dense.chain(sparse).collect();
    let own = expected.iter().map(|time| record(&at(*time)));
    let others = (0..500).map(|step| record(&by("van-1", MIDNIGHT + step * HOUR)));
    let mut batch: Vec<ArchiveRecord> = own.chain(others).collect();
    batch.reverse();
    archive.store(&batch).await.unwrap();
    for limit in [1, 7, 499, 500, 501] {
        let mut query = all_of("truck-7", limit);
        let mut seen = Vec::new();
        loop {
            let page = archive.readings(&query).await.unwrap().unwrap();
            assert!(page.readings.len() <= limit as usize);
            seen.extend(times(&page.readings));
            let Some(next) = page.next else { break };
            query.after = Some(next.to_string().parse().unwrap());
        }
        assert_eq!(seen, expected, "with {limit} a page");
    }
}

#[tokio::test]
async fn from_is_included_and_to_is_not() {
    let (_folder, archive) = an_archive().await;
    let batch: Vec<ArchiveRecord> = (0..10).map(|step| record(&at(MIDNIGHT + step * MINUTE))).collect();
    archive.store(&batch).await.unwrap();
    let mut query = all_of("truck-7", 100);
    query.from = Some(Timestamp::from_micros(MIDNIGHT + 3 * MINUTE));
    query.to = Some(Timestamp::from_micros(MIDNIGHT + 5 * MINUTE));
    let page = archive.readings(&query).await.unwrap().unwrap();
    assert_eq!(times(&page.readings), [MIDNIGHT + 3 * MINUTE, MIDNIGHT + 4 * MINUTE]);
    assert_eq!(archive.readings(&all_of("unheard-of", 1)).await.unwrap(), None);
}

#[tokio::test]
async fn the_newest_reading_is_not_one_ahead_of_our_clock() {
    let (_folder, archive) = an_archive().await;
    let mut future = at(MIDNIGHT + 23 * HOUR);
    future.timing = Timing::Future;
    let (mut earlier, mut later) = (at(MIDNIGHT), at(MIDNIGHT));
    (earlier.arrival, earlier.reading.fingerprint) = (4, u64::MAX / 2);
    (later.arrival, later.reading.fingerprint) = (5, 1);
    archive.store(&[record(&future), record(&later), record(&earlier)]).await.unwrap();
    archive.store(&[record(&by("a", MIDNIGHT)), record(&by("a", MIDNIGHT + 90 * MINUTE))]).await.unwrap();
    let ids = ["truck-7", "unheard-of", "a"].map(|id| VehicleId::new(id).unwrap());
    let newest = archive.newest_readings(&ids).await.unwrap();
    assert_eq!(newest, [by("a", MIDNIGHT + 90 * MINUTE), later]);
}

#[tokio::test]
async fn vehicles_are_listed_in_order_of_their_ids() {
    let (_folder, archive) = an_archive().await;
    archive.store(&["c", "a", "b"].map(|id| record(&by(id, MIDNIGHT)))).await.unwrap();
    let first = archive.vehicle_ids(None, 2).await.unwrap();
    assert_eq!(first, ["a", "b"].map(|id| VehicleId::new(id).unwrap()));
    assert_eq!(archive.vehicle_ids(first.last(), 2).await.unwrap(), [VehicleId::new("c").unwrap()]);
    assert_eq!(archive.count_vehicles().await.unwrap(), 3);
}

#[tokio::test]
async fn what_is_too_old_is_forgotten_in_steps_and_the_rest_stays() {
    let (_folder, archive) = an_archive().await;
    let batch: Vec<ArchiveRecord> = (0..300).map(|step| record(&at(MIDNIGHT + step * MINUTE))).collect();
    archive.store(&batch).await.unwrap();
    archive.store(&[record(&by("silent", MIDNIGHT))]).await.unwrap();
    let oldest = Timestamp::from_micros(MIDNIGHT + 150 * MINUTE);
    let mut steps = Vec::new();
    while steps.last() != Some(&0) {
        steps.push(archive.forget_readings(oldest, 100).await.unwrap());
    }
    assert_eq!(steps, [100, 51, 0]);
    archive.forget_hours(oldest).await.unwrap();
    let left = history(&archive, "truck-7").await;
    assert_eq!((left.len(), left[0].reading.recorded_at), (150, oldest));
    assert_eq!(history(&archive, "silent").await, []);
    // One that comes late after all is found again, though its hour was known before.
    archive.store(&[record(&by("silent", MIDNIGHT + 1))]).await.unwrap();
    assert_eq!(history(&archive, "silent").await.len(), 1);
}

#[tokio::test]
async fn a_refused_batch_leaves_nothing_behind_and_is_no_matter_of_time() {
    let (_folder, archive) = an_archive().await;
    archive
        .run_sql(
            "create trigger poison before insert on readings when new.sequence = 13 begin select raise(abort, 'poison'); end",
        )
        .await;
    let mut poison = by("never-seen", MIDNIGHT);
    poison.reading.sequence = Some(13);
    let error = archive.store(&[record(&by("new", MIDNIGHT)), record(&poison)]).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(archive.count_vehicles().await.unwrap(), 0);
    archive.store(&[record(&by("new", MIDNIGHT))]).await.unwrap();
    assert_eq!(history(&archive, "new").await.len(), 1, "numbers of the refused transaction are not remembered");
}

#[tokio::test]
async fn an_archive_of_a_newer_version_is_refused() {
    let (folder, archive) = an_archive().await;
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'x', 1, x'00', 0)";
    sqlx::query(newer).execute(&archive.0.writer).await.unwrap();
    archive.close().await;
    let error = SqliteArchive::open(&folder.path().join("archive.sqlite"), table()).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Migration { .. }), "{error}");
}

#[test]
fn an_address_that_is_no_file_is_refused() {
    let data = Path::new("/data");
    assert_eq!(file_of("", data).unwrap(), Path::new("/data/archive.sqlite"));
    assert_eq!(file_of("sqlite:///srv/a.db", data).unwrap(), Path::new("/srv/a.db"));
    assert!(file_of("postgres://x", data).is_err());
    assert!(file_of("sqlite://", data).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_repetition_of_records_stores_the_same_set(
        sent in prop::collection::vec((0..3_usize, 0..40_i64, 0..3_u64), 1..120),
        order in prop::collection::vec((any::<prop::sample::Index>(), 1..50_usize), 1..8),
    ) {
        let records: Vec<ArchiveRecord> = sent.iter().map(|(vehicle, step, fingerprint)| {
            let mut assessment = by(["a", "b", "c"][*vehicle], MIDNIGHT + step * 17_000_000);
            assessment.reading.fingerprint = *fingerprint;
            record(&assessment)
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, clean) = an_archive().await;
            clean.store(&records).await.unwrap();
            let (_other_folder, messy) = an_archive().await;
            for (start, length) in &order {
                let start = start.index(records.len());
                let end = (start + length).min(records.len());
                let mut part = records[start..end].to_vec();
                part.reverse();
                messy.store(&part).await.unwrap();
            }
            messy.store(&records).await.unwrap();
            for vehicle in ["a", "b", "c"] {
                let (left, right) = (history(&clean, vehicle).await, history(&messy, vehicle).await);
                prop_assert_eq!(left, right);
            }
            Ok(())
        })?;
    }
}

//! Buckets: what is summed up says what the readings say, whatever came late, twice, or not at all, and whenever it was summed up.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::Site;
use super::fixtures::{HOUR, MIDNIGHT, MINUTE, by, history, record, table};
use crate::domain::{Assessment, ModelScore, SignalId, SignalValues, Timestamp, VehicleId, signal};
use crate::storage::{
    ArchiveRecord, Bucket, BucketLength, BucketsQuery, SharedArchive, SharedStore, SignalSummary, Summary, retention, summaries,
};

const SECOND: i64 = 1_000_000;

pub(super) fn ask(vehicle_id: &str, range: (i64, i64), every_seconds: u64, limit: u32) -> BucketsQuery {
    let (from, to) = (Timestamp::from_micros(range.0), Timestamp::from_micros(range.1));
    let every = BucketLength::new(Duration::from_secs(every_seconds)).unwrap();
    BucketsQuery { vehicle_id: VehicleId::new(vehicle_id).unwrap(), from, to, every, next: None, limit }
}

/// All pages.
pub(super) async fn buckets(archive: &SharedArchive, mut query: BucketsQuery) -> Vec<Bucket> {
    let mut all = Vec::new();
    loop {
        let page = archive.buckets(&query).await.unwrap().unwrap();
        assert!(page.buckets.len() <= query.limit as usize);
        all.extend(page.buckets);
        let Some(next) = page.next else { return all };
        query.next = Some(next.to_string().parse().unwrap());
    }
}

async fn sum_up_all_before(archive: &SharedStore, micros: i64) {
    summaries::keep_up(archive, Timestamp::from_micros(micros)).await.unwrap();
}

fn with(mut assessment: Assessment, values: &[(SignalId, f32)], score: Option<f32>) -> Assessment {
    assessment.reading.signals = SignalValues::default();
    for (id, value) in values {
        assessment.reading.signals.set(*id, *value);
        if *id == signal::ODOMETER {
            assessment.reading.odometer_m = Some(f64::from(*value) + 0.125);
        }
    }
    if let Some(score) = score {
        let model = ModelScore { model: "forest".into(), version: "1".into(), score, raw: 0.5, tail_probability: 0.5 };
        (assessment.scores, assessment.not_scored) = (vec![model], None);
    }
    assessment
}

/// What the readings say, computed here.
fn expected(readings: &[Assessment], (from, to): (i64, i64), every_seconds: u64) -> Vec<Bucket> {
    let every = i64::try_from(every_seconds).unwrap() * SECOND;
    let mut groups: BTreeMap<i64, Vec<&Assessment>> = BTreeMap::new();
    for one in readings {
        let at = one.reading.recorded_at.as_micros();
        if (from..to).contains(&at) {
            groups.entry(at.div_euclid(every) * every).or_default().push(one);
        }
    }
    let sum = |(start, group): (i64, Vec<&Assessment>)| {
        let mut summary = Summary { readings: group.len() as u64, ..Summary::default() };
        summary.highest_score = group.iter().filter_map(|one| one.score()).reduce(f32::max);
        for (id, _) in table().iter() {
            let value = |one: &&Assessment| match one.reading.odometer_m {
                Some(odometer_m) if id == signal::ODOMETER => Some(odometer_m),
                _ => one.reading.signals.get(id).map(f64::from),
            };
            let values: Vec<f64> = group.iter().filter_map(value).collect();
            if !values.is_empty() {
                #[expect(clippy::cast_precision_loss, reason = "a few hundred readings")]
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(min, max), value| (min.min(*value), max.max(*value)));
                summary.signals.insert(id, SignalSummary { readings: values.len() as u64, mean, min, max });
            }
        }
        Bucket { start: Timestamp::from_micros(start), summary }
    };
    groups.into_iter().map(sum).collect()
}

/// Of the greatest value that is in a mean: f32 has 24 bits.
const TOLERANCE: f64 = 1e-6;

fn differs(found: &[Bucket], expected: &[Bucket]) -> Option<String> {
    let is_near = |a: &SignalSummary, b: &SignalSummary| {
        let most = TOLERANCE * b.min.abs().max(b.max.abs());
        [a.mean - b.mean, a.min - b.min, a.max - b.max].iter().all(|difference| difference.abs() <= most)
    };
    let same = |a: &Bucket, b: &Bucket| {
        let keys = a.summary.signals.keys().eq(b.summary.signals.keys());
        let signals = a.summary.signals.values().zip(b.summary.signals.values());
        let all_near = signals.clone().all(|(a, b)| is_near(a, b));
        let counts = signals.clone().all(|(a, b)| a.readings == b.readings);
        let head = |one: &Bucket| (one.start, one.summary.readings, one.summary.highest_score);
        head(a) == head(b) && keys && all_near && counts
    };
    let differing = found.iter().zip(expected).find(|(found, expected)| !same(found, expected));
    match differing {
        Some(pair) => Some(format!("{pair:?}")),
        None if found.len() == expected.len() => None,
        None => Some(format!("{} buckets instead of {}: {found:?}, {expected:?}", found.len(), expected.len())),
    }
}

pub(crate) async fn buckets_begin_at_multiples_of_their_length_and_say_what_their_readings_say<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let (speed, gear) = (signal::SPEED, signal::GEAR);
    let readings = [
        with(by("truck-7", MIDNIGHT - 1), &[(speed, 10.0)], Some(0.9)),
        with(by("truck-7", MIDNIGHT), &[(speed, 20.0), (gear, 2.0), (signal::ODOMETER, 1_000.0)], Some(0.25)),
        with(by("truck-7", MIDNIGHT + 299 * SECOND), &[(speed, 50.0)], Some(0.75)),
        with(by("truck-7", MIDNIGHT + 300 * SECOND), &[(gear, -1.0)], None),
        with(by("van-1", MIDNIGHT), &[(speed, 99.0)], None),
    ];
    archive.store(&readings.each_ref().map(record)).await.unwrap();
    let of = |readings, mean, min, max| SignalSummary { readings, mean, min, max };
    let found = buckets(&archive, ask("truck-7", (MIDNIGHT, MIDNIGHT + HOUR), 300, 10)).await;
    let start = Timestamp::from_micros;
    let signals = BTreeMap::from([
        (speed, of(2, 35.0, 20.0, 50.0)),
        (gear, of(1, 2.0, 2.0, 2.0)),
        (signal::ODOMETER, of(1, 1_000.125, 1_000.125, 1_000.125)),
    ]);
    let first = Bucket { start: start(MIDNIGHT), summary: Summary { readings: 2, highest_score: Some(0.75), signals } };
    let signals = BTreeMap::from([(gear, of(1, -1.0, -1.0, -1.0))]);
    let second = Bucket { start: start(MIDNIGHT + 300 * SECOND), summary: Summary { readings: 1, highest_score: None, signals } };
    assert_eq!(found, [first, second]);
    assert_eq!(archive.buckets(&ask("unheard-of", (MIDNIGHT, MIDNIGHT + HOUR), 300, 10)).await.unwrap(), None);
    assert_eq!(buckets(&archive, ask("van-1", (MIDNIGHT + 1, MIDNIGHT + HOUR), 300, 10)).await, []);
}

pub(crate) async fn pages_of_buckets_cover_a_sparse_history_in_order_and_without_gaps<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let dense = (0..300).map(|step| MIDNIGHT + step * 7 * MINUTE);
    let sparse = (0..40).map(|step| MIDNIGHT + 9 * 24 * HOUR + step * 11 * HOUR + step);
    let readings: Vec<Assessment> = dense.chain(sparse).map(|time| by("truck-7", time)).collect();
    archive.store(&readings.iter().map(record).collect::<Vec<_>>()).await.unwrap();
    let range = (MIDNIGHT + 20 * MINUTE, MIDNIGHT + 27 * 24 * HOUR + MINUTE);
    for is_summed_up in [false, true] {
        for (every, limit) in [(3_600, 1), (3_600, 7), (1_800, 1_000), (600, 50)] {
            let found = buckets(&archive, ask("truck-7", range, every, limit)).await;
            let difference = differs(&found, &expected(&readings, range, every));
            assert_eq!(difference, None, "every {every} s, {limit} a page, summed up: {is_summed_up}");
        }
        sum_up_all_before(&archive.own, MIDNIGHT + 15 * 24 * HOUR).await;
    }
}

/// Summaries serve: without them the readings would have to be there.
pub(crate) async fn what_is_summed_up_is_not_read_again_until_a_late_reading_touches_it<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let mut readings: Vec<Assessment> = (0..240).map(|step| by("truck-7", MIDNIGHT + step * MINUTE)).collect();
    archive.store(&readings.iter().map(record).collect::<Vec<_>>()).await.unwrap();
    sum_up_all_before(&archive.own, MIDNIGHT + 3 * HOUR).await;
    assert_eq!(archive.own.sum_up(Timestamp::from_micros(MIDNIGHT + 3 * HOUR), 1).await.unwrap(), 0, "nothing is left");
    // Behind its back.
    site.run_sql("update readings set speed_km_per_h = 1").await;
    let range = (MIDNIGHT, MIDNIGHT + 4 * HOUR);
    let means = async |every| -> Vec<i64> {
        let found = buckets(&archive, ask("truck-7", range, every, 10)).await;
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers")]
        found.iter().map(|bucket| bucket.summary.signals[&signal::SPEED].mean.round() as i64).collect()
    };
    assert_eq!(means(3_600).await, [63, 63, 63, 1], "the last hour is not summed up");
    assert_eq!(means(2_400).await, [1; 6], "no multiple of a quarter of an hour");
    // A vehicle that is known to have spoken in that hour, and a duplicate, which touches too and changes nothing.
    let late = by("truck-7", MIDNIGHT + HOUR + 1);
    archive.store(&[record(&late)]).await.unwrap();
    readings.push(late);
    assert_eq!(means(3_600).await, [63, 2, 63, 1], "60 of 1 and one of 63.2");
    sum_up_all_before(&archive.own, MIDNIGHT + 4 * HOUR).await;
    assert_eq!(means(3_600).await, [63, 2, 63, 1]);
    let counts = buckets(&archive, ask("truck-7", range, 3_600, 10)).await;
    assert_eq!(counts.iter().map(|bucket| bucket.summary.readings).collect::<Vec<_>>(), [60, 61, 60, 60]);
}

pub(crate) async fn what_is_forgotten_is_in_no_bucket_and_the_rest_is_whole<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let day = 24 * HOUR;
    let readings: Vec<Assessment> = (0..4 * 24 * 4).map(|step| by("truck-7", MIDNIGHT - 4 * day + step * 15 * MINUTE)).collect();
    archive.store(&readings.iter().map(record).collect::<Vec<_>>()).await.unwrap();
    sum_up_all_before(&archive.own, MIDNIGHT - day).await;
    let oldest = MIDNIGHT - 2 * day + 5 * HOUR + 20 * MINUTE;
    retention::forget(&archive.own, Timestamp::from_micros(oldest)).await.unwrap();
    let left = history(&archive, "truck-7").await;
    assert!(left.len() < readings.len());
    let range = (MIDNIGHT - 4 * day, MIDNIGHT);
    for every in [900, 3_600] {
        let found = buckets(&archive, ask("truck-7", range, every, 1_000)).await;
        assert_eq!(differs(&found, &expected(&left, range, every)), None, "every {every} s");
    }
}

/// One thing that happens to an archive.
#[derive(Debug, Clone)]
enum Step {
    /// Vehicle, seconds behind midnight, fingerprint, signals by bits, value.
    Store(Vec<(usize, i64, u64, u8, f32)>),
    /// Again, from here on.
    Repeat(prop::sample::Index),
    SumUpBefore(i64),
    Reopen,
}

pub(crate) async fn buckets_are_those_of_the_readings_whatever_came_when_and_was_summed_up_when<S: Site>() {
    // Mostly near each other, so that hours are touched again.
    let reading = (0..2_usize, 0..5 * 3_600_i64, 0..2_u64, 0..16_u8, -1_000.0..1_000.0_f32);
    let step = prop_oneof![
        4 => prop::collection::vec(reading, 1..40).prop_map(Step::Store),
        1 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        3 => (0..6_i64).prop_map(Step::SumUpBefore),
        1 => Just(Step::Reopen),
    ];
    let question =
        (0..5 * 3_600_i64, 1..5 * 3_600_i64, prop::sample::select(vec![300_u64, 900, 1_800, 2_700, 3_600, 7_200]), 1..9_u32);
    let runtime = tokio::runtime::Handle::current();
    let mut runner = TestRunner::new(ProptestConfig { cases: S::CASES, ..ProptestConfig::default() });
    let cases = (prop::collection::vec(step, 1..14), prop::collection::vec(question, 1..6));
    let holds = |(steps, questions): (Vec<Step>, Vec<_>)| runtime.block_on(hold::<S>(&steps, &questions));
    tokio::task::block_in_place(|| runner.run(&cases, holds)).unwrap();
}

async fn hold<S: Site>(steps: &[Step], questions: &[(i64, i64, u64, u32)]) -> Result<(), TestCaseError> {
    let site = S::new().await;
    let mut archive = site.open().await;
    let mut stored: Vec<ArchiveRecord> = Vec::new();
    for step in steps {
        match step {
            Step::Store(readings) => {
                let records: Vec<ArchiveRecord> = readings.iter().map(|one| record(&made(one))).collect();
                archive.store(&records).await.unwrap();
                stored.extend(records);
            }
            Step::Repeat(from) if !stored.is_empty() => {
                archive.store(&stored[from.index(stored.len())..]).await.unwrap();
            }
            Step::Repeat(_) => {}
            Step::SumUpBefore(hours) => sum_up_all_before(&archive.own, MIDNIGHT + hours * HOUR).await,
            Step::Reopen => {
                archive.close().await;
                archive = site.open().await;
            }
        }
    }
    for vehicle in ["a", "b"] {
        let readings = history(&archive, vehicle).await;
        for (from, length, every, limit) in questions {
            let range = (MIDNIGHT + from * SECOND, MIDNIGHT + (from + length) * SECOND);
            if readings.is_empty() {
                continue;
            }
            let found = buckets(&archive, ask(vehicle, range, *every, *limit)).await;
            prop_assert_eq!(differs(&found, &expected(&readings, range, *every)), None, "{} {:?} {}", vehicle, range, every);
        }
    }
    archive.close().await;
    Ok(())
}

fn made((vehicle, seconds, fingerprint, signals, value): &(usize, i64, u64, u8, f32)) -> Assessment {
    let mut assessment = by(["a", "b"][*vehicle], MIDNIGHT + seconds * SECOND);
    assessment.reading.fingerprint = *fingerprint;
    let cargo = table().find("cargo_temperature_celsius").unwrap();
    let all = [signal::SPEED, signal::ODOMETER, cargo];
    let values: Vec<(SignalId, f32)> =
        all.iter().enumerate().filter(|(bit, _)| signals & (1 << bit) != 0).map(|(_, id)| (*id, *value)).collect();
    with(assessment, &values, (signals & 8 != 0).then_some(value.abs() / 1_000.0))
}

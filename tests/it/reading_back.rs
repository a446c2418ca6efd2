//! Reading back under load: the history of a vehicle and the alerts of a day, from an archive that holds weeks of a fleet, while readings come in.
//!
//! Usually 300,000 readings of 60 vehicles, and what is asserted is that answers are right: a shared machine says nothing about time.
//! `make torture`: 50 million of 10,000 vehicles (`ODOGRAPH_TEST_READINGS` says otherwise), read by nobody before, and no question takes
//! longer than 50 ms in 99 of 100 cases.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use odograph::domain::{
    Alert, AlertEvent, AlertId, AlertKey, Assessment, Change, Condition, Handling, Ignition, ModelScore, OpenedBy, Position,
    Quality, Reading, Severity, SignalId, SignalTable, SignalValues, Timestamp, Timing, VehicleId, signal,
};
use odograph::storage::{ArchiveAddress, ArchiveRecord, SharedStore, open};
use odograph::wire::record::Record;
use serde_json::Value;

use crate::support::api::Api;
use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::{Chance, Site, is_torture, seed};

/// Of each vehicle, one every 30 s: 41 hours and 40 minutes.
const READINGS_EACH: i64 = 5_000;
const EVERY: i64 = 30 * SECOND;
const SPAN: i64 = READINGS_EACH * EVERY;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const QUARTER: i64 = HOUR / 4;
/// Of a vehicle: every so many readings an alert opens.
const ALERT_EVERY: i64 = 1_000;
const BATCH: usize = 4_000;
/// 10,000 vehicles at 30 s.
const PER_SECOND: f64 = 333.0;
const SPEAKING: u64 = 20;
const WITHIN: Duration = Duration::from_millis(50);

/// What was stored, made again from a number wherever it is needed.
struct Past {
    vehicles: i64,
    start: i64,
}

#[test]
fn history_and_alerts_are_right_while_readings_come_in_and_quick_with_fifty_million_of_them() {
    let mut chance = Chance::new(seed());
    // The last of it is some hours old, as if everything had been summed up that can be.
    let end = (odograph::clock::now().as_micros() - 3 * HOUR).div_euclid(HOUR) * HOUR;
    let past = Past { vehicles: vehicles(), start: (end - SPAN).div_euclid(QUARTER) * QUARTER };
    let mut site = Site::stopped();
    past.store(&site.data());
    site.restart();
    let (api, mqtt, stopping) = (site.api(), site.service().mqtt(), AtomicBool::new(false));
    let fleet = Fleet::new("live", SPEAKING, 1);
    let all = thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(mqtt, PER_SECOND, &stopping));
        let all = {
            let _stops = StopsWhenDropped(&stopping);
            past.ask(&api, &mut chance)
        };
        publishing.join().unwrap().unwrap();
        all
    });
    assert!(stopping.load(Ordering::Relaxed) && fleet.acknowledged() > 0);
    for (question, mut times) in all {
        times.sort_unstable();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{question} of {} readings: p50 {p50:.1?}, p99 {p99:.1?}", past.vehicles * READINGS_EACH);
        assert!(!is_timed() || p99 <= WITHIN, "{question} took {p99:?}");
    }
    fleet.audit(&api, Duration::from_secs(20)).assert_clean();
    assert!(site.stop().success());
}

/// A debug build says nothing about time.
fn is_timed() -> bool {
    is_torture() && !cfg!(debug_assertions)
}

fn vehicles() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    let named = std::env::var("ODOGRAPH_TEST_READINGS").ok();
    let readings = named.map_or(if is_torture() { 50_000_000 } else { 300_000 }, |text| text.parse().unwrap());
    (readings / READINGS_EACH).max(1)
}

impl Past {
    fn id(vehicle: i64) -> VehicleId {
        VehicleId::new(&format!("vehicle-{vehicle:05}")).unwrap()
    }

    /// Vehicles speak one after another, within 30 s each once.
    fn recorded_at(&self, vehicle: i64, step: i64) -> i64 {
        self.start + step * EVERY + vehicle * EVERY / self.vehicles
    }

    /// Steps of a vehicle in `[from, to)`.
    fn steps(&self, vehicle: i64, (from, to): (i64, i64)) -> std::ops::Range<i64> {
        let first = |micros: i64| (micros - self.recorded_at(vehicle, 0) + EVERY - 1).div_euclid(EVERY).clamp(0, READINGS_EACH);
        first(from)..first(to)
    }

    /// Through the product's own code, in the order of time, summed up every hour as the service does it.
    fn store(&self, data: &Path) {
        std::fs::create_dir_all(data).unwrap();
        let address = ArchiveAddress::read("", data).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let since = Instant::now();
        runtime.block_on(async {
            let archive = open(address, Arc::new(SignalTable::default())).await.unwrap();
            let mut batch = Vec::with_capacity(BATCH);
            let mut sum_up_next = self.start + HOUR;
            for step in 0..READINGS_EACH {
                // In another order every time; a large odd prime has no factor in common with any fleet.
                for turn in 0..self.vehicles {
                    batch.push(self.reading((turn * 1_000_003 + step * 7) % self.vehicles, step));
                    if batch.len() >= BATCH {
                        archive.store(&std::mem::take(&mut batch)).await.unwrap();
                    }
                }
                // As they open, not vehicle by vehicle.
                batch.extend(
                    (0..self.vehicles).filter(|vehicle| opens_alert(*vehicle, step)).map(|vehicle| self.alert(vehicle, step)),
                );
                if self.start + step * EVERY >= sum_up_next {
                    sum_up(&archive, sum_up_next).await;
                    sum_up_next += HOUR;
                }
            }
            archive.store(&batch).await.unwrap();
            sum_up(&archive, self.start + SPAN + HOUR).await;
            archive.close().await;
        });
        let bytes = std::fs::metadata(data.join("archive.sqlite")).unwrap().len();
        let readings = self.vehicles * READINGS_EACH;
        println!("{readings} readings stored in {:.1?}, {bytes} bytes", since.elapsed());
        if is_torture() {
            // As after a start of the machine: nothing of it is in memory.
            let file = format!("of={}", data.join("archive.sqlite").display());
            let dropped =
                Command::new("dd").args([&file, "oflag=nocache", "conv=notrunc,fdatasync", "count=0"]).output().unwrap();
            assert!(dropped.status.success(), "{dropped:?}");
        }
    }

    fn reading(&self, vehicle: i64, step: i64) -> ArchiveRecord {
        let recorded_at = self.recorded_at(vehicle, step);
        let mut signals = SignalValues::default();
        for index in (0..17).map(|place| place * 2) {
            signals.set(SignalId::from_index(index).unwrap(), value(vehicle, step, i64::try_from(index).unwrap()));
        }
        let score = value(vehicle, step, 99) / 200.0;
        let assessment = Assessment {
            arrival: step.unsigned_abs(),
            timing: Timing::InOrder,
            scores: vec![ModelScore {
                model: "isolation_forest".into(),
                version: "1.0.0".into(),
                score,
                raw: score,
                tail_probability: f64::from(1.0 - score),
            }],
            not_scored: None,
            quality: Quality::default(),
            lost_before_us: 0,
            findings: Vec::new(),
            revision: 1,
            reading: Reading {
                received_at: Timestamp::from_micros(recorded_at + 50_000),
                fingerprint: recorded_at.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15),
                sequence: Some(step.unsigned_abs()),
                position: Some(Position::new(f64::from(value(vehicle, step, 41)) / 10.0 + 40.0, 8.4).unwrap()),
                ignition: Some(Ignition::On),
                signals,
                ..Reading::bare(Self::id(vehicle), Timestamp::from_micros(recorded_at))
            },
        };
        let slot = assessment.reading.vehicle_id.slot();
        ArchiveRecord { slot, arrival: assessment.arrival, record: Record::Assessment(Box::new(assessment)) }
    }

    fn alert(&self, vehicle: i64, step: i64) -> ArchiveRecord {
        let (vehicle_id, key) = (Self::id(vehicle), AlertKey::rule("overheating"));
        let opened_at = Timestamp::from_micros(self.recorded_at(vehicle, step));
        let alert = Alert {
            alert_id: AlertId::of(&vehicle_id, &key, opened_at),
            vehicle_id,
            key,
            severity: Severity::Warning,
            condition: Condition::Cleared,
            handling: Handling::New,
            opened_at,
            last_seen_at: opened_at,
            closed_at: Some(opened_at),
            count: 3,
            summary: "coolant_temperature_celsius 121 is over 110".into(),
            value: Some(121.0),
            limit: Some(110.0),
            score: None,
            explanation: Vec::new(),
            opened_by: OpenedBy { recorded_at: opened_at, fingerprint: 1, arrival: 1, configuration: 1 },
            acknowledged_by: None,
            assigned_to: None,
            silenced_until: None,
            verdict: None,
            note: None,
            is_history: false,
            revision: 2,
        };
        let event = AlertEvent { change: Change::Cleared, at: opened_at, alert };
        ArchiveRecord { slot: event.alert.vehicle_id.slot(), arrival: 1, record: Record::AlertEvent(Box::new(event)) }
    }

    fn ask(&self, api: &Api, chance: &mut Chance) -> [(&'static str, Vec<Duration>); 3] {
        let [mut hours, mut days, mut alerts] = [const { Vec::new() }; 3];
        let asked = if is_torture() { 200 } else { 20 };
        for _ in 0..asked {
            let mut below = |end: i64| (chance.next() % end.unsigned_abs()).cast_signed();
            let vehicle = below(self.vehicles);
            let path = format!("/api/v1/vehicles/{}/readings", Self::id(vehicle));
            let from = self.start + below(SPAN - HOUR);
            let (answer, time) = timed(api, &format!("{path}?limit=1000&{}", range(from, from + HOUR)));
            self.check_readings(vehicle, (from, from + HOUR), &answer);
            hours.push(time);
            let from = self.start + below((SPAN - DAY) / QUARTER) * QUARTER;
            let (answer, time) = timed(api, &format!("{path}?every=15m&limit=1000&{}", range(from, from + DAY)));
            self.check_buckets(vehicle, (from, from + DAY), &answer);
            days.push(time);
            let from = self.start + below(SPAN - DAY);
            let (answer, time) = timed(api, &format!("/api/v1/alerts?limit=1000&{}", range(from, from + DAY)));
            self.check_alerts((from, from + DAY), &answer);
            alerts.push(time);
        }
        [("an hour of a vehicle", hours), ("a day of a vehicle every 15 min", days), ("the alerts of a day", alerts)]
    }

    fn check_readings(&self, vehicle: i64, range: (i64, i64), answer: &Value) {
        let readings = answer["readings"].as_array().unwrap();
        let found: Vec<(i64, f64)> = readings
            .iter()
            .map(|one| (micros(&one["recorded_at"]), one["signals"]["speed_km_per_h"].as_f64().unwrap()))
            .collect();
        let expected = self.steps(vehicle, range);
        let expected = expected.map(|step| (self.recorded_at(vehicle, step), f64::from(speed(vehicle, step))));
        let expected: Vec<(i64, f64)> = expected.collect();
        assert!(expected.len() >= 119 && answer["next_cursor"].is_null());
        assert_eq!(found, expected);
    }

    fn check_buckets(&self, vehicle: i64, (from, to): (i64, i64), answer: &Value) {
        let buckets = answer["buckets"].as_array().unwrap();
        let starts: Vec<i64> = buckets.iter().map(|bucket| micros(&bucket["start"])).collect();
        assert_eq!(starts, (0..96).map(|quarter| from + quarter * QUARTER).collect::<Vec<_>>());
        assert!(answer["next_cursor"].is_null() && to == from + DAY);
        for bucket in buckets {
            let start = micros(&bucket["start"]);
            let speeds: Vec<f64> =
                self.steps(vehicle, (start, start + QUARTER)).map(|step| f64::from(speed(vehicle, step))).collect();
            assert_eq!(bucket["readings"].as_u64(), Some(speeds.len() as u64));
            let summary = &bucket["signals"]["speed_km_per_h"];
            #[expect(clippy::cast_precision_loss, reason = "thirty")]
            let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
            assert!((summary["mean"].as_f64().unwrap() - mean).abs() < 1e-3, "{summary} instead of {mean}");
            let (least, greatest) =
                speeds.iter().fold((f64::MAX, f64::MIN), |(min, max), speed| (min.min(*speed), max.max(*speed)));
            assert_eq!((summary["min"].as_f64(), summary["max"].as_f64()), (Some(least), Some(greatest)));
        }
    }

    /// Newest first; a fleet has more in a day than fit on one page.
    fn check_alerts(&self, (from, to): (i64, i64), answer: &Value) {
        let alerts = answer["alerts"].as_array().unwrap();
        let found: Vec<(i64, &str)> =
            alerts.iter().map(|alert| (micros(&alert["opened_at"]), alert["vehicle_id"].as_str().unwrap())).collect();
        assert!(found.is_sorted_by(|one, next| one.0 >= next.0));
        let of_vehicle = |vehicle: i64| {
            let opened = alert_steps(vehicle).map(move |step| self.recorded_at(vehicle, step));
            opened.filter(|at| (from..to).contains(at)).map(move |at| (at, Self::id(vehicle).to_string()))
        };
        let mut expected: Vec<(i64, String)> = (0..self.vehicles).flat_map(of_vehicle).collect();
        let is_whole = expected.len() <= 1_000;
        expected.sort_unstable_by(|one, other| other.cmp(one));
        expected.truncate(1_000);
        let mut sorted: Vec<(i64, String)> = found.iter().map(|(at, id)| (*at, (*id).to_owned())).collect();
        sorted.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!((sorted, answer["next_cursor"].is_null()), (expected, is_whole));
    }
}

fn opens_alert(vehicle: i64, step: i64) -> bool {
    step % ALERT_EVERY == vehicle * 37 % ALERT_EVERY
}

fn alert_steps(vehicle: i64) -> impl Iterator<Item = i64> {
    (0..READINGS_EACH).filter(move |step| opens_alert(vehicle, *step))
}

async fn sum_up(archive: &SharedStore, before: i64) {
    while archive.sum_up(Timestamp::from_micros(before), 64).await.unwrap() > 0 {}
}

/// 0 to 200 in quarters, the same for the same: as text and as f32 it is exactly that.
fn value(vehicle: i64, step: i64, what: i64) -> f32 {
    let mixed = (vehicle * 31 + step * 17 + what * 101).wrapping_mul(2_654_435_761).rem_euclid(1 << 32) >> 12;
    f32::from(u16::try_from(mixed % 801).unwrap()) / 4.0
}

fn speed(vehicle: i64, step: i64) -> f32 {
    value(vehicle, step, i64::try_from(signal::SPEED.index()).unwrap())
}

fn range(from: i64, to: i64) -> String {
    format!("from={}&to={}", Timestamp::from_micros(from), Timestamp::from_micros(to))
}

fn micros(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Timestamp>().unwrap().as_micros()
}

/// From asking to the whole answer, as JSON.
#[track_caller]
fn timed(api: &Api, path: &str) -> (Value, Duration) {
    let since = Instant::now();
    let answer = api.get(path);
    let time = since.elapsed();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    (answer.json, time)
}

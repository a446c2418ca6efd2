//! Simulated fleets, healthy and ill. Seeds from 1,000 on are kept for the measurement in the README: thresholds were never looked at
//! with them.

use std::collections::BTreeMap;

use odograph::domain::{Class, Label};
use odograph::simulator::faults::{FAULTS, Fault};
use odograph::simulator::fleet::{Fleet, Options, blank_reading};
use odograph::simulator::illness::{Episode, Plan, RandomFaults};
use odograph::simulator::kinds::Kind;

use super::*;

/// A Tuesday, before the early shift.
const START: &str = "2026-11-03T04:00:00Z";

fn options(vehicles: u32, seed: u64, every_s: u64) -> Options {
    Options {
        vehicles,
        seed,
        start: START.parse().unwrap(),
        every: Duration::from_secs(every_s),
        faults: RandomFaults::none(),
        plans: Vec::new(),
    }
}

/// Every vehicle of a fleet for some hours under the rules.
fn watched<'a>(rules: &'a Rules, options: &Options, hours: u64) -> Vec<(Watch<'a>, Option<Episode>)> {
    let Fleet { world, vehicles } = Fleet::new(options);
    let end = options.start.plus(Duration::from_hours(hours));
    let mut reading = blank_reading();
    let watch = |mut vehicle: odograph::simulator::vehicle::Vehicle| {
        let mut watch = Watch::new(rules);
        // Trucks are registered as what they are, the others are unknown.
        let class = Class::new(Label::new("heavy_truck").unwrap());
        let is_truck = vehicle.kind() == Kind::Truck;
        watch.record = is_truck.then(|| VehicleRecord { class, ..VehicleRecord::default() });
        while vehicle.next_at() < end {
            vehicle.next_reading(&world, &mut reading);
            reading.fingerprint = reading.compute_fingerprint();
            watch.observe(&reading);
        }
        let illness = vehicle.episodes().next();
        (watch, illness)
    };
    vehicles.into_iter().map(watch).collect()
}

fn assert_quiet(options: &Options, hours: u64) {
    let rules = shipped_rules();
    let watched = watched(&rules, options, hours);
    let alerts: Vec<String> = watched.iter().flat_map(|(watch, _)| watch.opened().map(described)).collect();
    let readings: u64 = watched.iter().map(|(watch, _)| watch.readings).sum();
    assert!(alerts.is_empty(), "{} alerts in {readings} healthy readings:\n{}", alerts.len(), alerts.join("\n"));
}

#[test]
fn a_healthy_fleet_that_reports_every_30_s_is_quiet_for_a_day() {
    assert_quiet(&options(60, 11, 30), 24);
}

#[test]
fn a_healthy_fleet_that_reports_every_5_s_is_quiet_for_a_day() {
    assert_quiet(&options(16, 12, 5), 24);
}

#[test]
fn a_healthy_fleet_that_reports_every_second_is_quiet_for_hours() {
    assert_quiet(&options(8, 13, 1), 6);
}

#[test]
fn a_healthy_fleet_is_quiet_in_frost_and_in_heat() {
    for (start, seed) in [("2026-01-20T04:00:00Z", 14), ("2026-07-28T04:00:00Z", 15), ("2026-04-11T20:00:00Z", 16)] {
        assert_quiet(&Options { start: start.parse().unwrap(), ..options(16, seed, 30) }, 24);
    }
}

/// Kinds that rules are meant for, and the least share of planned faults that they must raise in ten hours, without trouble codes.
const MEANT_FOR: &[(Fault, f64)] = &[
    (Fault::Overheating, 0.7),
    (Fault::ThermostatStuckOpen, 0.7),
    (Fault::AlternatorFailing, 0.9),
    (Fault::TireLeakSlow, 0.9),
    (Fault::TireLeakFast, 0.9),
    (Fault::FuelTheft, 0.8),
    (Fault::SensorStuck, 0.7),
    (Fault::SensorOpenCircuit, 0.9),
    (Fault::SensorSwapped, 0.6),
    (Fault::SensorDropout, 0.9),
    (Fault::GpsJumps, 0.9),
    (Fault::GpsFreeze, 0.9),
    (Fault::HarshDriving, 0.5),
    (Fault::BatteryCell, 0.9),
];

#[test]
fn faults_that_a_rule_is_meant_for_are_raised() {
    const VEHICLES: u32 = 12;
    let rules = shipped_rules();
    let mut too_few = Vec::new();
    for spec in FAULTS {
        let mut options = options(VEHICLES, 21, 30);
        // Enough of health to learn from; who waits for a thief is parked for the first three hours.
        let after = if spec.fault == Fault::FuelTheft { 2 } else { 10 };
        let onset = options.start.plus(Duration::from_hours(after));
        options.plans =
            (0..VEHICLES).map(|vehicle| Plan { vehicle, fault: spec.fault, onset, severity: None, sudden: false }).collect();
        let (mut ill, mut raised, mut raised_without_codes, mut before) = (0, 0, 0, 0);
        let mut by_rule: BTreeMap<String, u32> = BTreeMap::new();
        for (watch, illness) in watched(&rules, &options, 22) {
            let Some(Episode { onset, end, .. }) = illness else { continue };
            ill += 1;
            let end = end.map_or(onset.plus(Duration::from_hours(100)), |end| end.plus(Duration::from_mins(10)));
            let mut keys: Vec<&str> = watch
                .opened()
                .filter(|alert| (onset..end).contains(&alert.opened_by.recorded_at))
                .map(|alert| alert.key.as_str())
                .collect();
            before += watch.opened().filter(|alert| alert.opened_by.recorded_at < onset).count();
            keys.sort_unstable();
            keys.dedup();
            raised += u32::from(!keys.is_empty());
            raised_without_codes += u32::from(keys.iter().any(|key| *key != "rule:new_trouble_code"));
            for key in keys {
                *by_rule.entry(key.trim_start_matches("rule:").to_owned()).or_default() += 1;
            }
        }
        println!(
            "{:22} ill {ill:2} raised {raised:2} without codes {raised_without_codes:2} before onset {before}  {by_rule:?}",
            spec.name
        );
        let recall = f64::from(raised_without_codes) / f64::from(ill.max(1));
        let least = MEANT_FOR.iter().find(|(fault, _)| *fault == spec.fault).map_or(0.0, |(_, least)| *least);
        if recall < least {
            too_few.push(format!("{}: {recall:.2} of at least {least}", spec.name));
        }
    }
    assert!(too_few.is_empty(), "{}", too_few.join("\n"));
}

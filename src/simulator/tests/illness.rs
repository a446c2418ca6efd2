//! Every fault shows in its signals, with its severity, and never before its onset. The measure is the same vehicle in health: a twin
//! with the same seed whose fault lies in the far future.

use super::*;
use crate::domain::Ignition;
use crate::domain::signal::{self as s, SIGNALS};
use crate::simulator::faults::{FAULTS, Fault, Needs};
use crate::simulator::illness::Episode;

struct Pair {
    ill: Vec<(Reading, Option<Label>)>,
    healthy: Vec<(Reading, Option<Label>)>,
    episode: Episode,
}

/// The first vehicle from `seed` on that drives long enough with its fault to be judged: others may stand from the onset to the repair.
fn twins(fault: Fault, severity: f32, seed: u64) -> Pair {
    let needs_driving = fault.spec().needs == Needs::Driving;
    let mut pairs = (seed..seed + 20).map(|seed| twins_of(fault, severity, seed));
    pairs.find(|pair| !needs_driving || pair.during().count() > 30).expect("one of twenty drives")
}

/// A vehicle that gets `fault` after an hour, beside its healthy twin, for six hours.
fn twins_of(fault: Fault, severity: f32, seed: u64) -> Pair {
    let mut ill = options(1, seed);
    let end = ill.start.plus(hours(6));
    ill.plans.push(Plan { vehicle: 0, fault, onset: ill.start.plus(hours(1)), severity: Some(severity), sudden: true });
    let mut healthy = ill.clone();
    healthy.plans[0].onset = end.plus(hours(1));
    let (mut ill, mut healthy) = (Fleet::new(&ill), Fleet::new(&healthy));
    let pair = (history(&mut ill, 0, end), history(&mut healthy, 0, end));
    let episode = ill.vehicles[0].episodes().next().expect("its time has come");
    Pair { ill: pair.0, healthy: pair.1, episode }
}

impl Pair {
    /// Readings of both while the fault lasts and the ignition is on.
    fn during(&self) -> impl Iterator<Item = (&Reading, &Reading)> {
        let both = self.ill.iter().zip(&self.healthy);
        let labelled = both.filter(|((_, label), _)| label.is_some()).map(|((ill, _), (healthy, _))| (ill, healthy));
        labelled.filter(|(ill, _)| ill.ignition == Some(Ignition::On))
    }

    /// Mean over the fault of what `of` makes of both readings.
    fn mean(&self, of: impl Fn(&Reading, &Reading) -> Option<f32>) -> f32 {
        let values: Vec<f32> =
            self.during().filter_map(|(ill, healthy)| of(ill, healthy)).filter(|value| value.is_finite()).collect();
        assert!(values.len() > 3, "only {} readings to judge by", values.len());
        values.iter().sum::<f32>() / f32::from(u16::try_from(values.len()).unwrap())
    }

    fn mean_change(&self, id: SignalId) -> f32 {
        self.mean(|ill, healthy| Some(value(ill, id) - value(healthy, id)))
    }

    fn most(&self, of: impl Fn(&Reading, &Reading) -> f32) -> f32 {
        self.during().map(|(ill, healthy)| of(ill, healthy)).filter(|value| value.is_finite()).fold(f32::MIN, f32::max)
    }
}

fn highest(fault: Fault) -> f32 {
    fault.spec().severity.1
}

#[test]
fn before_its_onset_no_fault_changes_anything_and_after_it_every_fault_changes_what_its_label_says() {
    for spec in FAULTS {
        let pair = twins(spec.fault, spec.severity.1, 11);
        let onset = pair.episode.onset;
        assert_eq!((pair.episode.fault, pair.episode.severity), (spec.fault, spec.severity.1));
        for ((ill, label), (healthy, _)) in pair.ill.iter().zip(&pair.healthy) {
            if ill.recorded_at < onset {
                assert_eq!((ill, label), (healthy, &None), "{} shows before {onset}", spec.name);
            }
        }
        let labelled = pair.ill.iter().filter(|(_, label)| label.is_some_and(|label| label.fault == spec.fault)).count();
        assert!(labelled > 0, "{} has no labelled reading", spec.name);
        let after = || {
            pair.ill
                .iter()
                .zip(&pair.healthy)
                .map(|(ill, healthy)| (&ill.0, &healthy.0))
                .filter(|(ill, _)| ill.recorded_at >= onset)
        };
        if pair.episode.signals.is_empty() {
            assert!(after().any(|(ill, healthy)| ill.position != healthy.position), "{} does not show", spec.name);
        }
        for id in &pair.episode.signals {
            let shows = after().any(|(ill, healthy)| ill.signals.get(*id) != healthy.signals.get(*id));
            assert!(shows, "{} does not show in {}", spec.name, SIGNALS[id.index()].name);
        }
        assert!(
            after().all(|(ill, _)| ill.signals.iter().all(|(id, value)| {
                let (low, high) = SIGNALS[id.index()].plausible;
                (low..=high).contains(&f64::from(value))
            })),
            "{} leaves the plausible ranges, so nobody would see it",
            spec.name
        );
    }
}

#[test]
fn a_fault_that_is_over_leaves_the_vehicle_healthy_and_its_label_closed() {
    let mut options = options(1, 4);
    options.plans.push(Plan { vehicle: 0, fault: Fault::TireLeakFast, onset: options.start, severity: None, sudden: true });
    let mut fleet = Fleet::new(&options);
    let readings = history(&mut fleet, 0, options.start.plus(hours(6)));
    let episode = fleet.vehicles[0].episodes().next().unwrap();
    let end = episode.end.unwrap();
    for (reading, label) in &readings {
        assert_eq!(label.is_some(), reading.recorded_at >= episode.onset && reading.recorded_at < end, "{}", reading.recorded_at);
    }
    let last = &readings.last().unwrap().0;
    assert!(value(last, episode.signals[0]) > 150.0, "the tyre was repaired");
}

#[test]
fn an_engine_that_loses_its_radiator_overheats_in_every_kind_of_vehicle() {
    for seed in 0..6 {
        let pair = twins(Fault::Overheating, 0.95, seed);
        let hottest = |readings: &[(Reading, Option<Label>)]| {
            readings.iter().map(|(reading, _)| value(reading, s::COOLANT_TEMPERATURE)).fold(f32::MIN, f32::max)
        };
        let (ill, healthy) = (hottest(&pair.ill), hottest(&pair.healthy));
        assert!(ill > 105.0 && ill > healthy + 10.0, "seed {seed}: {ill} against {healthy}");
    }
}

#[test]
fn a_thermostat_that_is_stuck_further_open_keeps_the_engine_colder() {
    let change = |severity| twins(Fault::ThermostatStuckOpen, severity, 2).mean_change(s::COOLANT_TEMPERATURE);
    let (slightly, widely) = (change(0.4), change(0.9));
    assert!(slightly < -4.0 && widely < slightly - 3.0, "{slightly} {widely}");
}

#[test]
fn an_alternator_that_gives_less_shows_in_the_voltage() {
    let change = |severity| twins(Fault::AlternatorFailing, severity, 3).mean_change(s::BATTERY_VOLTAGE);
    let (partly, wholly) = (change(0.6), change(1.0));
    assert!(partly < -0.6 && wholly < partly - 0.5, "{partly} {wholly}");
}

#[test]
fn leaks_lose_their_kilopascals_per_time() {
    for (fault, severity, per_hour) in [(Fault::TireLeakSlow, 20.0, 20.0), (Fault::TireLeakFast, 10.0, 600.0)] {
        let pair = twins(fault, severity, 5);
        let tire = pair.episode.signals[0];
        let lost = |(reading, (healthy, _)): (&Reading, &(Reading, Option<Label>))| value(healthy, tire) - value(reading, tire);
        let affected = pair.ill.iter().zip(&pair.healthy).filter(|((_, label), _)| label.is_some());
        let mut affected = affected.map(|((ill, _), healthy)| (ill, healthy));
        let (first, second) = (affected.next().unwrap(), affected.nth(9).unwrap());
        let hours = second.0.recorded_at.since(first.0.recorded_at).as_secs_f32() / 3_600.0;
        let nominal = if value(first.0, tire) > 600.0 { 3.5 } else { 1.5 };
        let rate = (lost(second) - lost(first)) / hours;
        let expected = per_hour * nominal;
        // Resolution 1 kPa and noise, over five minutes.
        assert!((rate - expected).abs() < 0.5 * expected + 30.0, "{rate} kPa per hour instead of about {expected}");
    }
}

#[test]
fn a_thief_takes_the_share_that_the_label_says_while_the_vehicle_is_parked() {
    let mut options = options(1, 6);
    options.plans.push(Plan {
        vehicle: 0,
        fault: Fault::FuelTheft,
        onset: options.start.plus(hours(1)),
        severity: Some(0.25),
        sudden: true,
    });
    let mut fleet = Fleet::new(&options);
    let readings = history(&mut fleet, 0, options.start.plus(hours(2)));
    let level = |index: usize| value(&readings[index].0, s::FUEL_LEVEL);
    let lost = level(0) - level(readings.len() - 1);
    assert!((lost - 25.0).abs() < 1.0, "{lost}");
    assert!(readings.iter().filter(|(_, label)| label.is_some()).all(|(reading, _)| reading.ignition == Some(Ignition::Off)));
}

#[test]
fn faults_of_a_sensor_change_its_signal_and_no_other() {
    for (fault, seed) in [
        (Fault::SensorStuck, 1),
        (Fault::SensorOffset, 2),
        (Fault::SensorDrift, 3),
        (Fault::SensorOpenCircuit, 4),
        (Fault::SensorSwapped, 5),
        (Fault::SensorDropout, 6),
    ] {
        let pair = twins(fault, highest(fault), seed);
        for (ill, healthy) in pair.during() {
            let others = |reading: &Reading| {
                let signals = reading.signals;
                SIGNALS
                    .iter()
                    .enumerate()
                    .filter_map(move |(index, _)| {
                        let id = SignalId::from_index(index)?;
                        Some((id, signals.get(id)))
                    })
                    .filter(|(id, _)| !pair.episode.signals.contains(id))
                    .collect::<Vec<_>>()
            };
            assert_eq!(others(ill), others(healthy), "{fault:?}");
        }
        let id = pair.episode.signals[0];
        let distinct: std::collections::BTreeSet<u32> =
            pair.during().filter_map(|(ill, _)| ill.signals.get(id)).map(f32::to_bits).collect();
        match fault {
            Fault::SensorStuck | Fault::SensorOpenCircuit => assert_eq!(distinct.len(), 1, "{fault:?}"),
            Fault::SensorDropout => assert!(distinct.is_empty()),
            Fault::SensorSwapped => {
                assert!(pair.during().all(|(ill, healthy)| ill.signals.get(id) == healthy.signals.get(pair.episode.signals[1])));
            }
            _ => {
                let span = crate::simulator::faults::sensor_of(id).unwrap().span;
                // Ranges cut what goes below zero.
                let change = pair.most(|ill, healthy| (value(ill, id) - value(healthy, id)).abs());
                assert!((change - highest(fault) * span).abs() < 0.1 * span, "{fault:?}: {change}");
            }
        }
    }
}

#[test]
fn air_that_is_not_measured_or_does_not_pass_shows_in_flow_and_pressure() {
    let low = twins(Fault::AirFlowLow, 0.3, 8)
        .mean(|ill, healthy| Some(value(ill, s::MASS_AIR_FLOW) / value(healthy, s::MASS_AIR_FLOW)));
    assert!((low - 0.7).abs() < 0.01, "{low}");
    let leak = twins(Fault::VacuumLeak, 15.0, 20);
    let idle = |reading: &Reading| value(reading, s::SPEED) < 1.0;
    let change =
        leak.mean(|ill, healthy| idle(healthy).then(|| value(ill, s::INTAKE_PRESSURE) - value(healthy, s::INTAKE_PRESSURE)));
    assert!((9.0..16.0).contains(&change), "{change}");
    let faster = leak.mean(|ill, healthy| idle(healthy).then(|| value(ill, s::ENGINE_SPEED) - value(healthy, s::ENGINE_SPEED)));
    assert!(faster > 100.0, "{faster}");
    let clogged = twins(Fault::CloggedFilter, 0.4, 8);
    let off = clogged.mean(|ill, healthy| {
        let expected = 1.0 - 0.4 * value(healthy, s::ENGINE_LOAD) / 100.0;
        Some((value(ill, s::INTAKE_PRESSURE) / value(healthy, s::INTAKE_PRESSURE) - expected).abs())
    });
    assert!(off < 0.03, "{off}");
    assert!(clogged.most(|ill, healthy| value(healthy, s::INTAKE_PRESSURE) - value(ill, s::INTAKE_PRESSURE)) > 5.0);
}

#[test]
fn a_bad_receiver_jumps_or_freezes_while_the_vehicle_drives_on() {
    let away = |ill: &Reading, healthy: &Reading| Some(ill.position?.distance_m(&healthy.position?));
    let jumps = twins(Fault::GpsJumps, 2_000.0, 9);
    let distances: Vec<f64> = jumps.during().filter_map(|(ill, healthy)| away(ill, healthy)).collect();
    let jumped = distances.iter().filter(|distance| **distance > 1.0).count();
    assert!(jumped > 5 && jumped < distances.len(), "{jumped} of {}", distances.len());
    assert!(distances.iter().all(|distance| *distance < 1.0 || (distance - 2_000.0).abs() < 20.0));
    let frozen = twins(Fault::GpsFreeze, 1.0, 9);
    let places: Vec<_> = frozen.during().filter_map(|(ill, _)| ill.position).collect();
    assert!(places.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(frozen.during().filter_map(|(ill, healthy)| away(ill, healthy)).any(|distance| distance > 500.0));
}

#[test]
fn a_harsh_driver_brakes_and_accelerates_harder() {
    let pair = twins(Fault::HarshDriving, 2.4, 10);
    let hardest = |readings: &[(Reading, Option<Label>)]| {
        readings
            .iter()
            .map(|(reading, _)| value(reading, s::ACCELERATION_LONGITUDINAL).abs())
            .filter(|value| value.is_finite())
            .fold(0.0, f32::max)
    };
    let (harsh, calm) = (hardest(&pair.ill), hardest(&pair.healthy));
    assert!(harsh > 1.5 * calm, "{harsh} against {calm}");
}

#[test]
fn weak_cells_cost_voltage_and_health_and_heat_the_pack() {
    let pair = twins(Fault::BatteryCell, 0.1, 12);
    let share =
        pair.mean(|ill, healthy| Some(value(ill, s::TRACTION_BATTERY_VOLTAGE) / value(healthy, s::TRACTION_BATTERY_VOLTAGE)));
    assert!((0.8..0.93).contains(&share), "{share}");
    let health =
        pair.mean(|ill, healthy| Some(value(ill, s::TRACTION_BATTERY_HEALTH) / value(healthy, s::TRACTION_BATTERY_HEALTH)));
    assert!((health - 0.9).abs() < 0.01, "{health}");
    assert!(pair.mean_change(s::TRACTION_BATTERY_TEMPERATURE) > 1.0);
}

#[test]
fn random_faults_come_at_their_rate_and_only_the_chosen_kinds() {
    let mut ill = options(200, 13);
    ill.every = Duration::from_mins(10);
    ill.faults = RandomFaults { kinds: vec![Fault::GpsFreeze, Fault::HarshDriving], mean_days_between: 2.0 };
    let mut fleet = Fleet::new(&ill);
    let mut episodes = Vec::new();
    for index in 0..200 {
        history(&mut fleet, index, ill.start.plus(hours(48)));
        episodes.extend(fleet.vehicles[index].episodes());
    }
    // 200 vehicles for 2 days at one in two days; a fault waits until its vehicle drives.
    assert!((120..220).contains(&episodes.len()), "{}", episodes.len());
    assert!(episodes.iter().all(|episode| matches!(episode.fault, Fault::GpsFreeze | Fault::HarshDriving)));
}

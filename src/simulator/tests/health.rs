//! What a healthy fleet may never do.

use proptest::prelude::*;

use super::*;
use crate::domain::signal::{self as s, SIGNALS};
use crate::domain::{Ignition, Position};

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_healthy_fleet_stays_plausible_and_consistent(seed in 0_u64..1_000_000, day in 0_u64..365) {
        let start = START.parse::<Timestamp>().unwrap().plus(hours(24 * day));
        let mut fleet = Fleet::new(&Options { start, ..options(12, seed) });
        for index in 0..fleet.vehicles.len() {
            let kind = fleet.vehicles[index].kind();
            let readings = history(&mut fleet, index, start.plus(hours(20)));
            check_ranges(&readings);
            check_parked(&readings);
            check_distance(&readings);
            check_fuel(&readings, kind);
            check_believable(&readings, kind);
        }
    }
}

fn check_ranges(readings: &[(Reading, Option<Label>)]) {
    for (reading, label) in readings {
        assert_eq!(*label, None);
        assert!(reading.dtcs.is_empty());
        for (id, value) in reading.signals.iter() {
            let (low, high) = SIGNALS[id.index()].plausible;
            assert!((low..=high).contains(&f64::from(value)), "{} {value} at {}", SIGNALS[id.index()].name, reading.recorded_at);
        }
    }
}

fn check_parked(readings: &[(Reading, Option<Label>)]) {
    for (reading, _) in readings.iter().filter(|(reading, _)| reading.ignition == Some(Ignition::Off)) {
        assert!(value(reading, s::SPEED).abs() < 1e-6);
        assert!(reading.signals.get(s::ENGINE_SPEED).is_none_or(|rpm| rpm.abs() < 1e-6));
        assert_eq!(reading.signals.get(s::COOLANT_TEMPERATURE), None);
    }
}

/// Odometer against positions and against speed.
fn check_distance(readings: &[(Reading, Option<Label>)]) {
    let (mut driven_m, mut by_speed_m) = (0.0, 0.0);
    for pair in readings.windows(2) {
        let (before, after) = (&pair[0].0, &pair[1].0);
        let seconds = after.recorded_at.seconds_since(before.recorded_at);
        let moved_m = after.odometer_m.unwrap() - before.odometer_m.unwrap();
        assert!((0.0..=seconds * 50.0).contains(&moved_m), "{moved_m} m at {}", after.recorded_at);
        driven_m += moved_m;
        by_speed_m += f64::from(value(before, s::SPEED) + value(after, s::SPEED)) / 7.2 * seconds;
        if let (Some(from), Some(to)) = (before.position, after.position) {
            let straight_m = from.distance_m(&to);
            // Twice the deviation of a receiver at both ends, and never longer than the road.
            assert!(straight_m <= moved_m + 30.0, "{straight_m} m over {moved_m} m of road at {}", after.recorded_at);
        }
    }
    // Speed is sampled every 30 s between stops; over a day the errors cancel. The exact sum is checked below.
    assert!((by_speed_m - driven_m).abs() <= 0.1 * driven_m + 2_000.0, "{by_speed_m} of {driven_m}");
}

/// Level falls, but for the slosh of the float (4 deviations) and fillings, which happen only while parked and are large.
fn check_fuel(readings: &[(Reading, Option<Label>)], kind: Kind) {
    if kind == Kind::Electric {
        return;
    }
    for pair in readings.windows(2) {
        let (before, after) = (&pair[0].0, &pair[1].0);
        let rise = value(after, s::FUEL_LEVEL) - value(before, s::FUEL_LEVEL);
        let filled = rise > 50.0 && value(before, s::FUEL_LEVEL) < 25.0;
        assert!(rise < 3.0 || filled, "fuel rises by {rise} % at {}", after.recorded_at);
    }
}

fn check_believable(readings: &[(Reading, Option<Label>)], kind: Kind) {
    let driving: Vec<&Reading> =
        readings.iter().map(|(reading, _)| reading).filter(|reading| reading.ignition == Some(Ignition::On)).collect();
    let mut warm_for = 0;
    for pair in driving.windows(2) {
        let reading = pair[1];
        let without_pause = reading.recorded_at.seconds_since(pair[0].recorded_at) < 31.0;
        warm_for = if without_pause { warm_for + 1 } else { 0 };
        if kind == Kind::Electric {
            assert!((300.0..460.0).contains(&value(reading, s::TRACTION_BATTERY_VOLTAGE)), "{reading:?}");
            continue;
        }
        let coolant = value(reading, s::COOLANT_TEMPERATURE);
        assert!(coolant < 105.0, "{kind:?} boils: {reading:?}");
        // Half an hour.
        assert!(warm_for < 60 || coolant >= 78.0, "{kind:?} stays cold: {coolant} at {}", reading.recorded_at);
        assert!(value(reading, s::ENGINE_SPEED) > 500.0, "{reading:?}");
        let nominal = if kind == Kind::Truck { 28.2 } else { 14.2 };
        let settled = warm_for > 2;
        assert!(!settled || (value(reading, s::BATTERY_VOLTAGE) / nominal - 1.0).abs() < 0.06, "{reading:?}");
    }
}

#[test]
fn the_odometer_is_the_integral_of_speed() {
    let mut fleet = Fleet::new(&Options { every: Duration::from_secs(1), ..options(8, 3) });
    for index in 0..8 {
        let readings = history(&mut fleet, index, START.parse::<Timestamp>().unwrap().plus(hours(6)));
        let driven_m = readings.last().unwrap().0.odometer_m.unwrap() - readings[0].0.odometer_m.unwrap();
        let by_speed_m: f64 =
            readings.windows(2).map(|pair| f64::from(value(&pair[0].0, s::SPEED) + value(&pair[1].0, s::SPEED)) / 7.2).sum();
        assert!((by_speed_m - driven_m).abs() <= 0.01 * driven_m + 20.0, "vehicle {index}: {by_speed_m} of {driven_m}");
    }
}

#[test]
fn a_vehicle_moves_along_its_road_as_far_as_its_odometer_says() {
    let mut fleet = Fleet::new(&options(8, 3));
    let mut compared = 0;
    for vehicle in &mut fleet.vehicles {
        let mut reading = blank_reading();
        for _reading in 0..700 {
            let before = vehicle.motion.clone();
            vehicle.next_reading(&fleet.world, &mut reading);
            let after = &vehicle.motion;
            let passed_a_stop = after.at.along_m < before.at.along_m;
            if after.at.edge == before.at.edge && !passed_a_stop {
                let (along_m, driven_m) = (f64::from(after.at.along_m - before.at.along_m), after.odometer_m - before.odometer_m);
                assert!((along_m - driven_m).abs() < 0.5, "{along_m} m along the road, {driven_m} m on the odometer");
                compared += u32::from(driven_m > 1.0);
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn a_fleet_uses_the_fuel_and_charge_that_its_kinds_use() {
    // Data sheets and fleet reports: trucks 22 to 40 l/100 km, vans 7 to 13, cars 4.5 to 9, electric cars 13 to 28 kWh.
    let expected = [(Kind::Truck, 20.0..42.0), (Kind::Van, 6.5..14.0), (Kind::Car, 4.5..9.5), (Kind::Electric, 12.0..28.0)];
    let mut fleet = Fleet::new(&options(60, 9));
    let mut used = [(0.0, 0.0); 4];
    for index in 0..60 {
        let vehicle = &fleet.vehicles[index];
        let kind = vehicle.kind();
        let readings = history(&mut fleet, index, START.parse::<Timestamp>().unwrap().plus(hours(24)));
        let (litres_or_kwh, driven_m) = &mut used[kind as usize];
        for pair in readings.windows(2) {
            let (before, after) = (&pair[0].0, &pair[1].0);
            *driven_m += after.odometer_m.unwrap() - before.odometer_m.unwrap();
            let kilowatts =
                f64::from(-value(after, s::TRACTION_BATTERY_CURRENT) * value(after, s::TRACTION_BATTERY_VOLTAGE)) / 1_000.0;
            let litres_per_100_km = f64::from(after.signals.get(s::FUEL_CONSUMPTION).unwrap_or(0.0));
            if kind != Kind::Electric {
                *litres_or_kwh += litres_per_100_km / 1e5 * f64::from(value(after, s::SPEED)) / 3.6 * 30.0;
            } else if after.ignition == Some(Ignition::On) {
                *litres_or_kwh += kilowatts * 30.0 / 3_600.0;
            }
        }
    }
    for (kind, range) in expected {
        let (litres_or_kwh, driven_m) = used[kind as usize];
        assert!(driven_m > 500_000.0, "{kind:?} drove {driven_m} m");
        let per_100_km = litres_or_kwh / driven_m * 1e5;
        assert!(range.contains(&per_100_km), "{kind:?} uses {per_100_km} per 100 km");
    }
}

#[test]
fn positions_lie_on_roads() {
    let mut fleet = Fleet::new(&options(4, 1));
    let points: Vec<Position> = fleet
        .world
        .roads()
        .lines()
        .flat_map(|line| line.points)
        .map(|(latitude, longitude)| Position::new(latitude, longitude).unwrap())
        .collect();
    for index in 0..4 {
        let readings = history(&mut fleet, index, START.parse::<Timestamp>().unwrap().plus(hours(6)));
        for position in readings.iter().filter_map(|(reading, _)| reading.position).step_by(37) {
            let nearest_m = points.iter().map(|point| point.distance_m(&position)).fold(f64::MAX, f64::min);
            // Points are at most 600 m apart.
            assert!(nearest_m < 330.0, "{position:?} is {nearest_m} m away from every road");
        }
    }
}

#[test]
fn most_of_the_fleet_works_by_day_and_some_by_night() {
    let share_on = |start: &str| {
        let fleet = Fleet::new(&Options { start: start.parse().unwrap(), ..options(400, 1) });
        let on = fleet.vehicles.iter().filter(|vehicle| vehicle.is_driving()).count();
        on * 100 / 400
    };
    assert!((45..95).contains(&share_on("2026-11-03T09:00:00Z")), "{}", share_on("2026-11-03T09:00:00Z"));
    assert!((4..30).contains(&share_on("2026-11-03T01:00:00Z")), "{}", share_on("2026-11-03T01:00:00Z"));
}

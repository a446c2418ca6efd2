//! Tests of `features`.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analytics::fixtures::{at, reading_at};
use crate::analytics::profile::{Lesson, Profile};
use crate::analytics::window::{Window, WindowLimits};
use crate::domain::{Position, PositionVerdict, Quality, Reading, SignalId, SignalTable, signal};

const NAMES: &[&str] = &[
    "speed_km_per_h",
    "speed_km_per_h.mean_5m",
    "speed_km_per_h.std_5m",
    "speed_km_per_h.min_90s",
    "speed_km_per_h.max_90s",
    "speed_km_per_h.range_10m",
    "speed_km_per_h.slope_5m",
    "speed_km_per_h.delta",
    "speed_km_per_h.count_5m",
    "speed_km_per_h.ewma_1m",
    "speed_km_per_h.missing_ratio_5m",
    "seconds_since_previous",
    "moved_m",
    "implied_speed_km_per_h",
    "speed_mismatch_km_per_h",
    "hour_sin",
    "hour_cos",
    "heading_change_deg",
    "speed_km_per_h.unchanged",
    "speed_km_per_h.zscore",
    "speed_change_m_per_s2",
];

fn plan(names: &[&str]) -> FeaturePlan {
    FeaturePlan::compile(names.iter().copied(), &SignalTable::default()).unwrap()
}

fn window_of<'a>(readings: impl IntoIterator<Item = &'a Reading>) -> Window {
    let limits = WindowLimits::new(Duration::from_hours(2), 1 << 20);
    let mut window = Window::default();
    readings.into_iter().for_each(|reading| _ = window.insert(reading, &limits));
    window
}

fn fill(plan: &FeaturePlan, window: &Window, step: usize, row: &mut [f32]) {
    plan.fill_row(&AsOf { window, step, profile: &Profile::default(), cohort: None, quality: &Quality::default() }, row);
}

fn newest_row(names: &[&str], readings: &[Reading]) -> Vec<f32> {
    let (plan, window) = (plan(names), window_of(readings));
    let mut row = vec![0.0; plan.width()];
    fill(&plan, &window, window.len() - 1, &mut row);
    row
}

fn speed_at(seconds: i64, speed: f32) -> Reading {
    reading_at(seconds, &[(signal::SPEED, speed)])
}

fn error(name: &str) -> String {
    FeaturePlan::compile([name], &SignalTable::default()).unwrap_err().to_string()
}

#[test]
fn a_misspelled_feature_is_refused_with_the_nearest_one() {
    assert_eq!(error("speed_kmh"), r#"there is no feature "speed_kmh"; did you mean "speed_km_per_h"?"#);
    assert_eq!(
        error("coolant_temp_celsius.mean_5m"),
        r#"there is no feature "coolant_temp_celsius.mean_5m"; did you mean "coolant_temperature_celsius.mean_5m"?"#
    );
    assert_eq!(
        error("speed_km_per_h.avg_5m"),
        r#"feature "speed_km_per_h.avg_5m": there is no statistic "avg_5m""#,
        "nothing looks like it"
    );
    assert_eq!(
        error("speed_km_per_h.slop_5m"),
        r#"feature "speed_km_per_h.slop_5m": there is no statistic "slop_5m"; did you mean "slope_5m"?"#
    );
    assert!(error("speed_km_per_h.mean").contains("needs a duration, such as mean_5m"));
    assert!(error("speed_km_per_h.mean_5parsecs").contains("no duration"));
    assert!(error("speed_km_per_h.mean_2d").contains("between 1s and 24h"));
    assert!(error("speed_km_per_h.delta_5m").contains("takes no duration"));
    assert!(error("speed_km_per_h.unchanged_5m").contains("takes no duration"));
    assert!(error("hour_sin.zscore").contains("only signals and the derived features effective_displacement_l"));
    assert_eq!(
        error("speed_km_per_h.z_score"),
        r#"feature "speed_km_per_h.z_score": there is no statistic "z_score"; did you mean "zscore"?"#
    );
    assert!(error("hour_sine").contains(r#"did you mean "hour_sin"?"#));
}

#[test]
fn every_described_name_is_understood() {
    for description in describe(&SignalTable::default()) {
        plan(&[&description.name.replace("{duration}", "5m")]);
    }
}

#[test]
fn a_span_begins_after_its_oldest_moment_and_ends_with_the_reading() {
    let readings = [speed_at(0, 100.0), speed_at(1, 10.0), speed_at(300, 20.0)];
    assert_eq!(newest_row(&["speed_km_per_h.mean_5m", "speed_km_per_h.mean_301s"], &readings), [15.0, 130.0_f32 / 3.0]);
}

#[test]
fn a_slope_is_per_minute() {
    let readings: Vec<_> = (0..4).map(|step| speed_at(step * 30, 50.0 + step as f32)).collect();
    assert_eq!(newest_row(&["speed_km_per_h.slope_5m"], &readings), [2.0]);
    assert!(newest_row(&["speed_km_per_h.slope_1m"], &readings)[0].is_nan(), "two values are too few");
}

#[test]
fn a_delta_looks_over_gaps_of_the_signal_but_not_over_ten_minutes() {
    let gap = |seconds| reading_at(seconds, &[(signal::GEAR, 1.0)]);
    assert_eq!(newest_row(&["speed_km_per_h.delta"], &[speed_at(0, 50.0), gap(300), speed_at(600, 53.0)]), [3.0]);
    assert!(newest_row(&["speed_km_per_h.delta"], &[speed_at(0, 50.0), gap(300), speed_at(601, 53.0)])[0].is_nan());
}

#[test]
fn a_signal_that_holds_stands_until_it_is_too_old() {
    let mut signals = signal::SIGNALS.to_vec();
    signals[signal::SPEED.index()].hold = Some(Duration::from_mins(15));
    let plan = FeaturePlan::compile(["speed_km_per_h"], &SignalTable::new(signals)).unwrap();
    assert_eq!(plan.keep(), Duration::from_mins(15));
    let silent = |seconds| reading_at(seconds, &[(signal::GEAR, 1.0)]);
    let window = window_of(&[speed_at(0, 50.0), silent(900), silent(901)]);
    let mut row = [0.0];
    fill(&plan, &window, 1, &mut row);
    assert_eq!(row, [50.0]);
    fill(&plan, &window, 2, &mut row);
    assert!(row[0].is_nan());
}

#[test]
fn what_is_kept_is_all_that_features_ask_for() {
    let plan = plan(NAMES);
    let limits = WindowLimits::new(plan.keep(), 1 << 20);
    let (mut kept, mut everything) = (Window::default(), Window::default());
    let (mut row, mut expected) = (vec![0.0_f32; plan.width()], vec![0.0_f32; plan.width()]);
    for step in 0..100 {
        // Neighbours that are exactly as old as features look back.
        let reading = speed_at(step * 600, (step % 17) as f32);
        kept.insert(&reading, &limits);
        everything.insert(&reading, &WindowLimits::new(Duration::from_hours(24), 1 << 20));
        fill(&plan, &kept, kept.len() - 1, &mut row);
        fill(&plan, &everything, everything.len() - 1, &mut expected);
        assert!(row.iter().zip(&expected).all(|(one, other)| one.to_bits() == other.to_bits()), "{row:?} {expected:?}");
    }
}

/// The newest row of a vehicle that learnt from all readings before.
fn learnt_row(names: &[&str], readings: &[Reading]) -> Vec<f32> {
    let (plan, limits) = (plan(names), WindowLimits::new(Duration::from_hours(2), 1 << 20));
    let (mut window, mut profile) = (Window::default(), Profile::default());
    let mut row = vec![0.0; plan.width()];
    for reading in readings {
        window.insert(reading, &limits);
        let step = window.len() - 1;
        let quality = &Quality::default();
        plan.fill_row(&AsOf { window: &window, step, profile: &profile, cohort: None, quality }, &mut row);
        profile.learn(&Lesson { reading, window: &window, step, quality, raised: false });
    }
    row
}

fn is_near(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= 1e-5 * expected.abs().max(1.0)
}

#[test]
fn a_z_score_is_against_all_values_before_this_one() {
    let mut readings: Vec<_> = (0..200).map(|step| speed_at(step, if step % 2 == 0 { 40.0 } else { 60.0 })).collect();
    readings.push(speed_at(200, 80.0));
    let score = learnt_row(&["speed_km_per_h.zscore"], &readings)[0];
    assert!((score - 3.0).abs() < 1e-3, "{score}");
    assert!(learnt_row(&["speed_km_per_h.zscore"], &readings[..200])[0].is_nan(), "199 values are too few");
}

#[test]
fn a_signal_that_never_moved_is_measured_in_thousandths_of_its_range() {
    let mut readings: Vec<_> = (0..200).map(|step| speed_at(step, 50.0)).collect();
    readings.push(speed_at(200, 53.0));
    assert!(is_near(learnt_row(&["speed_km_per_h.zscore"], &readings)[0], 10.0), "0.3 km/h each");
}

#[test]
fn a_value_is_stuck_only_for_the_time_in_which_the_vehicle_moved() {
    let readings: Vec<_> = [(0, 50.0, 900.0), (30, 50.0, 700.0), (60, 0.0, 700.0), (90, 50.0, 700.0), (120, 60.0, 700.0)]
        .map(|(seconds, speed, rpm)| reading_at(seconds, &[(signal::SPEED, speed), (signal::ENGINE_SPEED, rpm)]))
        .to_vec();
    // From 90 to 120 s; the stop at 60 s is at an end of both intervals before, and at 0 s it was another value.
    assert_eq!(newest_row(&["engine_speed_rpm.unchanged"], &readings), [30.0]);
}

#[test]
fn a_derived_feature_has_a_normal_too() {
    let engine = |seconds, air_flow| {
        reading_at(
            seconds,
            &[
                (signal::ENGINE_SPEED, 2_000.0),
                (signal::INTAKE_PRESSURE, 100.0),
                (signal::INTAKE_TEMPERATURE, 20.0),
                (signal::MASS_AIR_FLOW, air_flow),
            ],
        )
    };
    let mut readings: Vec<_> = (0..200).map(|step| engine(step, if step % 2 == 0 { 28.0 } else { 32.0 })).collect();
    readings.push(engine(200, 24.0));
    let row = learnt_row(&["effective_displacement_l.zscore"], &readings);
    assert!((row[0] + 3.0).abs() < 1e-2, "{row:?}");
}

/// Written out by hand from the formulas of `odograph features list`.
#[test]
fn derived_features_equal_their_formulas() {
    let before = reading_at(
        0,
        &[
            (signal::SPEED, 54.0),
            (signal::COOLANT_TEMPERATURE, 95.0),
            (signal::ENGINE_SPEED, 1_500.0),
            (signal::FUEL_LEVEL, 60.0),
        ],
    );
    let now = reading_at(
        30,
        &[
            (signal::SPEED, 72.0),
            (signal::ENGINE_SPEED, 2_400.0),
            (signal::INTAKE_PRESSURE, 120.0),
            (signal::INTAKE_TEMPERATURE, 26.85),
            (signal::MASS_AIR_FLOW, 50.0),
            (signal::FUEL_CONSUMPTION, 8.0),
            (signal::THROTTLE, 30.0),
            (signal::ACCELERATOR_PEDAL, 25.0),
            (signal::COOLANT_TEMPERATURE, 90.0),
            (signal::OIL_TEMPERATURE, 98.0),
            (signal::AMBIENT_TEMPERATURE, 10.0),
            (signal::BATTERY_VOLTAGE, 14.2),
            (signal::TIRE_PRESSURE_FRONT_LEFT, 240.0),
            (signal::TIRE_PRESSURE_FRONT_RIGHT, 228.0),
            (signal::TIRE_PRESSURE_REAR_LEFT, 300.0),
            (signal::TRACTION_BATTERY_VOLTAGE, 400.0),
            (signal::TRACTION_BATTERY_CURRENT, -50.0),
            (signal::TRACTION_BATTERY_TEMPERATURE, 24.0),
            (signal::FUEL_LEVEL, 59.5),
        ],
    );
    // 120 kPa, 300 K, 2,400 rpm: p / (R T) = 120,000 / (287.05 * 300) kg/m³.
    let per_litre = 120_000.0 / (287.05 * 300.0) * 20.0;
    let expected = [
        ("speed_change_m_per_s2", 5.0 / 30.0),
        ("running_s", 30.0),
        ("speed_per_1000_rpm_km_per_h", 30.0),
        ("expected_air_flow_per_l_g_per_s", per_litre),
        ("effective_displacement_l", 50.0 / per_litre),
        ("air_per_fuel", 50.0 / (8.0 * 0.72 * 790.0 / 3_600.0)),
        ("throttle_above_pedal_percent", 5.0),
        ("coolant_above_ambient_k", 80.0),
        ("coolant_drop_k", 5.0),
        ("oil_above_coolant_k", 8.0),
        ("intake_above_ambient_k", 16.85),
        ("charging_voltage_v", 14.2),
        ("tire_spread_kpa", 12.0),
        ("tire_spread_share", 0.05),
        ("traction_power_kw", -20.0),
        ("pack_above_ambient_k", 14.0),
    ];
    for (name, expected) in expected {
        let found = learnt_row(&[name], &[before.clone(), now.clone()])[0];
        assert!(is_near(found, expected), "{name} is {found}, not {expected}");
    }
    for missing in ["resting_voltage_v", "fuel_drop_standing_percent"] {
        assert!(learnt_row(&[missing], &[before.clone(), now.clone()])[0].is_nan(), "{missing} while driving");
    }
    let parked = reading_at(3_600, &[(signal::BATTERY_VOLTAGE, 12.6), (signal::FUEL_LEVEL, 40.0), (signal::SPEED, 0.0)]);
    let row = learnt_row(&["resting_voltage_v", "fuel_drop_standing_percent", "charging_voltage_v"], &[before, now, parked]);
    assert!(is_near(row[0], 12.6) && is_near(row[1], 19.5) && row[2].is_nan(), "{row:?}");
}

#[test]
fn every_derived_feature_has_its_test() {
    let text = include_str!("tests.rs");
    for derived in super::derived::DERIVED {
        assert!(text.contains(&format!("\"{}\"", derived.name)), "{}", derived.name);
    }
}

mod grids {
    use super::*;
    use crate::domain::NotScored;

    fn grid(steps: usize, step: u64, max_age: u64) -> GridPlan {
        let grid = Grid { steps, step: Duration::from_secs(step), max_age: Duration::from_secs(max_age) };
        GridPlan::compile(grid, &["speed_km_per_h".to_owned(), "gear".to_owned()], &SignalTable::default()).unwrap()
    }

    fn cells(grid: &GridPlan, readings: &[Reading]) -> Result<(Vec<f32>, usize), NotScored> {
        let window = window_of(readings);
        let mut cells = vec![7.0];
        let (profile, quality) = (Profile::default(), Quality::default());
        let as_of = AsOf { window: &window, step: window.len() - 1, profile: &profile, cohort: None, quality: &quality };
        let missing = grid.append(&as_of, &mut cells)?;
        assert_eq!(cells.remove(0), 7.0, "appended");
        Ok((cells, missing))
    }

    #[test]
    fn a_cell_holds_the_last_value_that_is_not_too_old() {
        let mut readings = vec![speed_at(0, 10.0), speed_at(25, 20.0), speed_at(95, 30.0)];
        readings[0].signals.set(signal::GEAR, 1.0);
        let (found, missing) = cells(&grid(4, 30, 40), &readings).unwrap();
        // 5, 35, 65, 95 s: speed and gear, oldest first.
        let expected = [10.0, 1.0, 20.0, 1.0, 20.0, f32::NAN, 30.0, f32::NAN];
        assert_eq!(missing, 2);
        assert!(
            found.iter().zip(expected).all(|(found, expected)| *found == expected || (found.is_nan() && expected.is_nan())),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_is_made_up_before_the_first_reading() {
        let readings = [speed_at(0, 10.0), speed_at(30, 20.0), speed_at(60, 30.0)];
        assert_eq!(cells(&grid(3, 30, 30), &readings).unwrap().0[0], 10.0);
        assert_eq!(cells(&grid(4, 30, 30), &readings), Err(NotScored::TooFewReadings));
        let gap = [speed_at(0, 10.0), speed_at(600, 20.0), speed_at(630, 30.0)];
        assert_eq!(cells(&grid(3, 30, 30), &gap), Err(NotScored::TooFewReadings), "the gap is not bridged");
    }

    /// Cell by cell, looking through all readings each time.
    fn oracle(readings: &[Reading], steps: i64, step: i64, max_age: i64) -> Option<Vec<Option<f32>>> {
        let seconds = |reading: &Reading| (reading.recorded_at.as_micros() - at(0).as_micros()) / 1_000_000;
        let now = seconds(readings.last()?);
        let first = now - (steps - 1) * step;
        readings.iter().any(|reading| (first - max_age + 1..=first).contains(&seconds(reading))).then(|| {
            let moments = (0..steps).map(|index| first + index * step);
            let value = |moment: i64, id| {
                let mut young = readings.iter().rev().filter(|reading| {
                    seconds(reading) <= moment && seconds(reading) >= moment - max_age && seconds(reading) > first - max_age
                });
                young.find_map(|reading| reading.signals.get(id))
            };
            moments.flat_map(|moment| [value(moment, signal::SPEED), value(moment, signal::GEAR)]).collect()
        })
    }

    proptest! {
        #[test]
        fn a_grid_equals_its_definition(
            readings in proptest::collection::vec((1..90_i64, proptest::option::of(0.0..200.0_f32), proptest::option::of(0.0..6.0_f32)), 1..40),
            steps in 2..12_i64,
            step in 1..60_i64,
            max_age in 1..120_i64,
        ) {
            let mut seconds = 0;
            let readings: Vec<Reading> = readings.into_iter().map(|(gap, speed, gear)| {
                seconds += gap;
                let values = [(signal::SPEED, speed), (signal::GEAR, gear)];
                reading_at(seconds, &values.into_iter().filter_map(|(id, value)| Some((id, value?))).collect::<Vec<_>>())
            }).collect();
            let grid = grid(usize::try_from(steps).unwrap(), step.cast_unsigned(), max_age.cast_unsigned());
            let found = cells(&grid, &readings).ok();
            match oracle(&readings, steps, step, max_age) {
                None => prop_assert_eq!(found, None),
                Some(expected) => {
                    let (found, missing) = found.unwrap();
                    prop_assert_eq!(missing, expected.iter().filter(|cell| cell.is_none()).count());
                    for (found, expected) in found.iter().zip(expected) {
                        prop_assert!(expected.map_or(found.is_nan(), |expected| *found == expected));
                    }
                }
            }
        }
    }
}

#[test]
fn a_turn_over_north_is_small() {
    let heading_at = |seconds, heading_deg| {
        let mut reading = speed_at(seconds, 1.0);
        let mut position = Position::new(49.0, 8.0).unwrap();
        position.heading_deg = Some(heading_deg);
        reading.position = Some(position);
        reading
    };
    assert_eq!(newest_row(&["heading_change_deg"], &[heading_at(0, 350.0), heading_at(30, 10.0)]), [20.0]);
    assert_eq!(newest_row(&["heading_change_deg"], &[heading_at(0, 10.0), heading_at(30, 350.0)]), [-20.0]);
}

#[test]
fn a_window_that_lost_a_part_has_no_features_over_it() {
    let limits = WindowLimits::new(Duration::ZERO, 20 * 8);
    let mut window = Window::default();
    (0..10).for_each(|step| _ = window.insert(&speed_at(step * 60, 50.0), &limits));
    let plan = plan(&["speed_km_per_h.count_7m", "speed_km_per_h.count_9m"]);
    let mut row = [0.0; 2];
    fill(&plan, &window, window.len() - 1, &mut row);
    assert_eq!(row[0], 7.0);
    assert!(row[1].is_nan());
}

/// The same features from a plain list, written as directly as possible.
mod oracle {
    use super::{Position, Reading, SignalId, at, signal};

    pub struct Step {
        pub seconds: i64,
        pub speed: Option<f64>,
        pub position: Option<Position>,
        pub heading: Option<f64>,
    }

    pub fn steps(readings: &[Reading]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for reading in readings {
            let seconds = (reading.recorded_at.as_micros() - at(0).as_micros()) / 1_000_000;
            let index = steps.iter().position(|step| step.seconds == seconds).unwrap_or_else(|| {
                steps.push(Step { seconds, speed: None, position: None, heading: None });
                steps.len() - 1
            });
            let step = &mut steps[index];
            let value = |id: SignalId| reading.signals.get(id).map(f64::from);
            step.speed = value(signal::SPEED).or(step.speed);
            step.position = reading.position.or(step.position);
            step.heading = reading.position.and_then(|position| position.heading_deg).map(f64::from).or(step.heading);
        }
        steps.sort_by_key(|step| step.seconds);
        steps
    }

    fn unchanged(steps: &[Step], at_step: usize, value: f64) -> f64 {
        let is_same =
            |step: &&Step| step.seconds >= steps[at_step].seconds - 600 && step.speed.is_none_or(|speed| speed == value);
        let run = steps[..=at_step].iter().rev().take_while(is_same).collect::<Vec<_>>();
        let moved =
            |pair: &&[&Step]| pair[0].speed.is_some_and(|speed| speed > 3.0) && pair[1].speed.is_none_or(|speed| speed > 3.0);
        run.windows(2).filter(moved).map(|pair| (pair[0].seconds - pair[1].seconds) as f64).sum()
    }

    pub fn row(steps: &[Step], at_step: usize) -> Vec<Option<f64>> {
        let now = steps[at_step].seconds;
        let until_now = &steps[..=at_step];
        let over = |seconds: i64| -> Vec<(f64, f64)> {
            let inside = until_now.iter().filter(|step| step.seconds > now - seconds);
            inside.filter_map(|step| Some(((step.seconds - now) as f64 / 60.0, step.speed?))).collect()
        };
        let values = |seconds| over(seconds).into_iter().map(|(_, value)| value).collect::<Vec<f64>>();
        let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let smallest = |values: &[f64]| values.iter().copied().reduce(f64::min);
        let largest = |values: &[f64]| values.iter().copied().reduce(f64::max);
        let five = values(300);
        let std = (five.len() >= 2).then(|| {
            let mean = mean(&five).unwrap();
            (five.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / five.len() as f64).sqrt()
        });
        let slope = (five.len() >= 3).then(|| {
            let (times, count) = (over(300).into_iter().map(|(time, _)| time).collect::<Vec<_>>(), five.len() as f64);
            let (mean_time, mean_value) = (times.iter().sum::<f64>() / count, mean(&five).unwrap());
            let products = times.iter().zip(&five).map(|(time, value)| (time - mean_time) * (value - mean_value));
            products.sum::<f64>() / times.iter().map(|time| (time - mean_time).powi(2)).sum::<f64>()
        });
        let weights: Vec<_> = over(300).into_iter().map(|(minutes, value)| (2_f64.powf(minutes), value)).collect();
        let weight_sum: f64 = weights.iter().map(|(weight, _)| weight).sum();
        let ewma = (!weights.is_empty()).then(|| weights.iter().map(|(weight, value)| weight * value).sum::<f64>() / weight_sum);
        let step_count = until_now.iter().filter(|step| step.seconds > now - 300).count() as f64;
        let recent: Vec<&Step> = steps[..at_step].iter().filter(|step| step.seconds >= now - 600).collect();
        let here = &steps[at_step];
        let speed_before = recent.iter().rev().find_map(|step| step.speed);
        let before = recent.iter().rev().find_map(|step| Some((step.position?, step.seconds)));
        let moved = before.and_then(|(position, seconds)| Some((position.distance_m(&here.position?), (now - seconds) as f64)));
        let implied = moved.map(|(metres, seconds)| metres / seconds * 3.6);
        let day = std::f64::consts::TAU * (at(now).as_micros() as f64 / 86_400e6).fract();
        let turn = recent.iter().rev().find_map(|step| step.heading).and_then(|before| Some(here.heading? - before));
        vec![
            here.speed,
            mean(&five),
            std,
            smallest(&values(90)),
            largest(&values(90)),
            largest(&values(600)).zip(smallest(&values(600))).map(|(largest, smallest)| largest - smallest),
            slope,
            here.speed.zip(speed_before).map(|(value, before)| value - before),
            Some(five.len() as f64),
            ewma,
            Some((step_count - five.len() as f64) / step_count),
            recent.last().map(|step| (now - step.seconds) as f64),
            moved.map(|(metres, _)| metres),
            implied,
            here.speed.zip(implied).map(|(speed, implied)| speed - implied),
            Some(day.sin()),
            Some(day.cos()),
            turn.map(|turn| {
                if turn > 180.0 {
                    turn - 360.0
                } else if turn <= -180.0 {
                    turn + 360.0
                } else {
                    turn
                }
            }),
            here.speed.map(|speed| unchanged(steps, at_step, speed)),
            // The profile of these tests is empty.
            None,
            here.speed.and_then(|speed| {
                let before = recent.iter().rev().find(|step| step.speed.is_some())?;
                Some((speed - before.speed?) / 3.6 / (now - before.seconds) as f64)
            }),
        ]
    }
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let position = (48.9..49.1_f64, 8.3..8.5_f64, proptest::option::of(0.0..360.0_f32));
    let position = proptest::option::of(position.prop_map(|(latitude, longitude, heading_deg)| {
        let mut position = Position::new(latitude, longitude).unwrap();
        position.heading_deg = heading_deg;
        position
    }));
    // Some speeds are the same again and again.
    let speed = proptest::option::of(prop_oneof![3 => 0.0..200.0_f32, 1 => Just(50.0), 1 => Just(0.0)]);
    let reading = (0..2_400_i64, speed, position);
    proptest::collection::vec(reading, 1..50).prop_map(|readings| {
        let build = |(seconds, speed, position)| {
            let mut reading = reading_at(seconds, &[]);
            if let Some(speed) = speed {
                reading.signals.set(signal::SPEED, speed);
            }
            reading.position = position;
            reading
        };
        readings.into_iter().map(build).collect()
    })
}

/// In units of the larger one, and absolutely near zero.
fn are_close(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= 1e-6 * expected.abs().max(10.0)
}

proptest! {
    #[test]
    fn every_feature_equals_its_definition(readings in readings()) {
        let (plan, window, steps) = (plan(NAMES), window_of(&readings), oracle::steps(&readings));
        let mut row = vec![0.0; plan.width()];
        for step in 0..window.len() {
            fill(&plan, &window, step, &mut row);
            for ((name, found), expected) in NAMES.iter().zip(&row).zip(oracle::row(&steps, step)) {
                match expected {
                    None => prop_assert!(found.is_nan(), "{} is {}, not missing", name, found),
                    Some(expected) => prop_assert!(are_close(*found, expected), "{} is {}, not {}", name, found, expected),
                }
            }
        }
    }

    #[test]
    fn features_are_bit_equal_however_the_window_came_to_be(readings in readings(), seed in any::<u64>()) {
        // One reading per moment, since among several the arrival decides.
        let mut in_order = readings;
        in_order.sort_by_key(|reading| reading.recorded_at);
        in_order.dedup_by_key(|reading| reading.recorded_at);
        let mut shuffled: Vec<&Reading> = in_order.iter().collect();
        shuffled.sort_by_key(|reading| (reading.recorded_at.as_micros().cast_unsigned() ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (plan, one, other) = (plan(NAMES), window_of(&in_order), window_of(shuffled));
        let (mut row, mut other_row) = (vec![0.0_f32; plan.width()], vec![0.0_f32; plan.width()]);
        for step in 0..one.len() {
            fill(&plan, &one, step, &mut row);
            fill(&plan, &other, step, &mut other_row);
            prop_assert!(row.iter().zip(&other_row).all(|(one, other)| one.to_bits() == other.to_bits()));
        }
    }
}

#[test]
fn what_cannot_be_believed_counts_as_missing_and_its_neighbours_stand() {
    let mut readings = [speed_at(0, 50.0), speed_at(30, 50.0)];
    for reading in &mut readings {
        reading.signals.set(signal::GEAR, 4.0);
        reading.position = Some(Position::new(49.0, 8.0).unwrap());
    }
    let plan =
        plan(&["speed_km_per_h", "speed_km_per_h.mean_5m", "gear.mean_5m", "moved_m", "speed_mismatch_km_per_h", "hour_sin"]);
    let window = window_of(&readings);
    let missing = |quality: Quality| {
        let mut row = [0.0; 6];
        plan.fill_row(
            &AsOf { window: &window, step: 1, profile: &Profile::default(), cohort: None, quality: &quality },
            &mut row,
        );
        row.map(f32::is_nan)
    };
    assert_eq!(missing(Quality::default()), [false; 6]);
    let stuck = Quality { stuck: 1 << signal::SPEED.index(), ..Quality::default() };
    assert_eq!(missing(stuck), [true, true, false, false, true, false]);
    let lost = Quality { position: Some(PositionVerdict::Frozen), ..Quality::default() };
    assert_eq!(missing(lost), [false, false, false, true, true, false]);
}

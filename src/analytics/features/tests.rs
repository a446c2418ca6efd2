//! Tests of `features`.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analytics::fixtures::{at, reading_at};
use crate::analytics::profile::Profile;
use crate::analytics::window::{Window, WindowLimits};
use crate::domain::{Position, Reading, SignalId, SignalTable, signal};

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
    plan.fill_row(&AsOf { window, step, profile: &Profile::default(), cohort: None }, row);
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
    let reading = (0..2_400_i64, proptest::option::of(0.0..200.0_f32), position);
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

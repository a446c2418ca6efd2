//! Names, spans and what counts as missing; the builders that the tests below share.

mod definitions;
mod formulas;
mod grids;
mod oracle;

use std::time::Duration;

use super::*;
use crate::analytics::fixtures::reading_at;
use crate::analytics::profile::Profile;
use crate::analytics::window::{Window, WindowLimits};
use crate::domain::{Position, PositionVerdict, Quality, Reading, SignalTable, signal};

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

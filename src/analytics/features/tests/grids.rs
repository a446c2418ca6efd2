//! Grids of past values, against their definition.

use proptest::prelude::*;

use super::*;
use crate::analytics::fixtures::at;
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

//! Every feature of a list against its definition, over windows of any history.

use proptest::prelude::*;

use super::*;

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

//! Single features against values worked out by hand.

use super::*;
use crate::analytics::profile::Lesson;

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
    let text = [include_str!("../tests.rs"), include_str!("formulas.rs")].concat();
    for derived in crate::analytics::features::derived::DERIVED {
        assert!(text.contains(&format!("\"{}\"", derived.name)), "{}", derived.name);
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

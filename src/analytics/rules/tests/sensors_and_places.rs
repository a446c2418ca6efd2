//! Sensors that do not measure, and positions that cannot be.

use super::*;

#[test]
fn a_signal_that_follows_the_speed_and_stays_the_same_is_stuck() {
    let drive = |rpm_moves: bool| {
        let mut drive = a_vehicle();
        for reading in 0..20_u8 {
            let speed = if reading % 2 == 0 { 30.0 } else { 45.0 };
            let rpm = if rpm_moves { 1_500.0 + f32::from(reading) } else { 1_500.0 };
            drive.send(&[(s::SPEED, speed), (s::ENGINE_SPEED, rpm)]);
        }
        drive
    };
    assert_eq!(drive(true).says("sensor_stuck"), Level::Calm);
    let stuck = drive(false);
    assert_eq!(stuck.says("sensor_stuck"), Level::Raised);
    assert!(stuck.summary("sensor_stuck").starts_with("engine_speed_rpm stays the same"));
    let steady = a_vehicle().sends(200, &DRIVING);
    assert_eq!(steady.says("sensor_stuck"), Level::Calm, "a cruise at one speed");
}

#[test]
fn a_torn_wire_jumps_to_the_end_of_the_range() {
    let drive = a_vehicle().sends(3, &driving_with(&[(s::COOLANT_TEMPERATURE, 88.0)]));
    assert_eq!(drive.says("sensor_open_circuit"), Level::Calm);
    let drive = drive.sends(2, &driving_with(&[(s::COOLANT_TEMPERATURE, -40.0)]));
    assert_eq!(drive.says("sensor_open_circuit"), Level::Raised);
    assert_eq!(drive.summary("sensor_open_circuit"), "coolant_temperature_celsius jumped to -40, the end of its range");
    let drive = drive.sends(1, &driving_with(&[(s::COOLANT_TEMPERATURE, 88.0)]));
    assert_eq!(drive.says("sensor_open_circuit"), Level::Calm);
}

#[test]
fn a_cold_start_can_read_40_below_without_a_jump() {
    let cold = [(s::ENGINE_SPEED, 900.0), (s::COOLANT_TEMPERATURE, -40.0)];
    assert_eq!(a_vehicle().every(1).sends(30, &cold).says("sensor_open_circuit"), Level::Calm);
    let in_summer = [cold[0], cold[1], (s::AMBIENT_TEMPERATURE, 15.0)];
    assert_eq!(a_vehicle().every(1).sends(5, &in_summer).says("sensor_open_circuit"), Level::Holding, "for five seconds");
    assert_eq!(a_vehicle().every(1).sends(30, &in_summer).says("sensor_open_circuit"), Level::Raised);
}

#[test]
fn no_engine_turns_without_air() {
    let air = |rpm, flow| a_vehicle().sends(3, &[(s::ENGINE_SPEED, rpm), (s::MASS_AIR_FLOW, flow)]).says("sensor_open_circuit");
    assert_eq!((air(900.0, 0.0), air(0.0, 0.0), air(900.0, 4.0)), (Level::Raised, Level::Calm, Level::Calm));
}

#[test]
fn a_regular_signal_that_is_often_missing_is_named() {
    let with = driving_with(&[(s::OIL_TEMPERATURE, 95.0)]);
    let mut drive = a_vehicle().sends(80, &with);
    assert_eq!(drive.says("signal_missing"), Level::Calm);
    drive.send(&DRIVING);
    assert_eq!(drive.says("signal_missing"), Level::Calm, "once");
    for _ in 0..20 {
        drive = drive.sends(1, &DRIVING).sends(1, &with);
    }
    assert_eq!(drive.says("signal_missing"), Level::Raised);
    assert!(drive.summary("signal_missing").starts_with("oil_temperature_celsius is missing"));
    let drive = drive.sends(60, &with);
    assert_eq!(drive.says("signal_missing"), Level::Calm);
    let drive = drive.with_ignition(Ignition::Off).sends(60, &[(s::SPEED, 0.0)]);
    assert_eq!(drive.says("signal_missing"), Level::NotAssessed, "parked vehicles send less");
}

#[test]
fn a_signal_that_comes_now_and_then_is_never_missing() {
    let mut drive = a_vehicle();
    for reading in 0..300 {
        let values = if reading % 5 == 0 { driving_with(&[(s::OIL_TEMPERATURE, 95.0)]) } else { DRIVING.to_vec() };
        drive.send(&values);
    }
    assert_eq!(drive.says("signal_missing"), Level::Calm);
}

fn place(north_m: f64) -> Option<Position> {
    Position::new(49.0 + north_m / 111_195.0, 8.4).ok()
}

#[test]
fn a_position_farther_than_the_vehicle_went_is_a_jump() {
    let drive = |jump_m: f64| {
        let mut drive = a_vehicle();
        drive.odometer_m = Some(81_234_561.0);
        drive.position = place(0.0);
        drive.send(&DRIVING);
        for reading in 1..=5_u8 {
            drive.odometer_m = Some(81_234_561.0 + 500.0 * f64::from(reading));
            drive.position = place(500.0 * f64::from(reading) + if reading == 5 { jump_m } else { 0.0 });
            drive.send(&DRIVING);
        }
        drive
    };
    assert_eq!(drive(0.0).says("impossible_jump"), Level::Calm);
    assert_eq!(drive(20.0).says("impossible_jump"), Level::Calm);
    let jump = drive(400.0);
    assert_eq!(jump.summary("impossible_jump"), "position 399 m farther than the vehicle went, limit 150 m");
}

#[test]
fn without_odometer_a_jump_is_judged_by_speed() {
    let mut drive = a_vehicle();
    drive.position = place(0.0);
    drive.send(&DRIVING);
    drive.position = place(480.0);
    drive.send(&DRIVING);
    assert_eq!(drive.says("impossible_jump"), Level::Calm, "60 km/h for 30 s");
    drive.position = place(480.0 + 900.0);
    drive.send(&DRIVING);
    assert_eq!(drive.says("impossible_jump"), Level::Raised);
}

#[test]
fn a_vehicle_that_comes_out_of_a_tunnel_did_not_jump() {
    let mut drive = a_vehicle();
    drive.position = place(0.0);
    drive.send(&DRIVING);
    drive.position = None;
    let mut drive = drive.sends(6, &DRIVING);
    drive.position = place(3_400.0);
    drive.send(&DRIVING);
    assert_eq!(drive.says("impossible_jump"), Level::Calm);
}

#[test]
fn a_position_that_stays_the_same_while_the_vehicle_drives_is_stuck() {
    let mut drive = a_vehicle();
    drive.position = place(0.0);
    let drive = drive.sends(1, &DRIVING);
    assert_ne!(drive.says("position_stuck"), Level::Raised);
    let drive = drive.sends(3, &DRIVING);
    assert_eq!(drive.says("position_stuck"), Level::Raised);
    let mut standing = a_vehicle();
    standing.position = place(0.0);
    assert!(standing.sends(100, &[(s::SPEED, 0.0)]).says("position_stuck") < Level::Holding);
}

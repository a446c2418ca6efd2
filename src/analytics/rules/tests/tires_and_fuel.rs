//! What leaks.

use super::*;

const TIRES: [SignalId; 4] =
    [s::TIRE_PRESSURE_FRONT_LEFT, s::TIRE_PRESSURE_FRONT_RIGHT, s::TIRE_PRESSURE_REAR_LEFT, s::TIRE_PRESSURE_REAR_RIGHT];

fn tires(kpa: [f32; 4]) -> Vec<(SignalId, f32)> {
    TIRES.into_iter().zip(kpa).collect()
}

#[test]
fn a_tire_that_falls_behind_the_others_is_named() {
    let drive = a_vehicle().sends(30, &tires([240.0, 238.0, 230.0, 231.0]));
    assert_eq!(drive.says("tire_leak_slow"), Level::Calm);
    let mut drive = drive.every(600);
    for hour in 0..10_u8 {
        drive = drive.sends(6, &tires([240.0, 238.0, 230.0 - 2.0 * f32::from(hour), 231.0]));
    }
    assert_eq!(drive.says("tire_leak_slow"), Level::Raised);
    assert!(
        drive.summary("tire_leak_slow").starts_with("tire_pressure_rear_left_kpa is "),
        "{}",
        drive.summary("tire_leak_slow")
    );
    assert_eq!(drive.says("tire_leak_fast"), Level::Calm);
}

#[test]
fn a_puncture_is_seen_within_minutes() {
    let mut drive = a_vehicle().sends(50, &tires([240.0, 240.0, 240.0, 240.0]));
    for minute in 1..=6_u8 {
        drive = drive.sends(2, &tires([240.0, 240.0 - 4.0 * f32::from(minute), 240.0, 240.0]));
    }
    assert_eq!(drive.says("tire_leak_fast"), Level::Raised);
    assert!(drive.summary("tire_leak_fast").contains("front_right"));
}

#[test]
fn tires_that_warm_up_together_leak_nothing() {
    const COLD: [f32; 4] = [200.0, 202.0, 850.0, 835.0];
    // Absolute pressure rises with temperature alike, what a gauge shows does not.
    let warm = |percent: u8| COLD.map(|kpa| (kpa + 101.3) * (1.0 + f32::from(percent) / 100.0) - 101.3);
    let mut drive = a_vehicle().sends(30, &tires(COLD));
    for percent in 0..=15_u8 {
        drive = drive.sends(3, &tires(warm(percent)));
        assert!(drive.says("tire_leak_slow") == Level::Calm && drive.says("tire_leak_fast") < Level::Holding, "{percent} %");
    }
    let at_once = a_vehicle().sends(30, &tires(COLD)).after(3_600).sends(1, &tires(warm(15)));
    assert_eq!(at_once.says("tire_leak_slow"), Level::Calm);
    let three = drive.sends(1, &tires(COLD)[..3]);
    assert_eq!(three.says("tire_leak_slow"), Level::NotAssessed);
}

#[test]
fn a_tire_that_was_pumped_up_is_normal_again() {
    let drive = a_vehicle().sends(30, &tires([220.0, 240.0, 240.0, 240.0])).sends(60, &tires([240.0; 4]));
    assert_eq!(drive.says("tire_leak_slow"), Level::Calm);
    assert_eq!(drive.sends(1, &tires([222.0, 240.0, 240.0, 240.0])).says("tire_leak_slow"), Level::Raised);
}

fn fuel(percent: f32) -> Vec<(SignalId, f32)> {
    vec![(s::SPEED, 0.0), (s::FUEL_LEVEL, percent)]
}

#[test]
fn fuel_that_goes_while_parked_is_raised_until_the_vehicle_drives_again() {
    let drive = a_vehicle().with_ignition(Ignition::Off).sends(5, &fuel(80.0)).sends(5, &fuel(79.0));
    assert_eq!(drive.says("fuel_loss_parked"), Level::Calm);
    let drive = drive.sends(1, &fuel(70.0));
    assert_eq!(
        (drive.says("fuel_loss_parked"), drive.summary("fuel_loss_parked")),
        (Level::Raised, "10 % of the tank gone while parked, limit 7 %")
    );
    let drive = drive.with_ignition(Ignition::On).sends(1, &driving_with(&[(s::FUEL_LEVEL, 70.0)]));
    assert_eq!(drive.says("fuel_loss_parked"), Level::Calm);
}

#[test]
fn one_wave_upwards_while_parked_is_no_filling() {
    let drive = a_vehicle().with_ignition(Ignition::Off).sends(5, &fuel(60.0)).sends(1, &fuel(75.0)).sends(1, &fuel(60.0));
    assert_eq!(drive.says("fuel_loss_parked"), Level::Calm);
}

#[test]
fn fuel_that_goes_faster_than_it_can_be_burnt_is_raised() {
    let level = |percent| driving_with(&[(s::FUEL_LEVEL, percent)]);
    let mut drive = a_vehicle().sends(20, &level(80.0));
    for minute in 0..30_u8 {
        drive = drive.sends(2, &level(80.0 - 0.3 * f32::from(minute)));
    }
    assert_eq!(drive.says("fuel_loss_driving"), Level::Calm, "half a per cent a kilometre can be burnt");
    let drive = drive.sends(12, &level(45.0));
    assert_eq!(drive.says("fuel_loss_driving"), Level::Raised);
}

//! Heat, oil, batteries, driving.

use super::*;
use crate::domain::Severity;

#[test]
fn hot_coolant_is_raised_and_very_hot_coolant_is_critical() {
    let coolant = |celsius| a_vehicle().sends(1, &[(s::COOLANT_TEMPERATURE, celsius)]);
    assert_eq!(coolant(105.0).says("overheating"), Level::Calm);
    assert_eq!(coolant(108.0).says("overheating"), Level::Holding);
    assert_eq!(
        (coolant(113.0).says("overheating"), coolant(113.0).claim("overheating").severity),
        (Level::Raised, Severity::Warning)
    );
    assert_eq!(coolant(119.0).claim("overheating").severity, Severity::Critical);
    assert_eq!(coolant(121.0).summary("overheating"), "coolant 121 °C, limit 112 °C");
    assert_eq!(a_vehicle().sends(1, &DRIVING).says("overheating"), Level::NotAssessed);
}

#[test]
fn a_class_has_its_own_thresholds() {
    let truck = a_vehicle().of_class("heavy_truck").sends(1, &[(s::COOLANT_TEMPERATURE, 109.0), (s::SPEED, 103.0)]);
    assert_eq!((truck.says("overheating"), truck.says("over_speed")), (Level::Raised, Level::Raised));
    let van = a_vehicle().of_class("van").sends(1, &[(s::COOLANT_TEMPERATURE, 109.0), (s::SPEED, 103.0)]);
    assert_eq!((van.says("overheating"), van.says("over_speed")), (Level::Holding, Level::Calm));
}

#[test]
fn an_engine_that_stays_cool_on_a_long_drive_has_a_thermostat_that_stays_open() {
    let cool = driving_with(&[(s::COOLANT_TEMPERATURE, 62.0)]);
    let drive = a_vehicle().sends(40, &cool);
    assert_eq!(drive.says("thermostat_stuck_open"), Level::NotAssessed, "20 minutes");
    let drive = drive.sends(15, &cool);
    assert_eq!(drive.says("thermostat_stuck_open"), Level::Raised);
    let drive = drive.sends(1, &driving_with(&[(s::COOLANT_TEMPERATURE, 88.0)]));
    assert_eq!(drive.says("thermostat_stuck_open"), Level::Calm);
    let drive = drive.after(3_600).sends(1, &cool);
    assert_eq!(drive.says("thermostat_stuck_open"), Level::NotAssessed, "a new start after an hour");
}

#[test]
fn exchanged_plugs_of_coolant_and_intake_contradict_each_other() {
    let right = driving_with(&[(s::COOLANT_TEMPERATURE, 88.0), (s::OIL_TEMPERATURE, 95.0), (s::INTAKE_TEMPERATURE, 25.0)]);
    let drive = a_vehicle().sends(70, &right);
    assert_eq!(drive.says("temperatures_implausible"), Level::Calm);
    let exchanged = driving_with(&[(s::COOLANT_TEMPERATURE, 25.0), (s::OIL_TEMPERATURE, 95.0), (s::INTAKE_TEMPERATURE, 88.0)]);
    let drive = drive.sends(1, &exchanged);
    assert_eq!(drive.says("temperatures_implausible"), Level::Raised);
    assert_eq!(drive.summary("temperatures_implausible"), "intake_temperature_celsius is 63 K off the coolant, limit 10 K");
}

#[test]
fn an_air_flow_meter_that_reads_a_third_too_low_contradicts_the_pressure() {
    // 1.4 litres a cycle.
    let air = |share: f32| {
        driving_with(&[(s::MASS_AIR_FLOW, 24.97 * share), (s::INTAKE_PRESSURE, 100.0), (s::INTAKE_TEMPERATURE, 20.0)])
    };
    let drive = a_vehicle().sends(100, &air(1.0));
    assert_eq!(drive.says("air_path"), Level::NotAssessed, "nothing is normal yet");
    let drive = drive.sends(200, &air(1.0));
    assert_eq!(drive.says("air_path"), Level::Calm);
    let drive = drive.sends(8, &air(0.3));
    assert_eq!(drive.says("air_path"), Level::Holding, "not for minutes yet");
    let drive = drive.sends(300, &air(1.0)).sends(60, &air(0.67));
    assert_eq!(drive.says("air_path"), Level::Raised);
    assert!(drive.summary("air_path").starts_with("air per stroke 28 % off normal, limit 20 %"), "{}", drive.summary("air_path"));
    let idle = [
        (s::SPEED, 0.0),
        (s::ENGINE_SPEED, 800.0),
        (s::MASS_AIR_FLOW, 3.0),
        (s::INTAKE_PRESSURE, 100.0),
        (s::INTAKE_TEMPERATURE, 20.0),
    ];
    assert_eq!(drive.sends(1, &idle).says("air_path"), Level::NotAssessed);
}

#[test]
fn oil_pressure_is_judged_by_how_fast_the_engine_turns() {
    let oil = |rpm, kpa| a_vehicle().sends(3, &[(s::ENGINE_SPEED, rpm), (s::OIL_PRESSURE, kpa)]);
    assert_eq!(oil(700.0, 90.0).says("oil_pressure"), Level::Calm);
    assert_eq!(oil(3_000.0, 90.0).says("oil_pressure"), Level::Raised);
    assert_eq!(oil(700.0, 30.0).says("oil_pressure"), Level::Raised);
    assert_eq!(oil(0.0, 0.0).says("oil_pressure"), Level::NotAssessed, "the engine rests");
    let first = a_vehicle().sends(1, &[(s::ENGINE_SPEED, 900.0), (s::OIL_PRESSURE, 0.0)]);
    assert_eq!(first.says("oil_pressure"), Level::NotAssessed, "pressure builds up");
}

#[test]
fn a_battery_that_empties_at_rest_is_raised_at_12_and_at_24_volts() {
    let parked = |volts| a_vehicle().with_ignition(Ignition::Off).sends(40, &[(s::BATTERY_VOLTAGE, volts)]);
    assert_eq!(parked(12.6).says("battery_drain"), Level::Calm);
    assert_eq!(parked(11.9).says("battery_drain"), Level::Raised);
    assert_eq!(parked(25.0).says("battery_drain"), Level::Calm);
    assert_eq!(parked(23.6).says("battery_drain"), Level::Raised);
    assert_eq!(parked(11.4).claim("battery_drain").severity, Severity::Critical);
    let just_parked = a_vehicle().with_ignition(Ignition::Off).sends(5, &[(s::BATTERY_VOLTAGE, 11.9)]);
    assert_eq!(just_parked.says("battery_drain"), Level::NotAssessed);
    let with_lamps = a_vehicle().with_ignition(Ignition::Acc).sends(40, &[(s::BATTERY_VOLTAGE, 11.9)]);
    assert_eq!(with_lamps.says("battery_drain"), Level::NotAssessed);
}

#[test]
fn an_alternator_is_judged_by_a_limit_and_by_what_is_normal_for_the_vehicle() {
    let running = |volts| driving_with(&[(s::BATTERY_VOLTAGE, volts)]);
    let drive = a_vehicle().sends(10, &running(12.3));
    assert_eq!(drive.says("alternator"), Level::Raised, "whatever is normal");
    let drive = a_vehicle().sends(100, &running(14.2));
    assert_eq!(drive.says("alternator"), Level::Calm);
    let drive = drive.sends(3, &running(12.9));
    assert_eq!(drive.says("alternator"), Level::Calm, "a heavy load for a minute");
    let drive = drive.sends(20, &running(13.1));
    assert_eq!(drive.says("alternator"), Level::Raised, "below its own normal");
    let drive = a_vehicle().sends(100, &running(28.2)).sends(30, &running(32.0));
    assert_eq!(drive.says("alternator"), Level::Raised, "a regulator that does not regulate");
    let cranked = a_vehicle().sends(1, &running(10.0));
    assert_eq!(cranked.says("alternator"), Level::NotAssessed);
}

#[test]
fn a_traction_battery_that_loses_health_is_raised() {
    let drive = a_vehicle().sends(10, &[(s::TRACTION_BATTERY_HEALTH, 93.0)]);
    assert_eq!(drive.says("traction_battery"), Level::Calm);
    assert_eq!(drive.sends(1, &[(s::TRACTION_BATTERY_HEALTH, 90.8)]).says("traction_battery"), Level::Raised);
}

#[test]
fn harshness_is_taken_from_the_accelerometer_at_any_rate_and_from_speed_only_where_it_shows() {
    let peak = |metres| a_vehicle().sends(2, &driving_with(&[(s::ACCELERATION_LONGITUDINAL, metres)]));
    assert_eq!((peak(-4.5).says("harsh_braking"), peak(-4.5).says("harsh_acceleration")), (Level::Raised, Level::Calm));
    assert_eq!(peak(3.6).says("harsh_acceleration"), Level::Raised);
    let braking = |every_s| {
        let mut drive = a_vehicle().every(every_s).sends(10, &[(s::SPEED, 80.0)]);
        for speed in [64.0, 48.0, 32.0] {
            drive = drive.sends(1, &[(s::SPEED, speed)]);
        }
        drive
    };
    assert_eq!(braking(1).says("harsh_braking"), Level::Raised, "4.4 m/s²");
    assert_eq!(braking(30).says("harsh_braking"), Level::NotAssessed, "nobody saw it");
    let bend = |metres| a_vehicle().sends(1, &driving_with(&[(s::ACCELERATION_LATERAL, metres)])).says("harsh_cornering");
    assert_eq!((bend(-5.0), bend(2.0), bend(12.0)), (Level::Raised, Level::Calm, Level::NotAssessed));
}

#[test]
fn what_is_harsh_for_one_vehicle_is_learnt() {
    let accelerating = |metres| driving_with(&[(s::ACCELERATION_LONGITUDINAL, metres)]);
    let drive = a_vehicle().sends(200, &accelerating(1.6)).sends(1, &accelerating(2.4));
    assert_eq!(drive.says("harsh_acceleration"), Level::Calm, "nothing is usual yet");
    let drive = a_vehicle().sends(400, &accelerating(1.6));
    assert_eq!(drive.says("harsh_acceleration"), Level::Calm);
    assert_eq!(drive.sends(1, &accelerating(2.4)).says("harsh_acceleration"), Level::Raised);
}

#[test]
fn new_trouble_codes_are_raised_and_those_that_a_vehicle_came_with_are_not() {
    let mut drive = a_vehicle();
    drive.codes = vec!["P0420".into()];
    let mut drive = drive.sends(2, &DRIVING);
    assert_eq!(drive.says("new_trouble_code"), Level::Calm);
    drive.codes = vec!["P0420".into(), "P0301".into()];
    let drive = drive.sends(1, &DRIVING);
    assert_eq!((drive.says("new_trouble_code"), drive.summary("new_trouble_code")), (Level::Raised, "trouble code P0301"));
}

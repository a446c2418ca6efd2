//! Tests of `profile`.

use proptest::prelude::*;

use super::*;
use crate::analytics::bytes::ByteReader;
use crate::analytics::fixtures::{at, reading_at};
use crate::analytics::window::{SignalLayout, WindowLimits};
use crate::domain::{Class, Label, SignalTable, VehicleRecord, signal};

const SPEED: Quantity = Quantity::signal(signal::SPEED);

/// A profile that has seen these speeds at these seconds.
fn profile_of(values: &[(i64, f32)]) -> Profile {
    let mut vehicle = Driving::default();
    for (seconds, speed) in values {
        vehicle.drive(*seconds, &[(signal::SPEED, *speed)], false);
    }
    vehicle.profile
}

#[derive(Default)]
struct Driving {
    profile: Profile,
    window: Window,
}

impl Driving {
    fn drive(&mut self, seconds: i64, values: &[(SignalId, f32)], raised: bool) {
        let reading = reading_at(seconds, values);
        self.window.insert(&reading, &WindowLimits::new(Duration::from_hours(1), 1 << 20));
        let step = self.window.len() - 1;
        self.profile.learn(&Lesson { reading: &reading, window: &self.window, step, quality: &Quality::default(), raised });
    }
}

fn layout() -> SignalLayout {
    SignalLayout::of(&SignalTable::default())
}

fn saved_and_read(profile: &Profile) -> Profile {
    let mut bytes = Vec::new();
    profile.encode(&mut bytes);
    let mut from = ByteReader::new(&bytes);
    let read = Profile::decode(&mut from, &layout(), &layout()).unwrap();
    from.end().unwrap();
    read
}

fn is_close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

#[test]
fn a_value_that_is_a_half_life_old_counts_half() {
    let thirty_days = 30 * 86_400;
    let normal = profile_of(&[(0, 40.0), (thirty_days, 10.0)]).normal(SPEED).unwrap();
    assert!(is_close(normal.mean, (40.0 * 0.5 + 10.0) / 1.5), "{normal:?}");
}

#[test]
fn before_enough_values_the_cohort_counts_and_then_only_its_own() {
    let cohort = profile_of(&(0..200).map(|step| (step, if step % 2 == 0 { 40.0 } else { 60.0 })).collect::<Vec<_>>());
    let own = |count: i64| profile_of(&(0..count).map(|step| (step, 100.0)).collect::<Vec<_>>());
    let nothing = Profile::default().trusted_normal(Some(&cohort), SPEED).unwrap();
    assert!((nothing.mean - 50.0).abs() < 0.01 && (nothing.deviation - 10.0).abs() < 0.01, "{nothing:?}");
    let half = own(100).trusted_normal(Some(&cohort), SPEED).unwrap();
    assert!((half.mean - 75.0).abs() < 0.01, "{half:?}");
    // Half of 10² + 25², and half of 25².
    assert!((half.deviation - (0.5_f64 * (100.0 + 625.0) + 0.5 * 625.0).sqrt()).abs() < 0.01, "{half:?}");
    let own = own(200).trusted_normal(Some(&cohort), SPEED).unwrap();
    assert!(is_close(own.mean, 100.0) && own.deviation < 1e-6, "{own:?}");
}

#[test]
fn without_a_cohort_that_knows_enough_there_is_no_normal_yet() {
    let young = profile_of(&(0..199).map(|step| (step, 50.0)).collect::<Vec<_>>());
    assert_eq!(young.trusted_normal(None, SPEED), None);
    assert_eq!(Profile::default().trusted_normal(Some(&young), SPEED), None);
    assert_eq!(young.trusted_normal(Some(&young), SPEED), None);
}

#[test]
fn nothing_is_learnt_while_something_is_wrong_and_half_an_hour_after() {
    let mut vehicle = Driving::default();
    vehicle.drive(0, &[(signal::SPEED, 50.0)], false);
    vehicle.drive(30, &[(signal::SPEED, 500.0)], true);
    vehicle.drive(1_829, &[(signal::SPEED, 500.0)], false);
    assert!(is_close(vehicle.profile.normal(SPEED).unwrap().mean, 50.0));
    vehicle.drive(1_830, &[(signal::SPEED, 70.0)], false);
    assert!((vehicle.profile.normal(SPEED).unwrap().mean - 60.0).abs() < 0.01);
}

#[test]
fn a_model_is_heard_ten_minutes_later_however_often_it_speaks() {
    let mut profile = Profile::default();
    for seconds in [0, 30, 60, 90, 600, 630] {
        profile.hear_model(at(seconds));
    }
    assert!(!profile.is_frozen(at(599)));
    assert!(profile.is_frozen(at(600)) && profile.is_frozen(at(630 + 1_799)));
    assert!(!profile.is_frozen(at(630 + 1_800)));
    profile.hear_model(at(10_000));
    assert!(!profile.is_frozen(at(10_000)) && profile.is_frozen(at(10_600)));
}

#[test]
fn a_drive_ends_with_a_rest_of_ten_minutes() {
    let mut vehicle = Driving::default();
    let running = |coolant| [(signal::ENGINE_SPEED, 900.0), (signal::COOLANT_TEMPERATURE, coolant)];
    for step in 0..10_u8 {
        vehicle.drive(i64::from(step) * 30, &running(80.0 + f32::from(step)), false);
    }
    let asked = |vehicle: &mut Driving, seconds, rpm| {
        let reading = reading_at(seconds, &[(signal::ENGINE_SPEED, rpm)]);
        vehicle.window.insert(&reading, &WindowLimits::new(Duration::from_hours(1), 1 << 20));
        let step = vehicle.window.len() - 1;
        let drive = vehicle.profile.drive;
        (drive.running_s(&vehicle.window, step), drive.coolant_max_celsius(&vehicle.window, step))
    };
    assert_eq!(asked(&mut vehicle, 300, 900.0), (Some(300.0), Some(89.0)));
    vehicle.drive(330, &[(signal::ENGINE_SPEED, 0.0)], false);
    assert_eq!(asked(&mut vehicle, 340, 900.0), (Some(280.0), Some(89.0)), "a stop at a light");
    vehicle.drive(931, &[(signal::ENGINE_SPEED, 0.0)], false);
    assert_eq!(asked(&mut vehicle, 932, 900.0), (Some(0.0), None), "the next drive");
}

#[test]
fn fuel_is_compared_with_the_moment_of_the_stop() {
    let mut vehicle = Driving::default();
    vehicle.drive(0, &[(signal::SPEED, 50.0), (signal::FUEL_LEVEL, 70.0)], false);
    vehicle.drive(30, &[(signal::SPEED, 0.0), (signal::FUEL_LEVEL, 69.0)], false);
    let parked = reading_at(7_200, &[(signal::FUEL_LEVEL, 40.0)]);
    vehicle.window.insert(&parked, &WindowLimits::new(Duration::from_hours(1), 1 << 20));
    let (window, step) = (&vehicle.window, vehicle.window.len() - 1);
    assert_eq!(vehicle.profile.drive.fuel_at_stop_percent(window, step), Some(70.0), "over hours without a word");
    let mut moving = Window::default();
    moving.insert(&reading_at(7_200, &[(signal::SPEED, 30.0)]), &WindowLimits::new(Duration::ZERO, 1 << 16));
    assert_eq!(vehicle.profile.drive.fuel_at_stop_percent(&moving, 0), None);
}

#[test]
fn a_late_reading_changes_no_drive() {
    let mut vehicle = Driving::default();
    vehicle.drive(100, &[(signal::ENGINE_SPEED, 900.0), (signal::COOLANT_TEMPERATURE, 80.0)], false);
    let before = vehicle.profile.drive;
    let mut late = Window::default();
    late.insert(&reading_at(50, &[(signal::COOLANT_TEMPERATURE, 150.0)]), &WindowLimits::new(Duration::ZERO, 1 << 16));
    vehicle.profile.drive.observe(&late, 0);
    assert_eq!(vehicle.profile.drive, before);
    assert_eq!(before.coolant_max_celsius(&late, 0), None);
}

#[test]
fn cohorts_are_by_class_and_powertrain_once_an_hour_and_come_back_as_they_were() {
    let record = |class: &str, powertrain: &str| VehicleRecord {
        class: Class::new(Label::new(class).unwrap()),
        powertrain: Some(Label::new(powertrain).unwrap()),
        ..VehicleRecord::default()
    };
    let (van, electric_van) = (record("van", "diesel"), record("van", "electric"));
    let slow = profile_of(&(0..150).map(|step| (step, 30.0)).collect::<Vec<_>>());
    let fast = profile_of(&(0..150).map(|step| (step, 90.0)).collect::<Vec<_>>());
    let mut cohorts = Cohorts::default();
    assert!(cohorts.are_due(at(0)));
    cohorts.form(at(0), [(Some(&van), &slow), (Some(&van), &fast), (Some(&electric_van), &slow), (None, &fast)].into_iter());
    assert!(!cohorts.are_due(at(1)) && cohorts.are_due(at(3_600)));
    let normal =
        |cohorts: &Cohorts, record| cohorts.of(record).and_then(|cohort| Profile::default().trusted_normal(Some(cohort), SPEED));
    let vans = normal(&cohorts, Some(&van)).unwrap();
    assert!((vans.mean - 60.0).abs() < 0.01 && (vans.deviation - 30.0).abs() < 0.01, "{vans:?}");
    assert_eq!(normal(&cohorts, Some(&electric_van)), None, "150 values of one vehicle are too few");
    assert_eq!(cohorts.of(Some(&record("truck", "diesel"))), None);
    assert!(cohorts.of(None).is_some(), "nobody registered it: class unknown");

    let mut bytes = Vec::new();
    cohorts.encode(&layout(), &mut bytes);
    assert_eq!(Cohorts::decode(&bytes, &layout()).unwrap(), cohorts);
    for length in 0..bytes.len() {
        assert!(Cohorts::decode(&bytes[..length], &layout()).is_err(), "{length} bytes");
    }
}

/// Mean and deviation as they are defined, in one go over all values.
fn oracle(values: &[(i64, f32)]) -> (f64, f64) {
    let newest = values.iter().map(|(seconds, _)| *seconds).max().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "seconds of weeks")]
    let weight = |seconds: i64| 0.5_f64.powf((newest - seconds) as f64 / (30.0 * 86_400.0));
    let sum: f64 = values.iter().map(|(seconds, _)| weight(*seconds)).sum();
    let mean = values.iter().map(|(seconds, value)| weight(*seconds) * f64::from(*value)).sum::<f64>() / sum;
    let squares = values.iter().map(|(seconds, value)| weight(*seconds) * (f64::from(*value) - mean).powi(2)).sum::<f64>();
    (mean, (squares / sum).sqrt())
}

proptest! {
    #[test]
    fn a_normal_equals_its_definition(values in proptest::collection::vec((1..100_000_i64, 0.0..250.0_f32), 1..80)) {
        let mut seconds = 0;
        let values: Vec<_> = values.into_iter().map(|(step, value)| { seconds += step; (seconds, value) }).collect();
        let normal = profile_of(&values).normal(SPEED).unwrap();
        let (mean, deviation) = oracle(&values);
        prop_assert!((normal.mean - mean).abs() <= 1e-9 * mean.max(1.0), "{} {mean}", normal.mean);
        prop_assert!((normal.deviation - deviation).abs() <= 1e-6 * deviation.max(1.0), "{} {deviation}", normal.deviation);
    }

    #[test]
    fn a_cohort_is_all_values_of_its_vehicles(
        one in proptest::collection::vec((1..100_000_i64, 0.0..250.0_f32), 1..40),
        other in proptest::collection::vec((1..100_000_i64, 0.0..250.0_f32), 1..40),
    ) {
        let rising = |values: Vec<(i64, f32)>| {
            let mut seconds = 0;
            values.into_iter().map(|(step, value)| { seconds += step; (seconds, value) }).collect::<Vec<_>>()
        };
        let (one, other) = (rising(one), rising(other));
        let mut merged = profile_of(&one);
        merged.merge(&profile_of(&other));
        let (mean, deviation) = oracle(&[one, other].concat());
        let normal = merged.normal(SPEED).unwrap();
        prop_assert!((normal.mean - mean).abs() <= 1e-9 * mean.max(1.0), "{} {mean}", normal.mean);
        prop_assert!((normal.deviation - deviation).abs() <= 1e-6 * deviation.max(1.0), "{} {deviation}", normal.deviation);
    }

    #[test]
    fn a_profile_that_was_saved_in_between_learns_on_as_if_nothing_happened(
        before in proptest::collection::vec((0.0..250.0_f32, any::<bool>()), 0..20),
        after in proptest::collection::vec((0.0..250.0_f32, any::<bool>()), 0..20),
    ) {
        let (mut undisturbed, mut restarted) = (Driving::default(), Driving::default());
        let readings = before.iter().chain(&after).enumerate();
        for (step, (value, raised)) in readings {
            if step == before.len() {
                restarted.profile = saved_and_read(&restarted.profile);
            }
            let values = [(signal::SPEED, *value), (signal::COOLANT_TEMPERATURE, 90.0), (signal::ENGINE_SPEED, 10.0 * value)];
            let seconds = i64::try_from(step).unwrap() * 400;
            undisturbed.drive(seconds, &values, *raised);
            restarted.drive(seconds, &values, *raised);
        }
        prop_assert_eq!(saved_and_read(&restarted.profile), undisturbed.profile);
    }
}

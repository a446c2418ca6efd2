//! Features with a name of their own, each a function of one vehicle as of one of its steps. What those of the engine, the tyres and the
//! batteries compute: `physics`.

use std::time::Duration;

use super::group::Group;
use super::{AsOf, PREVIOUS_MAX_AGE, physics};
use crate::analytics::window::Window;
use crate::domain::{SignalId, signal};

/// One derived feature.
#[derive(Debug)]
pub struct Derived {
    pub name: &'static str,
    pub unit: &'static str,
    pub meaning: &'static str,
    pub formula: &'static str,
    pub group: Group,
    /// `None` where something that it needs is missing.
    pub compute: fn(&AsOf<'_>) -> Option<f64>,
}

macro_rules! derived {
    ($($constant:ident $name:literal $unit:literal $group:ident $meaning:literal = $formula:literal $compute:expr;)*) => {
        $(pub static $constant: Derived = Derived {
            name: $name, unit: $unit, meaning: $meaning, formula: $formula, group: Group::$group, compute: $compute,
        };)*
        /// "Previous" is at most 10 min before.
        pub static DERIVED: &[&Derived] = &[$(&$constant),*];
    };
}

derived! {
    SECONDS_SINCE_PREVIOUS "seconds_since_previous" "s" Feed
        "time since the previous reading" = "recorded_at - recorded_at of the previous step" seconds_since_previous;
    MOVED "moved_m" "m" Motion
        "distance from the previous known position" = "great circle (haversine, mean Earth radius 6,371,008.8 m, IUGG)"
        |as_of| movement(as_of).map(|(metres, _)| metres);
    IMPLIED_SPEED "implied_speed_km_per_h" "km/h" Motion
        "mean speed that the movement since the previous known position implies" = "3.6 * moved_m / seconds between both positions"
        implied_speed_km_per_h;
    SPEED_MISMATCH "speed_mismatch_km_per_h" "km/h" Motion
        "how much faster the vehicle says it is than its positions say" = "speed_km_per_h - implied_speed_km_per_h"
        |as_of| Some(as_of.value(signal::SPEED)? - implied_speed_km_per_h(as_of)?);
    HOUR_SIN "hour_sin" "" Feed
        "time of day (UTC) as a point on a circle, with hour_cos" = "sin(2 pi * seconds since midnight UTC / 86,400)"
        |as_of| Some(day_angle(as_of).sin());
    HOUR_COS "hour_cos" "" Feed
        "time of day (UTC) as a point on a circle, with hour_sin" = "cos(2 pi * seconds since midnight UTC / 86,400)"
        |as_of| Some(day_angle(as_of).cos());
    HEADING_CHANGE "heading_change_deg" "degrees" Motion
        "turn since the previous known heading, clockwise positive" = "heading_deg - previous heading_deg, within -180 (excluded) to 180"
        heading_change_deg;
    SPEED_CHANGE "speed_change_m_per_s2" "m/s^2" Motion
        "mean acceleration since the previous speed" = "(speed_km_per_h - previous speed_km_per_h) / 3.6 / seconds between both"
        physics::speed_change_m_per_s2;
    RUNNING "running_s" "s" Engine
        "how long the engine has run since its start, or the vehicle driven where it has none"
        = "time over 350 rpm (without an engine: over 3 km/h) since the last rest of 10 min; 0 while it does not run"
        |as_of| as_of.profile.drive.running_s(as_of.window, as_of.step);
    SPEED_PER_1000_RPM "speed_per_1000_rpm_km_per_h" "km/h" Motion
        "the gear that speed and engine speed make together; missing while standing or idling"
        = "speed_km_per_h / (engine_speed_rpm / 1000), above 5 km/h and 350 rpm"
        physics::speed_per_1000_rpm_km_per_h;
    AIR_FLOW_PER_LITRE "expected_air_flow_per_l_g_per_s" "g/s" Air
        "air that one litre of displacement draws in at this engine speed, intake pressure and temperature: speed-density"
        = "p / (R T) * rpm / 120 * 1 l, R = 287.05 J/(kg K), four-stroke, volumetric efficiency 1 (Heywood, Internal Combustion Engine Fundamentals, 2.10)"
        physics::expected_air_flow_per_l_g_per_s;
    EFFECTIVE_DISPLACEMENT "effective_displacement_l" "l" Air
        "displacement times volumetric efficiency that the air-flow meter implies; near constant for a healthy warm engine"
        = "mass_air_flow_g_per_s / expected_air_flow_per_l_g_per_s"
        physics::effective_displacement_l;
    AIR_PER_FUEL "air_per_fuel" "" Air
        "mass of air per mass of fuel, while it moves"
        = "mass_air_flow_g_per_s / (fuel_consumption_l_per_100km * speed_km_per_h / 100 * 790 g/l / 3600 s), above 10 km/h and 0.5 l/100km"
        physics::air_per_fuel;
    PEDAL_MISMATCH "throttle_above_pedal_percent" "percent" Engine
        "throttle beyond what the driver asks" = "throttle_percent - accelerator_pedal_percent"
        |as_of| Some(as_of.value(signal::THROTTLE)? - as_of.value(signal::ACCELERATOR_PEDAL)?);
    COOLANT_ABOVE_AMBIENT "coolant_above_ambient_k" "K" Cooling
        "how warm the engine is" = "coolant_temperature_celsius - ambient_temperature_celsius"
        |as_of| Some(as_of.value(signal::COOLANT_TEMPERATURE)? - as_of.value(signal::AMBIENT_TEMPERATURE)?);
    COOLANT_DROP "coolant_drop_k" "K" Cooling
        "how far the coolant fell from its highest temperature of this drive; a thermostat that does not close"
        = "max(coolant_temperature_celsius since the engine's start) - coolant_temperature_celsius"
        physics::coolant_drop_k;
    OIL_ABOVE_COOLANT "oil_above_coolant_k" "K" Cooling
        "oil against coolant" = "oil_temperature_celsius - coolant_temperature_celsius"
        |as_of| Some(as_of.value(signal::OIL_TEMPERATURE)? - as_of.value(signal::COOLANT_TEMPERATURE)?);
    INTAKE_ABOVE_AMBIENT "intake_above_ambient_k" "K" Air
        "how much the intake air is heated" = "intake_temperature_celsius - ambient_temperature_celsius"
        |as_of| Some(as_of.value(signal::INTAKE_TEMPERATURE)? - as_of.value(signal::AMBIENT_TEMPERATURE)?);
    CHARGING_VOLTAGE "charging_voltage_v" "V" Electrical
        "low voltage while the alternator or converter should charge; missing else"
        = "battery_voltage_v while the engine runs (without one: while it moves)"
        |as_of| as_of.is_running().then(|| as_of.value(signal::BATTERY_VOLTAGE)).flatten();
    RESTING_VOLTAGE "resting_voltage_v" "V" Electrical
        "low voltage while nothing charges; missing else" = "battery_voltage_v while charging_voltage_v is missing"
        |as_of| (!as_of.is_running()).then(|| as_of.value(signal::BATTERY_VOLTAGE)).flatten();
    TIRE_SPREAD "tire_spread_kpa" "kPa" Tires
        "largest difference between the two tyres of an axle; weather and load move both alike"
        = "max over axles of |left - right|"
        physics::tire_spread_kpa;
    TIRE_SPREAD_SHARE "tire_spread_share" "" Tires
        "the same as a share, for fleets of cars and trucks" = "max over axles of |left - right| / max(left, right)"
        physics::tire_spread_share;
    FUEL_DROP_STANDING "fuel_drop_standing_percent" "percent" Fuel
        "how far the tank fell since the vehicle stopped; missing while it moves"
        = "fuel_level_percent when it last moved (over 3 km/h) - fuel_level_percent"
        physics::fuel_drop_standing_percent;
    TRACTION_POWER "traction_power_kw" "kW" Traction
        "what the traction battery gives, negative while it is charged" = "traction_battery_voltage_v * traction_battery_current_a / 1000"
        physics::traction_power_kw;
    PACK_ABOVE_AMBIENT "pack_above_ambient_k" "K" Traction
        "how warm the traction battery is"
        = "traction_battery_temperature_celsius - ambient_temperature_celsius"
        |as_of| Some(as_of.value(signal::TRACTION_BATTERY_TEMPERATURE)? - as_of.value(signal::AMBIENT_TEMPERATURE)?);
}

/// Derived features that have a normal in the profile, so that `NAME.zscore` exists. Saved profiles know them by their place: append only.
pub static TRACKED: [&Derived; 10] = [
    &EFFECTIVE_DISPLACEMENT,
    &AIR_PER_FUEL,
    &COOLANT_ABOVE_AMBIENT,
    &OIL_ABOVE_COOLANT,
    &INTAKE_ABOVE_AMBIENT,
    &CHARGING_VOLTAGE,
    &RESTING_VOLTAGE,
    &TIRE_SPREAD_SHARE,
    &SPEED_MISMATCH,
    &PACK_ABOVE_AMBIENT,
];

/// Value of this step; where it has none, the last one that is not older than `hold`.
pub fn held(window: &Window, step: usize, signal: SignalId, hold: Option<Duration>) -> Option<f32> {
    let value = window.signal_at(signal, step);
    value.or_else(|| previous(window, step, hold?, |step| window.signal_at(signal, step)).map(|(_, value)| value))
}

/// Value of this step minus the previous present one.
pub fn delta(window: &Window, step: usize, signal: SignalId) -> Option<f64> {
    let value = window.signal_at(signal, step)?;
    let (_, previous) = previous(window, step, PREVIOUS_MAX_AGE, |step| window.signal_at(signal, step))?;
    Some(f64::from(value) - f64::from(previous))
}

/// Seconds for which the value has been the same to the last digit while the vehicle moved (over 3 km/h at both ends of an interval, or
/// at its end where the speed before is unknown).
pub fn unchanged_s(window: &Window, step: usize, signal: SignalId) -> Option<f64> {
    let value = window.signal_at(signal, step)?;
    let oldest = window.recorded_at(step).minus(PREVIOUS_MAX_AGE);
    let moves = |step| window.signal_at(signal::SPEED, step).map(|speed| speed > crate::analytics::profile::MOVING_KM_PER_H);
    let (mut seconds, mut later) = (0.0, step);
    for earlier in (0..step).rev().take_while(|step| window.recorded_at(*step) >= oldest) {
        #[expect(clippy::float_cmp, reason = "stuck means equal to the last digit")]
        let has_changed = window.signal_at(signal, earlier).is_some_and(|before| before != value);
        if has_changed {
            break;
        }
        if moves(later) == Some(true) && moves(earlier) != Some(false) {
            seconds += window.recorded_at(later).seconds_since(window.recorded_at(earlier));
        }
        later = earlier;
    }
    Some(seconds)
}

/// The newest step before `step`, not too old, of which `of` knows something.
pub fn previous<T>(window: &Window, step: usize, max_age: Duration, of: impl Fn(usize) -> Option<T>) -> Option<(usize, T)> {
    let oldest = window.recorded_at(step).minus(max_age);
    let mut candidates = (0..step).rev().take_while(|step| window.recorded_at(*step) >= oldest);
    candidates.find_map(|step| Some((step, of(step)?)))
}

fn seconds_since_previous(as_of: &AsOf<'_>) -> Option<f64> {
    let AsOf { window, step, .. } = *as_of;
    let (before, ()) = previous(window, step, PREVIOUS_MAX_AGE, |_| Some(()))?;
    Some(window.recorded_at(step).seconds_since(window.recorded_at(before)))
}

/// Metres and seconds from the previous known position.
fn movement(as_of: &AsOf<'_>) -> Option<(f64, f64)> {
    let AsOf { window, step, .. } = *as_of;
    let here = as_of.position()?;
    let (before, there) = previous(window, step, PREVIOUS_MAX_AGE, |step| window.position_at(step))?;
    Some((there.distance_m(&here), window.recorded_at(step).seconds_since(window.recorded_at(before))))
}

fn implied_speed_km_per_h(as_of: &AsOf<'_>) -> Option<f64> {
    // Steps of one window have different times.
    movement(as_of).map(|(metres, seconds)| 3.6 * metres / seconds)
}

fn day_angle(as_of: &AsOf<'_>) -> f64 {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    let micros = as_of.window.recorded_at(as_of.step).as_micros().rem_euclid(MICROS_PER_DAY);
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let share_of_day = micros as f64 / MICROS_PER_DAY as f64;
    std::f64::consts::TAU * share_of_day
}

fn heading_change_deg(as_of: &AsOf<'_>) -> Option<f64> {
    let AsOf { window, step, .. } = *as_of;
    as_of.position()?;
    let heading = f64::from(window.heading_deg_at(step)?);
    let (_, before) = previous(window, step, PREVIOUS_MAX_AGE, |step| window.heading_deg_at(step))?;
    let turn = (heading - f64::from(before)).rem_euclid(360.0);
    Some(if turn > 180.0 { turn - 360.0 } else { turn })
}

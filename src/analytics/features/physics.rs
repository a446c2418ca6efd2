//! What signals of engine, tyres and batteries say together: quantities that a healthy vehicle keeps, whatever it does.

use super::derived::previous;
use super::{AsOf, PREVIOUS_MAX_AGE};
use crate::analytics::profile::RUNNING_RPM;
use crate::domain::{SignalId, signal};

/// Of dry air.
const GAS_CONSTANT_J_PER_KG_K: f64 = 287.05;
const ZERO_CELSIUS_K: f64 = 273.15;
/// Between petrol (about 745 g/l) and diesel (about 835 g/l, EN 590): a vehicle keeps its fuel, so its own normal takes the difference.
const FUEL_G_PER_L: f64 = 790.0;
/// Below, rounding of either signal is larger than what is looked for.
const LEAST_SPEED_FOR_GEAR_KM_PER_H: f64 = 5.0;
const LEAST_SPEED_FOR_FUEL_KM_PER_H: f64 = 10.0;
const LEAST_CONSUMPTION_L_PER_100KM: f64 = 0.5;

const AXLES: [(SignalId, SignalId); 2] = [
    (signal::TIRE_PRESSURE_FRONT_LEFT, signal::TIRE_PRESSURE_FRONT_RIGHT),
    (signal::TIRE_PRESSURE_REAR_LEFT, signal::TIRE_PRESSURE_REAR_RIGHT),
];

pub fn speed_change_m_per_s2(as_of: &AsOf<'_>) -> Option<f64> {
    let AsOf { window, step, .. } = *as_of;
    let speed = as_of.value(signal::SPEED)?;
    let (before, speed_before) = previous(window, step, PREVIOUS_MAX_AGE, |step| window.signal_at(signal::SPEED, step))?;
    let seconds = window.recorded_at(step).seconds_since(window.recorded_at(before));
    Some((speed - f64::from(speed_before)) / 3.6 / seconds)
}

pub fn speed_per_1000_rpm_km_per_h(as_of: &AsOf<'_>) -> Option<f64> {
    let (speed, rpm) = (as_of.value(signal::SPEED)?, turning_rpm(as_of)?);
    (speed > LEAST_SPEED_FOR_GEAR_KM_PER_H).then(|| speed / (rpm / 1000.0))
}

pub fn expected_air_flow_per_l_g_per_s(as_of: &AsOf<'_>) -> Option<f64> {
    let (rpm, pressure_kpa) = (turning_rpm(as_of)?, as_of.value(signal::INTAKE_PRESSURE)?);
    let temperature_k = as_of.value(signal::INTAKE_TEMPERATURE)? + ZERO_CELSIUS_K;
    // kPa * l = J, so this is kg; a four-stroke engine fills itself every second turn.
    let kg_per_fill = pressure_kpa / (GAS_CONSTANT_J_PER_KG_K * temperature_k);
    Some(1000.0 * kg_per_fill * rpm / 120.0)
}

pub fn effective_displacement_l(as_of: &AsOf<'_>) -> Option<f64> {
    let expected = expected_air_flow_per_l_g_per_s(as_of).filter(|expected| *expected > 0.0)?;
    Some(as_of.value(signal::MASS_AIR_FLOW)? / expected)
}

pub fn air_per_fuel(as_of: &AsOf<'_>) -> Option<f64> {
    let (speed, consumption) = (as_of.value(signal::SPEED)?, as_of.value(signal::FUEL_CONSUMPTION)?);
    let can_tell = speed > LEAST_SPEED_FOR_FUEL_KM_PER_H && consumption > LEAST_CONSUMPTION_L_PER_100KM;
    let fuel_g_per_s = consumption * speed / 100.0 * FUEL_G_PER_L / 3600.0;
    can_tell.then_some(())?;
    Some(as_of.value(signal::MASS_AIR_FLOW)? / fuel_g_per_s)
}

pub fn coolant_drop_k(as_of: &AsOf<'_>) -> Option<f64> {
    let coolant = as_of.value(signal::COOLANT_TEMPERATURE)?;
    let max = as_of.profile.drive.coolant_max_celsius(as_of.window, as_of.step)?;
    Some((f64::from(max) - coolant).max(0.0))
}

pub fn tire_spread_kpa(as_of: &AsOf<'_>) -> Option<f64> {
    over_axles(as_of, |left, right| (left - right).abs())
}

pub fn tire_spread_share(as_of: &AsOf<'_>) -> Option<f64> {
    over_axles(as_of, |left, right| (left - right).abs() / left.max(right).max(1.0))
}

pub fn fuel_drop_standing_percent(as_of: &AsOf<'_>) -> Option<f64> {
    let level = as_of.value(signal::FUEL_LEVEL)?;
    let at_stop = as_of.profile.drive.fuel_at_stop_percent(as_of.window, as_of.step)?;
    Some(f64::from(at_stop) - level)
}

pub fn traction_power_kw(as_of: &AsOf<'_>) -> Option<f64> {
    Some(as_of.value(signal::TRACTION_BATTERY_VOLTAGE)? * as_of.value(signal::TRACTION_BATTERY_CURRENT)? / 1000.0)
}

fn turning_rpm(as_of: &AsOf<'_>) -> Option<f64> {
    as_of.value(signal::ENGINE_SPEED).filter(|rpm| *rpm >= f64::from(RUNNING_RPM))
}

/// The largest over the axles of which both tyres are known.
fn over_axles(as_of: &AsOf<'_>, of: fn(f64, f64) -> f64) -> Option<f64> {
    let spreads = AXLES.iter().filter_map(|(left, right)| Some(of(as_of.value(*left)?, as_of.value(*right)?)));
    spreads.reduce(f64::max)
}

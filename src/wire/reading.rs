//! Readings between their domain form and protobuf. Trusts what it writes; what comes from outside is checked by the decoder.

use prost_types::Timestamp as ProtoTimestamp;

use super::proto::v1;
use crate::domain::signal::SIGNALS;
use crate::domain::{Ignition, Position, Reading, SignalId, SignalValues, Timestamp, signal};

/// Runs `$action!(CONSTANT field)` for every f32 signal that protobuf has a field for.
macro_rules! for_each_signal_field {
    ($action:ident) => {
        $action! {
            SPEED speed_km_per_h,
            ACCELERATION_LONGITUDINAL acceleration_longitudinal_m_per_s2,
            ACCELERATION_LATERAL acceleration_lateral_m_per_s2,
            ACCELERATION_VERTICAL acceleration_vertical_m_per_s2,
            YAW_RATE yaw_rate_deg_per_s,
            ENGINE_SPEED engine_speed_rpm,
            ENGINE_LOAD engine_load_percent,
            COOLANT_TEMPERATURE coolant_temperature_celsius,
            OIL_TEMPERATURE oil_temperature_celsius,
            OIL_PRESSURE oil_pressure_kpa,
            INTAKE_TEMPERATURE intake_temperature_celsius,
            INTAKE_PRESSURE intake_pressure_kpa,
            MASS_AIR_FLOW mass_air_flow_g_per_s,
            THROTTLE throttle_percent,
            ACCELERATOR_PEDAL accelerator_pedal_percent,
            BRAKE_PEDAL brake_pedal_percent,
            STEERING_ANGLE steering_angle_deg,
            GEAR gear,
            TRANSMISSION_TEMPERATURE transmission_temperature_celsius,
            FUEL_LEVEL fuel_level_percent,
            FUEL_CONSUMPTION fuel_consumption_l_per_100km,
            BATTERY_VOLTAGE battery_voltage_v,
            TRACTION_BATTERY_CHARGE traction_battery_charge_percent,
            TRACTION_BATTERY_HEALTH traction_battery_health_percent,
            TRACTION_BATTERY_VOLTAGE traction_battery_voltage_v,
            TRACTION_BATTERY_CURRENT traction_battery_current_a,
            TRACTION_BATTERY_TEMPERATURE traction_battery_temperature_celsius,
            TIRE_PRESSURE_FRONT_LEFT tire_pressure_front_left_kpa,
            TIRE_PRESSURE_FRONT_RIGHT tire_pressure_front_right_kpa,
            TIRE_PRESSURE_REAR_LEFT tire_pressure_rear_left_kpa,
            TIRE_PRESSURE_REAR_RIGHT tire_pressure_rear_right_kpa,
            AMBIENT_TEMPERATURE ambient_temperature_celsius,
        }
    };
}

pub(super) use for_each_signal_field;

/// Copies the protobuf fields that are set, the odometer rounded to f32 among them.
#[must_use]
pub fn signals_from_proto(from: &v1::Signals) -> SignalValues {
    let mut values = SignalValues::default();
    macro_rules! copy {
        ($($constant:ident $field:ident,)*) => {
            $(if let Some(value) = from.$field {
                values.set(signal::$constant, value);
            })*
        };
    }
    for_each_signal_field!(copy);
    if let Some(odometer_m) = from.odometer_m {
        #[expect(clippy::cast_possible_truncation, reason = "features are f32; the reading keeps the odometer in full")]
        values.set(signal::ODOMETER, odometer_m as f32);
    }
    values
}

/// Writes a reading into `into`, whose buffers are used again. Declared signals travel as extras, by their name in `table_name`.
pub fn reading_to_proto(reading: &Reading, table_name: impl Fn(SignalId) -> &'static str, into: &mut v1::TelemetryReading) {
    into.vehicle_id.clear();
    into.vehicle_id.push_str(reading.vehicle_id.as_str());
    into.recorded_at = Some(timestamp_to_proto(reading.recorded_at));
    into.boot_id = reading.boot_id;
    into.sequence = reading.sequence;
    into.position = reading.position.as_ref().map(|position| v1::Position {
        latitude: position.latitude(),
        longitude: position.longitude(),
        altitude_m: position.altitude_m,
        heading_deg: position.heading_deg,
        accuracy_m: position.accuracy_m,
    });
    let values = &reading.signals;
    let signals = into.signals.get_or_insert_default();
    macro_rules! copy {
        ($($constant:ident $field:ident,)*) => {
            $(signals.$field = values.get(signal::$constant);)*
        };
    }
    for_each_signal_field!(copy);
    signals.odometer_m = reading.odometer_m;
    into.dtcs.clear();
    into.dtcs.extend(reading.dtcs.iter().map(ToString::to_string));
    into.set_ignition(ignition_to_proto(reading.ignition));
    into.extras.clear();
    into.extras.extend(reading.extras.iter().map(|(name, value)| (name.to_string(), *value)));
    let declared = values.iter().filter(|(id, _)| id.index() >= SIGNALS.len());
    into.extras.extend(declared.map(|(id, value)| (table_name(id).to_owned(), f64::from(value))));
}

/// UTC microseconds, truncated; `None` where the protobuf value is no moment.
#[must_use]
pub fn timestamp_from_proto(from: &ProtoTimestamp) -> Option<Timestamp> {
    let nanos = (0..1_000_000_000).contains(&from.nanos).then_some(i64::from(from.nanos))?;
    Some(Timestamp::from_micros(from.seconds.checked_mul(1_000_000)?.checked_add(nanos / 1_000)?))
}

#[must_use]
pub fn timestamp_to_proto(timestamp: Timestamp) -> ProtoTimestamp {
    let micros = timestamp.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("below one second");
    ProtoTimestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

#[must_use]
pub const fn ignition_from_proto(from: v1::Ignition) -> Option<Ignition> {
    match from {
        v1::Ignition::Unspecified => None,
        v1::Ignition::Undefined => Some(Ignition::Undefined),
        v1::Ignition::Lock => Some(Ignition::Lock),
        v1::Ignition::Off => Some(Ignition::Off),
        v1::Ignition::Acc => Some(Ignition::Acc),
        v1::Ignition::On => Some(Ignition::On),
        v1::Ignition::Start => Some(Ignition::Start),
    }
}

const fn ignition_to_proto(from: Option<Ignition>) -> v1::Ignition {
    match from {
        None => v1::Ignition::Unspecified,
        Some(Ignition::Undefined) => v1::Ignition::Undefined,
        Some(Ignition::Lock) => v1::Ignition::Lock,
        Some(Ignition::Off) => v1::Ignition::Off,
        Some(Ignition::Acc) => v1::Ignition::Acc,
        Some(Ignition::On) => v1::Ignition::On,
        Some(Ignition::Start) => v1::Ignition::Start,
    }
}

/// The position as sent; the range check says what is wrong with it.
///
/// # Errors
/// Where a coordinate is not on Earth.
pub fn position_from_proto(from: &v1::Position) -> Result<Position, crate::domain::PositionError> {
    let mut position = Position::new(from.latitude, from.longitude)?;
    position.altitude_m = from.altitude_m;
    position.heading_deg = from.heading_deg;
    position.accuracy_m = from.accuracy_m;
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_of_the_table_survives_protobuf() {
        let mut fields = 0;
        macro_rules! count {
            ($($constant:ident $field:ident,)*) => {
                $(assert_eq!(SIGNALS[signal::$constant.index()].name, stringify!($field)); fields += 1;)*
            };
        }
        for_each_signal_field!(count);
        assert_eq!(fields + 1, SIGNALS.len(), "all but the odometer are f32 fields");
    }

    #[test]
    fn times_before_1970_survive_protobuf() {
        for micros in [-1, -1_000_000, -1_000_001, 0, 1_764_000_000_123_456] {
            let timestamp = Timestamp::from_micros(micros);
            assert_eq!(timestamp_from_proto(&timestamp_to_proto(timestamp)), Some(timestamp));
        }
    }
}

//! The signal table: every quantity a reading may carry, with unit, VSS 6.0 path and plausible range, and a compact set of values.
//!
//! Adding a signal = a row here, a field in `proto/`, a column in `migrations/`; a test says which is missing.

use std::fmt;
use std::time::Duration;

/// One measured quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub name: &'static str,
    pub unit: &'static str,
    /// Below `Vehicle.`; where VSS has none, the OBD parameter.
    pub vss_path: &'static str,
    /// Values outside are kept as rejected and counted, the reading stays valid.
    pub plausible: (f64, f64),
    /// A vehicle that sends only what changed: the last value stands this long.
    pub hold: Option<Duration>,
}

/// Index of a row of the signal table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(u8);

/// Most signals a deployment can have, the declared ones included: one bit each in [`SignalValues`].
pub const MAX_SIGNALS: usize = 64;

macro_rules! signal_table {
    ($($constant:ident $name:literal $unit:literal $vss_path:literal $low:literal .. $high:literal;)*) => {
        /// The built-in signals, in canonical order. The order is part of the fingerprint of a reading: append only.
        pub const SIGNALS: &[Signal] = &[$(Signal { name: $name, unit: $unit, vss_path: $vss_path, plausible: ($low, $high), hold: None }),*];
        signal_table!(@ids 0u8; $($constant)*);
    };
    (@ids $index:expr; $constant:ident $($rest:ident)*) => {
        pub const $constant: SignalId = SignalId($index);
        signal_table!(@ids $index + 1; $($rest)*);
    };
    (@ids $index:expr;) => {};
}

signal_table! {
    SPEED "speed_km_per_h" "km/h" "Speed" 0.0..300.0;
    ODOMETER "odometer_m" "m" "TraveledDistance" 0.0..1e10;
    ACCELERATION_LONGITUDINAL "acceleration_longitudinal_m_per_s2" "m/s^2" "Acceleration.Longitudinal" -50.0..50.0;
    ACCELERATION_LATERAL "acceleration_lateral_m_per_s2" "m/s^2" "Acceleration.Lateral" -50.0..50.0;
    ACCELERATION_VERTICAL "acceleration_vertical_m_per_s2" "m/s^2" "Acceleration.Vertical" -50.0..50.0;
    YAW_RATE "yaw_rate_deg_per_s" "degrees/s" "AngularVelocity.Yaw" -360.0..360.0;
    ENGINE_SPEED "engine_speed_rpm" "rpm" "Powertrain.CombustionEngine.Speed" 0.0..12000.0;
    ENGINE_LOAD "engine_load_percent" "percent" "OBD.EngineLoad" 0.0..100.0;
    COOLANT_TEMPERATURE "coolant_temperature_celsius" "celsius" "Powertrain.CombustionEngine.EngineCoolant.Temperature" -50.0..200.0;
    OIL_TEMPERATURE "oil_temperature_celsius" "celsius" "Powertrain.CombustionEngine.EngineOil.Temperature" -50.0..250.0;
    OIL_PRESSURE "oil_pressure_kpa" "kPa" "Powertrain.CombustionEngine.EOP" 0.0..1500.0;
    INTAKE_TEMPERATURE "intake_temperature_celsius" "celsius" "OBD.IntakeTemp" -50.0..200.0;
    INTAKE_PRESSURE "intake_pressure_kpa" "kPa" "Powertrain.CombustionEngine.MAP" 0.0..500.0;
    MASS_AIR_FLOW "mass_air_flow_g_per_s" "g/s" "Powertrain.CombustionEngine.MAF" 0.0..700.0;
    THROTTLE "throttle_percent" "percent" "Powertrain.CombustionEngine.TPS" 0.0..100.0;
    ACCELERATOR_PEDAL "accelerator_pedal_percent" "percent" "Chassis.Accelerator.PedalPosition" 0.0..100.0;
    BRAKE_PEDAL "brake_pedal_percent" "percent" "Chassis.Brake.PedalPosition" 0.0..100.0;
    STEERING_ANGLE "steering_angle_deg" "degrees" "Chassis.SteeringWheel.Angle" -1500.0..1500.0;
    GEAR "gear" "" "Powertrain.Transmission.CurrentGear" -10.0..20.0;
    TRANSMISSION_TEMPERATURE "transmission_temperature_celsius" "celsius" "Powertrain.Transmission.Temperature" -50.0..250.0;
    FUEL_LEVEL "fuel_level_percent" "percent" "Powertrain.FuelSystem.RelativeLevel" 0.0..100.0;
    FUEL_CONSUMPTION "fuel_consumption_l_per_100km" "l/100km" "Powertrain.FuelSystem.InstantConsumption" 0.0..200.0;
    BATTERY_VOLTAGE "battery_voltage_v" "V" "LowVoltageBattery.CurrentVoltage" 0.0..60.0;
    TRACTION_BATTERY_CHARGE "traction_battery_charge_percent" "percent" "Powertrain.TractionBattery.StateOfCharge.Current" 0.0..100.0;
    TRACTION_BATTERY_HEALTH "traction_battery_health_percent" "percent" "Powertrain.TractionBattery.StateOfHealth" 0.0..100.0;
    TRACTION_BATTERY_VOLTAGE "traction_battery_voltage_v" "V" "Powertrain.TractionBattery.CurrentVoltage" 0.0..1500.0;
    TRACTION_BATTERY_CURRENT "traction_battery_current_a" "A" "Powertrain.TractionBattery.CurrentCurrent" -3000.0..3000.0;
    TRACTION_BATTERY_TEMPERATURE "traction_battery_temperature_celsius" "celsius" "Powertrain.TractionBattery.Temperature.Average" -50.0..150.0;
    TIRE_PRESSURE_FRONT_LEFT "tire_pressure_front_left_kpa" "kPa" "Chassis.Axle.Row1.Wheel.Left.Tire.Pressure" 0.0..1500.0;
    TIRE_PRESSURE_FRONT_RIGHT "tire_pressure_front_right_kpa" "kPa" "Chassis.Axle.Row1.Wheel.Right.Tire.Pressure" 0.0..1500.0;
    TIRE_PRESSURE_REAR_LEFT "tire_pressure_rear_left_kpa" "kPa" "Chassis.Axle.Row2.Wheel.Left.Tire.Pressure" 0.0..1500.0;
    TIRE_PRESSURE_REAR_RIGHT "tire_pressure_rear_right_kpa" "kPa" "Chassis.Axle.Row2.Wheel.Right.Tire.Pressure" 0.0..1500.0;
    AMBIENT_TEMPERATURE "ambient_temperature_celsius" "celsius" "Exterior.AirTemperature" -70.0..70.0;
}

impl SignalId {
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// `None` where `index` is not below [`MAX_SIGNALS`].
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "checked to be below 64")]
    pub fn from_index(index: usize) -> Option<Self> {
        (index < MAX_SIGNALS).then_some(Self(index as u8))
    }
}

/// The signals of one deployment: the built-in ones, and those its settings declare.
#[derive(Debug, Clone)]
pub struct SignalTable {
    signals: Vec<Signal>,
    /// Ids ordered by name, for the lookup in every decode.
    by_name: Vec<SignalId>,
}

impl Default for SignalTable {
    fn default() -> Self {
        Self::new(SIGNALS.to_vec())
    }
}

impl SignalTable {
    /// `signals` begins with the built-in ones in their order; what follows was checked to be new and to fit by settings.
    #[must_use]
    pub fn new(signals: Vec<Signal>) -> Self {
        assert!(signals.len() <= MAX_SIGNALS, "settings admit at most {MAX_SIGNALS} signals");
        let mut by_name: Vec<SignalId> = (0..signals.len()).filter_map(SignalId::from_index).collect();
        by_name.sort_by_key(|id| signals[id.index()].name);
        Self { signals, by_name }
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<SignalId> {
        let found = self.by_name.binary_search_by(|id| self.signals[id.index()].name.cmp(name)).ok()?;
        Some(self.by_name[found])
    }

    #[must_use]
    pub fn get(&self, id: SignalId) -> &Signal {
        &self.signals[id.index()]
    }

    pub fn iter(&self) -> impl Iterator<Item = (SignalId, &Signal)> {
        self.signals.iter().enumerate().filter_map(|(index, signal)| Some((SignalId::from_index(index)?, signal)))
    }
}

/// The signals of one reading: a value and a bit each; holds no heap memory.
///
/// The odometer stands here too, rounded to f32 for features; [`super::Reading::odometer_m`] has it in full.
#[derive(Clone, Copy, PartialEq)]
pub struct SignalValues {
    present: u64,
    /// Zero where absent, so that equal sets compare equal.
    values: [f32; MAX_SIGNALS],
}

impl Default for SignalValues {
    fn default() -> Self {
        Self { present: 0, values: [0.0; MAX_SIGNALS] }
    }
}

impl SignalValues {
    #[must_use]
    pub fn get(&self, id: SignalId) -> Option<f32> {
        (self.present & (1 << id.0) != 0).then(|| self.values[id.index()])
    }

    pub fn set(&mut self, id: SignalId, value: f32) {
        self.present |= 1 << id.0;
        self.values[id.index()] = value;
    }

    pub fn remove(&mut self, id: SignalId) {
        self.present &= !(1 << id.0);
        self.values[id.index()] = 0.0;
    }

    /// One bit per signal, lowest id in the lowest bit.
    #[must_use]
    pub const fn present_bits(&self) -> u64 {
        self.present
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.present == 0
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.present.count_ones() as usize
    }

    /// Present signals in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (SignalId, f32)> {
        let mut remaining = self.present;
        std::iter::from_fn(move || {
            (remaining != 0).then(|| {
                let index = remaining.trailing_zeros() as usize;
                remaining &= remaining - 1;
                (SignalId(u8::try_from(index).expect("a u64 has 64 bits")), self.values[index])
            })
        })
    }
}

impl fmt::Debug for SignalValues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |id: SignalId| SIGNALS.get(id.index()).map_or("declared", |signal| signal.name);
        formatter.debug_map().entries(self.iter().map(|(id, value)| (name(id), value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_found_by_its_name_and_by_nothing_else() {
        let table = SignalTable::default();
        for (id, signal) in table.iter() {
            assert_eq!(table.find(signal.name), Some(id));
        }
        assert_eq!(table.find("speed"), None);
    }

    #[test]
    fn values_come_back_in_canonical_order() {
        let mut values = SignalValues::default();
        values.set(AMBIENT_TEMPERATURE, -3.5);
        values.set(SPEED, 63.0);
        assert_eq!(values.iter().collect::<Vec<_>>(), [(SPEED, 63.0), (AMBIENT_TEMPERATURE, -3.5)]);
        values.remove(SPEED);
        assert_eq!((values.len(), values.get(SPEED)), (1, None));
    }
}

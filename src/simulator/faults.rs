//! What can go wrong, how badly, for how long and with which vehicles. **These ranges were written down before any detector was
//! tuned**; change them only together with a new evaluation of every detector. Does not make anything go wrong: `illness`.
//!
//! At random, a vehicle falls ill once per [`MEAN_DAYS_BETWEEN_FAULTS`] on average (exponential, so that an onset may be at any
//! moment), one fault at a time; kind, severity, duration and ramp are uniform in their ranges. A fault that needs a condition
//! (driving, parked) begins at the first moment after its drawn onset when the condition holds; the label has that moment.

use super::kinds::Kind::{self, Car, Electric, Truck, Van};
use crate::domain::{SignalId, signal as s};

/// One fault per 20 vehicle-days, unless told otherwise.
pub const MEAN_DAYS_BETWEEN_FAULTS: f32 = 20.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Overheating,
    ThermostatStuckOpen,
    AlternatorFailing,
    TireLeakSlow,
    TireLeakFast,
    FuelTheft,
    SensorStuck,
    SensorDrift,
    SensorOffset,
    SensorOpenCircuit,
    SensorSwapped,
    SensorDropout,
    AirFlowLow,
    VacuumLeak,
    GpsJumps,
    GpsFreeze,
    HarshDriving,
    BatteryCell,
    CloggedFilter,
}

/// When a fault can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Driving,
    Parked,
}

#[derive(Debug)]
pub struct FaultSpec {
    pub fault: Fault,
    pub name: &'static str,
    /// What a severity is.
    pub severity_means: &'static str,
    pub severity: (f32, f32),
    /// From onset to repair.
    pub minutes: (f32, f32),
    /// From onset to full severity, a straight line.
    pub ramp_minutes: (f32, f32),
    pub needs: Needs,
    pub kinds: &'static [Kind],
    pub signals: Signals,
    /// What the vehicle's own diagnosis reports after [`DIAGNOSED_AFTER_MINUTES`], if it notices at all.
    pub trouble_code: Option<&'static str>,
}

/// An on-board diagnosis needs to see a fault for a while.
pub const DIAGNOSED_AFTER_MINUTES: f32 = 10.0;

#[derive(Debug, Clone, Copy)]
pub enum Signals {
    /// All of these that the vehicle reports.
    All(&'static [SignalId]),
    /// One of [`SENSORS`], drawn.
    OneSensor,
    /// One pair of [`SWAPS`], drawn.
    Pair,
    /// One wheel, drawn.
    OneTire,
    Position,
}

/// A sensor that can be faulty by itself.
#[derive(Debug)]
pub struct Sensor {
    pub signal: SignalId,
    /// Offsets and drifts are shares of this.
    pub span: f32,
    /// What the input reads with its wire broken; `None` for values that come over a bus.
    pub open_circuit: Option<f32>,
    /// Whether it moves so much while driving that standing still can be seen.
    pub moves: bool,
}

const fn sensor(signal: SignalId, span: f32, open_circuit: Option<f32>, moves: bool) -> Sensor {
    Sensor { signal, span, open_circuit, moves }
}

pub const SENSORS: &[Sensor] = &[
    sensor(s::ENGINE_SPEED, 2_000.0, None, true),
    sensor(s::COOLANT_TEMPERATURE, 80.0, Some(-40.0), false),
    sensor(s::OIL_TEMPERATURE, 80.0, Some(-40.0), false),
    sensor(s::INTAKE_TEMPERATURE, 60.0, Some(-40.0), true),
    sensor(s::INTAKE_PRESSURE, 120.0, Some(0.0), true),
    sensor(s::MASS_AIR_FLOW, 60.0, Some(0.0), true),
    sensor(s::FUEL_LEVEL, 60.0, Some(0.0), false),
    sensor(s::AMBIENT_TEMPERATURE, 40.0, Some(-40.0), false),
    sensor(s::TRACTION_BATTERY_CURRENT, 150.0, None, true),
    sensor(s::TRACTION_BATTERY_TEMPERATURE, 40.0, Some(-40.0), false),
    sensor(s::TIRE_PRESSURE_FRONT_LEFT, 150.0, None, false),
];

/// Plugs that fit each other.
pub const SWAPS: &[(SignalId, SignalId)] = &[
    (s::COOLANT_TEMPERATURE, s::INTAKE_TEMPERATURE),
    (s::OIL_TEMPERATURE, s::INTAKE_TEMPERATURE),
    (s::TRACTION_BATTERY_TEMPERATURE, s::AMBIENT_TEMPERATURE),
];

pub const TIRES: [SignalId; 4] =
    [s::TIRE_PRESSURE_FRONT_LEFT, s::TIRE_PRESSURE_FRONT_RIGHT, s::TIRE_PRESSURE_REAR_LEFT, s::TIRE_PRESSURE_REAR_RIGHT];

const HOUR: f32 = 60.0;
const DAY: f32 = 24.0 * HOUR;
const ANY: &[Kind] = &Kind::ALL;
const WITH_ENGINE: &[Kind] = &[Truck, Van, Car];

macro_rules! fault_table {
    ($($fault:ident $name:literal $means:literal $severity:expr, minutes $minutes:expr, ramp $ramp:expr, $needs:ident, $kinds:expr, $signals:expr, $code:expr;)*) => {
        pub const FAULTS: &[FaultSpec] = &[$(FaultSpec {
            fault: Fault::$fault, name: $name, severity_means: $means, severity: $severity, minutes: $minutes, ramp_minutes: $ramp,
            needs: Needs::$needs, kinds: $kinds, signals: $signals, trouble_code: $code,
        }),*];
    };
}

fault_table! {
    Overheating "overheating" "share of the radiator's work lost" (0.85, 0.98),
        minutes (40.0, 3.0 * HOUR), ramp (1.0, 15.0), Driving, WITH_ENGINE,
        Signals::All(&[s::COOLANT_TEMPERATURE, s::OIL_TEMPERATURE, s::OIL_PRESSURE]), Some("P0217");
    ThermostatStuckOpen "thermostat_stuck_open" "share of the full opening below which it does not close" (0.35, 0.9),
        minutes (6.0 * HOUR, 5.0 * DAY), ramp (0.0, 5.0), Driving, WITH_ENGINE,
        Signals::All(&[s::COOLANT_TEMPERATURE, s::OIL_TEMPERATURE, s::OIL_PRESSURE]), Some("P0128");
    AlternatorFailing "alternator_failing" "share of the alternator's output lost" (0.6, 1.0),
        minutes (1.0 * HOUR, 8.0 * HOUR), ramp (1.0, 60.0), Driving, ANY,
        Signals::All(&[s::BATTERY_VOLTAGE]), Some("P0562");
    TireLeakSlow "tire_leak_slow" "kPa per hour, per 240 kPa of pressure" (4.0, 30.0),
        minutes (6.0 * HOUR, 3.0 * DAY), ramp (0.0, 0.0), Driving, ANY, Signals::OneTire, None;
    TireLeakFast "tire_leak_fast" "kPa per minute, per 240 kPa of pressure" (3.0, 40.0),
        minutes (15.0, 2.0 * HOUR), ramp (0.0, 0.0), Driving, ANY, Signals::OneTire, None;
    FuelTheft "fuel_theft" "share of the tank pumped out" (0.12, 0.6),
        minutes (4.0, 20.0), ramp (0.0, 0.0), Parked, WITH_ENGINE, Signals::All(&[s::FUEL_LEVEL]), None;
    SensorStuck "sensor_stuck" "always 1: the value of the onset stays" (1.0, 1.0),
        minutes (30.0, 2.0 * DAY), ramp (0.0, 0.0), Driving, ANY, Signals::OneSensor, None;
    SensorDrift "sensor_drift" "share of the sensor's span at full severity" (0.15, 0.6),
        minutes (6.0 * HOUR, 5.0 * DAY), ramp (1.0 * HOUR, 2.0 * DAY), Driving, ANY, Signals::OneSensor, None;
    SensorOffset "sensor_offset" "share of the sensor's span" (0.1, 0.5),
        minutes (1.0 * HOUR, 3.0 * DAY), ramp (0.0, 0.0), Driving, ANY, Signals::OneSensor, None;
    SensorOpenCircuit "sensor_open_circuit" "always 1: the input reads its rail" (1.0, 1.0),
        minutes (10.0, 2.0 * DAY), ramp (0.0, 0.0), Driving, ANY, Signals::OneSensor, None;
    SensorSwapped "sensor_swapped" "always 1: two plugs exchanged" (1.0, 1.0),
        minutes (4.0 * HOUR, 4.0 * DAY), ramp (0.0, 0.0), Driving, ANY, Signals::Pair, None;
    SensorDropout "sensor_dropout" "share of readings without the signal" (0.3, 1.0),
        minutes (30.0, 2.0 * DAY), ramp (0.0, 0.0), Driving, ANY, Signals::OneSensor, None;
    AirFlowLow "air_flow_low" "share that the air-flow meter reads too low" (0.12, 0.4),
        minutes (4.0 * HOUR, 5.0 * DAY), ramp (0.0, 1.0 * DAY), Driving, &[Van, Car],
        Signals::All(&[s::MASS_AIR_FLOW]), Some("P0101");
    VacuumLeak "vacuum_leak" "intake pressure at idle too high by this many kPa" (6.0, 22.0),
        minutes (2.0 * HOUR, 4.0 * DAY), ramp (0.0, 30.0), Driving, &[Car],
        Signals::All(&[s::INTAKE_PRESSURE, s::MASS_AIR_FLOW, s::ENGINE_SPEED]), Some("P0171");
    GpsJumps "gps_jumps" "metres, of single readings away from the road" (400.0, 8_000.0),
        minutes (20.0, 6.0 * HOUR), ramp (0.0, 0.0), Driving, ANY, Signals::Position, None;
    GpsFreeze "gps_freeze" "always 1: the position of the onset stays" (1.0, 1.0),
        minutes (20.0, 6.0 * HOUR), ramp (0.0, 0.0), Driving, ANY, Signals::Position, None;
    HarshDriving "harsh_driving" "times the driver's own accelerations" (1.7, 2.6),
        minutes (20.0, 4.0 * HOUR), ramp (0.0, 0.0), Driving, ANY,
        Signals::All(&[s::SPEED, s::ACCELERATION_LONGITUDINAL, s::ACCELERATION_LATERAL, s::ACCELERATOR_PEDAL, s::BRAKE_PEDAL, s::ENGINE_SPEED]), None;
    BatteryCell "battery_cell" "share of the pack's voltage and charge that is lost with its weak cells" (0.03, 0.12),
        minutes (6.0 * HOUR, 4.0 * DAY), ramp (1.0, 4.0 * HOUR), Driving, &[Electric],
        Signals::All(&[s::TRACTION_BATTERY_VOLTAGE, s::TRACTION_BATTERY_TEMPERATURE, s::TRACTION_BATTERY_CHARGE, s::TRACTION_BATTERY_HEALTH]), Some("P0A80");
    CloggedFilter "clogged_filter" "share of full-load air flow that no longer passes" (0.12, 0.45),
        minutes (1.0 * DAY, 8.0 * DAY), ramp (2.0 * HOUR, 3.0 * DAY), Driving, WITH_ENGINE,
        Signals::All(&[s::INTAKE_PRESSURE, s::MASS_AIR_FLOW, s::FUEL_CONSUMPTION]), None;
}

impl Fault {
    #[must_use]
    pub const fn spec(self) -> &'static FaultSpec {
        &FAULTS[self as usize]
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        FAULTS.iter().find(|spec| spec.name == name).map(|spec| spec.fault)
    }
}

/// The row of [`SENSORS`] of a signal.
#[must_use]
pub fn sensor_of(signal: SignalId) -> Option<&'static Sensor> {
    SENSORS.iter().find(|sensor| sensor.signal == signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_kinds_and_its_ranges_are_ranges() {
        for (index, spec) in FAULTS.iter().enumerate() {
            assert_eq!(spec.fault as usize, index, "{}", spec.name);
            assert_eq!(Fault::from_name(spec.name), Some(spec.fault));
            for (low, high) in [spec.severity, spec.minutes, spec.ramp_minutes] {
                assert!(low <= high, "{}", spec.name);
            }
            assert!(spec.severity.0 > 0.0 && spec.minutes.0 > 0.0 && !spec.kinds.is_empty(), "{}", spec.name);
        }
        assert_eq!(Fault::from_name("hiccups"), None);
    }
}

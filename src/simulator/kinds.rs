//! The kinds of vehicles and what they are made of. The figures are typical data-sheet values of the class named, rounded.

use crate::domain::{SignalId, signal as s};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Truck,
    Van,
    Car,
    Electric,
}

#[derive(Debug)]
pub struct KindSpec {
    /// Begins the ids of its vehicles.
    pub name: &'static str,
    /// Of the fleet.
    pub share: f32,
    /// Empty and fully loaded; goods come and go at stops.
    pub mass_kg: (f32, f32),
    /// Drag coefficient times frontal area.
    pub drag_area_m2: f32,
    pub rolling_resistance: f32,
    pub max_speed_m_per_s: f32,
    pub power_kw: f32,
    /// What a normal driver asks of it at low speed.
    pub acceleration_m_per_s2: f32,
    /// Share of the power that reaches the wheels.
    pub driveline: f32,
    pub engine: Option<EngineSpec>,
    pub pack: Option<PackSpec>,
    /// Of the low-voltage battery: engine running, and at rest fully charged.
    pub charging_v: f32,
    pub rested_v: f32,
    /// Nominal, cold: front and rear.
    pub tires_kpa: (f32, f32),
    /// Stops of a shift, in minutes.
    pub stop_minutes: (f32, f32),
    /// Share of its vehicles that work by night.
    pub night_share: f32,
    /// What it reports while the ignition is on.
    pub signals: &'static [SignalId],
    /// What it reports while parked.
    pub parked_signals: &'static [SignalId],
}

#[derive(Debug)]
pub struct EngineSpec {
    pub diesel: bool,
    pub displacement_l: f32,
    pub idle_rpm: f32,
    pub max_rpm: f32,
    /// Where a normal driver (or the gearbox) changes up and down.
    pub shift_up_rpm: f32,
    pub shift_down_rpm: f32,
    /// km/h per 1,000 rpm, by gear.
    pub gears: &'static [f32],
    pub tank_l: f32,
    /// Share of the fuel's energy that reaches the crankshaft beyond friction (Willans line).
    pub efficiency: f32,
    /// Fuel power that friction takes, kW per litre of displacement and 1,000 rpm.
    pub friction_kw: f32,
    /// Of fuel: kJ per litre.
    pub heating_kj_per_l: f32,
    /// Engine block and coolant together.
    pub heat_capacity_kj_per_k: f32,
    /// What the radiator gives away with thermostat and air flow fully open.
    pub radiator_kw_per_k: f32,
    /// Begins to open here and is open 10 K above.
    pub thermostat_celsius: f32,
    /// Intake pressure above ambient at full load.
    pub boost_kpa: f32,
}

#[derive(Debug)]
pub struct PackSpec {
    pub capacity_kwh: f32,
    pub empty_v: f32,
    pub full_v: f32,
    pub resistance_ohm: f32,
    pub heat_capacity_kj_per_k: f32,
    /// From a socket at home and between tours.
    pub charger_kw: f32,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Truck, Self::Van, Self::Car, Self::Electric];

    #[must_use]
    pub const fn spec(self) -> &'static KindSpec {
        match self {
            Self::Truck => &TRUCK,
            Self::Van => &VAN,
            Self::Car => &CAR,
            Self::Electric => &ELECTRIC,
        }
    }
}

/// 40-tonne articulated truck, 12.8 l, automated gearbox; FMS bus.
static TRUCK: KindSpec = KindSpec {
    name: "truck",
    share: 0.25,
    mass_kg: (15_000.0, 38_000.0),
    drag_area_m2: 5.8,
    rolling_resistance: 0.0055,
    max_speed_m_per_s: 24.2,
    power_kw: 340.0,
    acceleration_m_per_s2: 0.7,
    driveline: 0.91,
    engine: Some(EngineSpec {
        diesel: true,
        displacement_l: 12.8,
        idle_rpm: 580.0,
        max_rpm: 2_200.0,
        shift_up_rpm: 1_550.0,
        shift_down_rpm: 1_000.0,
        gears: &[5.0, 6.4, 8.2, 10.4, 13.3, 17.0, 21.8, 28.0, 35.5, 45.0, 57.0, 71.0],
        tank_l: 700.0,
        efficiency: 0.46,
        friction_kw: 3.2,
        heating_kj_per_l: 35_900.0,
        heat_capacity_kj_per_k: 380.0,
        radiator_kw_per_k: 4.6,
        thermostat_celsius: 82.0,
        boost_kpa: 190.0,
    }),
    pack: None,
    charging_v: 28.2,
    rested_v: 25.4,
    tires_kpa: (850.0, 830.0),
    stop_minutes: (15.0, 60.0),
    night_share: 0.35,
    signals: &[
        s::SPEED,
        s::ODOMETER,
        s::ACCELERATION_LONGITUDINAL,
        s::ENGINE_SPEED,
        s::ENGINE_LOAD,
        s::COOLANT_TEMPERATURE,
        s::OIL_TEMPERATURE,
        s::OIL_PRESSURE,
        s::INTAKE_TEMPERATURE,
        s::INTAKE_PRESSURE,
        s::ACCELERATOR_PEDAL,
        s::BRAKE_PEDAL,
        s::GEAR,
        s::TRANSMISSION_TEMPERATURE,
        s::FUEL_LEVEL,
        s::FUEL_CONSUMPTION,
        s::BATTERY_VOLTAGE,
        s::TIRE_PRESSURE_FRONT_LEFT,
        s::TIRE_PRESSURE_FRONT_RIGHT,
        s::TIRE_PRESSURE_REAR_LEFT,
        s::TIRE_PRESSURE_REAR_RIGHT,
        s::AMBIENT_TEMPERATURE,
    ],
    parked_signals: PARKED_WITH_ENGINE,
};

/// 3.5-tonne delivery van, 2.1 l diesel, manual gearbox; OBD and a telematics box with an accelerometer.
static VAN: KindSpec = KindSpec {
    name: "van",
    share: 0.3,
    mass_kg: (2_200.0, 3_400.0),
    drag_area_m2: 1.75,
    rolling_resistance: 0.010,
    max_speed_m_per_s: 38.0,
    power_kw: 105.0,
    acceleration_m_per_s2: 1.6,
    driveline: 0.9,
    engine: Some(EngineSpec {
        diesel: true,
        displacement_l: 2.1,
        idle_rpm: 760.0,
        max_rpm: 4_500.0,
        shift_up_rpm: 2_300.0,
        shift_down_rpm: 1_250.0,
        gears: &[8.0, 15.0, 24.0, 35.0, 46.0, 57.0],
        tank_l: 75.0,
        efficiency: 0.43,
        friction_kw: 3.8,
        heating_kj_per_l: 35_900.0,
        heat_capacity_kj_per_k: 105.0,
        radiator_kw_per_k: 0.95,
        thermostat_celsius: 83.0,
        boost_kpa: 130.0,
    }),
    pack: None,
    charging_v: 14.2,
    rested_v: 12.7,
    tires_kpa: (340.0, 420.0),
    stop_minutes: (3.0, 12.0),
    night_share: 0.08,
    signals: &[
        s::SPEED,
        s::ODOMETER,
        s::ACCELERATION_LONGITUDINAL,
        s::ACCELERATION_LATERAL,
        s::YAW_RATE,
        s::ENGINE_SPEED,
        s::ENGINE_LOAD,
        s::COOLANT_TEMPERATURE,
        s::OIL_TEMPERATURE,
        s::INTAKE_TEMPERATURE,
        s::INTAKE_PRESSURE,
        s::MASS_AIR_FLOW,
        s::ACCELERATOR_PEDAL,
        s::BRAKE_PEDAL,
        s::FUEL_LEVEL,
        s::FUEL_CONSUMPTION,
        s::BATTERY_VOLTAGE,
        s::TIRE_PRESSURE_FRONT_LEFT,
        s::TIRE_PRESSURE_FRONT_RIGHT,
        s::TIRE_PRESSURE_REAR_LEFT,
        s::TIRE_PRESSURE_REAR_RIGHT,
        s::AMBIENT_TEMPERATURE,
    ],
    parked_signals: PARKED_WITH_ENGINE,
};

/// Compact petrol car, 1.5 l turbo; OBD and CAN.
static CAR: KindSpec = KindSpec {
    name: "car",
    share: 0.3,
    mass_kg: (1_380.0, 1_700.0),
    drag_area_m2: 0.66,
    rolling_resistance: 0.010,
    max_speed_m_per_s: 45.0,
    power_kw: 96.0,
    acceleration_m_per_s2: 1.9,
    driveline: 0.92,
    engine: Some(EngineSpec {
        diesel: false,
        displacement_l: 1.5,
        idle_rpm: 780.0,
        max_rpm: 6_200.0,
        shift_up_rpm: 2_500.0,
        shift_down_rpm: 1_350.0,
        gears: &[7.6, 14.0, 21.5, 29.5, 38.0, 47.0],
        tank_l: 50.0,
        efficiency: 0.38,
        friction_kw: 5.0,
        heating_kj_per_l: 32_000.0,
        heat_capacity_kj_per_k: 64.0,
        radiator_kw_per_k: 0.75,
        thermostat_celsius: 87.0,
        boost_kpa: 60.0,
    }),
    pack: None,
    charging_v: 14.3,
    rested_v: 12.7,
    tires_kpa: (240.0, 230.0),
    stop_minutes: (10.0, 120.0),
    night_share: 0.05,
    signals: &[
        s::SPEED,
        s::ODOMETER,
        s::ACCELERATION_LONGITUDINAL,
        s::ACCELERATION_LATERAL,
        s::ACCELERATION_VERTICAL,
        s::YAW_RATE,
        s::ENGINE_SPEED,
        s::ENGINE_LOAD,
        s::COOLANT_TEMPERATURE,
        s::OIL_TEMPERATURE,
        s::INTAKE_TEMPERATURE,
        s::INTAKE_PRESSURE,
        s::MASS_AIR_FLOW,
        s::THROTTLE,
        s::ACCELERATOR_PEDAL,
        s::BRAKE_PEDAL,
        s::STEERING_ANGLE,
        s::FUEL_LEVEL,
        s::FUEL_CONSUMPTION,
        s::BATTERY_VOLTAGE,
        s::TIRE_PRESSURE_FRONT_LEFT,
        s::TIRE_PRESSURE_FRONT_RIGHT,
        s::TIRE_PRESSURE_REAR_LEFT,
        s::TIRE_PRESSURE_REAR_RIGHT,
        s::AMBIENT_TEMPERATURE,
    ],
    parked_signals: PARKED_WITH_ENGINE,
};

/// Electric car in taxi and courier service, 62 kWh, 400 V.
static ELECTRIC: KindSpec = KindSpec {
    name: "electric",
    share: 0.15,
    mass_kg: (1_780.0, 2_150.0),
    drag_area_m2: 0.64,
    rolling_resistance: 0.0095,
    max_speed_m_per_s: 42.0,
    power_kw: 150.0,
    acceleration_m_per_s2: 2.3,
    driveline: 0.89,
    engine: None,
    pack: Some(PackSpec {
        capacity_kwh: 62.0,
        empty_v: 330.0,
        full_v: 448.0,
        resistance_ohm: 0.085,
        heat_capacity_kj_per_k: 380.0,
        charger_kw: 11.0,
    }),
    charging_v: 14.1,
    rested_v: 12.8,
    tires_kpa: (260.0, 270.0),
    stop_minutes: (4.0, 25.0),
    night_share: 0.25,
    signals: &[
        s::SPEED,
        s::ODOMETER,
        s::ACCELERATION_LONGITUDINAL,
        s::ACCELERATION_LATERAL,
        s::YAW_RATE,
        s::ACCELERATOR_PEDAL,
        s::BRAKE_PEDAL,
        s::STEERING_ANGLE,
        s::BATTERY_VOLTAGE,
        s::TRACTION_BATTERY_CHARGE,
        s::TRACTION_BATTERY_HEALTH,
        s::TRACTION_BATTERY_VOLTAGE,
        s::TRACTION_BATTERY_CURRENT,
        s::TRACTION_BATTERY_TEMPERATURE,
        s::TIRE_PRESSURE_FRONT_LEFT,
        s::TIRE_PRESSURE_FRONT_RIGHT,
        s::TIRE_PRESSURE_REAR_LEFT,
        s::TIRE_PRESSURE_REAR_RIGHT,
        s::AMBIENT_TEMPERATURE,
    ],
    parked_signals: &[
        s::SPEED,
        s::ODOMETER,
        s::BATTERY_VOLTAGE,
        s::TRACTION_BATTERY_CHARGE,
        s::TRACTION_BATTERY_HEALTH,
        s::TRACTION_BATTERY_VOLTAGE,
        s::TRACTION_BATTERY_CURRENT,
        s::TRACTION_BATTERY_TEMPERATURE,
        s::TIRE_PRESSURE_FRONT_LEFT,
        s::TIRE_PRESSURE_FRONT_RIGHT,
        s::TIRE_PRESSURE_REAR_LEFT,
        s::TIRE_PRESSURE_REAR_RIGHT,
        s::AMBIENT_TEMPERATURE,
    ],
};

const PARKED_WITH_ENGINE: &[SignalId] = &[
    s::SPEED,
    s::ODOMETER,
    s::ENGINE_SPEED,
    s::FUEL_LEVEL,
    s::BATTERY_VOLTAGE,
    s::TIRE_PRESSURE_FRONT_LEFT,
    s::TIRE_PRESSURE_FRONT_RIGHT,
    s::TIRE_PRESSURE_REAR_LEFT,
    s::TIRE_PRESSURE_REAR_RIGHT,
    s::AMBIENT_TEMPERATURE,
];

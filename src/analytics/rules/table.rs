//! Every rule, in the order in which they are asked. Each stands beside its check.

use super::{Rule, air, codes, driving, electrics, engine, fuel, position, sensors, silence, tires};

pub const RULES: &[Rule] = &[
    engine::OVERHEATING,
    engine::THERMOSTAT_STUCK_OPEN,
    engine::TEMPERATURES_IMPLAUSIBLE,
    engine::OIL_PRESSURE,
    air::AIR_PATH,
    electrics::BATTERY_DRAIN,
    electrics::ALTERNATOR,
    electrics::TRACTION_BATTERY,
    tires::TIRE_LEAK_SLOW,
    tires::TIRE_LEAK_FAST,
    fuel::FUEL_LOSS_PARKED,
    fuel::FUEL_LOSS_DRIVING,
    driving::HARSH_BRAKING,
    driving::HARSH_ACCELERATION,
    driving::HARSH_CORNERING,
    driving::OVER_SPEED,
    position::IMPOSSIBLE_JUMP,
    position::POSITION_STUCK,
    sensors::SENSOR_STUCK,
    sensors::SENSOR_OPEN_CIRCUIT,
    sensors::SIGNAL_MISSING,
    codes::NEW_TROUBLE_CODE,
    silence::SILENT,
];

//! What a feature is about, in a word: model alerts are told apart by it.

use super::derived::DERIVED;
use crate::domain::{SignalId, SignalTable, signal as s};

macro_rules! groups {
    ($($group:ident $word:literal;)*) => {
        /// Part of a vehicle.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Group { $($group),* }

        impl Group {
            pub const ALL: &'static [Self] = &[$(Self::$group),*];

            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$group => $word),* }
            }
        }
    };
}

groups! {
    Motion "motion";
    Engine "engine";
    Cooling "cooling";
    Air "air";
    Fuel "fuel";
    Electrical "electrical";
    Traction "traction";
    Tires "tires";
    Weather "weather";
    Feed "feed";
    Other "other";
}

impl Group {
    /// Of a signal; those that a deployment declares are `other`.
    #[must_use]
    pub fn of_signal(id: SignalId) -> Self {
        match id {
            s::SPEED
            | s::ODOMETER
            | s::ACCELERATION_LONGITUDINAL
            | s::ACCELERATION_LATERAL
            | s::ACCELERATION_VERTICAL
            | s::YAW_RATE
            | s::STEERING_ANGLE
            | s::BRAKE_PEDAL => Self::Motion,
            s::ENGINE_SPEED
            | s::ENGINE_LOAD
            | s::OIL_PRESSURE
            | s::GEAR
            | s::TRANSMISSION_TEMPERATURE
            | s::THROTTLE
            | s::ACCELERATOR_PEDAL => Self::Engine,
            s::COOLANT_TEMPERATURE | s::OIL_TEMPERATURE => Self::Cooling,
            s::INTAKE_TEMPERATURE | s::INTAKE_PRESSURE | s::MASS_AIR_FLOW => Self::Air,
            s::FUEL_LEVEL | s::FUEL_CONSUMPTION => Self::Fuel,
            s::BATTERY_VOLTAGE => Self::Electrical,
            s::TRACTION_BATTERY_CHARGE
            | s::TRACTION_BATTERY_HEALTH
            | s::TRACTION_BATTERY_VOLTAGE
            | s::TRACTION_BATTERY_CURRENT
            | s::TRACTION_BATTERY_TEMPERATURE => Self::Traction,
            s::TIRE_PRESSURE_FRONT_LEFT
            | s::TIRE_PRESSURE_FRONT_RIGHT
            | s::TIRE_PRESSURE_REAR_LEFT
            | s::TIRE_PRESSURE_REAR_RIGHT => Self::Tires,
            s::AMBIENT_TEMPERATURE => Self::Weather,
            _ => Self::Other,
        }
    }

    /// Of a feature, by its name.
    #[must_use]
    pub fn of_feature(name: &str, table: &SignalTable) -> Self {
        let quantity = name.split_once('.').map_or(name, |(quantity, _)| quantity);
        let derived = DERIVED.iter().find(|derived| derived.name == quantity).map(|derived| derived.group);
        derived.or_else(|| table.find(quantity).map(Self::of_signal)).unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_signal_has_a_group() {
        for (id, signal) in SignalTable::default().iter() {
            assert_ne!(Group::of_signal(id), Group::Other, "{}", signal.name);
        }
    }

    #[test]
    fn a_feature_belongs_to_the_group_of_what_it_is_of() {
        let table = SignalTable::default();
        for (name, group) in [
            ("coolant_temperature_celsius.slope_5m", "cooling"),
            ("effective_displacement_l.zscore", "air"),
            ("tire_spread_share", "tires"),
            ("nobody_knows", "other"),
        ] {
            assert_eq!(Group::of_feature(name, &table).word(), group, "{name}");
        }
    }
}

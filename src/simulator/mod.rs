//! A fleet that drives, and that falls ill on demand, with labels; and history replayed as one.
//!
//! ```text
//!  roads, weather ─▶ motion ─▶ powertrain ─▶ sensors ─▶ Reading ─▶ sender (MQTT) or out (Parquet, CSV)
//!                      ▲           ▲            ▲
//!        duty ─ vehicle┴─ illness ─┴────────────┘ ─▶ labels
//! ```
//! Everything before `sender` and `out` is pure: time is an argument, a seed gives the same fleet for ever, and no vehicle depends
//! on how many others there are.

mod duty;
pub mod faults;
pub mod fleet;
mod geography;
pub mod illness;
pub mod kinds;
mod motion;
mod powertrain;
mod random;
pub mod replay;
pub mod roads;
mod sensors;
pub mod vehicle;
mod weather;

#[cfg(test)]
mod scratch {
    use super::*;
    use crate::domain::signal as s;
    #[test]
    fn trace() {
        let start: crate::domain::Timestamp = "2026-11-24T05:00:00Z".parse().unwrap();
        let options = fleet::Options {
            vehicles: 40,
            seed: 1,
            start,
            every: std::time::Duration::from_secs(30),
            faults: illness::RandomFaults::none(),
            plans: vec![],
        };
        let mut fleet = fleet::Fleet::new(&options);
        println!("size {}", size_of::<vehicle::Vehicle>());
        let mut reading = fleet::blank_reading();
        for kind in kinds::Kind::ALL {
            let vehicle = fleet.vehicles.iter_mut().find(|v| v.kind() == kind).unwrap();
            for n in 0..1200 {
                vehicle.next_reading(&fleet.world, &mut reading);
                if n % 7 == 0 && n < 800 {
                    let g = |id| reading.signals.get(id).map_or("-".to_owned(), |v| format!("{v:.1}"));
                    println!(
                        "{} {} {:?} pos {:?} v {} a {} rpm {} load {} cool {} oil {} map {} maf {} fuel {} l100 {} batt {} soc {} A {} V {} T {} tire {} amb {} odo {:?}",
                        reading.vehicle_id,
                        reading.recorded_at,
                        reading.ignition.unwrap(),
                        reading.position.map(|p| (p.latitude(), p.longitude())),
                        g(s::SPEED),
                        g(s::ACCELERATION_LONGITUDINAL),
                        g(s::ENGINE_SPEED),
                        g(s::ENGINE_LOAD),
                        g(s::COOLANT_TEMPERATURE),
                        g(s::OIL_TEMPERATURE),
                        g(s::INTAKE_PRESSURE),
                        g(s::MASS_AIR_FLOW),
                        g(s::FUEL_LEVEL),
                        g(s::FUEL_CONSUMPTION),
                        g(s::BATTERY_VOLTAGE),
                        g(s::TRACTION_BATTERY_CHARGE),
                        g(s::TRACTION_BATTERY_CURRENT),
                        g(s::TRACTION_BATTERY_VOLTAGE),
                        g(s::TRACTION_BATTERY_TEMPERATURE),
                        g(s::TIRE_PRESSURE_FRONT_LEFT),
                        g(s::AMBIENT_TEMPERATURE),
                        reading.odometer_m
                    );
                }
            }
        }
    }
}

//! What a vehicle's sensors make of its state: resolution, noise, gaps. Faults that sit in them: `distortion`.

use std::time::Duration;

use super::distortion::Distortion;
use super::faults;
use super::fleet::World;
use super::kinds::EngineSpec;
use super::random::{Purpose, Random};
use super::vehicle::Vehicle;
use crate::domain::{Ignition, Position, Reading, SignalId, SignalValues, Timestamp, signal as s};

#[derive(Debug, Clone)]
pub struct Sensors {
    pub next_at: Timestamp,
    noise: Random,
    /// Slow error of the position.
    east_m: f32,
    north_m: f32,
    no_position_until: Timestamp,
    sequence: u64,
    /// Of the present illness.
    distortion: Distortion,
}

/// Of the position error: deviation in metres and how long it lasts.
const GPS_DEVIATION_M: f32 = 2.5;
const GPS_MEMORY_S: f32 = 60.0;
/// Mean driving time between tunnels and deep streets, and how long they last in seconds.
const BETWEEN_GPS_GAPS_S: f32 = 45.0 * 60.0;
const GPS_GAP_S: (f32, f32) = (10.0, 150.0);
const ATMOSPHERE_KPA: f32 = 101.3;

impl Sensors {
    pub(super) fn new(world: &World, index: u32, make: &mut Random) -> Self {
        // Golden ratio: any number of vehicles spreads evenly over the interval, and none depends on how many there are.
        let share = (f64::from(index) + 1.0) * 0.618_033_988_749_895 % 1.0;
        let _reserved_for_phases = make.next();
        Self {
            next_at: world.start.plus(world.every.mul_f64(share)),
            noise: Random::stream(world.seed, Purpose::Sensors, u64::from(index)),
            east_m: 0.0,
            north_m: 0.0,
            no_position_until: world.start,
            sequence: 0,
            distortion: Distortion::default(),
        }
    }

    /// A repaired sensor shows no more what it showed when it stuck.
    pub fn forget(&mut self) {
        self.distortion = Distortion::default();
    }
}

impl Vehicle {
    /// Fills `into` with what is reported now; its buffers are used again. The fingerprint is the receiver's to compute.
    pub(super) fn measure(&mut self, world: &World, into: &mut Reading) {
        self.sensors.sequence += 1;
        if into.vehicle_id != self.id {
            into.vehicle_id = self.id.clone();
        }
        into.recorded_at = self.now;
        into.received_at = self.now;
        into.fingerprint = 0;
        into.boot_id = Some(world.start.as_micros().unsigned_abs());
        into.sequence = Some(self.sensors.sequence);
        into.ignition = Some(if self.is_driving() { Ignition::On } else { Ignition::Off });
        into.position = self.locate(world);
        into.odometer_m = Some(self.motion.odometer_m.floor());
        into.signals = SignalValues::default();
        let spec = self.kind.spec();
        for &id in if self.is_driving() { spec.signals } else { spec.parked_signals } {
            if let Some(value) = self.sense(id) {
                into.signals.set(id, value);
            }
        }
        into.extras.clear();
        into.rejected.clear();
        into.dtcs.clear();
        if let Some(illness) = &self.illness {
            self.sensors.distortion.apply(illness, self.now, &mut self.fate, into);
        }
        if let Some(code) = self.illness.as_ref().and_then(|illness| illness.trouble_code(self.now)) {
            into.dtcs.push(code.into());
        }
    }

    /// One signal as its healthy sensor gives it.
    #[expect(clippy::cast_possible_truncation, reason = "signals are f32")]
    fn sense(&mut self, id: SignalId) -> Option<f32> {
        let spec = self.kind.spec();
        let strain = self.strain();
        let random = &mut self.sensors.noise;
        let mut noise = |deviation: f32| deviation * random.normal();
        let (motion, power) = (&self.motion, &self.powertrain);
        let speed = motion.speed_m_per_s;
        let moving = speed > 0.05;
        let engine = spec.engine.as_ref();
        Some(match id {
            s::SPEED if !moving => 0.0,
            s::SPEED => step(speed * 3.6 * (1.0 + noise(0.004)), 0.1).clamp(0.0, 300.0),
            s::ODOMETER => motion.odometer_m.floor() as f32,
            s::ACCELERATION_LONGITUDINAL => step(motion.acceleration_m_per_s2 + noise(0.06), 0.01),
            s::ACCELERATION_LATERAL => step(speed * speed * motion.curvature_per_m + noise(0.06), 0.01).clamp(-12.0, 12.0),
            s::ACCELERATION_VERTICAL => step(noise(0.05 + 0.02 * speed), 0.01),
            s::YAW_RATE => step((speed * motion.curvature_per_m).to_degrees() + noise(0.15), 0.01).clamp(-100.0, 100.0),
            s::ENGINE_SPEED if power.rpm <= 0.0 => 0.0,
            s::ENGINE_SPEED => step(power.rpm + noise(7.0), 0.5).max(0.0),
            s::ENGINE_LOAD => step(power.load * 100.0 + noise(0.8), 0.4).clamp(0.0, 100.0),
            s::COOLANT_TEMPERATURE => step(power.coolant_celsius + noise(0.15), 1.0),
            s::OIL_TEMPERATURE => step(power.oil_celsius + noise(0.15), 1.0),
            s::OIL_PRESSURE => step(oil_pressure_kpa(engine?, power.rpm, power.oil_celsius) + noise(4.0), 1.0).max(0.0),
            s::INTAKE_TEMPERATURE => step(power.intake_celsius + noise(0.3), 1.0),
            s::INTAKE_PRESSURE => {
                let leaked = strain.vacuum_leak_kpa * (1.0 - power.load);
                step(intake_kpa(engine?, power.load, power.rpm, strain.clogged) + leaked + noise(0.7), 1.0)
            }
            s::MASS_AIR_FLOW => {
                // Leaked air does not pass the meter.
                let measured = 1.0 - 0.018 * strain.vacuum_leak_kpa * (1.0 - power.load);
                let pressure_kpa = intake_kpa(engine?, power.load, power.rpm, strain.clogged);
                let flow = air_flow_g_per_s(engine?, power.rpm, pressure_kpa, power.intake_celsius) * measured;
                step(flow * (1.0 + noise(0.012)), 0.01).max(0.0)
            }
            s::THROTTLE => step(13.0 + 76.0 * power.load + noise(0.4), 0.4).clamp(0.0, 100.0),
            s::ACCELERATOR_PEDAL => {
                let power_share = power.pack_current_a * -power.pack_voltage_v / 1_000.0 / spec.power_kw;
                let asked = if engine.is_some() { power.load * 1.1 - 0.12 } else { power_share.max(0.0).sqrt() };
                let pressed = moving && motion.acceleration_m_per_s2 > -0.4;
                if pressed { step(asked * 100.0 + noise(0.6), 0.4).clamp(0.0, 100.0) } else { 0.0 }
            }
            s::BRAKE_PEDAL if !moving => 15.0,
            s::BRAKE_PEDAL => {
                let pedal = (-motion.acceleration_m_per_s2 - 0.5) * 13.0;
                if pedal > 0.0 { step(pedal + noise(0.5), 0.4).clamp(0.0, 100.0) } else { 0.0 }
            }
            s::STEERING_ANGLE => {
                // Wheelbase 2.7 m, steering ratio 15.
                step((motion.curvature_per_m * 2.7).atan().to_degrees() * 15.0 + noise(0.8), 0.1)
            }
            s::GEAR => f32::from(power.gear),
            s::TRANSMISSION_TEMPERATURE => step(power.transmission_celsius + noise(0.2), 1.0),
            s::FUEL_LEVEL => {
                let level = power.fuel_l as f32 / engine?.tank_l * 100.0;
                let slosh = if moving { noise(0.35) } else { 0.0 };
                step(level + slosh, 0.4).clamp(0.0, 100.0)
            }
            // Per distance, so there is none while standing.
            s::FUEL_CONSUMPTION if speed < 1.4 => return None,
            s::FUEL_CONSUMPTION => step(power.fuel_l_per_s / speed * 1e5 * (1.0 + noise(0.01)), 0.1).clamp(0.0, 200.0),
            s::BATTERY_VOLTAGE => step(power.battery_v + noise(0.03), 0.01),
            s::TRACTION_BATTERY_CHARGE => step(power.pack_charge as f32 * 100.0, 0.1),
            s::TRACTION_BATTERY_HEALTH => step(power.pack_health * (1.0 - strain.weak_cells) * 100.0, 0.1),
            s::TRACTION_BATTERY_VOLTAGE => step(power.pack_voltage_v + noise(0.3), 0.1).max(0.0),
            s::TRACTION_BATTERY_CURRENT => step(power.pack_current_a + noise(0.4), 0.1),
            s::TRACTION_BATTERY_TEMPERATURE => step(power.pack_celsius + noise(0.1), 0.5),
            s::AMBIENT_TEMPERATURE => step(self.sky.temperature_celsius + noise(0.15), 0.5),
            tire => {
                let wheel = faults::TIRES.iter().position(|id| *id == tire)?;
                let kelvin = power.tires_celsius + 273.15;
                let absolute = (power.tires_kpa[wheel] + ATMOSPHERE_KPA) * kelvin / 293.15;
                step(absolute - ATMOSPHERE_KPA + noise(0.6), 1.0).max(0.0)
            }
        })
    }

    /// Where the receiver believes to be; `None` in a tunnel.
    fn locate(&mut self, world: &World) -> Option<Position> {
        let every_s = world.every.as_secs_f32();
        let sensors = &mut self.sensors;
        let keep = (-every_s / GPS_MEMORY_S).exp();
        let fresh = GPS_DEVIATION_M * (1.0 - keep * keep).sqrt();
        sensors.east_m = keep * sensors.east_m + fresh * sensors.noise.normal();
        sensors.north_m = keep * sensors.north_m + fresh * sensors.noise.normal();
        let into_tunnel = sensors.noise.chance(every_s / BETWEEN_GPS_GAPS_S);
        let length_s = sensors.noise.between(GPS_GAP_S);
        let moving = self.motion.speed_m_per_s > 0.0;
        if into_tunnel && moving && self.now >= self.sensors.no_position_until {
            self.sensors.no_position_until = self.now.plus(Duration::from_secs_f32(length_s));
        }
        if self.now < self.sensors.no_position_until {
            return None;
        }
        let edge = world.roads.edge(self.motion.at.edge);
        let segment = world.roads.segment(edge, self.motion.segment);
        let road = segment.position(self.motion.at.along_m);
        let mut position = moved(&road, self.sensors.east_m, self.sensors.north_m);
        position.altitude_m = road.altitude_m.map(|altitude_m| step(altitude_m + 1.5 * self.sensors.north_m, 0.1));
        position.heading_deg = road.heading_deg.filter(|_| moving).map(|heading_deg| step(heading_deg, 0.1));
        position.accuracy_m = Some(step(3.0 + 0.6 * (self.sensors.east_m.abs() + self.sensors.north_m.abs()), 0.1));
        Some(position)
    }
}

/// Rounded to the sensor's resolution.
pub(super) fn step(value: f32, resolution: f32) -> f32 {
    // Division by the inverse keeps decimal steps short in text: 63.2, not 63.200005.
    let inverse = 1.0 / resolution;
    (value * inverse).round() / inverse
}

/// Some metres away.
pub(super) fn moved(from: &Position, east_m: f32, north_m: f32) -> Position {
    const METRES_PER_DEGREE: f64 = 111_195.08;
    let latitude = from.latitude() + f64::from(north_m) / METRES_PER_DEGREE;
    let longitude = from.longitude() + f64::from(east_m) / (METRES_PER_DEGREE * latitude.to_radians().cos());
    // Seven decimals are a centimetre.
    let rounded = |degrees: f64| (degrees * 1e7).round() / 1e7;
    let mut position = Position::new(rounded(latitude), rounded(longitude)).expect("some kilometres from Karlsruhe");
    (position.altitude_m, position.heading_deg, position.accuracy_m) = (from.altitude_m, from.heading_deg, from.accuracy_m);
    position
}

fn oil_pressure_kpa(engine: &EngineSpec, rpm: f32, oil_celsius: f32) -> f32 {
    let thickness = (1.6 - 0.0065 * oil_celsius).clamp(0.7, 1.8);
    // The relief valve opens at 5.5 bar.
    (thickness * (40.0 + 540.0 * rpm / engine.max_rpm)).min(550.0)
}

/// Absolute, at sea level.
fn intake_kpa(engine: &EngineSpec, load: f32, rpm: f32, clogged: f32) -> f32 {
    let spin = (rpm / (0.4 * engine.max_rpm)).min(1.0);
    let free = if engine.diesel {
        100.0 + engine.boost_kpa * load * spin
    } else {
        // Throttled up to three quarters of the load, then blown.
        27.0 + 73.0 * (load / 0.75).min(1.0) + engine.boost_kpa * spin * ((load - 0.75) / 0.25).max(0.0)
    };
    free * (1.0 - clogged * load)
}

/// Speed-density equation: cylinders fill once in two turns, volumetric efficiency 0.86, gas constant of air 0.287 kJ/(kg K).
fn air_flow_g_per_s(engine: &EngineSpec, rpm: f32, intake_kpa: f32, intake_celsius: f32) -> f32 {
    rpm / 120.0 * engine.displacement_l * 0.86 * intake_kpa / (0.287 * (intake_celsius + 273.15))
}

//! Power, rpm, gear, fuel, heat and charge of one vehicle, a second at a time. Knows what the vehicle does, not where or why.

#![expect(clippy::cast_possible_truncation, reason = "shares of a charge, kept in f64 only to be summed")]

use super::faults::Fault;
use super::illness::Strain;
use super::kinds::{EngineSpec, KindSpec, PackSpec};
use super::random::Random;

const GRAVITY_M_PER_S2: f32 = 9.81;
const HALF_AIR_DENSITY_KG_PER_M3: f32 = 0.6;
/// Share of the fuel's energy that goes into coolant and oil (Heywood, chapter 12: about a third).
const HEAT_SHARE: f32 = 0.3;
/// Above this the cap of the cooling system opens and boiling takes the rest away.
const BOILING_CELSIUS: f32 = 122.0;

#[derive(Debug, Clone)]
pub struct Powertrain {
    pub rpm: f32,
    pub gear: u8,
    /// 0..1 of what the engine can give at this speed.
    pub load: f32,
    pub fuel_l_per_s: f32,
    pub fuel_l: f64,
    pub coolant_celsius: f32,
    pub oil_celsius: f32,
    pub intake_celsius: f32,
    pub transmission_celsius: f32,
    thermostat: f32,
    /// Of the traction battery: charging positive (VSS).
    pub pack_current_a: f32,
    pub pack_voltage_v: f32,
    pub pack_celsius: f32,
    /// 0..1, also of the charge.
    pub pack_charge: f64,
    pub pack_health: f32,
    /// 0..1, of the low-voltage battery.
    pub starter_charge: f32,
    pub battery_v: f32,
    /// Gauge pressure at 20 °C.
    pub tires_kpa: [f32; 4],
    pub tires_celsius: f32,
}

/// What the vehicle does in this step.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub speed_m_per_s: f32,
    pub acceleration_m_per_s2: f32,
    pub grade: f32,
    pub mass_kg: f32,
    pub ambient_celsius: f32,
    /// Of gear changes, by driver.
    pub revs: f32,
    pub lights_on: bool,
}

impl Powertrain {
    /// Cold, with whatever is in tank and battery.
    pub fn new(spec: &KindSpec, ambient_celsius: f32, random: &mut Random) -> Self {
        let tank_l = spec.engine.as_ref().map_or(0.0, |engine| engine.tank_l);
        let (front_kpa, rear_kpa) = spec.tires_kpa;
        let tires_kpa = [front_kpa, front_kpa, rear_kpa, rear_kpa].map(|kpa| kpa * random.between((0.97, 1.03)));
        let pack_voltage_v = spec.pack.as_ref().map_or(0.0, |pack| 0.5 * (pack.empty_v + pack.full_v));
        Self {
            rpm: 0.0,
            gear: 0,
            load: 0.0,
            fuel_l_per_s: 0.0,
            fuel_l: f64::from(tank_l * random.between((0.3, 1.0))),
            coolant_celsius: ambient_celsius,
            oil_celsius: ambient_celsius,
            intake_celsius: ambient_celsius,
            transmission_celsius: ambient_celsius,
            thermostat: 0.0,
            pack_current_a: 0.0,
            pack_voltage_v,
            pack_celsius: ambient_celsius.max(5.0),
            pack_charge: f64::from(random.between((0.5, 0.98))),
            pack_health: random.between((0.84, 0.99)),
            starter_charge: random.between((0.85, 1.0)),
            battery_v: spec.rested_v,
            tires_kpa,
            tires_celsius: ambient_celsius,
        }
    }

    /// As it is in the middle of a shift.
    pub fn warm_up(&mut self, spec: &KindSpec, ambient_celsius: f32) {
        if let Some(engine) = &spec.engine {
            self.coolant_celsius = engine.thermostat_celsius + 3.0;
            self.oil_celsius = engine.thermostat_celsius + 8.0;
            self.intake_celsius = ambient_celsius + 12.0;
            self.transmission_celsius = ambient_celsius + 52.0;
        }
        self.pack_celsius = ambient_celsius.max(5.0) + 10.0;
        self.tires_celsius = ambient_celsius + 10.0;
        self.battery_v = spec.charging_v - 0.2;
    }

    /// At a filling station, if need be: up to `share` of the tank.
    pub fn fill_up(&mut self, spec: &KindSpec, share: f32) {
        let Some(engine) = &spec.engine else { return };
        if self.fuel_l < 0.22 * f64::from(engine.tank_l) {
            self.fuel_l = f64::from(engine.tank_l * share);
        }
    }

    pub fn inflate(&mut self, spec: &KindSpec) {
        let (front_kpa, rear_kpa) = spec.tires_kpa;
        for (tire_kpa, nominal_kpa) in self.tires_kpa.iter_mut().zip([front_kpa, front_kpa, rear_kpa, rear_kpa]) {
            if *tire_kpa < 0.93 * nominal_kpa {
                *tire_kpa = nominal_kpa;
            }
        }
    }

    /// Undoes what a fault leaves behind; everything else recovers by itself.
    pub fn repair(&mut self, spec: &KindSpec, fault: Fault) {
        match fault {
            Fault::TireLeakSlow | Fault::TireLeakFast => self.inflate(spec),
            Fault::AlternatorFailing => self.starter_charge = 0.95,
            _ => {}
        }
    }

    /// One step with the ignition on.
    pub fn run(&mut self, spec: &KindSpec, work: &Work, strain: &Strain, dt_s: f32) {
        let force_n = resistance_n(spec, work) + work.mass_kg * work.acceleration_m_per_s2;
        let wheel_kw = if work.speed_m_per_s > 0.05 { force_n * work.speed_m_per_s / 1_000.0 } else { 0.0 };
        if let Some(engine) = &spec.engine {
            self.burn(spec, engine, work, strain, wheel_kw, dt_s);
            self.exchange_heat(engine, work, strain, dt_s);
        }
        if let Some(pack) = &spec.pack {
            let traction_kw = if wheel_kw > 0.0 {
                wheel_kw / spec.driveline
            } else {
                // Brakes take what the motor cannot: below walking pace nothing comes back.
                (wheel_kw * 0.62).max(-60.0) * (work.speed_m_per_s / 4.0).min(1.0)
            };
            let comfort_kw = 0.35 + 0.07 * (work.ambient_celsius - 20.0).abs();
            self.discharge(pack, traction_kw + comfort_kw, strain, dt_s);
        }
        self.charge_starter_battery(spec, strain, work.lights_on, dt_s);
        let warm = work.ambient_celsius + 0.75 * work.speed_m_per_s.min(40.0);
        self.tires_celsius += (warm - self.tires_celsius) * (dt_s / 900.0);
        self.leak(strain, spec, dt_s);
    }

    fn burn(&mut self, spec: &KindSpec, engine: &EngineSpec, work: &Work, strain: &Strain, wheel_kw: f32, dt_s: f32) {
        let km_per_h = work.speed_m_per_s * 3.6;
        self.shift(engine, km_per_h, work.revs);
        // A cold engine idles faster; air that leaks in makes it race.
        let cold = ((50.0 - self.coolant_celsius) * 4.5).clamp(0.0, 320.0);
        let idle_rpm = engine.idle_rpm + cold + strain.vacuum_leak_kpa * 11.0;
        let geared_rpm = if self.gear == 0 { 0.0 } else { km_per_h / engine.gears[usize::from(self.gear) - 1] * 1_000.0 };
        self.rpm = geared_rpm.clamp(idle_rpm, engine.max_rpm);
        let krpm = self.rpm / 1_000.0;
        let aside_kw = 0.6 + 0.004 * spec.power_kw;
        let shaft_kw = if wheel_kw > 0.0 { wheel_kw / spec.driveline } else { 0.0 } + aside_kw;
        let available_kw = spec.power_kw * (self.rpm / (0.62 * engine.max_rpm)).min(1.0);
        self.load = (0.08 + 0.92 * shaft_kw / available_kw).clamp(0.0, 1.0);
        let overrun = wheel_kw < -1.0 && self.gear > 0 && geared_rpm > idle_rpm * 1.25;
        let fuel_kw = if overrun {
            self.load = 0.0;
            0.0
        } else {
            // A clogged filter costs pumping work; thick oil costs friction.
            let thick = 1.0 + ((60.0 - self.oil_celsius) / 150.0).max(0.0);
            shaft_kw.min(spec.power_kw) / engine.efficiency * (1.0 + 0.25 * strain.clogged)
                + engine.friction_kw * engine.displacement_l * krpm * thick
        };
        self.fuel_l_per_s = fuel_kw / engine.heating_kj_per_l;
        self.fuel_l = (self.fuel_l - f64::from(self.fuel_l_per_s * dt_s)).max(0.0);
    }

    fn shift(&mut self, engine: &EngineSpec, km_per_h: f32, revs: f32) {
        if km_per_h < 1.0 {
            self.gear = 0;
            return;
        }
        let up = engine.shift_up_rpm * revs * (1.0 + 0.25 * self.load);
        let highest = engine.gears.len();
        let mut gear = usize::from(self.gear.max(1));
        while gear < highest && km_per_h / engine.gears[gear - 1] * 1_000.0 > up {
            gear += 1;
        }
        while gear > 1 && km_per_h / engine.gears[gear - 1] * 1_000.0 < engine.shift_down_rpm {
            gear -= 1;
        }
        self.gear = u8::try_from(gear).unwrap_or(u8::MAX);
    }

    fn exchange_heat(&mut self, engine: &EngineSpec, work: &Work, strain: &Strain, dt_s: f32) {
        let above_ambient = self.coolant_celsius - work.ambient_celsius;
        let wanted = ((self.coolant_celsius - engine.thermostat_celsius) / 10.0).clamp(0.0, 1.0);
        self.thermostat += (wanted - self.thermostat) * (dt_s / 12.0).min(1.0);
        let opening = self.thermostat.max(strain.thermostat_at_least);
        // The fan comes on late and replaces the wind of driving.
        let fan = ((self.coolant_celsius - engine.thermostat_celsius - 8.0) / 6.0).clamp(0.0, 1.0) * 0.6;
        let air = (0.12 + work.speed_m_per_s / 32.0).max(0.12 + fan).min(1.0);
        let radiator_kw = engine.radiator_kw_per_k * strain.cooling * opening * air * above_ambient;
        let walls_kw = engine.heat_capacity_kj_per_k * (1.4e-4 + 5e-6 * work.speed_m_per_s) * above_ambient;
        let boiling_kw = (self.coolant_celsius - BOILING_CELSIUS).max(0.0) * engine.heat_capacity_kj_per_k * 0.05;
        let in_kw = HEAT_SHARE * self.fuel_l_per_s * engine.heating_kj_per_l;
        self.coolant_celsius += (in_kw - radiator_kw - walls_kw - boiling_kw) / engine.heat_capacity_kj_per_k * dt_s;
        let oil_goal = self.coolant_celsius + 4.0 + 16.0 * self.load;
        self.oil_celsius += (oil_goal - self.oil_celsius) * (dt_s / 280.0);
        let soak = work.ambient_celsius + 4.0 + above_ambient.max(0.0) * 0.28 / (1.0 + work.speed_m_per_s / 6.0);
        let charged = soak + engine.boost_kpa * self.load * 0.08;
        self.intake_celsius += (charged - self.intake_celsius) * (dt_s / 40.0);
        let gearbox_goal = work.ambient_celsius + 48.0 + 24.0 * self.load;
        self.transmission_celsius += (gearbox_goal - self.transmission_celsius) * (dt_s / 1_200.0);
    }

    /// `power_kw` out of the traction battery, into it where negative.
    fn discharge(&mut self, pack: &PackSpec, power_kw: f32, strain: &Strain, dt_s: f32) {
        let weak = strain.weak_cells;
        let charge = self.pack_charge as f32;
        let rest_v = (pack.empty_v + (pack.full_v - pack.empty_v) * charge.powf(0.8)) * (1.0 - weak);
        let cold = 1.0 + ((15.0 - self.pack_celsius) * 0.03).max(0.0);
        let resistance_ohm = pack.resistance_ohm * cold * (1.0 + 12.0 * weak);
        self.pack_current_a = -power_kw * 1_000.0 / self.pack_voltage_v.max(0.5 * pack.empty_v);
        self.pack_voltage_v = rest_v + self.pack_current_a * resistance_ohm;
        let capacity_kwh = pack.capacity_kwh * self.pack_health * (1.0 - weak);
        self.pack_charge = (self.pack_charge - f64::from(power_kw * dt_s / 3_600.0 / capacity_kwh)).clamp(0.0, 1.0);
        let heat_kw = self.pack_current_a * self.pack_current_a * resistance_ohm / 1_000.0 + 4.0 * weak;
        self.pack_celsius += heat_kw / pack.heat_capacity_kj_per_k * dt_s;
    }

    fn charge_starter_battery(&mut self, spec: &KindSpec, strain: &Strain, lights_on: bool, dt_s: f32) {
        let volts_per_v = spec.charging_v / 14.0;
        let lamps_v = if lights_on { 0.08 } else { 0.0 };
        let output = strain.charging;
        // Whatever the alternator does not give comes from the battery, about 45 A of 70 Ah.
        let need = 1.0 - (output * 1.6).min(1.0);
        let rate_per_s = 45.0 / 70.0 / 3_600.0;
        self.starter_charge +=
            if need > 0.0 { -need * rate_per_s } else { 2.0 * rate_per_s * (1.0 - self.starter_charge) } * dt_s;
        self.starter_charge = self.starter_charge.clamp(0.0, 1.0);
        let healthy_v = spec.charging_v - lamps_v * volts_per_v - (0.1 + 0.5 * (1.0 - self.starter_charge)) * volts_per_v;
        let alone_v = self.rest_v(spec) - 0.45 * volts_per_v;
        let goal_v = healthy_v + (alone_v - healthy_v) * (1.0 - output);
        self.battery_v += (goal_v - self.battery_v) * (dt_s / 6.0).min(1.0);
    }

    fn rest_v(&self, spec: &KindSpec) -> f32 {
        // Lead acid: about 12.7 V full, 10.6 V empty.
        spec.rested_v * (1.0 - 0.165 * (1.0 - self.starter_charge))
    }

    fn leak(&mut self, strain: &Strain, spec: &KindSpec, dt_s: f32) {
        if strain.leak_kpa_per_s > 0.0 {
            let tire_kpa = &mut self.tires_kpa[strain.leaking_wheel];
            let nominal_kpa = spec.tires_kpa.0;
            // Fast while the tyre is full, slow when nothing presses any more.
            let pressed = (*tire_kpa / nominal_kpa).clamp(0.0, 1.0);
            *tire_kpa = (*tire_kpa - strain.leak_kpa_per_s * nominal_kpa / 240.0 * pressed * dt_s).max(0.0);
        }
    }

    /// The ignition goes off.
    pub fn switch_off(&mut self) {
        self.rpm = 0.0;
        self.load = 0.0;
        self.gear = 0;
        self.fuel_l_per_s = 0.0;
        self.pack_current_a = 0.0;
    }

    /// Any time with the ignition off: everything cools, the battery rests. `charging_kw` flows into the traction battery.
    pub fn rest(&mut self, spec: &KindSpec, ambient_celsius: f32, charging_kw: f32, strain: &Strain, dt_s: f32) {
        let cool = |temperature: &mut f32, hours: f32| {
            *temperature = ambient_celsius + (*temperature - ambient_celsius) * (-dt_s / (hours * 3_600.0)).exp();
        };
        let big = if spec.power_kw > 200.0 { 2.0 } else { 1.0 };
        cool(&mut self.coolant_celsius, 1.6 * big);
        cool(&mut self.oil_celsius, 1.8 * big);
        cool(&mut self.intake_celsius, 0.7);
        cool(&mut self.transmission_celsius, 2.0 * big);
        cool(&mut self.tires_celsius, 0.6);
        self.thermostat = 0.0;
        if let Some(engine) = &spec.engine {
            self.fuel_l = (self.fuel_l - f64::from(strain.theft_share_per_s * engine.tank_l * dt_s)).max(0.0);
        }
        if let Some(pack) = &spec.pack {
            cool(&mut self.pack_celsius, 9.0);
            // Tapers off at the top.
            let taper = ((1.0 - self.pack_charge as f32) * 12.0).clamp(0.0, 1.0);
            self.discharge(pack, -charging_kw * taper + 0.02, strain, dt_s);
        }
        // Alarm and telematics box: about 20 mA of 70 Ah.
        self.starter_charge = (self.starter_charge - 0.02 / 70.0 / 3_600.0 * dt_s).max(0.0);
        let rest_v = self.rest_v(spec);
        self.battery_v = rest_v + (self.battery_v - rest_v) * (-dt_s / 600.0).exp();
        self.leak(strain, spec, dt_s);
    }
}

/// What the engine can accelerate at this speed on this grade; negative where the hill is too steep for the load.
#[must_use]
pub fn pull_m_per_s2(spec: &KindSpec, work: &Work) -> f32 {
    let available_n = spec.power_kw * 1_000.0 * spec.driveline / work.speed_m_per_s.max(3.0);
    (available_n - resistance_n(spec, work)) / work.mass_kg
}

fn resistance_n(spec: &KindSpec, work: &Work) -> f32 {
    let rolling = work.mass_kg * GRAVITY_M_PER_S2 * (spec.rolling_resistance + work.grade);
    rolling + HALF_AIR_DENSITY_KG_PER_M3 * spec.drag_area_m2 * work.speed_m_per_s * work.speed_m_per_s
}

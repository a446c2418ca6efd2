//! One vehicle: drives, stops, fills up, falls ill and recovers, and says how it is doing. No clock: it is told until when to live.

use std::time::Duration;

use super::duty::Duty;
use super::faults::{Fault, Needs};
use super::fleet::World;
use super::illness::{Episode, Illness, Plan, Strain};
use super::kinds::Kind;
use super::motion::{Driver, Motion, Place, Progress, Surroundings};
use super::powertrain::{Powertrain, Work, pull_m_per_s2};
use super::random::{Purpose, Random};
use super::roads::RoadClass;
use super::sensors::Sensors;
use super::weather::{self, LocalTime, Sky};
use crate::domain::{Reading, Timestamp, VehicleId};

/// Everything about one vehicle; 10,000 of them are 5 MB.
#[derive(Debug, Clone)]
pub struct Vehicle {
    pub(super) id: VehicleId,
    pub(super) index: u32,
    pub(super) kind: Kind,
    driver: Driver,
    duty: Duty,
    home: Place,
    mass_kg: f32,
    mode: Mode,
    pub(super) motion: Motion,
    pub(super) powertrain: Powertrain,
    pub(super) sky: Sky,
    pub(super) illness: Option<Illness>,
    pub(super) sensors: Sensors,
    /// Routes, stops and traffic; never touched by faults.
    life: Random,
    pub(super) fate: Random,
    episodes: Vec<Episode>,
    pub(super) now: Timestamp,
    sky_until: Timestamp,
    no_coverage_until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Driving,
    Parked { until: Timestamp, charging_kw: f32 },
}

/// What is wrong with a vehicle at the moment of a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    pub fault: Fault,
    pub severity: f32,
}

/// Longest step of the physics while driving; braking before junctions needs no less.
const STEP_S: f32 = 1.0;
/// Weather, light, traffic and faults are looked at this often.
const LOOK: Duration = Duration::from_mins(1);
/// Mean driving time between two holes in the mobile network outside towns, and their length in seconds.
const BETWEEN_COVERAGE_GAPS_S: f32 = 2.0 * 3_600.0;
const COVERAGE_GAP_S: (f32, f32) = (60.0, 600.0);

impl Vehicle {
    pub(super) fn new(index: u32, world: &World, plan: Option<&Plan>) -> Self {
        let mut make = Random::stream(world.seed, Purpose::Make, u64::from(index));
        let kind = draw_kind(plan, &mut make);
        let spec = kind.spec();
        let style = make.between((-1.0, 1.0));
        let driver = Driver {
            pace: 0.98 + 0.08 * style,
            acceleration_m_per_s2: spec.acceleration_m_per_s2 * (1.0 + 0.25 * style),
            braking_m_per_s2: (1.6 + 0.5 * style) * if kind == Kind::Truck { 0.7 } else { 1.0 },
            revs: 1.0 + 0.15 * style,
        };
        let on_stage = plan.is_some_and(|plan| plan.fault.spec().needs == Needs::Driving);
        let drawn_duty = Duty::draw(kind, &mut make);
        let duty = if on_stage { Duty::always() } else { drawn_duty };
        let home = random_place(world, &mut make);
        let now = world.start;
        let sky = weather::sky(world.seed, now);
        let mut fate = Random::stream(world.seed, Purpose::Faults, u64::from(index));
        let illness = plan
            .and_then(|plan| Illness::planned(plan, kind, &mut fate))
            .or_else(|| Illness::draw(&world.faults, kind, now, &mut fate));
        let mut vehicle = Self {
            id: VehicleId::new(&format!("{}-{index:05}", spec.name)).expect("kinds are named in lower case"),
            index,
            kind,
            driver,
            duty,
            home,
            mass_kg: make.between(spec.mass_kg),
            mode: Mode::Driving,
            motion: Motion::standing_at(home, &world.roads),
            powertrain: Powertrain::new(spec, sky.temperature_celsius, &mut make),
            sky,
            illness,
            sensors: Sensors::new(world, index, &mut make),
            life: Random::stream(world.seed, Purpose::Life, u64::from(index)),
            fate,
            episodes: Vec::new(),
            now,
            sky_until: now.plus(LOOK),
            no_coverage_until: now,
        };
        let awaits_thief = plan.is_some_and(|plan| plan.fault.spec().needs == Needs::Parked);
        if awaits_thief {
            vehicle.mode = Mode::Parked { until: now.plus(Duration::from_hours(3)), charging_kw: 0.0 };
        } else if vehicle.duty.is_on(world.seed, index, now) {
            vehicle.motion = Motion::standing_at(random_place(world, &mut vehicle.life), &world.roads);
            vehicle.powertrain.warm_up(spec, sky.temperature_celsius);
            if on_stage || vehicle.life.chance(0.75) {
                vehicle.depart(world);
            } else {
                let wait_s = vehicle.life.between((20.0, 600.0));
                vehicle.mode = Mode::Parked { until: now.plus(Duration::from_secs_f32(wait_s)), charging_kw: 0.0 };
            }
        } else {
            let until = vehicle.duty.next_start(world.seed, index, now);
            vehicle.mode = Mode::Parked { until, charging_kw: charger_kw(kind) };
        }
        vehicle.motion.odometer_m = f64::from(make.between((5_000.0, 350_000.0))) * 1_000.0;
        vehicle
    }

    pub const fn id(&self) -> &VehicleId {
        &self.id
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub const fn is_driving(&self) -> bool {
        matches!(self.mode, Mode::Driving)
    }

    /// When its next reading is due.
    pub const fn next_at(&self) -> Timestamp {
        self.sensors.next_at
    }

    /// Lives on to the next reading and takes it. `into` is used again.
    pub fn next_reading(&mut self, world: &World, into: &mut Reading) {
        let at = self.sensors.next_at;
        self.advance(world, at);
        self.sensors.next_at = at.plus(world.every);
        self.measure(world, into);
    }

    /// Whether the mobile network reaches it; where not, readings wait on board.
    pub fn has_coverage(&self) -> bool {
        self.now >= self.no_coverage_until
    }

    /// For a test that cannot wait until it drives into a valley.
    #[cfg(test)]
    pub(super) fn lose_coverage_until(&mut self, until: Timestamp) {
        self.no_coverage_until = until;
    }

    /// What is wrong with it now.
    pub fn label(&self) -> Option<Label> {
        let illness = self.illness.as_ref().filter(|illness| illness.is_active())?;
        Some(Label { fault: illness.fault, severity: illness.severity })
    }

    /// All that was and is wrong with it.
    pub fn episodes(&self) -> impl Iterator<Item = Episode> {
        let current = self.illness.as_ref().and_then(|illness| illness.episode(self.kind, self.now));
        self.episodes.iter().cloned().chain(current)
    }

    /// Lives on until `to`; does nothing where that has passed. Faults begin and end between the looks: they must not move the steps
    /// of the physics, so that a vehicle can be compared with itself in health.
    pub fn advance(&mut self, world: &World, to: Timestamp) {
        while self.now < to {
            self.look(world);
            let mut strain = self.strain();
            let end = to.min(self.now.plus(LOOK));
            match self.mode {
                Mode::Driving => self.drive(world, end, &strain),
                Mode::Parked { until, charging_kw } => {
                    let end = end.min(until.max(self.now));
                    let dt_s = seconds(self.now, end);
                    if let Some(illness) = &self.illness {
                        strain.theft_share_per_s *= illness.share_of_step(self.now, end);
                    }
                    let ambient_celsius = self.sky.temperature_celsius;
                    self.powertrain.rest(self.kind.spec(), ambient_celsius, charging_kw, &strain, dt_s);
                    self.now = end;
                    if end >= until {
                        self.depart(world);
                    }
                }
            }
        }
        self.look(world);
    }

    pub(super) fn strain(&self) -> Strain {
        self.illness.as_ref().map_or(Strain::NONE, |illness| illness.strain(self.now))
    }

    /// Notices what changes slowly.
    fn look(&mut self, world: &World) {
        let driving = self.is_driving();
        if self.now >= self.sky_until {
            self.sky = weather::sky(world.seed, self.now);
            self.sky_until = self.now.plus(LOOK);
            let outside_towns = matches!(world.roads.edge(self.motion.at.edge).class, RoadClass::Country | RoadClass::Motorway);
            if driving && outside_towns && self.life.chance(LOOK.as_secs_f32() / BETWEEN_COVERAGE_GAPS_S) {
                let gap_s = self.life.between(COVERAGE_GAP_S);
                self.no_coverage_until = self.now.plus(Duration::from_secs_f32(gap_s));
            }
        }
        let Some(illness) = &mut self.illness else { return };
        if illness.is_over(self.now) {
            self.episodes.extend(illness.episode(self.kind, self.now));
            self.powertrain.repair(self.kind.spec(), illness.fault);
            self.sensors.forget();
            self.illness = Illness::draw(&world.faults, self.kind, self.now, &mut self.fate);
        } else {
            illness.try_begin(self.now, driving);
        }
    }

    fn drive(&mut self, world: &World, end: Timestamp, strain: &Strain) {
        let spec = self.kind.spec();
        let around = self.surroundings(world, strain);
        let dark = !(7.0..17.5).contains(&around.local.hour());
        let mut left_s = seconds(self.now, end);
        let began = self.now;
        let mut done_s = 0.0;
        while left_s > 1e-4 {
            let dt_s = left_s.min(STEP_S);
            let mut work = Work {
                speed_m_per_s: self.motion.speed_m_per_s,
                acceleration_m_per_s2: 0.0,
                grade: self.motion.grade,
                mass_kg: self.mass_kg,
                ambient_celsius: self.sky.temperature_celsius,
                revs: around.driver.revs,
                lights_on: dark,
            };
            let pull = pull_m_per_s2(spec, &work);
            let progress = self.motion.step(dt_s, pull, &around, &mut self.life);
            work.speed_m_per_s = self.motion.speed_m_per_s;
            work.acceleration_m_per_s2 = self.motion.acceleration_m_per_s2;
            self.powertrain.run(spec, &work, strain, dt_s);
            left_s -= dt_s;
            done_s += dt_s;
            if progress == Progress::Arrived {
                self.now = began.plus(Duration::from_secs_f32(done_s)).min(end);
                self.arrive(world);
                return;
            }
        }
        self.now = end;
    }

    fn surroundings<'a>(&self, world: &'a World, strain: &Strain) -> Surroundings<'a> {
        Surroundings {
            roads: &world.roads,
            local: LocalTime::at(self.now),
            rain: self.sky.rain,
            max_speed_m_per_s: self.kind.spec().max_speed_m_per_s,
            driver: self.driver,
            harshness: strain.harshness,
        }
    }

    /// Drives to the next stop of the shift, or home where it is over.
    fn depart(&mut self, world: &World) {
        let on_duty = self.duty.is_on(world.seed, self.index, self.now);
        let destination = if on_duty { self.choose_stop(world) } else { self.home };
        let around = self.surroundings(world, &Strain::NONE);
        self.motion.depart(destination, &around, &mut self.life);
        self.mode = Mode::Driving;
    }

    fn choose_stop(&mut self, world: &World) -> Place {
        let first = random_place(world, &mut self.life);
        let second = random_place(world, &mut self.life);
        let distance_m = |place: Place| {
            let to = world.roads.node(world.roads.edge(place.edge).from);
            let here = world.roads.node(world.roads.edge(self.motion.at.edge).to);
            (to.latitude - here.latitude).abs() + (to.longitude - here.longitude).abs()
        };
        // Trucks go far, the others stay in their district.
        let prefers_far = self.kind == Kind::Truck;
        if (distance_m(first) > distance_m(second)) == prefers_far { first } else { second }
    }

    fn arrive(&mut self, world: &World) {
        let spec = self.kind.spec();
        self.motion.stand();
        self.powertrain.switch_off();
        self.mass_kg = self.life.between(spec.mass_kg);
        let share = self.life.between((0.92, 1.0));
        self.powertrain.fill_up(spec, share);
        let at_home = self.motion.destination == self.home && !self.duty.is_on(world.seed, self.index, self.now);
        if at_home {
            let leaking = self.label().is_some_and(|label| matches!(label.fault, Fault::TireLeakSlow | Fault::TireLeakFast));
            if !leaking {
                self.powertrain.inflate(spec);
            }
            let until = self.duty.next_start(world.seed, self.index, self.now);
            self.mode = Mode::Parked { until, charging_kw: charger_kw(self.kind) };
            return;
        }
        let mut minutes = self.life.between(spec.stop_minutes);
        let mut charging_kw = 0.0;
        if self.kind == Kind::Electric && self.powertrain.pack_charge < 0.35 {
            // A fast charger beside the road.
            minutes = 40.0;
            charging_kw = 50.0;
        }
        self.mode = Mode::Parked { until: self.now.plus(Duration::from_secs_f32(minutes * 60.0)), charging_kw };
    }
}

/// A planned fault gets a vehicle that can have it.
fn draw_kind(plan: Option<&Plan>, random: &mut Random) -> Kind {
    let mut share = random.unit();
    let drawn = Kind::ALL.into_iter().find(|kind| {
        share -= kind.spec().share;
        share < 0.0
    });
    let drawn = drawn.unwrap_or(Kind::Car);
    match plan.map(|plan| plan.fault.spec().kinds) {
        Some(kinds) if !kinds.contains(&drawn) => kinds.first().copied().unwrap_or(drawn),
        _ => drawn,
    }
}

fn random_place(world: &World, random: &mut Random) -> Place {
    loop {
        let edge = u16::try_from(random.below(u32::from(world.roads.edge_count()))).expect("edges have 16-bit numbers");
        let road = world.roads.edge(edge);
        let along_m = road.length_m * random.between((0.1, 0.9));
        // Nobody lives or delivers on a motorway.
        if road.class != RoadClass::Motorway {
            return Place { edge, along_m };
        }
    }
}

fn charger_kw(kind: Kind) -> f32 {
    kind.spec().pack.as_ref().map_or(0.0, |pack| pack.charger_kw)
}

#[expect(clippy::cast_possible_truncation, reason = "at most a quarter of an hour")]
fn seconds(from: Timestamp, to: Timestamp) -> f32 {
    to.seconds_since(from) as f32
}

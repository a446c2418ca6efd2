//! The fault that one vehicle has or will have next: drawn from the table, begun when its condition holds, felt by the physics as
//! [`Strain`]. What it does to readings: `sensors`.

use std::time::Duration;

use super::faults::{self, DIAGNOSED_AFTER_MINUTES, Fault, Needs, SENSORS, SWAPS, Sensor, Signals, TIRES};
use super::kinds::Kind;
use super::random::Random;
use crate::domain::{SignalId, Timestamp};

/// How healthy vehicles fall ill.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomFaults {
    /// None: everybody stays healthy.
    pub kinds: Vec<Fault>,
    pub mean_days_between: f32,
}

/// A fault on demand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Index of the vehicle in its fleet.
    pub vehicle: u32,
    pub fault: Fault,
    /// Begins here, or when its condition next holds.
    pub onset: Timestamp,
    /// Drawn where `None`.
    pub severity: Option<f32>,
    /// Full severity at once instead of a drawn ramp.
    pub sudden: bool,
}

/// A label: what was wrong, from when to when.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    pub fault: Fault,
    pub severity: f32,
    /// From here on readings are affected.
    pub onset: Timestamp,
    /// `None`: still ill when the simulation ended.
    pub end: Option<Timestamp>,
    /// None for faults of the position.
    pub signals: Vec<SignalId>,
}

#[derive(Debug, Clone)]
pub struct Illness {
    pub fault: Fault,
    pub severity: f32,
    /// Of the affected signal, where the fault has just one; the first of a pair.
    pub target: SignalId,
    pub other: SignalId,
    /// +1 or -1, for offsets and drifts.
    pub sign: f32,
    pub onset: Timestamp,
    began: Option<Timestamp>,
    minutes: f32,
    ramp_minutes: f32,
}

/// What a fault does to the physics of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strain {
    /// Share of the radiator's work left.
    pub cooling: f32,
    /// The thermostat does not close further than this.
    pub thermostat_at_least: f32,
    /// Share of the alternator's output left.
    pub charging: f32,
    pub leak_kpa_per_s: f32,
    pub leaking_wheel: usize,
    pub theft_share_per_s: f32,
    /// Times the driver's accelerations.
    pub harshness: f32,
    /// Of the traction battery.
    pub weak_cells: f32,
    /// Of the intake, at full load.
    pub clogged: f32,
    pub vacuum_leak_kpa: f32,
}

impl Strain {
    pub const NONE: Self = Self {
        cooling: 1.0,
        thermostat_at_least: 0.0,
        charging: 1.0,
        leak_kpa_per_s: 0.0,
        leaking_wheel: 0,
        theft_share_per_s: 0.0,
        harshness: 1.0,
        weak_cells: 0.0,
        clogged: 0.0,
        vacuum_leak_kpa: 0.0,
    };
}

impl Illness {
    /// The next random fault of a vehicle that is healthy at `from`; `None` if it never falls ill.
    pub fn draw(faults: &RandomFaults, kind: Kind, from: Timestamp, random: &mut Random) -> Option<Self> {
        let days = random.exponential(faults.mean_days_between);
        let onset = from.plus(Duration::from_secs_f32(days * 86_400.0));
        let suitable = |fault: &&Fault| fault.spec().kinds.contains(&kind);
        let count = u32::try_from(faults.kinds.iter().filter(suitable).count()).unwrap_or(u32::MAX);
        let chosen = random.below(count.max(1)) as usize;
        let fault = *faults.kinds.iter().filter(suitable).nth(chosen)?;
        Some(Self::of(fault, kind, onset, random))
    }

    /// `None` where the vehicle is of a kind that cannot have the fault.
    pub fn planned(plan: &Plan, kind: Kind, random: &mut Random) -> Option<Self> {
        let spec = plan.fault.spec();
        let can_have_it = spec.kinds.contains(&kind);
        let mut illness = can_have_it.then(|| Self::of(plan.fault, kind, plan.onset, random))?;
        illness.severity = plan.severity.unwrap_or(illness.severity);
        if plan.sudden {
            illness.ramp_minutes = 0.0;
        }
        Some(illness)
    }

    fn of(fault: Fault, kind: Kind, onset: Timestamp, random: &mut Random) -> Self {
        let spec = fault.spec();
        let mut illness = Self {
            fault,
            severity: random.between(spec.severity),
            target: TIRES[0],
            other: TIRES[0],
            sign: if random.chance(0.5) { 1.0 } else { -1.0 },
            onset,
            began: None,
            minutes: random.between(spec.minutes),
            ramp_minutes: random.between(spec.ramp_minutes),
        };
        let drawn = random.next();
        let pick = |count: usize| usize::try_from(drawn % count.max(1) as u64).unwrap_or(0);
        let reported = kind.spec().signals;
        match spec.signals {
            Signals::OneTire => illness.target = TIRES[pick(4)],
            Signals::OneSensor => {
                let suitable = |sensor: &&Sensor| reported.contains(&sensor.signal) && can_be(fault, sensor);
                let count = SENSORS.iter().filter(suitable).count();
                if let Some(sensor) = SENSORS.iter().filter(suitable).nth(pick(count)) {
                    illness.target = sensor.signal;
                }
            }
            Signals::Pair => {
                let suitable = |pair: &&(SignalId, SignalId)| reported.contains(&pair.0) && reported.contains(&pair.1);
                let count = SWAPS.iter().filter(suitable).count();
                if let Some(pair) = SWAPS.iter().filter(suitable).nth(pick(count)) {
                    (illness.target, illness.other) = *pair;
                }
            }
            Signals::All(_) | Signals::Position => {}
        }
        illness
    }

    /// Begins it where its time has come and its condition holds. Whether it just began.
    pub fn try_begin(&mut self, now: Timestamp, driving: bool) -> bool {
        let condition_holds = driving == (self.fault.spec().needs == Needs::Driving);
        let begins = self.began.is_none() && now >= self.onset && condition_holds;
        if begins {
            self.began = Some(now);
        }
        begins
    }

    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.began.is_some()
    }

    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends_at().is_some_and(|end| now >= end)
    }

    /// How much of a step it lasts, 0..1: what is taken away by then must not be taken twice.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a share")]
    pub fn share_of_step(&self, from: Timestamp, to: Timestamp) -> f32 {
        let Some(end) = self.ends_at().filter(|end| *end < to) else { return 1.0 };
        (end.seconds_since(from) / to.seconds_since(from)) as f32
    }

    fn ends_at(&self) -> Option<Timestamp> {
        Some(self.began?.plus(Duration::from_secs_f32(self.minutes * 60.0)))
    }

    /// Severity reached so far; 0 before the onset.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "minutes")]
    pub fn felt(&self, now: Timestamp) -> f32 {
        let Some(began) = self.began else { return 0.0 };
        let minutes = (now.seconds_since(began) / 60.0) as f32;
        if minutes >= self.ramp_minutes { self.severity } else { self.severity * minutes / self.ramp_minutes }
    }

    #[must_use]
    pub fn strain(&self, now: Timestamp) -> Strain {
        let mut strain = Strain::NONE;
        if !self.is_active() {
            return strain;
        }
        let felt = self.felt(now);
        match self.fault {
            Fault::Overheating => strain.cooling = 1.0 - felt,
            Fault::ThermostatStuckOpen => strain.thermostat_at_least = felt,
            Fault::AlternatorFailing => strain.charging = 1.0 - felt,
            Fault::TireLeakSlow => strain.leak_kpa_per_s = felt / 3_600.0,
            Fault::TireLeakFast => strain.leak_kpa_per_s = felt / 60.0,
            Fault::FuelTheft => strain.theft_share_per_s = self.severity / (self.minutes * 60.0),
            Fault::HarshDriving => strain.harshness = felt,
            Fault::BatteryCell => strain.weak_cells = felt,
            Fault::CloggedFilter => strain.clogged = felt,
            Fault::VacuumLeak => strain.vacuum_leak_kpa = felt,
            _ => {}
        }
        strain.leaking_wheel = TIRES.iter().position(|tire| *tire == self.target).unwrap_or(0);
        strain
    }

    #[must_use]
    pub fn trouble_code(&self, now: Timestamp) -> Option<&'static str> {
        let noticed = self.began?.plus(Duration::from_secs_f32(DIAGNOSED_AFTER_MINUTES * 60.0)) <= now;
        self.fault.spec().trouble_code.filter(|_| noticed)
    }

    /// `None` before the onset.
    #[must_use]
    pub fn episode(&self, kind: Kind, now: Timestamp) -> Option<Episode> {
        let onset = self.began?;
        let signals = match self.fault.spec().signals {
            Signals::All(signals) => signals.iter().copied().filter(|id| kind.spec().signals.contains(id)).collect(),
            Signals::OneTire | Signals::OneSensor => vec![self.target],
            Signals::Pair => vec![self.target, self.other],
            Signals::Position => Vec::new(),
        };
        let end = self.ends_at().filter(|end| *end <= now);
        Some(Episode { fault: self.fault, severity: self.severity, onset, end, signals })
    }

    /// What offsets and drifts add to their target.
    #[must_use]
    pub fn shift(&self, now: Timestamp) -> f32 {
        faults::sensor_of(self.target).map_or(0.0, |sensor| self.sign * self.felt(now) * sensor.span)
    }
}

fn can_be(fault: Fault, sensor: &Sensor) -> bool {
    match fault {
        Fault::SensorStuck => sensor.moves,
        Fault::SensorOpenCircuit => sensor.open_circuit.is_some(),
        _ => true,
    }
}

//! One reading with what every rule wants to know about it: how long since the last one, whether the engine runs and how long, how far
//! the vehicle went. Judges nothing.

use std::time::Duration;

use super::Context;
use super::memory::RuleMemory;
use crate::domain::{Ignition, Reading, SignalId, Timestamp, signal as s};

/// Bus loggers write one signal a row: a value this old still belongs to the moment.
const SAME_MOMENT: Duration = Duration::from_secs(3);
/// Rows looked back through for it.
const ROWS_BACK: usize = 24;

/// Above any starter, below any idle.
const RUNNING_RPM: f32 = 350.0;
/// Slower is standing: sensors tremble.
const MOVING_KM_PER_H: f32 = 3.0;
/// After a longer rest the engine counts as started anew.
const REST_S: f32 = 600.0;
/// Over a longer gap nobody knows what it did.
const GAP_S: f32 = 300.0;

#[derive(Debug)]
pub struct Moment<'a> {
    pub context: &'a Context<'a>,
    pub now: Timestamp,
    /// Since the newest reading before; `None` for the first.
    pub dt_s: Option<f32>,
    /// `None`: it does not say and nothing shows it.
    pub is_on: Option<bool>,
    /// The engine turns, or an electric drive is on.
    pub is_running: bool,
    pub rpm: Option<f32>,
    pub speed_km_per_h: Option<f32>,
    pub speed_before_km_per_h: Option<f32>,
    pub running_s: f32,
    pub driving_s: f32,
    /// Since the engine last began to turn, however short it rested.
    pub started_s: f32,
    /// By odometer, else by speed; `None` where neither tells.
    pub driven_m: Option<f64>,
}

impl<'a> Moment<'a> {
    /// Also moves the memory on to this reading.
    pub fn take(context: &'a Context<'a>, memory: &mut RuleMemory) -> Self {
        let reading = context.reading;
        let drive = &mut memory.drive;
        let now = reading.recorded_at;
        #[expect(clippy::cast_possible_truncation, reason = "seconds between readings")]
        let dt_s = drive.seen_at.map(|before| now.seconds_since(before).max(0.0) as f32);
        let mut moment = Self {
            context,
            now,
            dt_s,
            is_on: None,
            is_running: false,
            rpm: None,
            speed_km_per_h: None,
            speed_before_km_per_h: drive.speed_km_per_h,
            running_s: 0.0,
            driving_s: 0.0,
            started_s: 0.0,
            driven_m: None,
        };
        moment.rpm = moment.value(s::ENGINE_SPEED);
        moment.speed_km_per_h = moment.value(s::SPEED);
        let is_moving = moment.speed_km_per_h.is_some_and(|speed| speed > MOVING_KM_PER_H);
        let turns = moment.rpm.map(|rpm| rpm >= RUNNING_RPM);
        moment.is_on = ignition_is_on(reading).or(if is_moving { Some(true) } else { turns });
        moment.is_running = turns.unwrap_or(is_moving) && moment.is_on != Some(false);
        moment.driven_m = driven_m(&moment, drive.odometer_m);
        let dt_s = dt_s.unwrap_or(0.0);
        if moment.is_running {
            if drive.rested_s >= REST_S || dt_s > REST_S {
                drive.running_s = 0.0;
                drive.driving_s = 0.0;
            }
            drive.rested_s = 0.0;
            let counted_s = dt_s.min(GAP_S);
            drive.running_s += counted_s;
            drive.started_s = if dt_s > GAP_S { 0.0 } else { drive.started_s + dt_s };
            drive.driving_s += if is_moving { counted_s } else { 0.0 };
        } else {
            drive.rested_s += dt_s;
            drive.started_s = 0.0;
        }
        drive.seen_at = Some(now);
        drive.is_parked = moment.is_on == Some(false) || (moment.is_on.is_none() && !is_moving);
        if let Some(speed) = moment.speed_km_per_h {
            drive.speed_km_per_h = Some(speed);
        }
        if let Some(odometer_m) = reading.odometer_m {
            drive.odometer_m = Some(odometer_m);
        }
        (moment.running_s, moment.driving_s, moment.started_s) = (drive.running_s, drive.driving_s, drive.started_s);
        moment
    }

    /// For a late reading, of which nothing is remembered.
    pub fn alone(context: &'a Context<'a>) -> Self {
        Self::take(context, &mut RuleMemory::default())
    }

    /// The value of this reading, or of one so short before that it belongs to the same moment.
    pub fn value(&self, id: SignalId) -> Option<f32> {
        let Context { reading, window, step, .. } = *self.context;
        if let Some(value) = reading.signals.get(id) {
            return Some(value);
        }
        let since = self.now.minus(SAME_MOMENT);
        let rows = (step.saturating_sub(ROWS_BACK)..step).rev();
        rows.take_while(|row| window.recorded_at(*row) >= since).find_map(|row| window.signal_at(id, row))
    }

    pub fn is_moving(&self) -> bool {
        self.speed_km_per_h.is_some_and(|speed| speed > MOVING_KM_PER_H)
    }

    /// Seconds since the reading before, if it is near enough to say what happened between.
    pub fn step_s(&self) -> Option<f32> {
        self.dt_s.filter(|dt_s| *dt_s <= GAP_S)
    }
}

fn ignition_is_on(reading: &Reading) -> Option<bool> {
    match reading.ignition? {
        Ignition::Undefined => None,
        ignition => Some(ignition.is_on()),
    }
}

fn driven_m(moment: &Moment<'_>, odometer_before_m: Option<f64>) -> Option<f64> {
    if let Some((now_m, before_m)) = moment.context.reading.odometer_m.zip(odometer_before_m) {
        return Some((now_m - before_m).max(0.0));
    }
    let seconds = moment.step_s()?;
    let faster = moment.speed_km_per_h?.max(moment.speed_before_km_per_h?);
    Some(f64::from(faster / 3.6 * seconds))
}

/// Share of a slow mean that a reading after `dt_s` makes up, for a mean over about `over_s`.
pub fn weight(dt_s: f32, over_s: f32) -> f32 {
    1.0 - (-dt_s / over_s).exp()
}

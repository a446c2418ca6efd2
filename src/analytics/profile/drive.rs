//! What a vehicle has done since its engine was started: as much as features need and no window holds at every rate of readings.

use std::time::Duration;

use crate::analytics::features::held;
use crate::analytics::window::Window;
use crate::domain::{SignalId, Timestamp, signal};

/// Bus loggers write one signal a row: a value this old still belongs to the moment.
const SAME_MOMENT: Duration = Duration::from_secs(10);
/// Above any starter, below any idle.
pub const RUNNING_RPM: f32 = 350.0;
/// Slower is standing: sensors tremble.
pub const MOVING_KM_PER_H: f32 = 3.0;
/// After a longer rest, or without a word for so long, the next start begins another drive.
const REST_S: f64 = 600.0;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Drive {
    /// The newest reading that it knows.
    pub(super) seen_at: Option<Timestamp>,
    pub(super) running_s: f64,
    pub(super) rested_s: f64,
    pub(super) coolant_max_celsius: Option<f32>,
    /// When it last moved.
    pub(super) fuel_at_stop_percent: Option<f32>,
    pub(super) is_moving: bool,
}

impl Drive {
    /// How long the engine has run, or the vehicle driven where it has none, as of a later moment; `None` where nobody was there.
    #[must_use]
    pub fn running_s(&self, window: &Window, step: usize) -> Option<f64> {
        let since = self.seconds_until(window.recorded_at(step))?;
        if !is_running(window, step) {
            return Some(0.0);
        }
        let goes_on = self.rested_s < REST_S && since <= REST_S;
        Some(if goes_on { self.running_s + since } else { 0.0 })
    }

    /// The highest of this drive so far.
    #[must_use]
    pub fn coolant_max_celsius(&self, window: &Window, step: usize) -> Option<f32> {
        let since = self.seconds_until(window.recorded_at(step))?;
        self.coolant_max_celsius.filter(|_| self.rested_s < REST_S && since <= REST_S)
    }

    /// Of the moment when it last moved, while it stands.
    #[must_use]
    pub fn fuel_at_stop_percent(&self, window: &Window, step: usize) -> Option<f32> {
        self.seconds_until(window.recorded_at(step))?;
        self.fuel_at_stop_percent.filter(|_| !is_moving(window, step).unwrap_or(self.is_moving))
    }

    pub(super) fn observe(&mut self, window: &Window, step: usize) {
        let now = window.recorded_at(step);
        let since = self.seconds_until(now);
        if self.seen_at.is_some() && since.is_none() {
            return;
        }
        let since = since.unwrap_or(0.0);
        let starts = is_running(window, step);
        if since > REST_S || (starts && self.rested_s >= REST_S) {
            (self.running_s, self.coolant_max_celsius) = (0.0, None);
        } else if starts {
            self.running_s += since;
        }
        self.rested_s = if starts { 0.0 } else { self.rested_s + since };
        if let Some(coolant) = window.signal_at(signal::COOLANT_TEMPERATURE, step) {
            self.coolant_max_celsius = Some(self.coolant_max_celsius.map_or(coolant, |max| max.max(coolant)));
        }
        if let Some(is_moving) = is_moving(window, step) {
            self.is_moving = is_moving;
        }
        let fuel = window.signal_at(signal::FUEL_LEVEL, step);
        if self.is_moving || self.fuel_at_stop_percent.is_none() {
            self.fuel_at_stop_percent = fuel.or(self.fuel_at_stop_percent);
        }
        self.seen_at = Some(now);
    }

    /// `None` for moments that are no later than the newest one that it knows: late readings.
    fn seconds_until(&self, now: Timestamp) -> Option<f64> {
        self.seen_at.filter(|seen_at| *seen_at < now).map(|seen_at| now.seconds_since(seen_at))
    }
}

/// The engine turns; without a word about an engine: the vehicle moves.
#[must_use]
pub fn is_running(window: &Window, step: usize) -> bool {
    match of_moment(window, step, signal::ENGINE_SPEED) {
        Some(rpm) => rpm >= RUNNING_RPM,
        None => is_moving(window, step).unwrap_or(false),
    }
}

fn is_moving(window: &Window, step: usize) -> Option<bool> {
    of_moment(window, step, signal::SPEED).map(|speed| speed > MOVING_KM_PER_H)
}

fn of_moment(window: &Window, step: usize, id: SignalId) -> Option<f32> {
    held(window, step, id, Some(SAME_MOMENT))
}

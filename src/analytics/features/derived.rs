//! Features with a name of their own, each a function of a window and one of its steps.

use std::time::Duration;

use super::PREVIOUS_MAX_AGE;
use crate::analytics::window::Window;
use crate::domain::{SignalId, signal};

/// What a feature looks at, for whoever must know whether all of it can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// One bit each.
    pub signals: u64,
    /// Or the heading, which comes from the same receiver.
    pub position: bool,
}

impl Reads {
    const TIME: Self = Self { signals: 0, position: false };
    const POSITION: Self = Self { signals: 0, position: true };

    pub const fn signal(id: SignalId) -> Self {
        Self { signals: 1 << id.index(), position: false }
    }
}

/// One derived feature.
#[derive(Debug)]
pub struct Derived {
    pub name: &'static str,
    pub unit: &'static str,
    pub meaning: &'static str,
    pub formula: &'static str,
    pub reads: Reads,
    /// Of the window as of one of its steps; `None` where something that it needs is missing.
    pub compute: fn(&Window, usize) -> Option<f64>,
}

/// "Previous" is at most 10 min before.
pub const DERIVED: &[Derived] = &[
    Derived {
        name: "seconds_since_previous",
        reads: Reads::TIME,
        unit: "s",
        meaning: "time since the previous reading",
        formula: "recorded_at - recorded_at of the previous step",
        compute: seconds_since_previous,
    },
    Derived {
        name: "moved_m",
        reads: Reads::POSITION,
        unit: "m",
        meaning: "distance from the previous known position",
        formula: "great circle (haversine, mean Earth radius 6,371,008.8 m, IUGG)",
        compute: moved_m,
    },
    Derived {
        name: "implied_speed_km_per_h",
        reads: Reads::POSITION,
        unit: "km/h",
        meaning: "mean speed that the movement since the previous known position implies",
        formula: "3.6 * moved_m / seconds between both positions",
        compute: implied_speed_km_per_h,
    },
    Derived {
        name: "speed_mismatch_km_per_h",
        reads: Reads { position: true, ..Reads::signal(signal::SPEED) },
        unit: "km/h",
        meaning: "how much faster the vehicle says it is than its positions say",
        formula: "speed_km_per_h - implied_speed_km_per_h",
        compute: speed_mismatch_km_per_h,
    },
    Derived {
        name: "hour_sin",
        reads: Reads::TIME,
        unit: "",
        meaning: "time of day (UTC) as a point on a circle, with hour_cos",
        formula: "sin(2 pi * seconds since midnight UTC / 86,400)",
        compute: |window, step| Some(day_angle(window, step).sin()),
    },
    Derived {
        name: "hour_cos",
        reads: Reads::TIME,
        unit: "",
        meaning: "time of day (UTC) as a point on a circle, with hour_sin",
        formula: "cos(2 pi * seconds since midnight UTC / 86,400)",
        compute: |window, step| Some(day_angle(window, step).cos()),
    },
    Derived {
        name: "heading_change_deg",
        reads: Reads::POSITION,
        unit: "degrees",
        meaning: "turn since the previous known heading, clockwise positive",
        formula: "heading_deg - previous heading_deg, within -180 (excluded) to 180",
        compute: heading_change_deg,
    },
];

/// Value of this step; where it has none, the last one that is not older than `hold`.
pub fn held(window: &Window, step: usize, signal: SignalId, hold: Option<Duration>) -> Option<f32> {
    let value = window.signal_at(signal, step);
    value.or_else(|| previous(window, step, hold?, |step| window.signal_at(signal, step)).map(|(_, value)| value))
}

/// Value of this step minus the previous present one.
pub fn delta(window: &Window, step: usize, signal: SignalId) -> Option<f64> {
    let value = window.signal_at(signal, step)?;
    let (_, previous) = previous(window, step, PREVIOUS_MAX_AGE, |step| window.signal_at(signal, step))?;
    Some(f64::from(value) - f64::from(previous))
}

/// The newest step before `step`, not too old, of which `of` knows something.
fn previous<T>(window: &Window, step: usize, max_age: Duration, of: impl Fn(usize) -> Option<T>) -> Option<(usize, T)> {
    let oldest = window.recorded_at(step).minus(max_age);
    let mut candidates = (0..step).rev().take_while(|step| window.recorded_at(*step) >= oldest);
    candidates.find_map(|step| Some((step, of(step)?)))
}

fn seconds_since_previous(window: &Window, step: usize) -> Option<f64> {
    let (before, ()) = previous(window, step, PREVIOUS_MAX_AGE, |_| Some(()))?;
    Some(window.recorded_at(step).seconds_since(window.recorded_at(before)))
}

/// Metres and seconds from the previous known position.
fn movement(window: &Window, step: usize) -> Option<(f64, f64)> {
    let here = window.position_at(step)?;
    let (before, there) = previous(window, step, PREVIOUS_MAX_AGE, |step| window.position_at(step))?;
    Some((there.distance_m(&here), window.recorded_at(step).seconds_since(window.recorded_at(before))))
}

fn moved_m(window: &Window, step: usize) -> Option<f64> {
    movement(window, step).map(|(metres, _)| metres)
}

fn implied_speed_km_per_h(window: &Window, step: usize) -> Option<f64> {
    // Steps of one window have different times.
    movement(window, step).map(|(metres, seconds)| 3.6 * metres / seconds)
}

fn speed_mismatch_km_per_h(window: &Window, step: usize) -> Option<f64> {
    Some(f64::from(window.signal_at(signal::SPEED, step)?) - implied_speed_km_per_h(window, step)?)
}

fn day_angle(window: &Window, step: usize) -> f64 {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    let micros = window.recorded_at(step).as_micros().rem_euclid(MICROS_PER_DAY);
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let share_of_day = micros as f64 / MICROS_PER_DAY as f64;
    std::f64::consts::TAU * share_of_day
}

fn heading_change_deg(window: &Window, step: usize) -> Option<f64> {
    let heading = f64::from(window.heading_deg_at(step)?);
    let (_, before) = previous(window, step, PREVIOUS_MAX_AGE, |step| window.heading_deg_at(step))?;
    let turn = (heading - f64::from(before)).rem_euclid(360.0);
    Some(if turn > 180.0 { turn - 360.0 } else { turn })
}

//! Fuel that goes without being burnt.

use super::memory::{FuelStretch, RuleMemory};
use super::moment::{Moment, weight};
use super::verdict::Verdict;
use super::{HEAVY_TRUCK, Rule, Values, persistence, threshold};
use crate::domain::Severity::{Critical, Warning};
use crate::domain::signal as s;

/// At the end of its range the sensor is broken, not the tank empty.
const EMPTY_PERCENT: f32 = 0.5;
/// Fuel sloshes while a vehicle moves.
const RECENT_S: f32 = 240.0;
/// What is burnt is compared over stretches of so long; two of them stand side by side.
const STRETCH_S: f32 = 600.0;
/// An engine at idle: 4 l/h of a 50 l tank.
const IDLE_PERCENT_PER_S: f64 = 8.0 / 3_600.0;

pub const FUEL_LOSS_PARKED: Rule = Rule {
    name: "fuel_loss_parked",
    meaning: "Fuel disappears while the vehicle is parked.",
    unit: "percent",
    severity: Critical,
    persistence: persistence(2, 3, 5, 3),
    thresholds: &[
        threshold("limit", 7.0, "percent", "of the tank since it was parked: opens at or above"),
        threshold("close", 4.0, "percent", "closes below, or when the vehicle is driven again"),
    ],
    by_class: &[],
    source: "Diesel shrinks by 0.8 % per 10 K and a float on a slope errs by a few per cent (EN 590 density; ISO 8437)",
    needs_reading_only: false,
    check: fuel_loss_parked,
    summary: |verdict| format!("{:.0} % of the tank gone while parked, limit {:.0} %", verdict.value, verdict.limit),
};

fn fuel_loss_parked<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let fuel = &mut memory.fuel;
    let Some(level) = moment.context.reading.signals.get(s::FUEL_LEVEL).filter(|level| *level > EMPTY_PERCENT) else {
        return Verdict::NOT_ASSESSED;
    };
    let before = fuel.level_before.replace(level);
    if moment.is_on != Some(false) || moment.is_moving() {
        fuel.parked_level = None;
        return if moment.is_on == Some(true) {
            Verdict::of(crate::analytics::claim::Level::Calm, 0.0, *limit)
        } else {
            Verdict::NOT_ASSESSED
        };
    }
    // One reading alone may be a wave; somebody who fills up raises two.
    let believed = before.map_or(level, |before| before.min(level));
    let reference = fuel.parked_level.map_or(believed, |parked| parked.max(believed));
    fuel.parked_level = Some(reference);
    Verdict::above(f64::from(reference - level), *limit, *close)
}

pub const FUEL_LOSS_DRIVING: Rule = Rule {
    name: "fuel_loss_driving",
    meaning: "Fuel disappears faster than any engine of the kind burns it.",
    unit: "percent",
    severity: Warning,
    persistence: persistence(4, 6, 10, 4),
    thresholds: &[
        threshold("limit", 8.0, "percent", "of the tank beyond what may be burnt: opens at or above"),
        threshold("close", 5.0, "percent", "closes below"),
        threshold("per_km", 0.5, "percent", "of the tank that may be burnt a kilometre"),
    ],
    by_class: &[(HEAVY_TRUCK, "per_km", 0.15)],
    source: "25 l/100 km of a 50 l tank, 100 l/100 km of a truck's 700 l; a float that sloshes errs by 1 % after some minutes' mean",
    needs_reading_only: false,
    check: fuel_loss_driving,
    summary: |verdict| format!("{:.0} % of the tank gone beyond what was burnt, limit {:.0} %", verdict.value, verdict.limit),
};

fn fuel_loss_driving<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, per_km, _]: &Values) -> Verdict<'a> {
    let fuel = &mut memory.fuel;
    let level = moment.context.reading.signals.get(s::FUEL_LEVEL).filter(|level| *level > EMPTY_PERCENT);
    let (Some(level), true, Some(dt_s)) = (level, moment.is_running, moment.step_s()) else {
        if moment.is_on == Some(false) || moment.step_s().is_none() {
            fuel.recent_level = None;
            fuel.stretch = FuelStretch::default();
            fuel.stretch_before = FuelStretch::default();
        }
        return Verdict::NOT_ASSESSED;
    };
    let recent = fuel.recent_level.map_or(level, |recent| recent + (level - recent) * weight(dt_s, RECENT_S));
    fuel.recent_level = Some(recent);
    let driven_m = moment.driven_m.unwrap_or(0.0);
    for stretch in [&mut fuel.stretch, &mut fuel.stretch_before] {
        stretch.driven_m += driven_m;
        stretch.lasted_s += dt_s;
    }
    if fuel.stretch.level.is_none() || fuel.stretch.lasted_s >= STRETCH_S {
        fuel.stretch_before = if fuel.stretch.level.is_none() { FuelStretch::of(recent) } else { fuel.stretch };
        fuel.stretch = FuelStretch::of(recent);
    }
    let since = &fuel.stretch_before;
    let burnt = since.driven_m / 1_000.0 * per_km + f64::from(since.lasted_s) * IDLE_PERCENT_PER_S;
    let gone = f64::from(since.level.unwrap_or(recent) - recent);
    Verdict::above(gone - burnt, *limit, *close)
}

impl FuelStretch {
    fn of(level: f32) -> Self {
        Self { level: Some(level), ..Self::default() }
    }
}

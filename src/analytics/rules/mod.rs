//! Checks with thresholds that a person wrote down: a table of functions over one reading, what went before it, and a small memory.
//! They claim and decide nothing: `alerting`.
//!
//! A rule judges only what it can: where a signal is missing or the vehicle is in a state that the rule does not cover (parked, cold,
//! just started), it says "not assessed". Everything slower than the last reading lives in [`RuleMemory`], so that a check costs the
//! same at 1 s and at 30 s, whatever the window holds.

mod air;
mod codes;
mod compiled;
mod driving;
mod electrics;
mod engine;
mod fuel;
mod memory;
mod moment;
mod position;
mod sensors;
mod silence;
mod table;
#[cfg(test)]
mod tests;
mod tires;
mod verdict;

use std::time::Duration;

use crate::analytics::claim::{Claim, Level, Persistence};
use crate::analytics::window::Window;
use crate::domain::{Reading, Severity, Timing, VehicleRecord};

pub use compiled::{Rules, RulesError};
pub use memory::RuleMemory;
pub use silence::{Heard, SILENT_VEHICLE, Silence};
pub use table::RULES;

use moment::Moment;
use verdict::Verdict;

/// A rule has at most so many thresholds.
pub const MAX_THRESHOLDS: usize = 4;

/// One row of the table.
#[derive(Debug)]
pub struct Rule {
    /// Its key is `rule:{name}`.
    pub name: &'static str,
    pub meaning: &'static str,
    /// Of value and limit.
    pub unit: &'static str,
    pub severity: Severity,
    pub persistence: Persistence,
    pub thresholds: &'static [Threshold],
    /// Other defaults for some classes of vehicles: class, threshold, value.
    pub by_class: &'static [(&'static str, &'static str, f64)],
    /// Where the thresholds come from.
    pub source: &'static str,
    /// It needs nothing but the reading itself, so it can judge late ones.
    pub needs_reading_only: bool,
    check: Check,
    /// For people, of a raised verdict.
    summary: fn(&Verdict<'_>) -> String,
}

#[derive(Debug)]
pub struct Threshold {
    pub name: &'static str,
    pub default: f64,
    pub unit: &'static str,
    pub meaning: &'static str,
}

/// Whether any rule is raised among these claims: the vehicle is not as usual. Where it is, which fences say, does not matter here.
#[must_use]
pub fn has_raised(claims: &[Claim]) -> bool {
    claims.iter().any(|claim| claim.level == Level::Raised && claim.key.as_str().starts_with("rule:"))
}

/// Thresholds in the order of the table, zero beyond its end.
type Values = [f64; MAX_THRESHOLDS];
type Check = for<'a> fn(&Moment<'a>, &mut RuleMemory, &Values) -> Verdict<'a>;

/// What a check can look at.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub reading: &'a Reading,
    pub timing: Timing,
    /// With the reading in it, at `step`.
    pub window: &'a Window,
    pub step: usize,
    /// `None`: nobody registered the vehicle.
    pub record: Option<&'a VehicleRecord>,
}

const fn threshold(name: &'static str, default: f64, unit: &'static str, meaning: &'static str) -> Threshold {
    Threshold { name, default, unit, meaning }
}

/// Opens at `raised` of the last `of` readings, closes after so many calm minutes and readings.
const fn persistence(raised: u8, of: u8, calm_minutes: u64, calm_readings: u8) -> Persistence {
    Persistence { raised, of, calm_for: Duration::from_mins(calm_minutes), calm_readings }
}

/// The class of the shipped defaults for 12-tonne trucks and heavier.
const HEAVY_TRUCK: &str = "heavy_truck";

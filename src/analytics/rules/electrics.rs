//! Batteries and what charges them.

use super::memory::RuleMemory;
use super::moment::{Moment, weight};
use super::verdict::Verdict;
use super::{Rule, Values, persistence, threshold};
use crate::domain::Severity::Warning;
use crate::domain::{Ignition, signal as s};

/// No 12 V system is ever above, every 24 V system always is.
const BETWEEN_12_AND_24_V: f32 = 18.0;
/// A starter pulls the voltage down, and the alternator needs a while to bring it back.
const AFTER_START_S: f32 = 60.0;
/// Lamps, fans and smart alternators come and go.
const RECENT_S: f32 = 300.0;
/// Until its own normal is known.
const LEARNING_S: f32 = 1_800.0;
const NORMAL_S: f32 = 36_000.0;
/// A healthy pack loses a few per cent a year.
const HEALTH_NORMAL_S: f32 = 30.0 * 86_400.0;

/// Per 12 V of the system.
fn per_12_v(memory: &mut RuleMemory, volts: f32) -> f32 {
    memory.voltage.is_24_v |= volts > BETWEEN_12_AND_24_V;
    if memory.voltage.is_24_v { volts / 2.0 } else { volts }
}

pub const BATTERY_DRAIN: Rule = Rule {
    name: "battery_drain",
    meaning: "The low-voltage battery empties while the vehicle is parked.",
    unit: "V",
    severity: Warning,
    persistence: persistence(3, 5, 5, 3),
    thresholds: &[
        threshold("limit", 12.0, "V", "opens at or below, per 12 V of the system"),
        threshold("close", 12.3, "V", "closes above"),
        threshold("critical", 11.6, "V", "critical at or below"),
        threshold("after", 900.0, "s", "of rest, so that the surface charge is gone"),
    ],
    by_class: &[],
    source: "Rest voltage of lead-acid: 12.7 V full, 12.2 V half, 12.0 V a quarter, 11.8 V empty (BCI; VARTA battery handbook)",
    needs_reading_only: false,
    check: battery_drain,
    summary: |verdict| format!("battery {:.1} V at rest, limit {:.1} V (per 12 V)", verdict.value, verdict.limit),
};

fn battery_drain<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, critical, after_s]: &Values) -> Verdict<'a> {
    let Some(volts) = moment.context.reading.signals.get(s::BATTERY_VOLTAGE) else { return Verdict::NOT_ASSESSED };
    let volts = f64::from(per_12_v(memory, volts));
    // A key in a position between keeps lamps and fans on; a vehicle that does not send it may be looked at by somebody.
    let is_off = matches!(moment.context.reading.ignition, Some(Ignition::Off | Ignition::Lock));
    let rests = is_off && f64::from(memory.drive.rested_s) >= *after_s;
    if !rests {
        return Verdict::NOT_ASSESSED;
    }
    Verdict::below(volts, *limit, *close).critical_if(volts <= *critical)
}

pub const ALTERNATOR: Rule = Rule {
    name: "alternator",
    meaning: "The voltage with the engine running is too low, too high, or far below the vehicle's own normal.",
    unit: "V",
    severity: Warning,
    persistence: persistence(4, 6, 5, 4),
    thresholds: &[
        threshold("limit", 12.6, "V", "opens at or below, mean of five minutes, per 12 V of the system"),
        threshold("drop", 0.7, "V", "or so far below its own normal"),
        threshold("high", 15.6, "V", "or at or above"),
        threshold("close", 0.2, "V", "closes so far inside the limit"),
    ],
    by_class: &[],
    source: "Charging voltage 13.5 to 14.8 V, smart alternators 12.4 to 15 V with means above 13 (SAE J1343; Bosch Automotive \
             Handbook, alternators); the drop is measured on simulated and real drives",
    needs_reading_only: false,
    check: alternator,
    summary: |verdict| format!("{:.1} V with the engine running, limit {:.1} V (per 12 V)", verdict.value, verdict.limit),
};

/// Against a fixed limit, and against the vehicle's own normal: smart alternators live between 12.4 and 15 V.
fn alternator<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, drop, high, close]: &Values) -> Verdict<'a> {
    let Some(volts) = moment.context.reading.signals.get(s::BATTERY_VOLTAGE) else { return Verdict::NOT_ASSESSED };
    let volts = per_12_v(memory, volts);
    if !moment.is_running || moment.started_s < AFTER_START_S {
        memory.voltage.recent_v = None;
        return Verdict::NOT_ASSESSED;
    }
    let dt_s = moment.step_s().unwrap_or(0.0);
    let recent = memory.voltage.recent_v.map_or(volts, |recent| recent + (volts - recent) * weight(dt_s, RECENT_S));
    memory.voltage.recent_v = Some(recent);
    let is_learnt = memory.voltage.learnt_s >= LEARNING_S;
    let normal = memory.voltage.normal_v.get_or_insert(recent);
    let lowest = if is_learnt { limit.max(f64::from(*normal) - drop) } else { *limit };
    let verdict =
        Verdict::below(f64::from(recent), lowest, lowest + close).or(Verdict::above(f64::from(recent), *high, high - close));
    let is_calm = verdict.level == crate::analytics::claim::Level::Calm;
    if is_calm {
        let over_s = if is_learnt { NORMAL_S } else { LEARNING_S };
        *normal += (recent - *normal) * weight(dt_s, over_s);
        memory.voltage.learnt_s = (memory.voltage.learnt_s + dt_s).min(LEARNING_S);
    }
    verdict
}

pub const TRACTION_BATTERY: Rule = Rule {
    name: "traction_battery",
    meaning: "The traction battery reports less health than it had.",
    unit: "percent",
    severity: Warning,
    persistence: persistence(4, 6, 10, 4),
    thresholds: &[
        threshold("drop", 2.0, "percent", "opens where it lost so much within weeks"),
        threshold("close", 1.0, "percent", "closes below"),
    ],
    by_class: &[],
    source: "Packs lose 1 to 3 % of capacity a year (UN GTR 22: at most 20 % in five years)",
    needs_reading_only: false,
    check: traction_battery,
    summary: |verdict| format!("traction battery lost {:.1} % of health, limit {:.1} %", verdict.value, verdict.limit),
};

fn traction_battery<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [drop, close, ..]: &Values) -> Verdict<'a> {
    let Some(health) = moment.context.reading.signals.get(s::TRACTION_BATTERY_HEALTH) else { return Verdict::NOT_ASSESSED };
    let normal = memory.pack.normal_health_percent.get_or_insert(health);
    let lost = f64::from(*normal - health);
    let verdict = Verdict::above(lost, *drop, *close);
    if verdict.level == crate::analytics::claim::Level::Calm {
        *normal += (health - *normal) * weight(moment.step_s().unwrap_or(0.0), HEALTH_NORMAL_S);
    }
    verdict
}

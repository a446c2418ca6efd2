//! Batteries and what charges them.

use super::Values;
use super::memory::RuleMemory;
use super::moment::{Moment, weight};
use super::verdict::Verdict;
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

pub fn battery_drain<'a>(
    moment: &Moment<'a>,
    memory: &mut RuleMemory,
    [limit, close, critical, after_s]: &Values,
) -> Verdict<'a> {
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

/// Against a fixed limit, and against the vehicle's own normal: smart alternators live between 12.4 and 15 V.
pub fn alternator<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, drop, high, close]: &Values) -> Verdict<'a> {
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

pub fn traction_battery<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [drop, close, ..]: &Values) -> Verdict<'a> {
    let Some(health) = moment.context.reading.signals.get(s::TRACTION_BATTERY_HEALTH) else { return Verdict::NOT_ASSESSED };
    let normal = memory.pack.normal_health_percent.get_or_insert(health);
    let lost = f64::from(*normal - health);
    let verdict = Verdict::above(lost, *drop, *close);
    if verdict.level == crate::analytics::claim::Level::Calm {
        *normal += (health - *normal) * weight(moment.step_s().unwrap_or(0.0), HEALTH_NORMAL_S);
    }
    verdict
}

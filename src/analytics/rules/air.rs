//! The way of the air into a combustion engine.

use super::memory::RuleMemory;
use super::moment::{Moment, weight};
use super::verdict::Verdict;
use super::{Rule, Values, persistence, threshold};
use crate::analytics::claim::Level;
use crate::domain::Severity::Warning;
use crate::domain::signal as s;

/// A quarter of an hour of driving: single readings are of different strokes, and loggers ask one sensor after the other.
const RECENT_S: f32 = 900.0;
const LEARNING_S: f32 = 5_400.0;
const NORMAL_S: f32 = 180_000.0;
/// At idle and in the moment of a shift the flow is no steady one.
const STEADY_RPM: f32 = 1_000.0;
/// R of dry air, J/(kg K).
const GAS_CONSTANT: f32 = 287.05;

pub const AIR_PATH: Rule = Rule {
    name: "air_path",
    meaning: "The air-flow meter and the pressure behind it contradict each other, compared with the vehicle's own normal.",
    unit: "share",
    severity: Warning,
    persistence: persistence(6, 8, 10, 8),
    thresholds: &[
        threshold(
            "limit",
            0.2,
            "share",
            "opens where the air drawn in per stroke is so far from normal, mean of a quarter of an hour",
        ),
        threshold("close", 0.15, "share", "closes below"),
    ],
    by_class: &[],
    source: "Rationality check of air flow against speed-density (13 CCR 1968.2 (e)(15); Heywood, Internal Combustion Engine \
             Fundamentals, 2.10); 30.7 h of kit_obd2, a \
             diesel with exhaust recirculation, stay within 19 %",
    needs_reading_only: false,
    check: air_path,
    summary: |verdict| format!("air per stroke {:.0} % off normal, limit {:.0} %", verdict.value * 100.0, verdict.limit * 100.0),
};

fn air_path<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let Some(litres) = litres_per_cycle(moment) else { return Verdict::NOT_ASSESSED };
    let air = &mut memory.air.0;
    let dt_s = moment.step_s().unwrap_or(0.0);
    let recent = air.recent_l.map_or(litres, |recent| recent + (litres - recent) * weight(dt_s, RECENT_S));
    air.recent_l = Some(recent);
    let is_learnt = air.learnt_s >= LEARNING_S;
    let normal = air.normal_l.get_or_insert(recent);
    let off = f64::from((recent / *normal - 1.0).abs());
    let verdict = if is_learnt { Verdict::above(off, *limit, *close) } else { Verdict::NOT_ASSESSED };
    if verdict.level == Level::Calm || !is_learnt {
        let over_s = if is_learnt { NORMAL_S } else { LEARNING_S / 2.0 };
        *normal += (recent - *normal) * weight(dt_s, over_s);
        air.learnt_s = (air.learnt_s + dt_s).min(LEARNING_S);
    }
    verdict
}

/// Displacement times volumetric efficiency, as meter and pressure imply it: m R T / p, two turns a cycle.
fn litres_per_cycle(moment: &Moment<'_>) -> Option<f32> {
    let signals = &moment.context.reading.signals;
    let rpm = moment.rpm.filter(|rpm| *rpm >= STEADY_RPM)?;
    if !moment.is_running || !moment.is_moving() {
        return None;
    }
    let grams_per_s = signals.get(s::MASS_AIR_FLOW).filter(|flow| *flow > 0.5)?;
    let kpa = signals.get(s::INTAKE_PRESSURE).filter(|pressure| *pressure > 10.0)?;
    // A broken wire is another rule's.
    let kelvin = signals.get(s::INTAKE_TEMPERATURE).filter(|celsius| *celsius > -39.5)? + 273.15;
    Some(grams_per_s * 120.0 / rpm * GAS_CONSTANT * kelvin / (kpa * 1_000.0))
}

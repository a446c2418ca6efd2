//! Heat and oil of a combustion engine.

use super::Values;
use super::memory::RuleMemory;
use super::moment::Moment;
use super::verdict::{Subject, Verdict};
use crate::domain::signal as s;

/// The needle of a cold start, and of the first seconds after one.
const OIL_BUILDS_UP_S: f32 = 10.0;

pub fn overheating<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, critical, _]: &Values) -> Verdict<'a> {
    let Some(celsius) = moment.context.reading.signals.get(s::COOLANT_TEMPERATURE).map(f64::from) else {
        return Verdict::NOT_ASSESSED;
    };
    Verdict::above(celsius, *limit, *close).critical_if(celsius >= *critical)
}

pub fn thermostat_stuck_open<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, after_s, _]: &Values) -> Verdict<'a> {
    let is_long = f64::from(moment.driving_s) >= *after_s;
    let Some(celsius) = moment.context.reading.signals.get(s::COOLANT_TEMPERATURE).map(f64::from) else {
        return Verdict::NOT_ASSESSED;
    };
    // At the end of its range the sensor is broken, not the thermostat.
    if !is_long || !moment.is_running || celsius <= -39.5 {
        return Verdict::NOT_ASSESSED;
    }
    Verdict::below(celsius, *limit, *close)
}

pub fn oil_pressure<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [per_1000_rpm, idle, close_share, _]: &Values) -> Verdict<'a> {
    let (Some(kpa), Some(rpm)) = (moment.context.reading.signals.get(s::OIL_PRESSURE).map(f64::from), moment.rpm) else {
        return Verdict::NOT_ASSESSED;
    };
    if !moment.is_running || moment.started_s < OIL_BUILDS_UP_S {
        return Verdict::NOT_ASSESSED;
    }
    let limit = (per_1000_rpm * f64::from(rpm) / 1_000.0).max(*idle);
    Verdict::below(kpa, limit, limit * close_share)
}

/// Temperatures of a warm engine stand in an order: oil near the coolant, intake air below it. Exchanged plugs and sensors that are far
/// off break it.
pub fn temperatures_implausible<'a>(
    moment: &Moment<'a>,
    _: &mut RuleMemory,
    [oil_below, intake_above, close_share, after_s]: &Values,
) -> Verdict<'a> {
    let signals = &moment.context.reading.signals;
    let is_warm = moment.is_running && moment.is_moving() && f64::from(moment.driving_s) >= *after_s;
    let Some(coolant) = signals.get(s::COOLANT_TEMPERATURE).filter(|_| is_warm) else { return Verdict::NOT_ASSESSED };
    let gap = |id, sign: f32, limit: f64| {
        let other = signals.get(id).filter(|celsius| *celsius > -39.5)?;
        let celsius = f64::from((other - coolant) * sign);
        Some(Verdict::above(celsius, limit, limit * close_share).about(Subject::Signal(id)))
    };
    let oil = gap(s::OIL_TEMPERATURE, -1.0, *oil_below);
    let intake = gap(s::INTAKE_TEMPERATURE, 1.0, *intake_above);
    let worst = [oil, intake].into_iter().flatten().reduce(Verdict::or);
    worst.unwrap_or(Verdict::NOT_ASSESSED)
}

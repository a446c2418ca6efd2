//! Heat and oil of a combustion engine.

use super::memory::RuleMemory;
use super::moment::Moment;
use super::verdict::{Subject, Verdict};
use super::{HEAVY_TRUCK, Rule, Values, persistence, threshold};
use crate::domain::Severity::{Critical, Warning};
use crate::domain::signal as s;

/// The needle of a cold start, and of the first seconds after one.
const OIL_BUILDS_UP_S: f32 = 10.0;

pub const OVERHEATING: Rule = Rule {
    name: "overheating",
    meaning: "The coolant is too hot.",
    unit: "celsius",
    severity: Warning,
    persistence: persistence(2, 3, 2, 3),
    thresholds: &[
        threshold("limit", 112.0, "celsius", "opens at or above"),
        threshold("close", 106.0, "celsius", "closes below"),
        threshold("critical", 118.0, "celsius", "critical at or above"),
    ],
    by_class: &[(HEAVY_TRUCK, "limit", 107.0), (HEAVY_TRUCK, "close", 102.0), (HEAVY_TRUCK, "critical", 113.0)],
    source: "Thermostats are open by 95 to 105 °C, half glycol under a 1.1 bar cap boils near 125 °C (Bosch Automotive Handbook, \
             engine cooling); heavy diesels derate from 107 °C (Cummins ISX operation manual: 107 °C maximum coolant)",
    needs_reading_only: true,
    check: overheating,
    summary: |verdict| format!("coolant {:.0} °C, limit {:.0} °C", verdict.value, verdict.limit),
};

fn overheating<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, critical, _]: &Values) -> Verdict<'a> {
    let Some(celsius) = moment.context.reading.signals.get(s::COOLANT_TEMPERATURE).map(f64::from) else {
        return Verdict::NOT_ASSESSED;
    };
    Verdict::above(celsius, *limit, *close).critical_if(celsius >= *critical)
}

pub const THERMOSTAT_STUCK_OPEN: Rule = Rule {
    name: "thermostat_stuck_open",
    meaning: "The engine stays cool although the vehicle has driven for long.",
    unit: "celsius",
    severity: Warning,
    persistence: persistence(6, 8, 5, 4),
    thresholds: &[
        threshold("limit", 70.0, "celsius", "opens at or below"),
        threshold("close", 75.0, "celsius", "closes above"),
        threshold("after", 1_500.0, "s", "of driving since the engine last rested for ten minutes"),
    ],
    by_class: &[],
    source: "Thermostat monitor of OBD II: not within 11 °C of the regulating temperature, 82 to 88 °C (13 CCR 1968.2 (e)(10)); \
             real drives of kit_obd2 are warm after 15 minutes",
    needs_reading_only: false,
    check: thermostat_stuck_open,
    summary: |verdict| {
        format!("coolant only {:.0} °C after a long drive, normal is above {:.0} °C", verdict.value, verdict.limit)
    },
};

fn thermostat_stuck_open<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, after_s, _]: &Values) -> Verdict<'a> {
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

pub const OIL_PRESSURE: Rule = Rule {
    name: "oil_pressure",
    meaning: "The oil pressure is too low for how fast the engine turns.",
    unit: "kPa",
    severity: Critical,
    persistence: persistence(2, 3, 2, 3),
    thresholds: &[
        threshold("per_1000_rpm", 50.0, "kPa", "opens at or below so much per 1,000 rpm"),
        threshold("idle", 40.0, "kPa", "never less than this while the engine turns"),
        threshold("close", 1.25, "times", "closes above so many times the limit"),
    ],
    by_class: &[],
    source: "Rule of thumb of engine builders: 10 psi (69 kPa) per 1,000 rpm; service limits of common engines are 7 psi at idle; \
             a quarter of room for thin hot oil",
    needs_reading_only: false,
    check: oil_pressure,
    summary: |verdict| format!("oil pressure {:.0} kPa, at this engine speed at least {:.0} kPa", verdict.value, verdict.limit),
};

fn oil_pressure<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [per_1000_rpm, idle, close_share, _]: &Values) -> Verdict<'a> {
    let (Some(kpa), Some(rpm)) = (moment.context.reading.signals.get(s::OIL_PRESSURE).map(f64::from), moment.rpm) else {
        return Verdict::NOT_ASSESSED;
    };
    if !moment.is_running || moment.started_s < OIL_BUILDS_UP_S {
        return Verdict::NOT_ASSESSED;
    }
    let limit = (per_1000_rpm * f64::from(rpm) / 1_000.0).max(*idle);
    Verdict::below(kpa, limit, limit * close_share)
}

pub const TEMPERATURES_IMPLAUSIBLE: Rule = Rule {
    name: "temperatures_implausible",
    meaning: "Temperatures of a warm engine contradict each other: oil far below the coolant, or intake air above it.",
    unit: "K",
    severity: Warning,
    persistence: persistence(6, 8, 5, 4),
    thresholds: &[
        threshold("oil_below", 30.0, "K", "opens where oil is so far below the coolant"),
        threshold("intake_above", 10.0, "K", "opens where intake air is so far above the coolant"),
        threshold("close", 0.7, "share", "closes below this share of the limit"),
        threshold("after", 1_800.0, "s", "of driving since the engine last rested for ten minutes"),
    ],
    by_class: &[],
    source: "Rationality checks of OBD II between temperature sensors (13 CCR 1968.2 (e)(15)); oil settles 4 to 20 K above the coolant",
    needs_reading_only: false,
    check: temperatures_implausible,
    summary: |verdict| {
        format!("{} is {:.0} K off the coolant, limit {:.0} K", verdict.signal_name(), verdict.value, verdict.limit)
    },
};

/// Temperatures of a warm engine stand in an order: oil near the coolant, intake air below it. Exchanged plugs and sensors that are far
/// off break it.
fn temperatures_implausible<'a>(
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

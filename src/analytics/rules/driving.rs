//! How somebody drives. Peaks of the device's own accelerometer where it sends them; else steps of speed, at rates that show them.

use super::memory::RuleMemory;
use super::moment::{Moment, weight};
use super::verdict::Verdict;
use super::{HEAVY_TRUCK, Rule, Values, persistence, threshold};
use crate::domain::Severity::{Info, Warning};
use crate::domain::signal as s;

/// A full braking lasts two to four seconds: between readings farther apart nobody sees it, and from one second to the next whole
/// km/h and the tact of the bus make steps of their own.
const SPEED_STEP_S: (f64, f64) = (1.8, 4.0);
const ROWS_BACK: usize = 8;

/// Before a vehicle's usual is known: both.
const LEARNING_S: f32 = 10_800.0;
const LEARNING_READINGS: u16 = 300;
/// What was usual fades.
const USUAL_S: f32 = 30.0 * 86_400.0;
/// A new driver, a new usual: after dozens of events it has come there.
const CREEP: f32 = 1.01;

/// Rubber on dry road: about 0.9 g.
const TIRES_HOLD_M_PER_S2: f32 = 9.0;

const BRAKING: usize = 0;
const ACCELERATION: usize = 1;

pub const HARSH_BRAKING: Rule = Rule {
    name: "harsh_braking",
    meaning: "Somebody brakes hard.",
    unit: "m/s^2",
    severity: Info,
    persistence: persistence(2, 40, 10, 20),
    thresholds: &[
        threshold("limit", 4.0, "m/s^2", "opens at or above"),
        threshold("close", 3.5, "m/s^2", "closes below"),
        threshold("usual", 1.4, "times", "or so far beyond what is usual for the vehicle"),
        threshold("least", 2.0, "m/s^2", "but never below"),
    ],
    by_class: &[(HEAVY_TRUCK, "limit", 3.0), (HEAVY_TRUCK, "close", 2.6), (HEAVY_TRUCK, "least", 1.5)],
    source: "0.4 g is common in telematics; ordinary braking stays below 0.3 g (AASHTO Green Book: comfortable to 3.4 m/s^2)",
    needs_reading_only: false,
    check: harsh_braking,
    summary: |verdict| format!("braking with {:.1} m/s², limit {:.1} m/s²", verdict.value, verdict.limit),
};

fn harsh_braking<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, values: &Values) -> Verdict<'a> {
    // Goes first in the table and counts for both.
    if longitudinal(moment).is_some() {
        memory.harsh.readings = memory.harsh.readings.saturating_add(1);
        memory.harsh.learnt_s = (memory.harsh.learnt_s + moment.step_s().unwrap_or(0.0)).min(LEARNING_S);
    }
    judge(moment, memory, longitudinal(moment).map(|acceleration| -acceleration), BRAKING, values)
}

pub const HARSH_ACCELERATION: Rule = Rule {
    name: "harsh_acceleration",
    meaning: "Somebody accelerates hard.",
    unit: "m/s^2",
    severity: Info,
    persistence: persistence(2, 40, 10, 20),
    thresholds: &[
        threshold("limit", 3.4, "m/s^2", "opens at or above"),
        threshold("close", 3.0, "m/s^2", "closes below"),
        threshold("usual", 1.4, "times", "or so far beyond what is usual for the vehicle"),
        threshold("least", 2.0, "m/s^2", "but never below"),
    ],
    by_class: &[(HEAVY_TRUCK, "limit", 2.0), (HEAVY_TRUCK, "close", 1.7), (HEAVY_TRUCK, "least", 1.1)],
    source: "0.35 g is common in telematics; ordinary drivers stay below 0.25 g (Bokare and Maurya 2017)",
    needs_reading_only: false,
    check: harsh_acceleration,
    summary: |verdict| format!("accelerating with {:.1} m/s², limit {:.1} m/s²", verdict.value, verdict.limit),
};

fn harsh_acceleration<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, values: &Values) -> Verdict<'a> {
    judge(moment, memory, longitudinal(moment), ACCELERATION, values)
}

pub const HARSH_CORNERING: Rule = Rule {
    name: "harsh_cornering",
    meaning: "Somebody takes bends too fast.",
    unit: "m/s^2",
    severity: Info,
    persistence: persistence(3, 40, 10, 20),
    thresholds: &[threshold("limit", 4.5, "m/s^2", "opens at or above"), threshold("close", 4.0, "m/s^2", "closes below")],
    by_class: &[(HEAVY_TRUCK, "limit", 3.0), (HEAVY_TRUCK, "close", 2.6)],
    source: "0.45 g is common in telematics; ordinary drivers stay below 4 m/s^2 (Reymond et al. 2001)",
    needs_reading_only: true,
    check: harsh_cornering,
    summary: |verdict| format!("cornering with {:.1} m/s², limit {:.1} m/s²", verdict.value, verdict.limit),
};

fn harsh_cornering<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let lateral = moment.context.reading.signals.get(s::ACCELERATION_LATERAL).filter(|_| moment.is_moving());
    // Bends are too rare for a usual: only the limit for everybody. Beyond what tyres hold it is a knock against the box.
    let lateral = lateral.filter(|lateral| lateral.abs() < TIRES_HOLD_M_PER_S2);
    lateral.map_or(Verdict::NOT_ASSESSED, |lateral| Verdict::above(f64::from(lateral.abs()), *limit, *close))
}

/// Beyond the limit for everybody, or far beyond what is usual for this vehicle.
fn judge<'a>(
    moment: &Moment<'a>,
    memory: &mut RuleMemory,
    acceleration: Option<f32>,
    which: usize,
    [limit, close, usual_times, least]: &Values,
) -> Verdict<'a> {
    let Some(acceleration) = acceleration else { return Verdict::NOT_ASSESSED };
    let harsh = &mut memory.harsh;
    let is_learnt = harsh.learnt_s >= LEARNING_S && harsh.readings >= LEARNING_READINGS;
    let usual = &mut harsh.usual[which];
    let own_limit = if is_learnt { (f64::from(*usual) * usual_times).max(*least) } else { f64::INFINITY };
    let limit = limit.min(own_limit);
    let verdict = Verdict::above(f64::from(acceleration), limit, close.min(limit));
    if is_learnt && f64::from(acceleration) >= own_limit {
        *usual *= CREEP;
    } else {
        *usual -= *usual * weight(moment.step_s().unwrap_or(0.0), USUAL_S);
        *usual = usual.max(acceleration);
    }
    verdict
}

pub const OVER_SPEED: Rule = Rule {
    name: "over_speed",
    meaning: "The vehicle is faster than it may ever be.",
    unit: "km/h",
    severity: Warning,
    persistence: persistence(2, 3, 2, 3),
    thresholds: &[threshold("limit", 200.0, "km/h", "opens at or above"), threshold("close", 185.0, "km/h", "closes below")],
    by_class: &[(HEAVY_TRUCK, "limit", 102.0), (HEAVY_TRUCK, "close", 96.0)],
    source: "A company's own choice; the real drives of kit_obd2 reach 201 km/h on the motorway; trucks are limited to 90 km/h (Directive 92/6/EEC), and roll a little faster downhill",
    needs_reading_only: true,
    check: over_speed,
    summary: |verdict| format!("{:.0} km/h, limit {:.0} km/h", verdict.value, verdict.limit),
};

fn over_speed<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let speed = moment.context.reading.signals.get(s::SPEED);
    speed.map_or(Verdict::NOT_ASSESSED, |speed| Verdict::above(f64::from(speed), *limit, *close))
}

fn longitudinal(moment: &Moment<'_>) -> Option<f32> {
    let super::Context { reading, window, step, .. } = *moment.context;
    if let Some(acceleration) = reading.signals.get(s::ACCELERATION_LONGITUDINAL) {
        // A box that is thrown about in a parked vehicle is no driving.
        let is_driving = moment.is_moving() || moment.speed_before_km_per_h.is_some_and(|speed| speed > 10.0);
        return is_driving.then_some(acceleration);
    }
    let now = reading.signals.get(s::SPEED)?;
    let mut rows = (step.saturating_sub(ROWS_BACK)..step).rev();
    let row = rows.find(|row| moment.now.seconds_since(window.recorded_at(*row)) >= SPEED_STEP_S.0)?;
    let seconds = moment.now.seconds_since(window.recorded_at(row));
    let before = window.signal_at(s::SPEED, row).filter(|_| seconds <= SPEED_STEP_S.1)?;
    #[expect(clippy::cast_possible_truncation, reason = "a few seconds")]
    let seconds = seconds as f32;
    Some((now - before) / 3.6 / seconds)
}

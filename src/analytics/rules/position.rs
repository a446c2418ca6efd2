//! Positions against what odometer and speed say.

use super::memory::RuleMemory;
use super::moment::Moment;
use super::verdict::Verdict;
use super::{Rule, Values, persistence, threshold};
use crate::domain::Position;
use crate::domain::Severity::Warning;

/// Nothing on wheels is faster: what is allowed between two positions where neither odometer nor speed tells.
const FASTEST_M_PER_S: f64 = 85.0;
/// A receiver may be off by more than it says.
const TIMES_ACCURACY: f64 = 3.0;
/// Receivers have noise: a position that is the same to the centimetre was not measured again.
const SAME_DEGREES: f64 = 1e-7;

pub const IMPOSSIBLE_JUMP: Rule = Rule {
    name: "impossible_jump",
    meaning: "Positions are farther apart than the vehicle went.",
    unit: "m",
    severity: Warning,
    persistence: persistence(2, 10, 10, 6),
    thresholds: &[
        threshold("limit", 150.0, "m", "beyond the way by odometer or speed and three times the accuracy: opens at or above"),
        threshold("close", 100.0, "m", "closes below"),
    ],
    by_class: &[],
    source: "Receivers in streets err by 5 to 50 m (GPS SPS performance standard; urban multipath); 85 m/s where nothing tells",
    needs_reading_only: false,
    check: impossible_jump,
    summary: |verdict| format!("position {:.0} m farther than the vehicle went, limit {:.0} m", verdict.value, verdict.limit),
};

/// Farther from the last position than the vehicle went. Goes first in the table and moves the memory.
fn impossible_jump<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [margin_m, close_m, ..]: &Values) -> Verdict<'a> {
    let place = &mut memory.place;
    let driven_m = moment.driven_m;
    place.driven_m += driven_m.unwrap_or_else(|| f64::from(moment.dt_s.unwrap_or(0.0)) * FASTEST_M_PER_S);
    place.unmoved_m += driven_m.unwrap_or(0.0);
    let Some(position) = moment.context.reading.position else { return Verdict::NOT_ASSESSED };
    let last = place.at.and_then(|_| Position::new(place.latitude, place.longitude).ok());
    let allowed_m = place.driven_m;
    let is_same = last.is_some_and(|last| {
        (last.latitude() - position.latitude()).abs() < SAME_DEGREES
            && (last.longitude() - position.longitude()).abs() < SAME_DEGREES
    });
    if is_same {
        place.unmoved_readings = place.unmoved_readings.saturating_add(1);
    } else {
        place.unmoved_readings = 0;
        place.unmoved_m = 0.0;
    }
    (place.latitude, place.longitude) = (position.latitude(), position.longitude());
    place.at = Some(moment.now);
    place.driven_m = 0.0;
    let Some(last) = last else { return Verdict::NOT_ASSESSED };
    let resolution_m = moment.context.reading.odometer_m.map_or(0.0, odometer_resolution_m);
    let doubt_m = TIMES_ACCURACY * f64::from(position.accuracy_m.unwrap_or(0.0)) + resolution_m;
    let beyond_m = last.distance_m(&position) - allowed_m - doubt_m;
    Verdict::above(beyond_m, *margin_m, *close_m)
}

pub const POSITION_STUCK: Rule = Rule {
    name: "position_stuck",
    meaning: "The position stays the same while the vehicle drives.",
    unit: "m",
    severity: Warning,
    persistence: persistence(2, 3, 2, 3),
    thresholds: &[
        threshold("limit", 500.0, "m", "driven with the very same position: opens at or above"),
        threshold("close", 250.0, "m", "closes below"),
    ],
    by_class: &[],
    source: "A receiver that measures has noise of centimetres at least",
    needs_reading_only: false,
    check: position_stuck,
    summary: |verdict| format!("{:.0} m driven with the same position, limit {:.0} m", verdict.value, verdict.limit),
};

fn position_stuck<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit_m, close_m, ..]: &Values) -> Verdict<'a> {
    let can_tell = moment.context.reading.position.is_some() && moment.driven_m.is_some();
    if !can_tell || (!moment.is_moving() && memory.place.unmoved_readings > 0 && memory.place.unmoved_m < *limit_m) {
        return Verdict::NOT_ASSESSED;
    }
    Verdict::above(memory.place.unmoved_m, *limit_m, *close_m)
}

/// Many odometers count hundreds of metres or whole kilometres.
fn odometer_resolution_m(odometer_m: f64) -> f64 {
    let divides = |step: &&f64| odometer_m % **step == 0.0;
    [1_000.0, 100.0, 10.0].iter().find(divides).copied().unwrap_or(1.0)
}

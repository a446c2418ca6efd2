//! Tyres against each other: what temperature and load do to all of them shows in none.

use std::time::Duration;

use super::memory::{RuleMemory, TireMemory, TireSnapshot};
use super::moment::{Moment, weight};
use super::verdict::{Subject, Verdict};
use super::{Rule, Values, persistence, threshold};
use crate::analytics::claim::Level;
use crate::domain::Severity::{Critical, Warning};
use crate::domain::{SignalId, signal as s};

const TIRES: [SignalId; 4] =
    [s::TIRE_PRESSURE_FRONT_LEFT, s::TIRE_PRESSURE_FRONT_RIGHT, s::TIRE_PRESSURE_REAR_LEFT, s::TIRE_PRESSURE_REAR_RIGHT];

/// Gay-Lussac's law holds for absolute pressure; sensors give it above the atmosphere's.
const ATMOSPHERE_KPA: f32 = 101.3;
/// Until the normal of each tyre is known: both.
const LEARNING_S: f32 = 600.0;
const LEARNING_READINGS: u8 = 20;
/// Its normal follows so slowly that a leak of 1 % a day shows.
const NORMAL_S: f32 = 5.0 * 86_400.0;
/// Above the others by more than the first share: somebody pumped it up, and that is its normal soon. By more than the second: later.
const INFLATED: (f32, f32) = (0.03, 0.01);
/// Between the two moments that a fast leak is measured against.
const SNAPSHOT_EVERY: Duration = Duration::from_mins(5);

pub const TIRE_LEAK_SLOW: Rule = Rule {
    name: "tire_leak_slow",
    meaning: "One tyre has lost pressure against the others.",
    unit: "percent",
    severity: Warning,
    persistence: persistence(4, 6, 5, 4),
    thresholds: &[
        threshold("limit", 4.0, "percent", "of absolute pressure: opens at or above"),
        threshold("close", 2.5, "percent", "closes below"),
    ],
    by_class: &[],
    source: "Far before the 20 % of UN R141 and the 25 % of FMVSS 138; sun on one side and uneven load make 1 to 2 %",
    needs_reading_only: false,
    check: tire_leak_slow,
    summary: |verdict| {
        format!("{} is {:.1} % below the other tyres, limit {:.1} %", verdict.signal_name(), verdict.value, verdict.limit)
    },
};

/// The slow rule goes first in the table and moves the memory; the fast one looks at it.
fn tire_leak_slow<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let Some(kpa) = pressures(moment) else { return Verdict::NOT_ASSESSED };
    let tires = &mut memory.tires;
    let is_learnt = tires.learnt_s >= LEARNING_S && tires.readings >= LEARNING_READINGS;
    let dt_s = moment.step_s().unwrap_or(0.0);
    if !is_learnt {
        tires.readings = tires.readings.saturating_add(1);
        tires.learnt_s += dt_s;
        let share = 1.0 / f32::from(tires.readings);
        for (normal, now) in tires.normal_kpa.iter_mut().zip(kpa) {
            *normal += (now - *normal) * share;
        }
        return Verdict::NOT_ASSESSED;
    }
    let share = shares(tires, &kpa);
    let worst = (0..4).min_by(|a, b| share[*a].total_cmp(&share[*b])).unwrap_or(0);
    let verdict = percent_below(share[worst], worst, *limit, *close);
    for (index, normal) in tires.normal_kpa.iter_mut().enumerate() {
        if share[index] > INFLATED.1 {
            *normal += (kpa[index] - *normal) * if share[index] > INFLATED.0 { 0.2 } else { 0.03 };
        } else if verdict.level == Level::Calm {
            *normal += (kpa[index] - *normal) * weight(dt_s, NORMAL_S);
        }
    }
    remember(tires, moment, share);
    verdict
}

pub const TIRE_LEAK_FAST: Rule = Rule {
    name: "tire_leak_fast",
    meaning: "One tyre loses pressure within minutes.",
    unit: "percent",
    severity: Critical,
    persistence: persistence(2, 3, 5, 4),
    thresholds: &[
        threshold("limit", 3.0, "percent", "of absolute pressure, lost against the others in 5 to 15 minutes: opens at or above"),
        threshold("close", 1.0, "percent", "closes below"),
    ],
    by_class: &[],
    source: "UN R141: a puncture must be told within 10 minutes; sensor noise is below 0.5 %",
    needs_reading_only: false,
    check: tire_leak_fast,
    summary: |verdict| {
        format!("{} lost {:.1} % within minutes, limit {:.1} %", verdict.signal_name(), verdict.value, verdict.limit)
    },
};

fn tire_leak_fast<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let tires = &memory.tires;
    let (Some(kpa), Some(before)) = (pressures(moment), tires.before.at) else { return Verdict::NOT_ASSESSED };
    if moment.now.since(before) > 3 * SNAPSHOT_EVERY {
        return Verdict::NOT_ASSESSED;
    }
    let share = shares(tires, &kpa);
    let fallen = |index: usize| share[index] - tires.before.share[index];
    let worst = (0..4).min_by(|a, b| fallen(*a).total_cmp(&fallen(*b))).unwrap_or(0);
    percent_below(fallen(worst), worst, *limit, *close)
}

fn pressures(moment: &Moment<'_>) -> Option<[f32; 4]> {
    let mut kpa = [0.0; 4];
    for (kpa, id) in kpa.iter_mut().zip(TIRES) {
        *kpa = moment.context.reading.signals.get(id)? + ATMOSPHERE_KPA;
    }
    Some(kpa)
}

/// How far each stands above (or below) the median of the other three, as a share of its normal.
fn shares(tires: &TireMemory, kpa: &[f32; 4]) -> [f32; 4] {
    let ratio: [f32; 4] = std::array::from_fn(|index| kpa[index] / tires.normal_kpa[index]);
    std::array::from_fn(|index| {
        let [a, b, c] = std::array::from_fn(|other| ratio[(index + 1 + other) % 4]);
        let median = a.max(b).min(a.min(b).max(c));
        ratio[index] - median
    })
}

fn percent_below<'a>(share: f32, index: usize, limit: f64, close: f64) -> Verdict<'a> {
    Verdict::above(-f64::from(share) * 100.0, limit, close).about(Subject::Signal(TIRES[index]))
}

fn remember(tires: &mut TireMemory, moment: &Moment<'_>, share: [f32; 4]) {
    let now = TireSnapshot { at: Some(moment.now), share };
    let is_due = tires.between.at.is_none_or(|at| moment.now.since(at) >= SNAPSHOT_EVERY);
    if is_due {
        tires.before = tires.between;
        tires.between = now;
    }
}

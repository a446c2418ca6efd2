//! Sensors that do not measure: stuck, torn off, missing. Bad data is not a bad vehicle, and is shown as such.

use super::memory::{OPEN_SIGNALS, OpenMemory, RuleMemory, STUCK_SIGNALS, StuckMemory};
use super::moment::Moment;
use super::verdict::{Subject, Verdict};
use super::{Rule, Values, persistence, threshold};
use crate::analytics::claim::Level;
use crate::domain::Severity::Warning;
use crate::domain::signal::MAX_SIGNALS;
use crate::domain::{SignalId, signal as s};

/// Signals that follow the speed, and how many times the changes of speed that the quickest of them needs.
const FOLLOW_SPEED: [(SignalId, f32); STUCK_SIGNALS] = [
    (s::ENGINE_SPEED, 1.0),
    (s::INTAKE_PRESSURE, 1.5),
    (s::MASS_AIR_FLOW, 1.0),
    (s::TRACTION_BATTERY_CURRENT, 1.0),
    // Whole degrees of a mass that warms slowly.
    (s::INTAKE_TEMPERATURE, 6.0),
];

/// What an input reads with its wire torn off, how far from there a jump begins, and whether a running engine alone rules it out.
struct Rail {
    id: SignalId,
    reads: f32,
    jump: f32,
    kind: RailKind,
}

#[derive(Clone, Copy, PartialEq)]
enum RailKind {
    /// Cold can be as cold: a jump is needed, or an outside temperature far above.
    Temperature,
    /// No engine turns with it.
    Air,
    Level,
}

const fn rail(id: SignalId, reads: f32, jump: f32, kind: RailKind) -> Rail {
    Rail { id, reads, jump, kind }
}

/// NTC thermistors are pulled up to -40 °C with their wire open (SAE J1979: offset of 40).
const RAILS: [Rail; OPEN_SIGNALS] = [
    rail(s::COOLANT_TEMPERATURE, -40.0, 20.0, RailKind::Temperature),
    rail(s::OIL_TEMPERATURE, -40.0, 20.0, RailKind::Temperature),
    rail(s::INTAKE_TEMPERATURE, -40.0, 20.0, RailKind::Temperature),
    rail(s::AMBIENT_TEMPERATURE, -40.0, 15.0, RailKind::Temperature),
    rail(s::TRACTION_BATTERY_TEMPERATURE, -40.0, 20.0, RailKind::Temperature),
    rail(s::INTAKE_PRESSURE, 0.0, 10.0, RailKind::Air),
    rail(s::MASS_AIR_FLOW, 0.0, 1.0, RailKind::Air),
    rail(s::FUEL_LEVEL, 0.0, 4.0, RailKind::Level),
];

const AT_RAIL: f32 = 0.25;
/// Values farther apart were not neighbours: what lies between is no jump.
const NEIGHBOURS_S: f64 = 600.0;
/// With so much outside, nothing on board is at -40 °C.
const CLEARLY_WARMER_CELSIUS: f32 = -25.0;

/// Readings in a row that make a signal a regular one.
const REGULAR_AFTER: u8 = 60;
/// A late reading counts for one sixteenth.
const MISSING_SHIFT: u8 = 4;
/// Not there by its nature: per distance, so there is none while standing.
const IRREGULAR: [SignalId; 1] = [s::FUEL_CONSUMPTION];

pub const SENSOR_STUCK: Rule = Rule {
    name: "sensor_stuck",
    meaning: "A signal that follows the speed stays the same while the speed changes.",
    unit: "km/h",
    severity: Warning,
    persistence: persistence(2, 3, 2, 3),
    thresholds: &[
        threshold("limit", 60.0, "km/h", "of speed changes, added up, with the very same value: opens at or above"),
        threshold("close", 30.0, "km/h", "closes below"),
        threshold("least", 60.0, "s", "it must have lasted"),
        threshold("readings", 4.0, "", "and been sent as often"),
    ],
    by_class: &[],
    source: "Movement expected while the reading stays identical: measured on real drives (FACTS, detection)",
    needs_reading_only: false,
    check: sensor_stuck,
    summary: |verdict| {
        format!(
            "{} stays the same over {:.0} km/h of speed changes, limit {:.0} km/h",
            verdict.signal_name(),
            verdict.value,
            verdict.limit
        )
    },
};

fn sensor_stuck<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, lasted_s, readings]: &Values) -> Verdict<'a> {
    let mut worst = Verdict::NOT_ASSESSED;
    let Some(dt_s) = moment.step_s().filter(|_| moment.is_on != Some(false)) else {
        memory.stuck = [StuckMemory::default(); STUCK_SIGNALS];
        return worst;
    };
    let speed_step = moment.speed_km_per_h.zip(moment.speed_before_km_per_h).map_or(0.0, |(now, before)| (now - before).abs());
    for (stuck, (id, times)) in memory.stuck.iter_mut().zip(FOLLOW_SPEED) {
        let value = moment.context.reading.signals.get(id);
        if value.is_some() && value != stuck.value {
            *stuck = StuckMemory { value, ..StuckMemory::default() };
        } else if stuck.value.is_some() {
            stuck.readings = stuck.readings.saturating_add(u8::from(value.is_some()));
            stuck.lasted_s += dt_s;
            stuck.changed_km_per_h += speed_step;
        }
        let Some(_) = value else { continue };
        let has_time = f64::from(stuck.lasted_s) >= *lasted_s && f64::from(stuck.readings) >= *readings;
        let changed = if has_time { f64::from(stuck.changed_km_per_h / times) } else { 0.0 };
        let verdict = Verdict::above(changed, *limit, *close).about(Subject::Signal(id));
        worst = worst.or(verdict);
    }
    worst
}

pub const SENSOR_OPEN_CIRCUIT: Rule = Rule {
    name: "sensor_open_circuit",
    meaning: "A sensor jumped to the end of its range: its wire is torn or its plug is off.",
    unit: "",
    severity: Warning,
    persistence: persistence(2, 3, 2, 3),
    thresholds: &[threshold("least", 10.0, "s", "it must have lasted")],
    by_class: &[],
    source: "SAE J1979 offsets (-40 °C); a healthy cold start can read -40 °C for 5 s without a jump (FACTS, detection)",
    needs_reading_only: false,
    check: sensor_open_circuit,
    summary: |verdict| format!("{} jumped to {:.0}, the end of its range", verdict.signal_name(), verdict.value),
};

fn sensor_open_circuit<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [least_s, ..]: &Values) -> Verdict<'a> {
    let mut worst = Verdict::NOT_ASSESSED;
    let signals = &moment.context.reading.signals;
    let ambient = signals.get(s::AMBIENT_TEMPERATURE);
    for (open, rail) in memory.open.iter_mut().zip(&RAILS) {
        let Some(value) = signals.get(rail.id) else { continue };
        let is_at_rail = (value - rail.reads).abs() <= AT_RAIL;
        if !is_at_rail {
            *open = OpenMemory { value: Some(value), at: Some(moment.now), ..OpenMemory::default() };
            worst = worst.or(Verdict::of(Level::Calm, f64::from(value), f64::from(rail.reads)));
            continue;
        }
        let since_s = open.at.map_or(f64::MAX, |at| moment.now.seconds_since(at));
        let is_first = open.lasted_s == 0.0;
        if is_first && since_s <= NEIGHBOURS_S {
            open.jumped = open.value.is_some_and(|before| (before - rail.reads).abs() >= rail.jump);
        }
        open.lasted_s += moment.step_s().unwrap_or(0.0).max(f32::EPSILON);
        let is_impossible = match rail.kind {
            RailKind::Temperature => {
                open.jumped
                    || (rail.id != s::AMBIENT_TEMPERATURE && ambient.is_some_and(|ambient| ambient > CLEARLY_WARMER_CELSIUS))
            }
            RailKind::Air => moment.is_running,
            RailKind::Level => open.jumped,
        };
        let level = match (is_impossible, f64::from(open.lasted_s) >= *least_s) {
            (true, true) => Level::Raised,
            (true, false) => Level::Holding,
            (false, _) => Level::Calm,
        };
        worst = worst.or(Verdict::of(level, f64::from(value), f64::from(rail.reads)).about(Subject::Signal(rail.id)));
    }
    worst
}

pub const SIGNAL_MISSING: Rule = Rule {
    name: "signal_missing",
    meaning: "A signal that came with every reading is often missing.",
    unit: "percent",
    severity: Warning,
    persistence: persistence(2, 3, 5, 10),
    thresholds: &[
        threshold("limit", 22.0, "percent", "of the last sixteen or so readings: opens at or above"),
        threshold("close", 10.0, "percent", "closes below"),
    ],
    by_class: &[],
    source: "A regular signal was there 60 readings in a row; one miss is 6 %, three within a few readings are 18 %",
    needs_reading_only: false,
    check: signal_missing,
    summary: |verdict| {
        format!("{} is missing in {:.0} % of the readings, limit {:.0} %", verdict.signal_name(), verdict.value, verdict.limit)
    },
};

/// A signal that came with every reading and now often does not. A vehicle that sends nothing at all is another matter.
fn signal_missing<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let presence = &mut memory.presence;
    if moment.is_on != Some(true) {
        return Verdict::NOT_ASSESSED;
    }
    let present = moment.context.reading.signals.present_bits();
    let mut worst = (0_u8, 0_usize);
    let known = present | presence.regular;
    for index in 0..MAX_SIGNALS {
        if known >> index & 1 == 0 {
            presence.streak.0[index] = 0;
            continue;
        }
        let (streak, missing) = (&mut presence.streak.0[index], &mut presence.missing.0[index]);
        if present >> index & 1 == 1 {
            *streak = streak.saturating_add(1);
            *missing -= missing.div_ceil(1 << MISSING_SHIFT);
        } else {
            *streak = 0;
            *missing += (u8::MAX - *missing).div_ceil(1 << MISSING_SHIFT);
        }
        presence.regular |= u64::from(*streak >= REGULAR_AFTER) << index;
        if *missing > worst.0 {
            worst = (*missing, index);
        }
    }
    for id in IRREGULAR {
        presence.regular &= !(1 << id.index());
    }
    if presence.regular == 0 {
        return Verdict::NOT_ASSESSED;
    }
    let percent = f64::from(worst.0) / 255.0 * 100.0;
    let verdict = Verdict::above(percent, *limit, *close);
    SignalId::from_index(worst.1).map_or(verdict, |id| verdict.about(Subject::Signal(id)))
}

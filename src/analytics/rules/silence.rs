//! Vehicles that say nothing, though they are not parked. Only our clock can tell, so this one is asked by the clock: `Rules::silence`.

use super::compiled::Rules;
use super::verdict::Verdict;
use super::{Moment, Rule, RuleMemory, Values, persistence, threshold};
use crate::analytics::claim::{Claim, Level};
use crate::domain::Severity::Warning;
use crate::domain::{Timestamp, VehicleRecord};

pub const SILENT_VEHICLE: &str = "silent_vehicle";

/// When a vehicle was heard last.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Our clock, of its newest message.
    pub received_at: Timestamp,
    /// Since when this process could have heard it: nobody is silent because we were.
    pub listening_since: Timestamp,
    /// [`RuleMemory::is_parked`]: nights are no silence.
    pub is_parked: bool,
    pub record: Option<&'a VehicleRecord>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Silence {
    pub is_silent: bool,
    /// `None` where it is not silent.
    pub claim: Option<Claim>,
}

impl Rules {
    /// `None` where the rule is switched off.
    #[must_use]
    pub fn silence(&self, heard: &Heard<'_>, now: Timestamp) -> Option<Silence> {
        let rule = self.silence.as_ref()?;
        let [limit_s, ..] = rule.values[self.class_number(heard.record.map(|record| record.class.as_str()))];
        let silent_s = now.seconds_since(heard.received_at.max(heard.listening_since));
        if heard.is_parked || silent_s < limit_s {
            return Some(Silence { is_silent: false, claim: None });
        }
        let claim = rule.claim(&Verdict::of(Level::Raised, silent_s, limit_s));
        Some(Silence { is_silent: true, claim: Some(claim) })
    }
}

pub const SILENT: Rule = Rule {
    name: SILENT_VEHICLE,
    meaning: "A vehicle that is not parked says nothing.",
    unit: "s",
    severity: Warning,
    persistence: persistence(1, 1, 0, 1),
    thresholds: &[threshold("limit", 1_200.0, "s", "since its newest message, by our clock: opens at or above")],
    by_class: &[],
    source: "Holes in mobile networks last up to 10 minutes; twice that",
    needs_reading_only: false,
    check: never,
    summary: |verdict| format!("nothing heard for {:.0} min", verdict.value / 60.0),
};

/// In the table for its thresholds only: with a reading there is no silence.
fn never<'a>(_: &Moment<'a>, _: &mut RuleMemory, _: &Values) -> Verdict<'a> {
    Verdict::NOT_ASSESSED
}

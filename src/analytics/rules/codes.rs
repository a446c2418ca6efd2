//! Trouble codes that were not there when the vehicle came to us.

use xxhash_rust::xxh3::xxh3_64;

use super::memory::RuleMemory;
use super::moment::Moment;
use super::verdict::{Subject, Verdict};
use super::{Rule, Values, persistence};
use crate::analytics::claim::Level;
use crate::domain::Severity::Warning;

/// Codes of a first reading beyond it are news when they come again.
const MAX_KNOWN: usize = 64;

pub const NEW_TROUBLE_CODE: Rule = Rule {
    name: "new_trouble_code",
    meaning: "The vehicle's own diagnosis reports a code that it did not come with.",
    unit: "codes",
    severity: Warning,
    persistence: persistence(1, 1, 10, 3),
    thresholds: &[],
    by_class: &[],
    source: "SAE J2012, ISO 15031-6",
    needs_reading_only: false,
    check: new_trouble_code,
    summary: trouble_code_summary,
};

/// What a vehicle comes with is known: else every vehicle of a fleet that is connected would be an alert.
fn new_trouble_code<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, _: &Values) -> Verdict<'a> {
    let codes = &moment.context.reading.dtcs;
    let Some(known) = &memory.known_codes else {
        memory.known_codes = Some(codes.iter().take(MAX_KNOWN).map(|code| xxh3_64(code.as_bytes())).collect());
        return Verdict::NOT_ASSESSED;
    };
    let mut new = codes.iter().filter(|code| !known.contains(&xxh3_64(code.as_bytes())));
    let Some(first) = new.next() else { return Verdict::of(Level::Calm, 0.0, 1.0) };
    let count = 1 + u32::try_from(new.count()).unwrap_or(u32::MAX - 1);
    Verdict::of(Level::Raised, f64::from(count), 1.0).about(Subject::Code(first))
}

fn trouble_code_summary(verdict: &Verdict<'_>) -> String {
    let Subject::Code(code) = verdict.subject else { return "trouble code".to_owned() };
    if verdict.value > 1.0 {
        format!("trouble code {code} and {:.0} more", verdict.value - 1.0)
    } else {
        format!("trouble code {code}")
    }
}

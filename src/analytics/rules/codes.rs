//! Trouble codes that were not there when the vehicle came to us.

use xxhash_rust::xxh3::xxh3_64;

use super::Values;
use super::memory::RuleMemory;
use super::moment::Moment;
use super::verdict::{Subject, Verdict};
use crate::analytics::claim::Level;

/// Codes of a first reading beyond it are news when they come again.
const MAX_KNOWN: usize = 64;

/// What a vehicle comes with is known: else every vehicle of a fleet that is connected would be an alert.
pub fn new_trouble_code<'a>(moment: &Moment<'a>, memory: &mut RuleMemory, _: &Values) -> Verdict<'a> {
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

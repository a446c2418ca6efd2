//! Counts what was lost before it reached us, from the sender's own numbers. Decides nothing else: identity is not the sequence.

use super::bytes::{ByteReader, Damaged};
use crate::domain::Reading;

/// Gaps of one boot that are remembered, so that a number that was on its way is told from one that comes twice. More: the oldest one
/// is counted as lost for good, and below it nothing is told.
const MAX_GAPS: usize = 16;

/// A jump beyond this is a sender that counts in its own way, not a loss.
const LARGEST_GAP: u64 = 1_000_000;

/// What one vehicle's numbers have said so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SequenceWatch {
    /// `None` before the first number.
    boot: Option<Boot>,
    /// Of all boots.
    missing: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Boot {
    boot_id: Option<u64>,
    /// Every number from here on has come, or lies in one of `gaps`.
    known_from: u64,
    highest: u64,
    /// First and last number of each, in order.
    gaps: Vec<(u64, u64)>,
}

/// What one number said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbered {
    /// So many before it have not come.
    pub skipped: u64,
    /// Its number came before, with other content.
    pub is_conflict: bool,
}

impl SequenceWatch {
    /// Takes one reading that is no duplicate. `moves`: it is newer than what the vehicle sent before, so that a `boot_id` that is not
    /// the last one is a new boot, and no message of an old one.
    pub fn observe(&mut self, reading: &Reading, moves: bool) -> Numbered {
        let Some(sequence) = reading.sequence else { return Numbered::default() };
        let Some(boot) = self.boot.as_mut().filter(|boot| boot.boot_id == reading.boot_id) else {
            if moves || self.boot.is_none() {
                self.boot = Some(Boot { boot_id: reading.boot_id, known_from: sequence, highest: sequence, gaps: Vec::new() });
            }
            return Numbered::default();
        };
        if sequence > boot.highest {
            let skipped = sequence - boot.highest - 1;
            if skipped > LARGEST_GAP {
                (boot.known_from, boot.highest) = (sequence, sequence);
                boot.gaps.clear();
                return Numbered::default();
            }
            if skipped > 0 {
                boot.remember((boot.highest + 1, sequence - 1));
            }
            boot.highest = sequence;
            self.missing += skipped;
            return Numbered { skipped, is_conflict: false };
        }
        let was_missing = boot.fill(sequence);
        self.missing -= u64::from(was_missing);
        Numbered { skipped: 0, is_conflict: !was_missing && sequence >= boot.known_from }
    }

    /// Readings that the vehicle numbered and that never came.
    #[must_use]
    pub const fn lost_before_us(&self) -> u64 {
        self.missing
    }

    /// Appends the saved form. Its version stands in the vehicle's state around it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.missing.to_le_bytes());
        out.push(u8::from(self.boot.is_some()));
        let Some(boot) = &self.boot else { return };
        out.push(u8::from(boot.boot_id.is_some()));
        out.extend(boot.boot_id.unwrap_or_default().to_le_bytes());
        out.extend(boot.known_from.to_le_bytes());
        out.extend(boot.highest.to_le_bytes());
        out.push(u8::try_from(boot.gaps.len()).expect("at most 16"));
        for (first, last) in &boot.gaps {
            out.extend(first.to_le_bytes());
            out.extend(last.to_le_bytes());
        }
    }

    /// # Errors
    /// `Damaged` where the bytes are not what this version writes.
    pub fn decode(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "sequence";
        let missing = from.take_u64(WHAT)?;
        if from.take_u8(WHAT)? == 0 {
            return Ok(Self { boot: None, missing });
        }
        let has_boot_id = from.take_u8(WHAT)? != 0;
        let boot_id = Some(from.take_u64(WHAT)?).filter(|_| has_boot_id);
        let (known_from, highest) = (from.take_u64(WHAT)?, from.take_u64(WHAT)?);
        let gaps = usize::from(from.take_u8(WHAT)?);
        if gaps > MAX_GAPS {
            return Err(Damaged { what: WHAT });
        }
        let gaps = (0..gaps).map(|_| Ok((from.take_u64(WHAT)?, from.take_u64(WHAT)?))).collect::<Result<_, Damaged>>()?;
        Ok(Self { boot: Some(Boot { boot_id, known_from, highest, gaps }), missing })
    }
}

impl Boot {
    fn remember(&mut self, gap: (u64, u64)) {
        self.gaps.push(gap);
        self.forget_beyond_room();
    }

    fn forget_beyond_room(&mut self) {
        if self.gaps.len() > MAX_GAPS {
            let (_, last) = self.gaps.remove(0);
            self.known_from = self.known_from.max(last + 1);
        }
    }

    /// Whether the number was missing; it is not any more.
    fn fill(&mut self, sequence: u64) -> bool {
        let Some(index) = self.gaps.iter().position(|(first, last)| (*first..=*last).contains(&sequence)) else { return false };
        let (first, last) = self.gaps[index];
        match (sequence == first, sequence == last) {
            (true, true) => drop(self.gaps.remove(index)),
            (true, false) => self.gaps[index].0 = sequence + 1,
            (false, true) => self.gaps[index].1 = sequence - 1,
            (false, false) => {
                self.gaps[index].1 = sequence - 1;
                self.gaps.insert(index + 1, (sequence + 1, last));
                self.forget_beyond_room();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analytics::fixtures::reading_at;

    fn numbered(boot_id: u64, sequence: u64) -> Reading {
        Reading { boot_id: Some(boot_id), sequence: Some(sequence), ..reading_at(0, &[]) }
    }

    fn observe(watch: &mut SequenceWatch, sequences: &[u64]) -> Vec<u64> {
        let conflicts = sequences.iter().filter(|sequence| watch.observe(&numbered(1, **sequence), true).is_conflict);
        conflicts.copied().collect()
    }

    #[test]
    fn what_never_comes_is_lost_and_what_comes_late_is_not() {
        let mut watch = SequenceWatch::default();
        assert!(observe(&mut watch, &[5, 6, 10, 8]).is_empty());
        assert_eq!(watch.lost_before_us(), 2, "7 and 9; what was before the first is not known");
        assert!(observe(&mut watch, &[9, 7, 3, 11]).is_empty());
        assert_eq!(watch.lost_before_us(), 0);
    }

    #[test]
    fn the_same_number_with_other_content_is_a_conflict_and_no_find() {
        let mut watch = SequenceWatch::default();
        assert_eq!(observe(&mut watch, &[1, 2, 5, 5, 2, 3, 3]), [5, 2, 3]);
        assert_eq!(watch.lost_before_us(), 1);
    }

    #[test]
    fn a_new_boot_starts_anew_and_a_late_message_of_the_old_one_changes_nothing() {
        let mut watch = SequenceWatch::default();
        observe(&mut watch, &[1, 3]);
        watch.observe(&numbered(0, 1), true);
        watch.observe(&numbered(1, 4), false);
        assert_eq!(watch.observe(&numbered(0, 2), true), Numbered::default());
        assert_eq!(watch.lost_before_us(), 1);
        watch.observe(&numbered(0, 5_000_000), true);
        assert_eq!(watch.lost_before_us(), 1, "it counts in its own way");
    }

    proptest! {
        #[test]
        fn any_order_of_the_numbers_counts_the_same_and_a_saved_watch_goes_on(
            order in Just((0_u64..60).collect::<Vec<_>>()).prop_shuffle(), missing in prop::collection::btree_set(1_u64..59, 0..12),
        ) {
            let mut watch = SequenceWatch::default();
            watch.observe(&numbered(1, 0), true);
            let come: Vec<u64> = order.into_iter().filter(|sequence| *sequence != 0 && !missing.contains(sequence)).collect();
            for sequence in &come {
                let mut bytes = Vec::new();
                watch.encode(&mut bytes);
                let mut from = ByteReader::new(&bytes);
                prop_assert_eq!(&SequenceWatch::decode(&mut from).unwrap(), &watch);
                from.end().unwrap();
                prop_assert!(!watch.observe(&numbered(1, *sequence), true).is_conflict);
            }
            let has_forgotten = watch.boot.as_ref().is_some_and(|boot| boot.known_from > 0);
            if !has_forgotten {
                prop_assert_eq!(watch.lost_before_us(), missing.len() as u64);
            }
        }
    }
}

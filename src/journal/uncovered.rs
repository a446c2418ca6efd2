//! Which part of the journal no checkpoint stands for: per slot, the first frame since its last checkpoint.

use crate::domain::{SLOTS, Slot};

const NONE: u64 = u64::MAX;

#[derive(Debug)]
pub struct Uncovered(Box<[u64; SLOTS as usize]>);

impl Default for Uncovered {
    fn default() -> Self {
        Self(Box::new([NONE; SLOTS as usize]))
    }
}

impl Uncovered {
    /// A frame of this slot stands at `position`; positions rise.
    pub fn note(&mut self, slot: u16, position: u64) {
        let first = &mut self.0[usize::from(slot)];
        *first = position.min(*first);
    }

    /// A checkpoint stands for all frames of these slots so far.
    pub fn cover(&mut self, slots: impl Iterator<Item = Slot>) {
        for slot in slots {
            self.0[usize::from(slot.number())] = NONE;
        }
    }

    /// From here on a restart has to read; `None` where checkpoints stand for everything.
    pub fn oldest(&self) -> Option<u64> {
        self.0.iter().copied().min().filter(|position| *position != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_frame_of_any_slot_without_checkpoint_counts() {
        let slot = |number| Slot::from_number(number).unwrap();
        let mut uncovered = Uncovered::default();
        assert_eq!(uncovered.oldest(), None);
        uncovered.note(1, 100);
        uncovered.note(2, 200);
        uncovered.note(1, 300);
        assert_eq!(uncovered.oldest(), Some(100));
        uncovered.cover([slot(1)].into_iter());
        assert_eq!(uncovered.oldest(), Some(200));
        uncovered.note(1, 400);
        uncovered.cover([slot(2)].into_iter());
        assert_eq!(uncovered.oldest(), Some(400));
    }
}

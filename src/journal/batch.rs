//! What a lane hands to the journal: encoded frames, and the receipts that depend on them. Writes nothing: `writer`.

use super::frame;
use crate::domain::{Outcome, Receipt, Slot};

/// Larger buffers are not kept for reuse: one burst must not hold its memory for ever.
const MAX_REUSED_BYTES: usize = 4 << 20;

/// Frames and promises of one lane step. The buffers are used again: [`super::Journal::submit`] returns an empty one.
#[derive(Debug, Default)]
pub struct Batch {
    frames: Vec<u8>,
    promises: Vec<(Receipt, Outcome)>,
}

impl Batch {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.promises.is_empty()
    }

    /// Empties it; receipts in it are dropped unkept.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.promises.clear();
    }

    /// Appends one frame. `encode` appends the protobuf record to the buffer and must leave alone what is in it already.
    pub fn push(&mut self, slot: Slot, arrival: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        frame::append(&mut self.frames, slot.number(), arrival, encode);
    }

    /// To be kept once everything in this batch, and everything submitted before it, is on disk.
    pub fn promise(&mut self, receipt: Receipt, outcome: Outcome) {
        self.promises.push((receipt, outcome));
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        frame::split(&self.frames)
    }

    /// Only the writer calls this, after the sync.
    pub(super) fn keep_promises(&mut self) {
        for (receipt, outcome) in self.promises.drain(..) {
            receipt.keep(outcome);
        }
    }

    /// Empty, for the next lane step; `None` where it has grown too large to be kept.
    pub(super) fn recycled(mut self) -> Option<Self> {
        self.clear();
        (self.frames.capacity() <= MAX_REUSED_BYTES).then_some(self)
    }
}

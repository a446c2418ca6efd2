//! What a lane hands to the journal: encoded frames, and the receipts that depend on them. Writes nothing: `writer`.

use std::fmt;

use super::frame;
use crate::domain::{Outcome, Receipt, Slot};

/// Larger buffers are not kept for reuse: one burst must not hold its memory for ever.
const MAX_REUSED_BYTES: usize = 4 << 20;

/// The records in frames that came from another process, each with its slot and arrival.
///
/// # Errors
/// Where anything of it is damaged.
pub fn records(frames: &[u8]) -> Result<impl Iterator<Item = (Slot, u64, &[u8])>, DamagedFrames> {
    let frames = frame::split_checked(frames).ok_or(DamagedFrames)?.into_iter();
    Ok(frames.filter_map(|frame| {
        Some((Slot::from_number(frame::slot_of(frame))?, frame::index_of(frame), &frame[frame::HEADER_BYTES..]))
    }))
}

/// Frames of another process are not as that wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frames were damaged on the way")]
pub struct DamagedFrames;

/// Called once something is durable.
type Then = Box<dyn FnOnce() + Send>;

/// Frames and promises of one lane step. The buffers are used again: [`super::Journal::submit`] returns an empty one.
#[derive(Default)]
pub struct Batch {
    frames: Vec<u8>,
    promises: Vec<(Receipt, Outcome)>,
    /// Rare: answers to commands.
    then: Vec<Then>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Batch")
            .field("frame_bytes", &self.frames.len())
            .field("promises", &self.promises.len())
            .finish_non_exhaustive()
    }
}

impl Batch {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.promises.is_empty() && self.then.is_empty()
    }

    /// Empties it; receipts in it are dropped unkept.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.promises.clear();
        self.then.clear();
    }

    /// Appends one frame. `encode` appends the protobuf record to the buffer and must leave alone what is in it already.
    pub fn push(&mut self, slot: Slot, arrival: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        frame::append(&mut self.frames, slot.number(), arrival, encode);
    }

    /// To be kept once everything in this batch, and everything submitted before it, is on disk.
    pub fn promise(&mut self, receipt: Receipt, outcome: Outcome) {
        self.promises.push((receipt, outcome));
    }

    /// To be called like a promise is kept; dropped uncalled where nothing becomes durable.
    pub fn then(&mut self, call: impl FnOnce() + Send + 'static) {
        self.then.push(Box::new(call));
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        frame::split(&self.frames)
    }

    /// Takes the frames out, as another process can take them in: [`Batch::append_frames`]. The promises stay.
    #[must_use]
    pub fn take_frames(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.frames)
    }

    /// Appends those frames of another process that `takes` wants, asked by slot and arrival.
    ///
    /// # Errors
    /// Where anything of it is damaged; nothing is appended then.
    pub fn append_frames(&mut self, frames: &[u8], mut takes: impl FnMut(Slot, u64) -> bool) -> Result<(), DamagedFrames> {
        for frame in frame::split_checked(frames).ok_or(DamagedFrames)? {
            let slot = Slot::from_number(frame::slot_of(frame)).ok_or(DamagedFrames)?;
            if takes(slot, frame::index_of(frame)) {
                self.frames.extend_from_slice(frame);
            }
        }
        Ok(())
    }

    /// Only for whoever knows that all of it is durable.
    pub fn keep_promises(&mut self) {
        for (receipt, outcome) in self.promises.drain(..) {
            receipt.keep(outcome);
        }
        self.then.drain(..).for_each(|call| call());
    }

    /// Empty, for the next lane step; `None` where it has grown too large to be kept.
    pub(super) fn recycled(mut self) -> Option<Self> {
        self.clear();
        (self.frames.capacity() <= MAX_REUSED_BYTES).then_some(self)
    }
}

//! What a lane saves now and then: the states of vehicles that changed, and how far each of its slots has got.

use super::batch::DamagedFrames;
use super::frame;
use crate::domain::Slot;

/// States are opaque bytes; their lane gives them a version.
#[derive(Debug, Default)]
pub struct Checkpoint {
    frames: Vec<u8>,
    states: u32,
    next_arrivals: Vec<(Slot, u64)>,
}

impl Checkpoint {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `state` appends the vehicle's state to the buffer and must leave alone what is in it already.
    pub fn push(&mut self, slot: Slot, vehicle_id: &str, state: impl FnOnce(&mut Vec<u8>)) {
        self.states += 1;
        frame::append(&mut self.frames, slot.number(), 0, |out| encode_state(out, vehicle_id, state));
    }

    /// The states of this slot, here and in earlier checkpoints, stand for all its frames with a smaller arrival. A lane says so
    /// for each of its slots that had a frame since the last checkpoint, changed vehicles or not.
    pub fn next_arrival(&mut self, slot: Slot, arrival: u64) {
        self.next_arrivals.push((slot, arrival));
    }

    /// The states as another process can take them in: [`Checkpoint::append_frames`].
    #[must_use]
    pub fn take_frames(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.frames)
    }

    /// Appends those states of another process whose slot `takes` wants.
    ///
    /// # Errors
    /// Where anything of it is damaged; nothing is appended then.
    pub fn append_frames(&mut self, frames: &[u8], mut takes: impl FnMut(Slot) -> bool) -> Result<(), DamagedFrames> {
        for frame in frame::split_checked(frames).ok_or(DamagedFrames)? {
            let slot = Slot::from_number(frame::slot_of(frame)).ok_or(DamagedFrames)?;
            if decode_state(&frame[frame::HEADER_BYTES..]).is_none() {
                return Err(DamagedFrames);
            }
            if takes(slot) {
                self.states += 1;
                self.frames.extend_from_slice(frame);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn next_arrivals(&self) -> &[(Slot, u64)] {
        &self.next_arrivals
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        frame::split(&self.frames)
    }

    pub(super) const fn states(&self) -> u32 {
        self.states
    }
}

/// `[length of the id u8][id][state]`.
fn encode_state(out: &mut Vec<u8>, vehicle_id: &str, state: impl FnOnce(&mut Vec<u8>)) {
    let length = u8::try_from(vehicle_id.len()).expect("a vehicle id has at most 64 characters");
    out.push(length);
    out.extend_from_slice(vehicle_id.as_bytes());
    state(out);
}

/// The vehicle id and the state in a payload; `None` where it is none.
pub(super) fn decode_state(payload: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = payload.split_first()?;
    let (vehicle_id, state) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(vehicle_id).ok()?, state))
}

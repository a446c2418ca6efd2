//! One frame: `[length u32][crc32c u32][format version u8][slot u16][index u64][payload]`, little endian; `length` and the
//! checksum cover everything after the checksum. Knows no files: `scan` finds frames in them.
//!
//! In a file the checksum is also mixed with a mask of the file's random number and the frame's position. So a frame is valid
//! only where it was written: neither a misplaced or stale block passes for one, nor the bytes of a message that somebody sent
//! (quarantined payloads stand in the journal as they came) when a damaged frame around them is searched for the next valid one.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::domain::SLOTS;

/// What this version writes. It reads the one before, too (there is none yet), and refuses newer ones.
pub const FORMAT_VERSION: u8 = 1;
const OLDEST_READABLE: u8 = 1;

pub const HEADER_BYTES: usize = 19;
/// Length and checksum, which `length` does not count.
const UNCOUNTED_BYTES: usize = 8;

/// In place of a slot: the frame is no record but a mark of a checkpoint.
pub const MARK: u16 = u16::MAX;

/// No record comes near it: payloads are cut at 64 KiB, messages at 2 MiB. Bounds what a damaged length can make us read.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Appends one frame with a plain checksum; [`Seal::append`] gives it its place.
pub fn append(out: &mut Vec<u8>, slot: u16, index: u64, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; UNCOUNTED_BYTES]);
    out.push(FORMAT_VERSION);
    out.extend_from_slice(&slot.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    encode(out);
    let frame = &mut out[start..];
    assert!(frame.len() <= MAX_FRAME_BYTES, "a frame of {} bytes could not be read again", frame.len());
    let length = u32::try_from(frame.len() - UNCOUNTED_BYTES).expect("below 16 MiB, as just checked");
    let checksum = crc32c::crc32c(&frame[UNCOUNTED_BYTES..]);
    frame[0..4].copy_from_slice(&length.to_le_bytes());
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// The frames of a buffer that [`append`] has filled, each as a whole.
pub fn split(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32_at(frames, 0)? as usize;
        let (frame, rest) = frames.split_at(length + UNCOUNTED_BYTES);
        frames = rest;
        Some(frame)
    })
}

/// How long a frame is that begins with these bytes; `None`: none does.
pub fn frame_bytes(length: [u8; 4]) -> Option<u64> {
    let bytes = u32::from_le_bytes(length) as usize + UNCOUNTED_BYTES;
    (HEADER_BYTES..=MAX_FRAME_BYTES).contains(&bytes).then_some(bytes as u64)
}

/// The slot field of a whole frame.
pub fn slot_of(frame: &[u8]) -> u16 {
    u16::from_le_bytes([frame[9], frame[10]])
}

pub fn index_of(frame: &[u8]) -> u64 {
    u64::from_le_bytes(frame[11..HEADER_BYTES].try_into().expect("8 bytes"))
}

/// Splits a buffer that came from elsewhere: plain frames of this version, each with a checksum that holds. `None` where anything is not.
pub fn split_checked(buffer: &[u8]) -> Option<Vec<&[u8]>> {
    let mut frames = Vec::new();
    let mut rest = buffer;
    while !rest.is_empty() {
        let bytes = u32_at(rest, 0)? as usize + UNCOUNTED_BYTES;
        if !(HEADER_BYTES..=MAX_FRAME_BYTES).contains(&bytes) || bytes > rest.len() {
            return None;
        }
        let (frame, behind) = rest.split_at(bytes);
        let holds = u32_at(frame, 4) == Some(crc32c::crc32c(&frame[UNCOUNTED_BYTES..]));
        if !holds || frame[8] != FORMAT_VERSION || slot_of(frame) >= SLOTS {
            return None;
        }
        frames.push(frame);
        rest = behind;
    }
    Some(frames)
}

/// Ties frames to the file and the position they were written at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Random, in the file's header.
    pub nonce: u64,
}

/// What [`Seal::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Frame {
        version: u8,
        slot: u16,
        index: u64,
        /// Of the whole frame; the payload begins at [`HEADER_BYTES`].
        bytes: usize,
    },
    /// May be a frame, but so many bytes are needed to tell.
    Incomplete {
        needed_bytes: usize,
    },
    Nothing,
}

impl Seal {
    fn mask(self, position: u64, length: u32) -> u32 {
        let mut place = [0; 12];
        place[..8].copy_from_slice(&position.to_le_bytes());
        place[8..].copy_from_slice(&length.to_le_bytes());
        let hash = xxh3_64_with_seed(&place, self.nonce).to_le_bytes();
        u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// Copies one whole frame with a plain checksum behind `out`, for this position.
    pub fn append(self, frame: &[u8], position: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(frame);
        self.toggle(&mut out[start..], position);
    }

    /// Between the plain checksum and the one for this position, either way.
    pub fn toggle(self, frame: &mut [u8], position: u64) {
        let length = u32_at(frame, 0).expect("a whole frame");
        let checksum = u32_at(frame, 4).expect("a whole frame") ^ self.mask(position, length);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The frame at the start of `window`, which stands at `position` of a file that has `remaining_bytes` from there on.
    pub fn read(self, window: &[u8], position: u64, remaining_bytes: u64) -> Found {
        let whole_header = (window.len() as u64).min(remaining_bytes) >= HEADER_BYTES as u64;
        if !whole_header {
            let could_be_one = remaining_bytes >= HEADER_BYTES as u64;
            return if could_be_one { Found::Incomplete { needed_bytes: HEADER_BYTES } } else { Found::Nothing };
        }
        let length = u32_at(window, 0).expect("a whole header");
        let bytes = length as usize + UNCOUNTED_BYTES;
        let (version, slot) = (window[8], slot_of(window));
        let plausible = (HEADER_BYTES..=MAX_FRAME_BYTES).contains(&bytes)
            && bytes as u64 <= remaining_bytes
            && version >= OLDEST_READABLE
            && (slot < SLOTS || slot == MARK);
        if !plausible {
            return Found::Nothing;
        }
        if window.len() < bytes {
            return Found::Incomplete { needed_bytes: bytes };
        }
        let checksum = u32_at(window, 4).expect("a whole header") ^ self.mask(position, length);
        if crc32c::crc32c(&window[UNCOUNTED_BYTES..bytes]) != checksum {
            return Found::Nothing;
        }
        let index = u64::from_le_bytes(window[11..HEADER_BYTES].try_into().expect("8 bytes"));
        Found::Frame { version, slot, index, bytes }
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { nonce: 7 };

    fn a_sealed_frame(position: u64) -> Vec<u8> {
        let mut plain = Vec::new();
        append(&mut plain, 3, 99, |out| out.extend_from_slice(b"payload"));
        let mut sealed = Vec::new();
        SEAL.append(&plain, position, &mut sealed);
        sealed
    }

    #[test]
    fn a_frame_is_found_where_it_was_written_and_nowhere_else() {
        let frame = a_sealed_frame(4_096);
        let bytes = frame.len();
        assert_eq!(SEAL.read(&frame, 4_096, 1_000), Found::Frame { version: 1, slot: 3, index: 99, bytes });
        assert_eq!(SEAL.read(&frame, 4_097, 1_000), Found::Nothing);
        assert_eq!(Seal { nonce: 8 }.read(&frame, 4_096, 1_000), Found::Nothing);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let frame = a_sealed_frame(0);
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = SEAL.read(&damaged, 0, frame.len() as u64);
            assert!(!matches!(found, Found::Frame { .. }), "bit {bit} gave {found:?}");
        }
    }

    #[test]
    fn half_a_frame_asks_for_the_rest_unless_the_file_ends() {
        let frame = a_sealed_frame(0);
        assert_eq!(SEAL.read(&frame[..5], 0, 1_000), Found::Incomplete { needed_bytes: HEADER_BYTES });
        assert_eq!(SEAL.read(&frame[..20], 0, 1_000), Found::Incomplete { needed_bytes: frame.len() });
        assert_eq!(SEAL.read(&frame[..20], 0, 20), Found::Nothing);
    }

    #[test]
    fn frames_of_a_buffer_come_back_one_by_one() {
        let mut buffer = Vec::new();
        for slot in [5, 6, 7] {
            append(&mut buffer, slot, 0, |out| out.resize(out.len() + usize::from(slot), 1));
        }
        assert_eq!(split(&buffer).map(slot_of).collect::<Vec<_>>(), [5, 6, 7]);
        let checked = split_checked(&buffer).unwrap();
        assert_eq!(checked, split(&buffer).collect::<Vec<_>>());
    }

    #[test]
    fn frames_from_elsewhere_are_taken_whole_or_not_at_all() {
        let mut buffer = Vec::new();
        for slot in [5, 6] {
            append(&mut buffer, slot, 7, |out| out.extend_from_slice(b"payload"));
        }
        assert_eq!(split_checked(&buffer).unwrap().iter().map(|frame| index_of(frame)).collect::<Vec<_>>(), [7, 7]);
        for cut in 1..buffer.len() {
            assert!(split_checked(&buffer[..cut]).is_none_or(|frames| frames.len() == 1), "{cut}");
        }
        for bit in 0..buffer.len() * 8 {
            let mut damaged = buffer.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(split_checked(&damaged).is_none(), "bit {bit}");
        }
    }
}

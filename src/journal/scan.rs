//! Finds the frames of one file, one after another, and goes on behind damage at the next frame whose checksum is right.
//! Does not judge what damage means: `recovery` and `reader` know where a file ought to end.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::damage::DamagedPlace;
use super::disk::DiskFile;
use super::error::{JournalError, disk_error};
use super::frame::{FORMAT_VERSION, Found, HEADER_BYTES, Seal, frame_bytes};

/// Read at once, so that a frame costs neither a system call nor an allocation.
const CHUNK_BYTES: u64 = 256 << 10;

#[derive(Debug)]
pub struct Scanner {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    seal: Seal,
    /// Position of the file's first byte, for the seal.
    start: u64,
    /// Offset in the file of the next frame.
    offset: u64,
    /// Nothing from here on is read.
    limit: u64,
    /// What was read at `window_offset`; payloads are slices of it.
    window: Bytes,
    window_offset: u64,
    /// Takes the window's memory back once no payload refers to it.
    memory: BytesMut,
    damage: Option<Damage>,
}

/// Bytes that are no frame. Offsets in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    pub from: u64,
    pub to: u64,
    /// Behind the last byte that is not zero; `from` where all are, as in room that was never written.
    pub written_to: u64,
}

impl Damage {
    pub const fn is_zeros(&self) -> bool {
        self.written_to == self.from
    }

    /// Of a file in which nothing can be told, since its header is gone.
    pub const fn whole(file_bytes: u64) -> Self {
        Self { from: 0, to: file_bytes, written_to: file_bytes }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    Frame {
        offset: u64,
        /// Behind the frame.
        end: u64,
        slot: u16,
        index: u64,
        payload: Bytes,
    },
    /// A frame follows.
    Damage(Damage),
    /// The limit, and what stands between the last frame and it, if anything.
    End(Option<Damage>),
}

/// Which bytes of a file to scan, as offsets in it.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    pub start: u64,
    pub from: u64,
    pub limit: u64,
}

impl Scanner {
    pub fn new(file: Arc<dyn DiskFile>, path: PathBuf, seal: Seal, extent: Extent) -> Self {
        Self {
            file,
            path,
            seal,
            start: extent.start,
            offset: extent.from,
            limit: extent.limit,
            window: Bytes::new(),
            window_offset: extent.from,
            memory: BytesMut::new(),
            damage: None,
        }
    }

    /// More of the file may be read now; never less.
    pub fn extend(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// # Errors
    /// Where the disk cannot be read, or a newer version wrote a frame.
    pub fn next(&mut self) -> Result<Scanned, JournalError> {
        loop {
            let consumed = usize::try_from(self.offset - self.window_offset).expect("within the window");
            let rest = self.window.get(consumed..).unwrap_or_default();
            match self.seal.read(rest, self.start + self.offset, self.limit - self.offset) {
                Found::Frame { version, .. } if version > FORMAT_VERSION => {
                    let path = self.path.clone();
                    return Err(JournalError::Newer { path, found: version, supported: FORMAT_VERSION });
                }
                Found::Frame { slot, index, bytes, .. } => {
                    if let Some(damage) = self.damage.take() {
                        return Ok(Scanned::Damage(damage));
                    }
                    let payload = self.window.slice(consumed + HEADER_BYTES..consumed + bytes);
                    let offset = self.offset;
                    self.offset += bytes as u64;
                    return Ok(Scanned::Frame { offset, end: self.offset, slot, index, payload });
                }
                Found::Incomplete { needed_bytes } => self.fill(needed_bytes as u64)?,
                Found::Nothing if self.offset == self.limit => return Ok(Scanned::End(self.damage.take())),
                Found::Nothing => self.skip(consumed)?,
            }
        }
    }

    /// What is told of damage that was just found.
    pub fn place_of(&self, damage: Damage) -> DamagedPlace {
        DamagedPlace::new(&self.path, damage, self.frames_in(damage))
    }

    /// How many frames stood there, by their lengths; `None` where those are damaged themselves.
    fn frames_in(&self, damage: Damage) -> Option<u64> {
        let (mut at, mut frames) = (damage.from, 0);
        while at < damage.written_to {
            let mut length = [0; 4];
            self.file.read_at(&mut length, at).ok()?;
            at += frame_bytes(length)?;
            frames += 1;
        }
        // Behind the last frame of a segment there may be room that was never used.
        (at <= damage.to).then_some(frames)
    }

    /// Moves to the next place where a frame could begin. A length is never 0, so runs of zeros are passed quickly.
    fn skip(&mut self, consumed: usize) -> Result<(), JournalError> {
        if self.window.len() == consumed {
            self.fill(1)?;
            return self.skip(0);
        }
        let rest = &self.window[consumed..];
        let zeros = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        // A length may begin with three zeros.
        let passed = if zeros == rest.len() { zeros } else { zeros.saturating_sub(3).max(1) };
        let is_nonzero = zeros == 0;
        let damage = self.damage.get_or_insert(Damage { from: self.offset, to: self.offset, written_to: self.offset });
        self.offset += passed as u64;
        damage.to = self.offset;
        if is_nonzero {
            damage.written_to = self.offset;
        }
        Ok(())
    }

    fn fill(&mut self, needed_bytes: u64) -> Result<(), JournalError> {
        let wanted = needed_bytes.max(CHUNK_BYTES).min(self.limit - self.offset);
        self.window = Bytes::new();
        // What the file no longer has reads as zeros, and so as damage.
        self.memory.resize(usize::try_from(wanted).expect("a file of a 64 bit machine"), 0);
        self.file.read_at(&mut self.memory, self.offset).map_err(disk_error("read", &self.path))?;
        self.window = self.memory.split().freeze();
        self.window_offset = self.offset;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::journal::disk::Disk;
    use crate::journal::frame;
    use crate::journal::simulated_disk::SimulatedDisk;

    const SEAL: Seal = Seal { nonce: 11 };

    /// Frames with payloads of these lengths, at offset 0.
    fn frames(lengths: &[usize]) -> Vec<u8> {
        let mut file = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            let mut plain = Vec::new();
            frame::append(&mut plain, 1, index as u64, |out| out.resize(out.len() + length, 0xAB));
            let position = file.len() as u64;
            SEAL.append(&plain, position, &mut file);
        }
        file
    }

    fn scan(bytes: &[u8]) -> Vec<Scanned> {
        let disk = SimulatedDisk::default();
        let file = disk.create(Path::new("file")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let extent = Extent { start: 0, from: 0, limit: bytes.len() as u64 };
        let mut scanner = Scanner::new(file, PathBuf::from("file"), SEAL, extent);
        let mut found = Vec::new();
        loop {
            found.push(scanner.next().unwrap());
            if matches!(found.last(), Some(Scanned::End(_))) {
                return found;
            }
        }
    }

    fn frames_lost(bytes: &[u8], damage: Damage) -> Option<u64> {
        let disk = SimulatedDisk::default();
        let file = disk.create(Path::new("file")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let extent = Extent { start: 0, from: 0, limit: bytes.len() as u64 };
        Scanner::new(file, PathBuf::from("file"), SEAL, extent).place_of(damage).frames
    }

    fn indexes(scanned: &[Scanned]) -> Vec<u64> {
        let index = |scanned: &Scanned| if let Scanned::Frame { index, .. } = scanned { Some(*index) } else { None };
        scanned.iter().filter_map(index).collect()
    }

    #[test]
    fn frames_across_chunks_are_found() {
        let lengths = [200_000, 0, 1, 300_000, 100_000, 70_000];
        let found = scan(&frames(&lengths));
        assert_eq!(indexes(&found), [0, 1, 2, 3, 4, 5]);
        assert_eq!(found.last(), Some(&Scanned::End(None)));
    }

    #[test]
    fn a_damaged_frame_is_skipped_to_the_next_valid_one() {
        let mut file = frames(&[10, 20, 30]);
        file[HEADER_BYTES + 10 + 25] ^= 1;
        let found = scan(&file);
        assert_eq!(indexes(&found), [0, 2]);
        let (from, to) = (HEADER_BYTES as u64 + 10, 2 * HEADER_BYTES as u64 + 30);
        assert!(matches!(found[1], Scanned::Damage(damage) if damage.from == from && damage.to == to), "{found:?}");
    }

    #[test]
    fn frames_that_are_lost_are_counted_by_their_lengths_unless_those_are_damaged() {
        let mut file = frames(&[10, 20, 30, 40]);
        let (second, third) = (HEADER_BYTES + 10, 2 * HEADER_BYTES + 30);
        (file[second + 25], file[third + 25]) = (0, 0);
        let found = scan(&file);
        let Scanned::Damage(damage) = found[1] else { panic!("{found:?}") };
        assert_eq!(frames_lost(&file, damage), Some(2));
        file[second] ^= 0x08;
        let Scanned::Damage(damage) = scan(&file)[1] else { panic!("no damage") };
        assert_eq!(frames_lost(&file, damage), None);
    }

    #[test]
    fn a_damaged_length_does_not_hide_what_follows() {
        let mut file = frames(&[10, 20, 30]);
        file[3] = 0x00;
        file[2] = 0x40; // 4 MiB: plausible, and beyond the end of the file
        assert_eq!(indexes(&scan(&file)), [1, 2]);
    }

    #[test]
    fn a_frame_inside_a_payload_is_never_taken_for_one() {
        let mut inner = Vec::new();
        frame::append(&mut inner, 1, 666, |out| out.extend_from_slice(b"forged"));
        let mut plain = Vec::new();
        frame::append(&mut plain, 1, 0, |out| out.extend_from_slice(&inner));
        let mut file = Vec::new();
        SEAL.append(&plain, 0, &mut file);
        file[4] ^= 1;
        assert_eq!(indexes(&scan(&file)), [] as [u64; 0]);
    }

    #[test]
    fn zeros_behind_the_last_frame_are_told_from_a_torn_frame() {
        let mut file = frames(&[10]);
        let end = file.len() as u64;
        file.resize(100_000, 0);
        assert_eq!(scan(&file).last(), Some(&Scanned::End(Some(Damage { from: end, to: 100_000, written_to: end }))));
        file[50_000] = 1;
        let torn = Damage { from: end, to: 100_000, written_to: 50_001 };
        assert_eq!(scan(&file).last(), Some(&Scanned::End(Some(torn))));
    }
}

//! The first block of a segment or checkpoint file: what it is, where it begins, and the random number that seals its frames.

use std::path::Path;

use super::disk::DiskFile;
use super::error::{JournalError, disk_error};
use super::frame::{FORMAT_VERSION, Seal};

/// Frames begin here.
pub const FILE_HEADER_BYTES: u64 = 4_096;

/// The header stands twice, in sectors of its own each: without it no frame of the file could be checked.
const COPIES_AT: [usize; 2] = [0, 2_048];
const COPY_BYTES: usize = 8 + 1 + 8 + 8 + 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Segment,
    Checkpoints,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Position of the segment's first byte in the journal; the generation of a checkpoint file.
    pub start: u64,
    pub seal: Seal,
}

impl FileKind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Segment => b"ODOSEGMT",
            Self::Checkpoints => b"ODOCHKPT",
        }
    }
}

impl FileHeader {
    /// With a new random number.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self { start, seal: Seal { nonce: rand::random() } }
    }

    #[must_use]
    pub fn encode(&self, kind: FileKind) -> [u8; 4_096] {
        let mut copy = Vec::with_capacity(COPY_BYTES);
        copy.extend_from_slice(kind.magic());
        copy.push(FORMAT_VERSION);
        copy.extend_from_slice(&self.start.to_le_bytes());
        copy.extend_from_slice(&self.seal.nonce.to_le_bytes());
        copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
        let mut block = [0; 4_096];
        for at in COPIES_AT {
            block[at..at + COPY_BYTES].copy_from_slice(&copy);
        }
        block
    }

    /// `None` where neither copy is intact.
    ///
    /// # Errors
    /// Where the file cannot be read, or a newer version wrote it.
    pub fn read(file: &dyn DiskFile, kind: FileKind, path: &Path) -> Result<Option<Self>, JournalError> {
        let mut block = [0; 4_096];
        let read = file.read_at(&mut block, 0).map_err(disk_error("read", path))?;
        for at in COPIES_AT {
            if read < at + COPY_BYTES {
                continue;
            }
            let copy = &block[at..at + COPY_BYTES];
            let number = |from: usize| u64::from_le_bytes(copy[from..from + 8].try_into().expect("8 bytes"));
            let is_intact = crc32c::crc32c(&copy[..COPY_BYTES - 4]).to_le_bytes() == copy[COPY_BYTES - 4..];
            if !is_intact || &copy[..8] != kind.magic() {
                continue;
            }
            let version = copy[8];
            if version > FORMAT_VERSION {
                return Err(JournalError::Newer { path: path.to_owned(), found: version, supported: FORMAT_VERSION });
            }
            return Ok(Some(Self { start: number(9), seal: Seal { nonce: number(17) } }));
        }
        Ok(None)
    }
}

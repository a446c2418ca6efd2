//! How far one consumer has got: a small file with two slots, written in turn, so that one of them is always whole.
//!
//! Not synced: a cursor that lags after a power cut only means that its consumer meets records again, and they are idempotent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::error::{JournalError, disk_error};

const EXTENSION: &str = ".cursor";
const MAGIC: &[u8; 8] = b"ODOCURSR";
pub const VERSION: u8 = 1;
/// In sectors of their own, which a disk writes whole.
const SLOT_BYTES: usize = 512;
const USED_BYTES: usize = 8 + 1 + 8 + 8 + 4;

#[derive(Debug)]
pub struct CursorFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    generation: u64,
}

impl CursorFile {
    /// The name's file, made new at `position` if there is none.
    pub fn open(disk: &dyn Disk, directory: &Path, name: &str, position: u64) -> Result<Self, JournalError> {
        let path = path_of(directory, name);
        if let Ok(file) = disk.open(&path) {
            let generation = newest(&*file, &path)?.map_or(0, |slot| slot.generation);
            return Ok(Self { file, path, generation });
        }
        let file = disk.create(&path).map_err(disk_error("create", &path))?;
        let mut cursor = Self { file, path, generation: 0 };
        cursor.move_to(position)?;
        disk.sync_directory(directory).map_err(disk_error("sync", directory))?;
        Ok(cursor)
    }

    pub fn move_to(&mut self, position: u64) -> Result<(), JournalError> {
        let generation = self.generation + 1;
        let mut slot = Vec::with_capacity(USED_BYTES);
        slot.extend_from_slice(MAGIC);
        slot.push(VERSION);
        slot.extend_from_slice(&generation.to_le_bytes());
        slot.extend_from_slice(&position.to_le_bytes());
        slot.extend_from_slice(&crc32c::crc32c(&slot).to_le_bytes());
        let offset = (generation % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&slot, offset).map_err(disk_error("write", &self.path))?;
        self.generation = generation;
        Ok(())
    }
}

/// The names and positions of all cursors of a journal; 0 where a file is damaged: then everything is read again.
pub fn load_all(disk: &dyn Disk, directory: &Path) -> Result<Vec<(String, u64)>, JournalError> {
    let mut cursors = Vec::new();
    for name in disk.list(directory).map_err(disk_error("list", directory))? {
        let Some(name) = name.strip_suffix(EXTENSION) else { continue };
        let path = path_of(directory, name);
        let file = disk.open(&path).map_err(disk_error("open", &path))?;
        let slot = newest(&*file, &path)?;
        if slot.is_none() {
            tracing::warn!(cursor = name, "neither half of the cursor is intact; its consumer starts over");
        }
        cursors.push((name.to_owned(), slot.map_or(0, |slot| slot.position)));
    }
    Ok(cursors)
}

/// Whether a file with this name is a cursor.
pub fn is_file(name: &str) -> bool {
    name.ends_with(EXTENSION)
}

struct Slot {
    generation: u64,
    position: u64,
}

fn path_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{EXTENSION}"))
}

fn newest(file: &dyn DiskFile, path: &Path) -> Result<Option<Slot>, JournalError> {
    let mut bytes = [0; 2 * SLOT_BYTES];
    file.read_at(&mut bytes, 0).map_err(disk_error("read", path))?;
    let mut newest: Option<Slot> = None;
    for slot in bytes.chunks(SLOT_BYTES) {
        let (used, checksum) = slot[..USED_BYTES].split_at(USED_BYTES - 4);
        if &used[..8] != MAGIC || crc32c::crc32c(used).to_le_bytes() != checksum {
            continue;
        }
        if used[8] > VERSION {
            return Err(JournalError::Newer { path: path.to_owned(), found: used[8], supported: VERSION });
        }
        let number = |from: usize| u64::from_le_bytes(used[from..from + 8].try_into().expect("8 bytes"));
        let slot = Slot { generation: number(9), position: number(17) };
        if newest.as_ref().is_none_or(|newest| newest.generation < slot.generation) {
            newest = Some(slot);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::simulated_disk::SimulatedDisk;

    #[test]
    fn a_cursor_survives_damage_to_its_newest_half() {
        let disk = SimulatedDisk::default();
        let directory = Path::new("journal");
        let mut cursor = CursorFile::open(&disk, directory, "archive", 0).unwrap();
        for position in [10, 20, 30] {
            cursor.move_to(position).unwrap();
        }
        assert_eq!(load_all(&disk, directory).unwrap(), [("archive".to_owned(), 30)]);

        // Generation 4 stands in the first slot.
        disk.flip_bit(&path_of(directory, "archive"), 8 * 17);
        assert_eq!(load_all(&disk, directory).unwrap(), [("archive".to_owned(), 20)]);

        let mut cursor = CursorFile::open(&disk, directory, "archive", 0).unwrap();
        cursor.move_to(40).unwrap();
        assert_eq!(load_all(&disk, directory).unwrap(), [("archive".to_owned(), 40)]);
    }

    #[test]
    fn a_cursor_of_a_newer_version_is_refused() {
        let disk = SimulatedDisk::default();
        let directory = Path::new("journal");
        drop(CursorFile::open(&disk, directory, "archive", 0).unwrap());
        let file = disk.open(&path_of(directory, "archive")).unwrap();
        let mut slot = [0; USED_BYTES];
        file.read_at(&mut slot, SLOT_BYTES as u64).unwrap();
        slot[8] = VERSION + 1;
        let checksum = crc32c::crc32c(&slot[..USED_BYTES - 4]).to_le_bytes();
        slot[USED_BYTES - 4..].copy_from_slice(&checksum);
        file.write_all_at(&slot, SLOT_BYTES as u64).unwrap();
        assert!(matches!(load_all(&disk, directory), Err(JournalError::Newer { found, .. }) if found == VERSION + 1));
    }
}

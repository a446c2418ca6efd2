//! The file of saved vehicle states: checkpoints one after another, each ended by a mark, and rewritten with only the newest
//! states once it has grown too far. States before a whole mark count, others do not.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{Checkpoint, decode_state};
use super::checkpoint_file::{self, Loaded, Mark};
use super::disk::{Disk, DiskFile};
use super::error::{JournalError, disk_error};
use super::file_header::{FILE_HEADER_BYTES, FileHeader, FileKind};
use super::frame::{self, Found, HEADER_BYTES, MARK, Seal};
use super::recovery::{Arrivals, SavedVehicle};
use super::space::Space;
use super::walk::Walk;
use crate::domain::Slot;

/// The file may grow to twice its live size and this much.
const SLACK_BYTES: u64 = 16 << 20;

/// Compaction syncs in pieces, so that it never fills the disk's queue in front of a commit.
const PIECE_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub struct CheckpointLog {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    file: Arc<dyn DiskFile>,
    generation: u64,
    seal: Seal,
    end: u64,
    index: HashMap<Box<str>, Place>,
    live_bytes: u64,
    /// The newest mark, for all slots.
    mark: Mark,
    compact_at: u64,
    buffer: Vec<u8>,
}

/// Of a vehicle's newest state in the file.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub offset: u64,
    pub bytes: usize,
}

impl CheckpointLog {
    /// Reads the newest intact file, or begins the first one.
    ///
    /// # Errors
    /// Where the disk fails, or a newer version wrote the file.
    pub fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<(Self, Loaded), JournalError> {
        if let Some((opened, loaded)) = checkpoint_file::load_newest(&*disk, directory)? {
            let live_bytes = opened.index.values().map(|place| place.bytes as u64).sum();
            let log = Self {
                disk,
                directory: directory.to_owned(),
                file: opened.file,
                generation: opened.header.start,
                seal: opened.header.seal,
                end: opened.end,
                index: opened.index,
                live_bytes,
                mark: opened.mark,
                compact_at: compact_at(live_bytes),
                buffer: Vec::new(),
            };
            return Ok((log, loaded));
        }
        let header = FileHeader::new(1);
        let path = checkpoint_file::path(directory, 1);
        let file = disk.create(&path).map_err(disk_error("create", &path))?;
        let written = file.write_all_at(&header.encode(FileKind::Checkpoints), 0).and_then(|()| file.sync());
        written.map_err(disk_error("write", &path))?;
        disk.sync_directory(directory).map_err(disk_error("sync", directory))?;
        let log = Self {
            disk,
            directory: directory.to_owned(),
            file,
            generation: 1,
            seal: header.seal,
            end: FILE_HEADER_BYTES,
            index: HashMap::new(),
            live_bytes: 0,
            mark: Mark::default(),
            compact_at: compact_at(0),
            buffer: Vec::new(),
        };
        Ok((log, Loaded::default()))
    }

    /// Makes one checkpoint durable. May be tried again after an error for want of room.
    ///
    /// # Errors
    /// Where the disk is full or fails.
    pub fn append(&mut self, checkpoint: &Checkpoint, tail_from: u64) -> Result<(), JournalError> {
        self.buffer.clear();
        let mut places = Vec::with_capacity(checkpoint.states() as usize);
        for frame in checkpoint.frames() {
            let (vehicle_id, _) = decode_state(&frame[HEADER_BYTES..]).expect("written by Checkpoint::push");
            let offset = self.end + self.buffer.len() as u64;
            places.push((vehicle_id, Place { offset, bytes: frame.len() }));
            self.seal.append(frame, offset, &mut self.buffer);
        }
        let mut mark = self.mark.clone();
        mark.advance(checkpoint.next_arrivals(), tail_from);
        append_mark(&mark, Batch { begins_at: self.end, states: checkpoint.states() }, self.seal, self.end, &mut self.buffer);

        let path = self.path();
        self.file.write_all_at(&self.buffer, self.end).map_err(disk_error("write", &path))?;
        self.file.sync().map_err(disk_error("sync", &path))?;
        self.end += self.buffer.len() as u64;
        self.mark = mark;
        for (vehicle_id, place) in places {
            self.live_bytes += place.bytes as u64;
            // Only a vehicle's first state needs an allocation.
            if let Some(known) = self.index.get_mut(vehicle_id) {
                self.live_bytes -= known.bytes as u64;
                *known = place;
            } else {
                self.index.insert(vehicle_id.into(), place);
            }
        }
        self.compact_at = self.compact_at.max(compact_at(self.live_bytes));
        Ok(())
    }

    /// The newest state of every vehicle, and how many could not be read.
    ///
    /// # Errors
    /// Where the disk cannot be read.
    pub fn states(&self) -> Result<(Vec<SavedVehicle>, u64), JournalError> {
        let mut places: Vec<_> = self.index.values().copied().collect();
        places.sort_unstable_by_key(|place| place.offset);
        let (mut vehicles, mut damaged, mut frame) = (Vec::with_capacity(places.len()), 0, Vec::new());
        for place in places {
            let is_intact = self.read_plain(place, &mut frame)?;
            let found = is_intact.then(|| (Slot::from_number(frame::slot_of(&frame)), decode_state(&frame[HEADER_BYTES..])));
            if let Some((Some(slot), Some((vehicle_id, state)))) = found {
                vehicles.push(SavedVehicle { slot, vehicle_id: vehicle_id.to_owned(), state: state.to_vec() });
            } else {
                damaged += 1;
                ::metrics::counter!(crate::metrics::JOURNAL_BAD_FRAMES).increment(1);
            }
        }
        Ok((vehicles, damaged))
    }

    /// Up to which numbers the states stand for what is in the journal, and from where on they do not.
    pub fn newest_mark(&self) -> (Arrivals, u64) {
        (self.mark.next_arrival.clone(), self.mark.tail_from)
    }

    pub fn walk(&self, space: &Arc<Space>, from: u64) -> Walk {
        Walk::new(Arc::clone(&self.disk), self.directory.clone(), Arc::clone(space), from)
    }

    #[must_use]
    pub const fn has_grown_too_far(&self) -> bool {
        self.end > self.compact_at
    }

    /// Writes the newest state of each vehicle into a new file, and then does without the old one. Where there is no room for
    /// it, the old one grows on for a while.
    ///
    /// # Errors
    /// Where the disk fails in another way than being full.
    pub fn compact(&mut self) -> Result<(), JournalError> {
        let generation = self.generation + 1;
        let path = checkpoint_file::path(&self.directory, generation);
        let temporary = path.with_extension(checkpoint_file::TEMPORARY_EXTENSION);
        match self.write_generation(generation, &temporary) {
            Ok(written) => {
                self.disk.rename(&temporary, &path).map_err(disk_error("rename", &temporary))?;
                self.disk.sync_directory(&self.directory).map_err(disk_error("sync", &self.directory))?;
                let old = self.path();
                self.file = written.file;
                self.seal = written.seal;
                self.generation = generation;
                self.end = written.end;
                self.index = written.index;
                self.live_bytes = self.index.values().map(|place| place.bytes as u64).sum();
                self.compact_at = compact_at(self.live_bytes);
                if let Err(error) = self.disk.remove(&old) {
                    tracing::warn!(path = %old.display(), %error, "could not delete old checkpoints; the next start tries again");
                }
                Ok(())
            }
            Err(error) if error.is_no_space() => {
                tracing::warn!(%error, "no room to compact the checkpoints; the file grows on");
                let _was_never_made = self.disk.remove(&temporary);
                self.compact_at = self.end + SLACK_BYTES;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn path(&self) -> PathBuf {
        checkpoint_file::path(&self.directory, self.generation)
    }

    fn write_generation(&self, generation: u64, path: &Path) -> Result<Generation, JournalError> {
        let header = FileHeader::new(generation);
        let file = self.disk.create(path).map_err(disk_error("create", path))?;
        let mut piece = header.encode(FileKind::Checkpoints).to_vec();
        let mut piece_at = 0;
        let mut index = HashMap::with_capacity(self.index.len());
        let mut by_offset: Vec<_> = self.index.iter().collect();
        by_offset.sort_unstable_by_key(|(_, place)| place.offset);
        let mut frame = Vec::new();
        for (vehicle_id, place) in by_offset {
            if !self.read_plain(*place, &mut frame)? {
                tracing::error!(%vehicle_id, "a saved vehicle state is damaged; the vehicle's window starts anew after a restart");
                ::metrics::counter!(crate::metrics::JOURNAL_BAD_FRAMES).increment(1);
                continue;
            }
            let offset = piece_at + piece.len() as u64;
            index.insert(vehicle_id.clone(), Place { offset, bytes: place.bytes });
            header.seal.append(&frame, offset, &mut piece);
            if piece.len() >= PIECE_BYTES {
                file.write_all_at(&piece, piece_at).and_then(|()| file.sync()).map_err(disk_error("write", path))?;
                piece_at += piece.len() as u64;
                piece.clear();
            }
        }
        let states = u32::try_from(index.len()).expect("far fewer than 2^32 vehicles");
        append_mark(&self.mark, Batch { begins_at: FILE_HEADER_BYTES, states }, header.seal, piece_at, &mut piece);
        file.write_all_at(&piece, piece_at).and_then(|()| file.sync()).map_err(disk_error("write", path))?;
        Ok(Generation { file, seal: header.seal, end: piece_at + piece.len() as u64, index })
    }

    /// The frame as it was before it was sealed; whether it is intact.
    fn read_plain(&self, place: Place, frame: &mut Vec<u8>) -> Result<bool, JournalError> {
        frame.clear();
        frame.resize(place.bytes, 0);
        self.file.read_at(frame, place.offset).map_err(disk_error("read", &self.path()))?;
        let found = self.seal.read(frame, place.offset, place.bytes as u64);
        let is_intact = matches!(found, Found::Frame { bytes, .. } if bytes == place.bytes);
        if is_intact {
            self.seal.toggle(frame, place.offset);
        }
        Ok(is_intact)
    }
}

/// The states that a mark vouches for.
#[derive(Clone, Copy)]
struct Batch {
    begins_at: u64,
    states: u32,
}

struct Generation {
    file: Arc<dyn DiskFile>,
    seal: Seal,
    end: u64,
    index: HashMap<Box<str>, Place>,
}

/// Behind `buffer`, which is to be written at `buffer_at`.
fn append_mark(mark: &Mark, batch: Batch, seal: Seal, buffer_at: u64, buffer: &mut Vec<u8>) {
    let mut plain = Vec::new();
    frame::append(&mut plain, MARK, batch.begins_at, |out| mark.encode(batch.states, out));
    let position = buffer_at + buffer.len() as u64;
    seal.append(&plain, position, buffer);
}

const fn compact_at(live_bytes: u64) -> u64 {
    FILE_HEADER_BYTES + 2 * live_bytes + SLACK_BYTES
}

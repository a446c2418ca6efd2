//! Reads the file of checkpoints at the start: which states and marks in it count. Writes none: `checkpoint_log`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::checkpoint::decode_state;
use super::checkpoint_log::Place;
use super::damage::DamagedPlace;
use super::disk::{Disk, DiskFile};
use super::error::{JournalError, disk_error};
use super::file_header::{FILE_HEADER_BYTES, FileHeader, FileKind};
use super::frame::{HEADER_BYTES, MARK};
use super::recovery::{Arrivals, SavedVehicle};
use super::scan::{Extent, Scanned, Scanner};
use crate::domain::{SLOTS, Slot};

const EXTENSION: &str = "states";
pub const TEMPORARY_EXTENSION: &str = "temporary";
const PREFIX: &str = "checkpoints-";
const MARK_BYTES: usize = 8 + 4 + 8 * SLOTS as usize;

/// Ends a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Mark {
    /// From here on the journal has frames that no checkpoint stands for.
    pub tail_from: u64,
    /// Of every slot, not only of those in this checkpoint: the newest mark says it all.
    pub next_arrival: Arrivals,
}

/// What was saved.
#[derive(Debug, Default)]
pub struct Loaded {
    pub vehicles: Vec<SavedVehicle>,
    /// States stand for all frames with a smaller arrival.
    pub next_arrival: Arrivals,
    /// Numbers up to here were given, even where the mark that says so does not count.
    pub given: Arrivals,
    pub tail_from: u64,
    /// Places in the file that are no frames, and stand before a mark.
    pub damaged: Vec<DamagedPlace>,
}

/// The file, open for appending.
#[derive(Debug)]
pub struct Opened {
    pub file: Arc<dyn DiskFile>,
    pub header: FileHeader,
    pub end: u64,
    pub index: HashMap<Box<str>, Place>,
    pub mark: Mark,
}

pub fn path(directory: &Path, generation: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{generation:020}.{EXTENSION}"))
}

/// The number of a file of checkpoints, by its name.
pub fn generation(name: &str) -> Option<u64> {
    let (generation, extension) = name.strip_prefix(PREFIX)?.split_once('.')?;
    (extension == EXTENSION).then(|| generation.parse().ok())?
}

/// `None` where there is no intact file. Deletes what a crash amid compaction has left.
pub fn load_newest(disk: &dyn Disk, directory: &Path) -> Result<Option<(Opened, Loaded)>, JournalError> {
    let mut generations = Vec::new();
    for name in disk.list(directory).map_err(disk_error("list", directory))? {
        let Some((generation, extension)) = name.strip_prefix(PREFIX).and_then(|name| name.split_once('.')) else { continue };
        match (generation.parse::<u64>(), extension) {
            (Ok(generation), EXTENSION) => generations.push(generation),
            (Ok(_), TEMPORARY_EXTENSION) => remove(disk, &directory.join(&name)),
            _ => {}
        }
    }
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let mut newest = None;
    for generation in generations {
        let path = path(directory, generation);
        if newest.is_some() {
            remove(disk, &path);
            continue;
        }
        let file = disk.open(&path).map_err(disk_error("open", &path))?;
        match FileHeader::read(&*file, FileKind::Checkpoints, &path)? {
            Some(header) if header.start == generation => newest = Some(load(file, header, &path)?),
            _ => tracing::error!(path = %path.display(), "the header of this file of checkpoints is damaged; left it alone"),
        }
    }
    Ok(newest)
}

impl Mark {
    pub fn advance(&mut self, next_arrivals: &[(Slot, u64)], tail_from: u64) {
        for (slot, arrival) in next_arrivals {
            self.next_arrival.raise(slot.number(), *arrival);
        }
        self.tail_from = tail_from;
    }

    pub fn encode(&self, states: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tail_from.to_le_bytes());
        out.extend_from_slice(&states.to_le_bytes());
        for arrival in self.next_arrival.iter() {
            out.extend_from_slice(&arrival.to_le_bytes());
        }
    }

    fn decode(payload: &[u8]) -> Option<(Self, u32)> {
        if payload.len() != MARK_BYTES {
            return None;
        }
        let (tail_from, rest) = payload.split_first_chunk()?;
        let (states, arrivals) = rest.split_first_chunk()?;
        let mut mark = Self { tail_from: u64::from_le_bytes(*tail_from), ..Self::default() };
        for (slot, arrival) in (0..SLOTS).zip(arrivals.chunks_exact(8)) {
            mark.next_arrival.raise(slot, u64::from_le_bytes(arrival.try_into().ok()?));
        }
        Some((mark, u32::from_le_bytes(*states)))
    }
}

/// A state that counts once a whole mark follows.
struct Pending {
    place: Place,
    slot: u16,
    payload: Bytes,
}

#[derive(Default)]
struct Loading {
    pending: Vec<Pending>,
    /// By vehicle: where its newest state stands, and the state.
    newest: HashMap<Box<str>, (Place, Slot, Vec<u8>)>,
    mark: Mark,
    given: Arrivals,
    /// Behind the last whole mark.
    end: u64,
    /// Behind the last damage.
    damaged_to: u64,
    damages: Vec<DamagedPlace>,
    damages_before_mark: usize,
}

fn load(file: Arc<dyn DiskFile>, header: FileHeader, path: &Path) -> Result<(Opened, Loaded), JournalError> {
    let limit = file.bytes().map_err(disk_error("read", path))?.max(FILE_HEADER_BYTES);
    let extent = Extent { start: 0, from: FILE_HEADER_BYTES, limit };
    let mut scanner = Scanner::new(Arc::clone(&file), path.to_owned(), header.seal, extent);
    let mut loading = Loading { end: FILE_HEADER_BYTES, ..Loading::default() };
    loop {
        match scanner.next()? {
            Scanned::Frame { slot: MARK, index, payload, end, .. } => loading.mark(index, &payload, end),
            Scanned::Frame { slot, payload, offset, end, .. } => {
                let bytes = HEADER_BYTES + payload.len();
                debug_assert_eq!(end - offset, bytes as u64, "a frame is header and payload");
                loading.pending.push(Pending { place: Place { offset, bytes }, slot, payload });
            }
            Scanned::Damage(damage) => {
                loading.damages.push(scanner.place_of(damage));
                loading.damaged_to = damage.to;
            }
            // Behind the last whole mark nothing counts, whole or not.
            Scanned::End(_) => break,
        }
    }
    // Synced, since a process that was killed may have left it in the page cache only.
    file.truncate(loading.end).and_then(|()| file.sync()).map_err(disk_error("truncate", path))?;
    let mut index = HashMap::with_capacity(loading.newest.len());
    let mut vehicles = Vec::with_capacity(loading.newest.len());
    for (vehicle_id, (place, slot, state)) in loading.newest {
        vehicles.push(SavedVehicle { slot, vehicle_id: vehicle_id.to_string(), state });
        index.insert(vehicle_id, place);
    }
    loading.damages.truncate(loading.damages_before_mark);
    let loaded = Loaded {
        vehicles,
        next_arrival: loading.mark.next_arrival.clone(),
        given: loading.given,
        tail_from: loading.mark.tail_from,
        damaged: loading.damages,
    };
    Ok((Opened { file, header, end: loading.end, index, mark: loading.mark }, loaded))
}

impl Loading {
    /// `begins_at` is where the states that the mark vouches for begin. A mark that lacks one of them does not count: it may be
    /// the last, torn one. A later whole mark shows that it was damaged afterwards, and then its surviving states are taken.
    fn mark(&mut self, begins_at: u64, payload: &[u8], end: u64) {
        let Some((mark, states)) = Mark::decode(payload) else { return };
        self.given.raise_all(&mark.next_arrival);
        let present = self.pending.iter().filter(|pending| pending.place.offset >= begins_at).count();
        let is_whole = present == states as usize && self.damaged_to <= begins_at;
        if !is_whole {
            return;
        }
        for pending in self.pending.drain(..) {
            let slot = Slot::from_number(pending.slot);
            if let (Some((vehicle_id, state)), Some(slot)) = (decode_state(&pending.payload), slot) {
                self.newest.insert(vehicle_id.into(), (pending.place, slot, state.to_vec()));
            }
        }
        self.mark = mark;
        self.end = end;
        self.damages_before_mark = self.damages.len();
    }
}

fn remove(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path) {
        tracing::warn!(path = %path.display(), %error, "could not delete old checkpoints");
    }
}

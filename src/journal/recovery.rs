//! What a start finds on disk: how far the journal goes, what was given up, and what lanes need to go on where they were.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Frame;
use super::damage::DamagedPlace;
use super::disk::{Disk, DiskFile};
use super::error::{JournalError, disk_error};
use super::file_header::{FILE_HEADER_BYTES, FileHeader, FileKind};
use super::frame::MARK;
use super::scan::{Damage, Extent, Scanned, Scanner};
use super::space::{Segment, segment_path, segment_start};
use super::uncovered::Uncovered;
use super::walk::{Step, Walk};
use crate::domain::{SLOTS, Slot};

/// For reading and writing the end of the journal once more.
const COPY_BYTES: usize = 1 << 20;

/// What lanes start from: their vehicles as last saved, and the frames since then.
#[derive(Debug)]
pub struct Recovery {
    pub vehicles: Vec<SavedVehicle>,
    /// The number of each slot's next frame; counts checkpoint and tail.
    pub next_arrival: Box<[u64; SLOTS as usize]>,
    /// Of every slot: the saved states stand for all frames with a smaller arrival.
    pub saved_arrival: Box<[u64; SLOTS as usize]>,
    /// Frames that no saved state stands for, in journal order. A vehicle that has one has changed since it was saved, and
    /// belongs into its lane's next checkpoint.
    pub tail: Tail,
    /// Damaged places between intact frames, in the tail and among the checkpoints. What stood there is lost. Places before the
    /// tail are met, and counted, by the consumers.
    pub bad_frames: u64,
    /// Behind the last intact frame: a write that was under way when the process or the machine died. Nothing of it was
    /// acknowledged.
    pub torn_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedVehicle {
    pub slot: Slot,
    pub vehicle_id: String,
    /// As the lane wrote it.
    pub state: Vec<u8>,
}

/// Frames that no saved state stands for. To be read before the lanes save their next checkpoint.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Tail {
    /// On this disk.
    Read {
        walk: Walk,
        end: u64,
        /// By the checkpoint alone: a frame with a smaller arrival is in the saved states.
        saved: Arrivals,
    },
    /// Of a journal in another process.
    Given(std::vec::IntoIter<Frame>),
}

impl Iterator for Tail {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let (walk, end, saved) = match self {
            Self::Read { walk, end, saved } => (walk, *end, saved),
            Self::Given(frames) => return frames.next(),
        };
        loop {
            match walk.next(end) {
                Ok(Some(Step::Frame(frame))) if frame.arrival >= saved.of(frame.slot.number()) => return Some(frame),
                Ok(Some(_saved_or_damaged)) => {}
                Ok(None) => return None,
                Err(error) => {
                    // The same bytes were readable a moment ago, when the journal was opened.
                    tracing::error!(%error, "could not read the rest of the journal's tail; windows go on without it");
                    return None;
                }
            }
        }
    }
}

/// One number per slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals(Box<[u64; SLOTS as usize]>);

impl Default for Arrivals {
    fn default() -> Self {
        Self(Box::new([0; SLOTS as usize]))
    }
}

impl Arrivals {
    pub fn of(&self, slot: u16) -> u64 {
        self.0[usize::from(slot)]
    }

    pub fn raise(&mut self, slot: u16, arrival: u64) {
        let known = &mut self.0[usize::from(slot)];
        *known = arrival.max(*known);
    }

    pub fn raise_all(&mut self, other: &Self) {
        for (known, arrival) in self.0.iter_mut().zip(other.iter()) {
            *known = arrival.max(*known);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().copied()
    }

    pub fn into_boxed(self) -> Box<[u64; SLOTS as usize]> {
        self.0
    }
}

/// The journal as found on disk, made safe to go on with.
#[derive(Debug, Default)]
pub struct FoundJournal {
    pub segments: VecDeque<Segment>,
    /// Behind the last intact frame.
    pub end: u64,
    /// Of frames from `tail_from` on.
    pub next_arrival: Arrivals,
    pub uncovered: Uncovered,
    /// Between intact frames.
    pub damaged: Vec<DamagedPlace>,
    pub torn_bytes: u64,
}

/// One segment, from where the tail begins in it.
struct ScannedSegment {
    segment: Segment,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    has_frames: bool,
    /// Behind the last intact frame.
    end: u64,
    /// And what it comes to as damage.
    after: Option<(Damage, DamagedPlace)>,
}

/// Looks at every segment's header and at all frames from `tail_from` on, cuts off what is torn at the end, and syncs the rest.
pub fn find_journal(disk: &dyn Disk, directory: &Path, tail_from: u64, saved: &Arrivals) -> Result<FoundJournal, JournalError> {
    let names = disk.list(directory).map_err(disk_error("list", directory))?;
    let mut starts: Vec<u64> = names.iter().filter_map(|name| segment_start(name)).collect();
    starts.sort_unstable();
    let mut found = FoundJournal::default();
    let mut scanned = Vec::new();
    for start in starts {
        let path = segment_path(directory, start);
        let file = disk.open(&path).map_err(disk_error("open", &path))?;
        let file_bytes = file.bytes().map_err(disk_error("read", &path))?;
        let header = FileHeader::read(&*file, FileKind::Segment, &path)?.filter(|header| header.start == start);
        let segment = Segment { start, file_bytes, end: start + file_bytes };
        if segment.end <= tail_from && header.is_some() {
            found.segments.push_back(segment);
            found.end = segment.end;
        } else {
            scanned.push(scan_segment(segment, file, path, header, Target { tail_from, saved, found: &mut found })?);
        }
    }
    // What stands behind a segment's last frame is judged only now: it is damage where frames follow in a later segment.
    let last = scanned.iter().rposition(|segment| segment.has_frames);
    for (number, scanned) in scanned.into_iter().enumerate() {
        let ScannedSegment { mut segment, path, file, end, after, .. } = scanned;
        let written = after.filter(|(damage, _)| !damage.is_zeros());
        if last.is_some_and(|last| number < last) {
            found.damaged.extend(written.map(|(_, place)| place));
            found.segments.push_back(segment);
            continue;
        }
        found.torn_bytes += written.map_or(0, |(damage, _)| damage.written_to - damage.from);
        if last == Some(number) {
            segment.file_bytes = end - segment.start;
            segment.end = end;
            found.end = end;
            found.segments.push_back(segment);
            secure(&*file, &path, segment.file_bytes)?;
        } else {
            disk.remove(&path).map_err(disk_error("delete", &path))?;
        }
    }
    disk.sync_directory(directory).map_err(disk_error("sync", directory))?;
    found.end = found.end.max(tail_from);
    Ok(found)
}

struct Target<'a> {
    tail_from: u64,
    saved: &'a Arrivals,
    found: &'a mut FoundJournal,
}

fn scan_segment(
    segment: Segment,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    header: Option<FileHeader>,
    target: Target<'_>,
) -> Result<ScannedSegment, JournalError> {
    let Target { tail_from, saved, found } = target;
    let Some(header) = header else {
        let is_used = has_data(&*file, &path, segment.file_bytes)?;
        if is_used {
            tracing::error!(path = %path.display(), "the header of this segment is damaged; its frames are lost");
            found.damaged.push(DamagedPlace::new(&path, Damage::whole(segment.file_bytes), None));
        }
        return Ok(ScannedSegment { segment, path, file, has_frames: is_used, end: segment.end, after: None });
    };
    let from = tail_from.saturating_sub(segment.start).max(FILE_HEADER_BYTES);
    let extent = Extent { start: segment.start, from, limit: segment.file_bytes.max(from) };
    let mut scanner = Scanner::new(Arc::clone(&file), path.clone(), header.seal, extent);
    let mut end = segment.start + from;
    let mut has_frames = from > FILE_HEADER_BYTES;
    let after = loop {
        match scanner.next()? {
            Scanned::Frame { slot, index, offset, end: frame_end, .. } => {
                has_frames = true;
                end = segment.start + frame_end;
                if slot == MARK {
                    continue;
                }
                found.next_arrival.raise(slot, index.saturating_add(1));
                if index >= saved.of(slot) {
                    found.uncovered.note(slot, segment.start + offset);
                }
            }
            Scanned::Damage(damage) => found.damaged.push(scanner.place_of(damage)),
            Scanned::End(damage) => break damage.map(|damage| (damage, scanner.place_of(damage))),
        }
    };
    Ok(ScannedSegment { segment, path, file, has_frames, end, after })
}

/// Whether anything was ever written behind the header.
fn has_data(file: &dyn DiskFile, path: &Path, file_bytes: u64) -> Result<bool, JournalError> {
    let mut piece = vec![0; COPY_BYTES];
    let mut offset = FILE_HEADER_BYTES;
    while offset < file_bytes {
        let read = file.read_at(&mut piece, offset).map_err(disk_error("read", path))?;
        if piece[..read].iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        offset += COPY_BYTES as u64;
    }
    Ok(false)
}

/// Cuts the file and makes what is left durable. It is written once more, not only synced: after a failed sync the kernel may
/// show bytes that never reached the disk and that it takes for clean.
fn secure(file: &dyn DiskFile, path: &Path, file_bytes: u64) -> Result<(), JournalError> {
    file.truncate(file_bytes).map_err(disk_error("truncate", path))?;
    let mut piece = vec![0; COPY_BYTES];
    let mut offset = 0;
    while offset < file_bytes {
        let wanted = usize::try_from(file_bytes - offset).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let read = file.read_at(&mut piece[..wanted], offset).map_err(disk_error("read", path))?;
        file.write_all_at(&piece[..read], offset).map_err(disk_error("write", path))?;
        offset += wanted as u64;
    }
    file.sync().map_err(disk_error("sync", path))
}

//! Goes through the frames of all segments from one position to another: what the tail of a recovery and a consumer share.

use std::path::PathBuf;
use std::sync::Arc;

use super::damage::DamagedPlace;
use super::disk::Disk;
use super::error::{JournalError, disk_error};
use super::file_header::{FILE_HEADER_BYTES, FileHeader, FileKind};
use super::scan::{Damage, Extent, Scanned, Scanner};
use super::space::{Segment, Space, segment_path};
use super::{Frame, Position};
use crate::domain::Slot;

#[derive(Debug)]
pub struct Walk {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    space: Arc<Space>,
    /// Behind everything returned so far.
    position: u64,
    current: Option<(Segment, Scanner)>,
}

#[derive(Debug)]
pub enum Step {
    Frame(Frame),
    /// Something that was no frame stood there; the next step goes on behind it.
    Damage(DamagedPlace),
}

impl Walk {
    pub fn new(disk: Arc<dyn Disk>, directory: PathBuf, space: Arc<Space>, position: u64) -> Self {
        Self { disk, directory, space, position, current: None }
    }

    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The next step before `limit`, a position where a frame ends; `None` where there is none.
    ///
    /// # Errors
    /// Where the disk cannot be read, or a newer version wrote a frame. The next call tries again.
    pub fn next(&mut self, limit: u64) -> Result<Option<Step>, JournalError> {
        loop {
            let Some((segment, scanner)) = &mut self.current else {
                let Some(segment) = self.space.segment_behind(self.position).filter(|segment| segment.start < limit) else {
                    return Ok(None);
                };
                if let Some(damage) = self.enter(segment, limit)? {
                    return Ok(Some(Step::Damage(damage)));
                }
                continue;
            };
            let segment = *segment;
            scanner.extend(limit.min(segment.end) - segment.start);
            match scanner.next()? {
                Scanned::Frame { offset, end, slot, index, payload } => {
                    self.position = segment.start + end;
                    // A mark is none of the journal's frames, whoever wrote it.
                    let Some(slot) = Slot::from_number(slot) else { continue };
                    let position = Position(segment.start + offset);
                    return Ok(Some(Step::Frame(Frame { position, slot, arrival: index, payload })));
                }
                Scanned::Damage(damage) => {
                    self.position = segment.start + damage.to;
                    return Ok(Some(Step::Damage(scanner.place_of(damage))));
                }
                Scanned::End(damage) => {
                    let is_over = limit >= segment.end;
                    let damage = damage.filter(|damage| !is_room_never_used(*damage, segment));
                    let found = damage.map(|damage| (damage.to, scanner.place_of(damage)));
                    if is_over {
                        self.current = None;
                        self.position = segment.end;
                    }
                    match found {
                        Some((to, place)) => {
                            self.position = segment.start + to;
                            return Ok(Some(Step::Damage(place)));
                        }
                        None if is_over => {}
                        None => return Ok(None),
                    }
                }
            }
        }
    }

    /// Opens a segment; where its header is damaged, no frame of it can be told, and it is passed over.
    fn enter(&mut self, segment: Segment, limit: u64) -> Result<Option<DamagedPlace>, JournalError> {
        let path = segment_path(&self.directory, segment.start);
        let file = self.disk.open(&path).map_err(disk_error("open", &path))?;
        let header = FileHeader::read(&*file, FileKind::Segment, &path)?;
        let Some(header) = header.filter(|header| header.start == segment.start) else {
            self.position = segment.end;
            return Ok(Some(DamagedPlace::new(&path, Damage::whole(segment.file_bytes), None)));
        };
        let from = self.position.saturating_sub(segment.start).max(FILE_HEADER_BYTES);
        let limit = (limit.min(segment.end) - segment.start).max(from);
        let extent = Extent { start: segment.start, from, limit };
        self.current = Some((segment, Scanner::new(file, path, header.seal, extent)));
        Ok(None)
    }
}

/// Segments are allocated as a whole, and the next one begins when a frame does not fit.
fn is_room_never_used(damage: Damage, segment: Segment) -> bool {
    damage.is_zeros() && damage.to == segment.file_bytes
}

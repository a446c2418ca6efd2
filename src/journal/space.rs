//! The segments on disk: makes the next one ahead of time, deletes those that nobody needs, and says when there is no room.
//! A thread of its own, so that neither costs a commit anything. Writes no frames: `writer`.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::disk::{Disk, DiskFile};
use super::error::{JournalError, disk_error};
use super::file_header::{FILE_HEADER_BYTES, FileHeader, FileKind};
use super::health::JournalHealth;
use crate::crash_point::{self, CrashPoint};

const EXTENSION: &str = ".journal";

/// Between two attempts where the disk is full: someone else has to make room, so asking often gains nothing.
pub const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// One file of the journal. Positions are in the journal as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub start: u64,
    /// Length of the file. Frames may end before; the next segment starts at or behind `start + file_bytes`.
    pub file_bytes: u64,
    /// No frame of the segment ends behind it.
    pub end: u64,
}

/// A segment that is ready to be written.
#[derive(Debug)]
pub struct FreshSegment {
    pub segment: Segment,
    pub header: FileHeader,
    pub file: Arc<dyn DiskFile>,
}

#[derive(Debug)]
pub struct Space {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segment_bytes: u64,
    max_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
    /// Everyone who touches the folder has a share of this struct, and so the folder stays locked until the last is gone.
    _lock: Option<File>,
}

#[derive(Debug, Default)]
struct State {
    /// By start. The last one is being written.
    segments: VecDeque<Segment>,
    fresh: Option<FreshSegment>,
    wanted: Option<Wanted>,
    /// Where each consumer has to go on.
    cursors: BTreeMap<String, u64>,
    /// From where on a restart reads the journal.
    tail_from: u64,
    health: JournalHealth,
    /// Why there is no fresh segment, as of the last attempt.
    obstacle: JournalHealth,
    retry_at: Option<Instant>,
    /// Nobody can submit any more.
    closing: bool,
    /// The writer has ended.
    ended: bool,
    failed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    start: u64,
    bytes: u64,
}

/// What `Space` starts from.
#[derive(Debug)]
pub struct Found {
    pub segments: VecDeque<Segment>,
    pub cursors: Vec<(String, u64)>,
    pub tail_from: u64,
    pub next_start: u64,
    pub lock: Option<File>,
}

enum Job {
    Delete(Segment),
    Make(Wanted),
    End,
}

pub fn segment_path(directory: &Path, start: u64) -> PathBuf {
    directory.join(format!("{start:020}{EXTENSION}"))
}

/// Where the segment with this file name starts.
pub fn segment_start(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

impl Space {
    pub fn new(disk: Arc<dyn Disk>, directory: &Path, settings: &crate::settings::Journal, found: Found) -> Self {
        let segment_bytes = settings.segment.bytes();
        let state = State {
            segments: found.segments,
            wanted: Some(Wanted { start: found.next_start, bytes: segment_bytes }),
            cursors: found.cursors.into_iter().collect(),
            tail_from: found.tail_from,
            ..State::default()
        };
        Self {
            disk,
            directory: directory.to_owned(),
            segment_bytes,
            max_bytes: settings.max.bytes(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            _lock: found.lock,
        }
    }

    pub fn health(&self) -> JournalHealth {
        self.locked().health.clone()
    }

    /// The first segment with anything behind `position`, if there is one.
    pub fn segment_behind(&self, position: u64) -> Option<Segment> {
        self.locked().segments.iter().find(|segment| segment.end > position).copied()
    }

    /// Where the consumer goes on; a new one starts with the oldest segment.
    pub fn register_cursor(&self, name: &str) -> u64 {
        let mut state = self.locked();
        let oldest = state.segments.front().map_or(0, |segment| segment.start);
        *state.cursors.entry(name.to_owned()).or_insert(oldest)
    }

    pub fn move_cursor(&self, name: &str, position: u64) {
        let mut state = self.locked();
        if let Some(cursor) = state.cursors.get_mut(name) {
            *cursor = position;
        }
        self.changed.notify_all();
    }

    pub fn move_tail(&self, position: u64) {
        self.locked().tail_from = position;
        self.changed.notify_all();
    }

    /// Ends the segment that is being written, if any, and blocks until there is another that takes `needed_bytes`.
    ///
    /// # Errors
    /// Where there is no room while the journal closes, or the disk has failed.
    pub fn next_segment(&self, end: Option<u64>, needed_bytes: u64) -> Result<FreshSegment, JournalError> {
        let mut state = self.locked();
        if let (Some(end), Some(last)) = (end, state.segments.back_mut()) {
            last.end = end;
        }
        loop {
            match state.fresh.take() {
                Some(fresh) if fresh.segment.file_bytes >= needed_bytes => {
                    let segment = fresh.segment;
                    state.wanted = Some(Wanted { start: segment.end, bytes: self.segment_bytes });
                    state.segments.push_back(segment);
                    state.report_bytes();
                    state.health = JournalHealth::Ok;
                    self.changed.notify_all();
                    return Ok(fresh);
                }
                // Too small for one very large frame: made again under the same name.
                Some(small) => {
                    state.wanted = Some(Wanted { start: small.segment.start, bytes: needed_bytes });
                    self.changed.notify_all();
                }
                None => {}
            }
            if state.failed {
                return Err(JournalError::SpaceFailed);
            }
            if state.obstacle != JournalHealth::Ok {
                if state.closing {
                    return Err(JournalError::ClosedWithoutRoom);
                }
                set_health(&mut state);
            }
            state = self.changed.wait(state).expect("no holder panics");
        }
    }

    /// Where a write found the disk full: says so and waits a moment.
    ///
    /// # Errors
    /// Where the journal closes, since then nobody would see the end of the wait.
    pub fn pause_without_room(&self) -> Result<(), JournalError> {
        let mut state = self.locked();
        state.obstacle = JournalHealth::NoSpace { directory: self.directory.clone() };
        set_health(&mut state);
        let waiting = |state: &mut State| !state.closing;
        let state = self.changed.wait_timeout_while(state, RETRY_PAUSE, waiting).expect("no holder panics").0;
        if state.closing { Err(JournalError::ClosedWithoutRoom) } else { Ok(()) }
    }

    /// A write that had found no room has succeeded.
    pub fn found_room(&self) {
        let mut state = self.locked();
        state.obstacle = JournalHealth::Ok;
        state.health = JournalHealth::Ok;
    }

    /// Nobody can submit any more: waiting for room ends now.
    pub fn close(&self) {
        self.locked().closing = true;
        self.changed.notify_all();
    }

    /// The writer has ended, and so does [`Space::run`].
    pub fn end(&self) {
        self.locked().ended = true;
        self.changed.notify_all();
    }

    /// Makes and deletes segments until the writer ends.
    ///
    /// # Errors
    /// Where the disk fails in another way than being full.
    pub fn run(&self) -> Result<(), JournalError> {
        let result = self.work();
        if result.is_err() {
            self.locked().failed = true;
            self.changed.notify_all();
        }
        result
    }

    fn work(&self) -> Result<(), JournalError> {
        loop {
            match self.next_job() {
                Job::End => return Ok(()),
                Job::Delete(segment) => {
                    let path = segment_path(&self.directory, segment.start);
                    if let Err(error) = self.disk.remove(&path) {
                        tracing::warn!(path = %path.display(), %error, "could not delete a segment; the next start tries again");
                    }
                }
                Job::Make(wanted) => {
                    let made = self.make(wanted);
                    crash_point::reached(CrashPoint::SegmentMade);
                    let mut state = self.locked();
                    match made {
                        Ok(fresh) => {
                            // Meanwhile the writer may have asked for a larger one.
                            if state.wanted.is_some_and(|wanted| wanted.bytes <= fresh.segment.file_bytes) {
                                state.wanted = None;
                            }
                            state.obstacle = JournalHealth::Ok;
                            state.fresh = Some(fresh);
                        }
                        Err(error) if error.is_no_space() => {
                            state.obstacle = JournalHealth::NoSpace { directory: self.directory.clone() };
                            state.retry_at = Some(Instant::now() + RETRY_PAUSE);
                        }
                        Err(error) => return Err(error),
                    }
                    self.changed.notify_all();
                }
            }
        }
    }

    fn next_job(&self) -> Job {
        let mut state = self.locked();
        loop {
            if let Some(segment) = state.take_obsolete() {
                state.report_bytes();
                return Job::Delete(segment);
            }
            if state.ended {
                return Job::End;
            }
            let now = Instant::now();
            let pause = state.retry_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
            if let Some(wanted) = state.wanted
                && pause.is_zero()
            {
                match self.full(&state, wanted) {
                    None => {
                        state.retry_at = None;
                        return Job::Make(wanted);
                    }
                    full if full == Some(state.obstacle.clone()) => {}
                    Some(full) => {
                        state.obstacle = full;
                        self.changed.notify_all();
                    }
                }
            }
            state = if pause.is_zero() {
                self.changed.wait(state).expect("no holder panics")
            } else {
                self.changed.wait_timeout(state, pause).expect("no holder panics").0
            };
        }
    }

    /// Whether consumers hold so much that there may be no further segment. What only a restart needs does not count: the lanes
    /// that could save more would wait for the journal, and the journal for them.
    fn full(&self, state: &State, wanted: Wanted) -> Option<JournalHealth> {
        let slowest = state.cursors.iter().min_by_key(|(_, position)| **position);
        let (cursor, held_from) = slowest.map_or(("a first consumer", 0), |(name, position)| (name.as_str(), *position));
        let held = state.segments.iter().filter(|segment| segment.end > held_from);
        let bytes: u64 = held.map(|segment| segment.file_bytes).sum();
        let full = JournalHealth::Full { bytes, max_bytes: self.max_bytes, cursor: cursor.to_owned() };
        (bytes + wanted.bytes > self.max_bytes).then_some(full)
    }

    fn make(&self, wanted: Wanted) -> Result<FreshSegment, JournalError> {
        let path = segment_path(&self.directory, wanted.start);
        let file = self.disk.create(&path).map_err(disk_error("create", &path))?;
        let header = FileHeader::new(wanted.start);
        let filled = file.allocate(wanted.bytes).and_then(|()| file.write_all_at(&header.encode(FileKind::Segment), 0));
        if let Err(error) = filled.and_then(|()| file.sync()) {
            // A file half allocated would keep others from the room that is left.
            let _also_fails = self.disk.remove(&path);
            return Err(disk_error("allocate", &path)(error));
        }
        self.disk.sync_directory(&self.directory).map_err(disk_error("sync", &self.directory))?;
        let end = wanted.start + wanted.bytes;
        let segment = Segment { start: wanted.start, file_bytes: wanted.bytes, end };
        Ok(FreshSegment { segment, header, file })
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// The smallest segment that is any use.
pub const LEAST_SEGMENT_BYTES: u64 = 2 * FILE_HEADER_BYTES;

impl State {
    /// Deletes nothing before the first consumer is known: it would miss what it has never seen.
    fn take_obsolete(&mut self) -> Option<Segment> {
        let needed_from = self.cursors.values().min()?.min(&self.tail_from);
        let oldest = self.segments.front()?;
        let obsolete = self.segments.len() > 1 && oldest.end <= *needed_from;
        if obsolete { self.segments.pop_front() } else { None }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge; the journal is far below 2^53 bytes")]
    fn report_bytes(&self) {
        let bytes: u64 = self.segments.iter().map(|segment| segment.file_bytes).sum();
        ::metrics::gauge!(crate::metrics::JOURNAL_BYTES).set(bytes as f64);
    }
}

fn set_health(state: &mut State) {
    if state.health != state.obstacle {
        tracing::error!(reason = %state.obstacle, "the journal has no room; nothing more is acknowledged until it has");
        state.health = state.obstacle.clone();
    }
}

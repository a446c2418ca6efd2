//! The durable hand-off on local disk, the only place where "accepted" becomes true: segments, group commit, cursors, checkpoints.
//!
//! ```text
//! lanes ─ Batch, Checkpoint ─▶ writer ─ write, fdatasync ─▶ segments ─▶ Reader (archive writer)
//!                                │  └ receipts kept                        └ cursor: what is done with
//!                                └─▶ checkpointer ─▶ file of vehicle states
//! space: makes segments ahead of time, deletes those that neither a cursor nor a restart needs
//! ```
//! Knows neither readings nor vehicles' states: both are bytes to it.

mod backup;
mod batch;
mod checkpoint;
mod checkpoint_file;
mod checkpoint_log;
mod checkpointer;
mod cursor;
mod damage;
mod disk;
mod error;
mod file_header;
mod filling;
mod frame;
mod health;
mod lock;
mod progress;
mod reader;
mod recovery;
mod recycling;
mod scan;
#[cfg(test)]
mod simulated_disk;
mod space;
#[cfg(test)]
mod tests;
mod uncovered;
mod walk;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::Bytes;
use tokio::sync::watch;

use self::checkpoint_log::CheckpointLog;
use self::cursor::CursorFile;
use self::damage::DamageLog;
use self::disk::{Disk, RealDisk};
use self::error::disk_error;
use self::lock::lock;
use self::progress::Progress;
use self::reader::{CursorName, CursorNames};
use self::recycling::Recycling;
use self::space::{Found, LEAST_SEGMENT_BYTES, Space};
use self::walk::Walk;
use self::writer::{Work, Writer};
use crate::domain::Slot;
use crate::settings;
use crate::tasks::Tasks;

pub use self::backup::{Piece, Snapshot};
pub use self::batch::{Batch, DamagedFrames, records};
pub use self::checkpoint::Checkpoint;
pub use self::cursor::VERSION as CURSOR_VERSION;
pub use self::damage::{DamageAlert, DamagedPlace, alert_in as damage_in};
pub use self::error::{JournalClosed, JournalError};
pub use self::filling::{Filling, is_half_restored};
pub use self::frame::FORMAT_VERSION;
pub use self::health::JournalHealth;
pub use self::lock::is_held;
pub use self::reader::{More, Reader};
pub use self::recovery::{Recovery, SavedVehicle, Tail};

/// Batches and checkpoints that wait for the writer. When full, lanes wait, their inboxes fill, and nothing more is taken in.
const QUEUE_WORK: usize = 64;

/// A place in the journal, in bytes since its first segment; rises for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// One durable record, as a lane submitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub position: Position,
    pub slot: Slot,
    pub arrival: u64,
    /// The protobuf record; shares its memory with its neighbours.
    pub payload: Bytes,
}

/// Takes batches and makes them durable. Cheap to clone; once all clones are dropped, the writer makes the rest durable and ends.
#[derive(Debug, Clone)]
pub struct Journal {
    inlet: Arc<Inlet>,
    monitor: JournalMonitor,
}

/// Watches a journal and opens readers, without keeping it open.
#[derive(Debug, Clone)]
pub struct JournalMonitor(Arc<Shared>);

#[derive(Debug)]
struct Inlet {
    sender: SyncSender<Work>,
    space: Arc<Space>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    space: Arc<Space>,
    progress: Arc<Progress>,
    recycling: Arc<Recycling>,
    cursors: Arc<CursorNames>,
}

impl Journal {
    /// Locks the folder, reads the checkpoints, finds the end of the journal, and starts its threads. Needs a tokio runtime around
    /// the call, as [`Tasks`] does.
    ///
    /// # Errors
    /// Where another process holds the folder, a restore into it did not end, the disk fails, or a newer version wrote it. Damaged frames are no error:
    /// [`Recovery::bad_frames`].
    pub fn open(directory: &Path, settings: &settings::Journal, tasks: &Tasks) -> Result<(Self, Recovery), JournalError> {
        std::fs::create_dir_all(directory).map_err(disk_error("create", directory))?;
        let lock = lock(directory)?;
        if is_half_restored(directory) {
            return Err(JournalError::HalfRestored { directory: directory.to_owned() });
        }
        let start = Start { disk: Arc::new(RealDisk), directory, settings, lock: Some(lock) };
        start.run(tasks)
    }

    /// Hands a batch to the writer; blocks while its queue is full. Returns an empty batch with buffers to use again.
    ///
    /// # Errors
    /// Where the writer has failed. The batch is gone, its receipts unkept.
    pub fn submit(&self, batch: Batch) -> Result<Batch, JournalClosed> {
        self.inlet.sender.send(Work::Batch(batch)).map_err(|_| JournalClosed)?;
        Ok(self.monitor.0.recycling.take())
    }

    /// Hands a checkpoint to the writer. It is stored only after everything that was submitted before is durable.
    ///
    /// # Errors
    /// Where the writer has failed.
    pub fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), JournalClosed> {
        self.inlet.sender.send(Work::Checkpoint(checkpoint)).map_err(|_| JournalClosed)
    }

    /// What a start would find now, behind everything that was submitted: for lanes in another process that begin anew. Nothing else may be
    /// submitted before the tail of it is read. Blocks.
    ///
    /// # Errors
    /// Where the writer has failed.
    pub fn recover(&self) -> Result<Recovery, JournalClosed> {
        let (answer, answered) = sync_channel(1);
        self.inlet.sender.send(Work::Recover(answer)).map_err(|_| JournalClosed)?;
        answered.recv().map_err(|_| JournalClosed)
    }

    /// Behind the last durable frame; moves after every commit. Closed once the writer has ended.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Position> {
        self.monitor.durable()
    }

    #[must_use]
    pub fn health(&self) -> JournalHealth {
        self.monitor.health()
    }

    /// The named consumer, where it last committed; a new one begins with the oldest frame. Segments are kept for every consumer
    /// that ever was, so a name that is no longer used must be removed with its `.cursor` file.
    ///
    /// # Errors
    /// Where the name has a reader already, or the disk fails.
    pub fn reader(&self, cursor: &'static str) -> Result<Reader, JournalError> {
        self.monitor.reader(cursor)
    }

    #[must_use]
    pub fn monitor(&self) -> JournalMonitor {
        self.monitor.clone()
    }
}

/// Where lanes send what they have made: the journal of this process, or the way to that of another.
pub trait Outlet: Send + Sync {
    /// Takes a batch to be made durable; blocks while there is no room. Returns an empty one, with buffers to use again where there are any.
    ///
    /// # Errors
    /// Where nothing is taken any more. The batch is gone, its receipts unkept.
    fn submit(&self, batch: Batch) -> Result<Batch, JournalClosed>;

    /// Takes a checkpoint, to be stored only after everything that was submitted before is durable.
    ///
    /// # Errors
    /// Where nothing is taken any more.
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), JournalClosed>;
}

impl Outlet for Journal {
    fn submit(&self, batch: Batch) -> Result<Batch, JournalClosed> {
        Self::submit(self, batch)
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), JournalClosed> {
        Self::checkpoint(self, checkpoint)
    }
}

impl JournalMonitor {
    /// See [`Journal::durable`].
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Position> {
        self.0.progress.watch()
    }

    #[must_use]
    pub fn health(&self) -> JournalHealth {
        self.0.space.health()
    }

    /// Damaged places that nobody had met before this process did.
    #[must_use]
    pub fn damage(&self) -> u64 {
        self.0.progress.damage().met()
    }

    /// The last alert about them, acknowledged or not.
    #[must_use]
    pub fn damage_alert(&self) -> Option<DamageAlert> {
        self.0.progress.damage().alert()
    }

    /// Changes whenever the alert does.
    #[must_use]
    pub fn damage_changes(&self) -> watch::Receiver<u64> {
        self.0.progress.damage().changes()
    }

    /// Makes what was found durable, and gives the alert where its newest revision was not handed on yet. Blocks.
    ///
    /// # Errors
    /// Where the disk is full or fails.
    pub fn untold_damage(&self) -> Result<Option<DamageAlert>, JournalError> {
        self.0.progress.damage().save()?;
        Ok(self.0.progress.damage().untold())
    }

    /// This revision was handed on, and whoever took it keeps it. Blocks.
    ///
    /// # Errors
    /// Where the disk is full or fails; it is then handed on once more.
    pub fn told_of_damage(&self, revision: u32) -> Result<(), JournalError> {
        self.0.progress.damage().told(revision)
    }

    /// A person has seen the alert; durable once this returns. `None`: there is none to acknowledge. Blocks.
    ///
    /// # Errors
    /// Where the disk is full or fails.
    pub fn acknowledge_damage(&self, by: &str, note: Option<&str>) -> Result<Option<DamageAlert>, JournalError> {
        self.0.progress.damage().acknowledge(by, note)
    }

    /// See [`Journal::reader`].
    ///
    /// # Errors
    /// Where the name has a reader already, or the disk fails.
    pub fn reader(&self, cursor: &'static str) -> Result<Reader, JournalError> {
        let shared = &self.0;
        let name = CursorName::take(cursor, &shared.cursors)?;
        let position = shared.space.register_cursor(cursor);
        let file = CursorFile::open(&*shared.disk, &shared.directory, cursor, position)?;
        let walk = Walk::new(Arc::clone(&shared.disk), shared.directory.clone(), Arc::clone(&shared.space), position);
        let (space, progress) = (Arc::clone(&shared.space), Arc::clone(&shared.progress));
        Ok(Reader { walk, cursor: file, name, space, progress, committed: position })
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.space.close();
    }
}

/// What opening a journal needs.
struct Start<'a> {
    disk: Arc<dyn Disk>,
    directory: &'a Path,
    settings: &'a settings::Journal,
    lock: Option<File>,
}

impl Start<'_> {
    fn run(self, tasks: &Tasks) -> Result<(Journal, Recovery), JournalError> {
        check(self.settings)?;
        let (disk, directory) = (self.disk, self.directory);
        disk.create_directory(directory).map_err(disk_error("create", directory))?;
        let damage = DamageLog::open(Arc::clone(&disk), directory)?;
        let (log, saved) = CheckpointLog::open(Arc::clone(&disk), directory)?;
        let cursors = cursor::load_all(&*disk, directory)?;
        let found = recovery::find_journal(&*disk, directory, saved.tail_from, &saved.next_arrival)?;
        let bad_frames = (saved.damaged.len() + found.damaged.len()) as u64;
        saved.damaged.into_iter().chain(found.damaged).for_each(|place| damage.found(place));
        let next_start = cursors.iter().map(|(_, position)| *position).fold(found.end, u64::max);

        let start = Found { segments: found.segments, cursors, tail_from: saved.tail_from, next_start, lock: self.lock };
        let space = Arc::new(Space::new(Arc::clone(&disk), directory, self.settings, start));
        let progress_sender = Progress::start(found.end, damage);
        let progress = progress_sender.progress();
        let recycling = Arc::<Recycling>::default();
        let (sender, inlet) = sync_channel(QUEUE_WORK);
        let (checkpoint_sender, checkpoint_inlet) = sync_channel(checkpointer::QUEUE_CHECKPOINTS);
        let mut next_arrival = saved.given;
        next_arrival.raise_all(&saved.next_arrival);
        next_arrival.raise_all(&found.next_arrival);
        let writer = Writer {
            inlet,
            directory: directory.to_owned(),
            space: Arc::clone(&space),
            progress: progress_sender,
            recycling: Arc::clone(&recycling),
            checkpoints: checkpoint_sender,
            uncovered: found.uncovered,
            next_arrival: next_arrival.clone(),
            end: found.end,
        };
        let (space_of_checkpointer, space_of_maker) = (Arc::clone(&space), Arc::clone(&space));
        tasks
            .spawn_thread("journal-space", move || Ok(space_of_maker.run()?))
            .and_then(|()| {
                let work = move || Ok(checkpointer::run(&checkpoint_inlet, log, &space_of_checkpointer)?);
                tasks.spawn_thread("journal-states", work)
            })
            .and_then(|()| tasks.spawn_thread("journal-writer", move || Ok(writer.run()?)))
            .inspect_err(|_| space.end())
            .map_err(JournalError::Thread)?;

        let walk = Walk::new(Arc::clone(&disk), directory.to_owned(), Arc::clone(&space), saved.tail_from);
        let recovery = Recovery {
            vehicles: saved.vehicles,
            next_arrival: next_arrival.into_boxed(),
            saved_arrival: saved.next_arrival.clone().into_boxed(),
            tail: Tail::Read { walk, end: found.end, saved: saved.next_arrival },
            bad_frames,
            torn_bytes: found.torn_bytes,
        };
        let inlet = Arc::new(Inlet { sender, space: Arc::clone(&space) });
        let directory = directory.to_owned();
        let cursors = Arc::default();
        let monitor = JournalMonitor(Arc::new(Shared { disk, directory, space, progress, recycling, cursors }));
        Ok((Journal { inlet, monitor }, recovery))
    }
}

fn check(settings: &settings::Journal) -> Result<(), JournalError> {
    let (segment_bytes, max_bytes) = (settings.segment.bytes(), settings.max.bytes());
    if segment_bytes < LEAST_SEGMENT_BYTES {
        return Err(JournalError::SegmentTooSmall { segment_bytes, least_bytes: LEAST_SEGMENT_BYTES });
    }
    if max_bytes / 2 < segment_bytes {
        return Err(JournalError::MaxTooSmall { max_bytes, segment_bytes });
    }
    Ok(())
}

//! The one thread that writes the journal: takes everything that waits, writes it at once, syncs once for all of it, and only
//! then keeps the receipts. Makes no segments (`space`) and stores no checkpoints (`checkpointer`).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use super::batch::Batch;
use super::checkpoint::Checkpoint;
use super::checkpointer::{Saved, Task};
use super::error::{JournalError, disk_error};
use super::file_header::FILE_HEADER_BYTES;
use super::frame;
use super::progress::ProgressSender;
use super::recovery::{Arrivals, Recovery};
use super::recycling::Recycling;
use super::space::{FreshSegment, Space, segment_path};
use super::uncovered::Uncovered;
use crate::crash_point::{self, CrashPoint};
use crate::domain::Slot;

/// Most bytes of one group: bounds memory, and the time that the first of a group waits for the last.
const GROUP_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub enum Work {
    Batch(Batch),
    Checkpoint(Checkpoint),
    /// What a start would find now; asked for by whoever goes on with the lanes.
    Recover(SyncSender<Recovery>),
}

pub struct Writer {
    pub inlet: Receiver<Work>,
    pub directory: std::path::PathBuf,
    pub space: Arc<Space>,
    pub progress: ProgressSender,
    pub recycling: Arc<Recycling>,
    pub checkpoints: SyncSender<Task>,
    pub uncovered: Uncovered,
    /// Behind the last frame of every slot.
    pub next_arrival: Arrivals,
    /// Behind the last frame of the group, durable or not.
    pub end: u64,
}

/// What is taken and not yet durable.
#[derive(Default)]
struct Group {
    /// Sealed frames, to be written at `Current::synced_to`.
    bytes: Vec<u8>,
    batches: Vec<Batch>,
    /// For the checkpointer, once the bytes are durable.
    tasks: Vec<Task>,
}

struct Current {
    fresh: FreshSegment,
    /// Position up to which the segment is durable, where the group's bytes go.
    synced_to: u64,
}

impl Writer {
    /// Runs until everyone who can submit is gone and all of it is durable.
    ///
    /// # Errors
    /// Where a write or a sync failed other than for want of room. After a failed sync the kernel may have dropped what it could
    /// not write and call the next sync a success, so it is never tried again: the process ends and recovers. Receipts of what
    /// was not durable are dropped unkept.
    pub fn run(mut self) -> Result<(), JournalError> {
        let result = self.work();
        if let Err(error) = &result {
            tracing::error!(%error, "the journal has failed");
        }
        result
    }

    fn work(&mut self) -> Result<(), JournalError> {
        let mut group = Group::default();
        let mut current = None;
        while let Ok(first) = self.inlet.recv() {
            self.take(first, &mut group, &mut current)?;
            while group.bytes.len() < GROUP_BYTES
                && let Ok(next) = self.inlet.try_recv()
            {
                self.take(next, &mut group, &mut current)?;
            }
            self.commit(&mut group, &mut current)?;
        }
        Ok(())
    }

    fn take(&mut self, work: Work, group: &mut Group, current: &mut Option<Current>) -> Result<(), JournalError> {
        match work {
            Work::Batch(batch) => {
                for frame in batch.frames() {
                    self.append(frame, group, current)?;
                }
                group.batches.push(batch);
            }
            Work::Checkpoint(checkpoint) => {
                // One that comes again stands for less than there is by now.
                let is_new = |(slot, arrival): &&(Slot, u64)| *arrival >= self.next_arrival.of(slot.number());
                self.uncovered.cover(checkpoint.next_arrivals().iter().filter(is_new).map(|(slot, _)| *slot));
                let tail_from = self.uncovered.oldest().unwrap_or(self.end);
                group.tasks.push(Task::Save(Saved { checkpoint, tail_from }));
            }
            Work::Recover(answer) => {
                group.tasks.push(Task::Recover { end: self.end, next_arrival: self.next_arrival.clone(), answer });
            }
        }
        Ok(())
    }

    fn append(&mut self, frame: &[u8], group: &mut Group, current: &mut Option<Current>) -> Result<(), JournalError> {
        let fits = |current: &Current| {
            let segment = &current.fresh.segment;
            self.end + frame.len() as u64 <= segment.start + segment.file_bytes
        };
        if !current.as_ref().is_some_and(fits) {
            // Durable before anything of the next segment is written, so that only the last segment can end in a torn frame.
            self.commit(group, current)?;
            let end = current.as_ref().map(|current| current.synced_to);
            let fresh = self.space.next_segment(end, FILE_HEADER_BYTES + frame.len() as u64)?;
            self.end = fresh.segment.start + FILE_HEADER_BYTES;
            *current = Some(Current { fresh, synced_to: self.end });
        }
        let seal = current.as_ref().expect("made above").fresh.header.seal;
        seal.append(frame, self.end, &mut group.bytes);
        let slot = frame::slot_of(frame);
        self.uncovered.note(slot, self.end);
        self.next_arrival.raise(slot, frame::index_of(frame) + 1);
        self.end += frame.len() as u64;
        Ok(())
    }

    /// Makes the group durable, then answers for the batches that are in it as a whole.
    fn commit(&mut self, group: &mut Group, current: &mut Option<Current>) -> Result<(), JournalError> {
        if !group.bytes.is_empty() {
            let current = current.as_mut().expect("bytes are taken for a segment");
            self.write(&group.bytes, current)?;
            current.synced_to = self.end;
            group.bytes.clear();
        }
        // Before the receipts: what somebody was answered for can be read.
        self.progress.advance(self.end);
        for mut batch in group.batches.drain(..) {
            batch.keep_promises();
            crash_point::reached(CrashPoint::BatchAnswered);
            self.recycling.give(batch);
        }
        for task in group.tasks.drain(..) {
            // It ends before us only by failing, and then the process is ending.
            let _failed = self.checkpoints.send(task);
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a group is far below 2^53 bytes")]
    fn write(&self, bytes: &[u8], current: &Current) -> Result<(), JournalError> {
        let FreshSegment { segment, file, .. } = &current.fresh;
        let path = segment_path(&self.directory, segment.start);
        let started_at = Instant::now();
        let mut found_no_room = false;
        // Written again as a whole from the same place, so a write that stopped halfway does no harm.
        while let Err(error) = file.write_all_at(bytes, current.synced_to - segment.start).map_err(disk_error("write", &path)) {
            if !error.is_no_space() {
                return Err(error);
            }
            found_no_room = true;
            self.space.pause_without_room()?;
        }
        if found_no_room {
            self.space.found_room();
        }
        crash_point::reached(CrashPoint::JournalWritten);
        file.sync().map_err(disk_error("sync", &path))?;
        crash_point::reached(CrashPoint::JournalSynced);
        ::metrics::histogram!(crate::metrics::JOURNAL_COMMIT_SECONDS).record(started_at.elapsed());
        ::metrics::histogram!(crate::metrics::JOURNAL_COMMIT_BYTES).record(bytes.len() as f64);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.space.end();
    }
}

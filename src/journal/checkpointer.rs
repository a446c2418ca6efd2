//! The thread that stores checkpoints, beside the writer, so that their size costs no commit anything.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::checkpoint::Checkpoint;
use super::checkpoint_log::CheckpointLog;
use super::error::JournalError;
use super::recovery::{Arrivals, Recovery, Tail};
use super::space::Space;
use crate::crash_point::{self, CrashPoint};

/// Checkpoints that wait for the disk. When full, the writer waits, and with it everything: a checkpoint holds only what has
/// changed since the last, so none may be left out.
pub const QUEUE_CHECKPOINTS: usize = 16;

/// A checkpoint whose frames are durable.
#[derive(Debug)]
pub struct Saved {
    pub checkpoint: Checkpoint,
    /// Where the oldest frame stands that neither this checkpoint nor an earlier one stands for.
    pub tail_from: u64,
}

/// In the order of the journal.
#[derive(Debug)]
pub enum Task {
    Save(Saved),
    /// The journal ends at `end`, and every slot goes on with its number.
    Recover {
        end: u64,
        next_arrival: Arrivals,
        answer: SyncSender<Recovery>,
    },
}

/// Runs until the writer has ended and everything it sent is stored.
///
/// # Errors
/// Where the disk fails in another way than being full.
pub fn run(inlet: &Receiver<Task>, mut log: CheckpointLog, space: &Arc<Space>) -> Result<(), JournalError> {
    while let Ok(task) = inlet.recv() {
        let saved = match task {
            Task::Save(saved) => saved,
            Task::Recover { end, next_arrival, answer } => {
                let (vehicles, damaged) = log.states()?;
                let (saved, tail_from) = log.newest_mark();
                let walk = log.walk(space, tail_from);
                let recovery = Recovery {
                    vehicles,
                    next_arrival: next_arrival.into_boxed(),
                    saved_arrival: saved.clone().into_boxed(),
                    tail: Tail::Read { walk, end, saved },
                    bad_frames: damaged,
                    torn_bytes: 0,
                };
                // Whoever asked may have gone.
                let _gone = answer.send(recovery);
                continue;
            }
        };
        let mut found_no_room = false;
        while let Err(error) = log.append(&saved.checkpoint, saved.tail_from) {
            if !error.is_no_space() {
                return Err(error);
            }
            found_no_room = true;
            if space.pause_without_room().is_err() {
                tracing::warn!("no room for the last checkpoint; the next start reads more of the journal instead");
                return Ok(());
            }
        }
        crash_point::reached(CrashPoint::CheckpointSynced);
        if found_no_room {
            space.found_room();
        }
        space.move_tail(saved.tail_from);
        if log.has_grown_too_far() {
            log.compact()?;
        }
    }
    Ok(())
}

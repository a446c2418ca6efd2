//! A named consumer of the journal: reads what is durable, in order, and remembers how far it is done.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Frame;
use super::cursor::CursorFile;
use super::error::JournalError;
use super::progress::Progress;
use super::space::Space;
use super::walk::{Step, Walk};

/// Returns every frame at least once, over restarts too: after a crash it goes on where it last committed, or a little before.
#[derive(Debug)]
pub struct Reader {
    pub(super) walk: Walk,
    pub(super) cursor: CursorFile,
    pub(super) name: CursorName,
    pub(super) space: Arc<Space>,
    pub(super) progress: Arc<Progress>,
    pub(super) committed: u64,
}

/// What a wait for frames came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// [`Reader::next`] has something to read.
    Ready,
    TimedOut,
    /// The journal is closed and was read to its end.
    Ended,
}

impl Reader {
    /// Up to `max_frames` durable frames; none where all were read. Payloads are slices of one read buffer.
    ///
    /// # Errors
    /// Where the disk cannot be read; the next call tries again at the same place.
    pub fn next(&mut self, max_frames: usize) -> Result<Vec<Frame>, JournalError> {
        let durable = self.progress.state().durable;
        let mut frames = Vec::new();
        while frames.len() < max_frames {
            match self.walk.next(durable) {
                Ok(Some(Step::Frame(frame))) => frames.push(frame),
                Ok(Some(Step::Damage(place))) => self.progress.damage().found(place),
                Ok(None) => break,
                // What was read before is not lost: the error comes again with the next call.
                Err(_) if !frames.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(frames)
    }

    /// Everything returned so far is done with: it is not read again, and its room may be freed.
    ///
    /// # Errors
    /// Where the cursor cannot be written; its records are then met again.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        let position = self.walk.position();
        if position != self.committed {
            // Behind the cursor nobody would meet it again. Where it cannot be written the cursor moves all the same: a full disk needs that.
            if let Err(error) = self.progress.damage().save() {
                tracing::warn!(%error, "could not write down where the journal is damaged; will retry");
            }
            self.cursor.move_to(position)?;
            self.committed = position;
            self.space.move_cursor(self.name.name, position);
        }
        Ok(())
    }

    /// Durable and not yet returned.
    #[must_use]
    pub fn lag_bytes(&self) -> u64 {
        self.progress.state().durable.saturating_sub(self.walk.position())
    }

    /// Blocks until there is more to read, the journal has ended, or the time is over.
    #[must_use]
    pub fn wait_for_more(&self, timeout: Duration) -> More {
        let state = self.progress.wait_beyond(self.walk.position(), timeout);
        match (state.durable > self.walk.position(), state.ended) {
            (true, _) => More::Ready,
            (false, true) => More::Ended,
            (false, false) => More::TimedOut,
        }
    }
}

/// Names of cursors that have a reader.
#[derive(Debug, Default)]
pub struct CursorNames(Mutex<BTreeSet<&'static str>>);

/// Keeps a second reader away from a cursor for as long as it lives.
#[derive(Debug)]
pub struct CursorName {
    name: &'static str,
    taken: Arc<CursorNames>,
}

impl CursorName {
    pub fn take(name: &'static str, taken: &Arc<CursorNames>) -> Result<Self, JournalError> {
        if !taken.0.lock().expect("no holder panics").insert(name) {
            return Err(JournalError::CursorTaken { cursor: name });
        }
        Ok(Self { name, taken: Arc::clone(taken) })
    }
}

impl Drop for CursorName {
    fn drop(&mut self) {
        self.taken.0.lock().expect("no holder panics").remove(self.name);
    }
}

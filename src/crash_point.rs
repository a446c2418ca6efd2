//! Places at which a test may let this process die, to see that a start after it loses nothing. In release builds there are none.

/// Between two steps of which the second may not be the first's only witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CrashPoint {
    /// A group's frames are written, and not synced.
    JournalWritten,
    /// They are durable, and nobody was answered.
    JournalSynced,
    /// The first batch of a group was answered for, the others not.
    BatchAnswered,
    /// A segment was made, and nobody writes it yet.
    SegmentMade,
    /// A checkpoint is durable, and the journal still keeps what it stands for.
    CheckpointSynced,
    /// Rows are committed, and the journal's cursor stands before them.
    ArchiveCommitted,
    /// The cursor has moved.
    CursorMoved,
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::CrashPoint;

    static ARMED: OnceLock<(CrashPoint, AtomicU32)> = OnceLock::new();

    /// The process dies when it comes by this place for the `times`th time.
    pub fn arm(point: CrashPoint, times: u32) {
        let _only_the_first_counts = ARMED.set((point, AtomicU32::new(times)));
    }

    /// By SIGKILL: no destructor runs, no buffer is flushed.
    pub fn reached(point: CrashPoint) {
        let Some((armed, times)) = ARMED.get() else { return };
        if *armed == point && times.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _cannot_fail = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{arm, reached};

#[cfg(not(debug_assertions))]
pub const fn reached(_: CrashPoint) {}

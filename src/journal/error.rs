//! What can go wrong in the journal, with the file it went wrong in.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the folder {} is in use by another odograph process; stop that one or choose another folder with --data", directory.display())]
    Locked { directory: PathBuf },
    #[error("a restore into {} did not end; empty the data folder and restore again", directory.display())]
    HalfRestored { directory: PathBuf },
    #[error(
        "the journal wrote and deleted the segment before {at} while nobody looked; the machine is too busy for a backup, try again"
    )]
    Overtaken { at: u64 },
    #[error("could not {action} {}: {source}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} was written by a newer odograph (format {found}, this one reads up to {supported}); start that version again", path.display())]
    Newer { path: PathBuf, found: u8, supported: u8 },
    #[error("journal.segment is {segment_bytes} bytes; it must be at least {least_bytes}")]
    SegmentTooSmall { segment_bytes: u64, least_bytes: u64 },
    #[error("journal.max is {max_bytes} bytes; it must hold at least two segments of {segment_bytes} bytes")]
    MaxTooSmall { max_bytes: u64, segment_bytes: u64 },
    #[error("the journal's reader {cursor} exists already; a cursor has one reader at a time")]
    CursorTaken { cursor: &'static str },
    #[error("the journal was closed while there was no room for its last records; none of them was acknowledged")]
    ClosedWithoutRoom,
    #[error("the thread that makes room for the journal has failed")]
    SpaceFailed,
    #[error("could not start a thread of the journal: {0}")]
    Thread(#[source] io::Error),
}

/// The journal takes nothing more: its writer has ended. What was to be sent is not durable, its receipts are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal is closed")]
pub struct JournalClosed;

impl JournalError {
    /// Whether room on the disk would help: the one error that is waited out.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// Says what was attempted with which file.
pub(super) fn disk_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Disk { action, path: path.to_owned(), source }
}

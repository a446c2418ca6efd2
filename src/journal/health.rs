//! Whether the journal has room, as health checks tell it.

use std::fmt;
use std::path::PathBuf;

/// Whether the journal can keep what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JournalHealth {
    #[default]
    Ok,
    /// The disk is full. Everything accepted so far is safe; nothing more is acknowledged until there is room.
    NoSpace { directory: PathBuf },
    /// The journal has reached `journal.max`, since this consumer has not caught up.
    Full { bytes: u64, max_bytes: u64, cursor: String },
}

impl fmt::Display for JournalHealth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => formatter.write_str("ok"),
            Self::NoSpace { directory } => write!(formatter, "the disk of {} is full", directory.display()),
            Self::Full { bytes, max_bytes, cursor } => {
                write!(formatter, "the journal holds {bytes} of at most {max_bytes} bytes and waits for {cursor}")
            }
        }
    }
}

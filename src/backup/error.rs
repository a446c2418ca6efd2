//! What can go wrong with a backup or its return.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::JournalError;
use crate::storage::ArchiveError;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no data in {}: no service ever ran there; name its folder with --data or `data`", folder.display())]
    NoData { folder: PathBuf },
    #[error("{} is not empty; name a folder that is, or is not there", folder.display())]
    NotEmpty { folder: PathBuf },
    #[error("{} is no whole backup: {problem}", folder.display())]
    NotWhole { folder: PathBuf, problem: String },
    #[error("{} is damaged: {problem}; restore from another backup", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error(
        "the backup has {what} of format {found}, this version reads up to {supported}; restore it with version {program} or newer"
    )]
    Newer { what: &'static str, found: i64, supported: i64, program: String },
    #[error(
        "the backup holds {found}, and `archive.url` means {wanted}; restore with settings that mean the same kind of archive"
    )]
    OtherArchive { found: String, wanted: &'static str },
    #[error("could not {action} {}: {source}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl BackupError {
    /// Whether what was asked for would destroy something, or cannot be right.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::NoData { .. } | Self::NotEmpty { .. } | Self::Newer { .. } | Self::OtherArchive { .. } => true,
            Self::Archive(error) => matches!(error, ArchiveError::NotEmpty),
            Self::Journal(error) => matches!(error, JournalError::Locked { .. }),
            Self::NotWhole { .. } | Self::Damaged { .. } | Self::Disk { .. } => false,
        }
    }
}

/// Says what was attempted with which file.
pub(super) fn disk_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::Disk { action, path: path.to_owned(), source }
}

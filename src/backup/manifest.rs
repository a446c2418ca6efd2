//! What a backup says of itself: written last, so that a folder without it is no whole backup.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::disk_error;
use super::{BackupError, Formats, sync_folder, write};
use crate::domain::Timestamp;

const FILE: &str = "manifest.json";
const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    schema_version: u32,
    /// The version that took it.
    pub program: String,
    /// Everything that was acknowledged before is in it. RFC 3339.
    pub begun_at: String,
    pub formats: Formats,
    /// The archive's file; `None`: there was no archive yet.
    pub archive: Option<String>,
    pub files: Vec<FileEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileEntry {
    /// Below the backup's folder, with `/`.
    pub path: String,
    pub bytes: u64,
    /// Hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn new(begun_at: Timestamp, archive: Option<String>, files: Vec<FileEntry>) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let begun_at = begun_at.to_string();
        Self { schema_version: SCHEMA_VERSION, program, begun_at, formats: Formats::current(), archive, files }
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let text = serde_json::to_string_pretty(self).expect("text and numbers");
        write(&folder.join(FILE), &mut text.as_bytes())?;
        for folder in [&folder.join(super::JOURNAL), folder] {
            sync_folder(folder)?;
        }
        Ok(())
    }

    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(FILE);
        let not_whole = |problem| BackupError::NotWhole { folder: folder.to_owned(), problem };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(not_whole(format!("{FILE} is missing, which is written last")));
            }
            Err(error) => return Err(disk_error("read", &path)(error)),
        };
        // First, since a newer one may have other parts.
        let version: Version = serde_json::from_slice(&text).map_err(|error| not_whole(format!("{FILE}: {error}")))?;
        if version.schema_version > SCHEMA_VERSION {
            let (found, supported) = (version.schema_version.into(), SCHEMA_VERSION.into());
            return Err(BackupError::Newer { what: "a manifest", found, supported, program: version.program });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| not_whole(format!("{FILE}: {error}")))?;
        // Whoever wrote it must not make us write elsewhere.
        let is_inside = |path: &str| Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        match manifest.files.iter().find(|file| !is_inside(&file.path)) {
            Some(outside) => Err(not_whole(format!("{FILE} names {:?}, which is outside of it", outside.path))),
            None => Ok(manifest),
        }
    }

    /// What this program can start with.
    pub(super) fn refuse_newer(&self) -> Result<(), BackupError> {
        // A schema of the archive that the backup does not have is no matter.
        let is_used = |what: &str| match what {
            "sqlite" => self.archive.as_deref() == Some(crate::storage::backup::SQLITE_FILE),
            "postgres" => self.archive.as_deref() == Some(crate::storage::backup::POSTGRES_FILE),
            _ => true,
        };
        for ((what, found), (_, supported)) in self.formats.by_name().into_iter().zip(Formats::current().by_name()) {
            if found > supported && is_used(what) {
                return Err(BackupError::Newer { what, found, supported, program: self.program.clone() });
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Version {
    schema_version: u32,
    #[serde(default)]
    program: String,
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

//! Copies a journal out of its folder while another process may be writing it: what a backup needs, in an order in which nothing is missed.
//! Changes nothing in the folder and takes no lock. Writes no copies: `cli::backup`.
//!
//! ```text
//! Snapshot::begin   segments are opened, cursors read     opened files stay readable after their deletion
//!   the archive is copied                                 it has everything before the cursors, which move behind its commits
//! checkpoints       states of vehicles, up to their length now
//! segments          everything up to the last whole frame
//! ```
//! So the copied archive and states know nothing that the copied journal lacks, and what the archive lacks lies behind the copied cursor.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Take};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint_file;
use super::cursor;
use super::disk::DiskFile;
use super::error::{JournalError, disk_error};
use super::file_header::{FILE_HEADER_BYTES, FileHeader, FileKind};
use super::scan::{Extent, Scanned, Scanner};
use super::space::segment_start;

/// A file of the journal as it is to be copied: only so many bytes, whatever is written behind them.
#[derive(Debug)]
pub struct Piece {
    pub name: String,
    pub content: Take<File>,
}

/// What was there when a backup began, kept readable.
#[derive(Debug)]
pub struct Snapshot {
    directory: PathBuf,
    /// By start.
    segments: BTreeMap<u64, Pinned>,
    /// The newest of the first look: whatever came later followed on it without a gap.
    newest_at_first: Option<u64>,
    cursors: Vec<(String, Vec<u8>)>,
}

#[derive(Debug)]
struct Pinned {
    file: Arc<File>,
    path: PathBuf,
    inode: u64,
}

impl Snapshot {
    /// # Errors
    /// Where there is no journal, or it cannot be read.
    pub fn begin(directory: &Path) -> Result<Self, JournalError> {
        let mut snapshot =
            Self { directory: directory.to_owned(), segments: BTreeMap::new(), newest_at_first: None, cursors: Vec::new() };
        snapshot.keep_up()?;
        snapshot.newest_at_first = snapshot.segments.last_key_value().map(|(start, _)| *start);
        for name in snapshot.names()?.into_iter().filter(|name| cursor::is_file(name)) {
            let path = directory.join(&name);
            // Of its two halves one is always whole.
            let bytes = fs::read(&path).map_err(disk_error("read", &path))?;
            snapshot.cursors.push((name, bytes));
        }
        Ok(snapshot)
    }

    /// Opens segments that are new. To be called every so often until [`Snapshot::segments`], before a segment comes and goes.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn keep_up(&mut self) -> Result<(), JournalError> {
        for name in self.names()? {
            let Some(start) = segment_start(&name) else { continue };
            let path = self.directory.join(&name);
            let Some(metadata) = unless_gone(fs::metadata(&path), &path)? else { continue };
            let known = self.segments.get(&start);
            if known.is_some_and(|known| known.inode == metadata.ino()) {
                continue;
            }
            // A start removes segments that were made and never written, and makes new ones under the same names.
            if known.is_some_and(|known| known.is_written().unwrap_or(true)) {
                continue;
            }
            let Some(file) = unless_gone(File::open(&path), &path)? else { continue };
            let inode = file.metadata().map_err(disk_error("read", &path))?.ino();
            self.segments.insert(start, Pinned { file: Arc::new(file), path, inode });
        }
        Ok(())
    }

    /// As they were at the beginning, by file name.
    #[must_use]
    pub fn cursors(&self) -> &[(String, Vec<u8>)] {
        &self.cursors
    }

    /// The states of vehicles. To be copied before [`Snapshot::segments`] is called, and after the archive was.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn checkpoints(&self) -> Result<Option<Piece>, JournalError> {
        loop {
            let newest = self.names()?.into_iter().filter_map(|name| Some((checkpoint_file::generation(&name)?, name))).max();
            let Some((_, name)) = newest else { return Ok(None) };
            let path = self.directory.join(&name);
            // Gone: meanwhile it was rewritten under the next number.
            let Some(file) = unless_gone(File::open(&path), &path)? else { continue };
            let bytes = bytes_of(file.metadata(), &path)?;
            return Ok(Some(Piece { name, content: file.take(bytes) }));
        }
    }

    /// Every segment, the last one up to its last whole frame.
    ///
    /// # Errors
    /// Where one cannot be read, or came and went unseen.
    pub fn segments(mut self) -> Result<Vec<Piece>, JournalError> {
        self.keep_up()?;
        let mut pieces = Vec::new();
        let mut following = None;
        // From the newest backwards: what is written meanwhile is behind what is taken.
        for (start, pinned) in self.segments.iter().rev() {
            if !pinned.is_written()? {
                continue;
            }
            let file_bytes = bytes_of(pinned.file.metadata(), &pinned.path)?;
            let is_new = self.newest_at_first.is_none_or(|newest| *start >= newest);
            let bytes = match following {
                None => pinned.end_of_frames(*start, file_bytes)?,
                Some(next) if is_new && start + file_bytes != next => return Err(JournalError::Overtaken { at: next }),
                Some(_) => file_bytes,
            };
            following = Some(*start);
            let file = File::try_clone(&pinned.file).map_err(disk_error("read", &pinned.path))?;
            let name = pinned.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            pieces.push(Piece { name, content: file.take(bytes) });
        }
        if let (Some(newest), Some(oldest)) = (self.newest_at_first, following)
            && oldest > newest
        {
            return Err(JournalError::Overtaken { at: oldest });
        }
        pieces.reverse();
        Ok(pieces)
    }

    fn names(&self) -> Result<Vec<String>, JournalError> {
        let failed = || disk_error("list", &self.directory);
        let entries = fs::read_dir(&self.directory).map_err(failed())?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names.collect::<Result<Vec<_>, _>>().map_err(failed())?.into_iter().flatten().collect())
    }
}

impl Pinned {
    /// A segment is made full of zeros, and a frame begins with its length.
    fn is_written(&self) -> Result<bool, JournalError> {
        let mut first = [0; 8];
        DiskFile::read_at(&*self.file, &mut first, FILE_HEADER_BYTES).map_err(disk_error("read", &self.path))?;
        Ok(first != [0; 8])
    }

    fn end_of_frames(&self, start: u64, file_bytes: u64) -> Result<u64, JournalError> {
        let file: Arc<dyn DiskFile> = Arc::<File>::clone(&self.file);
        // A start would not find frames in it either; it is copied for whoever looks into it.
        let Some(header) = FileHeader::read(&*file, FileKind::Segment, &self.path)? else { return Ok(file_bytes) };
        let extent = Extent { start, from: FILE_HEADER_BYTES, limit: file_bytes.max(FILE_HEADER_BYTES) };
        let mut scanner = Scanner::new(file, self.path.clone(), header.seal, extent);
        let mut end_of_frames = FILE_HEADER_BYTES;
        loop {
            match scanner.next()? {
                Scanned::Frame { end, .. } => end_of_frames = end,
                Scanned::Damage(_) => {}
                Scanned::End(_) => return Ok(end_of_frames),
            }
        }
    }
}

fn unless_gone<T>(result: std::io::Result<T>, path: &Path) -> Result<Option<T>, JournalError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk_error("read", path)(error)),
    }
}

fn bytes_of(metadata: std::io::Result<Metadata>, path: &Path) -> Result<u64, JournalError> {
    Ok(metadata.map_err(disk_error("read", path))?.len())
}

//! Takes a backup of a deployment, also while its service runs, and puts one back. ARCHITECTURE, *A backup*, says why in this order.
//!
//! `journal::backup` knows which bytes of the journal, `storage::backup` how an archive is copied; here both become one folder with a
//! manifest. Keeps no backups and deletes none.

mod error;
mod formats;
mod manifest;
mod restore;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use self::error::disk_error;
use self::manifest::{FileEntry, hexadecimal};
use crate::clock;
use crate::journal::{Piece, Snapshot};
use crate::settings::Settings;
use crate::storage::{self, ArchiveAddress};

pub use self::error::BackupError;
pub use self::formats::Formats;
pub use self::manifest::Manifest;
pub use self::restore::restore;

/// In a backup, as in a data folder.
const JOURNAL: &str = "journal";
const LAST_KNOWN: &str = "archive-last-known";
/// For people: what was in force, without passwords. Nothing reads it.
const SETTINGS: &str = "settings.toml";

/// A segment takes seconds to fill even on a fast machine, and is deleted at the earliest with the next checkpoint, 10 s later.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const COPY_BYTES: usize = 1 << 20;

/// Copies everything that was acknowledged before the call, and more. `into` must be empty or not there.
///
/// # Errors
/// Where there is nothing to copy, `into` is in use, or journal, archive or disk fail. What was written by then is left, without a manifest.
pub async fn take(settings: &Settings, into: &Path) -> Result<Manifest, BackupError> {
    let journal = settings.data.join(JOURNAL);
    if !journal.is_dir() {
        return Err(BackupError::NoData { folder: settings.data.clone() });
    }
    let address = ArchiveAddress::read(&settings.archive.url, &settings.data)?;
    make_empty(into)?;
    let begun_at = clock::now();
    let mut snapshot = Snapshot::begin(&journal)?;
    let mut target = Target { folder: into.to_owned(), files: Vec::new() };
    for (name, content) in snapshot.cursors() {
        target.add(&format!("{JOURNAL}/{name}"), &**content)?;
    }
    let archive = copy_archive(settings, &address, &mut snapshot, &mut target).await?;
    copy_other_databases(settings, &address, &mut target).await?;
    target.add_folder(&settings.data, LAST_KNOWN)?;
    target.add(SETTINGS, settings.clone().without_passwords().to_toml().as_bytes())?;
    if let Some(Piece { name, content }) = snapshot.checkpoints()? {
        target.add(&format!("{JOURNAL}/{name}"), content)?;
    }
    for Piece { name, content } in snapshot.segments()? {
        target.add(&format!("{JOURNAL}/{name}"), content)?;
    }
    let manifest = Manifest::new(begun_at, archive, target.files);
    manifest.write(into)?;
    Ok(manifest)
}

/// While segments that are new are kept. Returns the file's name; `None`: there is no archive yet.
async fn copy_archive(
    settings: &Settings,
    address: &ArchiveAddress,
    snapshot: &mut Snapshot,
    target: &mut Target,
) -> Result<Option<String>, BackupError> {
    if matches!(address, ArchiveAddress::Sqlite(file) if !file.exists()) {
        return Ok(None);
    }
    let name = storage::backup::file_name(address);
    let path = target.folder.join(name);
    let mut copying = std::pin::pin!(storage::backup::copy(address, &settings.archive.url, &path));
    loop {
        tokio::select! {
            copied = &mut copying => break copied?,
            () = tokio::time::sleep(LOOK_EVERY) => snapshot.keep_up()?,
        }
    }
    target.note(name)?;
    Ok(Some(name.to_owned()))
}

/// Small ones, each of which a consumer of the journal fills.
async fn copy_other_databases(settings: &Settings, address: &ArchiveAddress, target: &mut Target) -> Result<(), BackupError> {
    let data = &settings.data;
    for entry in fs::read_dir(data).map_err(disk_error("list", data))? {
        let path = entry.map_err(disk_error("list", data))?.path();
        let is_archive = matches!(address, ArchiveAddress::Sqlite(file) if *file == path);
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".sqlite") && name != storage::backup::SQLITE_FILE && !is_archive {
            storage::backup::copy_file(&path, &target.folder.join(name)).await?;
            target.note(name)?;
        }
    }
    Ok(())
}

/// A backup that is being written.
struct Target {
    folder: PathBuf,
    files: Vec<FileEntry>,
}

impl Target {
    fn add(&mut self, name: &str, mut content: impl Read) -> Result<(), BackupError> {
        let (bytes, sha256) = write(&self.folder.join(name), &mut content)?;
        self.files.push(FileEntry { path: name.to_owned(), bytes, sha256 });
        Ok(())
    }

    /// Somebody else wrote it.
    fn note(&mut self, name: &str) -> Result<(), BackupError> {
        let path = self.folder.join(name);
        let mut file = File::open(&path).map_err(disk_error("read", &path))?;
        file.sync_all().map_err(disk_error("sync", &path))?;
        let (bytes, sha256) = copy(&mut file, &mut io::sink()).map_err(disk_error("read", &path))?;
        self.files.push(FileEntry { path: name.to_owned(), bytes, sha256 });
        Ok(())
    }

    /// The files in a folder, if it is there.
    fn add_folder(&mut self, data: &Path, name: &str) -> Result<(), BackupError> {
        let folder = data.join(name);
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        for entry in entries {
            let entry = entry.map_err(disk_error("list", &folder))?;
            let path = entry.path();
            if path.is_file() {
                let file = File::open(&path).map_err(disk_error("read", &path))?;
                self.add(&format!("{name}/{}", entry.file_name().to_string_lossy()), file)?;
            }
        }
        Ok(())
    }
}

/// Telemetry says where people are: nobody else may look into it.
fn make_empty(folder: &Path) -> Result<(), BackupError> {
    if !is_empty(folder)? {
        return Err(BackupError::NotEmpty { folder: folder.to_owned() });
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(disk_error("make", folder))
}

/// Or not there. The root of a disk of its own has a folder that is not ours.
fn is_empty(folder: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().all(|entry| entry.file_name() == "lost+found")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(disk_error("list", folder)(error)),
    }
}

/// A new file, durable; returns its length and SHA-256.
fn write(path: &Path, content: &mut dyn Read) -> Result<(u64, String), BackupError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(disk_error("make", folder))?;
    }
    let mut file = File::options().write(true).create_new(true).open(path).map_err(disk_error("make", path))?;
    let written = copy(content, &mut file).map_err(disk_error("write", path))?;
    file.sync_all().map_err(disk_error("sync", path))?;
    Ok(written)
}

fn copy(from: &mut dyn Read, into: &mut dyn Write) -> io::Result<(u64, String)> {
    let (mut piece, mut bytes, mut sha256) = (vec![0; COPY_BYTES], 0, Sha256::new());
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok((bytes, hexadecimal(&sha256.finalize()))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        into.write_all(&piece[..read])?;
        sha256.update(&piece[..read]);
        bytes += read as u64;
    }
}

/// Names in a folder are durable.
fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk_error("sync", folder))
}

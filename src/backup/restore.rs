//! Puts a backup back into an empty data folder, and its archive where the settings have it. Starts nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::error::disk_error;
use super::manifest::{FileEntry, Manifest};
use super::{BackupError, JOURNAL, SETTINGS, copy, is_empty, make_empty, sync_folder, write};
use crate::journal::{self, Filling};
use crate::settings::Settings;
use crate::storage::{self, ArchiveAddress};

/// # Errors
/// Where the data folder is in use or not empty, the backup is not whole, damaged or of a newer version, or disk or archive fail. Until all
/// of it is there, no service starts on the folder.
pub async fn restore(settings: &Settings, from: &Path) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(from)?;
    manifest.refuse_newer()?;
    let address = ArchiveAddress::read(&settings.archive.url, &settings.data)?;
    let wanted = storage::backup::file_name(&address);
    if let Some(found) = manifest.archive.as_deref().filter(|found| *found != wanted) {
        return Err(BackupError::OtherArchive { found: found.to_owned(), wanted });
    }
    let journal = settings.data.join(JOURNAL);
    if journal::is_held(&journal)? {
        return Err(journal::JournalError::Locked { directory: journal }.into());
    }
    if !is_empty(&settings.data)? {
        return Err(BackupError::NotEmpty { folder: settings.data.clone() });
    }
    for entry in &manifest.files {
        check(from, entry)?;
    }
    make_empty(&settings.data)?;
    let filling = Filling::begin(&journal)?;
    match fill(settings, &address, from, &manifest).await {
        Ok(()) => filling.finish()?,
        Err(error) => {
            // Nothing was there before. What cannot be removed stays with its mark, and no service starts on it.
            let _as_far_as_possible = empty(&settings.data);
            return Err(error);
        }
    }
    Ok(manifest)
}

async fn fill(settings: &Settings, address: &ArchiveAddress, from: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    for entry in manifest.files.iter().filter(|entry| entry.path != SETTINGS && Some(&entry.path) != manifest.archive.as_ref()) {
        let source = from.join(&entry.path);
        let mut file = File::open(&source).map_err(disk_error("read", &source))?;
        let written = write(&settings.data.join(&entry.path), &mut file)?;
        compare(&source, entry, written)?;
    }
    for folder in [&settings.data.join(JOURNAL), &settings.data] {
        sync_folder(folder)?;
    }
    // Last, since a server's cannot be taken back.
    if let Some(name) = &manifest.archive {
        storage::backup::put_back(address, &settings.archive.url, &from.join(name)).await?;
    }
    sync_folder(&settings.data)
}

fn check(from: &Path, entry: &FileEntry) -> Result<(), BackupError> {
    let path = from.join(&entry.path);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BackupError::Damaged { path, problem: "it is missing".to_owned() });
        }
        Err(error) => return Err(disk_error("read", &path)(error)),
    };
    let found = copy(&mut file, &mut io::sink()).map_err(disk_error("read", &path))?;
    compare(&path, entry, found)
}

fn compare(path: &Path, entry: &FileEntry, (bytes, sha256): (u64, String)) -> Result<(), BackupError> {
    if (bytes, &sha256) == (entry.bytes, &entry.sha256) {
        return Ok(());
    }
    let problem = format!("it has {bytes} bytes and SHA-256 {sha256}, the manifest has {} and {}", entry.bytes, entry.sha256);
    Err(BackupError::Damaged { path: path.to_owned(), problem })
}

/// The journal last, which has the mark.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Some(JOURNAL | "lost+found") => {}
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_dir_all(folder.join(JOURNAL))
}

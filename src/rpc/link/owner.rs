//! Which run of the analytics role may write: one number in a file beside the journal, so that a restart of storage does not let an older
//! one back in.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// In the data folder.
const FILE: &str = "lanes-owner";

#[derive(Debug)]
pub(super) struct Owner {
    file: PathBuf,
    session: Option<u64>,
}

impl Owner {
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn open(data: &Path) -> std::io::Result<Self> {
        let file = data.join(FILE);
        let session = match std::fs::read_to_string(&file) {
            Ok(text) => u64::from_str_radix(text.trim(), 16).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, session })
    }

    pub fn is(&self, session: u64) -> bool {
        self.session == Some(session)
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// Where the file cannot be written; the one before stays.
    pub fn change(&mut self, session: u64) -> std::io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = File::create(&new)?;
        writeln!(file, "{session:016x}")?;
        file.sync_all()?;
        std::fs::rename(&new, &self.file)?;
        if let Some(folder) = self.file.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.session = Some(session);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_owner_is_known_after_a_restart_and_nobody_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut owner = Owner::open(folder.path()).unwrap();
        assert!(!owner.is(0));
        owner.change(7).unwrap();
        owner.change(8).unwrap();
        let owner = Owner::open(folder.path()).unwrap();
        assert!(owner.is(8) && !owner.is(7));
    }
}

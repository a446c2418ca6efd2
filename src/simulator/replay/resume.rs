//! What of a replay was acknowledged, in a small file, so that a replay that was cut goes on where it was.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeFile {
    schema_version: u32,
    /// What decides which row is which reading; another map or thinning would count differently.
    pub settings: String,
    files: BTreeMap<PathBuf, FileMark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMark {
    /// Readings from the start of the file.
    pub acknowledged: u64,
    /// Added to every moment.
    pub shift_micros: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    #[error("could not read or write the resume file {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no resume file of this version: {source}", path.display())]
    Syntax { path: PathBuf, source: serde_json::Error },
    #[error("{} belongs to a replay with {found}, this one has {wanted}; give another --resume", path.display())]
    OtherSettings { path: PathBuf, found: String, wanted: String },
}

impl ResumeFile {
    #[must_use]
    pub const fn new(settings: String) -> Self {
        Self { schema_version: SCHEMA_VERSION, settings, files: BTreeMap::new() }
    }

    /// The file at `path`, or a new one where there is none.
    ///
    /// # Errors
    /// Where the file is none, or of a replay with other settings.
    pub fn load(path: &Path, settings: String) -> Result<Self, ResumeError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::new(settings)),
            Err(source) => return Err(ResumeError::Io { path: path.to_owned(), source }),
        };
        let found: Self =
            serde_json::from_slice(&text).map_err(|source| ResumeError::Syntax { path: path.to_owned(), source })?;
        if found.settings != settings || found.schema_version != SCHEMA_VERSION {
            return Err(ResumeError::OtherSettings { path: path.to_owned(), found: found.settings, wanted: settings });
        }
        Ok(found)
    }

    #[must_use]
    pub fn mark(&self, path: &Path) -> Option<FileMark> {
        self.files.get(path).copied()
    }

    pub fn set(&mut self, marks: impl IntoIterator<Item = (PathBuf, FileMark)>) {
        self.files.extend(marks);
    }

    /// Replaces the file at `path` as a whole: a cut leaves the old one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ResumeError> {
        let io = |source| ResumeError::Io { path: path.to_owned(), source };
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let text = serde_json::to_vec_pretty(self).map_err(|source| ResumeError::Syntax { path: path.to_owned(), source })?;
        fs::write(&new, text).map_err(io)?;
        fs::rename(&new, path).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_the_file_and_other_settings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume.json");
        let mut file = ResumeFile::load(&path, "columns kit_obd2".to_owned()).unwrap();
        let mark = FileMark { acknowledged: 7, shift_micros: -3 };
        file.set([(PathBuf::from("a.csv"), mark)]);
        file.save(&path).unwrap();
        let again = ResumeFile::load(&path, "columns kit_obd2".to_owned()).unwrap();
        assert_eq!(again.mark(Path::new("a.csv")), Some(mark));
        assert!(matches!(ResumeFile::load(&path, "columns carobd".to_owned()), Err(ResumeError::OtherSettings { .. })));
    }
}

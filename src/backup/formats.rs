//! The versions of everything that this program leaves on disk: in a backup's manifest, and for the test that old ones are still read.

use serde::{Deserialize, Serialize};

use crate::{analytics, journal, storage};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
// What an earlier program did not have is of version 0.
#[serde(default)]
pub struct Formats {
    /// Frames and file headers of segments and checkpoints.
    pub journal: i64,
    pub cursors: i64,
    /// Of vehicles, in checkpoints.
    pub states: i64,
    pub cohorts: i64,
    /// The last migration of each archive.
    pub sqlite: i64,
    pub postgres: i64,
}

impl Formats {
    /// What this program writes.
    #[must_use]
    pub fn current() -> Self {
        Self {
            journal: journal::FORMAT_VERSION.into(),
            cursors: journal::CURSOR_VERSION.into(),
            states: analytics::vehicle::STATE_VERSION.into(),
            cohorts: analytics::profile::COHORTS_VERSION.into(),
            sqlite: storage::sqlite_schema(),
            postgres: storage::postgres_schema(),
        }
    }

    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, i64); 6] {
        [
            ("journal", self.journal),
            ("cursors", self.cursors),
            ("states", self.states),
            ("cohorts", self.cohorts),
            ("sqlite", self.sqlite),
            ("postgres", self.postgres),
        ]
    }
}

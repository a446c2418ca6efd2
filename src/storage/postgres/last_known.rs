//! What a start needs of the archive, as it last answered: kept in the data folder, so that a start with the server down judges by the same
//! configuration and knows the same vehicles. Everything else waits for the server.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::{Timestamp, VehicleId, VehicleRecord};
use crate::storage::configurations::StoredConfiguration;

const CONFIGURATION: &str = "configuration.json";
const VEHICLES: &str = "vehicles.json";

/// A folder; none: nothing is kept.
#[derive(Debug, Clone, Default)]
pub struct LastKnown(Option<PathBuf>);

impl LastKnown {
    #[must_use]
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self(Some(folder))
    }

    #[must_use]
    pub fn configuration(&self) -> Option<StoredConfiguration> {
        let (revision, created_at, content) = self.read(CONFIGURATION)?;
        Some(StoredConfiguration { revision, created_at: Timestamp::from_micros(created_at), content })
    }

    pub fn keep_configuration(&self, newest: &StoredConfiguration) {
        self.keep(CONFIGURATION, &(newest.revision, newest.created_at.as_micros(), &newest.content));
    }

    /// `None`: not known, which is not the same as none.
    #[must_use]
    pub fn vehicles(&self) -> Option<Vec<(VehicleId, VehicleRecord)>> {
        let registered: Vec<(String, VehicleRecord)> = self.read(VEHICLES)?;
        registered.into_iter().map(|(id, record)| Some((VehicleId::new(&id).ok()?, record))).collect()
    }

    pub fn keep_vehicles(&self, registered: &[(VehicleId, VehicleRecord)]) {
        self.keep(VEHICLES, &registered);
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = std::fs::read(self.0.as_ref()?.join(name)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Failing here costs nothing but the start that would have needed it.
    fn keep(&self, name: &str, known: &impl Serialize) {
        let Some(folder) = &self.0 else { return };
        if let Err(error) = write(&folder.join(name), known) {
            tracing::warn!(%error, file = %folder.join(name).display(), "could not keep what the archive said; a start without it will not know");
        }
    }
}

/// In place of what was there, whole or not at all.
fn write(file: &Path, known: &impl Serialize) -> std::io::Result<()> {
    let folder = file.parent().expect("it is in a folder");
    std::fs::create_dir_all(folder)?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(&serde_json::to_vec(known)?)?;
    fresh.as_file().sync_data()?;
    fresh.persist(file)?;
    Ok(())
}

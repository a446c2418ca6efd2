//! What judges readings, as it is kept by revision: enough to judge them again in a year. Builds lanes from it: `Configuration::blueprint`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::analytics::blueprint::{Blueprint, ModelSource, Records};
use crate::analytics::checks::Checks;
use crate::analytics::rules::Rules;
use crate::domain::{SignalTable, Timestamp};
use crate::settings::{self, SignalSetting, signal_table};
use crate::storage::SqliteArchive;

/// Read by every later version: fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    pub rules: settings::Rules,
    pub signals: Vec<SignalSetting>,
    /// Memory of one vehicle's window: a window that is cut makes features missing.
    pub window_bytes: settings::ByteSize,
    pub models: Vec<ModelReference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReference {
    /// Where the file was.
    pub origin: PathBuf,
    /// Of the file: which bytes it was.
    pub sha256: String,
}

impl Configuration {
    #[must_use]
    pub fn new(settings: &settings::Settings, models: &[ModelSource]) -> Self {
        let reference = |model: &ModelSource| ModelReference { origin: model.origin.clone(), sha256: sha256(&model.file) };
        Self {
            rules: settings.rules.clone(),
            signals: settings.signals.clone(),
            window_bytes: settings.analytics.window_bytes,
            models: models.iter().map(reference).collect(),
        }
    }

    /// Its revision: the one in force, where nothing changed.
    pub async fn keep(&self, models: &[ModelSource], archive: &SqliteArchive, at: Timestamp) -> anyhow::Result<u64> {
        for (model, reference) in models.iter().zip(&self.models) {
            archive.put_model_file(&reference.sha256, &model.file).await?;
        }
        Ok(archive.put_configuration(&serde_json::to_string(self)?, at).await?)
    }

    pub async fn load(revision: u64, archive: &SqliteArchive) -> anyhow::Result<Self> {
        let stored = archive.configuration(revision).await?;
        let stored = stored.with_context(|| format!("the archive has no configuration of revision {revision}"))?;
        serde_json::from_str(&stored.content).with_context(|| format!("configuration {revision} cannot be read"))
    }

    /// What lanes were made of when it was in force.
    pub async fn blueprint(&self, revision: u64, archive: &SqliteArchive, library: PathBuf) -> anyhow::Result<Blueprint> {
        let mut models = Vec::with_capacity(self.models.len());
        for reference in &self.models {
            let file = archive.model_file(&reference.sha256).await?;
            let file = file.with_context(|| format!("the archive has no model file {}", reference.sha256))?;
            models.push(ModelSource { origin: reference.origin.clone(), file: file.into() });
        }
        Ok(Blueprint {
            settings: settings::Analytics { window_bytes: self.window_bytes, ..settings::Analytics::default() },
            table: Arc::new(self.table()),
            models,
            checks: Arc::new(Checks { revision, rules: Rules::new(&self.rules)? }),
            records: Records::default(),
            library,
        })
    }

    #[must_use]
    pub fn table(&self) -> SignalTable {
        signal_table(&self.signals)
    }
}

fn sha256(file: &[u8]) -> String {
    Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect()
}

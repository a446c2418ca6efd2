//! What every lane of a process is built from, live or offline: settings, signals, models, checks, vehicles. Starts nothing: `lanes`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::checks::Checks;
use super::features::FeatureNameError;
use super::lane::{CHECKPOINT_GROUPS_MAX, LaneParts};
use super::model::{Model, ModelError, Runtime, RuntimeError};
use super::scoring::Scoring;
use crate::domain::{SignalTable, VehicleId, VehicleRecord};
use crate::settings;

#[derive(Debug, Clone)]
pub struct Blueprint {
    pub settings: settings::Analytics,
    pub table: Arc<SignalTable>,
    pub models: Vec<ModelSource>,
    pub checks: Arc<Checks>,
    pub records: Records,
    /// The library of ONNX Runtime; loaded only if there are models.
    pub library: PathBuf,
}

/// A model file, read.
#[derive(Debug, Clone)]
pub struct ModelSource {
    /// Where it came from, for messages.
    pub origin: PathBuf,
    pub file: Arc<[u8]>,
}

type Lookup = dyn Fn(&VehicleId) -> Option<Arc<VehicleRecord>> + Send + Sync;

/// What people say about vehicles, as lanes ask for it.
#[derive(Clone)]
pub struct Records {
    pub of: Arc<Lookup>,
    /// Rises with every change: lanes ask again.
    pub generation: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
pub enum BlueprintError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("model {}: {error}", origin.display())]
    Model { origin: PathBuf, error: ModelError },
    #[error("two models are called {name:?}: the second is {}", origin.display())]
    SameName { name: Arc<str>, origin: PathBuf },
    #[error(transparent)]
    Features(#[from] FeatureNameError),
}

impl Default for Records {
    /// Nobody registered anything.
    fn default() -> Self {
        Self { of: Arc::new(|_| None), generation: Arc::default() }
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Records")
    }
}

impl Blueprint {
    /// The parts of `count` lanes, each with model sessions of its own.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn parts(&self, count: usize) -> Result<Vec<LaneParts>, BlueprintError> {
        let runtime = if self.models.is_empty() { None } else { Some(Runtime::load(&self.library)?) };
        let parts: Vec<LaneParts> = (0..count).map(|_| self.parts_of_one(runtime.as_ref())).collect::<Result<_, _>>()?;
        // All lanes have the same models.
        for (contract, why) in parts.first().into_iter().flat_map(|parts| parts.scoring.without_alerts()) {
            tracing::info!(model = %contract.name, version = %contract.version, %why, "a model scores and never alerts");
        }
        Ok(parts)
    }

    fn parts_of_one(&self, runtime: Option<&Runtime>) -> Result<LaneParts, BlueprintError> {
        let mut models: Vec<Model> = Vec::with_capacity(self.models.len());
        for source in &self.models {
            let Some(runtime) = runtime else { break };
            let origin = || source.origin.clone();
            let model = Model::load(runtime, &source.file, &self.table);
            let model = model.map_err(|error| BlueprintError::Model { origin: origin(), error })?;
            let name = &model.contract().name;
            if models.iter().any(|other| other.contract().name == *name) {
                return Err(BlueprintError::SameName { name: Arc::clone(name), origin: origin() });
            }
            models.push(model);
        }
        let groups = usize::try_from(self.settings.checkpoint_every.duration().as_secs()).unwrap_or(usize::MAX);
        Ok(LaneParts {
            table: Arc::clone(&self.table),
            scoring: Scoring::new(models, &self.table, self.settings.batch_max)?.alerting(&self.settings.alert),
            checks: Arc::clone(&self.checks),
            records: self.records.clone(),
            window_bytes: usize::try_from(self.settings.window_bytes.bytes()).unwrap_or(usize::MAX),
            checkpoint_groups: groups.clamp(1, CHECKPOINT_GROUPS_MAX),
        })
    }
}

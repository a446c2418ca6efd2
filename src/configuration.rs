//! What judges readings, as it is kept by revision: enough to judge them again in a year. Builds lanes from it: `Configuration::blueprint`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::analytics::blueprint::{Blueprint, ModelSource, Records};
use crate::analytics::checks::Checks;
use crate::analytics::fences::FenceSet;
use crate::analytics::lanes::LaneInlet;
use crate::analytics::rules::Rules;
use crate::domain::{Fence, SignalTable, Timestamp};
use crate::fleet::FencesRefused;
use crate::settings::{self, SignalSetting, signal_table};
use crate::storage::{ArchiveError, SharedArchive};
use crate::wire::geojson;

/// Revision of what judged while the archive could not be asked: nobody can look it up.
pub const NOT_KEPT: u64 = 0;

/// Read by every later version: fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    pub rules: settings::Rules,
    pub signals: Vec<SignalSetting>,
    /// GeoJSON.
    #[serde(default)]
    pub fences: String,
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
    pub fn new(settings: &settings::Settings, fences: &[Fence], models: &[ModelSource]) -> Self {
        let reference = |model: &ModelSource| ModelReference { origin: model.origin.clone(), sha256: sha256(&model.file) };
        Self {
            rules: settings.rules.clone(),
            signals: settings.signals.clone(),
            fences: geojson::write(fences),
            window_bytes: settings.analytics.window_bytes,
            models: models.iter().map(reference).collect(),
        }
    }

    /// Its revision: the one in force, where nothing changed.
    pub async fn keep(&self, models: &[ModelSource], archive: &SharedArchive, at: Timestamp) -> anyhow::Result<u64> {
        let content = serde_json::to_string(self)?;
        if let Some(newest) = archive.newest_configuration().await?.filter(|newest| newest.content == content) {
            return Ok(newest.revision);
        }
        for (model, reference) in models.iter().zip(&self.models) {
            archive.put_model_file(&reference.sha256, &model.file).await?;
        }
        Ok(archive.put_configuration(&content, at).await?)
    }

    pub async fn load(revision: u64, archive: &SharedArchive) -> anyhow::Result<Self> {
        ensure!(revision != NOT_KEPT, "it was judged while the archive could not be reached, so what judged is not known");
        let stored = archive.configuration(revision).await?;
        let stored = stored.with_context(|| format!("the archive has no configuration of revision {revision}"))?;
        serde_json::from_str(&stored.content).with_context(|| format!("configuration {revision} cannot be read"))
    }

    /// What lanes were made of when it was in force.
    pub async fn blueprint(&self, revision: u64, archive: &SharedArchive, library: PathBuf) -> anyhow::Result<Blueprint> {
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
            checks: Arc::new(self.checks(revision)?),
            records: Records::default(),
            library,
        })
    }

    /// What it checks readings against, besides models.
    pub fn checks(&self, revision: u64) -> anyhow::Result<Checks> {
        let fences = Arc::new(FenceSet::compile(self.fences()?));
        Ok(Checks { revision, rules: Rules::new(&self.rules)?, fences })
    }

    pub fn fences(&self) -> anyhow::Result<Vec<Fence>> {
        if self.fences.is_empty() { Ok(Vec::new()) } else { Ok(geojson::read(&self.fences)?) }
    }

    #[must_use]
    pub fn table(&self) -> SignalTable {
        signal_table(&self.signals)
    }
}

pub(crate) fn sha256(file: &[u8]) -> String {
    hex(&Sha256::digest(file))
}

pub(crate) fn hex(digest: &[u8]) -> String {
    let mut text = String::with_capacity(2 * digest.len());
    for byte in digest {
        let _never_fails = write!(text, "{byte:02x}");
    }
    text
}

/// What judges from the start on, and its revision. Where the archive cannot be asked and nothing is known of what it had, that is
/// [`NOT_KEPT`] until [`InForce::catch_up`].
pub async fn at_start(
    settings: &settings::Settings,
    models: &[ModelSource],
    archive: &SharedArchive,
) -> anyhow::Result<(Configuration, u64)> {
    let fences = match fences_at_start(&settings.fences, archive).await {
        Err(error) if is_away(&error) => Vec::new(),
        fences => fences?,
    };
    let configuration = Configuration::new(settings, &fences, models);
    match configuration.keep(models, archive, crate::clock::now()).await {
        Err(error) if is_away(&error) => Ok((configuration, NOT_KEPT)),
        revision => Ok((configuration, revision?)),
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(ArchiveError::is_away)
}

/// The fences of the settings; where they name no file, those that were in force last.
async fn fences_at_start(settings: &settings::Fences, archive: &SharedArchive) -> anyhow::Result<Vec<Fence>> {
    if settings.files.is_empty() {
        let Some(newest) = archive.newest_configuration().await? else { return Ok(Vec::new()) };
        return serde_json::from_str::<Configuration>(&newest.content)?.fences();
    }
    Ok(geojson::read_files(&settings.files)?)
}

/// The configuration in force, and how it is changed while the process runs: one change at a time, kept before it counts.
#[derive(Clone)]
pub struct InForce(Arc<Inner>);

struct Inner {
    state: tokio::sync::Mutex<State>,
    models: Vec<ModelSource>,
    archive: SharedArchive,
    lanes: LaneInlet,
    /// Settings that name files would bring theirs back with the next start.
    fences_are_files: bool,
}

struct State {
    configuration: Configuration,
    revision: u64,
}

impl InForce {
    #[must_use]
    pub fn new(
        (configuration, revision): (Configuration, u64),
        models: Vec<ModelSource>,
        archive: SharedArchive,
        lanes: LaneInlet,
        fences_are_files: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            state: tokio::sync::Mutex::new(State { configuration, revision }),
            models,
            archive,
            lanes,
            fences_are_files,
        }))
    }

    /// GeoJSON.
    pub async fn fences(&self) -> String {
        self.0.state.lock().await.configuration.fences.clone()
    }

    /// All fences are replaced. Returns the revision that has them.
    pub async fn put_fences(&self, text: &str) -> Result<u64, FencesRefused> {
        if self.0.fences_are_files {
            return Err(FencesRefused::Files);
        }
        let fences = geojson::read(text).map_err(|error| FencesRefused::Mistakes(error.to_string()))?;
        let mut state = self.0.state.lock().await;
        let next = Configuration { fences: geojson::write(&fences), ..state.configuration.clone() };
        let failed = |error: anyhow::Error| FencesRefused::NotKept(format!("{error:#}"));
        self.put(&mut state, next).await.map_err(failed)
    }

    /// Whether what judges can be looked up later.
    pub async fn is_kept(&self) -> bool {
        self.0.state.lock().await.revision != NOT_KEPT
    }

    /// After a start without the archive: what judges is kept, with the fences that were in force last, and judges by its revision from
    /// then on.
    pub async fn catch_up(&self) -> anyhow::Result<()> {
        let mut state = self.0.state.lock().await;
        if state.revision != NOT_KEPT {
            return Ok(());
        }
        let mut next = state.configuration.clone();
        if !self.0.fences_are_files
            && let Some(newest) = self.0.archive.newest_configuration().await?
        {
            next.fences = serde_json::from_str::<Configuration>(&newest.content)?.fences;
        }
        self.put(&mut state, next).await.map(|_revision| ())
    }

    async fn put(&self, state: &mut State, next: Configuration) -> anyhow::Result<u64> {
        let revision = next.keep(&self.0.models, &self.0.archive, crate::clock::now()).await?;
        self.0.lanes.exchange(&Arc::new(next.checks(revision)?)).await?;
        *state = State { configuration: next, revision };
        Ok(revision)
    }
}

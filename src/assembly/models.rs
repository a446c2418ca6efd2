//! Which models score: those that the settings name, else the ones that are part of the binary. Loads none into the runtime: `analytics::blueprint`.

use std::path::Path;

use anyhow::Context;

use crate::analytics::blueprint::ModelSource;
use crate::settings;

/// Models that are part of the binary; they score where the settings name none.
const SHIPPED_MODELS: &[(&str, &[u8])] = &[
    (
        "models/fleet_isolation_forest/fleet_isolation_forest.onnx",
        include_bytes!("../../models/fleet_isolation_forest/fleet_isolation_forest.onnx"),
    ),
    ("models/drive_window/drive_window.onnx", include_bytes!("../../models/drive_window/drive_window.onnx")),
];
/// In `analytics.models`: score nothing.
pub const NO_MODEL: &str = "none";

/// The models that are part of this program.
pub fn shipped_models() -> Vec<ModelSource> {
    let source = |(name, file): &(&str, &[u8])| ModelSource { origin: Path::new(name).to_owned(), file: (*file).into() };
    SHIPPED_MODELS.iter().map(source).collect()
}

/// Those that the settings name, else the shipped ones.
pub(super) fn of(settings: &settings::Analytics) -> anyhow::Result<Vec<ModelSource>> {
    if settings.models.is_empty() {
        return Ok(shipped_models());
    }
    let named = settings.models.iter().filter(|path| path.as_path() != Path::new(NO_MODEL));
    let read = named.map(|path| {
        let file =
            std::fs::read(path).with_context(|| format!("cannot read the model {} of `analytics.models`", path.display()))?;
        Ok(ModelSource { origin: path.clone(), file: file.into() })
    });
    read.collect()
}

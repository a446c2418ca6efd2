//! Fences as the dashboard asks for them; who keeps them, and where, is not its business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How fences are asked for and replaced.
#[derive(Clone)]
pub struct Fences {
    /// GeoJSON.
    pub get: Arc<dyn Fn() -> Later<Result<String, FencesRefused>> + Send + Sync>,
    /// Answers with the revision of the configuration that has them.
    pub put: Arc<dyn Fn(String) -> Later<Result<u64, FencesRefused>> + Send + Sync>,
}

#[derive(Debug, thiserror::Error)]
pub enum FencesRefused {
    #[error("the settings name files with fences (`fences.files`); change those and start again")]
    Files,
    #[error("{0}")]
    Mistakes(String),
    #[error("the fences could not be kept, so the old ones stay in force: {0}")]
    NotKept(String),
    #[error("the process that watches fences cannot be asked: {0}")]
    Away(String),
}

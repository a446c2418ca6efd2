//! Fences as GeoJSON: all out, and all in. What they do: `analytics::fences`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::parameters::Parameters;
use super::problem::Problem;

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How fences are asked for and replaced.
#[derive(Clone)]
pub struct Fences {
    /// GeoJSON.
    pub get: Arc<dyn Fn() -> Later<String> + Send + Sync>,
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
}

pub fn router(fences: Fences) -> Router {
    Router::new().route("/fences", get(all).put(replace)).with_state(fences)
}

async fn all(State(fences): State<Fences>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    Ok(([(header::CONTENT_TYPE, "application/geo+json")], (fences.get)().await).into_response())
}

async fn replace(State(fences): State<Fences>, parameters: Parameters, body: Bytes) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let text = String::from_utf8(body.into());
    let text = text.map_err(|error| FencesRefused::Mistakes(format!("the body is no UTF-8: {error}")))?;
    let revision = (fences.put)(text).await?;
    Ok(Json(json!({"configuration": revision})).into_response())
}

impl From<FencesRefused> for Problem {
    fn from(refused: FencesRefused) -> Self {
        let (status, code) = match refused {
            FencesRefused::Files => (StatusCode::CONFLICT, "fences_are_files"),
            FencesRefused::Mistakes(_) => (StatusCode::BAD_REQUEST, "bad_fences"),
            FencesRefused::NotKept(_) => (StatusCode::SERVICE_UNAVAILABLE, "archive_unavailable"),
        };
        Self::new(status, code, refused.to_string())
    }
}

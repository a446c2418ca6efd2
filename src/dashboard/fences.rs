//! Fences as GeoJSON: all out, and all in. What they do: `analytics::fences`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::parameters::Parameters;
use super::problem::Problem;
use crate::fleet::{Fences, FencesRefused};

/// Fences are in force.
#[derive(Serialize, ToSchema)]
#[schema(as = FencesReplaced)]
struct ReplacedForm {
    /// Revision of the configuration that has them.
    configuration: u64,
}

pub fn router(fences: Fences) -> OpenApiRouter {
    OpenApiRouter::default().routes(routes!(all, replace)).with_state(fences)
}

/// All fences, as a GeoJSON FeatureCollection.
#[utoipa::path(get, path = "/fences", operation_id = "fences", responses((status = OK, body = Object, content_type = "application/geo+json")))]
async fn all(State(fences): State<Fences>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    Ok(([(header::CONTENT_TYPE, "application/geo+json")], (fences.get)().await?).into_response())
}

/// Replaces all fences.
#[utoipa::path(
    put, path = "/fences", operation_id = "replace_fences", request_body(content = Object, content_type = "application/geo+json"),
    responses((status = OK, body = ReplacedForm))
)]
async fn replace(State(fences): State<Fences>, parameters: Parameters, body: Bytes) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let text = String::from_utf8(body.into());
    let text = text.map_err(|error| FencesRefused::Mistakes(format!("the body is no UTF-8: {error}")))?;
    let revision = (fences.put)(text).await?;
    Ok(Json(ReplacedForm { configuration: revision }).into_response())
}

impl From<FencesRefused> for Problem {
    fn from(refused: FencesRefused) -> Self {
        let (status, code) = match refused {
            FencesRefused::Files => (StatusCode::CONFLICT, "fences_are_files"),
            FencesRefused::Mistakes(_) => (StatusCode::BAD_REQUEST, "bad_fences"),
            FencesRefused::NotKept(_) => (StatusCode::SERVICE_UNAVAILABLE, "archive_unavailable"),
            FencesRefused::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "analytics_unavailable"),
        };
        Self::new(status, code, refused.to_string())
    }
}

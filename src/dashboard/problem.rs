//! Errors as RFC 9457 problem+json, with a code that stays the same.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::storage::ArchiveError;

/// Why not.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    #[serde(skip)]
    pub status_code: StatusCode,
    title: &'static str,
    status: u16,
    /// It stays the same, such as `bad_parameter`.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Problem {
    pub fn new(status_code: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status_code.canonical_reason().unwrap_or("Error");
        Self { status_code, title, status: status_code.as_u16(), code, detail: detail.into() }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub fn bad_parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", detail)
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        tracing::warn!(error = %error, "a question to the archive failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "archive_unavailable", "the archive does not answer; live state does")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("texts and numbers are JSON");
        (self.status_code, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

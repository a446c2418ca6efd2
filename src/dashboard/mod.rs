//! HTTP: the API, health, metrics and the page. Thinks nothing of its own: it asks `fleet`.

mod alert_forms;
mod alerts;
mod api;
mod fences;
mod forms;
mod guard;
mod parameters;
mod problem;
mod quarantine;
#[cfg(test)]
mod tests;
mod vehicle_records;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::Serialize;
use tokio::sync::Semaphore;
use tower_http::limit::RequestBodyLimitLayer;

pub use self::fences::{Fences, FencesRefused};

use self::problem::Problem;
use crate::clock;
use crate::fleet::Fleet;
use crate::ingest::quarantine_replay::QuarantineReplay;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body that any route takes.
const LARGEST_BODY_BYTES: usize = 2 << 20;
/// Requests beyond this are refused with 503: a flood of questions must not cost ingestion its memory.
const MOST_REQUESTS: usize = 256;

/// What the routes need. `ready` gives the reasons why not; none: ready.
pub struct Parts {
    pub fleet: Fleet,
    pub replay: QuarantineReplay,
    pub fences: Fences,
    pub address: SocketAddr,
    pub ready: Box<dyn Fn() -> Vec<Reason> + Send + Sync>,
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Why the process is not ready.
#[derive(Debug, Clone, Serialize)]
pub struct Reason {
    pub part: &'static str,
    pub problem: String,
}

type Shared = Arc<Parts>;

/// All routes of the process. `uplink`: the ways in over HTTP, which bound themselves.
pub fn router(parts: Parts, uplink: Router) -> Router {
    let guard = guard::Guard::new(parts.address);
    let questions = Arc::new(Semaphore::new(MOST_REQUESTS));
    let shared: Shared = Arc::new(parts);
    let (fleet, replay, fences) = (shared.fleet.clone(), shared.replay.clone(), shared.fences.clone());
    Router::new()
        .route("/", get(page))
        .route("/health/live", get(async || Json(serde_json::json!({"live": true}))))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
        .nest("/api/v1", api::router(fleet, replay).merge(fences::router(fences)))
        .fallback(async || Problem::not_found("no such address; the API is below /api/v1"))
        .method_not_allowed_fallback(async |method: Method| {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("this address does not take {method}"))
        })
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(questions, guard::question))
        .merge(uplink)
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
}

async fn ready(State(parts): State<Shared>) -> Response {
    let reasons = (parts.ready)();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({"ready": reasons.is_empty(), "reasons": reasons}))).into_response()
}

async fn metrics(State(parts): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (parts.metrics)())
}

async fn page(State(parts): State<Shared>) -> Html<String> {
    let vehicles = parts.fleet.counts(clock::now()).total();
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Odograph</title><h1>Odograph</h1>\
         <p>{vehicles} vehicles. This build has no map; the API answers at <a href=\"/api/v1/vehicles\">/api/v1/vehicles</a>, \
         <a href=\"/api/v1/quarantine\">/api/v1/quarantine</a>, <a href=\"/health/ready\">/health/ready</a> and \
         <a href=\"/metrics\">/metrics</a>.</p><p>No account exists: everybody on this machine may read this.</p></html>"
    ))
}

//! HTTP: the API, health, metrics and the page. Thinks nothing of its own: it asks `fleet`.

mod alert_forms;
mod alerts;
mod api;
mod assets;
mod fences;
mod forms;
mod guard;
mod live_channel;
#[cfg(test)]
mod live_channel_tests;
mod live_forms;
mod map;
mod models;
mod openapi;
mod openapi_schemas;
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
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::Serialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tower_http::limit::RequestBodyLimitLayer;

pub use self::fences::{Fences, FencesRefused};
pub use self::map::Map;
pub use self::models::{ModelForm, ModelFormError};

use self::problem::Problem;
use crate::fleet::Fleet;
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::tasks::Tasks;

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
    /// Those that score here.
    pub models: Vec<ModelForm>,
    pub map: Map,
    pub address: SocketAddr,
    /// Open sockets are among them.
    pub tasks: Tasks,
    pub ready: Box<dyn Fn() -> Vec<Reason> + Send + Sync>,
    /// What does not work although the process is ready.
    pub degraded: Box<dyn Fn() -> Vec<Reason> + Send + Sync>,
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Why the process is not ready, or less than whole.
#[derive(Debug, Clone, Serialize)]
pub struct Reason {
    pub part: &'static str,
    pub problem: String,
}

type Shared = Arc<Parts>;

/// What the system keeps for a client that does not read; it doubles what it is told. Left to itself it would keep 4 MB for each.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// A listener whose connections are bounded in memory.
///
/// # Errors
/// Where the address is taken, or not ours.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit it (Linux, tcp(7)).
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// All routes of the process. `uplink`: the ways in over HTTP, which bound themselves.
pub fn router(parts: Parts, uplink: Router) -> Router {
    let guard = guard::Guard::new(parts.address);
    let questions = Arc::new(Semaphore::new(MOST_REQUESTS));
    let shared: Shared = Arc::new(parts);
    let (fleet, replay) = (shared.fleet.clone(), shared.replay.clone());
    let (fences, map) = (shared.fences.clone(), shared.map.clone());
    let models = models::router(shared.models.clone());
    let live = live_channel::router(fleet.clone(), shared.tasks.clone());
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{*path}", get(assets::asset))
        .route("/icon.svg", get(assets::asset))
        .route("/api/openapi.json", get(openapi::show))
        .route("/health/live", get(async || Json(serde_json::json!({"live": true}))))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
        .nest(
            "/api/v1",
            api::router(fleet, replay).merge(fences::router(fences)).merge(map::router(map)).merge(models).merge(live),
        )
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
    (status, Json(serde_json::json!({"ready": reasons.is_empty(), "reasons": reasons, "degraded": (parts.degraded)()})))
        .into_response()
}

async fn metrics(State(parts): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (parts.metrics)())
}

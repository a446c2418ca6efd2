//! HTTP: the API, health, metrics and the page. Thinks nothing of its own: it asks `fleet`.

mod alert_forms;
mod alerts;
mod api;
mod assets;
mod buckets;
mod damage;
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
mod parameters;
mod problem;
mod quarantine;
mod slo;
#[cfg(test)]
mod tests;
mod tiles;
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
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::damage::Damage;
pub use self::map::Map;
pub use self::models::{ModelForm, ModelFormError};
pub use self::tiles::TilesError;

use self::problem::Problem;
use crate::fleet::{Fences, Fleet};
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::slo::Slo;
use crate::tasks::Tasks;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body that any route takes.
const LARGEST_BODY_BYTES: usize = 2 << 20;
/// Requests beyond this are refused with 503: a flood of questions must not cost ingestion its memory.
const MOST_REQUESTS: usize = 256;

/// What every process answers, whatever its roles. `ready` gives the reasons why not; none: ready.
pub struct Health {
    pub address: SocketAddr,
    pub ready: Box<dyn Fn() -> Vec<Reason> + Send + Sync>,
    /// What does not work although the process is ready.
    pub degraded: Box<dyn Fn() -> Vec<Reason> + Send + Sync>,
    pub damage: Damage,
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    pub slo: Arc<Slo>,
}

/// What the page and the API need besides.
pub struct Parts {
    pub fleet: Fleet,
    pub replay: QuarantineReplay,
    pub fences: Fences,
    /// Those that score here.
    pub models: Vec<ModelForm>,
    pub map: Map,
    /// Open sockets are among them.
    pub tasks: Tasks,
}

/// Why the process is not ready, or less than whole.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = NotReady)]
pub struct Reason {
    /// Of the process, such as `journal`.
    pub part: &'static str,
    pub problem: String,
}

#[derive(Serialize, ToSchema)]
struct Live {
    live: bool,
}

#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
    reasons: Vec<Reason>,
    /// What does not work although the process is ready.
    degraded: Vec<Reason>,
}

type Shared = Arc<Health>;

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

/// All routes of the process, those of the API described by `/api/openapi.json`. `uplink`: the ways in over HTTP, which bound themselves.
pub fn router(health: Health, parts: Parts, uplink: Option<OpenApiRouter>) -> Router {
    let (of_process, map) = (of_any_process(&health), parts.map.clone());
    guarded(health, uplink, |answers| answers.nest("/api/v1", below_api(parts, of_process)), page(map))
}

/// Those of a process that shows nothing: health, metrics, objectives, and its ways in.
pub fn health_router(health: Health, uplink: Option<OpenApiRouter>) -> Router {
    let of_process = of_any_process(&health);
    guarded(health, uplink, |answers| answers.nest("/api/v1", of_process), Router::new())
}

/// Below `/api/v1`, whatever its roles.
fn of_any_process(health: &Health) -> OpenApiRouter {
    slo::router(Arc::clone(&health.slo)).merge(damage::router(health.damage.clone()))
}

fn guarded(
    health: Health,
    uplink: Option<OpenApiRouter>,
    with_api: impl FnOnce(OpenApiRouter) -> OpenApiRouter,
    page: Router,
) -> Router {
    let guard = guard::Guard::new(health.address);
    let questions = Arc::new(Semaphore::new(MOST_REQUESTS));
    let (answers, mut description) = with_api(for_machines(Arc::new(health))).split_for_parts();
    let (ways_in, their_description) = uplink.unwrap_or_default().split_for_parts();
    description.merge(their_description);
    answers
        .route("/api/openapi.json", get(openapi::show).with_state(openapi::document(description)))
        .merge(page)
        .fallback(async || Problem::not_found("no such address; the API is below /api/v1"))
        .method_not_allowed_fallback(async |method: Method| {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("this address does not take {method}"))
        })
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(questions, guard::question))
        .merge(ways_in)
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
}

/// What programs ask of any process.
fn for_machines(shared: Shared) -> OpenApiRouter {
    OpenApiRouter::default().routes(routes!(live)).routes(routes!(ready)).routes(routes!(metrics)).with_state(shared)
}

/// What programs ask about the fleet: no route without its description.
fn below_api(parts: Parts, of_process: OpenApiRouter) -> OpenApiRouter {
    let Parts { fleet, replay, fences, models, map, tasks } = parts;
    api::router(fleet.clone(), replay)
        .merge(fences::router(fences))
        .merge(map::router(map))
        .merge(models::router(models))
        .merge(of_process)
        .merge(live_channel::router(fleet, tasks))
}

/// What browsers ask.
fn page(map: Map) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{*path}", get(assets::asset))
        .route("/icon.svg", get(assets::asset))
        .with_state(map)
}

/// Whether the process lives.
#[utoipa::path(get, path = "/health/live", operation_id = "health_live", responses((status = OK, body = Live)))]
async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// Whether the process is ready; if not, why.
#[utoipa::path(get, path = "/health/ready", operation_id = "health_ready", responses(
    (status = OK, body = Ready),
    (status = SERVICE_UNAVAILABLE, description = "Not ready", body = Ready),
))]
async fn ready(State(health): State<Shared>) -> Response {
    let reasons = (health.ready)();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready: reasons.is_empty(), reasons, degraded: (health.degraded)() })).into_response()
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = OK, body = String, content_type = "text/plain")))]
async fn metrics(State(health): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (health.metrics)())
}

//! Telemetry over HTTP: `POST /api/v1/telemetry/{vehicle_id}`, answered once durable. Its WebSocket: `uplink_socket`.
//!
//! Both take what the front door takes and answer `{"accepted","duplicates","quarantined"}`. Unlike it they do not wait for room:
//! where lanes are full the sender hears 429 or 1013, and keeps its readings.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::intake::{Answer, Intake, Message, NotPromised};
use super::uplink_socket;
use crate::domain::{Reason, Source, VehicleId};
use crate::tasks::Tasks;
use crate::wire::decode::Format;
use crate::wire::schemas::Telemetry;

/// As large as an MQTT packet may be. What is larger than `ingest.max_payload` is quarantined, what is larger than this is not read.
pub(super) const MAX_BODY_BYTES: usize = 2 << 20;

/// Bodies that are in memory at the same time, in all. Full: 429.
const BODIES_BYTES: usize = 64 << 20;

/// What the smallest request counts for: it bounds their number to 16,384.
const LEAST_WEIGHT_BYTES: usize = 4 * 1024;

/// Sockets that are open. Full: 429.
const MAX_SOCKETS: usize = 10_000;

const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the routes share. Dropped with the router and the last socket.
pub(super) struct Uplink {
    pub intake: Arc<Intake>,
    /// Longer than this nobody is kept waiting for an answer.
    pub ack_timeout: Duration,
    pub tasks: Tasks,
    bodies: Semaphore,
    pub sockets: Arc<Semaphore>,
}

/// The routes, with full paths. Sockets run among `tasks` and end with their stop signal.
pub fn router(intake: Arc<Intake>, ack_timeout: Duration, tasks: &Tasks) -> OpenApiRouter {
    let uplink = Uplink {
        intake,
        ack_timeout,
        tasks: tasks.clone(),
        bodies: Semaphore::new(BODIES_BYTES),
        sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
    };
    OpenApiRouter::default().routes(routes!(telemetry)).routes(routes!(uplink_socket::upgrade)).with_state(Arc::new(uplink))
}

/// Readings of one vehicle; answered once durable. Where nothing of them is believed: 4xx with the same form.
#[utoipa::path(post, path = "/api/v1/telemetry/{vehicle_id}", params(("vehicle_id" = VehicleId, Path)), request_body(content(
    (Telemetry = "application/json"),
    ("application/x-protobuf"),
)), responses((status = OK, body = Answer)))]
async fn telemetry(State(uplink): State<Arc<Uplink>>, Path(vehicle_id): Path<String>, request: Request) -> Response {
    match take(&uplink, &vehicle_id, request).await {
        Ok(answer) => (status_of(&answer), axum::Json(answer)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn take(uplink: &Uplink, vehicle_id: &str, request: Request) -> Result<Answer, Refused> {
    no_browser(request.headers())?;
    let format = text_of(request.headers(), header::CONTENT_TYPE).and_then(Format::of_content_type);
    let announced = text_of(request.headers(), header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let bytes: usize = announced.unwrap_or(MAX_BODY_BYTES);
    if bytes > MAX_BODY_BYTES {
        return Err(Refused::TOO_LARGE);
    }
    let weight = u32::try_from(bytes.max(LEAST_WEIGHT_BYTES)).unwrap_or(u32::MAX);
    let _room = uplink.bodies.try_acquire_many(weight).map_err(|_| Refused::FULL).inspect_err(|_| uplink.intake.turned_away())?;
    let body = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY_BYTES)).await;
    let payload = body.map_err(|_| Refused::SLOW)?.map_err(|_| Refused::TOO_LARGE)?;
    let message = Message { source: Source::Http, vehicle_id, payload, format };
    let mut pending = uplink.intake.begin_if_room(&message)?;
    timeout(uplink.ack_timeout, uplink.intake.settle(&mut pending))
        .await
        .map_err(|_| Refused::NOT_IN_TIME)
        .inspect_err(|_| uplink.intake.turned_away())?
        .map_err(Refused::from)
}

/// Pages of other sites can make a browser send us telemetry without asking; vehicles are no browsers.
pub(super) fn no_browser(headers: &HeaderMap) -> Result<(), Refused> {
    if headers.contains_key(header::ORIGIN) { Err(Refused::BROWSER) } else { Ok(()) }
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Something of it was new or known: 200. Nothing was believed: why.
fn status_of(answer: &Answer) -> StatusCode {
    if answer.accepted + answer.duplicates > 0 {
        return StatusCode::OK;
    }
    match answer.quarantined.first().and_then(|one| Reason::from_code(one.reason)) {
        Some(Reason::PayloadTooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(Reason::EmptyPayload | Reason::JsonSyntax | Reason::ProtobufSyntax | Reason::VehicleIdInvalid) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// An answer that promises nothing: RFC 9457 problem+json.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
    retry_after_seconds: Option<u64>,
}

impl Refused {
    pub const FULL: Self = Self::again(StatusCode::TOO_MANY_REQUESTS, "busy", "as much is waiting to be made durable as may");
    const OVER_QUOTA: Self = Self::again(StatusCode::TOO_MANY_REQUESTS, "over_quota", OVER_QUOTA);
    const NOT_IN_TIME: Self = Self::again(StatusCode::SERVICE_UNAVAILABLE, "not_durable", "not durable in time; send it again");
    const STOPPING: Self = Self::again(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the process is stopping; send it again");
    const TOO_LARGE: Self =
        Self::never(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is larger than 2 MiB, or broke off");
    const SLOW: Self = Self::never(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come within 30 s");
    const BROWSER: Self = Self::never(StatusCode::FORBIDDEN, "origin_refused", "telemetry is not taken from browsers");

    const fn again(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, code, detail, retry_after_seconds: Some(1) }
    }

    const fn never(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, code, detail, retry_after_seconds: None }
    }
}

pub(super) const OVER_QUOTA: &str = "the vehicle has sent as many messages as it may; keep them and send them again";

/// At least one.
const fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

impl From<NotPromised> for Refused {
    fn from(reason: NotPromised) -> Self {
        match reason {
            NotPromised::Full => Self::FULL,
            NotPromised::Stopped => Self::STOPPING,
            NotPromised::Lost => Self::NOT_IN_TIME,
            NotPromised::OverQuota { wait } => Self { retry_after_seconds: Some(whole_seconds(wait)), ..Self::OVER_QUOTA },
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({"title": title, "status": self.status.as_u16(), "code": self.code, "detail": self.detail});
        let problem = [(header::CONTENT_TYPE, "application/problem+json")];
        let retry = self.retry_after_seconds.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
        (self.status, problem, retry.map(axum::response::AppendHeaders), body.to_string()).into_response()
    }
}

//! The gRPC server: `TelemetryService` and `AlertService` of `proto/odograph/v1`, health and reflection. Says what `ingest` and `fleet` know,
//! in the forms of `wire`; thinks nothing itself.

mod alerts;
mod callers;
#[cfg(test)]
mod compatibility;
mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::fleet::Fleet;
use crate::ingest::Intake;
use crate::settings;
use crate::tasks::{Stop, Tasks};
use crate::tls::{self, ClientCertificates, ServerSettings, TlsError, TlsServer};
use crate::wire::proto::v1::alert_service_server::AlertServiceServer;
use crate::wire::proto::v1::telemetry_service_server::TelemetryServiceServer;

use self::alerts::Alerts;
use self::telemetry::Telemetry;

/// Of `odograph.v1`, for server reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.binpb"));
/// Of one connection: a dashboard opens one per vehicle that it shows.
const STREAMS: u32 = 20_000;
/// As large as an MQTT packet or an HTTP body may be.
const MAX_MESSAGE_BYTES: usize = 2 << 20;
/// A peer that is gone without a word is noticed after the sum of these.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at whether the service is ready.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// What the services say and ask.
pub struct Parts {
    pub fleet: Fleet,
    pub intake: Arc<Intake>,
    /// Longer than this nobody is kept waiting for an answer.
    pub ack_timeout: Duration,
    /// Whether readings are taken at present.
    pub is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    pub tasks: Tasks,
}

#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error("cannot listen for gRPC on {address}: {source}; choose another with --grpc")]
    Address { address: SocketAddr, source: std::io::Error },
    #[error("[grpc] {0}")]
    Tls(#[from] TlsError),
}

/// Serves until the process is told to stop; then new calls are refused, and streams end.
///
/// # Errors
/// Where the address cannot be listened on, or the certificate does not serve.
pub async fn start(settings: &settings::Grpc, parts: Parts) -> Result<SocketAddr, RpcError> {
    let address = settings.address;
    let failed = |source| RpcError::Address { address, source };
    let security = security(settings)?;
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let Parts { fleet, intake, ack_timeout, is_ready, tasks } = parts;
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in SERVICES {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the build made the descriptors");
    let telemetry = Telemetry { fleet: fleet.clone(), intake, ack_timeout, tasks: tasks.clone() };
    let router = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE_AFTER))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(health)
        .add_service(reflection)
        .add_service(TelemetryServiceServer::new(telemetry).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(AlertServiceServer::new(Alerts { fleet, tasks: tasks.clone() }));
    let incoming = tls::incoming(listener, security, &tasks);
    let mut stop = tasks.stop();
    let (watched, stop_of_health) = (reporter, tasks.stop());
    tasks.spawn("grpc health", async move {
        report_health(watched, is_ready, stop_of_health).await;
        Ok(())
    });
    tasks.spawn("grpc", async move {
        router.serve_with_incoming_shutdown(incoming, async move { stop.requested().await }).await?;
        Ok(())
    });
    Ok(bound)
}

fn security(settings: &settings::Grpc) -> Result<Option<Arc<TlsServer>>, TlsError> {
    let files = settings.tls();
    if !files.has_certificate() {
        return Ok(None);
    }
    let clients = if files.has_authority() { ClientCertificates::Required } else { ClientCertificates::None };
    let server = TlsServer::new(ServerSettings { files, revoked: settings.revoked.clone(), clients, protocols: &[b"h2"] })?;
    Ok(Some(Arc::new(server)))
}

const SERVICES: [&str; 2] = ["odograph.v1.TelemetryService", "odograph.v1.AlertService"];

/// Not serving while nothing is acknowledged, and from the stop signal on.
async fn report_health(reporter: HealthReporter, is_ready: Box<dyn Fn() -> bool + Send + Sync>, mut stop: Stop) {
    let mut interval = tokio::time::interval(HEALTH_EVERY);
    loop {
        let stopping = tokio::select! {
            _ = interval.tick() => false,
            () = stop.requested() => true,
        };
        let status = if !stopping && is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in SERVICES.into_iter().chain([""]) {
            reporter.set_service_status(name, status).await;
        }
        if stopping {
            return;
        }
    }
}

//! The gRPC server: `TelemetryService` and `AlertService` of `proto/odograph/v1`, health and reflection. Says what `ingest` and `fleet` know,
//! in the forms of `wire`; thinks nothing itself.

mod alerts;
pub mod archive_link;
mod callers;
#[cfg(test)]
mod compatibility;
pub mod link;
mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::fleet::Fleet;
use crate::ingest::Intake;
use crate::settings;
use crate::tasks::{Stop, Tasks};
use crate::tls::{self, ClientCertificates, ServerSettings, TlsError, TlsServer};
use crate::wire::proto::link::v1::analytics_link_server::AnalyticsLinkServer;
use crate::wire::proto::link::v1::archive_link_server::ArchiveLinkServer;
use crate::wire::proto::link::v1::storage_link_server::StorageLinkServer;
use crate::wire::proto::v1::alert_service_server::AlertServiceServer;
use crate::wire::proto::v1::telemetry_service_server::TelemetryServiceServer;

use self::alerts::Alerts;
use self::archive_link::ArchiveLinkService;
use self::link::deliveries_server::AnalyticsLinkService;
use self::link::journal_server::StorageLinkService;
use self::telemetry::Telemetry;

/// Of `odograph.v1`, for server reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.binpb"));
/// Of one connection: a dashboard opens one per vehicle that it shows.
const STREAMS: u32 = 20_000;
/// As large as an MQTT packet or an HTTP body may be.
const MAX_MESSAGE_BYTES: usize = 2 << 20;
/// A peer that is gone without a word is noticed after the sum of these.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(4);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);
/// Between two looks at whether the service is ready.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// What a process serves besides health and reflection.
#[derive(Default)]
pub struct Services {
    pub telemetry: TelemetryParts,
    /// `None`: people do not reach this process.
    pub alerts: Option<Fleet>,
    /// To lanes of this process, for ways in and people in others.
    pub analytics_link: Option<AnalyticsLinkService>,
    /// To the journal of this process, for lanes in another.
    pub storage_link: Option<StorageLinkService>,
    /// To the archive of this process, for everybody in another.
    pub archive_link: Option<ArchiveLinkServer<ArchiveLinkService>>,
}

/// What `TelemetryService` can do here; what it cannot is `UNIMPLEMENTED`.
#[derive(Default)]
pub struct TelemetryParts {
    /// `None`: vehicles are not seen here.
    pub fleet: Option<Fleet>,
    /// `None`: readings are not taken in here.
    pub intake: Option<Arc<Intake>>,
    /// Longer than this nobody is kept waiting for an answer.
    pub ack_timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error("cannot listen for gRPC on {address}: {source}; choose another with --grpc")]
    Address { address: SocketAddr, source: std::io::Error },
    #[error("[grpc] {0}")]
    Tls(#[from] TlsError),
}

/// Serves until the process is told to stop; then new calls are refused, and streams end. `is_ready`: whether readings are taken at present.
///
/// # Errors
/// Where the address cannot be listened on, or the certificate does not serve.
pub async fn start(
    settings: &settings::Grpc,
    services: Services,
    is_ready: impl Fn() -> bool + Send + Sync + 'static,
    tasks: &Tasks,
) -> Result<SocketAddr, RpcError> {
    let address = settings.address;
    let failed = |source| RpcError::Address { address, source };
    let security = security(settings)?;
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let Services { telemetry, alerts, analytics_link, storage_link, archive_link } = services;
    let has_telemetry = telemetry.fleet.is_some() || telemetry.intake.is_some();
    let telemetry = has_telemetry.then(|| Telemetry { parts: telemetry, tasks: tasks.clone() });
    let (reporter, health) = tonic_health::server::health_reporter();
    let names: Vec<&'static str> = [
        (TELEMETRY, telemetry.is_some()),
        (ALERTS, alerts.is_some()),
        (ANALYTICS_LINK, analytics_link.is_some()),
        (STORAGE_LINK, storage_link.is_some()),
        (ARCHIVE_LINK, archive_link.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_served)| is_served.then_some(name))
    .collect();
    for name in &names {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE_AFTER))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(health)
        .add_service(reflection().build_v1().expect("the build made the descriptors"))
        // The only one that Python's grpcio-reflection (1.85) asks for.
        .add_service(reflection().build_v1alpha().expect("the build made the descriptors"))
        .add_optional_service(
            telemetry.map(|telemetry| TelemetryServiceServer::new(telemetry).max_decoding_message_size(MAX_MESSAGE_BYTES)),
        )
        .add_optional_service(alerts.map(|fleet| AlertServiceServer::new(Alerts { fleet, tasks: tasks.clone() })))
        .add_optional_service(analytics_link.map(|link| {
            let server = AnalyticsLinkServer::new(link).max_decoding_message_size(link::MAX_MESSAGE_BYTES);
            InterceptedService::new(server, of_services)
        }))
        .add_optional_service(storage_link.map(|link| {
            let server = StorageLinkServer::new(link)
                .max_decoding_message_size(link::MAX_MESSAGE_BYTES)
                .max_encoding_message_size(link::MAX_MESSAGE_BYTES);
            InterceptedService::new(server, of_services)
        }))
        .add_optional_service(archive_link.map(|link| InterceptedService::new(link, of_services)));
    let incoming = tls::incoming(listener, security, tasks);
    let mut stop = tasks.stop();
    let (watched, stop_of_health) = (reporter, tasks.stop());
    tasks.spawn("grpc health", async move {
        report_health(watched, &names, is_ready, stop_of_health).await;
        Ok(())
    });
    tasks.spawn("grpc", async move {
        router.serve_with_incoming_shutdown(incoming, async move { stop.requested().await }).await?;
        Ok(())
    });
    Ok(bound)
}

const TELEMETRY: &str = "odograph.v1.TelemetryService";
const ALERTS: &str = "odograph.v1.AlertService";
const ANALYTICS_LINK: &str = "odograph.link.v1.AnalyticsLink";
const STORAGE_LINK: &str = "odograph.link.v1.StorageLink";
const ARCHIVE_LINK: &str = "odograph.link.v1.ArchiveLink";

/// Of calls over links.
fn of_services(request: Request<()>) -> Result<Request<()>, Status> {
    callers::only_services(request.extensions())?;
    Ok(request)
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

/// Not serving while nothing is acknowledged, and from the stop signal on.
async fn report_health(
    reporter: HealthReporter,
    names: &[&'static str],
    is_ready: impl Fn() -> bool + Send + Sync,
    mut stop: Stop,
) {
    let mut interval = tokio::time::interval(HEALTH_EVERY);
    loop {
        let stopping = tokio::select! {
            _ = interval.tick() => false,
            () = stop.requested() => true,
        };
        let status = if !stopping && is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in names.iter().copied().chain([""]) {
            reporter.set_service_status(name, status).await;
        }
        if stopping {
            return;
        }
    }
}

//! Builds the line from its end to its source, runs it, and takes it down the other way round: the only file that knows all roles.
//!
//! A process has some of the roles. Where two that speak with each other are in it, a channel joins them; else one end of a link does
//! (`rpc::link`), and the role's code cannot tell.

mod analytics;
mod joints;
mod line;
mod measures;
mod models;
mod peers;
mod redis_parts;
mod storage;
mod upkeep;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::dashboard::{self, Health};
use crate::ingest::{FrontDoor, subscriber, uplink};
use crate::rpc;
use crate::settings::{self, Role, Settings};
use crate::simulator::roads::Roads;
use crate::tasks::Tasks;

use line::{Line, Parts};
use peers::Peers;

pub use analytics::blueprint;
pub use models::{NO_MODEL, shipped_models};

/// Where the process really listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub http: SocketAddr,
    /// `None`: it takes no readings in.
    pub mqtt: Option<SocketAddr>,
    /// Over TLS. `None`: there is none.
    pub mqtts: Option<SocketAddr>,
    pub grpc: SocketAddr,
}

/// Runs until the process is told to stop, then until everything that was acknowledged is stored. `ready` is called once, with tasks
/// that end when the process does.
///
/// `roads`: where a simulated fleet drives, for the map.
pub async fn run(settings: Settings, roads: Option<Roads>, ready: impl FnOnce(Addresses, &Tasks)) -> anyhow::Result<()> {
    let recorder = measures::install_recorder(&settings.slo)?;
    crate::metrics::describe();
    let tasks = Tasks::default();
    let table = Arc::new(settings::signal_table(&settings.signals));
    let parts = Parts { settings: &settings, peers: Peers::of(&settings.links)?, table, tasks: tasks.clone() };
    let (line, services) = Line::build(&parts).await?;
    let storage = line.storage.as_ref().map(|storage| Arc::clone(&storage.archive));
    let addresses = open(parts, line, services, recorder, roads).await?;
    // Before anybody knows that it runs: a signal that nobody waits for kills the process.
    let told_to_stop = told_to_stop()?;
    announce(addresses)?;
    ready(addresses, &tasks);

    tokio::select! {
        failed = tasks.finished() => failed?,
        () = told_to_stop => {}
    }
    tracing::info!("stopping: what was acknowledged is being stored");
    tasks.request_stop();
    tasks.finished().await?;
    if let Some(archive) = storage {
        archive.close().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Opens everything that others reach. Keeps nothing that would keep the line from ending.
async fn open(
    parts: Parts<'_>,
    line: Line,
    mut services: rpc::Services,
    recorder: PrometheusHandle,
    roads: Option<Roads>,
) -> anyhow::Result<Addresses> {
    let Parts { settings, tasks, .. } = &parts;
    let intake = line.intake(&parts);
    let fleet = line.fleet(&parts);
    let (listener, http) = listen(settings.http.address)?;
    let takes_readings = intake.clone().filter(|_| settings.has(Role::Ingest));
    let ack_timeout = settings.mqtt.ack_timeout.duration();
    let ways_in = takes_readings.as_ref().map(|intake| uplink::router(Arc::clone(intake), ack_timeout, tasks));
    let readiness = line.readiness(&parts.peers);
    services.telemetry = rpc::TelemetryParts { fleet: fleet.clone(), intake: takes_readings.clone(), ack_timeout };
    services.alerts = fleet.clone().filter(|_| settings.has(Role::Dashboard));
    let takes_readings_now = readiness.clone();
    let grpc = rpc::start(&settings.grpc, services, move || takes_readings_now.is_durable(), tasks).await?;
    let page = match (fleet, &intake) {
        (Some(fleet), Some(intake)) if settings.has(Role::Dashboard) => Some(line.page(&parts, fleet, intake, roads.as_ref())?),
        _ => None,
    };
    let Line { degraded, slo, storage, .. } = line;
    let damage = storage.map(|storage| joints::damage_of(storage.monitor)).unwrap_or_default();
    let damage_now = damage.clone();
    let health = Health {
        address: http,
        ready: Box::new(move || readiness.reasons()),
        degraded: Box::new(move || {
            degraded.iter().filter_map(redis_parts::RedisPart::problem).chain(damage_now.problem()).collect()
        }),
        damage,
        metrics: measures::renderer(&recorder, &slo),
        slo,
    };
    let router = match page {
        Some(page) => dashboard::router(health, page, ways_in),
        None => dashboard::health_router(health, ways_in),
    };
    serve(listener, router, tasks);
    let (mut mqtt, mut mqtts) = (None, None);
    if let Some(intake) = takes_readings {
        subscriber::start(&settings.broker, Arc::clone(&intake), tasks)?;
        let door = FrontDoor::open(&settings.mqtt, intake, tasks)?;
        (mqtt, mqtts) = (Some(door.address()), door.tls_address());
    }
    measures::upkeep(recorder, tasks);
    Ok(Addresses { http, mqtt, mqtts, grpc })
}

fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = dashboard::listen(address);
    let listener = listener.with_context(|| format!("cannot listen for HTTP on {address}; choose another with --http"))?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn serve(listener: TcpListener, router: Router, tasks: &Tasks) {
    let mut stop = tasks.stop();
    tasks.spawn("http", async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { stop.requested().await }).await?;
        Ok(())
    });
}

/// One line of JSON on stdout: whoever started the process knows that it is ready, and where.
fn announce(addresses: Addresses) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let Addresses { http, mqtt, mqtts, grpc } = addresses;
    let mut line = json!({"ready": true, "http": http.to_string(), "grpc": grpc.to_string()});
    if let Some(mqtt) = mqtt {
        line["mqtt"] = mqtt.to_string().into();
    }
    if let Some(mqtts) = mqtts {
        line["mqtts"] = mqtts.to_string().into();
    }
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    let mqtt = mqtt.map(tracing::field::display);
    tracing::info!(%http, mqtt, %grpc, "ready; no account exists, so the API is open to this machine");
    Ok(())
}

fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Whoever needs the archive for its start and did not reach it tries again after this long.
const ARCHIVE_AGAIN: Duration = Duration::from_secs(5);

//! Builds the line from its end to its source, runs it, and takes it down the other way round: the only file that knows all roles.
//!
//! A process has some of the roles. Where two that speak with each other are in it, a channel joins them; else one end of a link does
//! (`rpc::link`), and the role's code cannot tell.

mod analytics;
mod joints;
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
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::dashboard::{self, Health, ModelForm};
use crate::fleet::{Fleet, FleetParts};
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::ingest::{FrontDoor, Intake, subscriber, uplink};
use crate::rpc;
use crate::rpc::archive_link;
use crate::rpc::link::{control, deliveries, follow};
use crate::settings::{self, Role, Settings};
use crate::simulator::roads::Roads;
use crate::storage::SharedArchive;
use crate::tasks::Tasks;

use analytics::Lanes;
use joints::{commands_to, fences_of, inlet_of};
use peers::Peers;
use storage::Storage;

pub use analytics::blueprint;
pub use models::{NO_MODEL, shipped_models};

/// Where the process really listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub http: SocketAddr,
    /// `None`: it takes no readings in.
    pub mqtt: Option<SocketAddr>,
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
    let peers = Peers::of(&settings.links)?;
    let mut storage = if settings.has(Role::Storage) { Some(Storage::open(&settings, &table, &tasks).await?) } else { None };
    let slo = measures::start_slo(&settings.slo, storage.as_ref().map(|storage| storage.monitor.clone()), &tasks);
    let archive = match &storage {
        Some(storage) => Some(Arc::clone(&storage.archive) as SharedArchive),
        None => peers.archive(&table),
    };
    let (register, knows_vehicles) = match &archive {
        Some(archive) => Some(upkeep::register(archive, &settings.ingest).await?).unzip(),
        None => (None, None),
    };
    if let (false, Some(register)) = (settings.is_whole(), &register) {
        upkeep::follow_register(register.clone(), &tasks);
    }
    let mut degraded = Vec::new();
    if let Some(storage) = &mut storage {
        degraded = storage.start(&settings, &table, &tasks).await?;
    }
    let shown = match &storage {
        Some(storage) => Some(storage.shown.clone()),
        None if settings.has(Role::Dashboard) => Some(storage::empty(&settings, &table)),
        None => None,
    };
    let is_whole = settings.is_whole();

    let mut services = rpc::Services::default();
    let lanes = match (&archive, &register, settings.has(Role::Analytics)) {
        (Some(archive), Some(register), true) => {
            let local = storage.as_mut().map(Storage::hand_over);
            let lanes = Lanes::start(local, &peers, (archive, register), &table, &settings, &slo, &tasks).await?;
            upkeep::catch_up(knows_vehicles.unwrap_or(true), register, &lanes.in_force, &tasks).await;
            Some(lanes)
        }
        _ => None,
    };
    if let Some(storage) = &mut storage {
        storage.watch_alerts(&slo, &table, &tasks)?;
        if lanes.is_none() {
            services.storage_link = Some(storage.link(&settings, &table, &tasks)?);
        }
        if !is_whole {
            services.archive_link =
                Some(archive_link::service(Arc::clone(&storage.archive) as SharedArchive, Arc::clone(&table)));
        }
    }
    if let Some(lanes) = &lanes
        && !is_whole
    {
        services.analytics_link = Some(lanes.link(&table, &tasks));
    }
    let inlet = match &lanes {
        Some(lanes) => Some(inlet_of(lanes.inlet.clone())),
        None if settings.has(Role::Ingest) || settings.has(Role::Dashboard) => {
            peers.analytics.as_ref().map(|peer| deliveries::inlet_to(peer, &table, &tasks))
        }
        None => None,
    };
    let intake = inlet.map(|inlet| {
        let intake = Intake::new(inlet, Arc::clone(&table), &settings.ingest).observed_by(&slo);
        let allowed = register.clone().filter(|_| settings.ingest.only_registered);
        Arc::new(allowed.into_iter().fold(intake, Intake::only_from))
    });
    // Made where it is needed: a clone that is kept would keep the lanes from ending.
    let commands = || match &lanes {
        Some(lanes) => commands_to(lanes.inlet.clone()),
        None => peers.analytics.as_ref().map_or_else(joints::no_commands, control::commands_to),
    };
    let fleet = match (&shown, &archive, &register) {
        (Some(shown), Some(archive), Some(register)) => Some(Fleet::new(FleetParts {
            live: Arc::clone(&shown.live),
            open_alerts: Arc::clone(&shown.open_alerts),
            alert_feed: Arc::clone(&shown.feed),
            commands: commands(),
            archive: Arc::clone(archive),
            register: register.clone(),
            table: Arc::clone(&table),
            settings: settings.fleet,
        })),
        _ => None,
    };
    if let (Some(fleet), true) = (&fleet, storage.is_some()) {
        upkeep::recall(fleet.clone(), &tasks);
    }
    if let (None, Some(shown), Some(peer)) = (&storage, &shown, &peers.storage) {
        follow::start(peer, shown.clone(), &tasks);
    }

    let (listener, http) = listen(settings.http.address)?;
    let takes_readings = intake.clone().filter(|_| settings.has(Role::Ingest));
    let ack_timeout = settings.mqtt.ack_timeout.duration();
    let ways_in = takes_readings.as_ref().map(|intake| uplink::router(Arc::clone(intake), ack_timeout, &tasks));
    let readiness = joints::Readiness {
        journal: storage.as_ref().map(|storage| (storage.monitor.clone(), storage.archive_health.clone())),
        peers: peers.all(),
    };
    services.telemetry = rpc::TelemetryParts { fleet: fleet.clone(), intake: takes_readings.clone(), ack_timeout };
    services.alerts = fleet.clone().filter(|_| settings.has(Role::Dashboard));
    let takes_readings_now = readiness.clone();
    let grpc = settings.grpc.address;
    let grpc = rpc::start(grpc, services, move || takes_readings_now.is_durable(), &tasks)
        .await
        .with_context(|| format!("cannot listen for gRPC on {grpc}; choose another with --grpc"))?;
    let health = Health {
        address: http,
        ready: Box::new(move || readiness.reasons()),
        degraded: Box::new(move || degraded.iter().filter_map(redis_parts::RedisPart::problem).collect()),
        metrics: measures::renderer(&recorder, &slo),
        slo,
    };
    let router = match (fleet, &archive, &intake) {
        (Some(fleet), Some(archive), Some(intake)) if settings.has(Role::Dashboard) => {
            let models = match &lanes {
                Some(lanes) => lanes.models.clone(),
                None => models::of(&settings.analytics)?,
            };
            let describe = |model| ModelForm::new(model, &table, &settings.analytics.alert);
            let parts = dashboard::Parts {
                fleet,
                replay: QuarantineReplay::new(Arc::clone(intake), Arc::clone(archive)),
                fences: match (&lanes, &peers.analytics) {
                    (Some(lanes), _) => fences_of(lanes.in_force.clone()),
                    (None, Some(peer)) => control::fences_of(peer),
                    (None, None) => anyhow::bail!("the dashboard has no lanes and no link to any"),
                },
                models: models.iter().map(describe).collect::<Result<_, _>>()?,
                map: dashboard::Map::new(&settings.page, roads.as_ref())?,
                tasks: tasks.clone(),
            };
            dashboard::router(health, parts, ways_in)
        }
        _ => dashboard::health_router(health, ways_in),
    };
    drop((roads, lanes, shown));
    serve(listener, router, &tasks);
    let mut mqtt = None;
    if let Some(intake) = takes_readings {
        subscriber::start(&settings.broker, Arc::clone(&intake), &tasks)?;
        mqtt = Some(FrontDoor::open(&settings.mqtt, intake, &tasks)?.address());
    }
    drop(intake);
    let addresses = Addresses { http, mqtt, grpc };
    measures::upkeep(recorder, &tasks);
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
    if let Some(storage) = storage {
        storage.archive.close().await;
    }
    tracing::info!("stopped");
    Ok(())
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
    let Addresses { http, mqtt, grpc } = addresses;
    let mut line = json!({"ready": true, "http": http.to_string(), "grpc": grpc.to_string()});
    if let Some(mqtt) = mqtt {
        line["mqtt"] = mqtt.to_string().into();
    }
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    let mqtt = mqtt.map(|mqtt| tracing::field::display(mqtt));
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

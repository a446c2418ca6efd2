//! Builds the line from its end to its source, runs it, and takes it down the other way round: the only file that knows all parts.

mod joints;
mod measures;
mod models;
mod redis_parts;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::alerts::{dispatcher, watcher};
use crate::analytics::blueprint::{Blueprint, Records};
use crate::analytics::checks::Checks;
use crate::analytics::fences::FenceSet;
use crate::analytics::lanes::{self, LaneStart};
use crate::analytics::library::find_library;
use crate::analytics::rules::Rules;
use crate::clock;
use crate::configuration::{self, InForce};
use crate::dashboard::{self, ModelForm};
use crate::domain::{Assessment, Change, SignalTable};
use crate::fleet::{Fleet, FleetParts};
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::ingest::{FrontDoor, Intake, subscriber, uplink};
use crate::journal::{Journal, JournalHealth, JournalMonitor, Reader, Recovery};
use crate::live::{AlertFeed, LiveState, OpenAlerts};
use crate::rpc;
use crate::settings::{self, Settings};
use crate::simulator::roads::Roads;
use crate::slo::{Promise, Slo};
use crate::storage::archive_writer::{self, ArchiveHealth, ArchiveWriter};
use crate::storage::{self, ArchiveAddress, SharedArchive, VehicleRegister, retention, summaries};
use crate::tasks::{Stop, Tasks};
use crate::wire::geojson;

use joints::{commands_to, fences_of, intake_to, readiness, records_of};
pub use models::{NO_MODEL, shipped_models};

/// Whoever needs the archive for its start and did not reach it tries again after this long.
const ARCHIVE_AGAIN: Duration = Duration::from_secs(5);
/// Where the process really listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub http: SocketAddr,
    pub mqtt: SocketAddr,
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
    let (journal, recovery) = open_journal(&settings, &tasks)?;
    let monitor = journal.monitor();
    let slo = measures::start_slo(&settings.slo, &monitor, &tasks);
    let archive = storage::open(ArchiveAddress::read(&settings.archive.url, &settings.data)?, Arc::clone(&table)).await?;
    let (register, knows_vehicles) = register(&archive, &settings.ingest).await?;
    let archive_health = start_archive_writer(&journal, &archive, &table, &settings, &tasks)?;
    start_upkeep(&archive, settings.ingest.retention.duration(), &tasks);
    let live = Arc::new(LiveState::new(lanes::lane_count(&settings.analytics), settings.live.max_vehicles));
    let open_alerts = Arc::new(OpenAlerts::default());
    let alert_feed = Arc::new(AlertFeed::new(clock::now().as_micros().unsigned_abs()));
    let watched = WatchedAlerts {
        open: Arc::clone(&open_alerts),
        feed: Arc::clone(&alert_feed),
        live: Arc::clone(&live),
        slo: Arc::clone(&slo),
    };
    let degraded = match settings.live.url.redis() {
        Some(url) => redis_parts::start(url, &journal, &live, &table, &settings, &tasks).await?,
        None => Vec::new(),
    };
    let changes = journal.reader(watcher::CURSOR)?;
    let mut blueprint = blueprint(&settings, &table)?;
    blueprint.records = records_of(&register);
    let (configuration, revision) = configuration::at_start(&settings, &blueprint.models, &archive).await?;
    blueprint.checks = Arc::new(configuration.checks(revision)?);
    let lanes::Started { inlet, open_alerts: left_open } = lanes::start(LaneStart {
        blueprint: &blueprint,
        journal,
        recovery,
        publish: |lane| {
            let live = Arc::clone(&live);
            Box::new(move |newest: &mut Vec<Assessment>| live.update(lane, newest)) as lanes::Publish
        },
        slo: Arc::clone(&slo),
        tasks: &tasks,
    })?;
    for alert in &left_open {
        open_alerts.take(alert);
    }
    watch_alerts(changes, watched, &table, &tasks)?;
    let commands = commands_to(inlet.clone());
    let are_files = !settings.fences.files.is_empty();
    let in_force = InForce::new((configuration, revision), blueprint.models.clone(), archive.clone(), inlet.clone(), are_files);
    catch_up(knows_vehicles, &register, &in_force, &tasks).await;
    let intake = intake_to(inlet, &table, &settings.ingest, &register).observed_by(&slo);
    let intake = Arc::new(intake);

    let (listener, http) = listen(settings.http.address)?;
    let fleet = Fleet::new(FleetParts {
        live,
        open_alerts,
        alert_feed,
        commands,
        archive: archive.clone(),
        register,
        table,
        settings: settings.fleet,
    });
    recall(fleet.clone(), &tasks);
    let ways_in = uplink::router(Arc::clone(&intake), settings.mqtt.ack_timeout.duration(), &tasks);
    let grpc = serve_grpc(&settings, &fleet, &intake, &monitor, &tasks).await?;
    let describe = |model| ModelForm::new(model, &blueprint.table, &settings.analytics.alert);
    let dashboard = dashboard::Parts {
        fleet,
        replay: QuarantineReplay::new(Arc::clone(&intake), archive.clone()),
        fences: fences_of(in_force),
        models: blueprint.models.iter().map(describe).collect::<Result<_, _>>()?,
        map: dashboard::Map::new(&settings.page, roads.as_ref())?,
        address: http,
        tasks: tasks.clone(),
        ready: readiness(monitor, archive_health),
        degraded: Box::new(move || degraded.iter().filter_map(redis_parts::RedisPart::problem).collect()),
        metrics: measures::renderer(&recorder, &slo),
        slo,
    };
    drop(roads);
    serve(listener, dashboard::router(dashboard, ways_in), &tasks);
    subscriber::start(&settings.broker, Arc::clone(&intake), &tasks)?;
    let door = FrontDoor::open(&settings.mqtt, intake, &tasks)?;
    let addresses = Addresses { http, mqtt: door.address(), grpc };
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
    archive.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn serve_grpc(
    settings: &Settings,
    fleet: &Fleet,
    intake: &Arc<Intake>,
    monitor: &JournalMonitor,
    tasks: &Tasks,
) -> anyhow::Result<SocketAddr> {
    let monitor = monitor.clone();
    let parts = rpc::Parts {
        fleet: fleet.clone(),
        intake: Arc::clone(intake),
        ack_timeout: settings.mqtt.ack_timeout.duration(),
        is_ready: Box::new(move || monitor.health() == JournalHealth::Ok),
        tasks: tasks.clone(),
    };
    Ok(rpc::start(&settings.grpc, parts).await?)
}

fn open_journal(settings: &Settings, tasks: &Tasks) -> anyhow::Result<(Journal, Recovery)> {
    let folder = settings.data.join("journal");
    std::fs::create_dir_all(&settings.data)
        .with_context(|| format!("cannot make the data folder {}", settings.data.display()))?;
    if settings.live.url.redis().is_none() {
        dispatcher::forget(&folder).context("cannot remove the cursor of the alert queue")?;
    }
    Ok(tokio::task::block_in_place(|| Journal::open(&folder, &settings.journal, tasks))?)
}

/// And whether it is filled: with the archive away it can do without, unless only those in it may send.
async fn register(archive: &SharedArchive, settings: &settings::Ingest) -> anyhow::Result<(VehicleRegister, bool)> {
    let register = VehicleRegister::empty(archive.clone());
    match register.load().await {
        Ok(()) => Ok((register, true)),
        Err(error) if error.is_away() && !settings.only_registered => Ok((register, false)),
        Err(error) => Err(error).context("the registered vehicles are not known"),
    }
}

fn start_upkeep(archive: &SharedArchive, keep: Duration, tasks: &Tasks) {
    let (forgetting, summing) =
        (retention::run(archive.clone(), keep, tasks.stop()), summaries::run(archive.clone(), tasks.stop()));
    tasks.spawn("upkeep", async {
        tokio::join!(forgetting, summing);
        Ok(())
    });
}

fn recall(fleet: Fleet, tasks: &Tasks) {
    let mut stop = tasks.stop();
    tasks.spawn("recall", async move {
        while let Err(error) = fleet.recall().await {
            tracing::warn!(%error, "vehicles that are silent since the start are not on the map yet; will try again");
            if !has_waited(&mut stop).await {
                break;
            }
        }
        Ok(())
    });
}

/// Where this process started without the archive, and without knowing what it had.
async fn catch_up(knows_vehicles: bool, register: &VehicleRegister, in_force: &InForce, tasks: &Tasks) {
    if knows_vehicles && in_force.is_kept().await {
        return;
    }
    let (register, in_force, mut stop) = (register.clone(), in_force.clone(), tasks.stop());
    tracing::warn!("started without the archive: no vehicle's record is known, and alerts cannot be explained until it answers");
    tasks.spawn("catch up", async move {
        while has_waited(&mut stop).await {
            let caught_up = async {
                register.load().await?;
                in_force.catch_up().await
            };
            match caught_up.await {
                Ok(()) => {
                    tracing::info!("the archive answers: vehicles' records and the configuration are as it has them");
                    break;
                }
                Err(error) => tracing::debug!(error = %format!("{error:#}"), "the archive does not answer yet"),
            }
        }
        Ok(())
    });
}

/// For another try; `false`: it is time to stop.
async fn has_waited(stop: &mut Stop) -> bool {
    tokio::select! {
        () = tokio::time::sleep(ARCHIVE_AGAIN) => true,
        () = stop.requested() => false,
    }
}

fn start_archive_writer(
    journal: &Journal,
    archive: &SharedArchive,
    table: &Arc<SignalTable>,
    settings: &Settings,
    tasks: &Tasks,
) -> anyhow::Result<ArchiveHealth> {
    let health = ArchiveHealth::default();
    let writer = ArchiveWriter {
        reader: journal.reader(archive_writer::CURSOR)?,
        durable: journal.durable(),
        archive: archive.clone(),
        table: Arc::clone(table),
        settings: settings.archive.clone(),
        health: health.clone(),
        runtime: Handle::current(),
    };
    tasks.spawn_thread("archive writer", move || {
        writer.run();
        Ok(())
    })?;
    Ok(health)
}

/// Who hears of an alert, in this order: a follower who hears of a change finds it in the open alerts.
struct WatchedAlerts {
    open: Arc<OpenAlerts>,
    live: Arc<LiveState>,
    feed: Arc<AlertFeed>,
    slo: Arc<Slo>,
}

/// Open alerts follow the journal, so that nobody sees one that a power cut could take back.
fn watch_alerts(changes: Reader, watched: WatchedAlerts, table: &Arc<SignalTable>, tasks: &Tasks) -> anyhow::Result<()> {
    let (table, began) = (Arc::clone(table), clock::now());
    tasks.spawn_thread("alert watcher", move || {
        watcher::run(changes, &table, |event| {
            watched.open.apply(&event);
            watched.live.touch(&event.alert.vehicle_id);
            // What the last run left is met again, and was perhaps shown then.
            let opened_at = (event.change == Change::Opened && event.at >= began).then_some(event.at);
            watched.feed.publish(event);
            if let Some(opened_at) = opened_at {
                watched.slo.took(Promise::Alerted, clock::now().since(opened_at), 1);
            }
        });
        Ok(())
    })?;
    Ok(())
}

/// What lanes are made of, less what only a running process knows.
pub fn blueprint(settings: &Settings, table: &Arc<SignalTable>) -> anyhow::Result<Blueprint> {
    Ok(Blueprint {
        settings: settings.analytics.clone(),
        table: Arc::clone(table),
        models: models::of(&settings.analytics)?,
        checks: Arc::new(Checks {
            revision: 0,
            rules: Rules::new(&settings.rules)?,
            fences: Arc::new(FenceSet::compile(geojson::read_files(&settings.fences.files)?)),
        }),
        records: Records::default(),
        library: find_library(&settings.analytics.onnxruntime),
    })
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
    writeln!(stdout, "{}", json!({"ready": true, "http": http.to_string(), "mqtt": mqtt.to_string(), "grpc": grpc.to_string()}))?;
    stdout.flush()?;
    tracing::info!(%http, %mqtt, %grpc, "ready; no account exists, so the API is open to this machine");
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

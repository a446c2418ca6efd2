//! The load: thousands of connections in one thread, on a schedule or as fast as acknowledgements come. Starts no service: `line`.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use super::exposition::Pages;
use super::flight::{Flight, Outlook};
use super::history::send_histories;
use super::http::HttpError;
use super::latency::Percentiles;
use super::ledger::vehicle_id;
use super::probe::Probe;
use super::process::{self, MachineTime, ProcError, Usage};
use super::read_back::{ReadBackError, wait_until_stored};
use super::schedule::{Schedule, Timer};
use super::vehicle::{Acknowledgements, Vehicle, VehicleError, connect};

/// Connections that are being opened at the same time: less than a listener's usual backlog.
const CONNECTING_AT_ONCE: usize = 128;
/// At high rates messages leave in groups this far apart; finer would spend the machine on waking up.
const SEND_EVERY: Duration = Duration::from_micros(250);
/// After so many messages in a row, acknowledgements are read first.
const SEND_AT_ONCE: usize = 64;
const WAIT_FOR_LAST: Duration = Duration::from_secs(15);
/// Enough for percentiles of a run, too few to be a load of their own.
const PAUSE_BETWEEN_PROBES: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    PerSecond(f64),
    /// A closed loop with this many messages on the way, at most one a vehicle.
    Max {
        on_the_way: usize,
    },
}

#[derive(Debug, Clone)]
pub struct Load {
    pub mqtt: SocketAddr,
    pub http: SocketAddr,
    pub rate: Rate,
    pub warm_up: Duration,
    pub measured: Duration,
    pub vehicles: u32,
    pub seed: u64,
    /// The processes whose CPU and memory is measured, and where they show their metrics.
    pub service_pids: Vec<u32>,
    pub metrics: Vec<SocketAddr>,
    /// Where the acknowledged readings are written down.
    pub ledger: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Vehicle(#[from] VehicleError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Proc(#[from] ProcError),
    #[error(transparent)]
    ReadBack(#[from] ReadBackError),
    #[error("could not write the ledger {path}: {source}")]
    Ledger { path: PathBuf, source: std::io::Error },
    #[error("timer: {0}")]
    Timer(#[from] std::io::Error),
}

/// What one run of the generator saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generated {
    pub connected_in_ms: f64,
    /// Of the service, once all vehicles were connected and before the first message.
    pub rss_connected_bytes: u64,
    /// Of the minutes before the start, sent beforehand so that windows are filled and models score; in no other figure.
    pub history_readings: u64,
    /// Warm-up included.
    pub sent: u64,
    pub acknowledged: u64,
    /// Never answered within the time that was waited for them.
    pub unanswered: u64,
    /// Connections that the service closed.
    pub disconnected: u64,
    /// Messages that were due on a connection that was gone.
    pub not_sent: u64,
    /// Acknowledged in the measured span, per second of it.
    pub readings_per_second: f64,
    pub payload_bytes: f64,
    pub publish_to_durable_ms: Percentiles,
    pub publish_to_live_ms: Percentiles,
    /// How late the generator itself was; latencies contain it.
    pub send_lateness_ms: Percentiles,
    pub service_cpu_us_per_reading: f64,
    pub service_user_share: f64,
    /// Used by the service until the first message of the warm-up.
    pub service_cpu_us_at_start: u64,
    pub generator_cpu_us_per_reading: f64,
    pub machine_busy_percent: f64,
    pub machine_interrupts_percent: f64,
    /// `/metrics` before the first and after the last measured message.
    pub metrics_before: String,
    pub metrics_after: String,
}

/// What it took to connect all vehicles.
struct Connection {
    took: Duration,
    rss_bytes: u64,
}

/// A moment's counters of everything that is measured over a span.
struct Sample {
    at: Instant,
    service: Usage,
    own: Usage,
    machine: MachineTime,
    metrics: String,
}

/// Blocks until the load is done. Needs no runtime around it.
pub fn run(load: &Load) -> Result<Generated, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // One thread: no locks, and its CPU is easy to tell from the service's.
    LocalSet::new().block_on(&runtime, drive(load))
}

async fn drive(load: &Load) -> Result<Generated, LoadError> {
    let connecting = Instant::now();
    let connected = connect_all(load).await?;
    let connection = Connection { took: connecting.elapsed(), rss_bytes: process::usage_of_all(&load.service_pids)?.rss_bytes };
    let (connected, history) = send_histories(connected).await?;
    wait_until_stored(&mut Pages::new(&load.metrics)).await?;
    let at_start = process::usage_of_all(&load.service_pids)?;

    let (vehicles, acknowledgements): (Vec<_>, Vec<_>) = connected.into_iter().unzip();
    let outlook =
        Outlook { start: Instant::now(), started_at: crate::clock::now(), warm_up: load.warm_up, measured: load.measured };
    let flight = Rc::new(RefCell::new(Flight::new(vehicles, outlook, load.rate)));
    let mut readers = JoinSet::new();
    for (index, reader) in acknowledgements.into_iter().enumerate() {
        readers.spawn_local(read_acknowledgements(Rc::clone(&flight), index, reader));
    }
    let probing = probe_for_ever(&flight, load.http);
    let sending = send(load, &flight, outlook);
    let (before, after) = tokio::select! {
        samples = async { tokio::join!(sample_span(load, outlook), sending) } => {
            samples.1?;
            samples.0?
        }
        error = probing => return Err(error.into()),
    };
    let last = Instant::now();
    while flight.borrow().outstanding() > 0 && last.elapsed() < WAIT_FOR_LAST {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    readers.abort_all();
    let mut flight = flight.borrow_mut();
    flight.give_up_outstanding();
    let history_readings = history.len() as u64;
    flight.ledger.entries.extend(history);
    flight.ledger.write(&load.ledger).map_err(|source| LoadError::Ledger { path: load.ledger.clone(), source })?;
    Ok(Generated { history_readings, ..summary(&flight, &connection, &at_start, before, after) })
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds of one run are far below 2^53")]
fn summary(flight: &Flight, connection: &Connection, at_start: &Usage, before: Sample, after: Sample) -> Generated {
    let counts = &flight.counts;
    let per_reading = |us: u64| us as f64 / (counts.acknowledged_in_span.max(1)) as f64;
    let service_us = after.service.cpu_us() - before.service.cpu_us();
    let all = after.machine.all.saturating_sub(before.machine.all).max(Duration::from_millis(1));
    let percent = |time: Duration| 100.0 * time.as_secs_f64() / all.as_secs_f64();
    Generated {
        connected_in_ms: connection.took.as_secs_f64() * 1e3,
        rss_connected_bytes: connection.rss_bytes,
        history_readings: 0,
        sent: counts.sent,
        acknowledged: counts.acknowledged,
        unanswered: counts.unanswered,
        disconnected: counts.disconnected,
        not_sent: counts.not_sent,
        readings_per_second: counts.acknowledged_in_span as f64 / (after.at - before.at).as_secs_f64(),
        payload_bytes: counts.payload_bytes as f64 / counts.sent.max(1) as f64,
        publish_to_durable_ms: Percentiles::of(&flight.to_durable),
        publish_to_live_ms: Percentiles::of(&flight.to_live),
        send_lateness_ms: Percentiles::of(&flight.lateness),
        service_cpu_us_per_reading: per_reading(service_us),
        service_user_share: (after.service.user_us - before.service.user_us) as f64 / service_us.max(1) as f64,
        service_cpu_us_at_start: at_start.cpu_us(),
        generator_cpu_us_per_reading: per_reading(after.own.cpu_us() - before.own.cpu_us()),
        machine_busy_percent: 100.0 - percent(after.machine.idle.saturating_sub(before.machine.idle)),
        machine_interrupts_percent: percent(after.machine.interrupts.saturating_sub(before.machine.interrupts)),
        metrics_before: before.metrics,
        metrics_after: after.metrics,
    }
}

async fn connect_all(load: &Load) -> Result<Vec<(Vehicle, Acknowledgements)>, LoadError> {
    let permits = Rc::new(Semaphore::new(CONNECTING_AT_ONCE));
    let mut connecting = JoinSet::new();
    for number in 0..load.vehicles {
        let (permits, mqtt, seed) = (Rc::clone(&permits), load.mqtt, load.seed.wrapping_add(u64::from(number)));
        connecting.spawn_local(async move {
            let _permit = permits.acquire().await.expect("the semaphore is never closed");
            (number, connect(mqtt, vehicle_id(number), seed).await)
        });
    }
    let mut connected = Vec::with_capacity(connecting.len());
    while let Some(finished) = connecting.join_next().await {
        let (number, result) = finished.expect("connecting does not panic");
        connected.push((number, result?));
    }
    connected.sort_by_key(|(number, _)| *number);
    Ok(connected.into_iter().map(|(_, pair)| pair).collect())
}

/// Ends with the connection.
async fn read_acknowledgements(flight: Rc<RefCell<Flight>>, vehicle: usize, mut reader: Acknowledgements) {
    loop {
        match reader.next().await {
            Ok(packet_id) => flight.borrow_mut().acknowledged(vehicle, packet_id),
            Err(error) => return flight.borrow_mut().lost_connection(vehicle, &error),
        }
    }
}

async fn send(load: &Load, flight: &RefCell<Flight>, outlook: Outlook) -> Result<(), LoadError> {
    let timer = Timer::new()?;
    match load.rate {
        Rate::PerSecond(per_second) => {
            let schedule = Schedule { per_second };
            let mut number = 0;
            let mut woken = outlook.start;
            while schedule.due(number) < outlook.end() {
                timer.sleep_until((outlook.start + schedule.due(number)).max(woken + SEND_EVERY)).await?;
                woken = Instant::now();
                let mut in_a_row = 0;
                while outlook.start + schedule.due(number) <= woken && schedule.due(number) < outlook.end() {
                    flight.borrow_mut().send_next(schedule.due(number));
                    number += 1;
                    in_a_row += 1;
                    if in_a_row % SEND_AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                flight.borrow_mut().send_rests();
            }
        }
        Rate::Max { on_the_way } => {
            for _ in 0..on_the_way.min(load.vehicles as usize) {
                flight.borrow_mut().send_next(outlook.start.elapsed());
            }
            while outlook.start.elapsed() < outlook.end() {
                timer.sleep_until(Instant::now() + Duration::from_millis(1)).await?;
                flight.borrow_mut().send_rests();
            }
        }
    }
    Ok(())
}

async fn sample_span(load: &Load, outlook: Outlook) -> Result<(Sample, Sample), LoadError> {
    let timer = Timer::new()?;
    timer.sleep_until(outlook.start + outlook.warm_up).await?;
    let before = sample(load).await?;
    timer.sleep_until(outlook.start + outlook.end()).await?;
    Ok((before, sample(load).await?))
}

async fn sample(load: &Load) -> Result<Sample, LoadError> {
    let at = Instant::now();
    let (service, own, machine) =
        (process::usage_of_all(&load.service_pids)?, process::usage(std::process::id())?, process::machine_time()?);
    let metrics = Pages::new(&load.metrics).read().await?;
    Ok(Sample { at, service, own, machine, metrics })
}

/// Watches one message after another; ends only with an error.
async fn probe_for_ever(flight: &RefCell<Flight>, http: SocketAddr) -> HttpError {
    let mut probe = Probe::new(http);
    loop {
        let next = flight.borrow_mut().watch_next();
        let Ok(watched) = next.await else {
            // Nothing will be sent any more.
            std::future::pending::<()>().await;
            continue;
        };
        match probe.watch(&watched).await {
            Ok(waited) => flight.borrow_mut().became_live(&watched, waited),
            Err(error) => return error,
        }
        tokio::time::sleep(PAUSE_BETWEEN_PROBES).await;
    }
}

//! A fleet over MQTT: one task and one connection a vehicle, readings when they are due, repeated until they are acknowledged.

mod courier;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use self::courier::Courier;
use super::fleet::{Fleet, World};
use super::labels::Labelled;
use super::mqtt_vehicle::MqttUrl;
use crate::domain::SignalTable;
use crate::tasks::{Stop, TaskError, Tasks};

#[derive(Debug, Clone)]
pub struct SendOptions {
    pub url: MqttUrl,
    pub format: Format,
    /// None: until the process is to stop.
    pub length: Option<Duration>,
    /// After the last reading, acknowledgements are waited for this long.
    pub last_acknowledgements: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Protobuf,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub vehicles: u64,
    pub readings: u64,
    /// Messages, each counted once.
    pub sent: u64,
    pub acknowledged: u64,
    /// Messages that went out again on a new connection.
    pub resent: u64,
    /// Readings that a full memory on board lost.
    pub dropped_readings: u64,
    /// Readings still on board at the end.
    pub unsent_readings: u64,
    pub connections: u64,
    pub connection_errors: u64,
    /// The others are counted: ten thousand vehicles have the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    pub seconds: f64,
}

#[derive(Debug, Default)]
struct Counters {
    readings: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    resent: AtomicU64,
    dropped_readings: AtomicU64,
    unsent_readings: AtomicU64,
    connections: AtomicU64,
    connection_errors: AtomicU64,
    first_error: OnceLock<String>,
}

/// What all couriers share.
#[derive(Debug)]
struct Office {
    world: World,
    table: Arc<SignalTable>,
    options: SendOptions,
    /// The moment at which the fleet's clock stands at its start.
    began: Instant,
    counters: Counters,
    labels: Mutex<Vec<Labelled>>,
}

/// Sends until `options.length` has passed or `stop` is requested, then waits for the last acknowledgements.
/// The fleet's start is taken to be now.
///
/// # Errors
/// Where a task of the fleet fails, which is a defect: a receiver that is down is waited for.
pub async fn send(
    fleet: Fleet,
    options: SendOptions,
    table: Arc<SignalTable>,
    stop: Stop,
) -> Result<(Summary, Vec<Labelled>), TaskError> {
    let Fleet { world, vehicles } = fleet;
    let began = Instant::now();
    let vehicle_count = vehicles.len() as u64;
    let office = Arc::new(Office { world, table, options, began, counters: Counters::default(), labels: Mutex::default() });
    let couriers = Tasks::default();
    for vehicle in vehicles {
        let courier = Courier::new(vehicle, Arc::clone(&office), stop.clone());
        couriers.spawn("simulated vehicle", async move {
            courier.work().await;
            Ok(())
        });
    }
    couriers.finished().await?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &office.counters;
    let summary = Summary {
        vehicles: vehicle_count,
        readings: count(&counters.readings),
        sent: count(&counters.sent),
        acknowledged: count(&counters.acknowledged),
        resent: count(&counters.resent),
        dropped_readings: count(&counters.dropped_readings),
        unsent_readings: count(&counters.unsent_readings),
        connections: count(&counters.connections),
        connection_errors: count(&counters.connection_errors),
        first_error: counters.first_error.get().cloned(),
        seconds: began.elapsed().as_secs_f64(),
    };
    let labels = std::mem::take(&mut *office.labels.lock().expect("no courier panics while it holds the labels"));
    Ok((summary, labels))
}

impl Counters {
    fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    fn is_first_error(&self, error: &impl ToString) -> bool {
        Self::add(&self.connection_errors, 1);
        self.first_error.set(error.to_string()).is_ok()
    }
}

#[cfg(test)]
mod tests;

//! The messages of a run: which are sent, on the way, acknowledged, and how long they took. Does not wait for anything: `generator`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::generator::Rate;
use super::latency::Latencies;
use super::ledger::{Entry, Ledger};
use super::probe::Watched;
use super::vehicle::{Vehicle, VehicleError};
use crate::domain::Timestamp;

/// The times of a run, from its start.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    pub start: Instant,
    /// The same moment on the wall clock.
    pub started_at: Timestamp,
    pub warm_up: Duration,
    pub measured: Duration,
}

impl Outlook {
    #[must_use]
    pub fn end(&self) -> Duration {
        self.warm_up + self.measured
    }

    fn is_measured(&self, since_start: Duration) -> bool {
        since_start >= self.warm_up && since_start < self.end()
    }
}

#[derive(Debug, Default)]
pub struct Counts {
    pub sent: u64,
    pub acknowledged: u64,
    pub acknowledged_in_span: u64,
    pub unanswered: u64,
    pub disconnected: u64,
    pub not_sent: u64,
    pub payload_bytes: u64,
}

pub struct Flight {
    outlook: Outlook,
    rate: Rate,
    vehicles: Vec<Vehicle>,
    is_connected: Vec<bool>,
    /// Takes its turn next.
    next: usize,
    /// Vehicles whose socket was full.
    with_rest: Vec<usize>,
    watch: Option<oneshot::Sender<Watched>>,
    payload: Vec<u8>,
    frame: BytesMut,
    /// The second that was written last, as text: formatting a date costs as much as all else in a reading.
    second: (i64, String),
    pub counts: Counts,
    pub ledger: Ledger,
    pub to_durable: Latencies,
    pub to_live: Latencies,
    pub lateness: Latencies,
}

impl Flight {
    #[must_use]
    pub fn new(vehicles: Vec<Vehicle>, outlook: Outlook, rate: Rate) -> Self {
        Self {
            outlook,
            rate,
            is_connected: vec![true; vehicles.len()],
            vehicles,
            next: 0,
            with_rest: Vec::new(),
            watch: None,
            payload: Vec::with_capacity(1_024),
            frame: BytesMut::with_capacity(1_024),
            second: (i64::MIN, String::new()),
            counts: Counts::default(),
            ledger: Ledger::default(),
            to_durable: Latencies::default(),
            to_live: Latencies::default(),
            lateness: Latencies::default(),
        }
    }

    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.vehicles.iter().zip(&self.is_connected).filter(|(_, up)| **up).map(|(vehicle, _)| vehicle.on_the_way.len()).sum()
    }

    /// Tells of the next message that is sent.
    pub fn watch_next(&mut self) -> oneshot::Receiver<Watched> {
        let (sender, receiver) = oneshot::channel();
        self.watch = Some(sender);
        receiver
    }

    pub fn became_live(&mut self, watched: &Watched, waited: Duration) {
        if self.outlook.is_measured(watched.due.saturating_duration_since(self.outlook.start)) {
            self.to_live.record(waited);
        }
    }

    /// The vehicle whose turn it is publishes a reading that was due at this time after the start.
    pub fn send_next(&mut self, due: Duration) {
        let index = self.next;
        self.next = (self.next + 1) % self.vehicles.len();
        if self.is_connected[index] {
            self.send(index, due);
        } else {
            self.counts.not_sent += 1;
        }
    }

    fn send(&mut self, index: usize, due: Duration) {
        let due_micros = u64::try_from(due.as_micros()).expect("a run is shorter than 500,000 years");
        let recorded_at_micros = self.recorded_at_micros(due_micros);
        self.write_payload(index, recorded_at_micros);
        let payload = Bytes::copy_from_slice(&self.payload);
        self.counts.sent += 1;
        self.counts.payload_bytes += payload.len() as u64;
        if let Some(watch) = self.watch.take() {
            let vehicle_id = self.vehicles[index].id().to_owned();
            let _nobody_watches = watch.send(Watched { vehicle_id, recorded_at_micros, due: self.outlook.start + due });
        }
        if self.outlook.is_measured(due) {
            self.lateness.record(self.outlook.start.elapsed().saturating_sub(due));
        }
        match self.vehicles[index].publish(payload, due_micros, &mut self.frame) {
            Ok(false) => {}
            Ok(true) => {
                if !self.with_rest.contains(&index) {
                    self.with_rest.push(index);
                }
            }
            // The reader of this connection sees its end, and counts it.
            Err(_) => self.is_connected[index] = false,
        }
    }

    fn recorded_at_micros(&self, due_micros: u64) -> i64 {
        self.outlook.started_at.plus(Duration::from_micros(due_micros)).as_micros()
    }

    fn write_payload(&mut self, index: usize, recorded_at_micros: i64) {
        let second = recorded_at_micros.div_euclid(1_000_000);
        if second != self.second.0 {
            self.second.1.clear();
            write!(self.second.1, "{}", Timestamp::from_micros(second * 1_000_000)).expect("a string takes every text");
            // Without the Z.
            self.second.1.pop();
            self.second.0 = second;
        }
        let micros = u32::try_from(recorded_at_micros.rem_euclid(1_000_000)).expect("below a million");
        let vehicle = &mut self.vehicles[index];
        vehicle.sequence += 1;
        // Vehicles of the smallest fleet report every 30 s; at higher rates they only seem to drive faster.
        vehicle.drive.step(30.0);
        self.payload.clear();
        vehicle.drive.write_json(&self.second.1, micros, vehicle.sequence, &mut self.payload);
    }

    /// Sends what sockets did not take at first.
    pub fn send_rests(&mut self) {
        let Self { with_rest, vehicles, is_connected, .. } = self;
        with_rest.retain(|index| {
            let rest = vehicles[*index].send_rest();
            is_connected[*index] &= rest.is_ok();
            rest.unwrap_or(false)
        });
    }

    pub fn acknowledged(&mut self, vehicle: usize, packet_id: u16) {
        let Some(message) = self.vehicles[vehicle].acknowledged(packet_id) else { return };
        let since_start = self.outlook.start.elapsed();
        let due = Duration::from_micros(message.due_micros);
        let number = u32::try_from(vehicle).expect("vehicles are numbered in 32 bits");
        self.counts.acknowledged += 1;
        self.ledger.entries.push(Entry { vehicle: number, recorded_at_micros: self.recorded_at_micros(message.due_micros) });
        if self.outlook.is_measured(since_start) {
            self.counts.acknowledged_in_span += 1;
        }
        if self.outlook.is_measured(due) {
            self.to_durable.record(since_start.saturating_sub(due));
        }
        if matches!(self.rate, Rate::Max { .. }) && since_start < self.outlook.end() {
            self.release_one(since_start);
        }
    }

    /// In a closed loop: the next vehicle that has nothing on the way.
    fn release_one(&mut self, since_start: Duration) {
        for _ in 0..self.vehicles.len() {
            let index = self.next;
            self.next = (self.next + 1) % self.vehicles.len();
            if self.is_connected[index] && self.vehicles[index].on_the_way.is_empty() {
                return self.send(index, since_start);
            }
        }
    }

    pub fn lost_connection(&mut self, vehicle: usize, error: &VehicleError) {
        if self.counts.disconnected == 0 {
            eprintln!("odograph bench: {error}");
        }
        self.counts.disconnected += 1;
        self.is_connected[vehicle] = false;
    }

    /// What was never answered counts with the time that was waited: leaving it out would flatter the service.
    pub fn give_up_outstanding(&mut self) {
        let since_start = self.outlook.start.elapsed();
        for vehicle in &mut self.vehicles {
            for message in vehicle.on_the_way.drain(..) {
                self.counts.unanswered += 1;
                let due = Duration::from_micros(message.due_micros);
                if self.outlook.is_measured(due) {
                    self.to_durable.record(since_start.saturating_sub(due));
                }
            }
        }
    }
}

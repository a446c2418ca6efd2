//! Brings the readings of one vehicle to the receiver: keeps them on board while there is no network or no answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::{Counters, Format, Office};
use crate::domain::Timestamp;
use crate::simulator::fleet::blank_reading;
use crate::simulator::labels;
use crate::simulator::mqtt_vehicle::{Connection, ConnectionError};
use crate::simulator::random::{Purpose, Random};
use crate::simulator::vehicle::Vehicle;
use crate::tasks::Stop;
use crate::wire::encode::{ProtobufEncoder, encode_json};

pub struct Courier {
    vehicle: Vehicle,
    office: Arc<Office>,
    stop: Stop,
    topic: String,
    connection: Option<Connection>,
    /// Encoded readings that were not sent yet, oldest first.
    on_board: VecDeque<Vec<u8>>,
    /// Sent and not acknowledged, in that order.
    on_the_way: VecDeque<Message>,
    last_packet_id: u16,
    connect_at: Instant,
    pause: Duration,
    random: Random,
}

struct Message {
    packet_id: u16,
    readings: u64,
    payload: Bytes,
}

/// Twice what the longest coverage gap (10 min) takes at 30 s, and an outage of the receiver of half an hour.
/// Full: the oldest reading is lost and counted, as in a device whose memory is full.
const ON_BOARD_READINGS: usize = 64;
/// Full: readings stay on board until one is acknowledged.
const MESSAGES_ON_THE_WAY: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

enum Event {
    Due,
    Answered(Result<u16, ConnectionError>),
    MayConnect,
    Stopping,
    GaveUp,
}

impl Courier {
    pub fn new(vehicle: Vehicle, office: Arc<Office>, stop: Stop) -> Self {
        let topic = format!("vehicles/{}/telemetry", vehicle.id());
        Self {
            random: Random::stream(office.world.seed, Purpose::Network, u64::from(vehicle.index)),
            connect_at: office.began,
            vehicle,
            office,
            stop,
            topic,
            connection: None,
            on_board: VecDeque::new(),
            on_the_way: VecDeque::new(),
            last_packet_id: 0,
            pause: FIRST_PAUSE,
        }
    }

    pub async fn work(mut self) {
        let mut give_up_at = None;
        loop {
            let due_at = self.instant(self.vehicle.next_at());
            let reports =
                give_up_at.is_none() && self.office.options.length.is_none_or(|length| due_at < self.office.began + length);
            if !reports && give_up_at.is_none() {
                give_up_at = Some(Instant::now() + self.office.options.last_acknowledgements);
            }
            if !reports && self.on_board.is_empty() && self.on_the_way.is_empty() {
                break;
            }
            // At the end a vehicle out of coverage hands in what it has: nobody waits for it to come back.
            let has_network = !reports || self.vehicle.has_coverage();
            let wants_connection = self.connection.is_none() && has_network && self.has_something();
            let event = tokio::select! {
                () = sleep_until(due_at), if reports => Event::Due,
                answer = answer(self.connection.as_mut()) => Event::Answered(answer),
                () = sleep_until(self.connect_at), if wants_connection => Event::MayConnect,
                () = self.stop.requested(), if give_up_at.is_none() => Event::Stopping,
                () = sleep_until(give_up_at.unwrap_or(due_at)), if give_up_at.is_some() => Event::GaveUp,
            };
            match event {
                Event::Due => self.report().await,
                Event::Answered(Ok(packet_id)) => self.acknowledged(packet_id).await,
                Event::Answered(Err(error)) => self.lost(&error),
                Event::MayConnect => self.connect().await,
                Event::Stopping => give_up_at = Some(Instant::now() + self.office.options.last_acknowledgements),
                Event::GaveUp => break,
            }
        }
        self.finish().await;
    }

    fn has_something(&self) -> bool {
        !self.on_board.is_empty() || !self.on_the_way.is_empty()
    }

    fn instant(&self, moment: Timestamp) -> Instant {
        self.office.began + moment.since(self.office.world.start)
    }

    /// Takes the reading that is due, and sends it if it can.
    async fn report(&mut self) {
        self.take_reading();
        if self.vehicle.has_coverage() {
            self.send_on_board().await;
        } else if let Some(connection) = self.connection.take() {
            // Out of coverage: what is on the way goes again on the next connection, as with real modems.
            connection.close().await;
            self.connect_at = Instant::now();
        }
    }

    fn take_reading(&mut self) {
        let mut reading = blank_reading();
        self.vehicle.next_reading(&self.office.world, &mut reading);
        Counters::add(&self.office.counters.readings, 1);
        if self.on_board.len() >= ON_BOARD_READINGS {
            self.on_board.pop_front();
            Counters::add(&self.office.counters.dropped_readings, 1);
        }
        let mut encoded = Vec::with_capacity(1_024);
        match self.office.options.format {
            Format::Json => encode_json(&reading, &self.office.table, &mut encoded),
            Format::Protobuf => {
                ProtobufEncoder::new(Arc::clone(&self.office.table)).encode(std::slice::from_ref(&reading), &mut encoded);
            }
        }
        encoded.shrink_to_fit();
        self.on_board.push_back(encoded);
    }

    async fn connect(&mut self) {
        // A broker waits one and a half times this: a vehicle that reports in time never needs a ping.
        let keep_alive = (self.office.world.every * 4).max(Duration::from_mins(1));
        match Connection::open(&self.office.options.url, self.vehicle.id().as_str(), keep_alive).await {
            Ok(connection) => {
                Counters::add(&self.office.counters.connections, 1);
                self.connection = Some(connection);
                self.pause = FIRST_PAUSE;
                self.repeat().await;
                self.send_on_board().await;
            }
            Err(error) => self.lost(&error),
        }
    }

    /// Sends again what the last connection left unanswered, before anything new.
    async fn repeat(&mut self) {
        for index in 0..self.on_the_way.len() {
            let Some(connection) = &mut self.connection else { return };
            let message = &self.on_the_way[index];
            let sent = connection.publish(&self.topic, message.packet_id, message.payload.clone(), true).await;
            Counters::add(&self.office.counters.resent, 1);
            if let Err(error) = sent {
                self.lost(&error);
            }
        }
    }

    /// All that is on board as one message; usually that is one reading.
    async fn send_on_board(&mut self) {
        if self.on_board.is_empty() || self.on_the_way.len() >= MESSAGES_ON_THE_WAY {
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        let readings = self.on_board.len() as u64;
        let payload = joined(&mut self.on_board, self.office.options.format);
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        let packet_id = self.last_packet_id;
        self.on_the_way.push_back(Message { packet_id, readings, payload: payload.clone() });
        Counters::add(&self.office.counters.sent, 1);
        if let Err(error) = connection.publish(&self.topic, packet_id, payload, false).await {
            self.lost(&error);
        }
    }

    async fn acknowledged(&mut self, packet_id: u16) {
        if let Some(index) = self.on_the_way.iter().position(|message| message.packet_id == packet_id) {
            self.on_the_way.remove(index);
            Counters::add(&self.office.counters.acknowledged, 1);
        }
        self.send_on_board().await;
    }

    fn lost(&mut self, error: &ConnectionError) {
        if self.office.counters.is_first_error(error) {
            warn!(vehicle_id = %self.vehicle.id(), error = %error, "lost the receiver, will try again; others are only counted");
        }
        debug!(vehicle_id = %self.vehicle.id(), error = %error, "lost the receiver");
        self.connection = None;
        // Jitter: ten thousand vehicles must not come back in the same moment.
        self.connect_at = Instant::now() + self.pause.mul_f32(self.random.between((0.5, 1.5)));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    async fn finish(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        let unanswered: u64 = self.on_the_way.iter().map(|message| message.readings).sum();
        Counters::add(&self.office.counters.unsent_readings, unanswered + self.on_board.len() as u64);
        let mut labels = self.office.labels.lock().expect("no courier panics while it holds the labels");
        labels.extend(labels::of(&self.vehicle));
    }
}

/// Never, without a connection.
async fn answer(connection: Option<&mut Connection>) -> Result<u16, ConnectionError> {
    match connection {
        Some(connection) => connection.acknowledged().await,
        None => std::future::pending().await,
    }
}

/// Empties `readings` into one payload. Batches of protobuf are joined by writing one after the other.
fn joined(readings: &mut VecDeque<Vec<u8>>, format: Format) -> Bytes {
    if readings.len() == 1 {
        return readings.pop_front().unwrap_or_default().into();
    }
    let (open, between, close): (&[u8], &[u8], &[u8]) = match format {
        Format::Json => (b"[", b",", b"]"),
        Format::Protobuf => (b"", b"", b""),
    };
    let mut payload = Vec::with_capacity(readings.iter().map(|reading| reading.len() + 1).sum::<usize>() + 2);
    payload.extend_from_slice(open);
    for (index, reading) in readings.drain(..).enumerate() {
        if index > 0 {
            payload.extend_from_slice(between);
        }
        payload.extend_from_slice(&reading);
    }
    payload.extend_from_slice(close);
    payload.into()
}

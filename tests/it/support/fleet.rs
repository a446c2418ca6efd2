//! Vehicles that publish, and the ledger of what was promised to them: written at the moment of each PUBACK, away from the service.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use odograph::bench::readings::Drive;
use odograph::clock;
use odograph::domain::Timestamp;
use serde_json::Value;

use super::api::Api;
use super::device::{Device, Heard, Protocol};
use super::wait_for;

/// Publishes of one vehicle that are on the way at the same time; the front door announces 64 to MQTT 5.
const WINDOW: usize = 32;
/// What a vehicle keeps until it is acknowledged; at this many it measures nothing new, as real ones do.
const MOST_WAITING: usize = 200;

/// Of the readings that went wrong, so many are named.
const SHOWN: usize = 10;

/// Times of acknowledged readings by vehicle, as of some moment.
pub type Ledger = BTreeMap<String, BTreeSet<i64>>;

/// Several vehicles, over any number of lives of the service.
pub struct Fleet {
    vehicles: Vec<Vehicle>,
}

struct Vehicle {
    id: String,
    protocol: Protocol,
    book: Mutex<Book>,
}

struct Book {
    drive: Drive,
    sequence: u64,
    /// By time, which rises strictly per vehicle.
    sent: BTreeMap<i64, Vec<u8>>,
    /// The ledger.
    acknowledged: BTreeSet<i64>,
    /// Packet id and time, in the order of sending on the present connection.
    on_the_way: VecDeque<(u16, i64)>,
    /// Times of what waits for its turn.
    to_send: VecDeque<i64>,
    is_connected: bool,
    /// How the last connection ended.
    ended: Option<Heard>,
}

/// What became of everything that was acknowledged.
#[derive(Debug, Default)]
pub struct Audit {
    pub acknowledged: usize,
    pub stored: usize,
    pub with_score: usize,
    /// Vehicle and time of readings that were acknowledged and are not there.
    pub missing: Vec<(String, i64)>,
    pub stored_twice: Vec<(String, i64)>,
    /// Stored with other values than those sent, or never sent at all.
    pub changed: Vec<(String, i64)>,
}

/// A test that fails in the middle ends, instead of publishing for ever.
pub struct StopsWhenDropped<'a>(pub &'a AtomicBool);

impl Drop for StopsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Fleet {
    /// Half of the vehicles speak MQTT 3.1.1, half 5.
    pub fn new(prefix: &str, vehicles: u64, seed: u64) -> Self {
        let vehicle = |number: u64| Vehicle {
            id: format!("{prefix}-{number:03}"),
            protocol: if number.is_multiple_of(2) { Protocol::V311 } else { Protocol::V5 },
            book: Mutex::new(Book {
                drive: Drive::new(seed.wrapping_add(number)),
                sequence: 0,
                sent: BTreeMap::new(),
                acknowledged: BTreeSet::new(),
                on_the_way: VecDeque::new(),
                to_send: VecDeque::new(),
                is_connected: false,
                ended: None,
            }),
        };
        Self { vehicles: (0..vehicles).map(vehicle).collect() }
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.vehicles.iter().map(|vehicle| vehicle.id.as_str())
    }

    pub fn acknowledged(&self) -> usize {
        self.vehicles.iter().map(|vehicle| vehicle.book().acknowledged.len()).sum()
    }

    /// What was acknowledged by now.
    pub fn ledger(&self) -> Ledger {
        self.vehicles.iter().map(|vehicle| (vehicle.id.clone(), vehicle.book().acknowledged.clone())).collect()
    }

    /// Connects, repeats what was not acknowledged, then publishes new readings on a fixed schedule, until `stopping` is set or the service is gone.
    /// Told to stop, it waits for the acknowledgements that are due.
    ///
    /// # Errors
    /// Says why not everything was acknowledged.
    pub fn publish(&self, mqtt: SocketAddr, per_second: f64, stopping: &AtomicBool) -> Result<(), String> {
        let connect = |vehicle: &Vehicle| Device::try_connect(mqtt, &vehicle.id, vehicle.protocol);
        let devices = self.vehicles.iter().map(connect).collect::<std::io::Result<Vec<_>>>();
        let mut devices = devices.map_err(|error| format!("could not connect: {error}"))?;
        self.vehicles.iter().for_each(|vehicle| vehicle.book().is_connected = true);
        thread::scope(|scope| {
            for (vehicle, device) in self.vehicles.iter().zip(&devices) {
                let half = device.second_half();
                scope.spawn(move || vehicle.write_down_acknowledgements(half));
            }
            let mut is_up = self.vehicles.iter().zip(&mut devices).all(|(vehicle, device)| vehicle.repeat(device));
            let since = Instant::now();
            let mut number = 0_u32;
            while is_up && !stopping.load(Ordering::Relaxed) {
                let due = since + Duration::from_secs_f64(f64::from(number) / per_second);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let index = number as usize % self.vehicles.len();
                is_up = self.vehicles[index].publish_next(&mut devices[index]);
                number += 1;
            }
            let waited = self.wait_for_acknowledgements(&mut devices);
            devices.iter().for_each(Device::close);
            waited
        })
    }

    /// So many readings, each acknowledged.
    #[track_caller]
    pub fn publish_some(&self, mqtt: SocketAddr, per_second: f64, for_about: Duration) {
        let stopping = AtomicBool::new(false);
        let published = thread::scope(|scope| {
            let publishing = scope.spawn(|| self.publish(mqtt, per_second, &stopping));
            thread::sleep(for_about);
            stopping.store(true, Ordering::Relaxed);
            publishing.join().unwrap()
        });
        assert_eq!(published, Ok(()));
    }

    /// The front door takes the publishes of a connection one after another: as long as some come, the rest may wait.
    fn wait_for_acknowledgements(&self, devices: &mut [Device]) -> Result<(), String> {
        let (mut since, mut acknowledged) = (Instant::now(), self.acknowledged());
        while self.vehicles.iter().any(Vehicle::is_waiting) {
            for (vehicle, device) in self.vehicles.iter().zip(&mut *devices) {
                if !vehicle.send_waiting(device) {
                    let ended = vehicle.book().ended.take();
                    return Err(format!("the connection of {} ended: {ended:?}", vehicle.id));
                }
            }
            let by_now = self.acknowledged();
            if by_now > acknowledged {
                (since, acknowledged) = (Instant::now(), by_now);
            }
            if since.elapsed() > super::device::ANSWER_WITHIN {
                let waiting = self.vehicles.iter().filter(|vehicle| vehicle.is_waiting());
                let waiting: Vec<_> = waiting.map(|vehicle| (&vehicle.id, vehicle.book().on_the_way.clone())).collect();
                return Err(format!("no acknowledgement within {:?} for {waiting:?}", since.elapsed()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Compares the ledger with what the API gives, once the archive had time to take in the rest of the journal.
    #[track_caller]
    pub fn audit(&self, api: &Api, within: Duration) -> Audit {
        self.audit_of(api, &self.ledger(), within)
    }

    /// The same for what was acknowledged at some moment. As long as what is missing becomes less, it may take longer.
    #[track_caller]
    pub fn audit_of(&self, api: &Api, ledger: &Ledger, within: Duration) -> Audit {
        let mut since = Instant::now();
        let mut audit = wait_for("an answer for every vehicle", within, || Some(self.audit_now(api)));
        while audit.missing_of(ledger).next().is_some() && since.elapsed() < within {
            thread::sleep(Duration::from_millis(100));
            let before = audit.missing.len();
            audit = self.audit_now(api);
            if audit.missing.len() < before {
                since = Instant::now();
            }
        }
        audit
    }

    #[track_caller]
    fn audit_now(&self, api: &Api) -> Audit {
        let mut audit = Audit::default();
        for vehicle in &self.vehicles {
            let stored = api.readings(&vehicle.id);
            let book = vehicle.book();
            audit.acknowledged += book.acknowledged.len();
            audit.stored += stored.len();
            audit.with_score += stored.iter().filter(|reading| reading.json["score"].is_number()).count();
            let mut times = BTreeSet::new();
            for reading in &stored {
                let name = || (vehicle.id.clone(), reading.recorded_at_micros);
                if !times.insert(reading.recorded_at_micros) {
                    audit.stored_twice.push(name());
                }
                match book.sent.get(&reading.recorded_at_micros) {
                    Some(payload) if says_the_same(payload, &reading.json) => {}
                    _ => audit.changed.push(name()),
                }
            }
            audit.missing.extend(book.acknowledged.difference(&times).map(|time| (vehicle.id.clone(), *time)));
        }
        audit
    }
}

impl Audit {
    fn missing_of(&self, ledger: &Ledger) -> impl Iterator<Item = &(String, i64)> {
        self.missing.iter().filter(|(vehicle, time)| ledger.get(vehicle).is_some_and(|times| times.contains(time)))
    }

    /// What the ledger has is there; nothing is doubled, nothing changed.
    #[track_caller]
    pub fn assert_has(&self, ledger: &Ledger) {
        let lost: Vec<_> = self.missing_of(ledger).collect();
        assert!(lost.is_empty(), "{} readings of the ledger are lost: {lost:?}", lost.len());
        assert!(self.stored_twice.is_empty(), "{} readings are stored twice: {:?}", self.stored_twice.len(), self.stored_twice);
        assert!(self.changed.is_empty(), "{} readings are not those sent: {:?}", self.changed.len(), self.changed);
    }

    /// Nothing lost, nothing doubled, nothing changed.
    #[track_caller]
    pub fn assert_clean(&self) {
        let some = |all: &[(String, i64)]| format!("{:?}", &all[..all.len().min(SHOWN)]);
        let (missing, twice, changed) = (some(&self.missing), some(&self.stored_twice), some(&self.changed));
        assert!(
            self.missing.is_empty(),
            "{} of {} acknowledged readings are lost, first of them {missing}",
            self.missing.len(),
            self.acknowledged
        );
        assert!(self.stored_twice.is_empty(), "{} readings are stored twice, first of them {twice}", self.stored_twice.len());
        assert!(self.changed.is_empty(), "{} readings are not those sent, first of them {changed}", self.changed.len());
    }
}

impl Vehicle {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no test thread panics while it writes")
    }

    fn topic(&self) -> String {
        format!("vehicles/{}/telemetry", self.id)
    }

    /// Ends with the connection.
    fn write_down_acknowledgements(&self, mut device: Device) {
        loop {
            match device.hear(Duration::from_mins(1)) {
                Heard::Acknowledged { packet_id } => {
                    let mut book = self.book();
                    let Some(position) = book.on_the_way.iter().position(|(sent, _)| *sent == packet_id) else { continue };
                    let (_, recorded_at) = book.on_the_way.remove(position).expect("it was just found");
                    book.acknowledged.insert(recorded_at);
                }
                heard @ (Heard::Refused { .. } | Heard::Disconnected { .. } | Heard::Nothing) => {
                    let mut book = self.book();
                    book.is_connected = false;
                    book.ended = Some(heard);
                    return;
                }
            }
        }
    }

    fn is_waiting(&self) -> bool {
        let book = self.book();
        !book.on_the_way.is_empty() || !book.to_send.is_empty()
    }

    /// On a new connection everything without an acknowledgement goes out again, as `QoS` 1 has it. `false`: the connection is gone.
    fn repeat(&self, device: &mut Device) -> bool {
        let mut book = self.book();
        book.on_the_way.clear();
        book.to_send = book.sent.keys().filter(|recorded_at| !book.acknowledged.contains(recorded_at)).copied().collect();
        drop(book);
        self.send_waiting(device)
    }

    /// `false`: the connection is gone.
    fn publish_next(&self, device: &mut Device) -> bool {
        let mut book = self.book();
        if book.on_the_way.len() + book.to_send.len() < MOST_WAITING {
            let last = book.sent.last_key_value().map_or(0, |(recorded_at, _)| *recorded_at);
            let recorded_at = clock::now().as_micros().max(last + 1);
            let second = Timestamp::from_micros(recorded_at.div_euclid(1_000_000) * 1_000_000).to_string();
            let micros = u32::try_from(recorded_at.rem_euclid(1_000_000)).unwrap();
            book.sequence += 1;
            let sequence = book.sequence;
            let mut payload = Vec::new();
            book.drive.step(1.0);
            book.drive.write_json(second.trim_end_matches('Z'), micros, sequence, &mut payload);
            book.sent.insert(recorded_at, payload);
            book.to_send.push_back(recorded_at);
        }
        drop(book);
        self.send_waiting(device)
    }

    /// As much as the window admits. `false`: the connection is gone.
    fn send_waiting(&self, device: &mut Device) -> bool {
        // The book stays locked: an acknowledgement must not be looked up before its packet id is written down.
        let mut book = self.book();
        if !book.is_connected {
            return false;
        }
        while book.on_the_way.len() < WINDOW
            && let Some(recorded_at) = book.to_send.pop_front()
        {
            match device.send(&self.topic(), &book.sent[&recorded_at]) {
                Ok(packet_id) => book.on_the_way.push_back((packet_id, recorded_at)),
                Err(_) => return false,
            }
        }
        true
    }
}

/// Whether position and signals came back as they were sent; signals are f32, positions f64.
fn says_the_same(payload: &[u8], stored: &Value) -> bool {
    let sent: Value = serde_json::from_slice(payload).unwrap();
    let signals = sent["signals"].as_object().unwrap();
    let is_same = |name: &String, value: &Value| {
        let back = stored["signals"][name].as_f64();
        #[expect(clippy::cast_possible_truncation, reason = "signals are f32 from the decoder on")]
        let both = (value.as_f64().map(|value| value as f32), back.map(|back| back as f32));
        both.0 == both.1
    };
    stored["signals"].as_object().is_some_and(|back| back.len() == signals.len())
        && signals.iter().all(|(name, value)| is_same(name, value))
        && ["latitude", "longitude"].iter().all(|axis| stored["position"][axis].as_f64() == sent["position"][axis].as_f64())
}

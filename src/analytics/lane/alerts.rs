//! A lane's share in alerting: what checks and models say goes to the vehicle's episodes, and what changed goes to the journal.

use std::sync::atomic::Ordering;

use super::{Judge, Lane, Owned};
use crate::analytics::alerting::{CommandRefused, Seen, Tick};
use crate::analytics::checks::At;
use crate::analytics::rules::{Heard, Silence};
use crate::analytics::vehicle::Vehicle;
use crate::domain::{Alert, AlertEvent, Assessment, Command, OpenedBy, Reading, Timestamp};
use crate::journal::Batch;
use crate::wire::record::RecordEncoder;

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Obeyed {
    pub alert: Alert,
    /// Nothing: it was so already.
    pub event: Option<AlertEvent>,
}

impl Lane {
    /// Does what a person wants done to an alert.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn command(&mut self, command: &Command, batch: &mut Batch) -> Result<Obeyed, CommandRefused> {
        let unknown = CommandRefused::NoSuchAlert { alert_id: command.alert_id };
        let vehicle = *self.index.get(&command.vehicle_id).ok_or(unknown.clone())?;
        self.events.clear();
        let state = &mut self.vehicles[vehicle as usize].state;
        state.episodes.command(command, &mut self.events)?;
        let event = self.events.last().cloned();
        let alert = event.as_ref().map(|event| event.alert.clone());
        let alert = alert.or_else(|| state.episodes.alert(command.alert_id).cloned()).ok_or(unknown)?;
        self.write_events(vehicle, batch);
        Ok(Obeyed { alert, event })
    }

    /// Once a second: what the clock alone changes.
    pub fn tick(&mut self, now: Timestamp, batch: &mut Batch) {
        self.told.clear();
        self.ask_for_records();
        // Nobody is silent because we were away.
        let listening_since = *self.listening_since.get_or_insert(now);
        for vehicle in 0..self.vehicles.len() {
            let owned = &mut self.vehicles[vehicle];
            let Some(newest) = owned.state.heard else { continue };
            let heard = Heard {
                received_at: newest.received_at,
                listening_since,
                is_parked: owned.state.memory.rules.is_parked(),
                record: owned.record.as_deref(),
            };
            let Silence { is_silent, claim } = self.checks.silence(&heard, now);
            if owned.state.episodes.is_empty() && !is_silent {
                continue;
            }
            let newest = OpenedBy { configuration: self.checks.revision, ..newest.reading };
            let tick = Tick { vehicle_id: &owned.id, now, is_silent, silence: claim.as_ref(), newest: Some(newest) };
            self.events.clear();
            owned.state.episodes.tick(&tick, &mut self.events);
            self.write_events(u32::try_from(vehicle).expect("memory ends before 4 billion vehicles"), batch);
        }
    }

    /// Of all vehicles.
    pub fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.vehicles.iter().flat_map(|owned| owned.state.episodes.open())
    }

    fn ask_for_records(&mut self) {
        let generation = self.records.generation.load(Ordering::Acquire);
        if generation != self.records_generation {
            self.records_generation = generation;
            self.vehicles.iter_mut().for_each(|owned| owned.record = (self.records.of)(&owned.id));
        }
    }

    /// What changed in the last batch or tick.
    #[must_use]
    pub fn told(&self) -> &[AlertEvent] {
        &self.told
    }

    /// After the tail of the journal was replayed: what its readings say and a power cut took, to be written now.
    pub fn finish_replay(&mut self, batch: &mut Batch) {
        let missing = std::mem::take(&mut self.tail).missing();
        for event in missing {
            let Some(vehicle) = self.index.get(&event.alert.vehicle_id).copied() else { continue };
            self.events.clear();
            self.events.push(event);
            self.write_events(vehicle, batch);
        }
    }

    /// What checks say, as the window shows it now, goes to `self.claims`.
    pub(super) fn check(&mut self, vehicle: u32, reading: &Reading, judge: Judge<'_>) {
        let Judge { timing, step, quality } = judge;
        let Owned { record, follows_all, state: Vehicle { window, memory, episodes, .. }, .. } =
            &mut self.vehicles[vehicle as usize];
        let at = At { window, step, reading, timing, quality, record: record.as_deref(), episodes, follows_all: *follows_all };
        let without_room = self.checks.check(&at, memory, &mut self.claims);
        self.counters.claims_without_room += without_room as u64;
    }

    /// The claims of one reading, from its checks and its models, are in `self.claims`.
    pub(super) fn observe(&mut self, vehicle: u32, seen: &Seen<'_>) {
        self.events.clear();
        let state = &mut self.vehicles[vehicle as usize].state;
        let without_room = state.episodes.observe(seen, &self.claims, &mut self.events);
        self.counters.claims_without_room += without_room as u64;
    }

    /// Writes `self.events`, which are of this vehicle.
    pub(super) fn write_events(&mut self, vehicle: u32, batch: &mut Batch) {
        if self.events.is_empty() {
            return;
        }
        let slot = self.vehicles[vehicle as usize].slot;
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let arrival = self.take_arrival(slot);
            batch.push(slot, arrival, |out| RecordEncoder::alert_event(event, out));
            self.vehicles[vehicle as usize].state.note_arrival(arrival);
        }
        self.note_change(vehicle, slot);
        self.told.extend_from_slice(&events);
        self.events = events;
    }

    /// A reading of the journal says again what it said; models are not asked for scores
    /// again: their findings stand in the record.
    pub(super) fn replay_claims(&mut self, vehicle: u32, assessment: &Assessment, step: Option<usize>) {
        self.claims.clear();
        if let Some(step) = step {
            let judge = Judge { timing: assessment.timing, step, quality: &assessment.quality };
            let number = self.row_again(vehicle, assessment, judge);
            self.check(vehicle, &assessment.reading, judge);
            self.learn(vehicle, &assessment.reading, judge);
            self.claim_by_models_again(vehicle, assessment, number);
        }
        let seen = Seen {
            vehicle_id: &assessment.reading.vehicle_id,
            reading: &assessment.reading,
            timing: assessment.timing,
            arrival: assessment.arrival,
            configuration: assessment.revision,
        };
        let state = &mut self.vehicles[vehicle as usize].state;
        self.tail.reading(&mut state.episodes, &seen, &self.claims);
    }

    pub(super) fn replay_event(&mut self, vehicle: u32, event: &AlertEvent) {
        let state = &mut self.vehicles[vehicle as usize].state;
        self.tail.event(&mut state.episodes, event);
    }
}

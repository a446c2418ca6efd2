//! What a lane saves of its vehicles, and how it takes them up again: the saved states, then the frames since.

use super::{Lane, group_of};
use crate::analytics::bytes::Damaged;
use crate::analytics::profile::Cohorts;
use crate::analytics::vehicle::{StateError, Vehicle};
use crate::analytics::window::SignalLayout;
use crate::domain::{Alert, Assessment, SignalTable, Timing, VehicleId, VehicleIdError};
use crate::journal::{Checkpoint, Frame, SavedVehicle};
use crate::wire::record::{Record, RecordError, decode_record};

/// More groups than this would make checkpoints of next to nothing.
pub const CHECKPOINT_GROUPS_MAX: usize = 600;

/// What no vehicle can be called: here a lane's cohorts are saved, with the first slot of its vehicles.
const COHORTS: &str = "cohorts of a lane";

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the saved state of vehicle {vehicle_id:?} cannot be read: {error}")]
    State { vehicle_id: String, error: StateError },
    #[error("a saved state has the vehicle id {vehicle_id:?}: {error}")]
    VehicleId { vehicle_id: String, error: VehicleIdError },
    #[error("the saved cohorts cannot be read: {0}")]
    Cohorts(Damaged),
    #[error("the newest assessment of vehicle {vehicle_id} cannot be read: {error}")]
    Newest { vehicle_id: VehicleId, error: RecordError },
}

/// What a saved state shows of its vehicle to a process that has no lanes.
#[derive(Debug, Default)]
pub struct Shown {
    pub newest: Option<Assessment>,
    pub open_alerts: Vec<Alert>,
}

/// # Errors
/// Where the state is not what this version writes.
pub fn shown(saved: &SavedVehicle, table: &SignalTable) -> Result<Shown, RestoreError> {
    let SavedVehicle { vehicle_id, state, .. } = saved;
    if vehicle_id.starts_with(COHORTS) {
        return Ok(Shown::default());
    }
    let id = VehicleId::new(vehicle_id).map_err(|error| RestoreError::VehicleId { vehicle_id: vehicle_id.clone(), error })?;
    let state = Vehicle::decode(state, &id, &SignalLayout::of(table));
    let state = state.map_err(|error| RestoreError::State { vehicle_id: vehicle_id.clone(), error })?;
    let newest = newest_of(&id, &state, table).transpose()?;
    Ok(Shown { newest, open_alerts: state.episodes.open().cloned().collect() })
}

fn newest_of(id: &VehicleId, state: &Vehicle, table: &SignalTable) -> Option<Result<Assessment, RestoreError>> {
    let (record, arrival) = state.newest()?;
    let newest = |error| RestoreError::Newest { vehicle_id: id.clone(), error };
    match decode_record(record, arrival, table) {
        Ok(Record::Assessment(assessment)) => Some(Ok(*assessment)),
        Ok(Record::Quarantined(_) | Record::AlertEvent(_)) => Some(Err(newest(RecordError::Field { field: "assessment" }))),
        Err(error) => Some(Err(newest(error))),
    }
}

impl Lane {
    /// The vehicles of one group of slots that changed since they were last saved; `None` where nothing did.
    pub fn checkpoint(&mut self, group: usize) -> Option<Checkpoint> {
        let groups = self.changed.len();
        let mut checkpoint = Checkpoint::new();
        let mut is_empty = true;
        // Before any vehicle that moved since they were formed: a replay either finds them, or comes by the reading that formed them with
        // every profile as it was then.
        let first = self.vehicles.iter().map(|owned| owned.slot).min();
        if let Some(slot) = first.filter(|_| self.cohorts_have_changed) {
            self.cohorts_have_changed = false;
            is_empty = false;
            checkpoint.push(slot, &format!("{COHORTS} {}", slot.number()), |out| self.cohorts.encode(&self.layout, out));
        }
        for slot in
            (0..self.slots.len()).filter_map(|number| u16::try_from(number).ok().and_then(crate::domain::Slot::from_number))
        {
            let state = &mut self.slots[usize::from(slot.number())];
            if state.has_changed && group_of(slot, groups) == group {
                state.has_changed = false;
                is_empty = false;
                checkpoint.next_arrival(slot, state.next_arrival);
            }
        }
        for vehicle in self.changed[group].drain(..) {
            let owned = &mut self.vehicles[vehicle as usize];
            owned.has_changed = false;
            checkpoint.push(owned.slot, owned.id.as_str(), |out| owned.state.encode(&self.layout, out));
        }
        (!is_empty).then_some(checkpoint)
    }

    /// How many calls of [`Lane::checkpoint`] save everything.
    #[must_use]
    pub fn checkpoint_groups(&self) -> usize {
        self.changed.len()
    }

    /// Takes up a vehicle as it was saved.
    ///
    /// # Errors
    /// Where the state is not what this version writes.
    pub fn restore(&mut self, saved: SavedVehicle) -> Result<(), RestoreError> {
        let SavedVehicle { slot, vehicle_id, state } = saved;
        if vehicle_id.starts_with(COHORTS) {
            self.cohorts.take_up(Cohorts::decode(&state, &self.layout).map_err(RestoreError::Cohorts)?);
            return Ok(());
        }
        let id = match VehicleId::new(&vehicle_id) {
            Ok(id) => id,
            Err(error) => return Err(RestoreError::VehicleId { vehicle_id, error }),
        };
        let state = Vehicle::decode(&state, &id, &self.layout).map_err(|error| RestoreError::State { vehicle_id, error })?;
        self.own(slot, id, state);
        Ok(())
    }

    /// Takes up a frame that no saved state stands for: the windows move as they did, nothing is scored again.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub fn replay(&mut self, frame: &Frame) -> Result<(), RecordError> {
        self.slots[usize::from(frame.slot.number())].has_changed = true;
        let record = decode_record(&frame.payload, frame.arrival, &self.table)?;
        let vehicle_id = match &record {
            Record::Assessment(assessment) => &assessment.reading.vehicle_id,
            Record::AlertEvent(event) => &event.alert.vehicle_id,
            Record::Quarantined(_) => return Ok(()),
        };
        let vehicle = self.vehicle(frame.slot, vehicle_id);
        if self.vehicles[vehicle as usize].state.has_seen(frame.arrival) {
            return Ok(());
        }
        match &record {
            Record::Assessment(assessment) => self.replay_assessment(vehicle, assessment, frame),
            Record::AlertEvent(event) => self.replay_event(vehicle, event),
            Record::Quarantined(_) => {}
        }
        self.vehicles[vehicle as usize].state.note_arrival(frame.arrival);
        self.note_change(vehicle, frame.slot);
        Ok(())
    }

    fn replay_assessment(&mut self, vehicle: u32, assessment: &Assessment, frame: &Frame) {
        let state = &mut self.vehicles[vehicle as usize].state;
        let step = state.place(&assessment.reading, &self.limits).and_then(|placed| placed.step);
        if matches!(assessment.timing, Timing::InOrder | Timing::Delayed) {
            state.set_newest(&frame.payload, frame.arrival);
            state.hear(&assessment.reading, frame.arrival);
        }
        self.replay_claims(vehicle, assessment, step);
    }

    /// The newest assessment of every vehicle that has one.
    pub fn newest(&self) -> impl Iterator<Item = Result<Assessment, RestoreError>> + '_ {
        self.vehicles.iter().filter_map(|owned| newest_of(&owned.id, &owned.state, &self.table))
    }
}

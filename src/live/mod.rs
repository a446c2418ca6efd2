//! The newest state of every vehicle, in memory: lanes write, everybody reads. Keeps no history: `storage`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use crate::domain::{Assessment, VehicleId};

/// One part per lane, so that lanes never wait for each other; a reader holds a part for one look-up or one list of ids.
#[derive(Debug)]
pub struct LiveState {
    shards: Vec<Mutex<HashMap<VehicleId, Box<Assessment>>>>,
}

impl LiveState {
    /// `shards`: the number of lanes.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Mutex::default()).collect() }
    }

    /// Takes the newest assessments of one lane's batch: one lock for all of them. An older reading never overwrites a newer one; of
    /// equally old ones the later arrival wins.
    pub fn update(&self, shard: usize, newest: &mut Vec<Assessment>) {
        let mut vehicles = self.lock(shard);
        for assessment in newest.drain(..) {
            match vehicles.get_mut(&assessment.reading.vehicle_id) {
                Some(known) if is_newer(&assessment, known) => **known = assessment,
                Some(_newer) => {}
                None => {
                    vehicles.insert(assessment.reading.vehicle_id.clone(), Box::new(assessment));
                }
            }
        }
    }

    #[must_use]
    pub fn vehicle(&self, vehicle_id: &VehicleId) -> Option<Assessment> {
        let shard = vehicle_id.slot().share_of(self.shards.len());
        self.lock(shard).get(vehicle_id).map(|known| (**known).clone())
    }

    /// At most `limit` vehicles in the order of their ids, behind `after`.
    #[must_use]
    pub fn vehicles(&self, after: Option<&VehicleId>, limit: usize) -> Vec<Assessment> {
        let mut ids: Vec<VehicleId> = Vec::new();
        for shard in 0..self.shards.len() {
            ids.extend(self.lock(shard).keys().filter(|id| after.is_none_or(|after| *id > after)).cloned());
        }
        if ids.len() > limit {
            ids.select_nth_unstable(limit);
            ids.truncate(limit);
        }
        ids.sort_unstable();
        ids.iter().filter_map(|id| self.vehicle(id)).collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        (0..self.shards.len()).map(|shard| self.lock(shard).len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, HashMap<VehicleId, Box<Assessment>>> {
        self.shards[shard].lock().expect("no holder panics")
    }
}

fn is_newer(new: &Assessment, known: &Assessment) -> bool {
    (new.reading.recorded_at, new.arrival) > (known.reading.recorded_at, known.arrival)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Reading, SignalValues, Timestamp, Timing, signal};

    fn an_assessment(id: &str, recorded_at: i64, arrival: u64) -> Assessment {
        let mut signals = SignalValues::default();
        signals.set(signal::SPEED, 50.0);
        Assessment {
            reading: Reading {
                vehicle_id: VehicleId::new(id).unwrap(),
                recorded_at: Timestamp::from_micros(recorded_at),
                received_at: Timestamp::from_micros(recorded_at),
                fingerprint: arrival,
                boot_id: None,
                sequence: None,
                position: None,
                odometer_m: None,
                signals,
                ignition: None,
                dtcs: Vec::new(),
                extras: Vec::new(),
                rejected: Vec::new(),
            },
            arrival,
            timing: Timing::InOrder,
            scores: Vec::new(),
            not_scored: None,
            revision: 1,
        }
    }

    fn put(live: &LiveState, assessment: Assessment) {
        let shard = assessment.reading.vehicle_id.slot().share_of(live.shards.len());
        live.update(shard, &mut vec![assessment]);
    }

    #[test]
    fn an_older_reading_never_overwrites_a_newer_one() {
        let live = LiveState::new(3);
        put(&live, an_assessment("truck-7", 10, 1));
        put(&live, an_assessment("truck-7", 9, 2));
        let id = VehicleId::new("truck-7").unwrap();
        assert_eq!(live.vehicle(&id).unwrap().arrival, 1);
        put(&live, an_assessment("truck-7", 10, 3));
        assert_eq!(live.vehicle(&id).unwrap().arrival, 3, "equally old: the later arrival");
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let live = LiveState::new(4);
        for number in 0..57 {
            put(&live, an_assessment(&format!("v{number:03}"), 1, 1));
        }
        let mut seen = Vec::new();
        let mut after: Option<VehicleId> = None;
        loop {
            let page = live.vehicles(after.as_ref(), 10);
            let Some(last) = page.last() else { break };
            after = Some(last.reading.vehicle_id.clone());
            seen.extend(page.iter().map(|assessment| assessment.reading.vehicle_id.to_string()));
        }
        let wanted: Vec<String> = (0..57).map(|number| format!("v{number:03}")).collect();
        assert_eq!((seen, live.len()), (wanted, 57));
    }
}

//! The newest state of every vehicle, in memory. Keeps no history and survives no restart: the archive does both.

mod alert_feed;
mod open_alerts;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::domain::{Assessment, Timing, VehicleId};

pub use alert_feed::{AlertFeed, Followed, Subscription};
pub use open_alerts::OpenAlerts;

/// One shard per lane: a lane updates its own, under one short lock per batch, and meets only readers there.
///
/// At most `max_vehicles` are kept. When a shard is full, the sixteenth of it that was silent longest makes room together; those
/// vehicles are still in the archive, and come back with their next reading.
#[derive(Debug)]
pub struct LiveState {
    shards: Box<[Mutex<Shard>]>,
    max_per_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    vehicles: HashMap<VehicleId, Arc<Assessment>>,
    /// The keys of `vehicles` in order, for pages. Changes only when a vehicle comes or goes.
    ids: BTreeSet<VehicleId>,
}

impl LiveState {
    /// `shards`: the number of lanes.
    #[must_use]
    pub fn new(shards: usize, max_vehicles: usize) -> Self {
        let shards = shards.max(1);
        let max_per_shard = max_vehicles.div_ceil(shards).max(1);
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), max_per_shard }
    }

    /// Takes over what is newer than what is known, and leaves `newest` empty. Equal times: the later arrival wins. Late readings and
    /// those ahead of our clock change nothing. A lane's shard is its share of the slots.
    pub fn update(&self, shard: usize, newest: &mut Vec<Assessment>) {
        let mut shard = self.lock(shard);
        for assessment in newest.iter_mut() {
            if !matches!(assessment.timing, Timing::InOrder | Timing::Delayed) {
                continue;
            }
            match shard.vehicles.get_mut(&assessment.reading.vehicle_id) {
                Some(known) if order(known) > order(assessment) => {}
                // The old one goes back with the batch, so that it is freed outside of the lock.
                Some(known) => match Arc::get_mut(known) {
                    Some(known) => std::mem::swap(known, assessment),
                    None => *known = Arc::new(assessment.clone()),
                },
                None => shard.add(assessment.clone(), self.max_per_shard),
            }
        }
        drop(shard);
        newest.clear();
    }

    #[must_use]
    pub fn vehicle(&self, vehicle_id: &VehicleId) -> Option<Arc<Assessment>> {
        let shard = vehicle_id.slot().share_of(self.shards.len());
        self.lock(shard).vehicles.get(vehicle_id).cloned()
    }

    /// In order of their ids, behind `after`.
    #[must_use]
    pub fn vehicles(&self, after: Option<&VehicleId>, limit: usize) -> Vec<Arc<Assessment>> {
        let mut page = Vec::new();
        for shard in 0..self.shards.len() {
            let shard = self.lock(shard);
            let ids = match after {
                Some(after) => shard.ids.range((Bound::Excluded(after.clone()), Bound::Unbounded)),
                None => shard.ids.range::<VehicleId, _>(..),
            };
            page.extend(ids.take(limit).filter_map(|id| shard.vehicles.get(id).cloned()));
        }
        page.sort_unstable_by(|left, right| left.reading.vehicle_id.cmp(&right.reading.vehicle_id));
        page.truncate(limit);
        page
    }

    /// Looks at every vehicle, shard by shard: for counts.
    pub fn for_each(&self, mut look: impl FnMut(&Assessment)) {
        for shard in 0..self.shards.len() {
            self.lock(shard).vehicles.values().for_each(|assessment| look(assessment));
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        (0..self.shards.len()).map(|shard| self.lock(shard).vehicles.len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock().expect("no holder panics")
    }
}

fn order(assessment: &Assessment) -> (crate::domain::Timestamp, u64) {
    (assessment.reading.recorded_at, assessment.arrival)
}

impl Shard {
    fn add(&mut self, assessment: Assessment, max: usize) {
        if self.vehicles.len() >= max {
            self.make_room();
        }
        let vehicle_id = assessment.reading.vehicle_id.clone();
        self.ids.insert(vehicle_id.clone());
        self.vehicles.insert(vehicle_id, Arc::new(assessment));
    }

    fn make_room(&mut self) {
        let heard = |assessment: &Arc<Assessment>| assessment.reading.received_at;
        let mut silent: Vec<_> = self.vehicles.iter().map(|(id, assessment)| (heard(assessment), id.clone())).collect();
        let going = silent.len().div_ceil(16);
        silent.select_nth_unstable(going - 1);
        for (_, id) in &silent[..going] {
            self.vehicles.remove(id);
            self.ids.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Quality, Reading, SignalValues, Timestamp};

    fn at(vehicle_id: &str, recorded_at: i64, arrival: u64) -> Assessment {
        Assessment {
            arrival,
            timing: Timing::InOrder,
            scores: Vec::new(),
            not_scored: None,
            quality: Quality::default(),
            lost_before_us: 0,
            findings: Vec::new(),
            revision: 0,
            reading: Reading {
                vehicle_id: VehicleId::new(vehicle_id).unwrap(),
                recorded_at: Timestamp::from_micros(recorded_at),
                received_at: Timestamp::from_micros(recorded_at),
                fingerprint: 0,
                boot_id: None,
                sequence: None,
                position: None,
                odometer_m: None,
                signals: SignalValues::default(),
                ignition: None,
                dtcs: Vec::new(),
                extras: Vec::new(),
                rejected: Vec::new(),
            },
        }
    }

    fn update(state: &LiveState, assessment: Assessment) {
        let shard = assessment.reading.vehicle_id.slot().share_of(state.shards.len());
        state.update(shard, &mut vec![assessment]);
    }

    fn seen(state: &LiveState, vehicle_id: &str) -> Option<(i64, u64)> {
        let assessment = state.vehicle(&VehicleId::new(vehicle_id).unwrap())?;
        Some((assessment.reading.recorded_at.as_micros(), assessment.arrival))
    }

    #[test]
    fn the_newest_reading_wins_and_of_equal_times_the_later_arrival() {
        let state = LiveState::new(1, 100);
        let mut batch = vec![at("a", 5, 1), at("a", 4, 2), at("b", 1, 1)];
        state.update(0, &mut batch);
        assert!(batch.is_empty());
        assert_eq!((seen(&state, "a"), seen(&state, "b")), (Some((5, 1)), Some((1, 1))));
        state.update(0, &mut vec![at("a", 5, 3)]);
        state.update(0, &mut vec![at("a", 5, 2)]);
        assert_eq!(seen(&state, "a"), Some((5, 3)));
        let held = state.vehicle(&VehicleId::new("a").unwrap()).unwrap();
        state.update(0, &mut vec![at("a", 6, 4)]);
        assert_eq!((held.arrival, seen(&state, "a")), (3, Some((6, 4))), "a reader's copy never changes");
    }

    #[test]
    fn readings_ahead_of_our_clock_change_nothing() {
        let state = LiveState::new(1, 100);
        let mut future = at("a", 9, 2);
        future.timing = Timing::Future;
        state.update(0, &mut vec![at("a", 5, 1), future]);
        assert_eq!(seen(&state, "a"), Some((5, 1)));
    }

    #[test]
    fn pages_go_through_all_shards_in_order_of_ids() {
        let state = LiveState::new(3, 100);
        for id in ["d", "a", "e", "c", "b"] {
            update(&state, at(id, 1, 1));
        }
        let ids = |page: &[Arc<Assessment>]| page.iter().map(|each| each.reading.vehicle_id.to_string()).collect::<String>();
        let first = state.vehicles(None, 3);
        assert_eq!(ids(&first), "abc");
        assert_eq!(ids(&state.vehicles(Some(&first[2].reading.vehicle_id), 3)), "de");
        assert_eq!(state.len(), 5);
    }

    #[test]
    fn a_full_shard_forgets_who_was_silent_longest() {
        let state = LiveState::new(1, 32);
        for number in 0..40 {
            state.update(0, &mut vec![at(&format!("v{number:02}"), number, 1)]);
        }
        assert!(state.len() <= 32, "{}", state.len());
        assert_eq!((seen(&state, "v00"), seen(&state, "v39")), (None, Some((39, 1))));
        assert_eq!(state.vehicles(None, 100).len(), state.len(), "ids and vehicles agree");
    }

    #[test]
    fn a_vehicle_costs_less_than_a_kilobyte() {
        // The value, its reference counts, two ids and a map entry at the least load of a grown HashMap, less its heap parts.
        let bytes = size_of::<Assessment>() + 16 + 2 * (16 + 24) + 2 * (size_of::<(VehicleId, Arc<Assessment>)>() + 1) + 24;
        assert!(bytes < 800, "{bytes}");
    }
}

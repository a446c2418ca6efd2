//! The newest state of every vehicle, in memory, and its mirror in Redis for other processes. Keeps no history and survives no restart:
//! the archive does both.

mod alert_feed;
pub mod mirror;
mod open_alerts;
pub mod redis_server;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::domain::{Assessment, Timing, VehicleId};

use watch::Watched;

pub use alert_feed::{AlertFeed, Followed, Subscription};
pub use open_alerts::OpenAlerts;
pub use watch::Watch;

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
    vehicles: HashMap<VehicleId, Known>,
    /// The keys of `vehicles` in order, for pages. Changes only when a vehicle comes or goes.
    ids: BTreeSet<VehicleId>,
    /// Each vehicle once, under its version: whoever has seen everything up to one finds what is new to him behind it.
    by_version: BTreeMap<u64, VehicleId>,
    /// The newest one that was given out.
    version: u64,
    /// Whoever waits for one vehicle, whether it is known yet or not.
    watched: Watched,
}

#[derive(Debug)]
struct Known {
    newest: Arc<Assessment>,
    /// Rises with every change of this shard.
    version: u64,
}

/// How far somebody has followed. It is all that a follower costs: no queue, whatever he has not seen.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    /// By shard.
    versions: Vec<u64>,
}

impl LiveState {
    /// `shards`: the number of lanes.
    #[must_use]
    pub fn new(shards: usize, max_vehicles: usize) -> Self {
        let shards = shards.max(1);
        let max_per_shard = max_vehicles.div_ceil(shards).max(1);
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), max_per_shard }
    }

    /// How many shards there are: [`crate::domain::Slot::share_of`] says which one a vehicle is in.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Takes over what is newer than what is known, and leaves `newest` empty. Equal times: the later arrival wins. Late readings and
    /// those ahead of our clock change nothing. A lane's shard is its share of the slots.
    pub fn update(&self, shard: usize, newest: &mut Vec<Assessment>) {
        let mut shard = self.lock(shard);
        for assessment in newest.iter_mut() {
            if !matches!(assessment.timing, Timing::InOrder | Timing::Delayed) {
                continue;
            }
            let Shard { vehicles, by_version, version, watched, .. } = &mut *shard;
            match vehicles.get_mut(&assessment.reading.vehicle_id) {
                Some(known) if order(&known.newest) > order(assessment) => {}
                Some(known) => {
                    watched.tell(&assessment.reading.vehicle_id);
                    // The old one goes back with the batch, so that it is freed outside of the lock.
                    match Arc::get_mut(&mut known.newest) {
                        Some(newest) => std::mem::swap(newest, assessment),
                        None => known.newest = Arc::new(assessment.clone()),
                    }
                    known.moves_on(by_version, version);
                }
                None => {
                    shard.add(assessment.clone(), self.max_per_shard);
                    shard.watched.tell(&assessment.reading.vehicle_id);
                }
            }
        }
        drop(shard);
        newest.clear();
    }

    /// What is kept besides, such as its alerts, has changed: followers shall look at it again.
    pub fn touch(&self, vehicle_id: &VehicleId) {
        let mut shard = self.lock(self.shard_of(vehicle_id));
        let Shard { vehicles, by_version, version, .. } = &mut *shard;
        if let Some(known) = vehicles.get_mut(vehicle_id) {
            known.moves_on(by_version, version);
        }
        shard.watched.tell(vehicle_id);
    }

    /// Waits for changes of one vehicle, which need not be known yet.
    #[must_use]
    pub fn watch(self: &Arc<Self>, vehicle_id: &VehicleId) -> Watch {
        let changes = self.lock(self.shard_of(vehicle_id)).watched.watch(vehicle_id);
        Watch::new(Arc::clone(self), vehicle_id.clone(), changes)
    }

    fn watch_ended(&self, vehicle_id: &VehicleId) {
        self.lock(self.shard_of(vehicle_id)).watched.forget(vehicle_id);
    }

    /// Takes over what was known before this process, as far as nothing newer is and there is room.
    pub fn recall(&self, assessments: Vec<Assessment>) {
        for assessment in assessments {
            let shard = self.shard_of(&assessment.reading.vehicle_id);
            if self.lock(shard).vehicles.len() < self.max_per_shard {
                self.update(shard, &mut vec![assessment]);
            }
        }
    }

    /// What has changed behind `cursor`, which moves on; in order of change, each vehicle once, as it is now. Begin with the default
    /// cursor for all vehicles. Fewer than `limit`: there is no more.
    #[must_use]
    pub fn changes(&self, cursor: &mut Cursor, limit: usize) -> Vec<Arc<Assessment>> {
        cursor.versions.resize(self.shards.len(), 0);
        let mut page = Vec::new();
        for (index, seen) in cursor.versions.iter_mut().enumerate() {
            let shard = self.lock(index);
            let behind = shard.by_version.range((Bound::Excluded(*seen), Bound::Unbounded));
            for (version, id) in behind.take(limit - page.len()) {
                page.extend(shard.vehicles.get(id).map(|known| Arc::clone(&known.newest)));
                *seen = *version;
            }
        }
        page
    }

    #[must_use]
    pub fn vehicle(&self, vehicle_id: &VehicleId) -> Option<Arc<Assessment>> {
        self.lock(self.shard_of(vehicle_id)).vehicles.get(vehicle_id).map(|known| Arc::clone(&known.newest))
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
            page.extend(ids.take(limit).filter_map(|id| shard.vehicles.get(id).map(|known| Arc::clone(&known.newest))));
        }
        page.sort_unstable_by(|left, right| left.reading.vehicle_id.cmp(&right.reading.vehicle_id));
        page.truncate(limit);
        page
    }

    /// Looks at every vehicle, shard by shard: for counts.
    pub fn for_each(&self, mut look: impl FnMut(&Assessment)) {
        for shard in 0..self.shards.len() {
            self.lock(shard).vehicles.values().for_each(|known| look(&known.newest));
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

    fn shard_of(&self, vehicle_id: &VehicleId) -> usize {
        vehicle_id.slot().share_of(self.shards.len())
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
        self.version += 1;
        self.ids.insert(vehicle_id.clone());
        self.by_version.insert(self.version, vehicle_id.clone());
        self.vehicles.insert(vehicle_id, Known { newest: Arc::new(assessment), version: self.version });
    }

    fn make_room(&mut self) {
        let heard = |known: &Known| known.newest.reading.received_at;
        let mut silent: Vec<_> = self.vehicles.iter().map(|(id, known)| (heard(known), id.clone())).collect();
        let going = silent.len().div_ceil(16);
        silent.select_nth_unstable(going - 1);
        for (_, id) in &silent[..going] {
            if let Some(known) = self.vehicles.remove(id) {
                self.by_version.remove(&known.version);
            }
            self.ids.remove(id);
        }
    }
}

impl Known {
    fn moves_on(&mut self, by_version: &mut BTreeMap<u64, VehicleId>, version: &mut u64) {
        *version += 1;
        if let Some(id) = by_version.remove(&self.version) {
            by_version.insert(*version, id);
        }
        self.version = *version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Reading, Timestamp};

    fn at(vehicle_id: &str, recorded_at: i64, arrival: u64) -> Assessment {
        let reading = Reading::bare(VehicleId::new(vehicle_id).unwrap(), Timestamp::from_micros(recorded_at));
        Assessment::bare(reading, arrival)
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
    fn a_follower_sees_each_changed_vehicle_once_as_it_is_now() {
        let state = LiveState::new(2, 100);
        for id in ["a", "b", "c", "d", "e"] {
            update(&state, at(id, 1, 1));
        }
        let look = |cursor: &mut Cursor, limit| {
            let mut seen: Vec<_> =
                state.changes(cursor, limit).iter().map(|newest| newest.reading.vehicle_id.to_string()).collect();
            seen.sort();
            seen.concat()
        };
        let mut cursor = Cursor::default();
        let (first, second) = (look(&mut cursor, 3), look(&mut cursor, 3));
        assert_eq!((first.len(), second.len(), look(&mut cursor, 3).as_str()), (3, 2, ""));
        let mut slow = cursor.clone();
        for arrival in 2..1_000 {
            update(&state, at("b", 2, arrival));
        }
        update(&state, at("b", 1, 1_000));
        assert_eq!(state.changes(&mut cursor, 10)[0].arrival, 999, "an older reading is no change");
        state.touch(&VehicleId::new("d").unwrap());
        assert_eq!((look(&mut cursor, 10), look(&mut slow, 10)), ("d".to_owned(), "bd".to_owned()));
        let kept: usize = (0..2).map(|shard| state.lock(shard).by_version.len()).sum();
        assert_eq!(kept, 5, "a follower who is behind costs nothing");
    }

    #[test]
    fn what_was_known_before_does_not_replace_what_is_newer() {
        let state = LiveState::new(1, 2);
        update(&state, at("a", 5, 7));
        state.recall(vec![at("a", 4, 3), at("b", 1, 1), at("c", 9, 1)]);
        assert_eq!((seen(&state, "a"), seen(&state, "b"), seen(&state, "c")), (Some((5, 7)), Some((1, 1)), None));
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
        assert_eq!(state.changes(&mut Cursor::default(), 100).len(), state.len(), "and so do changes");
    }

    #[tokio::test]
    async fn who_waits_for_a_vehicle_hears_of_it_and_is_forgotten_with_the_last() {
        let state = Arc::new(LiveState::new(2, 100));
        let id = VehicleId::new("a").unwrap();
        let (mut first, mut second) = (state.watch(&id), state.watch(&id));
        for arrival in 1..10 {
            update(&state, at("a", 1, arrival));
        }
        first.changed().await;
        assert!(tokio::time::timeout(std::time::Duration::ZERO, first.changed()).await.is_err(), "however often it changed");
        second.changed().await;
        update(&state, at("b", 1, 1));
        assert!(tokio::time::timeout(std::time::Duration::ZERO, second.changed()).await.is_err(), "others are no matter");
        state.touch(&id);
        first.changed().await;
        drop(first);
        second.changed().await;
        drop(second);
        let kept: usize = (0..2).map(|shard| state.lock(shard).watched.len()).sum();
        assert_eq!(kept, 0);
    }

    #[test]
    fn a_vehicle_costs_less_than_a_kilobyte() {
        // The value, its reference counts, ids, a version and a map entry at the least load of a grown HashMap, less its heap parts.
        let in_maps = 2 * (size_of::<(VehicleId, Known)>() + 1) + 2 * size_of::<VehicleId>() + 2 * size_of::<(u64, VehicleId)>();
        let bytes = size_of::<Assessment>() + 16 + 2 * (16 + 24) + in_maps;
        assert!(bytes < 900, "{bytes}");
    }
}

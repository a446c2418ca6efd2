//! Checkpoint and tail together give exactly the state that a replay of everything gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::support::{DIRECTORY, Running, arrivals, drain, settings, slot};
use crate::journal::simulated_disk::SimulatedDisk;
use crate::journal::{Batch, Checkpoint, Recovery, checkpoint_file};

/// A vehicle's state that shows every mistake: all its arrivals, in the order they were applied.
type States = BTreeMap<String, Vec<u8>>;

const SLOTS_USED: u16 = 12;
const VEHICLES_PER_SLOT: u64 = 3;

fn vehicle(slot_number: u16, arrival: u64) -> String {
    format!("truck-{slot_number}-{}", arrival % VEHICLES_PER_SLOT)
}

fn apply(states: &mut States, slot_number: u16, arrival: u64) {
    states.entry(vehicle(slot_number, arrival)).or_default().extend_from_slice(&arrival.to_le_bytes());
}

/// The states, and the vehicles that the tail has changed since they were saved.
fn recovered(recovery: Recovery) -> (States, BTreeMap<String, u16>) {
    let mut states: States = recovery.vehicles.into_iter().map(|saved| (saved.vehicle_id, saved.state)).collect();
    let mut changed = BTreeMap::new();
    for frame in recovery.tail {
        let slot_number = frame.slot.number();
        apply(&mut states, slot_number, frame.arrival);
        changed.insert(vehicle(slot_number, frame.arrival), slot_number);
    }
    (states, changed)
}

fn first_difference(left: &States, right: &States) -> Option<String> {
    let differs = |id: &&String| left.get(*id) != right.get(*id);
    left.keys().chain(right.keys()).find(differs).map(|id| format!("{id}: {:?} or {:?}", left.get(id), right.get(id)))
}

/// Owns the slots with `slot % lanes == lane`, as a real one does.
struct Lane {
    slots: Vec<u16>,
    states: States,
    changed: BTreeMap<String, u16>,
    next_arrival: [u64; SLOTS_USED as usize],
}

impl Lane {
    fn start(
        lane: u16,
        lanes: u16,
        recovered: &(States, BTreeMap<String, u16>),
        next_arrival: [u64; SLOTS_USED as usize],
    ) -> Self {
        let slots: Vec<u16> = (0..SLOTS_USED).filter(|slot_number| slot_number % lanes == lane).collect();
        let owned = |id: &str| slots.iter().any(|slot_number| id.starts_with(&format!("truck-{slot_number}-")));
        let (mut states, mut changed) = recovered.clone();
        states.retain(|id, _| owned(id));
        changed.retain(|id, _| owned(id));
        Self { slots, states, changed, next_arrival }
    }

    fn step(&mut self, random: &mut StdRng, running: &Running) {
        if random.random_ratio(1, 6) {
            let mut checkpoint = Checkpoint::new();
            for (id, slot_number) in std::mem::take(&mut self.changed) {
                checkpoint.push(slot(slot_number), &id, |out| out.extend_from_slice(&self.states[&id]));
            }
            for slot_number in self.slots.iter().copied() {
                checkpoint.next_arrival(slot(slot_number), self.next_arrival[usize::from(slot_number)]);
            }
            running.journal.checkpoint(checkpoint).unwrap();
            return;
        }
        let mut batch = Batch::new();
        for _ in 0..random.random_range(1..8) {
            let slot_number = self.slots[random.random_range(0..self.slots.len())];
            let arrival = self.next_arrival[usize::from(slot_number)];
            self.next_arrival[usize::from(slot_number)] += 1;
            apply(&mut self.states, slot_number, arrival);
            self.changed.insert(vehicle(slot_number, arrival), slot_number);
            batch.push(slot(slot_number), arrival, |out| out.resize(out.len() + 100, 1));
        }
        running.journal.submit(batch).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn checkpoint_and_tail_give_the_state_of_a_full_replay(seed in any::<u64>(), cut in any::<bool>()) {
        let mut random = StdRng::seed_from_u64(seed);
        let settings = settings(16, 4_096);
        let disk = SimulatedDisk::default();
        let mut replayed = States::new();
        for _life in 0..4 {
            let (running, recovery) = Running::open(&disk, &settings);
            let mut next_arrival = [0; SLOTS_USED as usize];
            next_arrival.copy_from_slice(&recovery.next_arrival[..usize::from(SLOTS_USED)]);
            // An archive that reads everything in time, so that segments are really deleted.
            let mut reader = running.journal.reader("archive").unwrap();
            for frame in drain(&mut reader) {
                apply(&mut replayed, frame.slot.number(), frame.arrival);
            }
            reader.commit().unwrap();
            let recovered_states = recovered(recovery);
            prop_assert_eq!(first_difference(&recovered_states.0, &replayed), None);

            // Another number of lanes each time: vehicles move between them.
            let lanes = random.random_range(1..=4);
            let mut lanes: Vec<Lane> = (0..lanes).map(|lane| Lane::start(lane, lanes, &recovered_states, next_arrival)).collect();
            for _step in 0..random.random_range(1..80) {
                let lane = random.random_range(0..lanes.len());
                lanes[lane].step(&mut random, &running);
                if random.random_ratio(1, 4) {
                    for frame in drain(&mut reader) {
                        apply(&mut replayed, frame.slot.number(), frame.arrival);
                    }
                    reader.commit().unwrap();
                }
            }
            let after = disk.after_power_cut(&mut random);
            // What the archive has read is durable, and so is there after the cut; but its cursor was never synced.
            let committed_before = cut.then(|| replayed.clone());
            running.close().unwrap();
            if let Some(replayed_before) = committed_before {
                // Start over with an empty archive: a cursor that lags only repeats.
                let (_running, recovery) = Running::open(&after, &settings);
                let (states, _) = recovered(recovery);
                for (id, state) in &replayed_before {
                    prop_assert!(states[id].starts_with(state), "{} went back", id);
                }
                return Ok(());
            }
            for frame in drain(&mut reader) {
                apply(&mut replayed, frame.slot.number(), frame.arrival);
            }
            reader.commit().unwrap();
        }
    }
}

fn checkpoints_file(generation: u64) -> PathBuf {
    checkpoint_file::path(Path::new(DIRECTORY), generation)
}

fn save(running: &Running, arrival: u64, states: &[(&str, usize, u8)]) {
    let mut checkpoint = Checkpoint::new();
    for (id, bytes, fill) in states {
        checkpoint.push(slot(1), id, |out| out.resize(out.len() + bytes, *fill));
    }
    checkpoint.next_arrival(slot(1), arrival);
    running.journal.checkpoint(checkpoint).unwrap();
}

#[test]
fn compaction_keeps_the_newest_state_of_every_vehicle() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 4_096));
    let mib = 1 << 20;
    save(&running, 0, &[("quiet", 100, 77)]);
    for round in 1..=30 {
        running.keep(1, u64::from(round) - 1, b"record");
        save(&running, u64::from(round), &[("busy", mib, round), ("busier", mib, round)]);
    }
    running.close().unwrap();
    let names = disk.names();
    assert!(!names.iter().any(|name| name.ends_with("1.states")), "never compacted: {names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("checkpoints-")).count(), 1, "{names:?}");

    for _open_twice in 0..2 {
        let (running, recovery) = Running::open(&disk, &settings(16, 4_096));
        let mut states: Vec<_> =
            recovery.vehicles.iter().map(|saved| (saved.vehicle_id.as_str(), saved.state.len(), saved.state[0])).collect();
        states.sort_unstable();
        assert_eq!(states, [("busier", mib, 30), ("busy", mib, 30), ("quiet", 100, 77)]);
        assert_eq!((recovery.next_arrival[1], recovery.bad_frames, recovery.tail.count()), (30, 0, 0));
        running.close().unwrap();
    }
}

#[test]
fn a_damaged_last_checkpoint_does_not_count_and_the_tail_is_longer_instead() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 4_096));
    let mut ends = Vec::new();
    for round in 1..=3_u8 {
        running.keep(1, u64::from(round) - 1, b"record");
        save(&running, u64::from(round), &[("truck-7", 200, round)]);
    }
    running.close().unwrap();
    let file = disk.contents(&checkpoints_file(1));
    ends.push(file.len());
    // The last state stands right before the last mark, which is 8 KiB long.
    let byte_of_last_state = file.len() - 8_300;
    disk.flip_bit(&checkpoints_file(1), 8 * byte_of_last_state);

    let (_running, recovery) = Running::open(&disk, &settings(16, 4_096));
    assert_eq!(recovery.vehicles[0].state[0], 2);
    assert_eq!(recovery.next_arrival[1], 3);
    assert_eq!(arrivals(&recovery.tail.collect::<Vec<_>>()), [2]);
}

#[test]
fn a_damaged_older_checkpoint_costs_its_own_states_and_is_counted() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 4_096));
    running.keep(1, 0, b"record");
    save(&running, 1, &[("truck-1", 200, 1), ("truck-2", 200, 1)]);
    running.keep(1, 1, b"record");
    save(&running, 2, &[("truck-3", 200, 2)]);
    running.close().unwrap();
    let first_state = 4_096 + 50;
    disk.flip_bit(&checkpoints_file(1), 8 * first_state);

    let (running, recovery) = Running::open(&disk, &settings(16, 4_096));
    let mut ids: Vec<_> = recovery.vehicles.iter().map(|saved| saved.vehicle_id.clone()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["truck-2", "truck-3"]);
    assert_eq!((recovery.bad_frames, recovery.next_arrival[1], recovery.tail.count()), (1, 2, 0));
    running.close().unwrap();
}

#[test]
fn a_crash_amid_compaction_leaves_the_old_checkpoints_in_charge() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 4_096));
    running.keep(1, 0, b"record");
    save(&running, 1, &[("truck-1", 200, 1)]);
    running.close().unwrap();
    let half = checkpoints_file(2).with_extension(checkpoint_file::TEMPORARY_EXTENSION);
    let file = crate::journal::disk::Disk::create(&disk, &half).unwrap();
    file.write_all_at(&[7; 5_000], 0).unwrap();

    let (_running, recovery) = Running::open(&disk, &settings(16, 4_096));
    assert_eq!(recovery.vehicles.len(), 1);
    assert!(!disk.names().iter().any(|name| name.ends_with("temporary")));
}

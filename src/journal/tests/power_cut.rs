//! A power cut keeps what was synced and a random part of the rest. Whatever was acknowledged before it is there afterwards.

use std::path::Path;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::support::{DIRECTORY, Running, contents, drain, eventually, settings, slot};
use crate::journal::simulated_disk::{Faults, SimulatedDisk};
use crate::journal::space::segment_path;
use crate::journal::{Batch, Checkpoint};

/// Every frame says itself what it ought to be, so that an invented or mixed up one is noticed.
fn payload(slot_number: u16, arrival: u64) -> Vec<u8> {
    let length = usize::try_from((arrival * 37 + u64::from(slot_number)) % 900).unwrap();
    let mut payload = format!("{slot_number}/{arrival}/").into_bytes();
    payload.resize(payload.len() + length, u8::try_from(arrival % 251).unwrap());
    payload
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_group_loses_nothing_synced_and_invents_nothing() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(64, 1_024));
    for arrival in 0..5 {
        running.keep(3, arrival, &payload(3, arrival));
    }
    disk.set_faults(Faults { sync_fails: Some((".journal", 0)), ..Faults::default() });
    let mut batch = Batch::new();
    for arrival in 5..9 {
        batch.push(slot(3), arrival, |out| out.extend_from_slice(&payload(3, arrival)));
    }
    assert!(running.submit_batch(batch).blocking_recv().is_err());
    running.close().unwrap_err();

    let path = segment_path(Path::new(DIRECTORY), 0);
    let group_bytes = disk.newest_unsynced_bytes(&path);
    let frame_ends: Vec<usize> = (5..9)
        .scan(0, |end, arrival| {
            *end += crate::journal::frame::HEADER_BYTES + payload(3, arrival).len();
            Some(*end)
        })
        .collect();
    assert_eq!(frame_ends.last(), Some(&group_bytes));
    for kept_bytes in 0..=group_bytes {
        let torn = disk.torn(&path, kept_bytes);
        let whole = frame_ends.iter().filter(|end| **end <= kept_bytes).count() as u64;
        let expected: Vec<_> = (0..5 + whole).map(|arrival| (3, arrival, payload(3, arrival))).collect();
        let (running, recovery) = Running::open(&torn, &settings(64, 1_024));
        assert_eq!(contents(&recovery.tail.collect::<Vec<_>>()), expected, "torn at byte {kept_bytes}");
        assert_eq!((recovery.bad_frames, recovery.next_arrival[3]), (0, 5 + whole));
        // Nor does what was torn come up later.
        running.keep(3, 5 + whole, b"next");
        running.close().unwrap();
        let (running, recovery) = Running::open(&torn, &settings(64, 1_024));
        assert_eq!((recovery.bad_frames, recovery.torn_bytes), (0, 0), "torn at byte {kept_bytes}");
        assert_eq!(recovery.tail.count() as u64, 6 + whole);
        running.close().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_acknowledged_before_a_power_cut_is_there_after_it(seed in any::<u64>()) {
        let mut random = StdRng::seed_from_u64(seed);
        let settings = settings([16, 24, 64][random.random_range(0..3)], 4_096);
        let mut disk = SimulatedDisk::default();
        let mut next_arrival = [0_u64; 4];
        let mut acknowledged = Vec::new();
        for _life in 0..3 {
            let (running, recovery) = Running::open(&disk, &settings);
            let mut found: Vec<_> = contents(&recovery.tail.collect::<Vec<_>>());
            for frame in &found {
                prop_assert_eq!(&frame.2, &payload(frame.0, frame.1), "invented");
            }
            for frame in &acknowledged {
                prop_assert!(found.contains(frame), "lost {:?}", (frame.0, frame.1));
            }
            let count = found.len();
            found.sort_unstable();
            found.dedup();
            prop_assert_eq!(found.len(), count, "something came twice");
            let mut reader = running.journal.reader("archive").unwrap();
            prop_assert_eq!(drain(&mut reader).len(), count, "reader and tail agree");
            for slot_number in 0..4_u16 {
                next_arrival[usize::from(slot_number)] = recovery.next_arrival[usize::from(slot_number)];
            }

            let mut waiting = Vec::new();
            for _batch in 0..random.random_range(1..40) {
                let mut batch = Batch::new();
                let mut frames = Vec::new();
                for _frame in 0..random.random_range(1..6) {
                    let slot_number = random.random_range(0..4_u16);
                    let arrival = next_arrival[usize::from(slot_number)];
                    next_arrival[usize::from(slot_number)] += 1;
                    frames.push((slot_number, arrival, payload(slot_number, arrival)));
                    batch.push(slot(slot_number), arrival, |out| out.extend_from_slice(&payload(slot_number, arrival)));
                }
                waiting.push((running.submit_batch(batch), frames));
                if random.random_ratio(1, 4) {
                    let (outcome, frames) = waiting.remove(0);
                    outcome.blocking_recv().unwrap();
                    acknowledged.extend(frames);
                }
            }
            for (mut outcome, frames) in waiting {
                if outcome.try_recv().is_ok() {
                    acknowledged.extend(frames);
                }
            }
            // The old journal may write on; nothing of it reaches the new disk.
            let after = disk.after_power_cut(&mut random);
            running.close().unwrap();
            disk = after;
        }
    }

    #[test]
    fn checkpoints_survive_a_power_cut_whole_or_not_at_all(seed in any::<u64>()) {
        let mut random = StdRng::seed_from_u64(seed);
        let settings = settings(16, 4_096);
        let disk = SimulatedDisk::default();
        let (running, _) = Running::open(&disk, &settings);
        for arrival in 0..20_u64 {
            running.keep(1, arrival, &payload(1, arrival));
            let mut checkpoint = Checkpoint::new();
            for vehicle in ["truck-1", "truck-2", "truck-3"] {
                checkpoint.push(slot(1), vehicle, |out| out.resize(out.len() + 700, u8::try_from(arrival + 1).unwrap()));
            }
            checkpoint.next_arrival(slot(1), arrival + 1);
            running.journal.checkpoint(checkpoint).unwrap();
        }
        if random.random() {
            eventually("some checkpoints are stored", || {
                disk.contents(&crate::journal::checkpoint_file::path(Path::new(DIRECTORY), 1)).len() > 50_000
            });
        }
        let after = disk.after_power_cut(&mut random);
        running.close().unwrap();
        let (_running, recovery) = Running::open(&after, &settings);
        prop_assert_eq!(recovery.next_arrival[1], 20);
        prop_assert_eq!(recovery.bad_frames, 0);
        let applied: Vec<u64> = recovery.vehicles.iter().map(|vehicle| u64::from(vehicle.state[0])).collect();
        prop_assert!(applied.windows(2).all(|pair| pair[0] == pair[1]), "states of different checkpoints: {applied:?}");
        let saved_to = applied.first().copied().unwrap_or(0);
        let tail: Vec<u64> = recovery.tail.map(|frame| frame.arrival).collect();
        prop_assert_eq!(tail, (saved_to..20).collect::<Vec<_>>());
    }
}

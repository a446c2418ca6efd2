//! A full disk, a failing disk, flipped bits, a consumer that lags, files of a newer version.

use std::path::{Path, PathBuf};

use super::support::{DIRECTORY, PATIENCE, Running, arrivals, drain, eventually, settings, slot};
use crate::domain::Outcome;
use crate::journal::file_header::FILE_HEADER_BYTES;
use crate::journal::frame::HEADER_BYTES;
use crate::journal::simulated_disk::{Faults, SimulatedDisk};
use crate::journal::space::segment_path;
use crate::journal::{Batch, Checkpoint, JournalError, JournalHealth, More};

fn first_segment() -> PathBuf {
    segment_path(Path::new(DIRECTORY), 0)
}

/// Ten frames of 100 bytes each, in one segment, synced, and the journal closed.
fn ten_frames() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    for arrival in 0..10 {
        running.keep(1, arrival, &[9; 100 - HEADER_BYTES]);
    }
    running.close().unwrap();
    disk
}

/// The bit in this byte of a frame.
fn bit_of(frame: usize, byte: usize) -> usize {
    8 * (usize::try_from(FILE_HEADER_BYTES).unwrap() + 100 * frame + byte)
}

#[test]
fn a_flipped_bit_costs_its_own_frame_and_is_counted() {
    for byte in [0, 3, 4, 8, 10, 18, 50, 99] {
        let disk = ten_frames();
        disk.flip_bit(&first_segment(), bit_of(4, byte) + 5);
        let (running, recovery) = Running::open(&disk, &settings(16, 1_024));
        assert_eq!((recovery.bad_frames, recovery.torn_bytes), (1, 0), "byte {byte}");
        assert_eq!(recovery.next_arrival[1], 10);
        assert_eq!(arrivals(&recovery.tail.collect::<Vec<_>>()), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
        let mut reader = running.journal.reader("archive").unwrap();
        assert_eq!(arrivals(&drain(&mut reader)), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
        running.keep(1, 10, b"and on");
        assert_eq!(arrivals(&drain(&mut reader)), [10]);
    }
}

#[test]
fn a_bit_that_flips_while_the_journal_runs_is_met_by_the_reader() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    for arrival in 0..10 {
        running.keep(1, arrival, &[9; 100 - HEADER_BYTES]);
    }
    disk.flip_bit(&first_segment(), bit_of(9, 60));
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(arrivals(&drain(&mut reader)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    running.keep(1, 10, b"and on");
    assert_eq!(arrivals(&drain(&mut reader)), [10]);
    assert_eq!(reader.lag_bytes(), 0);
}

#[test]
fn one_damaged_copy_of_a_segment_header_costs_nothing_and_both_cost_the_segment() {
    let disk = ten_frames();
    disk.flip_bit(&first_segment(), 8 * 20);
    let (running, recovery) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!((recovery.bad_frames, recovery.tail.count()), (0, 10));
    running.keep(1, 10, b"in a second segment");
    running.close().unwrap();

    disk.flip_bit(&first_segment(), 8 * (2_048 + 20));
    let (running, recovery) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!(recovery.bad_frames, 1);
    assert_eq!(arrivals(&recovery.tail.collect::<Vec<_>>()), [10]);
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(arrivals(&drain(&mut reader)), [10]);
    running.keep(1, 11, b"and on");
    assert_eq!(arrivals(&drain(&mut reader)), [11]);
}

#[test]
fn damage_at_the_end_of_a_segment_that_is_not_the_last_is_counted() {
    let disk = ten_frames();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    running.keep(1, 10, b"in a second segment");
    running.close().unwrap();
    disk.flip_bit(&first_segment(), bit_of(9, 60));
    let (_running, recovery) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!(recovery.bad_frames, 1);
    assert_eq!(arrivals(&recovery.tail.collect::<Vec<_>>()), [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]);
}

#[test]
fn a_failed_sync_keeps_no_receipt_and_ends_the_writer() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(64, 1_024));
    running.keep(1, 0, b"durable");
    disk.set_faults(Faults { sync_fails: Some((".journal", 0)), ..Faults::default() });
    let outcomes: Vec<_> = (1..20).map(|arrival| running.submit(1, arrival, b"not durable")).collect();
    for outcome in outcomes {
        assert!(outcome.blocking_recv().is_err(), "a receipt was kept");
    }
    // Receipts fall before the door does.
    eventually("nothing more is taken", || running.journal.submit(Batch::new()).is_err());
    assert!(running.journal.checkpoint(Checkpoint::new()).is_err());
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(arrivals(&drain(&mut reader)), [0], "nothing is read that is not durable");
    assert_eq!(reader.wait_for_more(PATIENCE), More::Ended);
    let error = running.close().unwrap_err();
    assert!(error.to_string().contains("injected: EIO on sync"), "{error}");
}

#[test]
fn a_failed_write_keeps_no_receipt_and_ends_the_writer() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(64, 1_024));
    running.keep(1, 0, b"durable");
    disk.set_faults(Faults { write_fails: Some(".journal"), ..Faults::default() });
    assert!(running.submit(1, 1, b"not written").blocking_recv().is_err());
    assert!(running.close().unwrap_err().to_string().contains("injected: EIO on write"));
}

#[test]
fn a_full_disk_keeps_the_batch_and_work_resumes_by_itself() {
    for faults in
        [Faults { room_bytes: Some(0), ..Faults::default() }, Faults { no_room_for: Some(".journal"), ..Faults::default() }]
    {
        let disk = SimulatedDisk::default();
        let (running, _) = Running::open(&disk, &settings(16, 1_024));
        running.keep(1, 0, &[0; 3_000]);
        disk.set_faults(faults);
        let mut outcomes: Vec<_> = (1..30).map(|arrival| running.submit(1, arrival, &[0; 3_000])).collect();
        eventually("health says so", || matches!(running.journal.health(), JournalHealth::NoSpace { .. }));
        assert!(outcomes.last_mut().unwrap().try_recv().is_err());
        disk.set_faults(Faults::default());
        for outcome in outcomes {
            assert_eq!(outcome.blocking_recv(), Ok(Outcome { accepted: 1, duplicates: 0 }));
        }
        assert_eq!(running.journal.health(), JournalHealth::Ok);
        let mut reader = running.journal.reader("archive").unwrap();
        assert_eq!(arrivals(&drain(&mut reader)), (0..30).collect::<Vec<_>>());
    }
}

#[test]
fn closing_a_journal_without_room_ends_it_and_keeps_no_receipt() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    running.keep(1, 0, &[0; 3_000]);
    disk.set_faults(Faults { room_bytes: Some(0), ..Faults::default() });
    let outcomes: Vec<_> = (1..30).map(|arrival| running.submit(1, arrival, &[0; 3_000])).collect();
    eventually("health says so", || matches!(running.journal.health(), JournalHealth::NoSpace { .. }));
    let error = running.close().unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
    assert!(outcomes.into_iter().next_back().unwrap().blocking_recv().is_err());
}

#[test]
fn a_full_journal_waits_for_its_consumer_and_resumes_by_itself() {
    let disk = SimulatedDisk::default();
    let settings = settings(16, 64);
    let (running, _) = Running::open(&disk, &settings);
    let mut reader = running.journal.reader("archive").unwrap();
    let mut outcomes: Vec<_> = (0..40).map(|arrival| running.submit(1, arrival, &[0; 3_000])).collect();
    eventually(
        "health says so",
        || matches!(running.journal.health(), JournalHealth::Full { max_bytes: 65_536, cursor, .. } if cursor == "archive"),
    );
    assert!(outcomes.last_mut().unwrap().try_recv().is_err());
    assert!(disk.names().iter().filter(|name| name.ends_with(".journal")).count() <= 4);

    // It may outgrow its limit for the checkpoint's sake, which cannot come while the lanes wait.
    let mut read = Vec::new();
    while read.len() < 40 {
        assert_eq!(reader.wait_for_more(PATIENCE), More::Ready);
        read.extend(drain(&mut reader));
        reader.commit().unwrap();
    }
    assert_eq!(arrivals(&read), (0..40).collect::<Vec<_>>());
    for outcome in outcomes {
        outcome.blocking_recv().unwrap();
    }
    assert_eq!(running.journal.health(), JournalHealth::Ok);
}

#[test]
fn a_consumer_halfway_may_still_fill_the_journal() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 64));
    let mut reader = running.journal.reader("archive").unwrap();
    for arrival in 0..12 {
        running.keep(1, arrival, &[0; 3_000]);
    }
    assert_eq!(reader.next(9).unwrap().len(), 9);
    reader.commit().unwrap();
    let outcomes: Vec<_> = (12..52).map(|arrival| running.submit(1, arrival, &[0; 3_000])).collect();
    eventually("health says so", || matches!(running.journal.health(), JournalHealth::Full { .. }));
    assert!(disk.names().iter().filter(|name| name.ends_with(".journal")).count() <= 6);
    drop(outcomes);
}

#[test]
fn a_checkpoint_whose_frames_failed_to_become_durable_is_not_stored() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(64, 1_024));
    running.keep(1, 0, b"durable");
    let second = segment_path(Path::new(DIRECTORY), 64 * 1_024);
    eventually("the next segment is ready", || disk.syncs_of(&second) > 0);
    // While the writer waits for room, the next batch and its checkpoint gather into one group, whose sync then fails.
    disk.set_faults(Faults { no_room_for: Some(".journal"), ..Faults::default() });
    let first = running.submit(1, 1, b"durable in the end");
    eventually("the writer waits", || matches!(running.journal.health(), JournalHealth::NoSpace { .. }));
    let last = running.submit(1, 2, b"not durable");
    let mut checkpoint = Checkpoint::new();
    checkpoint.push(slot(1), "truck-7", |out| out.push(1));
    checkpoint.next_arrival(slot(1), 3);
    running.journal.checkpoint(checkpoint).unwrap();
    disk.set_faults(Faults { sync_fails: Some((".journal", 1)), ..Faults::default() });
    first.blocking_recv().unwrap();
    assert!(last.blocking_recv().is_err());
    running.close().unwrap_err();

    disk.set_faults(Faults::default());
    let (_running, mut recovery) = Running::open(&disk, &settings(64, 1_024));
    assert_eq!(recovery.vehicles, []);
    assert_eq!(recovery.tail.next().map(|frame| frame.arrival), Some(0));
}

#[test]
fn a_full_disk_delays_checkpoints_and_loses_none() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    running.keep(1, 0, b"record");
    disk.set_faults(Faults { no_room_for: Some("checkpoints"), ..Faults::default() });
    let mut checkpoint = Checkpoint::new();
    checkpoint.push(slot(1), "truck-7", |out| out.extend_from_slice(b"state"));
    checkpoint.next_arrival(slot(1), 1);
    running.journal.checkpoint(checkpoint).unwrap();
    eventually("health says so", || matches!(running.journal.health(), JournalHealth::NoSpace { .. }));
    disk.set_faults(Faults::default());
    running.keep(1, 1, b"record");
    eventually("the wait is over", || running.journal.health() == JournalHealth::Ok);
    running.close().unwrap();
    let (_running, recovery) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!(recovery.vehicles.len(), 1);
    assert_eq!(arrivals(&recovery.tail.collect::<Vec<_>>()), [1]);
}

#[test]
fn files_of_a_newer_version_are_refused_by_name() {
    for extension in [".journal", ".states", ".cursor"] {
        let folder = tempfile::tempdir().unwrap();
        let (running, _) = Running::open_real(folder.path(), &settings(16, 1_024)).unwrap();
        running.keep(1, 0, b"record");
        drop(running.journal.reader("archive").unwrap());
        running.close().unwrap();
        let is_wanted = |path: &PathBuf| path.to_str().unwrap().ends_with(extension);
        let paths = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let path = paths.filter(is_wanted).min().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let copies: &[usize] = if extension == ".cursor" { &[0, 512] } else { &[0, 2_048] };
        for at in copies.iter().copied() {
            if bytes.len() < at + 29 || bytes[at] == 0 {
                continue;
            }
            bytes[at + 8] = 2;
            let checksum = crc32c::crc32c(&bytes[at..at + 25]).to_le_bytes();
            bytes[at + 25..at + 29].copy_from_slice(&checksum);
        }
        std::fs::write(&path, bytes).unwrap();
        let Err(error) = Running::open_real(folder.path(), &settings(16, 1_024)) else { panic!("{extension} was read") };
        assert!(matches!(error, JournalError::Newer { found: 2, supported: 1, .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

//! What goes in comes out: over segments, restarts, cursors, and with the folder locked.

use std::path::Path;
use std::time::Duration;

use super::support::{DIRECTORY, PATIENCE, Running, arrivals, contents, drain, eventually, settings, slot};
use crate::domain::{Outcome, Receipt};
use crate::journal::simulated_disk::SimulatedDisk;
use crate::journal::space::segment_path;
use crate::journal::{Batch, Checkpoint, JournalError, More};

fn segments(disk: &SimulatedDisk) -> usize {
    disk.names().iter().filter(|name| name.ends_with(".journal")).count()
}

#[test]
fn frames_come_out_as_they_went_in_over_several_segments_and_restarts() {
    let disk = SimulatedDisk::default();
    let settings = settings(16, 1_024);
    let mut expected = Vec::new();
    for round in 0..3 {
        let (running, recovery) = Running::open(&disk, &settings);
        assert_eq!((recovery.bad_frames, recovery.torn_bytes), (0, 0));
        assert_eq!(contents(&recovery.tail.collect::<Vec<_>>()), expected);
        let mut last = None;
        for number in 0..100_u64 {
            let arrival = round * 100 + number;
            let payload = vec![u8::try_from(number).unwrap(); usize::try_from(number * 7).unwrap()];
            last = Some(running.submit(5, arrival, &payload));
            expected.push((5, arrival, payload));
        }
        last.unwrap().blocking_recv().unwrap();
        let mut reader = running.journal.reader("archive").unwrap();
        assert_eq!(contents(&drain(&mut reader)), expected);
        assert_eq!(reader.lag_bytes(), 0);
        running.close().unwrap();
    }
    assert!(segments(&disk) > 6, "{disk:?}");
}

#[test]
fn frames_come_out_as_they_went_in_on_real_files() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(64, 1_024);
    for round in 0..2_u64 {
        let (running, recovery) = Running::open_real(folder.path(), &settings).unwrap();
        assert_eq!(recovery.next_arrival[9], round * 300);
        assert_eq!(recovery.tail.count() as u64, round * 300);
        let mut last = None;
        for number in 0..300 {
            last = Some(running.submit(9, round * 300 + number, &[1; 400]));
        }
        last.unwrap().blocking_recv().unwrap();
        let mut reader = running.journal.reader("archive").unwrap();
        assert_eq!(arrivals(&drain(&mut reader)), (0..(round + 1) * 300).collect::<Vec<_>>());
        running.close().unwrap();
    }
}

#[test]
fn a_frame_larger_than_a_segment_gets_a_segment_of_its_own() {
    let disk = SimulatedDisk::default();
    let settings = settings(16, 1_024);
    let (running, _) = Running::open(&disk, &settings);
    for arrival in 0..3 {
        running.keep(1, arrival, &vec![7; 50_000]);
        running.keep(2, arrival, &[8; 10]);
    }
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(drain(&mut reader).iter().map(|frame| frame.payload.len()).sum::<usize>(), 150_030);
    drop(reader);
    running.close().unwrap();
    let (_running, recovery) = Running::open(&disk, &settings);
    assert_eq!(recovery.tail.count(), 6);
}

#[test]
fn a_reader_goes_on_where_it_committed() {
    let disk = SimulatedDisk::default();
    let settings = settings(16, 1_024);
    let (running, _) = Running::open(&disk, &settings);
    for arrival in 0..10 {
        running.keep(1, arrival, b"record");
    }
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(arrivals(&reader.next(3).unwrap()), [0, 1, 2]);
    reader.commit().unwrap();
    assert_eq!(arrivals(&reader.next(3).unwrap()), [3, 4, 5]);
    assert!(matches!(running.journal.reader("archive"), Err(JournalError::CursorTaken { cursor: "archive" })));
    drop(reader);

    let mut again = running.journal.reader("archive").unwrap();
    assert_eq!(arrivals(&again.next(2).unwrap()), [3, 4]);
    drop(again);
    running.close().unwrap();
    let (running, _) = Running::open(&disk, &settings);
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(arrivals(&drain(&mut reader)), [3, 4, 5, 6, 7, 8, 9]);
    let mut other = running.journal.reader("alerts").unwrap();
    assert_eq!(drain(&mut other).len(), 10, "a new consumer begins with the oldest frame");
}

#[test]
fn segments_go_once_every_cursor_and_the_checkpoint_are_past_them() {
    for (first, last) in [("archive", "alerts"), ("alerts", "archive")] {
        let disk = SimulatedDisk::default();
        let settings = settings(16, 1_024);
        let (running, _) = Running::open(&disk, &settings);
        let mut first = running.journal.reader(first).unwrap();
        let mut last = running.journal.reader(last).unwrap();
        for arrival in 0..40 {
            running.keep(1, arrival, &[0; 2_000]);
        }
        let mut checkpoint = Checkpoint::new();
        checkpoint.next_arrival(slot(1), 40);
        running.journal.checkpoint(checkpoint).unwrap();
        running.keep(1, 40, b"after the checkpoint");
        drain(&mut first);
        first.commit().unwrap();
        assert_eq!(last.next(1).unwrap()[0].arrival, 0);
        last.commit().unwrap();
        running.keep(1, 41, b"record");
        drop((first, last));
        running.close().unwrap();

        let (running, recovery) = Running::open(&disk, &settings);
        assert_eq!(recovery.next_arrival[1], 42);
        assert_eq!(arrivals(&recovery.tail.collect::<Vec<_>>()), [40, 41]);
        let mut archive = running.journal.reader("archive").unwrap();
        let mut alerts = running.journal.reader("alerts").unwrap();
        let mut lags = [drain(&mut archive).len(), drain(&mut alerts).len()];
        lags.sort_unstable();
        assert_eq!(lags, [1, 41], "the slower one misses nothing");
        assert!(segments(&disk) > 5);
        archive.commit().unwrap();
        alerts.commit().unwrap();
        eventually("old segments are deleted", || segments(&disk) <= 3);
    }
}

#[test]
fn segments_stay_while_no_checkpoint_stands_for_them() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let mut reader = running.journal.reader("archive").unwrap();
    for arrival in 0..40 {
        running.keep(1, arrival, &[0; 2_000]);
        drain(&mut reader);
        reader.commit().unwrap();
    }
    drop(reader);
    running.close().unwrap();
    let (_running, recovery) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!(recovery.tail.count(), 40);
}

#[test]
fn a_batch_of_promises_alone_is_answered_without_touching_the_disk() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    running.keep(1, 0, b"original");
    let path = segment_path(Path::new(DIRECTORY), 0);
    let syncs = disk.syncs_of(&path);
    let mut batch = Batch::new();
    let (receipt, outcome) = Receipt::new();
    batch.promise(receipt, Outcome { accepted: 0, duplicates: 1 });
    let mut recycled = running.journal.submit(batch).unwrap();
    assert!(recycled.is_empty());
    recycled.clear();
    assert_eq!(outcome.blocking_recv().unwrap().duplicates, 1);
    assert_eq!(disk.syncs_of(&path), syncs);
}

#[test]
fn dropping_all_handles_ends_the_writer_after_it_has_kept_everything() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let mut reader = running.journal.monitor().reader("archive").unwrap();
    let durable = running.journal.durable();
    let outcomes: Vec<_> = (0..50).map(|arrival| running.submit(1, arrival, b"record")).collect();
    running.close().unwrap();
    for outcome in outcomes {
        assert_eq!(outcome.blocking_recv().unwrap().accepted, 1);
    }
    assert_eq!(reader.wait_for_more(PATIENCE), More::Ready);
    assert_eq!(drain(&mut reader).len(), 50);
    assert_eq!(reader.wait_for_more(PATIENCE), More::Ended);
    assert!(durable.has_changed().is_err(), "the watch is closed");
}

#[test]
fn a_reader_that_is_up_to_date_waits_for_the_next_commit() {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(reader.wait_for_more(Duration::ZERO), More::TimedOut);
    let waiting = std::thread::spawn(move || {
        assert_eq!(reader.wait_for_more(PATIENCE), More::Ready);
        arrivals(&drain(&mut reader))
    });
    running.keep(1, 0, b"record");
    assert_eq!(waiting.join().unwrap(), [0]);
}

#[test]
fn a_second_opening_of_the_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(64, 1_024);
    let (running, _) = Running::open_real(folder.path(), &settings).unwrap();
    let Err(error) = Running::open_real(folder.path(), &settings) else { panic!("opened twice") };
    assert!(matches!(error, JournalError::Locked { .. }));
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    running.close().unwrap();
    Running::open_real(folder.path(), &settings).unwrap().0.close().unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let disk = SimulatedDisk::default();
    assert!(matches!(Running::try_open(&disk, &settings(64, 100)), Err(JournalError::MaxTooSmall { .. })));
    assert!(matches!(Running::try_open(&disk, &settings(4, 100)), Err(JournalError::SegmentTooSmall { .. })));
    assert!(disk.names().is_empty(), "{DIRECTORY} was touched");
}

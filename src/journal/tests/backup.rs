//! A journal is copied while it is written and forgotten, and goes on from the copy.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::support::{Running, arrivals, drain, eventually, settings, slot};
use crate::journal::space::segment_start;
use crate::journal::{Checkpoint, JournalError, Reader, Snapshot};

const SLOT: u16 = 3;

/// Writes frames of a kilobyte; the archive is done with them at once, so that segments go as soon as a checkpoint allows.
fn write(running: &Running, archive: &mut Reader, frames: Range<u64>) {
    write_and(running, archive, frames, || {});
}

/// `before` any of them can go.
fn write_and(running: &Running, archive: &mut Reader, frames: Range<u64>, before: impl FnOnce()) {
    let end = frames.end;
    for arrival in frames {
        running.keep(SLOT, arrival, &[7; 1_000]);
    }
    before();
    drain(archive);
    archive.commit().unwrap();
    let mut checkpoint = Checkpoint::new();
    checkpoint.next_arrival(slot(SLOT), end);
    running.journal.checkpoint(checkpoint).unwrap();
}

fn copy(snapshot: Snapshot, into: &Path) -> Result<(), JournalError> {
    for (name, bytes) in snapshot.cursors() {
        std::fs::write(into.join(name), bytes).unwrap();
    }
    let checkpoints = snapshot.checkpoints()?;
    for mut piece in checkpoints.into_iter().chain(snapshot.segments()?) {
        std::io::copy(&mut piece.content, &mut std::fs::File::create(into.join(&piece.name)).unwrap()).unwrap();
    }
    Ok(())
}

#[test]
fn a_copy_has_every_frame_from_its_cursor_on_though_segments_come_and_go() {
    let (folder, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = settings(16, 1_024);
    let (running, _) = Running::open_real(folder.path(), &settings).unwrap();
    let mut archive = running.journal.reader("archive").unwrap();
    write(&running, &mut archive, 0..100);
    let mut snapshot = Snapshot::begin(folder.path()).unwrap();
    let looks = AtomicU64::new(0);
    // A machine with much to do may let nobody look for longer than a segment lives here.
    let seen = || {
        let before = looks.load(Ordering::Relaxed);
        eventually("a look from beginning to end", || looks.load(Ordering::Relaxed) >= before + 2);
    };
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for round in 1..20 {
                write_and(&running, &mut archive, round * 100..(round + 1) * 100, seen);
            }
        });
        while !writing.is_finished() {
            snapshot.keep_up().unwrap();
            looks.fetch_add(1, Ordering::Relaxed);
        }
        writing.join().unwrap();
    });
    copy(snapshot, into.path()).unwrap();

    let (copied, recovery) = Running::open_real(into.path(), &settings).unwrap();
    assert_eq!((recovery.bad_frames, recovery.next_arrival[usize::from(SLOT)]), (0, 2_000));
    let found = arrivals(&drain(&mut copied.journal.reader("archive").unwrap()));
    assert_eq!(found, (100..2_000).collect::<Vec<_>>());
}

#[test]
fn half_a_frame_at_the_end_stays_out_of_a_copy() {
    let (folder, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = settings(64, 1_024);
    let (running, _) = Running::open_real(folder.path(), &settings).unwrap();
    running.keep(SLOT, 0, b"whole");
    let snapshot = Snapshot::begin(folder.path()).unwrap();
    let pieces = snapshot.segments().unwrap();
    running.keep(SLOT, 1, b"behind it");
    let [mut piece] = <[_; 1]>::try_from(pieces).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut piece.content, &mut bytes).unwrap();
    std::fs::write(into.path().join(&piece.name), &bytes).unwrap();
    let (_copied, recovery) = Running::open_real(into.path(), &settings).unwrap();
    assert_eq!((recovery.torn_bytes, recovery.next_arrival[usize::from(SLOT)]), (0, 1));
}

#[test]
fn segments_that_came_and_went_unseen_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(16, 1_024);
    let (running, _) = Running::open_real(folder.path(), &settings).unwrap();
    let mut archive = running.journal.reader("archive").unwrap();
    write(&running, &mut archive, 0..30);
    let starts = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| segment_start(&name.to_string_lossy())).collect::<Vec<_>>()
    };
    let snapshot = Snapshot::begin(folder.path()).unwrap();
    let newest = starts().into_iter().max().unwrap();
    write(&running, &mut archive, 30..530);
    eventually("the next segments are gone", || starts().into_iter().all(|start| start > newest + 32_768));
    assert!(matches!(snapshot.segments(), Err(JournalError::Overtaken { .. })));
}

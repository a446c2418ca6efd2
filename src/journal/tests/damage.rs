//! What is remembered of damaged places: each told of once, over readers and restarts, until a person acknowledges it.

use std::path::{Path, PathBuf};

use super::support::{DIRECTORY, Running, arrivals, drain, settings};
use crate::journal::file_header::FILE_HEADER_BYTES;
use crate::journal::frame::HEADER_BYTES;
use crate::journal::simulated_disk::{Faults, SimulatedDisk};
use crate::journal::space::segment_path;
use crate::journal::{DamageAlert, JournalError, JournalMonitor};

fn file() -> PathBuf {
    Path::new(DIRECTORY).join("damage.json")
}

/// Ten frames of 100 bytes, of which these are damaged.
fn ten_frames_without(damaged: &[usize]) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    for arrival in 0..10 {
        running.keep(1, arrival, &[9; 100 - HEADER_BYTES]);
    }
    running.close().unwrap();
    damage(&disk, damaged);
    disk
}

fn damage(disk: &SimulatedDisk, frames: &[usize]) {
    for frame in frames {
        let at = usize::try_from(FILE_HEADER_BYTES).unwrap() + 100 * frame + 50;
        disk.flip_bit(&segment_path(Path::new(DIRECTORY), 0), 8 * at);
    }
}

/// As somebody who tells others does it.
fn tell(journal: &JournalMonitor) -> Option<DamageAlert> {
    let alert = journal.untold_damage().unwrap()?;
    journal.told_of_damage(alert.revision).unwrap();
    Some(alert)
}

#[test]
fn a_place_is_told_of_once_however_many_readers_meet_it_and_over_restarts() {
    let disk = ten_frames_without(&[2, 6]);
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    for cursor in ["archive", "alerts"] {
        assert_eq!(drain(&mut running.journal.reader(cursor).unwrap()).len(), 8);
    }
    let monitor = running.journal.monitor();
    let told = tell(&monitor).unwrap();
    assert_eq!((told.count, told.frames_at_least, told.revision, told.is_open()), (2, 2, 1, true));
    let places: Vec<_> = told.places.iter().map(|place| (place.offset, place.bytes, place.frames)).collect();
    assert_eq!(places, [(FILE_HEADER_BYTES + 200, 100, Some(1)), (FILE_HEADER_BYTES + 600, 100, Some(1))]);
    assert_eq!((tell(&monitor), monitor.damage()), (None, 2));
    drop(monitor);
    running.close().unwrap();

    let (running, recovery) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!(recovery.bad_frames, 2, "it is still there");
    let monitor = running.journal.monitor();
    assert_eq!((tell(&monitor), monitor.damage(), monitor.damage_alert()), (None, 0, Some(told)));
}

#[test]
fn what_was_not_handed_on_is_told_of_again_in_the_same_words_and_a_new_place_is_a_change() {
    let disk = ten_frames_without(&[2]);
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let first = running.journal.monitor().untold_damage().unwrap().unwrap();
    running.close().unwrap();
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!(tell(&running.journal.monitor()), Some(first));
    running.close().unwrap();
    damage(&disk, &[4]);
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let second = tell(&running.journal.monitor()).unwrap();
    assert_eq!((second.count, second.revision), (2, 2));
}

#[test]
fn an_acknowledged_alert_stays_so_and_the_next_damage_opens_another() {
    let disk = ten_frames_without(&[2]);
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let monitor = running.journal.monitor();
    tell(&monitor).unwrap();
    monitor.acknowledge_damage("maria", Some("disk replaced")).unwrap().unwrap();
    assert_eq!(monitor.acknowledge_damage("jo", None).unwrap(), None, "it is done");
    let told = tell(&monitor).unwrap();
    assert_eq!((told.acknowledged_by.as_deref(), told.revision), (Some("maria"), 2));
    drop(monitor);
    running.close().unwrap();
    damage(&disk, &[7]);
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let other = tell(&running.journal.monitor()).unwrap();
    assert_eq!((other.count, other.revision, other.is_open()), (1, 1, true));
    assert!(other.opened_at > told.opened_at);
}

#[test]
fn a_full_disk_keeps_no_cursor_and_what_was_found_is_written_once_there_is_room() {
    let disk = ten_frames_without(&[2]);
    disk.set_faults(Faults { no_room_for: Some("damage"), ..Faults::default() });
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    let monitor = running.journal.monitor();
    assert!(monitor.untold_damage().unwrap_err().is_no_space());
    let mut reader = running.journal.reader("archive").unwrap();
    assert_eq!(arrivals(&drain(&mut reader)), [0, 1, 3, 4, 5, 6, 7, 8, 9]);
    reader.commit().unwrap();
    assert_eq!(monitor.damage_alert().unwrap().count, 1);
    disk.set_faults(Faults::default());
    assert_eq!(tell(&monitor).unwrap().count, 1);
}

#[test]
fn a_list_that_is_damaged_itself_begins_anew_and_one_of_a_newer_version_is_refused() {
    let disk = ten_frames_without(&[2]);
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    tell(&running.journal.monitor()).unwrap();
    running.close().unwrap();
    disk.flip_bit(&file(), 8 * 30);
    let (running, _) = Running::open(&disk, &settings(16, 1_024));
    assert_eq!(tell(&running.journal.monitor()).unwrap().revision, 1, "told of once more");
    running.close().unwrap();

    let text = String::from_utf8(disk.contents(&file())).unwrap();
    let json = text.split_once('\n').unwrap().1.replacen("\"version\":1", "\"version\":2", 1);
    let newer = format!("{:08x}\n{json}", crc32c::crc32c(json.as_bytes()));
    let written = crate::journal::disk::Disk::open(&disk, &file()).unwrap();
    written.write_all_at(newer.as_bytes(), 0).unwrap();
    let Err(error) = Running::try_open(&disk, &settings(16, 1_024)) else { panic!("a newer list was read") };
    assert!(matches!(error, JournalError::Newer { found: 2, supported: 1, .. }), "{error}");
}

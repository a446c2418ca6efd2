//! The data folder: who holds it, how much room there is for the journal, and how long its disk takes to make a write durable.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{statfs, statvfs};

use super::Patient;
use super::finding::Finding;
use crate::journal;
use crate::settings::Settings;

/// Small synced writes, as many as a p99 of them is a little more than chance.
const WRITES: usize = 64;
const WRITE_BYTES: usize = 4_096;
/// A disk that hangs shall not hang the doctor.
const LONGEST: Duration = Duration::from_secs(10);
/// A PUBACK waits for one sync at least, often for two: beyond it a device on a slow link begins to repeat itself, and at 333 readings/s
/// more than a dozen wait for each commit.
const SLOW: Duration = Duration::from_millis(50);
/// linux/magic.h
const TMPFS_MAGIC: i64 = 0x0102_1994;

pub fn is_running(settings: &Settings) -> bool {
    journal::is_held(&settings.data.join("journal")).unwrap_or(false)
}

pub fn folder(patient: &Patient) -> Vec<Finding> {
    let data = &patient.settings.data;
    let place = data.display().to_string();
    if let Err(error) = journal::is_held(&data.join("journal")) {
        return vec![
            Finding::failed("data", place, format!("the lock cannot be looked at: {error}"))
                .because("odograph run has to hold it")
                .next("run the doctor as the user who runs the service, and give that user the folder"),
        ];
    }
    if journal::is_half_restored(&data.join("journal")) && !patient.is_running {
        return vec![
            Finding::failed("data", place, "a restore into it did not end")
                .because("no service starts on half of a backup")
                .next("empty the folder and restore again"),
        ];
    }
    if patient.is_running {
        return vec![Finding::ok("data", place, "a running service holds it")];
    }
    if data.is_dir() {
        return vec![match tempfile::tempfile_in(data) {
            Ok(_) => Finding::ok("data", place, "can be written, and no service holds it"),
            Err(error) => Finding::failed("data", place, format!("cannot be written: {error}"))
                .because("journal and archive live in it")
                .next("make room, or give the folder to the user who runs the service"),
        }];
    }
    if data.exists() {
        return vec![Finding::failed("data", place, "is no folder").next("name a folder with --data or `data`")];
    }
    vec![
        Finding::warning("data", place, "is not there")
            .because("nothing ran here yet, or the path is another one than that of the service")
            .next("odograph run makes it; if data should be there, look at --data and `data`"),
    ]
}

pub fn journal_space(patient: &Patient) -> Vec<Finding> {
    let settings = &patient.settings.journal;
    let folder = existing(&patient.settings.data);
    let place = folder.display().to_string();
    let disk = match statvfs(&folder) {
        Ok(disk) => disk,
        Err(error) => return vec![Finding::failed("journal", place, format!("free space cannot be asked for: {error}"))],
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let used = bytes_below(&patient.settings.data.join("journal"));
    let mebibytes = |bytes: u64| bytes >> 20;
    let what =
        format!("{} MiB are free, the journal has {} MiB and may grow to {}", mebibytes(free), mebibytes(used), settings.max);
    // The next segment is made before the last one is full.
    if free < 2 * settings.segment.bytes() {
        return vec![
            Finding::failed("journal", place, what)
                .because(format!("there is no room for two segments of {}: acknowledging stops", settings.segment))
                .next("make room on this disk, or move `data` to a larger one"),
        ];
    }
    if free + used < settings.max.bytes() {
        return vec![
            Finding::warning("journal", place, what)
                .because("the disk would be full before the journal is: acknowledging stops sooner than `journal.max` promises")
                .next("make room, or lower `journal.max` to what is there"),
        ];
    }
    vec![Finding::ok("journal", place, what)]
}

pub fn journal_sync(patient: &Patient) -> Vec<Finding> {
    let folder = existing(&patient.settings.data);
    let place = folder.display().to_string();
    let mut findings = Vec::new();
    #[expect(clippy::useless_conversion, reason = "its width differs between systems")]
    let in_memory = statfs(&folder).is_ok_and(|disk| i64::from(disk.f_type) == TMPFS_MAGIC);
    if in_memory {
        findings.push(
            Finding::warning("journal", place.clone(), "the folder is in memory (tmpfs)")
                .because("a sync does nothing there: what was acknowledged is gone after a power cut or a reboot")
                .next("put `data` on a disk")
                .breaks("R2"),
        );
    }
    findings.push(match sync_times(&folder) {
        Err(error) => Finding::failed("journal", place, format!("a scratch file cannot be written and synced: {error}"))
            .because("nothing can be acknowledged without it")
            .next("make room, or look at the disk"),
        Ok(times) => {
            // Nearest rank.
            let quantile = |per_cent: usize| times[(times.len() * per_cent).div_ceil(100) - 1];
            let (half, most) = (quantile(50), quantile(99));
            let what = format!("{} writes of 4 KiB were synced within {half:.1?} (p50) and {most:.1?} (p99)", times.len());
            if most > SLOW {
                Finding::warning("journal", place, what)
                    .because(format!("every acknowledgement waits for a sync; over {SLOW:.0?} devices notice"))
                    .next("look what else writes to this disk, or use one with power-loss protection")
            } else {
                Finding::ok("journal", place, what)
            }
        }
    });
    findings
}

/// Sorted. In a file without a name that was filled before, as the journal's segments are.
fn sync_times(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = tempfile::tempfile_in(folder)?;
    let block = [0x5a; WRITE_BYTES];
    for _ in 0..WRITES {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let began = Instant::now();
    let mut times = Vec::with_capacity(WRITES);
    while times.is_empty() || (times.len() < WRITES && began.elapsed() < LONGEST) {
        let before = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

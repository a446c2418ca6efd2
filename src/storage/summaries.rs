//! Sums up hours that are over, so that long ranges are quick to read: in steps that the writer of readings hardly notices. What a late reading
//! touches is summed up again.

use std::time::{Duration, Instant};

use super::{ArchiveError, SharedStore};
use crate::clock;
use crate::domain::Timestamp;
use crate::tasks::Stop;

const EVERY: Duration = Duration::from_mins(1);
/// Most of what is late comes by then; an hour that is summed up twice costs twice.
const SETTLES_AFTER: Duration = Duration::from_mins(10);
/// Hours of a vehicle in one transaction: at 30 s some 2,000 readings, 10 ms of work.
const HOURS_PER_STEP: u32 = 16;
/// Pauses this many times as long as a step took.
const PAUSE_PER_STEP: u32 = 4;

/// Runs until it is told to stop.
pub async fn run(archive: SharedStore, mut stop: Stop) {
    loop {
        let before = clock::now().minus(SETTLES_AFTER);
        let summed = tokio::select! {
            summed = keep_up(&archive, before) => summed,
            () = stop.requested() => return,
        };
        match summed {
            // That the archive is away is said by its writer.
            Err(error) if !error.is_away() => {
                tracing::warn!(error = %error, "could not sum up old hours; will try again in a minute");
            }
            _ => {}
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.requested() => return,
        }
    }
}

/// Until nothing that ended before `before` is left to be summed up.
pub(super) async fn keep_up(archive: &SharedStore, before: Timestamp) -> Result<(), ArchiveError> {
    loop {
        let started = Instant::now();
        if archive.sum_up(before, HOURS_PER_STEP).await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(started.elapsed() * PAUSE_PER_STEP).await;
    }
}

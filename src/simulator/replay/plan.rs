//! What a replay will send: every file is read once to its end, so that its last moment, its vehicles and what it refuses are
//! known before the first message leaves. Sends nothing: `sender`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Speed;
use super::resume::{FileMark, ResumeFile};
use crate::domain::{SignalTable, Timestamp, VehicleId};
use crate::wire::history::{ColumnMap, HistoryError, HistoryReader, ReadOptions, RowCounts};

/// What becomes of recorded moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// As recorded.
    Keep,
    /// Moved so that the last reading of each track is at this moment.
    EndAt(Timestamp),
    /// Moved so that the first reading of each track is at this moment.
    StartAt(Timestamp),
}

#[derive(Debug, Clone)]
pub struct PlanOptions {
    pub clock: Clock,
    pub speed: Speed,
    pub read: ReadOptions,
}

#[derive(Debug)]
pub struct Plan {
    pub options: PlanOptions,
    pub files: Vec<FilePlan>,
    pub tracks: Vec<Track>,
}

/// Files that share a vehicle, in the order in which they were driven; sent over one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Indices into [`Plan::files`].
    pub files: Vec<usize>,
    pub client_id: String,
    /// Added to every moment.
    pub shift_micros: i64,
}

#[derive(Debug)]
pub struct FilePlan {
    pub path: PathBuf,
    pub counts: RowCounts,
    pub vehicles: BTreeSet<VehicleId>,
    /// First and last moment as recorded; `None` where the file has no reading.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Readings that an earlier run got acknowledged: skipped.
    pub already_acknowledged: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("none of the {rows} rows of {} is a reading", path.display())]
    NoReading { path: PathBuf, rows: u64 },
    #[error("{} is given twice", path.display())]
    SameFile { path: PathBuf },
    #[error("{} has {readings} readings, but the resume file says that {acknowledged} of it were acknowledged", path.display())]
    OtherFile { path: PathBuf, readings: u64, acknowledged: u64 },
}

impl Plan {
    /// Reads every file to its end.
    ///
    /// # Errors
    /// Where a file cannot be read to its end or holds no reading at all: nothing has been sent then.
    pub fn make(
        paths: &[PathBuf],
        map: &ColumnMap,
        table: &Arc<SignalTable>,
        options: PlanOptions,
        resume: &ResumeFile,
    ) -> Result<Self, PlanError> {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            if files.iter().any(|known: &FilePlan| known.path == *path) {
                return Err(PlanError::SameFile { path: path.clone() });
            }
            let mut file = scan(path, map, Arc::clone(table), &options.read)?;
            if let Some(mark) = resume.mark(path) {
                if mark.acknowledged > file.counts.readings {
                    let (readings, acknowledged) = (file.counts.readings, mark.acknowledged);
                    return Err(PlanError::OtherFile { path: path.clone(), readings, acknowledged });
                }
                file.already_acknowledged = mark.acknowledged;
            }
            files.push(file);
        }
        let tracks = make_tracks(&files, options.clock, resume);
        Ok(Self { options, files, tracks })
    }

    /// Readings that are still to be acknowledged.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.files.iter().map(|file| file.counts.readings - file.already_acknowledged).sum()
    }

    /// What to write into a resume file.
    #[must_use]
    pub fn marks(&self, acknowledged: impl Fn(usize) -> u64) -> Vec<(PathBuf, FileMark)> {
        let of_track = |track: &Track| {
            let shift_micros = track.shift_micros;
            track.files.iter().map(move |&file| (file, shift_micros)).collect::<Vec<_>>()
        };
        let marks = self.tracks.iter().flat_map(of_track);
        marks
            .map(|(file, shift_micros)| {
                (self.files[file].path.clone(), FileMark { acknowledged: acknowledged(file), shift_micros })
            })
            .collect()
    }
}

fn scan(path: &Path, map: &ColumnMap, table: Arc<SignalTable>, options: &ReadOptions) -> Result<FilePlan, PlanError> {
    let mut reader = HistoryReader::open(path, map, table, options)?;
    let mut vehicles = BTreeSet::new();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    for row in reader.by_ref() {
        let reading = row?.reading;
        let moment = reading.recorded_at;
        span = Some(span.map_or((moment, moment), |(first, last)| (first.min(moment), last.max(moment))));
        if !vehicles.contains(&reading.vehicle_id) {
            vehicles.insert(reading.vehicle_id);
        }
    }
    let counts = reader.counts().clone();
    if span.is_none() {
        return Err(PlanError::NoReading { path: path.to_owned(), rows: counts.rows });
    }
    Ok(FilePlan { path: path.to_owned(), counts, vehicles, span, already_acknowledged: 0 })
}

/// One track per file, but files that share a vehicle are one: its readings must keep their order.
fn make_tracks(files: &[FilePlan], clock: Clock, resume: &ResumeFile) -> Vec<Track> {
    let mut groups: Vec<(BTreeSet<&VehicleId>, Vec<usize>)> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let mut merged = (file.vehicles.iter().collect::<BTreeSet<_>>(), vec![index]);
        groups.retain_mut(|(vehicles, members)| {
            let apart = vehicles.is_disjoint(&merged.0);
            if !apart {
                merged.0.append(vehicles);
                merged.1.append(members);
            }
            apart
        });
        groups.push(merged);
    }
    let make = |(vehicles, mut members): (BTreeSet<&VehicleId>, Vec<usize>)| {
        members.sort_by_key(|&file| (files[file].span, file));
        let spans = || members.iter().filter_map(|&file| files[file].span);
        let first = spans().map(|(first, _)| first).min().unwrap_or_default();
        let last = spans().map(|(_, last)| last).max().unwrap_or_default();
        let begun = members.iter().find_map(|&file| resume.mark(&files[file].path));
        let shift_micros = match (begun, clock) {
            // Goes on where it was, or the vehicle would jump in time.
            (Some(mark), _) => mark.shift_micros,
            (None, Clock::Keep) => 0,
            (None, Clock::EndAt(end)) => end.as_micros() - last.as_micros(),
            (None, Clock::StartAt(start)) => start.as_micros() - first.as_micros(),
        };
        // A receiver may allow a client to publish only as the vehicle that it says it is.
        let client_id = vehicles.first().map_or_else(|| "replay".to_owned(), |vehicle| vehicle.as_str().to_owned());
        Track { files: members, client_id, shift_micros }
    };
    let mut tracks: Vec<Track> = groups.into_iter().map(make).collect();
    tracks.sort_by_key(|track| track.files.iter().copied().min());
    tracks
}

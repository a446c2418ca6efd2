//! A fleet's readings to a file, a row each, with what was wrong at that moment. Rows are in the order in which a server would see them.
//!
//! Columns: `vehicle_id`, `recorded_at`, position, every signal of the table by its name, `ignition`, and the labels `fault` and
//! `severity` (empty while healthy). The file appears under its name only when it is complete: until then it is `NAME.partial`.

mod csv;
mod parquet;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fleet::{Fleet, blank_reading};
use super::labels::{self, Labelled};
use super::vehicle::Label;
use crate::domain::{Reading, SignalTable};

/// Columns of the position, in the order of the file.
const POSITION_COLUMNS: [&str; 5] = ["latitude", "longitude", "altitude_m", "heading_deg", "accuracy_m"];

#[derive(Debug, thiserror::Error)]
pub enum OutError {
    #[error("{} ends neither in .parquet nor in .csv, so it is not clear what to write", path.display())]
    Ending { path: PathBuf },
    #[error("could not write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not write {}: {source}", path.display())]
    Parquet { path: PathBuf, source: ::parquet::errors::ParquetError },
}

#[derive(Debug)]
pub struct Written {
    pub readings: u64,
    pub labels: Vec<Labelled>,
}

enum Sink {
    Csv(csv::CsvSink),
    Parquet(Box<parquet::ParquetSink>),
}

/// Lives through `length` as fast as it can and writes all readings. `progress` is told the share that is done.
///
/// # Errors
/// Where the file cannot be written, or its ending says neither CSV nor Parquet.
pub fn write(
    fleet: &mut Fleet,
    length: Duration,
    path: &Path,
    table: &SignalTable,
    mut progress: impl FnMut(f64),
) -> Result<Written, OutError> {
    let mut partial = OsString::from(path.as_os_str());
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let io = |source| OutError::Write { path: path.to_owned(), source };
    let parquet = |source| OutError::Parquet { path: path.to_owned(), source };
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let mut sink = match ending.as_deref() {
        Some("csv") => Sink::Csv(csv::CsvSink::create(&partial, table).map_err(io)?),
        Some("parquet") => Sink::Parquet(Box::new(parquet::ParquetSink::create(&partial, table).map_err(parquet)?)),
        _ => return Err(OutError::Ending { path: path.to_owned() }),
    };
    let readings = each_reading(fleet, length, &mut progress, |reading, label| match &mut sink {
        Sink::Csv(sink) => sink.row(reading, label).map_err(io),
        Sink::Parquet(sink) => sink.row(reading, label).map_err(parquet),
    })?;
    let file = match sink {
        Sink::Csv(sink) => sink.finish().map_err(io)?,
        Sink::Parquet(sink) => sink.finish().map_err(parquet)?,
    };
    file.sync_all().map_err(io)?;
    fs::rename(&partial, path).map_err(io)?;
    Ok(Written { readings, labels: fleet.vehicles.iter().flat_map(labels::of).collect() })
}

/// Calls `take` with every reading of `length`, in the order of time. Returns how many there were.
///
/// # Errors
/// The first that `take` gives.
pub fn each_reading<E>(
    fleet: &mut Fleet,
    length: Duration,
    progress: &mut impl FnMut(f64),
    mut take: impl FnMut(&Reading, Option<Label>) -> Result<(), E>,
) -> Result<u64, E> {
    fleet.sort_by_turn();
    let end = fleet.world.start.plus(length);
    let mut reading = blank_reading();
    let mut count = 0;
    let mut round = 0_u32;
    loop {
        let before = count;
        for vehicle in &mut fleet.vehicles {
            if vehicle.next_at() < end {
                vehicle.next_reading(&fleet.world, &mut reading);
                take(&reading, vehicle.label())?;
                count += 1;
            }
        }
        if count == before {
            return Ok(count);
        }
        round += 1;
        progress((fleet.world.every.as_secs_f64() * f64::from(round) / length.as_secs_f64()).min(1.0));
    }
}

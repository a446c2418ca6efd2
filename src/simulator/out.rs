//! A fleet's readings to a file, a row each, with what was wrong at that moment. Rows are in the order in which a server would see them.
//!
//! Columns: `vehicle_id`, `recorded_at`, position, every signal of the table by its name, `ignition`, and the labels `fault` and
//! `severity` (empty while healthy). The file appears under its name only when it is complete: until then it is `NAME.partial`.

use std::path::Path;
use std::time::Duration;

use super::fleet::{Fleet, blank_reading};
use super::labels::{self, Labelled};
use super::vehicle::Label;
use crate::domain::{Ignition, Position, Reading, SignalTable, signal};
use crate::wire::history::{Column, ColumnType, HistoryError, TableWriter, Value};

#[derive(Debug)]
pub struct Written {
    pub readings: u64,
    pub labels: Vec<Labelled>,
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
) -> Result<Written, HistoryError> {
    let mut writer = TableWriter::create(path, columns(table))?;
    let signals = table.iter().count();
    let readings = each_reading(fleet, length, &mut progress, |reading, label| {
        writer.row(&reading.vehicle_id, reading.recorded_at, row(reading, label, signals))
    })?;
    writer.finish()?;
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

fn columns(table: &SignalTable) -> Vec<Column> {
    let position = [
        ("latitude", ColumnType::F64),
        ("longitude", ColumnType::F64),
        ("altitude_m", ColumnType::F32),
        ("heading_deg", ColumnType::F32),
        ("accuracy_m", ColumnType::F32),
    ];
    // The odometer in full.
    let kind = |id| if id == signal::ODOMETER { ColumnType::F64 } else { ColumnType::F32 };
    let signals = table.iter().map(|(id, signal)| (signal.name, kind(id)));
    let rest = [("ignition", ColumnType::Code), ("fault", ColumnType::Code), ("severity", ColumnType::F32)];
    let columns = position.into_iter().chain(signals).chain(rest);
    columns.map(|(name, kind)| Column { name: name.to_owned(), kind }).collect()
}

/// In the order of the columns.
fn row(reading: &Reading, label: Option<Label>, signals: usize) -> impl Iterator<Item = Value> {
    let position = reading.position.as_ref();
    let position = [
        position.map(Position::latitude),
        position.map(Position::longitude),
        position.and_then(|position| position.altitude_m).map(f64::from),
        position.and_then(|position| position.heading_deg).map(f64::from),
        position.and_then(|position| position.accuracy_m).map(f64::from),
    ];
    let mut present = reading.signals.iter().peekable();
    let signals = (0..signals).map(move |index| match present.next_if(|(id, _)| id.index() == index) {
        Some((signal::ODOMETER, _)) => reading.odometer_m,
        value => value.map(|(_, value)| f64::from(value)),
    });
    let number = |value: Option<f64>| Value::Number(value.unwrap_or(f64::NAN));
    let rest = [
        Value::Code(reading.ignition.map(Ignition::code)),
        Value::Code(label.map(|label| label.fault.name())),
        number(label.map(|label| f64::from(label.severity))),
    ];
    position.into_iter().chain(signals).map(number).chain(rest)
}

//! Rows of readings as CSV. Nothing in them needs quotes: ids, numbers, names of faults.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::POSITION_COLUMNS;
use crate::domain::{Reading, SignalTable, signal};
use crate::simulator::vehicle::Label;

pub struct CsvSink {
    file: BufWriter<File>,
    signals: usize,
    row: Vec<u8>,
}

impl CsvSink {
    pub fn create(path: &Path, table: &SignalTable) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
        write!(file, "vehicle_id,recorded_at")?;
        let signals = table.iter().map(|(_, signal)| signal.name);
        for name in POSITION_COLUMNS.into_iter().chain(signals).chain(["ignition", "fault", "severity"]) {
            write!(file, ",{name}")?;
        }
        writeln!(file)?;
        Ok(Self { file, signals: table.iter().count(), row: Vec::with_capacity(1 << 10) })
    }

    pub fn row(&mut self, reading: &Reading, label: Option<Label>) -> io::Result<()> {
        let row = &mut self.row;
        row.clear();
        write!(row, "{},{}", reading.vehicle_id, reading.recorded_at)?;
        let position = reading.position.as_ref();
        number(row, position.map(crate::domain::Position::latitude));
        number(row, position.map(crate::domain::Position::longitude));
        number(row, position.and_then(|position| position.altitude_m));
        number(row, position.and_then(|position| position.heading_deg));
        number(row, position.and_then(|position| position.accuracy_m));
        let mut present = reading.signals.iter().peekable();
        for column in 0..self.signals {
            match present.next_if(|(id, _)| id.index() == column) {
                Some((signal::ODOMETER, _)) => number(row, reading.odometer_m),
                value => number(row, value.map(|(_, value)| value)),
            }
        }
        row.push(b',');
        row.extend_from_slice(reading.ignition.map_or("", crate::domain::Ignition::code).as_bytes());
        row.push(b',');
        row.extend_from_slice(label.map_or("", |label| label.fault.name()).as_bytes());
        number(row, label.map(|label| label.severity));
        row.push(b'\n');
        self.file.write_all(row)
    }

    pub fn finish(self) -> io::Result<File> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// The shortest text that reads back to the same number.
fn number(row: &mut Vec<u8>, value: Option<impl serde::Serialize>) {
    row.push(b',');
    if let Some(value) = value {
        serde_json::to_writer(row, &value).expect("numbers always serialise, and a Vec grows as needed");
    }
}

//! A column map bound to the columns of one file: turns its present row into a reading. Keeps no order: `reader`.

use std::sync::Arc;

use super::columns::{ColumnMap, PositionColumns, SignalColumn, VehicleFrom};
use super::moment::Moments;
use super::reader::Refusal;
use super::rows::{Cell, HistoryError, NotANumber, Rows};
use crate::domain::{Ignition, Position, Reading, RejectedSignal, Rejection, SignalTable, SignalValues, VehicleId, signal};

pub(super) struct Binding {
    moments: Moments,
    time: usize,
    vehicle: Vehicle,
    ignition: Option<usize>,
    position: Option<PositionIndices>,
    signals: Vec<(usize, SignalColumn)>,
    /// Label of a simulated or annotated drive.
    fault: Option<usize>,
    prefix: String,
    table: Arc<SignalTable>,
}

/// As `odograph simulate --out` writes it.
const FAULT_COLUMN: &str = "fault";

/// Why a row is no reading, and what exactly.
pub(super) type Refused = (Refusal, String);

enum Vehicle {
    Column {
        index: usize,
        /// Of the row before: most rows are of the same vehicle.
        last: Option<VehicleId>,
    },
    Same(VehicleId),
}

struct PositionIndices {
    latitude: usize,
    longitude: usize,
    altitude_m: Option<usize>,
    heading_deg: Option<usize>,
    accuracy_m: Option<usize>,
}

impl Binding {
    pub(super) fn new(rows: &Rows, map: &ColumnMap, table: Arc<SignalTable>, prefix: String) -> Result<Self, HistoryError> {
        let position = map.position.as_ref().map(|columns| find_position(rows, columns)).transpose()?.flatten();
        let mut signals = Vec::new();
        for column in &map.signals {
            signals.push((rows.column(&column.column)?, column.clone()));
        }
        if map.signals_by_name {
            let named = rows.header().iter().enumerate().filter_map(|(index, name)| {
                let signal = table.find(name)?;
                Some((index, SignalColumn { signal, column: name.clone(), factor: 1.0, offset: 0.0 }))
            });
            signals.extend(named);
        }
        if signals.is_empty() && position.is_none() {
            return Err(HistoryError::NoSignal { path: rows.path().to_owned(), header: rows.header().to_vec() });
        }
        Ok(Self {
            moments: Moments::new(&map.time_form, rows.path())?,
            time: rows.column(&map.time_column)?,
            vehicle: find_vehicle(rows, &map.vehicle, &prefix)?,
            ignition: map.ignition.as_ref().and_then(|column| rows.column(column).ok()),
            position,
            signals,
            fault: rows.header().iter().position(|name| name == FAULT_COLUMN),
            prefix,
            table,
        })
    }

    pub(super) const fn is_labelled(&self) -> bool {
        self.fault.is_some()
    }

    /// Empty and missing cells: nothing was wrong.
    pub(super) fn fault(&self, rows: &Rows) -> Option<Box<str>> {
        match rows.cell(self.fault?) {
            Cell::Text(text) if !text.is_empty() => Some(text.into()),
            _ => None,
        }
    }

    /// The reading of the row that `rows` stands at.
    pub(super) fn read(&mut self, rows: &Rows) -> Result<Reading, Refused> {
        let cell = rows.cell(self.time);
        if cell == Cell::Missing {
            return Err((Refusal::TimeMissing, String::new()));
        }
        let recorded_at = self.moments.read(cell).ok_or_else(|| (Refusal::TimeInvalid, cell.to_string()))?;
        let vehicle_id = self.vehicle_id(rows)?;
        let (signals, odometer_m, rejected) = self.signals(rows)?;
        let position = self.position(rows)?;
        if signals.is_empty() && position.is_none() {
            return Err((Refusal::NothingMeasured, recorded_at.to_string()));
        }
        let mut reading = Reading {
            position,
            odometer_m,
            signals,
            ignition: self.ignition(rows),
            rejected,
            ..Reading::bare(vehicle_id, recorded_at)
        };
        reading.fingerprint = reading.compute_fingerprint();
        Ok(reading)
    }

    /// `None` too where the text is no state: the reading is worth more than this.
    fn ignition(&self, rows: &Rows) -> Option<Ignition> {
        match rows.cell(self.ignition?) {
            Cell::Text(text) => Ignition::from_name(text),
            _ => None,
        }
    }

    fn vehicle_id(&mut self, rows: &Rows) -> Result<VehicleId, Refused> {
        let (index, last) = match &mut self.vehicle {
            Vehicle::Same(vehicle_id) => return Ok(vehicle_id.clone()),
            Vehicle::Column { index, last } => (*index, last),
        };
        let cell = rows.cell(index);
        let id = match cell {
            Cell::Text(text) => format!("{}{text}", self.prefix),
            Cell::Number(number) => format!("{}{number}", self.prefix),
            Cell::Missing | Cell::Moment(_) | Cell::Other => return Err((Refusal::VehicleIdInvalid, cell.to_string())),
        };
        match last {
            Some(last) if last.as_str() == id => Ok(last.clone()),
            _ => {
                let new = VehicleId::new(&id).map_err(|error| (Refusal::VehicleIdInvalid, error.to_string()))?;
                Ok(last.insert(new).clone())
            }
        }
    }

    /// The same judgement as the decoder of messages: what is not plausible is set aside and the reading stays.
    fn signals(&self, rows: &Rows) -> Result<(SignalValues, Option<f64>, Vec<RejectedSignal>), Refused> {
        let (mut values, mut odometer_m, mut rejected) = (SignalValues::default(), None, Vec::new());
        for (index, column) in &self.signals {
            let Some(number) = number(rows, *index)? else { continue };
            let value = number * column.factor + column.offset;
            let known = self.table.get(column.signal);
            let rejection = if !value.is_finite() {
                Rejection::NotFinite
            } else if value < known.plausible.0 || value > known.plausible.1 {
                Rejection::OutOfRange
            } else {
                values.set(column.signal, as_f32(value));
                if column.signal == signal::ODOMETER {
                    odometer_m = Some(value);
                }
                continue;
            };
            rejected.push(RejectedSignal { name: known.name.into(), value, rejection });
        }
        Ok((values, odometer_m, rejected))
    }

    fn position(&self, rows: &Rows) -> Result<Option<Position>, Refused> {
        let Some(columns) = &self.position else { return Ok(None) };
        let (Some(latitude), Some(longitude)) = (number(rows, columns.latitude)?, number(rows, columns.longitude)?) else {
            return Ok(None);
        };
        let mut position = Position::new(latitude, longitude).map_err(|error| (Refusal::PositionInvalid, error.to_string()))?;
        let detail = |column: Option<usize>| match column {
            Some(column) => Ok::<_, Refused>(number(rows, column)?.map(as_f32)),
            None => Ok(None),
        };
        position.altitude_m = detail(columns.altitude_m)?;
        position.heading_deg = detail(columns.heading_deg)?;
        position.accuracy_m = detail(columns.accuracy_m)?;
        Ok(Some(position))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "signals are f32, quantised once where they are decoded")]
const fn as_f32(value: f64) -> f32 {
    value as f32
}

fn number(rows: &Rows, column: usize) -> Result<Option<f64>, Refused> {
    let cell = rows.cell(column);
    cell.number().map_err(|NotANumber| (Refusal::NotANumber, format!("{}: {cell}", rows.header()[column])))
}

fn find_vehicle(rows: &Rows, from: &VehicleFrom, prefix: &str) -> Result<Vehicle, HistoryError> {
    let name = rows.path().file_name().unwrap_or_default().to_string_lossy();
    let id = match from {
        VehicleFrom::Column { column } => return Ok(Vehicle::Column { index: rows.column(column)?, last: None }),
        VehicleFrom::Constant { id } => id,
        VehicleFrom::FileName => name.split('.').next().unwrap_or_default(),
    };
    let id = format!("{prefix}{id}");
    match VehicleId::new(&id) {
        Ok(vehicle_id) => Ok(Vehicle::Same(vehicle_id)),
        Err(source) => Err(HistoryError::VehicleId { path: rows.path().to_owned(), id, source }),
    }
}

fn find_position(rows: &Rows, columns: &PositionColumns) -> Result<Option<PositionIndices>, HistoryError> {
    if columns.optional && rows.column(&columns.latitude).is_err() {
        return Ok(None);
    }
    let detail = |name: &Option<String>| match name {
        Some(name) if columns.optional => Ok(rows.column(name).ok()),
        Some(name) => rows.column(name).map(Some),
        None => Ok(None),
    };
    Ok(Some(PositionIndices {
        latitude: rows.column(&columns.latitude)?,
        longitude: rows.column(&columns.longitude)?,
        altitude_m: detail(&columns.altitude_m)?,
        heading_deg: detail(&columns.heading_deg)?,
        accuracy_m: detail(&columns.accuracy_m)?,
    }))
}

//! Rows of readings as Parquet: columns are gathered and written in groups of rows.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::POSITION_COLUMNS;
use crate::domain::{Reading, SignalTable, signal};
use crate::simulator::vehicle::Label;

/// Rows that are held in memory before they are written as one group: some 10 MB.
const GROUP_ROWS: usize = 65_536;

pub struct ParquetSink {
    writer: SerializedFileWriter<BufWriter<File>>,
    vehicle_ids: Vec<ByteArray>,
    recorded_at: Vec<i64>,
    coordinates: [Optional<f64>; 2],
    details: [Optional<f32>; 3],
    signals: Vec<Optional<f32>>,
    /// The odometer in full; its f32 column stays empty and is not written.
    odometer_m: Optional<f64>,
    ignition: Optional<ByteArray>,
    fault: Optional<ByteArray>,
    severity: Optional<f32>,
}

/// A column in which values may be missing: level 0 and no value.
struct Optional<T> {
    levels: Vec<i16>,
    values: Vec<T>,
}

impl ParquetSink {
    pub fn create(path: &Path, table: &SignalTable) -> Result<Self, ParquetError> {
        let file = BufWriter::with_capacity(1 << 18, File::create(path)?);
        let mut fields = vec![
            text("vehicle_id", Repetition::REQUIRED)?,
            Arc::new(
                Type::primitive_type_builder("recorded_at", PhysicalType::INT64)
                    .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
                    .with_repetition(Repetition::REQUIRED)
                    .build()?,
            ),
        ];
        for (index, name) in POSITION_COLUMNS.into_iter().enumerate() {
            fields.push(number(name, if index < 2 { PhysicalType::DOUBLE } else { PhysicalType::FLOAT })?);
        }
        for (id, signal) in table.iter() {
            let in_full = id == signal::ODOMETER;
            fields.push(number(signal.name, if in_full { PhysicalType::DOUBLE } else { PhysicalType::FLOAT })?);
        }
        fields.push(text("ignition", Repetition::OPTIONAL)?);
        fields.push(text("fault", Repetition::OPTIONAL)?);
        fields.push(number("severity", PhysicalType::FLOAT)?);
        let schema = Type::group_type_builder("odograph").with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        Ok(Self {
            writer: SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?,
            vehicle_ids: Vec::with_capacity(GROUP_ROWS),
            recorded_at: Vec::with_capacity(GROUP_ROWS),
            coordinates: [Optional::new(), Optional::new()],
            details: [Optional::new(), Optional::new(), Optional::new()],
            signals: table.iter().map(|_| Optional::new()).collect(),
            odometer_m: Optional::new(),
            ignition: Optional::new(),
            fault: Optional::new(),
            severity: Optional::new(),
        })
    }

    pub fn row(&mut self, reading: &Reading, label: Option<Label>) -> Result<(), ParquetError> {
        self.vehicle_ids.push(ByteArray::from(reading.vehicle_id.as_str()));
        self.recorded_at.push(reading.recorded_at.as_micros());
        let position = reading.position.as_ref();
        self.coordinates[0].push(position.map(crate::domain::Position::latitude));
        self.coordinates[1].push(position.map(crate::domain::Position::longitude));
        self.details[0].push(position.and_then(|position| position.altitude_m));
        self.details[1].push(position.and_then(|position| position.heading_deg));
        self.details[2].push(position.and_then(|position| position.accuracy_m));
        let mut present = reading.signals.iter().peekable();
        for (index, column) in self.signals.iter_mut().enumerate() {
            column.push(present.next_if(|(id, _)| id.index() == index).map(|(_, value)| value));
        }
        self.odometer_m.push(reading.odometer_m);
        self.ignition.push(reading.ignition.map(|ignition| ByteArray::from(ignition.code())));
        self.fault.push(label.map(|label| ByteArray::from(label.fault.name())));
        self.severity.push(label.map(|label| label.severity));
        if self.recorded_at.len() < GROUP_ROWS { Ok(()) } else { self.write_group() }
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        required::<ByteArrayType>(&mut group, &mut self.vehicle_ids)?;
        required::<Int64Type>(&mut group, &mut self.recorded_at)?;
        for column in &mut self.coordinates {
            optional::<DoubleType>(&mut group, column)?;
        }
        for column in &mut self.details {
            optional::<FloatType>(&mut group, column)?;
        }
        for (index, column) in self.signals.iter_mut().enumerate() {
            if index == signal::ODOMETER.index() {
                optional::<DoubleType>(&mut group, &mut self.odometer_m)?;
                column.clear();
            } else {
                optional::<FloatType>(&mut group, column)?;
            }
        }
        optional::<ByteArrayType>(&mut group, &mut self.ignition)?;
        optional::<ByteArrayType>(&mut group, &mut self.fault)?;
        optional::<FloatType>(&mut group, &mut self.severity)?;
        group.close()?;
        Ok(())
    }

    pub fn finish(mut self) -> Result<File, ParquetError> {
        if !self.recorded_at.is_empty() {
            self.write_group()?;
        }
        let file = self.writer.into_inner()?;
        file.into_inner().map_err(|error| ParquetError::from(error.into_error()))
    }
}

impl<T> Optional<T> {
    const fn new() -> Self {
        Self { levels: Vec::new(), values: Vec::new() }
    }

    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.values.clear();
    }
}

fn text(name: &str, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let builder = Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY);
    builder.with_logical_type(Some(LogicalType::String)).with_repetition(repetition).build().map(Arc::new)
}

fn number(name: &str, physical: PhysicalType) -> Result<TypePtr, ParquetError> {
    Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
}

type Group<'a> = SerializedRowGroupWriter<'a, BufWriter<File>>;

fn required<T: DataType>(group: &mut Group<'_>, values: &mut Vec<T::T>) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("as many columns as the schema has");
    column.typed::<T>().write_batch(values, None, None)?;
    values.clear();
    column.close()
}

fn optional<T: DataType>(group: &mut Group<'_>, from: &mut Optional<T::T>) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("as many columns as the schema has");
    column.typed::<T>().write_batch(&from.values, Some(&from.levels), None)?;
    from.clear();
    column.close()
}

//! Tables of (`vehicle_id`, `recorded_at`, numbers) to Parquet or CSV. Does not know what the numbers are.
//!
//! The file appears under its name only when it is complete: until then it is `NAME.partial`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::rows::HistoryError;
use crate::domain::{Timestamp, VehicleId};

/// Rows that are held in memory before they are written as one row group: about 8 MB with 30 f32 columns.
const ROW_GROUP_ROWS: usize = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    F32,
    F64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub number: ColumnType,
}

/// Writes one table. Dropped before [`TableWriter::finish`], it leaves only the `.partial` file.
pub struct TableWriter {
    path: PathBuf,
    partial: PathBuf,
    columns: Vec<Column>,
    rows: u64,
    sink: Sink,
}

enum Sink {
    Csv(BufWriter<File>),
    Parquet(Box<ParquetSink>),
}

struct ParquetSink {
    writer: SerializedFileWriter<BufWriter<File>>,
    vehicle_ids: Vec<ByteArray>,
    recorded_at: Vec<i64>,
    /// Column after column; what is missing has level 0 and no value.
    values: Vec<Values>,
    levels: Vec<Vec<i16>>,
}

enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl TableWriter {
    /// The ending of the name says what it becomes: `.parquet` or `.csv`.
    ///
    /// # Errors
    /// Where the file cannot be made, its ending is another, or two columns have one name.
    pub fn create(path: &Path, columns: Vec<Column>) -> Result<Self, HistoryError> {
        let mut names: HashSet<&str> = HashSet::from(["vehicle_id", "recorded_at"]);
        if let Some(column) = columns.iter().find(|column| !names.insert(&column.name)) {
            return Err(HistoryError::SameColumn { column: column.name.clone() });
        }
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let is_parquet = match ending.as_deref() {
            Some("parquet") => true,
            Some("csv") => false,
            _ => return Err(HistoryError::Ending { path: path.to_owned() }),
        };
        let io = |source| HistoryError::Write { path: path.to_owned(), source };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut file = BufWriter::new(File::create(&partial).map_err(io)?);
        let sink = if is_parquet {
            Sink::Parquet(Box::new(ParquetSink::new(file, &columns).map_err(|source| parquet_error(path, source))?))
        } else {
            write_csv_header(&mut file, &columns).map_err(io)?;
            Sink::Csv(file)
        };
        Ok(Self { path: path.to_owned(), partial, columns, rows: 0, sink })
    }

    /// `values`: one number per column, NaN where it is missing. A column of [`ColumnType::F32`] keeps what an f32 can hold.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn row(&mut self, vehicle_id: &VehicleId, recorded_at: Timestamp, values: &[f64]) -> Result<(), HistoryError> {
        assert_eq!(values.len(), self.columns.len(), "one number per column");
        self.rows += 1;
        match &mut self.sink {
            Sink::Csv(file) => write_csv_row(file, &self.columns, vehicle_id, recorded_at, values)
                .map_err(|source| HistoryError::Write { path: self.path.clone(), source }),
            Sink::Parquet(sink) => sink.row(vehicle_id, recorded_at, values).map_err(|source| parquet_error(&self.path, source)),
        }
    }

    /// Makes the file durable under its name. Returns its number of rows.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(self) -> Result<u64, HistoryError> {
        let io = |source| HistoryError::Write { path: self.path.clone(), source };
        let file = match self.sink {
            Sink::Csv(file) => file,
            Sink::Parquet(sink) => sink.finish().map_err(|source| parquet_error(&self.path, source))?,
        };
        let file = file.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)?;
        fs::rename(&self.partial, &self.path).map_err(io)?;
        Ok(self.rows)
    }
}

fn parquet_error(path: &Path, source: ParquetError) -> HistoryError {
    HistoryError::WriteParquet { path: path.to_owned(), source }
}

fn write_csv_header(file: &mut impl Write, columns: &[Column]) -> io::Result<()> {
    file.write_all(b"vehicle_id,recorded_at")?;
    for column in columns {
        write!(file, ",{}", column.name)?;
    }
    file.write_all(b"\n")
}

fn write_csv_row(
    file: &mut impl Write,
    columns: &[Column],
    vehicle_id: &VehicleId,
    recorded_at: Timestamp,
    values: &[f64],
) -> io::Result<()> {
    write!(file, "{vehicle_id},{recorded_at}")?;
    for (column, value) in columns.iter().zip(values) {
        // Rust prints the shortest text that reads back as the same number.
        match column.number {
            _ if value.is_nan() => file.write_all(b",")?,
            ColumnType::F32 => write!(file, ",{}", as_f32(*value))?,
            ColumnType::F64 => write!(file, ",{value}")?,
        }
    }
    file.write_all(b"\n")
}

#[expect(clippy::cast_possible_truncation, reason = "the column is declared to hold f32")]
const fn as_f32(value: f64) -> f32 {
    value as f32
}

impl ParquetSink {
    fn new(file: BufWriter<File>, columns: &[Column]) -> Result<Self, ParquetError> {
        let vehicle_id = Type::primitive_type_builder("vehicle_id", PhysicalType::BYTE_ARRAY)
            .with_converted_type(ConvertedType::UTF8)
            .with_logical_type(Some(LogicalType::String))
            .with_repetition(Repetition::REQUIRED)
            .build()?;
        let recorded_at = Type::primitive_type_builder("recorded_at", PhysicalType::INT64)
            .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
            .with_repetition(Repetition::REQUIRED)
            .build()?;
        let mut fields = vec![Arc::new(vehicle_id), Arc::new(recorded_at)];
        for column in columns {
            let number = match column.number {
                ColumnType::F32 => PhysicalType::FLOAT,
                ColumnType::F64 => PhysicalType::DOUBLE,
            };
            fields.push(Arc::new(
                Type::primitive_type_builder(&column.name, number).with_repetition(Repetition::OPTIONAL).build()?,
            ));
        }
        let schema = Type::group_type_builder("odograph").with_fields(fields).build()?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        Ok(Self {
            writer: SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?,
            vehicle_ids: Vec::new(),
            recorded_at: Vec::new(),
            values: columns.iter().map(|column| Values::new(column.number)).collect(),
            levels: vec![Vec::new(); columns.len()],
        })
    }

    fn row(&mut self, vehicle_id: &VehicleId, recorded_at: Timestamp, values: &[f64]) -> Result<(), ParquetError> {
        self.vehicle_ids.push(ByteArray::from(vehicle_id.as_str()));
        self.recorded_at.push(recorded_at.as_micros());
        for ((column, levels), value) in self.values.iter_mut().zip(&mut self.levels).zip(values) {
            levels.push(i16::from(!value.is_nan()));
            match column {
                _ if value.is_nan() => {}
                Values::F32(numbers) => numbers.push(as_f32(*value)),
                Values::F64(numbers) => numbers.push(*value),
            }
        }
        if self.recorded_at.len() < ROW_GROUP_ROWS { Ok(()) } else { self.write_row_group() }
    }

    fn write_row_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        write_column(&mut group, |column| column.typed::<ByteArrayType>().write_batch(&self.vehicle_ids, None, None))?;
        write_column(&mut group, |column| column.typed::<Int64Type>().write_batch(&self.recorded_at, None, None))?;
        for (values, levels) in self.values.iter().zip(&self.levels) {
            write_column(&mut group, |column| match values {
                Values::F32(numbers) => column.typed::<FloatType>().write_batch(numbers, Some(levels), None),
                Values::F64(numbers) => column.typed::<DoubleType>().write_batch(numbers, Some(levels), None),
            })?;
        }
        group.close()?;
        self.vehicle_ids.clear();
        self.recorded_at.clear();
        self.levels.iter_mut().for_each(Vec::clear);
        self.values.iter_mut().for_each(Values::clear);
        Ok(())
    }

    fn finish(mut self) -> Result<BufWriter<File>, ParquetError> {
        if !self.recorded_at.is_empty() {
            self.write_row_group()?;
        }
        self.writer.into_inner()
    }
}

/// Writes the next column of the group.
fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    write: impl FnOnce(&mut parquet::file::writer::SerializedColumnWriter<'_>) -> Result<usize, ParquetError>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("as many columns as the schema has");
    write(&mut column)?;
    column.close()
}

impl Values {
    const fn new(number: ColumnType) -> Self {
        match number {
            ColumnType::F32 => Self::F32(Vec::new()),
            ColumnType::F64 => Self::F64(Vec::new()),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::F32(numbers) => numbers.clear(),
            Self::F64(numbers) => numbers.clear(),
        }
    }
}

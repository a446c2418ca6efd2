//! Tables of (`vehicle_id`, `recorded_at`, numbers and codes) to Parquet or CSV. Does not know what they mean.
//!
//! The file appears under its name only when it is complete: until then it is `NAME.partial`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::rows::HistoryError;
use crate::domain::{Timestamp, VehicleId};

/// Rows that are held in memory before they are written as one row group: about 8 MB with 30 f32 columns.
const ROW_GROUP_ROWS: usize = 65_536;
const BUFFER_BYTES: usize = 1 << 18;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    F32,
    F64,
    /// Words of the product such as `off`: nothing in them needs quotes.
    Code,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// NaN where it is missing.
    Number(f64),
    Code(Option<&'static str>),
}

/// Writes one table. Dropped before [`TableWriter::finish`], it leaves only the `.partial` file.
pub struct TableWriter {
    path: PathBuf,
    partial: PathBuf,
    columns: Vec<Column>,
    /// Used again for every row.
    row: Vec<Value>,
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
    Code(Vec<ByteArray>),
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
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(&partial).map_err(io)?);
        let sink = if is_parquet {
            Sink::Parquet(Box::new(ParquetSink::new(file, &columns).map_err(|source| parquet_error(path, source))?))
        } else {
            write_csv_header(&mut file, &columns).map_err(io)?;
            Sink::Csv(file)
        };
        Ok(Self { path: path.to_owned(), partial, row: Vec::with_capacity(columns.len()), columns, rows: 0, sink })
    }

    /// `values`: one per column, of its kind. A column of [`ColumnType::F32`] keeps what an f32 can hold.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn row(
        &mut self,
        vehicle_id: &VehicleId,
        recorded_at: Timestamp,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<(), HistoryError> {
        self.row.clear();
        self.row.extend(values);
        let (values, columns) = (&self.row, &self.columns);
        assert_eq!(values.len(), columns.len(), "one value per column");
        self.rows += 1;
        match &mut self.sink {
            Sink::Csv(file) => write_csv_row(file, columns, vehicle_id, recorded_at, values)
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
    values: &[Value],
) -> io::Result<()> {
    write!(file, "{vehicle_id},{recorded_at}")?;
    for (column, value) in columns.iter().zip(values) {
        // Rust prints the shortest text that reads back as the same number.
        match value {
            Value::Number(number) if number.is_nan() => file.write_all(b",")?,
            Value::Number(number) if column.kind == ColumnType::F32 => write!(file, ",{}", as_f32(*number))?,
            Value::Number(number) => write!(file, ",{number}")?,
            Value::Code(code) => write!(file, ",{}", code.unwrap_or_default())?,
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
        let recorded_at = Type::primitive_type_builder("recorded_at", PhysicalType::INT64)
            .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
            .with_repetition(Repetition::REQUIRED)
            .build()?;
        let mut fields = vec![text("vehicle_id", Repetition::REQUIRED)?, Arc::new(recorded_at)];
        for Column { name, kind } in columns {
            fields.push(match kind {
                ColumnType::F32 => number(name, PhysicalType::FLOAT)?,
                ColumnType::F64 => number(name, PhysicalType::DOUBLE)?,
                ColumnType::Code => text(name, Repetition::OPTIONAL)?,
            });
        }
        let schema = Type::group_type_builder("odograph").with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        Ok(Self {
            writer: SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?,
            vehicle_ids: Vec::new(),
            recorded_at: Vec::new(),
            values: columns.iter().map(|column| Values::new(column.kind)).collect(),
            levels: vec![Vec::new(); columns.len()],
        })
    }

    fn row(&mut self, vehicle_id: &VehicleId, recorded_at: Timestamp, values: &[Value]) -> Result<(), ParquetError> {
        self.vehicle_ids.push(ByteArray::from(vehicle_id.as_str()));
        self.recorded_at.push(recorded_at.as_micros());
        for ((column, levels), value) in self.values.iter_mut().zip(&mut self.levels).zip(values) {
            levels.push(i16::from(column.push(*value)));
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
                Values::Code(codes) => column.typed::<ByteArrayType>().write_batch(codes, Some(levels), None),
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

fn text(name: &str, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let builder = Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY);
    builder.with_logical_type(Some(LogicalType::String)).with_repetition(repetition).build().map(Arc::new)
}

fn number(name: &str, physical: PhysicalType) -> Result<TypePtr, ParquetError> {
    Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
}

impl Values {
    const fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::F32 => Self::F32(Vec::new()),
            ColumnType::F64 => Self::F64(Vec::new()),
            ColumnType::Code => Self::Code(Vec::new()),
        }
    }

    /// False where the value is missing.
    fn push(&mut self, value: Value) -> bool {
        match (self, value) {
            (Self::F32(numbers), Value::Number(number)) if !number.is_nan() => numbers.push(as_f32(number)),
            (Self::F64(numbers), Value::Number(number)) if !number.is_nan() => numbers.push(number),
            (Self::Code(codes), Value::Code(Some(code))) => codes.push(ByteArray::from(code)),
            _ => return false,
        }
        true
    }

    fn clear(&mut self) {
        match self {
            Self::F32(numbers) => numbers.clear(),
            Self::F64(numbers) => numbers.clear(),
            Self::Code(codes) => codes.clear(),
        }
    }
}

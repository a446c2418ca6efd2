//! Rows and cells of CSV, gzipped CSV and Parquet files, all alike. Does not know what a column means: `columns`, `reader`.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};

use crate::domain::{Timestamp, VehicleIdError};

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("could not read {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no CSV file: {source}", path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{} is no Parquet file that can be read: {source}", path.display())]
    Parquet { path: PathBuf, source: ParquetError },
    #[error("{} has no column that begins with {column:?}; it has: {}", path.display(), header.join(", "))]
    NoColumn { path: PathBuf, column: String, header: Vec<String> },
    #[error("{} has several columns that begin with {column:?}: {}", path.display(), found.join(", "))]
    SeveralColumns { path: PathBuf, column: String, found: Vec<String> },
    #[error("{} has no column that is named like a signal; it has: {}", path.display(), header.join(", "))]
    NoSignal { path: PathBuf, header: Vec<String> },
    #[error("the name of {} holds no date such as 2017-07-05, and its rows only the time of day", path.display())]
    NoDate { path: PathBuf },
    #[error("{} would be the vehicle {id:?}: {source}", path.display())]
    VehicleId { path: PathBuf, id: String, source: VehicleIdError },
    #[error("could not write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not write {}: {source}", path.display())]
    WriteParquet { path: PathBuf, source: ParquetError },
    #[error("{} ends neither in .parquet nor in .csv, so it is not clear what to write", path.display())]
    Ending { path: PathBuf },
    #[error("column {column:?} is named twice")]
    SameColumn { column: String },
}

/// One value of a row as the file has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Text(&'a str),
    Number(f64),
    Moment(Timestamp),
    /// A value of a type that readings have no use for.
    Other,
}

/// A cell that should hold a number and does not.
pub(super) struct NotANumber;

impl Cell<'_> {
    /// `None` where nothing was measured, NaN among it: tables write a missing number so.
    pub(super) fn number(self) -> Result<Option<f64>, NotANumber> {
        let number = match self {
            Self::Missing => return Ok(None),
            Self::Number(number) => number,
            Self::Text(text) => text.parse().map_err(|_| NotANumber)?,
            Self::Moment(_) | Self::Other => return Err(NotANumber),
        };
        Ok((!number.is_nan()).then_some(number))
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("nothing"),
            Self::Text(text) => write!(formatter, "{:?}", text.chars().take(64).collect::<String>()),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Moment(moment) => write!(formatter, "{moment}"),
            Self::Other => formatter.write_str("a value of another type"),
        }
    }
}

/// What became of the next row.
pub(super) enum Advance {
    Row,
    /// This row cannot be read, the next may.
    Broken(String),
    End,
}

/// The rows of one file, one at a time.
pub(super) struct Rows {
    path: PathBuf,
    header: Vec<String>,
    source: Source,
}

enum Source {
    Csv { reader: csv::Reader<Box<dyn Read + Send>>, record: csv::StringRecord },
    Parquet { rows: RowIter<'static>, row: Row },
}

impl Rows {
    /// The ending of the name says what it is: `.csv`, `.csv.gz`, `.parquet`.
    pub(super) fn open(path: &Path) -> Result<Self, HistoryError> {
        let io = |source| HistoryError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let has_ending = |ending| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
        if has_ending("parquet") {
            return Self::open_parquet(path, file);
        }
        let bytes: Box<dyn Read + Send> =
            if has_ending("gz") { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header = reader.byte_headers().map_err(|source| HistoryError::Csv { path: path.to_owned(), source })?;
        let header = header.iter().map(|name| clean(&String::from_utf8_lossy(name))).collect();
        Ok(Self { path: path.to_owned(), header, source: Source::Csv { reader, record: csv::StringRecord::new() } })
    }

    fn open_parquet(path: &Path, file: File) -> Result<Self, HistoryError> {
        let parquet = |source| HistoryError::Parquet { path: path.to_owned(), source };
        let reader = SerializedFileReader::new(file).map_err(parquet)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let header = schema.root_schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(Self { path: path.to_owned(), header, source: Source::Parquet { rows, row: Row::new(Vec::new()) } })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The column of exactly this name, else the only one that begins so.
    pub(super) fn column(&self, name: &str) -> Result<usize, HistoryError> {
        if let Some(exact) = self.header.iter().position(|found| found == name) {
            return Ok(exact);
        }
        let begins: Vec<usize> = (0..self.header.len()).filter(|&index| self.header[index].starts_with(name)).collect();
        match begins[..] {
            [only] => Ok(only),
            [] => Err(HistoryError::NoColumn { path: self.path.clone(), column: name.to_owned(), header: self.header.clone() }),
            _ => Err(HistoryError::SeveralColumns {
                path: self.path.clone(),
                column: name.to_owned(),
                found: begins.iter().map(|&index| self.header[index].clone()).collect(),
            }),
        }
    }

    /// # Errors
    /// Where the file ends before its end: what comes after cannot be read.
    pub(super) fn advance(&mut self) -> Result<Advance, HistoryError> {
        match &mut self.source {
            Source::Csv { reader, record } => match reader.read_record(record) {
                Ok(true) => Ok(Advance::Row),
                Ok(false) => Ok(Advance::End),
                Err(error) if error.is_io_error() => Err(HistoryError::Csv { path: self.path.clone(), source: error }),
                Err(error) => Ok(Advance::Broken(error.to_string())),
            },
            Source::Parquet { rows, row } => match rows.next() {
                Some(Ok(next)) => {
                    *row = next;
                    Ok(Advance::Row)
                }
                Some(Err(source)) => Err(HistoryError::Parquet { path: self.path.clone(), source }),
                None => Ok(Advance::End),
            },
        }
    }

    pub(super) fn cell(&self, column: usize) -> Cell<'_> {
        match &self.source {
            Source::Csv { record, .. } => match record.get(column) {
                None | Some("") => Cell::Missing,
                Some(text) => Cell::Text(text),
            },
            Source::Parquet { row, .. } => {
                row.get_column_iter().nth(column).map_or(Cell::Missing, |(_, field)| field_cell(field))
            }
        }
    }
}

fn clean(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "a signal is an f32 in the end")]
fn field_cell(field: &Field) -> Cell<'_> {
    match field {
        Field::Byte(value) => Cell::Number(f64::from(*value)),
        Field::Short(value) => Cell::Number(f64::from(*value)),
        Field::Int(value) => Cell::Number(f64::from(*value)),
        Field::Long(value) => Cell::Number(*value as f64),
        Field::UByte(value) => Cell::Number(f64::from(*value)),
        Field::UShort(value) => Cell::Number(f64::from(*value)),
        Field::UInt(value) => Cell::Number(f64::from(*value)),
        Field::ULong(value) => Cell::Number(*value as f64),
        Field::Float(value) => Cell::Number(f64::from(*value)),
        Field::Double(value) => Cell::Number(*value),
        Field::Str(text) => Cell::Text(text),
        Field::TimestampMillis(millis) => Cell::Moment(Timestamp::from_micros(millis.saturating_mul(1_000))),
        Field::TimestampMicros(micros) => Cell::Moment(Timestamp::from_micros(*micros)),
        Field::Null => Cell::Missing,
        _ => Cell::Other,
    }
}

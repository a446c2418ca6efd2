//! History as files: rows of CSV, gzipped CSV and Parquet to readings, and tables back to CSV and Parquet.
//! Does not replay them and computes no features: `simulator::replay`, `cli::features`.

mod binding;
mod columns;
mod moment;
mod reader;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

pub use columns::{ColumnMap, MapError, SHIPPED};
pub use reader::{HistoryReader, HistoryRow, ReadOptions, Refusal, RefusedRows, RowCounts};
pub use rows::HistoryError;
pub use writer::{Column, ColumnType, TableWriter, Value};

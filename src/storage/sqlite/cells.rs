//! A row of SQLite, value by value.

use std::sync::LazyLock;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::Timestamp;
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::row::{self, Cells};

/// The columns of a reading, as a select list.
pub static SELECT_LIST: LazyLock<String> =
    LazyLock::new(|| row::columns().map(|name| format!("readings.{name}")).collect::<Vec<_>>().join(", "));

pub struct SqliteCells<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> SqliteCells<'r> {
    #[must_use]
    pub const fn new(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    fn take<T>(&mut self) -> Result<T, ArchiveError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(database_error("read a reading"))
    }
}

impl Cells for SqliteCells<'_> {
    fn integer(&mut self) -> Result<Option<i64>, ArchiveError> {
        self.take()
    }

    fn maybe_time(&mut self) -> Result<Option<Timestamp>, ArchiveError> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_micros))
    }

    fn flag(&mut self) -> Result<bool, ArchiveError> {
        self.take()
    }

    #[expect(clippy::cast_possible_truncation, reason = "what was written from an f32 is read as one")]
    fn single(&mut self) -> Result<Option<f32>, ArchiveError> {
        Ok(self.take::<Option<f64>>()?.map(|value| value as f32))
    }

    fn double(&mut self) -> Result<Option<f64>, ArchiveError> {
        self.take()
    }

    fn text(&mut self) -> Result<Option<&str>, ArchiveError> {
        self.take()
    }
}

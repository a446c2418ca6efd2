//! Many rows in one statement. Bound row by row, the way to SQLite's thread alone costs five times the insert.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::bind::RowBinder;
use crate::domain::Assessment;
use crate::storage::columns::{ColumnSet, StickyColumns};
use crate::storage::error::{ArchiveError, database_error};

/// Rows of one statement: the largest that fits is taken again and again, so that few statements have to be prepared and kept.
const ROWS: [usize; 5] = [512, 128, 32, 8, 1];
/// `SQLITE_MAX_VARIABLE_NUMBER` as SQLite is built by default.
const MAX_VARIABLES: usize = 32_766;
/// Texts that are kept; beyond it all are forgotten and written again.
const MAX_TEXTS: usize = 256;

#[derive(Debug, Default)]
pub struct Statements {
    texts: HashMap<(ColumnSet, usize), Arc<str>>,
    /// What to bind.
    pub columns: StickyColumns,
}

impl Statements {
    /// Inserts all rows whose identity is new, and returns their number.
    ///
    /// # Errors
    /// Where the archive refuses one, or does not answer; the transaction is then to be given up.
    pub async fn insert(
        &mut self,
        connection: &mut SqliteConnection,
        binder: &RowBinder<'_>,
        mut assessments: &[&Assessment],
    ) -> Result<u64, ArchiveError> {
        let width = binder.columns.len();
        let mut inserted = 0;
        while !assessments.is_empty() {
            let fits = |rows: &&usize| **rows <= assessments.len() && **rows * width <= MAX_VARIABLES;
            let rows = *ROWS.iter().find(fits).expect("one row always fits");
            let (now, later) = assessments.split_at(rows);
            let mut values = SqliteArguments::default();
            values.reserve(rows * width, 0);
            for assessment in now {
                binder.bind(assessment, &mut values);
            }
            let statement = sqlx::query_with(AssertSqlSafe(self.text(binder.columns, rows)), values);
            inserted += statement.execute(&mut *connection).await.map_err(database_error("store readings"))?.rows_affected();
            assessments = later;
        }
        Ok(inserted)
    }

    fn text(&mut self, columns: ColumnSet, rows: usize) -> Arc<str> {
        if self.texts.len() >= MAX_TEXTS {
            self.texts.clear();
        }
        Arc::clone(self.texts.entry((columns, rows)).or_insert_with(|| write_insert(columns, rows).into()))
    }
}

/// `or fail`, since the transaction is given up anyway: the default, `or abort`, makes SQLite copy every page it touches so that the
/// statement alone can be undone.
fn write_insert(columns: ColumnSet, rows: usize) -> String {
    let names = columns.names().collect::<Vec<_>>().join(", ");
    let row = format!("({})", vec!["?"; columns.len()].join(","));
    let values = vec![row.as_str(); rows].join(",");
    format!("insert or fail into readings ({names}) values {values} on conflict do nothing")
}

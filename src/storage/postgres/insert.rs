//! A batch of readings in one statement: an array for each column, so that the server plans and parses once for any number of rows.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Postgres, Type};

use super::connect::Lease;
use super::known::Known;
use super::values::Time;
use crate::domain::signal::{ODOMETER, SIGNALS};
use crate::domain::{Assessment, Ignition, NotScored, Position, SignalTable, Timing};
use crate::storage::columns::{
    ACCURACY, ALTITUDE, BOOT_ID, ColumnSet, DTCS, EXTRAS, FINDINGS, HEADING, IGNITION, LOST_BEFORE_US, NOT_SCORED, POSITION,
    QUALITY, REJECTED, SCORES, SEQUENCE, TIMING,
};
use crate::storage::error::ArchiveError;
use crate::storage::json_columns;

/// What to insert, and what its rows refer to.
pub struct Readings<'a> {
    pub assessments: &'a [&'a Assessment],
    /// Of these; others are null.
    pub columns: ColumnSet,
    pub known: &'a Known,
    pub table: &'a SignalTable,
}

impl Readings<'_> {
    /// Inserts all whose identity is new, and returns their number.
    ///
    /// # Errors
    /// Where the archive refuses one, or does not answer; the transaction is then to be given up.
    pub async fn insert(&self, lease: &mut Lease) -> Result<u64, ArchiveError> {
        if self.assessments.is_empty() {
            return Ok(0);
        }
        let mut arrays = Arrays { rows: self.assessments, columns: Vec::new(), values: PgArguments::default() };
        self.bind(&mut arrays);
        let insert = sqlx::query_with(AssertSqlSafe(arrays.statement()), arrays.values);
        lease.execute("store readings", insert).await
    }

    fn bind(&self, arrays: &mut Arrays<'_>) {
        arrays.add("vehicle", PLAIN, |one| self.known.vehicle(&one.reading.vehicle_id));
        arrays.add("recorded_at", PLAIN, |one| Time(one.reading.recorded_at));
        arrays.add("fingerprint", PLAIN, |one| one.reading.fingerprint.cast_signed());
        arrays.add("received_at", PLAIN, |one| Time(one.reading.received_at));
        arrays.add("arrival", PLAIN, |one| one.arrival.cast_signed());
        arrays.add("revision", PLAIN, |one| one.revision.cast_signed());
        self.bind_optional(arrays);
        for id in self.columns.signals() {
            if id == ODOMETER {
                arrays.add(SIGNALS[id.index()].name, PLAIN, |one| one.reading.odometer_m);
            } else {
                arrays.add(SIGNALS[id.index()].name, PLAIN, |one| one.reading.signals.get(id));
            }
        }
    }

    fn bind_optional(&self, arrays: &mut Arrays<'_>) {
        let wants = |columns: u32| self.columns.wants(columns);
        let position = |one: &Assessment| one.reading.position;
        if wants(TIMING) {
            arrays.add("timing", PLAIN, |one| (one.timing != Timing::InOrder).then(|| one.timing.code()));
        }
        if wants(BOOT_ID) {
            arrays.add("boot_id", PLAIN, |one| one.reading.boot_id.map(u64::cast_signed));
        }
        if wants(SEQUENCE) {
            arrays.add("sequence", PLAIN, |one| one.reading.sequence.map(u64::cast_signed));
        }
        if wants(IGNITION) {
            arrays.add("ignition", PLAIN, |one| one.reading.ignition.map(Ignition::code));
        }
        if wants(POSITION) {
            arrays.add("latitude", PLAIN, |one| one.reading.position.as_ref().map(Position::latitude));
            arrays.add("longitude", PLAIN, |one| one.reading.position.as_ref().map(Position::longitude));
        }
        if wants(ALTITUDE) {
            arrays.add("altitude_m", PLAIN, |one| position(one).and_then(|position| position.altitude_m));
        }
        if wants(HEADING) {
            arrays.add("heading_deg", PLAIN, |one| position(one).and_then(|position| position.heading_deg));
        }
        if wants(ACCURACY) {
            arrays.add("accuracy_m", PLAIN, |one| position(one).and_then(|position| position.accuracy_m));
        }
        if wants(DTCS) {
            arrays.add("dtcs", JSON, json_columns::dtcs);
        }
        if wants(EXTRAS) {
            arrays.add("extras", JSON, |one| json_columns::extras(one, self.table));
        }
        if wants(REJECTED) {
            arrays.add("rejected", JSON, json_columns::rejected);
        }
        if wants(SCORES) {
            arrays.add("score", PLAIN, Assessment::score);
            arrays.add("scores", JSON, |one| json_columns::scores(one, |score| self.known.model_version(score)));
        }
        if wants(NOT_SCORED) {
            arrays.add("not_scored", PLAIN, |one| one.not_scored.map(NotScored::code));
        }
        if wants(FINDINGS) {
            arrays.add("findings", JSON, json_columns::findings);
        }
        if wants(QUALITY) {
            arrays.add("quality", JSON, json_columns::quality);
        }
        if wants(LOST_BEFORE_US) {
            arrays.add("lost_before_us", PLAIN, |one| (one.lost_before_us > 0).then(|| one.lost_before_us.cast_signed()));
        }
    }
}

/// How a column is written in the select list, behind its name.
const PLAIN: &str = "";
/// It comes as text.
const JSON: &str = "::jsonb";

struct Arrays<'a> {
    rows: &'a [&'a Assessment],
    columns: Vec<(&'static str, &'static str)>,
    values: PgArguments,
}

impl Arrays<'_> {
    fn add<T>(&mut self, column: &'static str, cast: &'static str, value: impl Fn(&Assessment) -> T)
    where
        Vec<T>: for<'t> Encode<'t, Postgres> + Type<Postgres>,
    {
        let array: Vec<T> = self.rows.iter().map(|one| value(one)).collect();
        self.values.add(array).expect("a batch is far below the 2^31 bytes of a message");
        self.columns.push((column, cast));
    }

    fn statement(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let values = self.columns.iter().map(|(name, cast)| format!("{name}{cast}")).collect::<Vec<_>>().join(", ");
        let arrays = (1..=self.columns.len()).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
        format!("insert into readings ({names}) select {values} from unnest({arrays}) as new ({names}) on conflict do nothing")
    }
}

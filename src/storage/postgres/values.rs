//! Values on their way to PostgreSQL and back: times as `timestamptz`, and a row value by value.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Row, Type, TypeInfo};

use crate::domain::Timestamp;
use crate::storage::error::{ArchiveError, database_error};
use crate::storage::row::Cells;

/// A time as PostgreSQL has it, to the microsecond. The ends of time are its infinities.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Timestamp);

/// 2000-01-01T00:00:00Z, where its time begins, in microseconds since 1970.
const ITS_EPOCH: i64 = 946_684_800_000_000;
/// Of the types that are built in (`pg_type.dat`), the same in every server.
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }

    fn compatible(info: &PgTypeInfo) -> bool {
        info.oid() == Some(TIMESTAMPTZ) || info.name() == "TIMESTAMPTZ"
    }
}

impl PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = match self.0.as_micros() {
            i64::MAX => i64::MAX,
            micros => micros.saturating_sub(ITS_EPOCH),
        };
        Encode::<Postgres>::encode(micros, buffer)
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros: i64 = Decode::<Postgres>::decode(value)?;
        Ok(Self(Timestamp::from_micros(micros.saturating_add(ITS_EPOCH))))
    }
}

/// A row, value by value.
pub struct PostgresCells<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> PostgresCells<'r> {
    #[must_use]
    pub const fn new(row: &'r PgRow) -> Self {
        Self { row, next: 0 }
    }

    pub fn take<T>(&mut self) -> Result<T, ArchiveError>
    where
        T: Decode<'r, Postgres> + Type<Postgres>,
    {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(database_error("read a row"))
    }
}

impl Cells for PostgresCells<'_> {
    /// Of either size: numbers of vehicles are `integer`, the rest is `bigint`.
    fn integer(&mut self) -> Result<Option<i64>, ArchiveError> {
        let is_small = self.row.try_get_raw(self.next).is_ok_and(|value| sqlx::ValueRef::type_info(&value).name() == "INT4");
        if is_small { Ok(self.take::<Option<i32>>()?.map(i64::from)) } else { self.take() }
    }

    fn maybe_time(&mut self) -> Result<Option<Timestamp>, ArchiveError> {
        Ok(self.take::<Option<Time>>()?.map(|time| time.0))
    }

    fn flag(&mut self) -> Result<bool, ArchiveError> {
        self.take()
    }

    fn single(&mut self) -> Result<Option<f32>, ArchiveError> {
        self.take()
    }

    fn double(&mut self) -> Result<Option<f64>, ArchiveError> {
        self.take()
    }

    fn text(&mut self) -> Result<Option<&str>, ArchiveError> {
        self.take()
    }
}

//! Long-term storage of readings and quarantined messages: the archive, and the thread that fills it from the journal.
//!
//! `archive` says what every archive does, the modules of question forms beside it what can be asked; `sqlite` and `postgres` are the two
//! there are, `address` tells which one it is.

mod address;
mod alert_rows;
mod alerts;
mod archive;
pub mod archive_writer;
pub mod backup;
mod buckets;
mod columns;
mod configurations;
#[cfg(test)]
pub(crate) mod contract;
mod error;
mod inspection;
mod json_columns;
mod postgres;
mod quarantine;
mod readings;
pub mod retention;
mod row;
mod sqlite;
pub mod summaries;
mod summary;
mod vehicle_records;
mod vehicle_register;

pub use address::{ArchiveAddress, open, open_existing};
pub use alerts::{AlertArchive, AlertCursor, AlertHistory, AlertsPage, AlertsQuery};
pub use archive::{Archive, ArchiveRecord, ArchiveStore, SharedArchive, SharedStore, Stored};
pub use buckets::{Bucket, BucketCursor, BucketLength, BucketsPage, BucketsQuery};
pub use configurations::{ConfigurationArchive, StoredConfiguration};
pub use error::{ArchiveError, RemoteFailure};
pub use inspection::{ArchiveInspection, ServerInspection, inspect};
pub use postgres::{PostgresArchive, newest_schema as postgres_schema};
pub use quarantine::{ExportedPayload, QuarantineArchive, QuarantineCursor, QuarantinePage, QuarantineQuery, QuarantinedMessage};
pub use readings::{ReadingArchive, ReadingCursor, ReadingsPage, ReadingsQuery, Walk};
#[cfg(test)]
pub(crate) use sqlite::tests::Folder;
pub use sqlite::{SqliteArchive, newest_schema as sqlite_schema};
pub use summary::{SignalSummary, Summary};
pub use vehicle_records::VehicleArchive;
pub use vehicle_register::{CsvError, MAX_REGISTERED, RegisterError, VehicleRegister, read_vehicles_csv};

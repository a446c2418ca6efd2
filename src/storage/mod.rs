//! Long-term storage of readings and quarantined messages: the archive, and the thread that fills it from the journal.

pub mod archive_writer;
mod error;
pub mod retention;
mod sqlite;
mod vehicle_register;

pub use error::ArchiveError;
pub use sqlite::{
    AlertCursor, AlertHistory, AlertsPage, AlertsQuery, ArchiveInspection, ArchiveRecord, ExportedPayload, QuarantineCursor,
    QuarantinePage, QuarantineQuery, QuarantinedMessage, ReadingCursor, ReadingsPage, ReadingsQuery, SqliteArchive, Stored,
    StoredConfiguration, Walk, file_of, inspect,
};
pub use vehicle_register::{CsvError, RegisterError, VehicleRegister, read_vehicles_csv};

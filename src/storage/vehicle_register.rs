//! The records of all registered vehicles, in memory for whoever needs one at once, and in the archive for good.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use super::{ArchiveError, SharedArchive};
use crate::domain::{Class, Label, Timestamp, VehicleId, VehicleIdError, VehicleRecord, VehicleRecordError};
use crate::tasks::Stop;

/// About 200 bytes each.
pub const MAX_REGISTERED: usize = 1_000_000;
/// How late others hear of a change.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);
/// Pauses this many times as long as loading took: a million records are 200 MB, and somebody may register one vehicle after another.
const PAUSE_PER_LOAD: u32 = 4;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct VehicleRegister {
    archive: SharedArchive,
    records: Arc<RwLock<HashMap<VehicleId, Arc<VehicleRecord>>>>,
    generation: Arc<AtomicU64>,
    /// What the archive called the records that were loaded last.
    loaded: Arc<Mutex<Option<u64>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("{0} vehicles are too many; at most {MAX_REGISTERED} can be registered")]
    Full(usize),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Why a file of vehicles is refused, as a whole; the line is that of the file, the header being line 1.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    #[error("no column `vehicle_id`; the first line names the columns: {COLUMN_NAMES}")]
    NoId,
    #[error("column {name:?} is unknown; there are {COLUMN_NAMES}")]
    Column { name: String },
    #[error("line {line}: {source}")]
    Id { line: u64, source: VehicleIdError },
    #[error("line {line}: {id} was on an earlier line already")]
    Twice { line: u64, id: VehicleId },
    #[error("line {line}: {source}")]
    Record { line: u64, source: VehicleRecordError },
    #[error("line {line}: {name} is {value:?}, which is no number")]
    Number { line: u64, name: &'static str, value: String },
    #[error(transparent)]
    Csv(#[from] csv::Error),
}

const COLUMN_NAMES: &str = "vehicle_id, class, powertrain, groups (separated by ;), tank_l, battery_kwh, make";
const COLUMNS: [&str; 7] = ["vehicle_id", "class", "powertrain", "groups", "tank_l", "battery_kwh", "make"];

impl VehicleRegister {
    /// # Errors
    /// Where the archive does not answer.
    pub async fn open(archive: SharedArchive) -> Result<Self, ArchiveError> {
        let register = Self::empty(archive);
        register.load().await?;
        Ok(register)
    }

    /// As long as the archive could not be asked.
    #[must_use]
    pub fn empty(archive: SharedArchive) -> Self {
        Self { archive, records: Arc::default(), generation: Arc::default(), loaded: Arc::default() }
    }

    /// Takes in all that are registered.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn load(&self) -> Result<(), ArchiveError> {
        // Asked first: what changes in between is loaded again.
        let generation = self.archive.register_generation().await.ok();
        let records = self.archive.registered_vehicles().await?;
        *self.loaded.lock().expect("no holder panics") = generation;
        self.take(records);
        Ok(())
    }

    /// Loads what others registered, seconds later, until it is time to stop.
    pub async fn follow(self, mut stop: Stop) {
        let mut pause = FOLLOW_EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.requested() => return,
            }
            let started = Instant::now();
            let followed = tokio::select! {
                followed = self.load_if_changed() => followed,
                () = stop.requested() => return,
            };
            if let Err(error) = followed {
                // That the archive is away is said by others.
                tracing::debug!(%error, "could not ask for changes of the register");
            }
            pause = FOLLOW_EVERY.max(started.elapsed() * PAUSE_PER_LOAD);
        }
    }

    async fn load_if_changed(&self) -> Result<(), ArchiveError> {
        let generation = self.archive.register_generation().await?;
        let is_loaded = *self.loaded.lock().expect("no holder panics") == Some(generation);
        if is_loaded { Ok(()) } else { self.load().await }
    }

    fn take(&self, records: Vec<(VehicleId, VehicleRecord)>) {
        let mut known = self.records.write().expect("no holder panics");
        let mut has_changed = false;
        for (id, record) in records {
            if known.get(&id).is_none_or(|known| **known != record) {
                known.insert(id, Arc::new(record));
                has_changed = true;
            }
        }
        drop(known);
        if has_changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// `None`: nobody registered it.
    #[must_use]
    pub fn get(&self, id: &VehicleId) -> Option<Arc<VehicleRecord>> {
        self.records.read().expect("no holder panics").get(id).cloned()
    }

    #[must_use]
    pub fn is_registered(&self, id: &VehicleId) -> bool {
        self.records.read().expect("no holder panics").contains_key(id)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.records.read().expect("no holder panics").len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Registers all of them or, with an error, none. Returns how many are new.
    ///
    /// # Errors
    /// Where the archive does not take them, or there are too many.
    pub async fn put(&self, records: Vec<(VehicleId, VehicleRecord)>, at: Timestamp) -> Result<usize, RegisterError> {
        let fresh = records.iter().filter(|(id, _)| !self.is_registered(id)).count();
        let after = self.len() + fresh;
        if after > MAX_REGISTERED {
            return Err(RegisterError::Full(after));
        }
        self.archive.put_vehicles(&records, at).await?;
        self.take(records);
        Ok(fresh)
    }

    /// Rises with every change.
    #[must_use]
    pub fn generation(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.generation)
    }
}

/// Reads vehicles from CSV with a header; only `vehicle_id` must be there, an empty cell says nothing.
///
/// # Errors
/// Where any line is wrong: nothing of the file is then to be used.
pub fn read_vehicles_csv(file: &[u8]) -> Result<Vec<(VehicleId, VehicleRecord)>, CsvError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header = reader.headers()?.clone();
    if let Some(name) = header.iter().find(|name| !COLUMNS.contains(name)) {
        return Err(CsvError::Column { name: name.to_owned() });
    }
    if !header.iter().any(|name| name == "vehicle_id") {
        return Err(CsvError::NoId);
    }
    let mut records = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = Cells { header: &header, row: &row, line };
        let id = VehicleId::new(cells.get("vehicle_id").unwrap_or_default()).map_err(|source| CsvError::Id { line, source })?;
        if !seen.insert(id.clone()) {
            return Err(CsvError::Twice { line, id });
        }
        records.push((id, cells.record()?));
    }
    Ok(records)
}

struct Cells<'a> {
    header: &'a csv::StringRecord,
    row: &'a csv::StringRecord,
    line: u64,
}

impl Cells<'_> {
    /// `None` where the cell is empty or there is no such column.
    fn get(&self, name: &str) -> Option<&str> {
        let index = self.header.iter().position(|known| known == name)?;
        self.row.get(index).filter(|cell| !cell.is_empty())
    }

    fn record(&self) -> Result<VehicleRecord, CsvError> {
        let wrong = |source| CsvError::Record { line: self.line, source };
        let label = |name| self.get(name).map(Label::new).transpose().map_err(wrong);
        let groups = self.get("groups").unwrap_or_default().split(';').map(str::trim).filter(|group| !group.is_empty());
        let record = VehicleRecord {
            class: label("class")?.map_or_else(Class::default, Class::new),
            powertrain: label("powertrain")?,
            groups: groups.map(Label::new).collect::<Result<_, _>>().map_err(wrong)?,
            tank_l: self.number("tank_l")?,
            battery_kwh: self.number("battery_kwh")?,
            make: self.get("make").map(str::to_owned),
        };
        record.checked().map_err(wrong)
    }

    fn number(&self, name: &'static str) -> Result<Option<f64>, CsvError> {
        let wrong = |value: &str| CsvError::Number { line: self.line, name, value: value.to_owned() };
        self.get(name).map(|value| value.parse().map_err(|_| wrong(value))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_refused_with_the_line_and_what_is_wrong() {
        for (file, expected) in [
            ("class\nvan\n", "no column `vehicle_id`"),
            ("vehicle_id,colour\na,red\n", "column \"colour\" is unknown"),
            ("vehicle_id\na\na b\n", "line 3: a vehicle id consists of"),
            ("vehicle_id\na\nb\na\n", "line 4: a was on an earlier line"),
            ("vehicle_id,tank_l\na,many\n", "line 2: tank_l is \"many\""),
            ("vehicle_id,tank_l\na,-1\n", "line 2: tank_l is -1"),
            ("vehicle_id,class\na,heavy truck\n", "line 2: \"heavy truck\" is no label"),
            ("vehicle_id,class\na\n", "record 1"),
        ] {
            let error = read_vehicles_csv(file.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{file:?}: {error}");
        }
    }
}

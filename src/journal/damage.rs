//! The damaged places of the journal that were found, and the alert about them that a person has to acknowledge: kept in a small file of its
//! own, so that each place is told of once, over restarts too. Repairs nothing, and sends nothing: `alerts::journal_damage`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::disk::Disk;
use super::error::{JournalError, disk_error};
use super::frame::FORMAT_VERSION;
use super::scan::Damage;
use crate::clock;
use crate::domain::Timestamp;

const FILE: &str = "damage.json";
const TEMPORARY: &str = "damage.temporary";

/// Places that are known, so that none is told of twice. Full: the oldest is forgotten, and would be told of again.
const KNOWN_MAX: usize = 4_096;
/// Places that the alert names; it counts all of them. Full: the oldest goes.
const NAMED_MAX: usize = 16;

/// Bytes of a file of the journal that are not what was written there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DamagedPlace {
    /// In the folder of the journal: a segment, or the saved states of vehicles.
    pub file: String,
    /// In the file.
    pub offset: u64,
    pub bytes: u64,
    /// Records that stood there; null where not even their lengths can be read.
    pub frames: Option<u64>,
    pub found_at: Timestamp,
}

/// One for all places that are found until somebody acknowledges it; the next place opens another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DamageAlert {
    pub opened_at: Timestamp,
    /// When the last place was found.
    pub last_seen_at: Timestamp,
    /// Places.
    pub count: u64,
    /// Records that stood there, at least.
    pub frames_at_least: u64,
    /// The last ones, oldest first.
    pub places: Vec<DamagedPlace>,
    pub acknowledged_at: Option<Timestamp>,
    pub acknowledged_by: Option<String>,
    pub note: Option<String>,
    /// Rises with every change that is on disk.
    pub revision: u32,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    version: u8,
    /// File and offset, oldest first; only of files that were there at the last start.
    known: Vec<(String, u64)>,
    alert: Option<DamageAlert>,
    /// How many revisions of the alert were handed on.
    told: u32,
}

#[derive(Debug)]
pub struct DamageLog {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    state: Mutex<State>,
    /// Changes with every place that is found, and with every acknowledgement.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    kept: Kept,
    known: BTreeSet<(String, u64)>,
    /// The alert has changed since it was written.
    is_dirty: bool,
    /// Places that were new to this process.
    met: u64,
}

impl DamagedPlace {
    pub(super) fn new(path: &Path, damage: Damage, frames: Option<u64>) -> Self {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = damage.written_to.max(damage.from + 1) - damage.from;
        Self { file, offset: damage.from, bytes, frames, found_at: clock::now() }
    }
}

impl DamageAlert {
    /// Somebody has to look at it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.acknowledged_at.is_none()
    }

    /// For people: how much, and where.
    #[must_use]
    pub fn summary(&self) -> String {
        let place = |place: &DamagedPlace| format!("{} at {} ({} bytes)", place.file, place.offset, place.bytes);
        let last = self.places.last().map(place).unwrap_or_default();
        let places = if self.count == 1 { "place" } else { "places" };
        let and_last = if self.count == 1 { "" } else { "the last in " };
        let records = match self.frames_at_least {
            1 => "one acknowledged record".to_owned(),
            records => format!("{records} acknowledged records"),
        };
        format!(
            "{} damaged {places} in the journal, {and_last}{last}: the disk gave back other bytes than were written. At least {records} \
             may be lost; all others were recovered",
            self.count
        )
    }

    fn opened_by(place: &DamagedPlace) -> Self {
        Self {
            opened_at: place.found_at,
            last_seen_at: place.found_at,
            count: 0,
            frames_at_least: 0,
            places: Vec::new(),
            acknowledged_at: None,
            acknowledged_by: None,
            note: None,
            revision: 0,
        }
    }

    fn add(&mut self, place: DamagedPlace) {
        self.last_seen_at = place.found_at;
        self.count += 1;
        // A place is never empty.
        self.frames_at_least += place.frames.unwrap_or(1);
        if self.places.len() == NAMED_MAX {
            self.places.remove(0);
        }
        self.places.push(place);
    }
}

impl DamageLog {
    /// # Errors
    /// Where the disk cannot be read, or a newer version wrote the file.
    pub fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<Self, JournalError> {
        let mut kept = read(&*disk, directory)?;
        let names: BTreeSet<String> = disk.list(directory).map_err(disk_error("list", directory))?.into_iter().collect();
        kept.known.retain(|(file, _)| names.contains(file));
        let state = State { known: kept.known.iter().cloned().collect(), kept, is_dirty: false, met: 0 };
        report(&state.kept);
        Ok(Self { disk, directory: directory.to_owned(), state: Mutex::new(state), changed: watch::Sender::new(0) })
    }

    /// Takes each place once, however many readers meet it, and over how many restarts. Does not touch the disk.
    pub fn found(&self, place: DamagedPlace) {
        let mut state = self.locked();
        let key = (place.file.clone(), place.offset);
        if !state.known.insert(key.clone()) {
            return;
        }
        ::metrics::counter!(crate::metrics::JOURNAL_BAD_FRAMES).increment(place.frames.unwrap_or(1));
        let DamagedPlace { file, offset, bytes, frames, .. } = &place;
        tracing::error!(file, offset, bytes, frames, "the journal is damaged here; went on with the next valid frame");
        state.kept.known.push(key);
        if state.kept.known.len() > KNOWN_MAX {
            let oldest = state.kept.known.remove(0);
            state.known.remove(&oldest);
        }
        if state.kept.alert.as_ref().is_none_or(|alert| !alert.is_open()) {
            (state.kept.alert, state.kept.told) = (Some(DamageAlert::opened_by(&place)), 0);
        }
        state.kept.alert.as_mut().expect("just opened").add(place);
        (state.is_dirty, state.met) = (true, state.met + 1);
        report(&state.kept);
        drop(state);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Writes what was found, if anything. Until then the alert is not handed on.
    ///
    /// # Errors
    /// Where the disk is full or fails; what was found is kept in memory, for another try.
    pub fn save(&self) -> Result<(), JournalError> {
        let mut state = self.locked();
        if !state.is_dirty {
            return Ok(());
        }
        let mut next = state.kept.clone();
        if let Some(alert) = &mut next.alert {
            alert.revision += 1;
        }
        self.write(&next)?;
        (state.kept, state.is_dirty) = (next, false);
        Ok(())
    }

    /// A person has seen it. `None`: there is nothing to acknowledge. Durable once this returns.
    ///
    /// # Errors
    /// Where the disk is full or fails; nothing has changed then.
    pub fn acknowledge(&self, by: &str, note: Option<&str>) -> Result<Option<DamageAlert>, JournalError> {
        let mut state = self.locked();
        let mut next = state.kept.clone();
        let Some(alert) = next.alert.as_mut().filter(|alert| alert.is_open()) else { return Ok(None) };
        (alert.acknowledged_at, alert.acknowledged_by) = (Some(clock::now()), Some(by.to_owned()));
        alert.note = note.map(str::to_owned);
        alert.revision += 1;
        let acknowledged = alert.clone();
        self.write(&next)?;
        (state.kept, state.is_dirty) = (next, false);
        report(&state.kept);
        drop(state);
        self.changed.send_modify(|changes| *changes += 1);
        Ok(Some(acknowledged))
    }

    /// As it is on disk, if nobody was told of this revision yet: the same revision is the same text, however often it is asked for.
    pub fn untold(&self) -> Option<DamageAlert> {
        let state = self.locked();
        let told = state.kept.told;
        state.kept.alert.clone().filter(|alert| !state.is_dirty && alert.revision > told)
    }

    /// It will not be asked for again.
    ///
    /// # Errors
    /// Where the disk is full or fails; then it is told of once more.
    pub fn told(&self, revision: u32) -> Result<(), JournalError> {
        let mut state = self.locked();
        let mut next = state.kept.clone();
        next.told = revision.max(next.told);
        // What was found meanwhile is written with its revision, and not under this one.
        if !state.is_dirty {
            self.write(&next)?;
        }
        state.kept = next;
        Ok(())
    }

    pub fn alert(&self) -> Option<DamageAlert> {
        self.locked().kept.alert.clone()
    }

    /// Places that were new to this process.
    pub fn met(&self) -> u64 {
        self.locked().met
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Under another name first: a crash leaves either what was there or what is new.
    fn write(&self, kept: &Kept) -> Result<(), JournalError> {
        let json = serde_json::to_vec(kept).expect("texts and numbers are JSON");
        let mut bytes = format!("{:08x}\n", crc32c::crc32c(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        let (path, temporary) = (self.directory.join(FILE), self.directory.join(TEMPORARY));
        let file = self.disk.create(&temporary).map_err(disk_error("create", &temporary))?;
        file.write_all_at(&bytes, 0).and_then(|()| file.sync()).map_err(disk_error("write", &temporary))?;
        self.disk.rename(&temporary, &path).map_err(disk_error("rename", &temporary))?;
        self.disk.sync_directory(&self.directory).map_err(disk_error("sync", &self.directory))
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// What the file in this folder says, for whoever looks from outside. Changes nothing.
///
/// # Errors
/// Where the file cannot be read, or a newer version wrote it.
pub fn alert_in(directory: &Path) -> Result<Option<DamageAlert>, JournalError> {
    let path = directory.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(decode(&bytes, &path)?.alert),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk_error("read", &path)(error)),
    }
}

fn read(disk: &dyn Disk, directory: &Path) -> Result<Kept, JournalError> {
    let path = directory.join(FILE);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(disk_error("open", &path)(error)),
    };
    let length = file.bytes().map_err(disk_error("read", &path))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_at(&mut bytes, 0).map_err(disk_error("read", &path))?;
    decode(&bytes, &path)
}

/// A file that is damaged itself tells of nothing: places that are still there are found, and told of, once more.
fn decode(bytes: &[u8], path: &Path) -> Result<Kept, JournalError> {
    let (checksum, json) = bytes.split_at_checked(9).unwrap_or_default();
    let is_intact = checksum == format!("{:08x}\n", crc32c::crc32c(json)).as_bytes();
    let found = serde_json::from_slice::<Version>(json).ok().filter(|_| is_intact).map(|found| found.version);
    if let Some(found) = found.filter(|found| *found > FORMAT_VERSION) {
        return Err(JournalError::Newer { path: path.to_owned(), found, supported: FORMAT_VERSION });
    }
    let kept = found.and_then(|_| serde_json::from_slice(json).ok());
    if kept.is_none() {
        tracing::error!(path = %path.display(), "the list of damaged places is damaged itself and begins anew");
    }
    Ok(kept.unwrap_or_default())
}

#[derive(Deserialize)]
struct Version {
    version: u8,
}

impl Default for Kept {
    fn default() -> Self {
        Self { version: FORMAT_VERSION, known: Vec::new(), alert: None, told: 0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is for looking at")]
fn report(kept: &Kept) {
    let open = kept.alert.as_ref().filter(|alert| alert.is_open()).map_or(0, |alert| alert.count);
    ::metrics::gauge!(crate::metrics::JOURNAL_DAMAGED_PLACES).set(open as f64);
}

//! A disk in memory that keeps, over a power cut, what was synced and a random part of the rest. It can also be full, fail, and
//! flip bits. For tests.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::{Rng, RngExt};

use super::disk::{Disk, DiskFile};

/// A power cut tears a write at these.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    /// Names as a running process sees them, and as a power cut leaves them.
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    faults: Faults,
    /// By name of file.
    syncs: BTreeMap<String, u64>,
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync: offset and bytes.
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// All off by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// All files together may be this long.
    pub room_bytes: Option<usize>,
    /// Writes into files whose name contains this find no room.
    pub no_room_for: Option<&'static str>,
    /// Syncs of files whose name contains this fail, once so many have passed.
    pub sync_fails: Option<(&'static str, u64)>,
    /// Writes into files whose name contains this fail.
    pub write_fails: Option<&'static str>,
}

impl SimulatedDisk {
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    pub fn syncs_of(&self, path: &Path) -> u64 {
        self.state().syncs.get(path.file_name().unwrap().to_str().unwrap()).copied().unwrap_or(0)
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
    }

    /// What a machine finds that is switched on again. This disk goes on as if nothing had happened.
    pub fn after_power_cut(&self, random: &mut impl Rng) -> Self {
        let state = self.state();
        let names = if random.random() { &state.names } else { &state.synced_names };
        let inodes = state.inodes.iter().map(|inode| {
            let mut bytes = inode.synced.clone();
            for (offset, written) in &inode.unsynced {
                for (sector, part) in written.chunks(SECTOR_BYTES).enumerate() {
                    let kept = [0, part.len(), random.random_range(0..=part.len())][random.random_range(0..3)];
                    put(&mut bytes, offset + sector * SECTOR_BYTES, &part[..kept]);
                }
            }
            Inode { synced: bytes.clone(), bytes, unsynced: Vec::new() }
        });
        let inodes = inodes.collect();
        let (names, synced_names) = (names.clone(), names.clone());
        Self(Arc::new(Mutex::new(State { inodes, names, synced_names, ..State::default() })))
    }

    /// The same disk with only the first `kept_bytes` of the newest unsynced write to a file.
    pub fn torn(&self, path: &Path, kept_bytes: usize) -> Self {
        let mut state = self.state().clone();
        state.faults = Faults::default();
        let inode = state.names[path];
        let (offset, written) = state.inodes[inode].unsynced.last().expect("something was written").clone();
        let mut bytes = state.inodes[inode].synced.clone();
        put(&mut bytes, offset, &written[..kept_bytes]);
        state.inodes[inode] = Inode { synced: bytes.clone(), bytes, unsynced: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn newest_unsynced_bytes(&self, path: &Path) -> usize {
        let state = self.state();
        state.inodes[state.names[path]].unsynced.last().map_or(0, |(_, written)| written.len())
    }

    pub fn contents(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[path]].bytes.clone()
    }

    pub fn flip_bit(&self, path: &Path, bit: usize) {
        let mut state = self.state();
        let inode = state.names[path];
        state.inodes[inode].bytes[bit / 8] ^= 1 << (bit % 8);
        state.inodes[inode].synced = state.inodes[inode].bytes.clone();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    if bytes.len() < offset + part.len() {
        bytes.resize(offset + part.len(), 0);
    }
    bytes[offset..offset + part.len()].copy_from_slice(part);
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

impl Disk for SimulatedDisk {
    fn create_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(path.to_owned(), inode);
        drop(state);
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = *self.state().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok(Arc::new(SimulatedFile { disk: self.clone(), inode, name }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.state().names.remove(path);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.synced_names = state.names.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
    name: String,
}

impl SimulatedFile {
    /// Makes the file at least this long, if there is room.
    fn grow(&self, state: &mut State, bytes: usize) -> io::Result<()> {
        let length = state.inodes[self.inode].bytes.len();
        let used: usize = state.names.values().map(|inode| state.inodes[*inode].bytes.len()).sum();
        let growth = bytes.saturating_sub(length);
        if growth > 0 && state.faults.room_bytes.is_some_and(|room| used + growth > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inodes[self.inode].bytes.resize(bytes.max(length), 0);
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let rest = state.inodes[self.inode].bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let offset = usize::try_from(offset).unwrap();
        if state.faults.write_fails.is_some_and(|part| self.name.contains(part)) {
            return Err(io::Error::other("injected: EIO on write"));
        }
        if state.faults.no_room_for.is_some_and(|part| self.name.contains(part)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.grow(&mut state, offset + bytes.len())?;
        let inode = &mut state.inodes[self.inode];
        put(&mut inode.bytes, offset, bytes);
        inode.unsynced.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        self.grow(&mut state, usize::try_from(bytes).unwrap())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.inodes[self.inode].bytes.truncate(usize::try_from(bytes).unwrap());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if let Some((part, left)) = &mut state.faults.sync_fails
            && self.name.contains(*part)
        {
            if *left == 0 {
                return Err(io::Error::other("injected: EIO on sync"));
            }
            *left -= 1;
        }
        *state.syncs.entry(self.name.clone()).or_default() += 1;
        let inode = &mut state.inodes[self.inode];
        inode.synced = inode.bytes.clone();
        inode.unsynced.clear();
        Ok(())
    }
}

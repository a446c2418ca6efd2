//! What was acknowledged, so that it can be compared with what is stored. Kept by the sender, away from the service.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

/// One acknowledged reading: `recorded_at` rises strictly per vehicle, so the two name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub vehicle: u32,
    pub recorded_at_micros: i64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// In the order of the PUBACKs.
    pub entries: Vec<Entry>,
}

/// Name of a vehicle of the load.
#[must_use]
pub fn vehicle_id(vehicle: u32) -> String {
    format!("bench-{vehicle:05}")
}

impl Ledger {
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for entry in &self.entries {
            file.write_all(&entry.vehicle.to_le_bytes())?;
            file.write_all(&entry.recorded_at_micros.to_le_bytes())?;
        }
        file.flush()
    }

    pub fn read(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let count = usize::try_from(file.metadata()?.len()).unwrap_or(0) / 12;
        let mut file = BufReader::new(file);
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let (mut vehicle, mut recorded_at) = ([0; 4], [0; 8]);
            file.read_exact(&mut vehicle)?;
            file.read_exact(&mut recorded_at)?;
            let recorded_at_micros = i64::from_le_bytes(recorded_at);
            entries.push(Entry { vehicle: u32::from_le_bytes(vehicle), recorded_at_micros });
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_read_back_is_the_ledger_written() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger {
            entries: (0..1_000).map(|number| Entry { vehicle: number, recorded_at_micros: -i64::from(number) }).collect(),
        };
        ledger.write(&folder.path().join("ledger")).unwrap();
        assert_eq!(Ledger::read(&folder.path().join("ledger")).unwrap(), ledger);
    }
}

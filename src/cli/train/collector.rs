//! Which readings of a history a model may learn from: features by the lane's own code, the gate of the contract, and only healthy
//! vehicles. Fits nothing: `odograph_training`.

use std::collections::{BTreeMap, HashMap};

use odograph_training::{Day, History};
use sha2::{Digest, Sha256};

use super::labels::Illnesses;
use super::source::Step;
use crate::analytics::blueprint::Records;
use crate::analytics::contract::Selector;
use crate::analytics::rows::FeatureRows;
use crate::cli::replay::report_refused;
use crate::configuration::hex;
use crate::domain::{Reading, VehicleId};

/// Readings that are asked which of the default features a fleet has.
const MOST_ASKED: u64 = 200_000;

/// Takes readings in the order of their arrival, and keeps the rows of those that may be learnt from.
pub struct Collector {
    pub rows: FeatureRows,
    pub history: History,
    pub illnesses: Illnesses,
    pub selector: Selector,
    pub records: Records,
    pub readings: u64,
    /// Of the rows that were kept of each file, or of the archive.
    pub sha256: Vec<String>,
    digest: Sha256,
    numbers: HashMap<VehicleId, usize>,
    left_out: LeftOut,
}

/// Readings by the reason why nothing is learnt from them.
pub type LeftOut = BTreeMap<&'static str, u64>;

impl Collector {
    pub fn new(rows: FeatureRows, history: History) -> Self {
        Self {
            rows,
            history,
            illnesses: Illnesses::default(),
            selector: Selector::default(),
            records: Records::default(),
            readings: 0,
            sha256: Vec::new(),
            digest: Sha256::new(),
            numbers: HashMap::new(),
            left_out: LeftOut::new(),
        }
    }

    pub fn take(&mut self, step: &Step<'_>) {
        match step {
            Step::Reading { reading, is_faulty } => self.take_reading(reading, *is_faulty),
            Step::EndOfFile(path, counts) => {
                report_refused(path, counts);
                let digest = std::mem::take(&mut self.digest).finalize();
                self.sha256.push(hex(&digest));
            }
        }
    }

    fn take_reading(&mut self, reading: &Reading, is_faulty: bool) {
        self.readings += 1;
        if !self.selector.selects((self.records.of)(&reading.vehicle_id).as_deref()) {
            *self.left_out.entry("not_applicable").or_default() += 1;
            return;
        }
        // Its window goes on whatever is learnt from it.
        let row = self.rows.row(reading);
        let is_ill = self.illnesses.holds(&reading.vehicle_id, reading.recorded_at, is_faulty);
        let Some(row) = row else { return };
        if is_ill {
            *self.left_out.entry("not_healthy").or_default() += 1;
            return;
        }
        let next = self.numbers.len();
        let vehicle = match self.numbers.get(&reading.vehicle_id) {
            Some(number) => *number,
            None => *self.numbers.entry(reading.vehicle_id.clone()).or_insert(next),
        };
        let recorded_at_micros = reading.recorded_at.as_micros();
        self.digest.update(reading.vehicle_id.as_str());
        self.digest.update(recorded_at_micros.to_le_bytes());
        for value in row {
            // A missing value has one form, whatever arithmetic it came from.
            self.digest.update(if value.is_nan() { f32::NAN } else { *value }.to_le_bytes());
        }
        self.history.push(Day { vehicle, recorded_at_micros }, row);
    }

    pub fn left_out(&self) -> LeftOut {
        let mut all = self.left_out.clone();
        all.extend(self.rows.not_admitted());
        if self.rows.duplicates() > 0 {
            all.insert("duplicate", self.rows.duplicates());
        }
        all
    }
}

/// Which features a fleet has, as far as a part of its history shows: those that are there in some row with half of them.
pub struct Presence {
    rows: FeatureRows,
    seen: Vec<bool>,
    asked: u64,
}

impl Presence {
    pub fn new(rows: FeatureRows, features: usize) -> Self {
        Self { rows, seen: vec![false; features], asked: 0 }
    }

    /// Whether enough was seen.
    pub fn take(&mut self, reading: &Reading) -> bool {
        self.asked += 1;
        if let Some(row) = self.rows.row(reading) {
            let present = row.iter().filter(|value| !value.is_nan()).count();
            if 2 * present >= row.len() {
                self.seen.iter_mut().zip(row).for_each(|(seen, value)| *seen |= !value.is_nan());
            }
        }
        self.asked == MOST_ASKED || self.seen.iter().all(|seen| *seen)
    }

    pub fn seen(self) -> Vec<bool> {
        self.seen
    }
}

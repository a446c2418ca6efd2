//! Where the history of a fleet comes from and which of its readings a model may learn from: features by the lane's own code, the gate of
//! the contract, and only healthy vehicles. Fits nothing: `odograph_training`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use odograph_training::{Day, History};
use sha2::{Digest, Sha256};

use super::labels::Illnesses;
use crate::analytics::blueprint::Records;
use crate::analytics::contract::Selector;
use crate::analytics::rows::FeatureRows;
use crate::cli::replay::report_refused;
use crate::cli::{Exit, Failure};
use crate::domain::{Reading, SignalTable, Timestamp, VehicleId};
use crate::settings::Settings;
use crate::storage::{AlertsQuery, SqliteArchive, VehicleRegister, Walk, file_of};
use crate::wire::history::{ColumnMap, HistoryReader, ReadOptions};

const PAGE: u32 = 10_000;

/// Takes readings in the order of their arrival, and keeps the rows of those that may be learnt from.
pub struct Collector {
    rows: FeatureRows,
    pub history: History,
    numbers: HashMap<VehicleId, usize>,
    pub illnesses: Illnesses,
    selector: Selector,
    records: Records,
    /// Of the rows that were kept since the last file began.
    digest: Sha256,
    pub counts: Counts,
}

/// Readings by the reason why nothing is learnt from them.
pub type LeftOut = BTreeMap<&'static str, u64>;

#[derive(Debug, Default)]
pub struct Counts {
    pub readings: u64,
    left_out: LeftOut,
    /// Of each file, or of the archive.
    pub sha256: Vec<String>,
}

impl Collector {
    pub fn new(rows: FeatureRows, history: History) -> Self {
        Self {
            rows,
            history,
            numbers: HashMap::new(),
            illnesses: Illnesses::default(),
            selector: Selector::default(),
            records: Records::default(),
            digest: Sha256::new(),
            counts: Counts::default(),
        }
    }

    /// # Errors
    /// Where a file cannot be read.
    pub fn read_file(
        &mut self,
        path: &Path,
        columns: &ColumnMap,
        (table, options): (&Arc<SignalTable>, &ReadOptions),
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let mut rows = HistoryReader::open(path, columns, Arc::clone(table), options)?;
        for row in rows.by_ref() {
            let row = row?;
            self.take(&row.reading, row.fault.is_some());
            if self.counts.readings.is_multiple_of(10_000) {
                progress(self.counts.readings);
            }
        }
        report_refused(path, rows.counts());
        self.end_of_file();
        Ok(())
    }

    /// Readings and open or confirmed alerts of an installation; only vehicles that `selector` selects.
    ///
    /// # Errors
    /// Where there is no archive, or it does not answer.
    pub async fn read_archive(
        mut self,
        settings: &Settings,
        table: &Arc<SignalTable>,
        selector: Selector,
        (from, to): (Timestamp, Timestamp),
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<Self> {
        let file = file_of(&settings.archive.url, &settings.data)?;
        let missing = || format!("there is no archive {}; name the data folder with --data", file.display());
        ensure!(file.exists(), Failure { exit: Exit::DependencyDown, message: missing() });
        let archive = SqliteArchive::open(&file, Arc::clone(table)).await?;
        let register = VehicleRegister::open(archive.clone()).await?;
        self.records.of = Arc::new(move |id| register.get(id));
        self.rows = self.rows.knowing(self.records.clone());
        self.selector = selector;
        let mut query = AlertsQuery { to: Some(to), limit: PAGE, ..AlertsQuery::default() };
        loop {
            let page = archive.alerts(&query).await?;
            page.alerts.iter().for_each(|alert| self.illnesses.add_alert(alert));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        let mut walk = Walk::new(from, to);
        loop {
            let mut page = archive.walk(&mut walk, PAGE).await?;
            if page.is_empty() {
                break;
            }
            // As they came: a walk goes vehicle by vehicle within a minute.
            page.sort_by_key(|assessment| assessment.reading.received_at);
            page.iter().for_each(|assessment| self.take(&assessment.reading, false));
            progress(self.counts.readings);
        }
        archive.close().await;
        self.end_of_file();
        Ok(self)
    }

    fn take(&mut self, reading: &Reading, fault: bool) {
        self.counts.readings += 1;
        if !self.selector.selects((self.records.of)(&reading.vehicle_id).as_deref()) {
            *self.counts.left_out.entry("not_applicable").or_default() += 1;
            return;
        }
        // Its window goes on whatever is learnt from it.
        let row = self.rows.row(reading);
        let is_ill = self.illnesses.holds(&reading.vehicle_id, reading.recorded_at, fault);
        let Some(row) = row else { return };
        if is_ill {
            *self.counts.left_out.entry("not_healthy").or_default() += 1;
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
        // A missing value has one form, whatever arithmetic it came from.
        row.iter().for_each(|value| self.digest.update(if value.is_nan() { f32::NAN } else { *value }.to_le_bytes()));
        self.history.push(Day { vehicle, recorded_at_micros }, row);
    }

    fn end_of_file(&mut self) {
        let digest = std::mem::take(&mut self.digest).finalize();
        self.counts.sha256.push(hex(&digest));
    }

    pub fn left_out(&self) -> LeftOut {
        let mut all = self.counts.left_out.clone();
        all.extend(self.rows.not_admitted());
        let duplicates = self.rows.duplicates();
        if duplicates > 0 {
            all.insert("duplicate", duplicates);
        }
        all
    }
}

pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

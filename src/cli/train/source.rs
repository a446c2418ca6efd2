//! Where the history of a fleet comes from: files, or the archive of an installation. Reads it, more than once if need be, and judges
//! nothing: `collector`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::labels::Illnesses;
use crate::analytics::blueprint::Records;
use crate::domain::{Reading, SignalTable, Timestamp};
use crate::settings::Settings;
use crate::storage::{AlertsQuery, SharedStore, VehicleRegister, Walk};
use crate::wire::history::{ColumnMap, HistoryReader, ReadOptions, RowCounts};

const PAGE: u32 = 10_000;

pub enum Source<'a> {
    Files { paths: &'a [PathBuf], columns: Box<ColumnMap>, table: Arc<SignalTable>, read: ReadOptions },
    Archive { archive: SharedStore, records: Records, from: Timestamp, to: Timestamp },
}

pub enum Step<'a> {
    /// In the order of arrival.
    Reading {
        reading: &'a Reading,
        is_faulty: bool,
    },
    EndOfFile(&'a Path, &'a RowCounts),
}

impl Source<'_> {
    /// Of the installation of these settings.
    ///
    /// # Errors
    /// Where there is no archive.
    pub async fn archive(
        settings: &Settings,
        table: &Arc<SignalTable>,
        (from, to): (Timestamp, Timestamp),
    ) -> anyhow::Result<Source<'static>> {
        let archive = crate::cli::archive(settings, Arc::clone(table)).await?;
        let register = VehicleRegister::open(archive.clone()).await?;
        let records = Records { of: Arc::new(move |id| register.get(id)), ..Records::default() };
        Ok(Source::Archive { archive, records, from, to })
    }

    /// What people say about its vehicles; files say nothing.
    pub fn records(&self) -> Records {
        match self {
            Self::Files { .. } => Records::default(),
            Self::Archive { records, .. } => records.clone(),
        }
    }

    /// What alerts say about the health of its vehicles.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn add_alerts(&self, illnesses: &mut Illnesses) -> anyhow::Result<()> {
        let Self::Archive { archive, to, .. } = self else { return Ok(()) };
        let mut query = AlertsQuery { to: Some(*to), limit: PAGE, ..AlertsQuery::default() };
        loop {
            let page = archive.alerts(&query).await?;
            for alert in &page.alerts {
                illnesses.add_alert(alert);
            }
            if page.next.is_none() {
                return Ok(());
            }
            query.after = page.next;
        }
    }

    /// Until the end, or until `take` has enough.
    ///
    /// # Errors
    /// Where a file cannot be read, or the archive does not answer.
    pub async fn read(&self, mut take: impl FnMut(Step<'_>) -> ControlFlow<()>) -> anyhow::Result<()> {
        match self {
            Self::Files { paths, columns, table, read } => {
                for path in *paths {
                    let mut rows = HistoryReader::open(path, columns, Arc::clone(table), read)?;
                    for row in rows.by_ref() {
                        let row = row?;
                        if take(Step::Reading { reading: &row.reading, is_faulty: row.fault.is_some() }).is_break() {
                            return Ok(());
                        }
                    }
                    let _goes_on = take(Step::EndOfFile(path, rows.counts()));
                }
            }
            Self::Archive { archive, from, to, .. } => {
                let mut walk = Walk::new(*from, *to);
                loop {
                    let mut page = archive.walk(&mut walk, PAGE).await?;
                    if page.is_empty() {
                        break;
                    }
                    // As they came: a walk goes vehicle by vehicle within a minute.
                    page.sort_by_key(|assessment| assessment.reading.received_at);
                    for assessment in &page {
                        if take(Step::Reading { reading: &assessment.reading, is_faulty: false }).is_break() {
                            return Ok(());
                        }
                    }
                }
                let _goes_on = take(Step::EndOfFile(Path::new("archive"), &RowCounts::default()));
            }
        }
        Ok(())
    }

    pub async fn close(self) {
        if let Self::Archive { archive, .. } = self {
            archive.close().await;
        }
    }
}

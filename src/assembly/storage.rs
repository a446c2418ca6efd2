//! The storage role: journal, archive and what fills it, live state and open alerts.

use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;

use super::redis_parts::{self, RedisPart};
use super::upkeep;
use crate::alerts::journal_damage::Teller;
use crate::alerts::{dispatcher, watcher};
use crate::analytics::lanes;
use crate::clock;
use crate::domain::{Change, SignalTable};
use crate::journal::{Journal, JournalMonitor, Reader, Recovery};
use crate::live::{AlertFeed, LiveState, OpenAlerts};
use crate::rpc::link::journal_server::StorageLinkService;
use crate::rpc::link::shown::{Shown, show_recovered};
use crate::settings::Settings;
use crate::slo::{Promise, Slo};
use crate::storage::archive_writer::{self, ArchiveHealth, ArchiveWriter};
use crate::storage::{self, ArchiveAddress, SharedStore};
use crate::tasks::Tasks;

pub(super) struct Storage {
    /// Until it is with the lanes of this process, or with the link to others.
    journal: Option<(Journal, Recovery)>,
    pub monitor: JournalMonitor,
    pub archive: SharedStore,
    pub archive_health: ArchiveHealth,
    pub shown: Shown,
    /// Until it is watched.
    changes: Option<Reader>,
}

impl Storage {
    pub async fn open(settings: &Settings, table: &Arc<SignalTable>, tasks: &Tasks) -> anyhow::Result<Self> {
        let (journal, recovery) = open_journal(settings, tasks)?;
        let monitor = journal.monitor();
        let archive = storage::open(ArchiveAddress::read(&settings.archive.url, &settings.data)?, Arc::clone(table)).await?;
        Ok(Self {
            journal: Some((journal, recovery)),
            monitor,
            archive,
            archive_health: ArchiveHealth::default(),
            shown: empty(settings, table),
            changes: None,
        })
    }

    /// What reads the journal, before anything is written to it.
    pub async fn start(
        &mut self,
        settings: &Settings,
        table: &Arc<SignalTable>,
        tasks: &Tasks,
    ) -> anyhow::Result<Vec<RedisPart>> {
        let (journal, _) = self.journal.as_ref().expect("it has just been opened");
        start_archive_writer(journal, self, table, settings, tasks)?;
        upkeep::start(&self.archive, settings.ingest.retention.duration(), tasks);
        let (degraded, outbox) = match settings.live.url.redis() {
            Some(url) => {
                let (parts, outbox) = redis_parts::start(url, journal, &self.shown.live, table, settings, tasks).await?;
                (parts, Some(outbox))
            }
            None => (Vec::new(), None),
        };
        let teller = Teller { journal: self.monitor.clone(), outbox, stop: tasks.stop() };
        tasks.spawn("journal damage", async move {
            teller.run().await;
            Ok(())
        });
        self.changes = Some(journal.reader(watcher::CURSOR)?);
        Ok(degraded)
    }

    /// To the lanes of this process.
    pub fn hand_over(&mut self) -> (Journal, Recovery, Shown) {
        let (journal, recovery) = self.journal.take().expect("lanes are started once");
        (journal, recovery, self.shown.clone())
    }

    /// To lanes in another process; until they come, live state is what the last run left.
    pub fn link(&mut self, settings: &Settings, tasks: &Tasks) -> anyhow::Result<StorageLinkService> {
        let (journal, recovery) = self.journal.take().expect("there are no lanes here");
        let service = StorageLinkService::new(&settings.data, journal, &recovery, self.shown.clone(), tasks.clone());
        let service = service.context("cannot read who has the lanes, in the data folder")?;
        show_recovered(recovery, &self.shown);
        Ok(service)
    }

    /// Open alerts follow the journal, so that nobody sees one that a power cut could take back.
    pub fn watch_alerts(&mut self, slo: &Arc<Slo>, table: &Arc<SignalTable>, tasks: &Tasks) -> anyhow::Result<()> {
        let changes = self.changes.take().expect("they are watched once");
        let (table, shown, slo, began) = (Arc::clone(table), self.shown.clone(), Arc::clone(slo), clock::now());
        tasks.spawn_thread("alert watcher", move || {
            watcher::run(changes, &table, |event| {
                // In this order: a follower who hears of a change finds it in the open alerts.
                shown.open_alerts.apply(&event);
                shown.live.touch(&event.alert.vehicle_id);
                // What the last run left is met again, and was perhaps shown then.
                let opened_at = (event.change == Change::Opened && event.at >= began).then_some(event.at);
                shown.feed.publish(event);
                if let Some(opened_at) = opened_at {
                    slo.took(Promise::Alerted, clock::now().since(opened_at), 1);
                }
            });
            Ok(())
        })?;
        Ok(())
    }
}

/// Live state that knows nothing yet.
pub(super) fn empty(settings: &Settings, table: &Arc<SignalTable>) -> Shown {
    Shown {
        live: Arc::new(LiveState::new(lanes::lane_count(&settings.analytics), settings.live.max_vehicles)),
        open_alerts: Arc::new(OpenAlerts::default()),
        feed: Arc::new(AlertFeed::new(clock::now().as_micros().unsigned_abs())),
        table: Arc::clone(table),
    }
}

fn open_journal(settings: &Settings, tasks: &Tasks) -> anyhow::Result<(Journal, Recovery)> {
    let folder = settings.data.join("journal");
    std::fs::create_dir_all(&settings.data)
        .with_context(|| format!("cannot make the data folder {}", settings.data.display()))?;
    if settings.live.url.redis().is_none() {
        dispatcher::forget(&folder).context("cannot remove the cursor of the alert queue")?;
    }
    Ok(tokio::task::block_in_place(|| Journal::open(&folder, &settings.journal, tasks))?)
}

fn start_archive_writer(
    journal: &Journal,
    storage: &Storage,
    table: &Arc<SignalTable>,
    settings: &Settings,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let writer = ArchiveWriter {
        reader: journal.reader(archive_writer::CURSOR)?,
        durable: journal.durable(),
        archive: Arc::clone(&storage.archive),
        table: Arc::clone(table),
        settings: settings.archive.clone(),
        health: storage.archive_health.clone(),
        runtime: Handle::current(),
    };
    tasks.spawn_thread("archive writer", move || {
        writer.run();
        Ok(())
    })?;
    Ok(())
}

//! The roles of this process, joined with each other by channels and with those of others by links.

use std::sync::Arc;

use super::analytics::Lanes;
use super::joints::{self, Readiness, commands_to, fences_of, inlet_of};
use super::peers::Peers;
use super::redis_parts::RedisPart;
use super::storage::Storage;
use super::{measures, models, storage, upkeep};
use crate::dashboard::{self, ModelForm};
use crate::domain::SignalTable;
use crate::fleet::{Fleet, FleetParts};
use crate::ingest::Intake;
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::rpc::link::shown::Shown;
use crate::rpc::link::{control, deliveries, follow};
use crate::rpc::{self, archive_link};
use crate::settings::{Role, Settings};
use crate::simulator::roads::Roads;
use crate::slo::Slo;
use crate::storage::{SharedArchive, VehicleRegister};
use crate::tasks::Tasks;

/// What everything is made with.
pub(super) struct Parts<'a> {
    pub settings: &'a Settings,
    pub peers: Peers,
    pub table: Arc<SignalTable>,
    pub tasks: Tasks,
}

pub(super) struct Line {
    pub storage: Option<Storage>,
    lanes: Option<Lanes>,
    /// Live state: that of storage, or a copy that follows it.
    shown: Option<Shown>,
    archive: Option<SharedArchive>,
    register: Option<VehicleRegister>,
    pub degraded: Vec<RedisPart>,
    pub slo: Arc<Slo>,
}

impl Line {
    /// From its end to its source, with what other processes may ask of it.
    pub async fn build(parts: &Parts<'_>) -> anyhow::Result<(Self, rpc::Services)> {
        let Parts { settings, peers, table, tasks } = parts;
        let mut storage = if settings.has(Role::Storage) { Some(Storage::open(settings, table, tasks).await?) } else { None };
        let slo = measures::start_slo(&settings.slo, storage.as_ref().map(|storage| storage.monitor.clone()), tasks);
        let archive = match &storage {
            Some(storage) => Some(Arc::clone(&storage.archive) as SharedArchive),
            None => peers.archive(table),
        };
        let (register, knows_vehicles) = match &archive {
            Some(archive) => Some(upkeep::register(archive, &settings.ingest).await?).unzip(),
            None => (None, None),
        };
        if let (false, Some(register)) = (settings.is_whole(), &register) {
            upkeep::follow_register(register.clone(), tasks);
        }
        let degraded = match &mut storage {
            Some(storage) => storage.start(settings, table, tasks).await?,
            None => Vec::new(),
        };
        let shown = match &storage {
            Some(storage) => Some(storage.shown.clone()),
            None => settings.has(Role::Dashboard).then(|| storage::empty(settings, table)),
        };
        let lanes = match (&archive, &register, settings.has(Role::Analytics)) {
            (Some(archive), Some(register), true) => {
                let local = storage.as_mut().map(Storage::hand_over);
                let lanes = Lanes::start(local, (archive, register), parts, &slo).await?;
                upkeep::catch_up(knows_vehicles.unwrap_or(true), register, &lanes.in_force, tasks).await;
                Some(lanes)
            }
            _ => None,
        };
        let mut services = rpc::Services::default();
        if let Some(storage) = &mut storage {
            storage.watch_alerts(&slo, table, tasks)?;
            if lanes.is_none() {
                services.storage_link = Some(storage.link(settings, tasks)?);
            }
        }
        if !settings.is_whole() {
            let archive = storage.as_ref().map(|storage| Arc::clone(&storage.archive) as SharedArchive);
            services.archive_link = archive.map(|archive| archive_link::service(archive, Arc::clone(table)));
            services.analytics_link = lanes.as_ref().map(|lanes| lanes.link(table, tasks));
        }
        Ok((Self { storage, lanes, shown, archive, register, degraded, slo }, services))
    }

    /// To the lanes, wherever they are. `None`: nothing here takes readings in.
    pub fn intake(&self, parts: &Parts<'_>) -> Option<Arc<Intake>> {
        let Parts { settings, peers, table, tasks } = parts;
        if !settings.has(Role::Ingest) && !settings.has(Role::Dashboard) {
            return None;
        }
        let inlet = match &self.lanes {
            Some(lanes) => inlet_of(lanes.inlet.clone()),
            None => deliveries::inlet_to(peers.analytics.as_ref()?, table, tasks),
        };
        let intake = Intake::new(inlet, Arc::clone(table), &settings.ingest).observed_by(&self.slo);
        let allowed = self.register.clone().filter(|_| settings.ingest.only_registered);
        Some(Arc::new(allowed.into_iter().fold(intake, Intake::only_from)))
    }

    /// `None`: vehicles are not seen here.
    pub fn fleet(&self, parts: &Parts<'_>) -> Option<Fleet> {
        let Parts { settings, peers, table, tasks } = parts;
        let shown = self.shown.as_ref()?;
        let fleet = Fleet::new(FleetParts {
            live: Arc::clone(&shown.live),
            open_alerts: Arc::clone(&shown.open_alerts),
            alert_feed: Arc::clone(&shown.feed),
            commands: match &self.lanes {
                Some(lanes) => commands_to(lanes.inlet.clone()),
                None => peers.analytics.as_ref().map_or_else(joints::no_commands, control::commands_to),
            },
            archive: Arc::clone(self.archive.as_ref()?),
            register: self.register.clone()?,
            table: Arc::clone(table),
            settings: settings.fleet,
        });
        if self.storage.is_some() {
            upkeep::recall(fleet.clone(), tasks);
        } else if let Some(peer) = &peers.storage {
            follow::start(peer, shown.clone(), tasks);
        }
        Some(fleet)
    }

    pub fn readiness(&self, peers: &Peers) -> Readiness {
        let journal = self.storage.as_ref().map(|storage| (storage.monitor.clone(), storage.archive_health.clone()));
        Readiness { journal, peers: peers.all() }
    }

    pub fn page(
        &self,
        parts: &Parts<'_>,
        fleet: Fleet,
        intake: &Arc<Intake>,
        roads: Option<&Roads>,
    ) -> anyhow::Result<dashboard::Parts> {
        let Parts { settings, peers, table, tasks } = parts;
        let models = match &self.lanes {
            Some(lanes) => lanes.models.clone(),
            None => models::of(&settings.analytics)?,
        };
        let describe = |model| ModelForm::new(model, table, &settings.analytics.alert);
        let fences = match (&self.lanes, &peers.analytics) {
            (Some(lanes), _) => fences_of(lanes.in_force.clone()),
            (None, Some(peer)) => control::fences_of(peer),
            (None, None) => anyhow::bail!("the dashboard has no lanes and no link to any"),
        };
        let Some(archive) = &self.archive else { anyhow::bail!("the dashboard has no archive and no link to any") };
        Ok(dashboard::Parts {
            fleet,
            replay: QuarantineReplay::new(Arc::clone(intake), Arc::clone(archive)),
            fences,
            models: models.iter().map(describe).collect::<Result<_, _>>()?,
            map: dashboard::Map::new(&settings.page, roads)?,
            tasks: tasks.clone(),
        })
    }
}

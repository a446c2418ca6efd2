//! The analytics role: lanes, and the configuration that they judge by.

use std::sync::Arc;

use super::joints::{fences_of, records_of};
use super::line::Parts;
use super::models;
use crate::analytics::blueprint::{Blueprint, ModelSource, Records};
use crate::analytics::checks::Checks;
use crate::analytics::fences::FenceSet;
use crate::analytics::lanes::{self, LaneInlet, LaneStart, Publish};
use crate::analytics::library::find_library;
use crate::analytics::rules::Rules;
use crate::configuration::{self, InForce};
use crate::domain::{Assessment, SignalTable};
use crate::journal::{Journal, Outlet, Recovery};
use crate::rpc::link::deliveries_server::AnalyticsLinkService;
use crate::rpc::link::journal::RemoteJournal;
use crate::rpc::link::shown::Shown;
use crate::settings::Settings;
use crate::slo::Slo;
use crate::storage::{SharedArchive, VehicleRegister};
use crate::tasks::Tasks;
use crate::wire::geojson;

/// Lanes that run.
pub(super) struct Lanes {
    pub inlet: LaneInlet,
    pub in_force: InForce,
    pub models: Vec<ModelSource>,
}

impl Lanes {
    /// `local`: what storage in this process hands over; `None`: it is asked over its link, and waited for.
    pub async fn start(
        local: Option<(Journal, Recovery, Shown)>,
        (archive, register): (&SharedArchive, &VehicleRegister),
        parts: &Parts<'_>,
        slo: &Arc<Slo>,
    ) -> anyhow::Result<Self> {
        let Parts { settings, peers, table, tasks } = parts;
        let (journal, recovery, shown): (Arc<dyn Outlet>, _, _) = if let Some((journal, recovery, shown)) = local {
            (Arc::new(journal), recovery, Some(shown))
        } else {
            let peer = peers.storage.as_ref().expect("the settings were checked");
            let (journal, recovery) = RemoteJournal::take_over(peer, tasks).await?;
            (Arc::new(journal), recovery, None)
        };
        let mut blueprint = blueprint(settings, table)?;
        blueprint.records = records_of(register);
        let (configuration, revision) = configuration::at_start(settings, &blueprint.models, archive).await?;
        blueprint.checks = Arc::new(configuration.checks(revision)?);
        let publish = |lane| -> Publish {
            match &shown {
                Some(shown) => {
                    let live = Arc::clone(&shown.live);
                    Box::new(move |newest: &mut Vec<Assessment>| live.update(lane, newest))
                }
                // The process that has live state reads it off what is stored.
                None => Box::new(Vec::clear),
            }
        };
        let lanes::Started { inlet, open_alerts } =
            lanes::start(LaneStart { blueprint: &blueprint, journal, recovery, publish, slo: Arc::clone(slo), tasks })?;
        if let Some(shown) = &shown {
            for alert in &open_alerts {
                shown.open_alerts.take(alert);
            }
        }
        let are_files = !settings.fences.files.is_empty();
        let models = blueprint.models;
        let in_force = InForce::new((configuration, revision), models.clone(), Arc::clone(archive), inlet.clone(), are_files);
        Ok(Self { inlet, in_force, models })
    }

    /// For ways in and people in other processes.
    pub fn link(&self, table: &Arc<SignalTable>, tasks: &Tasks) -> AnalyticsLinkService {
        AnalyticsLinkService {
            lanes: self.inlet.clone(),
            fences: fences_of(self.in_force.clone()),
            table: Arc::clone(table),
            tasks: tasks.clone(),
        }
    }
}

/// What lanes are made of, less what only a running process knows.
pub fn blueprint(settings: &Settings, table: &Arc<SignalTable>) -> anyhow::Result<Blueprint> {
    Ok(Blueprint {
        settings: settings.analytics.clone(),
        table: Arc::clone(table),
        models: models::of(&settings.analytics)?,
        checks: Arc::new(Checks {
            revision: 0,
            rules: Rules::new(&settings.rules)?,
            fences: Arc::new(FenceSet::compile(geojson::read_files(&settings.fences.files)?)),
        }),
        records: Records::default(),
        library: find_library(&settings.analytics.onnxruntime),
    })
}

//! What runs beside the line: upkeep of the archive, and catching up with it after a start without.

use std::time::Duration;

use anyhow::Context;

use super::ARCHIVE_AGAIN;
use crate::configuration::InForce;
use crate::fleet::Fleet;
use crate::settings;
use crate::storage::{SharedArchive, SharedStore, VehicleRegister, retention, summaries};
use crate::tasks::{Stop, Tasks};

/// And whether it is filled: with the archive away it can do without, unless only those in it may send.
pub(super) async fn register(archive: &SharedArchive, settings: &settings::Ingest) -> anyhow::Result<(VehicleRegister, bool)> {
    let register = VehicleRegister::empty(archive.clone());
    match register.load().await {
        Ok(()) => Ok((register, true)),
        Err(error) if error.is_away() && !settings.only_registered => Ok((register, false)),
        Err(error) => Err(error).context("the registered vehicles are not known"),
    }
}

/// Of the archive of this process.
pub(super) fn start(archive: &SharedStore, keep: Duration, tasks: &Tasks) {
    let (forgetting, summing) =
        (retention::run(archive.clone(), keep, tasks.stop()), summaries::run(archive.clone(), tasks.stop()));
    tasks.spawn("upkeep", async {
        tokio::join!(forgetting, summing);
        Ok(())
    });
}

/// What is registered in another process is known here seconds later.
pub(super) fn follow_register(register: VehicleRegister, tasks: &Tasks) {
    let stop = tasks.stop();
    tasks.spawn("vehicle register", async move {
        register.follow(stop).await;
        Ok(())
    });
}

pub(super) fn recall(fleet: Fleet, tasks: &Tasks) {
    let mut stop = tasks.stop();
    tasks.spawn("recall", async move {
        while let Err(error) = fleet.recall().await {
            tracing::warn!(%error, "vehicles that are silent since the start are not on the map yet; will try again");
            if !has_waited(&mut stop).await {
                break;
            }
        }
        Ok(())
    });
}

/// Where this process started without the archive, and without knowing what it had.
pub(super) async fn catch_up(knows_vehicles: bool, register: &VehicleRegister, in_force: &InForce, tasks: &Tasks) {
    if knows_vehicles && in_force.is_kept().await {
        return;
    }
    let (register, in_force, mut stop) = (register.clone(), in_force.clone(), tasks.stop());
    tracing::warn!("started without the archive: no vehicle's record is known, and alerts cannot be explained until it answers");
    tasks.spawn("catch up", async move {
        while has_waited(&mut stop).await {
            let caught_up = async {
                register.load().await?;
                in_force.catch_up().await
            };
            match caught_up.await {
                Ok(()) => {
                    tracing::info!("the archive answers: vehicles' records and the configuration are as it has them");
                    break;
                }
                Err(error) => tracing::debug!(error = %format!("{error:#}"), "the archive does not answer yet"),
            }
        }
        Ok(())
    });
}

/// For another try; `false`: it is time to stop.
async fn has_waited(stop: &mut Stop) -> bool {
    tokio::select! {
        () = tokio::time::sleep(ARCHIVE_AGAIN) => true,
        () = stop.requested() => false,
    }
}

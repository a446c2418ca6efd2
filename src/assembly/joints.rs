//! How one part asks another that it may not name: each joint is the form that the asking part takes.

use std::sync::Arc;

use crate::analytics::blueprint::Records;
use crate::analytics::lanes::{LaneInlet, TryDeliverError};
use crate::configuration::InForce;
use crate::dashboard::{self, Reason};
use crate::domain::SignalTable;
use crate::fleet::{CommandFailed, Commands};
use crate::ingest::{Inlet, Intake, NotPromised};
use crate::journal::{JournalHealth, JournalMonitor};
use crate::settings;
use crate::storage::VehicleRegister;
use crate::storage::archive_writer::ArchiveHealth;

pub(super) fn fences_of(in_force: InForce) -> dashboard::Fences {
    let asked = in_force.clone();
    dashboard::Fences {
        get: Arc::new(move || {
            let asked = asked.clone();
            Box::pin(async move { asked.fences().await })
        }),
        put: Arc::new(move |text| {
            let in_force = in_force.clone();
            Box::pin(async move { in_force.put_fences(&text).await })
        }),
    }
}

pub(super) fn records_of(register: &VehicleRegister) -> Records {
    let asked = register.clone();
    Records { of: Arc::new(move |id| asked.get(id)), generation: register.generation() }
}

pub(super) fn commands_to(lanes: LaneInlet) -> Commands {
    Commands::new(move |command| {
        let lanes = lanes.clone();
        async move {
            match lanes.command(command).await {
                Ok(answer) => answer.map_err(CommandFailed::Refused),
                Err(_closed) => Err(CommandFailed::Stopping),
            }
        }
    })
}

pub(super) fn intake_to(
    lanes: LaneInlet,
    table: &Arc<SignalTable>,
    settings: &settings::Ingest,
    register: &VehicleRegister,
) -> Intake {
    let intake = Intake::new(inlet_of(lanes), Arc::clone(table), settings);
    if settings.only_registered { intake.only_from(register.clone()) } else { intake }
}

fn inlet_of(lanes: LaneInlet) -> Inlet {
    let waiting = lanes.clone();
    Inlet::new(
        move |delivery| {
            let lanes = waiting.clone();
            async move { lanes.deliver(delivery).await.map_err(|_| NotPromised::Stopped) }
        },
        move |delivery| {
            lanes.try_deliver(delivery).map_err(|error| match error {
                TryDeliverError::Full(_) => NotPromised::Full,
                TryDeliverError::Closed(_) => NotPromised::Stopped,
            })
        },
    )
}

pub(super) fn readiness(journal: JournalMonitor, archive: ArchiveHealth) -> Box<dyn Fn() -> Vec<Reason> + Send + Sync> {
    Box::new(move || {
        let mut reasons = Vec::new();
        match journal.health() {
            JournalHealth::Ok => {}
            health => reasons
                .push(Reason { part: "journal", problem: format!("{health}: nothing is acknowledged until there is room") }),
        }
        if let Some(problem) = archive.problem() {
            reasons.push(Reason { part: "archive", problem: format!("{problem}: the journal keeps what comes") });
        }
        reasons
    })
}

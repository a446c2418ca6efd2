//! How one part asks another that it may not name: each joint is the form that the asking part takes.

use std::sync::Arc;

use crate::analytics::blueprint::Records;
use crate::analytics::lanes::{LaneInlet, TryDeliverError};
use crate::configuration::InForce;
use crate::dashboard::{Damage, Reason};
use crate::fleet::{CommandFailed, Commands, Fences};
use crate::ingest::{Inlet, NotPromised};
use crate::journal::{JournalHealth, JournalMonitor};
use crate::rpc::link::Peer;
use crate::storage::VehicleRegister;
use crate::storage::archive_writer::ArchiveHealth;

pub(super) fn fences_of(in_force: InForce) -> Fences {
    let asked = in_force.clone();
    Fences {
        get: Arc::new(move || {
            let asked = asked.clone();
            Box::pin(async move { Ok(asked.fences().await) })
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

/// Of the journal of this process.
pub(super) fn damage_of(journal: JournalMonitor) -> Damage {
    let asked = journal.clone();
    Damage {
        alert: Arc::new(move || asked.damage_alert()),
        acknowledge: Arc::new(move |by, note| {
            tokio::task::block_in_place(|| journal.acknowledge_damage(by, note)).map_err(|error| error.to_string())
        }),
    }
}

/// Of a process that people do not reach.
pub(super) fn no_commands() -> Commands {
    Commands::new(|_| std::future::ready(Err(CommandFailed::Away("this process has no lanes and no link to any".to_owned()))))
}

pub(super) fn inlet_of(lanes: LaneInlet) -> Inlet {
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

/// Whether this process does what it is for.
#[derive(Clone)]
pub(super) struct Readiness {
    pub journal: Option<(JournalMonitor, ArchiveHealth)>,
    pub peers: Vec<Peer>,
}

impl Readiness {
    /// What comes can be made durable.
    pub fn is_durable(&self) -> bool {
        let is_ok = self.journal.as_ref().is_none_or(|(journal, _)| journal.health() == JournalHealth::Ok);
        is_ok && self.peers.iter().all(|peer| peer.problem().is_none())
    }

    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if let Some((journal, archive)) = &self.journal {
            match journal.health() {
                JournalHealth::Ok => {}
                health => reasons
                    .push(Reason { part: "journal", problem: format!("{health}: nothing is acknowledged until there is room") }),
            }
            if let Some(problem) = archive.problem() {
                reasons.push(Reason { part: "archive", problem: format!("{problem}: the journal keeps what comes") });
            }
        }
        let away = |peer: &Peer| Some(Reason { part: peer.name, problem: peer.problem()? });
        reasons.extend(self.peers.iter().filter_map(away));
        reasons
    }
}

//! History replayed as a fleet: every file drives again over an MQTT connection of its own, and counts only what was acknowledged.
//! Does not read files or columns: `wire::history`. Does not know terminals: `cli::replay`.
//!
//! plan (every file read once) ─▶ one track per file ─▶ messages, due at their time ─▶ sender with a window ─▶ PUBACK

mod messages;
mod plan;
mod resume;
mod sender;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use plan::{Clock, FilePlan, Plan, PlanError, PlanOptions, Track};
pub use resume::{ResumeError, ResumeFile};
pub use sender::SendError;

use super::mqtt_vehicle::MqttUrl;
use crate::domain::SignalTable;
use crate::tasks::Tasks;
use crate::wire::history::ColumnMap;

/// How fast recorded time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the receiver acknowledges.
    Max,
    /// Seconds of history per second.
    Times(f64),
}

/// What has happened so far; written by the tracks, read by whoever shows or saves it.
#[derive(Debug)]
pub struct Progress {
    /// Readings handed to a connection, each counted once however often it had to be sent.
    pub sent: AtomicU64,
    /// Messages sent again after a connection was lost.
    pub messages_resent: AtomicU64,
    pub reconnects: AtomicU64,
    /// Readings of each file, in the order of the plan, up to which all are acknowledged.
    pub acknowledged: Vec<AtomicU64>,
}

impl Progress {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            sent: AtomicU64::new(0),
            messages_resent: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            acknowledged: plan.files.iter().map(|file| AtomicU64::new(file.already_acknowledged)).collect(),
        }
    }

    /// Readings acknowledged in this run.
    #[must_use]
    pub fn acknowledged_now(&self, plan: &Plan) -> u64 {
        let now: u64 = self.acknowledged.iter().map(|file| file.load(Ordering::Relaxed)).sum();
        now - plan.files.iter().map(|file| file.already_acknowledged).sum::<u64>()
    }
}

/// Starts one task per track. They end when everything is acknowledged, or with the stop signal.
pub fn start(
    plan: &Arc<Plan>,
    map: &Arc<ColumnMap>,
    table: &Arc<SignalTable>,
    receiver: &Arc<MqttUrl>,
    progress: &Arc<Progress>,
    tasks: &Tasks,
) {
    for track in 0..plan.tracks.len() {
        let messages = messages::Messages::new(Arc::clone(plan), track, Arc::clone(map), Arc::clone(table));
        let sender = sender::Sender::new(messages, Arc::clone(receiver), Arc::clone(progress));
        let stop = tasks.stop();
        tasks.spawn("replay", async move { Ok(sender.run(stop).await?) });
    }
}

//! What a process without lanes shows of vehicles: live state that it reads off what the lanes write, or that it copies from a process which
//! does.

use std::sync::Arc;

use crate::domain::{Assessment, SignalTable};
use crate::journal::{self, DamagedFrames, Recovery};
use crate::live::{AlertFeed, LiveState, OpenAlerts};
use crate::wire::record::{Record, decode_record};

/// Cheap to clone.
#[derive(Clone)]
pub struct Shown {
    pub live: Arc<LiveState>,
    pub open_alerts: Arc<OpenAlerts>,
    pub feed: Arc<AlertFeed>,
    pub table: Arc<SignalTable>,
}

impl Shown {
    /// What the lanes say about vehicles is live state here.
    pub(super) fn take_frames(&self, frames: &[u8]) -> Result<(), DamagedFrames> {
        let mut newest = Vec::new();
        for (_slot, arrival, record) in journal::records(frames)? {
            match decode_record(record, arrival, &self.table) {
                Ok(Record::Assessment(assessment)) => newest.push(*assessment),
                Ok(Record::AlertEvent(_) | Record::Quarantined(_)) => {}
                // The archive writer meets it too, and keeps it in the quarantine.
                Err(error) => tracing::error!(%error, "a record of the lanes cannot be read"),
            }
        }
        self.update(newest);
        Ok(())
    }

    pub(super) fn update(&self, newest: Vec<Assessment>) {
        let shards = self.live.shards();
        let mut by_shard: Vec<Vec<Assessment>> = (0..shards).map(|_| Vec::new()).collect();
        for assessment in newest {
            by_shard[assessment.reading.vehicle_id.slot().share_of(shards)].push(assessment);
        }
        for (shard, mut newest) in by_shard.into_iter().enumerate().filter(|(_, newest)| !newest.is_empty()) {
            LiveState::update(&self.live, shard, &mut newest);
        }
    }
}

/// What is known at the start without lanes: their saved states, and what the journal's tail says.
pub fn show_recovered(recovery: Recovery, shown: &Shown) {
    let mut unreadable = 0_usize;
    let mut newest = Vec::new();
    for saved in &recovery.vehicles {
        match crate::analytics::lane::shown(saved, &shown.table) {
            Ok(saved) => {
                newest.extend(saved.newest);
                saved.open_alerts.iter().for_each(|alert| shown.open_alerts.take(alert));
            }
            Err(error) => {
                unreadable += 1;
                tracing::debug!(%error, "a vehicle is not shown until it speaks");
            }
        }
    }
    for frame in recovery.tail {
        match decode_record(&frame.payload, frame.arrival, &shown.table) {
            Ok(Record::Assessment(assessment)) => newest.push(*assessment),
            Ok(Record::AlertEvent(event)) => shown.open_alerts.apply(&event),
            Ok(Record::Quarantined(_)) => {}
            Err(_) => unreadable += 1,
        }
    }
    tracing::info!(vehicles = recovery.vehicles.len(), unreadable, "live state is as the last run left it");
    shown.update(newest);
}

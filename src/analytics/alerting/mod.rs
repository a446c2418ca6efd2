//! Turns claims about readings into alerts that open, change and close, one vehicle at a time. Makes no claims (rules, fences, models
//! do) and tells nobody: `alerts`.
//!
//! ```text
//!  claims of a reading ─▶ observe ─┐
//!  once a second ───────▶ tick ────┼─▶ AlertEvents ─▶ journal
//!  what a person does ──▶ command ─┘
//! ```
//! Every change of an alert is an event, and an event holds the whole alert. So a restart is the saved state, then the tail of the
//! journal through [`Tail`]: readings move the counters again, and events say what ticks and commands did. What is not an event
//! (counters of persistence) comes from readings alone.
//!
//! Time is event time, except for silence, for the ends of `silenced` and for holding back what arrives delayed: those are ours.

mod clock;
mod codec;
mod commands;
pub mod common_cause;
mod tail;
#[cfg(test)]
mod tests;
mod track;

use super::claim::{Claim, Level};
use crate::domain::{Alert, AlertEvent, AlertId, AlertKey, Change, Handling, Reading, Timestamp, Timing, VehicleId};

pub use clock::Tick;
pub use commands::CommandRefused;
pub use tail::Tail;

use track::Track;

/// Keys that one vehicle can have under observation at once: every rule and a dozen fences. Beyond it runs that opened no alert yet
/// make room, the oldest first; where all have alerts, the claim is not followed, and counted.
pub const MAX_KEYS: usize = 32;

/// Alerts that are over but that nobody resolved: so many of a vehicle can still be acknowledged, assigned and judged. The oldest is
/// forgotten here (not in the archive).
pub const MAX_CLOSED: usize = 4;

/// What is known about the alerts of one vehicle. Without heap memory as long as there is nothing to know.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Episodes {
    /// Keys with a run of raised readings or an alert, in the order in which they came up.
    tracks: Vec<Track>,
    /// Over and not resolved, newest last.
    closed: Vec<Alert>,
}

/// One reading, as the lane placed it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub vehicle_id: &'a VehicleId,
    pub reading: &'a Reading,
    pub timing: Timing,
    pub arrival: u64,
    pub configuration: u64,
}

impl Episodes {
    /// Takes what the checks say about one reading, at most one claim a key, and appends what changed. Returns how many raised claims
    /// found no room.
    ///
    /// Claims below [`Level::Holding`] are needed only for keys that are [followed](Self::follows): for others they change nothing.
    pub fn observe(&mut self, seen: &Seen<'_>, claims: &[Claim], events: &mut Vec<AlertEvent>) -> usize {
        match seen.timing {
            Timing::Future => return 0,
            Timing::Late => {
                self.annotate(seen.reading.recorded_at, claims);
                return 0;
            }
            Timing::InOrder | Timing::Delayed => {}
        }
        if self.tracks.is_empty() && claims.iter().all(|claim| claim.level < Level::Raised) {
            return 0;
        }
        for track in &mut self.tracks {
            track.hear(seen, events);
        }
        let mut without_room = 0;
        for claim in claims {
            let Some(index) = self.find_or_admit(claim, seen.reading.recorded_at) else {
                without_room += usize::from(claim.level == Level::Raised);
                continue;
            };
            if let Some(alert) = self.tracks[index].take(seen, claim, events) {
                self.keep_closed(alert);
            }
        }
        for index in 0..self.tracks.len() {
            if let Some(alert) = self.tracks[index].miss(seen, events) {
                self.keep_closed(alert);
            }
            self.tracks[index].release(seen, events);
        }
        self.tracks.retain(Track::matters);
        without_room
    }

    /// Whether a key has a run or an alert: checks then say also that it is calm or not assessed.
    #[must_use]
    pub fn follows(&self, key: &AlertKey) -> bool {
        self.tracks.iter().any(|track| track.key == *key)
    }

    /// The keys that it [follows](Self::follows).
    pub fn followed(&self) -> impl Iterator<Item = &AlertKey> + Clone {
        self.tracks.iter().map(|track| &track.key)
    }

    /// Alerts that are not over; the first opened first.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.tracks.iter().filter_map(Track::announced)
    }

    /// Open, or over and not resolved.
    #[must_use]
    pub fn alert(&self, id: AlertId) -> Option<&Alert> {
        self.open().chain(&self.closed).find(|alert| alert.alert_id == id)
    }

    /// Nothing at all: nothing to save, no tick needed unless the vehicle is silent.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tracks.is_empty() && self.closed.is_empty()
    }

    /// Late readings move nothing; they add to the episode that they belong to. The next event tells of it.
    fn annotate(&mut self, recorded_at: Timestamp, claims: &[Claim]) {
        for claim in claims.iter().filter(|claim| claim.level == Level::Raised) {
            if let Some(track) = self.tracks.iter_mut().find(|track| track.key == claim.key) {
                track.annotate(recorded_at, claim);
            }
        }
    }

    fn find_or_admit(&mut self, claim: &Claim, at: Timestamp) -> Option<usize> {
        let found = self.tracks.iter().position(|track| track.key == claim.key);
        if found.is_some() || claim.level < Level::Raised {
            return found;
        }
        if self.tracks.len() == MAX_KEYS {
            let without_alert = self.tracks.iter().position(|track| track.episode.is_none())?;
            self.tracks.remove(without_alert);
        }
        self.tracks.push(Track::new(claim.key.clone(), at));
        Some(self.tracks.len() - 1)
    }

    fn keep_closed(&mut self, alert: Alert) {
        if alert.handling == Handling::Resolved {
            return;
        }
        if self.closed.len() == MAX_CLOSED {
            self.closed.remove(0);
        }
        self.closed.push(alert);
    }

    fn alert_mut(&mut self, id: AlertId) -> Option<&mut Alert> {
        let open = self.tracks.iter_mut().filter_map(Track::announced_mut);
        open.chain(&mut self.closed).find(|alert| alert.alert_id == id)
    }
}

/// Ends a change: the next revision, and the event that holds it.
fn emit(alert: &mut Alert, change: Change, at: Timestamp, events: &mut Vec<AlertEvent>) {
    alert.revision += 1;
    events.push(AlertEvent { change, at, alert: alert.clone() });
}

/// What people do, from what they did: the strongest stands.
const fn handling_of(alert: &Alert) -> Handling {
    if matches!(alert.handling, Handling::Resolved) {
        Handling::Resolved
    } else if alert.silenced_until.is_some() {
        Handling::Silenced
    } else if alert.assigned_to.is_some() {
        Handling::Assigned
    } else if alert.acknowledged_by.is_some() {
        Handling::Acknowledged
    } else {
        Handling::New
    }
}

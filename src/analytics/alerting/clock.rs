//! What our clock does to alerts: vehicles that fall silent, silence that ends, news that was held back. Reads no clock.

use std::time::Duration;

use super::track::{Track, new_alert};
use super::{Episodes, MAX_KEYS, emit, handling_of};
use crate::analytics::claim::Claim;
use crate::analytics::rules::SILENT_VEHICLE;
use crate::domain::{AlertEvent, AlertKey, Change, Condition, OpenedBy, Timestamp, VehicleId};

/// A vehicle that sends what it kept while out of coverage sends it without pause: nothing for this long means that was all.
const BACKLOG_PAUSE: Duration = Duration::from_secs(10);
/// However long a backlog takes: then people hear of what it says is going on.
const HELD_AT_MOST: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    pub vehicle_id: &'a VehicleId,
    pub now: Timestamp,
    /// Nothing came for longer than this vehicle's silence may last, and it is not parked.
    pub is_silent: bool,
    /// What the rule about it says; `None` where that is switched off.
    pub silence: Option<&'a Claim>,
    /// Its newest reading; `None`: nothing to compare with, so no alert about silence.
    pub newest: Option<OpenedBy>,
}

impl Episodes {
    /// Once a second or so. A vehicle with nothing [to tell of](Self::is_empty) needs it only when it falls silent.
    pub fn tick(&mut self, tick: &Tick<'_>, events: &mut Vec<AlertEvent>) {
        let ends = |track: &Track| !tick.is_silent && is_about_silence(&track.key) && track.announced().is_some();
        if let Some(index) = self.tracks.iter().position(ends) {
            // Something came that event time does not count: a late reading, or one ahead of time.
            if let Some(alert) = self.tracks.remove(index).close(tick.now, tick.now, events) {
                self.keep_closed(alert);
            }
        }
        for track in &mut self.tracks {
            track.tick(tick, events);
        }
        let (true, Some(claim), Some(newest)) = (tick.is_silent, tick.silence, tick.newest) else { return };
        if self.tracks.len() < MAX_KEYS && !self.follows(&claim.key) {
            // Silence is a matter of our clock; the newest reading may be the same for two silences.
            let mut alert = new_alert(tick.vehicle_id, claim, tick.now, newest);
            alert.last_seen_at = tick.now;
            emit(&mut alert, Change::Opened, tick.now, events);
            self.tracks.push(Track::of(alert));
        }
    }
}

impl Track {
    fn tick(&mut self, tick: &Tick<'_>, events: &mut Vec<AlertEvent>) {
        let now = tick.now;
        let Some(episode) = &mut self.episode else { return };
        if let Some(held) = episode.held {
            let is_all = now.since(held.heard_at) >= BACKLOG_PAUSE || now.since(held.since) >= HELD_AT_MOST;
            if !is_all {
                return;
            }
            episode.announce(now, events);
        }
        let alert = &mut episode.alert;
        match alert.condition {
            Condition::Active if tick.is_silent && !is_about_silence(&self.key) => {
                alert.condition = Condition::Unknown;
                emit(alert, Change::BecameUnknown, now, events);
            }
            Condition::Unknown if !tick.is_silent => {
                alert.condition = Condition::Active;
                emit(alert, Change::BecameActive, now, events);
            }
            Condition::Active | Condition::Unknown | Condition::Cleared => {}
        }
        if alert.silenced_until.is_some_and(|until| until <= now) {
            alert.silenced_until = None;
            alert.handling = handling_of(alert);
            emit(alert, Change::SilenceEnded, now, events);
        }
    }
}

/// Silence does not make itself unknown.
pub(super) fn is_about_silence(key: &AlertKey) -> bool {
    key.as_str().strip_prefix("rule:") == Some(SILENT_VEHICLE)
}

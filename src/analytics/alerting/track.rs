//! One key of one vehicle: the run of raised readings that may become an alert, and the alert. Knows nothing of other keys: `Episodes`.

use std::time::Duration;

use super::clock::is_about_silence;
use super::{Seen, emit, handling_of};
use crate::analytics::claim::{Claim, Level};
use crate::domain::{Alert, AlertEvent, AlertId, AlertKey, Change, Condition, Handling, OpenedBy, Timestamp, Timing, VehicleId};

/// A standing alert is written again after this share of its age, within these bounds: about 40 records in the first day.
const UPDATE_SHARE_OF_AGE: u32 = 8;
const UPDATE_AFTER: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(15));

/// Where nobody says anything about a key any more (a rule was switched off, a fence removed), its alert ends after so many readings
/// and so long. Longer than any stretch for which a check that exists keeps quiet: it says "not assessed".
const CEASED_READINGS: u8 = 3;
const CEASED_AFTER: Duration = Duration::from_mins(10);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    pub key: AlertKey,
    /// One bit per assessed reading, newest lowest: raised or not.
    pub recent: u64,
    /// First reading of the run: since then never as many assessed readings without a raised one as the persistence looks at.
    pub run_began_at: Timestamp,
    /// Raised readings of the run.
    pub run_count: u32,
    /// Newest reading that was raised or holding.
    pub not_calm_at: Timestamp,
    /// Calm readings since, at most 255.
    pub calm_readings: u8,
    /// Newest reading that any claim spoke about.
    pub claimed_at: Timestamp,
    /// Readings since, at most 255.
    pub unclaimed: u8,
    pub episode: Option<Box<Episode>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Episode {
    pub alert: Alert,
    /// Event time of what was last told of its readings.
    pub written_at: Timestamp,
    /// It opened on readings that were long on the way, and nobody was told yet: it may be over.
    pub held: Option<Held>,
}

/// By our clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    pub since: Timestamp,
    /// When the newest delayed reading came.
    pub heard_at: Timestamp,
}

impl Track {
    pub fn new(key: AlertKey, at: Timestamp) -> Self {
        Self {
            key,
            recent: 0,
            run_began_at: at,
            run_count: 0,
            not_calm_at: at,
            calm_readings: 0,
            claimed_at: at,
            unclaimed: 0,
            episode: None,
        }
    }

    /// An alert that came without a run: by the clock, or from the journal.
    pub fn of(alert: Alert) -> Self {
        let at = alert.last_seen_at;
        let episode = Box::new(Episode { written_at: at, held: None, alert });
        Self { episode: Some(episode.clone()), ..Self::new(episode.alert.key.clone(), at) }
    }

    /// Whether there is anything to remember.
    pub fn matters(&self) -> bool {
        self.episode.is_some() || self.recent != 0
    }

    /// The alert, if others know of it.
    pub fn announced(&self) -> Option<&Alert> {
        self.episode.as_ref().filter(|episode| episode.held.is_none()).map(|episode| &episode.alert)
    }

    pub fn announced_mut(&mut self) -> Option<&mut Alert> {
        self.episode.as_mut().filter(|episode| episode.held.is_none()).map(|episode| &mut episode.alert)
    }

    /// The vehicle speaks, whatever it says.
    pub fn hear(&mut self, seen: &Seen<'_>, events: &mut Vec<AlertEvent>) {
        if let Some(alert) = self.announced_mut().filter(|alert| alert.condition == Condition::Unknown) {
            alert.condition = Condition::Active;
            emit(alert, Change::BecameActive, seen.reading.received_at, events);
        }
    }

    /// Returns the alert if this ended it.
    pub fn take(&mut self, seen: &Seen<'_>, claim: &Claim, events: &mut Vec<AlertEvent>) -> Option<Alert> {
        let now = seen.reading.recorded_at;
        self.claimed_at = now;
        self.unclaimed = 0;
        match claim.level {
            Level::NotAssessed => None,
            Level::Calm => {
                self.push(false, claim);
                self.calm_readings = self.calm_readings.saturating_add(1);
                let is_over = now.since(self.not_calm_at) >= claim.persistence.calm_for
                    && self.calm_readings >= claim.persistence.calm_readings;
                let received_at = seen.reading.received_at;
                let closed_at = if is_about_silence(&self.key) { received_at } else { now };
                if is_over { self.close(closed_at, received_at, events) } else { None }
            }
            Level::Holding => {
                self.push(false, claim);
                self.be_restless(now);
                None
            }
            Level::Raised => {
                if self.recent == 0 {
                    self.run_began_at = now;
                    self.run_count = 0;
                }
                self.push(true, claim);
                self.run_count = self.run_count.saturating_add(1);
                self.be_restless(now);
                self.rise(seen, claim, events);
                None
            }
        }
    }

    /// A reading that no claim about this key came with.
    pub fn miss(&mut self, seen: &Seen<'_>, events: &mut Vec<AlertEvent>) -> Option<Alert> {
        let now = seen.reading.recorded_at;
        if self.claimed_at == now {
            return None;
        }
        self.unclaimed = self.unclaimed.saturating_add(1);
        let has_ceased = self.unclaimed >= CEASED_READINGS && now.since(self.claimed_at) >= CEASED_AFTER;
        if !has_ceased {
            return None;
        }
        self.recent = 0;
        self.close(now, seen.reading.received_at, events)
    }

    /// Tells of an alert that was held back, once a reading is there in time.
    pub fn release(&mut self, seen: &Seen<'_>, events: &mut Vec<AlertEvent>) {
        let Some(episode) = &mut self.episode else { return };
        let Some(held) = &mut episode.held else { return };
        if seen.timing == Timing::Delayed {
            held.heard_at = seen.reading.received_at;
            return;
        }
        episode.announce(seen.reading.received_at, events);
    }

    pub fn annotate(&mut self, recorded_at: Timestamp, claim: &Claim) {
        if let Some(episode) = self.episode.as_mut().filter(|episode| recorded_at >= episode.alert.opened_at) {
            episode.alert.count = episode.alert.count.saturating_add(1);
            note_worst(&mut episode.alert, claim);
        }
    }

    /// Ends the alert, if there is one. One that nobody heard of becomes history, with this as its only event.
    pub fn close(&mut self, closed_at: Timestamp, at: Timestamp, events: &mut Vec<AlertEvent>) -> Option<Alert> {
        let episode = self.episode.take()?;
        self.recent = 0;
        let mut alert = episode.alert;
        alert.condition = Condition::Cleared;
        alert.closed_at = Some(closed_at);
        alert.is_history = episode.held.is_some();
        alert.silenced_until = None;
        alert.handling = handling_of(&alert);
        emit(&mut alert, Change::Cleared, at, events);
        Some(alert)
    }

    fn push(&mut self, is_raised: bool, claim: &Claim) {
        let kept = u64::MAX >> (64 - claim.persistence.of.clamp(1, 64));
        self.recent = (self.recent << 1 | u64::from(is_raised)) & kept;
    }

    const fn be_restless(&mut self, now: Timestamp) {
        self.not_calm_at = now;
        self.calm_readings = 0;
    }

    fn rise(&mut self, seen: &Seen<'_>, claim: &Claim, events: &mut Vec<AlertEvent>) {
        let Some(episode) = &mut self.episode else {
            if self.recent.count_ones() >= u32::from(claim.persistence.raised) {
                self.open(seen, claim, events);
            }
            return;
        };
        let now = seen.reading.recorded_at;
        let alert = &mut episode.alert;
        alert.count = alert.count.saturating_add(1);
        alert.last_seen_at = now;
        let is_worse = claim.severity > alert.severity;
        alert.severity = alert.severity.max(claim.severity);
        note_worst(alert, claim);
        // Resolved: muted until it is calm.
        if episode.held.is_some() || alert.handling == Handling::Resolved {
            return;
        }
        let age = now.since(alert.opened_at) / UPDATE_SHARE_OF_AGE;
        let is_due = now.since(episode.written_at) >= age.clamp(UPDATE_AFTER.0, UPDATE_AFTER.1);
        if is_worse || is_due {
            episode.written_at = now;
            emit(alert, if is_worse { Change::Worsened } else { Change::Updated }, seen.reading.received_at, events);
        }
    }

    fn open(&mut self, seen: &Seen<'_>, claim: &Claim, events: &mut Vec<AlertEvent>) {
        let opened_by = OpenedBy {
            recorded_at: seen.reading.recorded_at,
            fingerprint: seen.reading.fingerprint,
            arrival: seen.arrival,
            configuration: seen.configuration,
        };
        let mut alert = new_alert(seen.vehicle_id, claim, self.run_began_at, opened_by);
        alert.count = self.run_count;
        let received_at = seen.reading.received_at;
        let held = Held { since: received_at, heard_at: received_at };
        let mut episode = Box::new(Episode { written_at: alert.last_seen_at, held: Some(held), alert });
        if seen.timing == Timing::InOrder {
            episode.announce(received_at, events);
        }
        self.episode = Some(episode);
    }
}

impl Episode {
    pub fn announce(&mut self, at: Timestamp, events: &mut Vec<AlertEvent>) {
        self.held = None;
        self.written_at = self.alert.last_seen_at;
        emit(&mut self.alert, Change::Opened, at, events);
    }
}

/// Not told to anybody yet: revision 0.
pub(super) fn new_alert(vehicle_id: &VehicleId, claim: &Claim, opened_at: Timestamp, opened_by: OpenedBy) -> Alert {
    Alert {
        alert_id: AlertId::of(vehicle_id, &claim.key, opened_at),
        vehicle_id: vehicle_id.clone(),
        key: claim.key.clone(),
        severity: claim.severity,
        condition: Condition::Active,
        handling: Handling::New,
        opened_at,
        last_seen_at: opened_by.recorded_at,
        closed_at: None,
        count: 1,
        summary: claim.summary.clone(),
        value: claim.value,
        limit: claim.limit,
        score: claim.score,
        explanation: claim.explanation.clone(),
        opened_by,
        acknowledged_by: None,
        assigned_to: None,
        silenced_until: None,
        verdict: None,
        note: None,
        is_history: false,
        revision: 0,
    }
}

/// The worst reading so far speaks for the episode: the one farthest beyond its limit, or with the highest score.
fn note_worst(alert: &mut Alert, claim: &Claim) {
    let beyond = |value: Option<f64>, limit: Option<f64>| value.zip(limit).map(|(value, limit)| (value - limit).abs());
    let is_worse = if claim.score.is_some() {
        claim.score > alert.score
    } else {
        beyond(claim.value, claim.limit) > beyond(alert.value, alert.limit)
    };
    if !is_worse {
        return;
    }
    (alert.value, alert.limit, alert.score) = (claim.value, claim.limit, claim.score);
    alert.summary = claim.summary.clone();
    alert.explanation.clone_from(&claim.explanation);
}

//! After a restart: the saved state, then what the journal has since. Reads no journal: `lane` hands over its records in their order.

use super::track::{Episode, Track};
use super::{Episodes, Seen};
use crate::analytics::claim::Claim;
use crate::domain::{AlertEvent, Change, Condition, Handling};

/// Takes up the records of all vehicles of a lane. Readings are checked again (rules need that for their memory anyway) and say what
/// they said before; events say what ticks and commands did, which no reading shows. Both in the order of the journal lead to the
/// state before the stop.
#[derive(Debug, Default)]
pub struct Tail {
    /// What readings said and no record confirmed yet.
    missing: Vec<AlertEvent>,
}

impl Tail {
    /// A reading of the journal, with the claims that the checks make about it.
    pub fn reading(&mut self, episodes: &mut Episodes, seen: &Seen<'_>, claims: &[Claim]) {
        episodes.observe(seen, claims, &mut self.missing);
    }

    /// An event of the journal. Where it says something else than the readings did (thresholds were changed while the program was
    /// down), it is right: others know of it.
    pub fn event(&mut self, episodes: &mut Episodes, event: &AlertEvent) {
        let of = |event: &AlertEvent| (event.alert.alert_id, event.alert.revision);
        let found = self.missing.iter().position(|missing| of(missing) == of(event));
        let is_so_already = found.is_some_and(|index| self.missing.remove(index) == *event);
        if !is_so_already {
            episodes.apply(event);
        }
    }

    /// What readings said and the journal lacks, because the power went between a reading and its events: to be written now.
    #[must_use]
    pub fn missing(self) -> Vec<AlertEvent> {
        self.missing
    }
}

impl Episodes {
    fn apply(&mut self, event: &AlertEvent) {
        let alert = &event.alert;
        let track = self.tracks.iter_mut().find(|track| track.key == alert.key);
        if alert.condition != Condition::Cleared {
            let is_about_readings = matches!(event.change, Change::Opened | Change::Updated | Change::Worsened);
            match track {
                None => self.tracks.push(Track::of(alert.clone())),
                Some(track) => {
                    let written_at = match &track.episode {
                        Some(episode) if !is_about_readings => episode.written_at,
                        _ => alert.last_seen_at,
                    };
                    track.episode = Some(Box::new(Episode { alert: alert.clone(), written_at, held: None }));
                }
            }
            return;
        }
        self.tracks.retain(|track| track.episode.as_ref().is_none_or(|episode| episode.alert.alert_id != alert.alert_id));
        match self.closed.iter().position(|closed| closed.alert_id == alert.alert_id) {
            Some(index) if alert.handling == Handling::Resolved => drop(self.closed.remove(index)),
            Some(index) => self.closed[index] = alert.clone(),
            None => self.keep_closed(alert.clone()),
        }
    }
}

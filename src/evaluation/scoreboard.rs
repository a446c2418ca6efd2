//! Counts what alerts found, missed and made up, vehicle by vehicle. Knows labels and events, not where they come from.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::domain::{AlertEvent, Change, Timestamp, VehicleId};

/// An alert still counts as finding a fault that ended so recently: alerts need a few readings to open.
pub const GRACE: Duration = Duration::from_mins(10);
/// An alert that opens so soon after a fault is neither right nor false: an engine is hot for a while, a tyre is flat until filled.
pub const AFTER_EFFECTS: Duration = Duration::from_hours(2);

#[derive(Debug, Default)]
pub struct Scoreboard {
    vehicles: HashMap<VehicleId, Timeline>,
    readings: u64,
}

/// One vehicle.
#[derive(Debug, Default)]
struct Timeline {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    episodes: Vec<Episode>,
    /// By what, and when the reading that opened it was recorded.
    opened: Vec<(String, Timestamp)>,
}

#[derive(Debug)]
struct Episode {
    fault: Box<str>,
    /// Of its readings.
    times: Vec<Timestamp>,
    is_over: bool,
}

/// What became of the faults of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KindResult {
    pub episodes: u64,
    pub found: u64,
    /// Readings from the first affected one to the one that opened the alert, of those found.
    pub delays: Vec<u64>,
    /// What found them.
    pub by_key: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Result {
    pub kinds: BTreeMap<String, KindResult>,
    pub readings: u64,
    pub vehicles: u64,
    /// Healthy ones: the time in which vehicles reported, less faults and their after-effects.
    pub vehicle_days: f64,
    pub false_alerts: u64,
    pub false_by_key: BTreeMap<String, u64>,
    /// Neither right nor false.
    pub after_effects: u64,
}

impl Scoreboard {
    /// In order of time per vehicle. `fault`: what is wrong at that moment, if anything.
    pub fn reading(&mut self, vehicle_id: &VehicleId, at: Timestamp, fault: Option<&str>) {
        self.readings += 1;
        if !self.vehicles.contains_key(vehicle_id) {
            self.vehicles.insert(vehicle_id.clone(), Timeline::default());
        }
        let timeline = self.vehicles.get_mut(vehicle_id).expect("it was put there");
        timeline.first.get_or_insert(at);
        timeline.last = Some(at);
        let running = timeline.episodes.last_mut().filter(|episode| !episode.is_over);
        match (running, fault) {
            (Some(episode), Some(fault)) if *episode.fault == *fault => episode.times.push(at),
            (running, fault) => {
                if let Some(episode) = running {
                    episode.is_over = true;
                }
                if let Some(fault) = fault {
                    timeline.episodes.push(Episode { fault: fault.into(), times: vec![at], is_over: false });
                }
            }
        }
    }

    pub fn event(&mut self, event: &AlertEvent) {
        if event.change != Change::Opened {
            return;
        }
        let alert = &event.alert;
        if let Some(timeline) = self.vehicles.get_mut(&alert.vehicle_id) {
            timeline.opened.push((alert.key.to_string(), alert.opened_by.recorded_at));
        }
    }

    #[must_use]
    pub fn finish(self) -> Result {
        let mut result = Result { readings: self.readings, vehicles: self.vehicles.len() as u64, ..Result::default() };
        for timeline in self.vehicles.into_values() {
            timeline.count(&mut result);
        }
        result
    }
}

impl Timeline {
    fn count(self, result: &mut Result) {
        for episode in &self.episodes {
            let (onset, end) = episode.span();
            let kind = result.kinds.entry(episode.fault.to_string()).or_default();
            kind.episodes += 1;
            let found = self.opened.iter().filter(|(_, at)| (onset..=end.plus(GRACE)).contains(at)).min_by_key(|(_, at)| *at);
            if let Some((key, at)) = found {
                kind.found += 1;
                kind.delays.push(episode.times.partition_point(|time| time < at) as u64);
                *kind.by_key.entry(key.clone()).or_default() += 1;
            }
        }
        for (key, at) in &self.opened {
            let is_about = |episode: &Episode, after: Duration| {
                let (onset, end) = episode.span();
                (onset..=end.plus(after)).contains(at)
            };
            if self.episodes.iter().any(|episode| is_about(episode, GRACE)) {
                continue;
            }
            if self.episodes.iter().any(|episode| is_about(episode, AFTER_EFFECTS)) {
                result.after_effects += 1;
                continue;
            }
            result.false_alerts += 1;
            *result.false_by_key.entry(key.clone()).or_default() += 1;
        }
        result.vehicle_days += self.healthy_days();
    }

    fn healthy_days(&self) -> f64 {
        let (Some(first), Some(last)) = (self.first, self.last) else { return 0.0 };
        let mut healthy = last.seconds_since(first);
        let mut covered = first;
        for episode in &self.episodes {
            let (onset, end) = episode.span();
            let end = end.plus(AFTER_EFFECTS).min(last);
            let onset = onset.max(covered);
            if end > onset {
                healthy -= end.seconds_since(onset);
                covered = end;
            }
        }
        healthy.max(0.0) / 86_400.0
    }
}

impl Episode {
    fn span(&self) -> (Timestamp, Timestamp) {
        (self.times[0], self.times[self.times.len() - 1])
    }
}

impl KindResult {
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn recall(&self) -> f64 {
        self.found as f64 / self.episodes as f64
    }

    /// `None`: none was found.
    #[must_use]
    pub fn median_delay_readings(&self) -> Option<u64> {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    }
}

impl Result {
    /// Per 1,000 healthy vehicle-days, and the upper end of its 95 % interval: what the counted days cannot exclude. The number of
    /// alerts is taken as Poisson distributed; the exact bound (Garwood 1936) is approximated by Wilson and Hilferty's cube.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn false_alerts_per_1000_vehicle_days(&self) -> (f64, f64) {
        const NORMAL_QUANTILE_95: f64 = 1.645;
        let count = self.false_alerts as f64;
        let next = count + 1.0;
        let upper = next * (1.0 - 1.0 / (9.0 * next) + NORMAL_QUANTILE_95 / (3.0 * next.sqrt())).powi(3);
        let per = 1_000.0 / self.vehicle_days.max(f64::MIN_POSITIVE);
        (count * per, upper * per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AlertKey;
    use crate::wire::alert::tests::a_full_alert_event;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(1_764_000_000_000_000 + minutes * 60_000_000)
    }

    fn opened(minute: i64) -> AlertEvent {
        let mut event = a_full_alert_event();
        event.change = Change::Opened;
        event.alert.key = AlertKey::rule("overheating");
        event.alert.opened_by.recorded_at = at(minute);
        event
    }

    /// A day of readings, a minute apart, ill from minute 100 to 129; alerts at these minutes.
    fn a_day(alerts: &[i64]) -> Result {
        let truck = VehicleId::new("truck-7").unwrap();
        let mut board = Scoreboard::default();
        for minute in 0..=1_440 {
            board.reading(&truck, at(minute), (100..130).contains(&minute).then_some("overheating"));
        }
        for minute in alerts {
            board.event(&opened(*minute));
        }
        board.finish()
    }

    #[test]
    fn an_alert_within_a_fault_finds_it_and_one_far_from_any_is_false() {
        let result = a_day(&[50, 104, 160, 1_000]);
        let kind = &result.kinds["overheating"];
        assert_eq!((kind.episodes, kind.found, kind.median_delay_readings()), (1, 1, Some(4)));
        assert_eq!((result.false_alerts, result.after_effects), (2, 1), "at 50 and 1,000; 160 is an after-effect");
        assert!((result.vehicle_days * 1_440.0 - (1_440.0 - 29.0 - 120.0)).abs() < 1e-6);
    }

    #[test]
    fn a_fault_that_nothing_found_is_missed() {
        let result = a_day(&[]);
        assert_eq!((result.kinds["overheating"].found, result.false_alerts), (0, 0));
        let (rate, upper) = result.false_alerts_per_1000_vehicle_days();
        // Three alerts are what zero in a row cannot exclude at 95 % (rule of three).
        assert!(rate == 0.0 && (upper * result.vehicle_days / 1_000.0 - 3.0).abs() < 0.05, "{upper}");
    }
}

//! Service level objectives: which share of what is promised was kept, and how fast the rest is used up. Alerts nobody: Prometheus does,
//! by the same formulas over what is published here (`config/prometheus/odograph.rules.yml`).
//!
//! Formulas, windows and limits: Google, The Site Reliability Workbook (2018), chapter 5, "Alerting on SLOs", approach 6.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use metrics::{Histogram, counter, gauge, histogram};

use crate::{metrics as names, settings};

/// How often [`Slo::minute`] has to be called.
pub const MINUTE: Duration = Duration::from_mins(1);
/// What the error budget is for.
pub const BUDGET_DAYS: u16 = 30;

const MINUTES_OF_AN_HOUR: usize = 60;
/// As much as the longest window looks back.
const MINUTES_KEPT: usize = 360;
const HOURS_KEPT: usize = BUDGET_DAYS as usize * 24;

/// The short one of a pair ends an alarm soon after its cause.
const WINDOWS: [Window; 4] = [
    Window { name: "5m", minutes: 5 },
    Window { name: "30m", minutes: 30 },
    Window { name: "1h", minutes: 60 },
    Window { name: "6h", minutes: 360 },
];
/// 2 % of 30 days' budget in an hour: over 5 m and 1 h.
const FAST_BURN: f64 = 14.4;
/// 5 % of it in six hours: over 30 m and 6 h.
const SLOW_BURN: f64 = 6.0;

/// What is promised; in the order of `PROMISES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    Durable,
    Scored,
    Alerted,
    Available,
    Kept,
}

/// Name, what a good event is, the histogram of its times.
const PROMISES: [(&str, &str, Option<&str>); 5] = [
    ("durable", "a reading whose sender could be told in time that it is kept", Some(names::READING_DURABLE_SECONDS)),
    ("scored", "a reading that was judged in time, by rules, fences and models", Some(names::READING_SCORED_SECONDS)),
    ("alerted", "an alert that was shown in time after the reading that opened it", Some(names::READING_ALERTED_SECONDS)),
    ("available", "a message that was answered and not turned away, or left waiting too long", None),
    ("kept", "a reading that was acknowledged and is in no damaged place of the journal", None),
];

/// Counts what is good; cheap enough for every reading.
pub struct Slo {
    /// By [`Promise`].
    objectives: [Objective; PROMISES.len()],
    /// Damaged places of the journal.
    lost: Box<dyn Fn() -> u64 + Send + Sync>,
    past: Mutex<Past>,
}

struct Objective {
    share: f64,
    within: Option<Duration>,
    times: Option<Histogram>,
    good: AtomicU64,
    all: AtomicU64,
}

struct Window {
    name: &'static str,
    minutes: usize,
}

/// Since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub good: u64,
    pub all: u64,
}

type Counts = [Count; PROMISES.len()];

/// The counts as they were, newest last. Full: the oldest goes.
#[derive(Debug, Default)]
struct Past {
    minutes: VecDeque<Counts>,
    hours: VecDeque<Counts>,
    minutes_of_hour: usize,
}

/// One objective as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub name: &'static str,
    /// Of a good event.
    pub meaning: &'static str,
    pub objective: f64,
    pub within: Option<Duration>,
    /// Since the start.
    pub count: Count,
    pub burning: [Burning; WINDOWS.len()],
    pub alarm: Option<Alarm>,
    /// Of what may go wrong in 30 days, or since the start; below 0: overspent.
    pub budget_left: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burning {
    pub window: &'static str,
    pub count: Count,
    /// 1: at this pace the budget lasts for exactly its 30 days.
    pub rate: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    Fast,
    Slow,
}

impl Slo {
    /// Counts in the recorder that is installed now. `lost`: damaged places of the journal so far.
    pub fn new(settings: &settings::Slo, lost: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let settings::Slo { durable, scored, alerted, available, kept } = settings;
        let timed = |each: &settings::TimedObjective| (each.objective, Some(each.within.duration()));
        let targets = [timed(durable), timed(scored), timed(alerted), (available.objective, None), (kept.objective, None)];
        let objectives = std::array::from_fn(|index| Objective {
            share: targets[index].0,
            within: targets[index].1,
            times: PROMISES[index].2.map(|name| histogram!(name)),
            good: AtomicU64::new(0),
            all: AtomicU64::new(0),
        });
        Self { objectives, lost: Box::new(lost), past: Mutex::default() }
    }

    /// So many events took this long; good are those that took no longer than was promised.
    pub fn took(&self, what: Promise, time: Duration, events: u32) {
        let objective = &self.objectives[what as usize];
        if let Some(times) = &objective.times {
            times.record_many(time.as_secs_f64(), events as usize);
        }
        let is_good = objective.within.is_none_or(|within| time <= within);
        self.count(what, if is_good { events } else { 0 }, events);
    }

    /// So many events, of which so many were good.
    pub fn count(&self, what: Promise, good: u32, all: u32) {
        let objective = &self.objectives[what as usize];
        objective.good.fetch_add(good.into(), Relaxed);
        objective.all.fetch_add(all.into(), Relaxed);
    }

    /// Remembers the counts.
    ///
    /// # Panics
    /// Never.
    pub fn minute(&self) {
        let counts = self.counts();
        self.past.lock().expect("no holder panics").push(counts);
    }

    /// How all objectives stand.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let counts = self.counts();
        let past = self.past.lock().expect("no holder panics");
        let standing = |(index, (name, meaning, _)): (usize, &(&'static str, &'static str, _))| {
            let Objective { share: objective, within, .. } = self.objectives[index];
            let since = |past: &VecDeque<Counts>, steps| counts[index].less(before(past, steps)[index]);
            let burning = WINDOWS.map(|Window { name: window, minutes }| {
                let count = since(&past.minutes, minutes);
                Burning { window, count, rate: burn_rate(count, objective) }
            });
            let budget_left = 1.0 - burn_rate(since(&past.hours, HOURS_KEPT), objective);
            Standing { name, meaning, objective, within, count: counts[index], burning, alarm: alarm(&burning), budget_left }
        };
        PROMISES.iter().enumerate().map(standing).collect()
    }

    /// Into the recorder, for whoever asks for metrics.
    pub fn publish(&self) {
        for each in self.standings() {
            counter!(names::SLO_EVENTS, "slo" => each.name).absolute(each.count.all);
            counter!(names::SLO_GOOD_EVENTS, "slo" => each.name).absolute(each.count.good);
            gauge!(names::SLO_OBJECTIVE, "slo" => each.name).set(each.objective);
            gauge!(names::SLO_BUDGET_LEFT, "slo" => each.name).set(each.budget_left);
            for Burning { window, rate, .. } in each.burning {
                gauge!(names::SLO_BURN_RATE, "slo" => each.name, "window" => window).set(rate);
            }
        }
    }

    fn counts(&self) -> Counts {
        // Read first: what is counted meanwhile is never more good than all.
        let good = self.objectives.each_ref().map(|objective| objective.good.load(Relaxed));
        let mut counts: Counts =
            std::array::from_fn(|index| Count { good: good[index], all: self.objectives[index].all.load(Relaxed) });
        counts[Promise::Kept as usize].all += (self.lost)();
        counts
    }
}

impl Past {
    fn push(&mut self, counts: Counts) {
        keep(&mut self.minutes, counts, MINUTES_KEPT);
        self.minutes_of_hour += 1;
        if self.minutes_of_hour == MINUTES_OF_AN_HOUR {
            self.minutes_of_hour = 0;
            keep(&mut self.hours, counts, HOURS_KEPT);
        }
    }
}

impl Count {
    fn less(self, earlier: Self) -> Self {
        Self { good: self.good.saturating_sub(earlier.good), all: self.all.saturating_sub(earlier.all) }
    }
}

fn keep(past: &mut VecDeque<Counts>, counts: Counts, at_most: usize) {
    if past.len() == at_most {
        past.pop_front();
    }
    past.push_back(counts);
}

/// The counts so many steps ago, of which the running one is the first; nothing where the process is younger.
fn before(past: &VecDeque<Counts>, steps: usize) -> Counts {
    past.len().checked_sub(steps).and_then(|index| past.get(index)).copied().unwrap_or_default()
}

/// The share of bad events over the share that may be bad.
fn burn_rate(count: Count, objective: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 readings")]
    let (bad, all) = (count.all.saturating_sub(count.good) as f64, count.all as f64);
    if count.all == 0 { 0.0 } else { bad / all / (1.0 - objective) }
}

fn alarm(burning: &[Burning; WINDOWS.len()]) -> Option<Alarm> {
    let [five_minutes, half_hour, hour, six_hours] = burning.map(|each| each.rate);
    if five_minutes > FAST_BURN && hour > FAST_BURN {
        return Some(Alarm::Fast);
    }
    (half_hour > SLOW_BURN && six_hours > SLOW_BURN).then_some(Alarm::Slow)
}

/// With the targets of an unchanged settings file.
impl Default for Slo {
    fn default() -> Self {
        Self::new(&settings::Slo::default(), || 0)
    }
}

impl std::fmt::Debug for Slo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Slo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Interval, ShareObjective, TimedObjective};

    /// Readings have to be durable in 250 ms; 99.9 % of messages have to be taken.
    fn a_slo() -> Slo {
        let durable = TimedObjective { objective: 0.99, within: Interval::from_millis(250) };
        let available = ShareObjective { objective: 0.999 };
        Slo::new(&settings::Slo { durable, available, ..Default::default() }, || 3)
    }

    fn standing(slo: &Slo, what: Promise) -> Standing {
        slo.standings().swap_remove(what as usize)
    }

    fn minutes(slo: &Slo, minutes: u32, good: u32, all: u32) {
        for _ in 0..minutes {
            slo.count(Promise::Available, good, all);
            slo.minute();
        }
    }

    fn close_to(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }

    #[test]
    fn burn_rates_are_those_of_the_workbook() {
        // Table 5-4: of 99.9 %, error rates of 0.1, 0.2, 1 and 100 % use up 30 days in 30, 15, 3 days and 43 minutes.
        for (bad, rate) in [(0, 0.0), (1, 1.0), (2, 2.0), (10, 10.0), (1_000, 1_000.0)] {
            assert!(close_to(burn_rate(Count { good: 1_000 - bad, all: 1_000 }, 0.999), rate), "{bad}");
        }
        assert!(close_to(burn_rate(Count::default(), 0.999), 0.0), "nothing happened, nothing burnt");
    }

    #[test]
    fn what_takes_as_long_as_was_promised_is_good() {
        let slo = a_slo();
        slo.took(Promise::Durable, Duration::from_millis(250), 97);
        slo.took(Promise::Durable, Duration::from_micros(250_001), 3);
        let durable = standing(&slo, Promise::Durable);
        assert_eq!((durable.count, durable.within), (Count { good: 97, all: 100 }, Some(Duration::from_millis(250))));
        assert!(durable.burning.iter().all(|each| close_to(each.rate, 3.0)) && close_to(durable.budget_left, -2.0));
        assert_eq!(durable.alarm, None);
    }

    #[test]
    fn an_alarm_needs_both_windows_of_its_pair_and_ends_with_the_short_one() {
        let slo = a_slo();
        let rates = || standing(&slo, Promise::Available).burning.map(|each| each.rate);
        let alarm = || standing(&slo, Promise::Available).alarm;
        minutes(&slo, 360, 1_000, 1_000);
        minutes(&slo, 5, 800, 1_000);
        // The running minute is the first of a window, so that four of the five bad ones are in the shortest.
        let expected = [200.0, 1_000.0 / 29.0, 1_000.0 / 59.0, 1_000.0 / 359.0];
        assert!(rates().iter().zip(expected).all(|(rate, expected)| close_to(*rate, expected)), "{:?}", rates());
        assert_eq!(alarm(), Some(Alarm::Fast));
        minutes(&slo, 5, 1_000, 1_000);
        assert_eq!(alarm(), None, "the pair of six hours is at 2.8");
        minutes(&slo, 10, 700, 1_000);
        minutes(&slo, 5, 1_000, 1_000);
        assert_eq!(alarm(), Some(Alarm::Slow), "{:?}", rates());
        minutes(&slo, 30, 1_000, 1_000);
        assert_eq!(alarm(), None, "{:?}", rates());
    }

    #[test]
    fn the_budget_forgets_what_is_older_than_thirty_days_and_memory_is_bounded() {
        let slo = a_slo();
        minutes(&slo, 60, 0, 1_000);
        minutes(&slo, 60 * 23, 1_000, 1_000);
        let left = standing(&slo, Promise::Available).budget_left;
        assert!(close_to(left, 1.0 - 1_000.0 / 24.0), "{left}: one hour of a day, since there is no more");
        minutes(&slo, 60 * 24 * 30, 1_000, 1_000);
        assert!(close_to(standing(&slo, Promise::Available).budget_left, 1.0));
        let past = slo.past.lock().unwrap();
        assert_eq!((past.minutes.len(), past.hours.len()), (360, 720));
    }

    #[test]
    fn damage_of_the_journal_is_what_was_not_kept() {
        let slo = a_slo();
        slo.count(Promise::Kept, 997, 997);
        assert_eq!(standing(&slo, Promise::Kept).count, Count { good: 997, all: 1_000 });
    }
}

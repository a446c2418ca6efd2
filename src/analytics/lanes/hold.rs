//! Messages that wait a moment in front of a lane, so that those that overtook each other on the way are judged in the order of their
//! readings. Bounded, and told the time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::domain::{Delivery, Timestamp};

/// Messages that are held at most, some 40 MB of them; beyond it the ones that waited longest go on early.
const MOST_HELD: usize = 65_536;

/// By the time of its oldest reading, then by arrival.
type Key = (Timestamp, u64);

#[derive(Debug)]
pub(super) struct Hold {
    /// Zero: nothing is held.
    pub lasts: Duration,
    by_time: BTreeMap<Key, Delivery>,
    /// When each of them came, in that order; may still name what has gone on.
    came: VecDeque<(Instant, Key)>,
    next: u64,
}

impl Hold {
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, by_time: BTreeMap::new(), came: VecDeque::new(), next: 0 }
    }

    /// Takes what came, and leaves there what may be judged now: what has waited long enough, and before it everything that is older.
    pub fn pass(&mut self, deliveries: &mut Vec<Delivery>, now: Instant) {
        if self.lasts.is_zero() {
            return;
        }
        for delivery in deliveries.drain(..) {
            // What has no readings, only what was wrong with them, has no place in an order.
            let oldest = delivery.readings.iter().map(|reading| reading.recorded_at).min().unwrap_or_default();
            let key = (oldest, self.next);
            self.next += 1;
            self.came.push_back((now, key));
            self.by_time.insert(key, delivery);
        }
        while let Some((came, key)) = self.came.front().copied() {
            if now.duration_since(came) < self.lasts && self.by_time.len() <= MOST_HELD {
                return;
            }
            self.came.pop_front();
            self.release_up_to(key, deliveries);
        }
    }

    /// Everything: the lane ends.
    pub fn end(&mut self, deliveries: &mut Vec<Delivery>) {
        deliveries.extend(std::mem::take(&mut self.by_time).into_values());
        self.came.clear();
    }

    fn release_up_to(&mut self, key: Key, deliveries: &mut Vec<Delivery>) {
        if self.by_time.contains_key(&key) {
            let newer = self.by_time.split_off(&(key.0, key.1 + 1));
            deliveries.extend(std::mem::replace(&mut self.by_time, newer).into_values());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::fixtures::reading_of;
    use crate::domain::{Receipt, signal};

    fn delivery(seconds: i64) -> Delivery {
        let reading = reading_of("truck-7", seconds, &[(signal::SPEED, 50.0)]);
        Delivery { slot: reading.vehicle_id.slot(), readings: vec![reading], quarantined: Vec::new(), receipt: Receipt::new().0 }
    }

    fn order(deliveries: &[Delivery], of: &[i64]) -> bool {
        let seconds = |delivery: &Delivery| delivery.readings[0].recorded_at;
        deliveries.iter().map(seconds).eq(of.iter().map(|seconds| delivery(*seconds).readings[0].recorded_at))
    }

    #[test]
    fn what_overtook_on_the_way_is_put_back_behind_and_nothing_waits_longer_than_it_is_held() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut hold = Hold::new(Duration::from_secs(2));
        let mut came = vec![delivery(30), delivery(60)];
        hold.pass(&mut came, after(0));
        assert!(came.is_empty());
        came.push(delivery(0));
        hold.pass(&mut came, after(1));
        assert!(came.is_empty());
        hold.pass(&mut came, after(2));
        assert!(order(&came, &[0, 30, 60]), "the late one goes before those that it belongs before: {came:?}");
        came.clear();
        came.push(delivery(20));
        hold.pass(&mut came, after(3));
        assert!(came.is_empty(), "too late for its place, and held like everybody");
        hold.pass(&mut came, after(5));
        assert!(order(&came, &[20]));
        came.clear();
        came.extend([delivery(120), delivery(90)]);
        hold.pass(&mut came, after(5));
        hold.end(&mut came);
        assert!(order(&came, &[90, 120]));
    }

    #[test]
    fn without_a_hold_everything_passes_as_it_came() {
        let mut came = vec![delivery(30), delivery(0)];
        Hold::new(Duration::ZERO).pass(&mut came, Instant::now());
        assert!(order(&came, &[30, 0]));
    }

    #[test]
    fn a_flood_does_not_fill_the_memory() {
        let mut hold = Hold::new(Duration::from_secs(5));
        let now = Instant::now();
        let mut came: Vec<_> = (0..=70_000).map(delivery).collect();
        hold.pass(&mut came, now);
        assert_eq!((came.len(), hold.by_time.len()), (70_001 - MOST_HELD, MOST_HELD));
        assert!(came.is_sorted_by_key(|delivery| delivery.readings[0].recorded_at));
    }
}

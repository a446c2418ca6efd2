//! The newest changes of alerts, in order, for whoever follows them: each once, none passed over silently. Keeps few; the archive has all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::domain::AlertEvent;

/// Changes that are kept, a few kB each. A follower that is further behind is told so, and looks at the open alerts instead.
const MAX_KEPT: usize = 4_096;

/// Changes have numbers that rise by one and are never used again, as long as each process begins above the numbers of the one before.
#[derive(Debug)]
pub struct AlertFeed {
    ring: Mutex<Ring>,
    /// The newest number. Sent under the lock of `ring`, so that numbers never fall.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    /// Number of the oldest in `events`; with none, of the next one.
    first: u64,
    events: VecDeque<Arc<AlertEvent>>,
}

/// One follower: a place in the feed, no queue of its own.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<AlertFeed>,
    newest: watch::Receiver<u64>,
    /// The number behind which to go on.
    after: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    Event {
        sequence: u64,
        event: Arc<AlertEvent>,
    },
    /// Some changes are not kept any more. The next ones come behind `sequence`; what is open at this moment says what they led to.
    Missed {
        sequence: u64,
    },
}

impl AlertFeed {
    /// `start`: the number before the first. Our clock in microseconds is above the numbers of every earlier process.
    #[must_use]
    pub fn new(start: u64) -> Self {
        let ring = Ring { first: start + 1, events: VecDeque::new() };
        Self { ring: Mutex::new(ring), newest: watch::Sender::new(start) }
    }

    /// Never waits for a follower.
    pub fn publish(&self, event: AlertEvent) {
        let mut ring = self.lock();
        if ring.events.len() == MAX_KEPT {
            ring.events.pop_front();
            ring.first += 1;
        }
        ring.events.push_back(Arc::new(event));
        self.newest.send_replace(ring.newest());
    }

    /// Changes that nobody here has heard of came before the next one: followers look at the open alerts.
    pub fn skip(&self) {
        let mut ring = self.lock();
        ring.first = ring.newest() + 2;
        ring.events.clear();
        self.newest.send_replace(ring.newest());
    }

    /// Follows from behind `after`, or from now on.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, after: Option<u64>) -> Subscription {
        let newest = self.newest.subscribe();
        let after = after.unwrap_or_else(|| *newest.borrow());
        Subscription { feed: Arc::clone(self), newest, after }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no holder panics")
    }
}

impl Ring {
    fn newest(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }
}

impl Subscription {
    /// The number behind which the next change comes.
    #[must_use]
    pub const fn after(&self) -> u64 {
        self.after
    }

    /// What comes next, if it is there already.
    pub fn take(&mut self) -> Option<Followed> {
        let ring = self.feed.lock();
        let newest = ring.newest();
        // A number that was never given out is of another process.
        if self.after + 1 < ring.first || self.after > newest {
            self.after = newest;
            return Some(Followed::Missed { sequence: newest });
        }
        let index = usize::try_from(self.after + 1 - ring.first).ok()?;
        let event = Arc::clone(ring.events.get(index)?);
        self.after += 1;
        Some(Followed::Event { sequence: self.after, event })
    }

    /// Waits for what comes next. Nothing is lost where the wait is given up. Never returns once the feed is dropped and read to its end.
    pub async fn next(&mut self) -> Followed {
        loop {
            self.newest.mark_unchanged();
            if let Some(followed) = self.take() {
                return followed;
            }
            if self.newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::alert::tests::a_full_alert_event;

    fn at_revision(revision: u32) -> AlertEvent {
        let mut event = a_full_alert_event();
        event.alert.revision = revision;
        event
    }

    fn seen(followed: Option<Followed>) -> Option<(u64, u32)> {
        match followed {
            Some(Followed::Event { sequence, event }) => Some((sequence, event.alert.revision)),
            Some(Followed::Missed { sequence }) => panic!("missed up to {sequence}"),
            None => None,
        }
    }

    #[tokio::test]
    async fn a_follower_sees_every_change_once_and_goes_on_where_it_left_off() {
        let feed = Arc::new(AlertFeed::new(100));
        let mut early = feed.subscribe(None);
        feed.publish(at_revision(0));
        feed.publish(at_revision(1));
        assert_eq!(
            (seen(Some(early.next().await)), seen(early.take()), seen(early.take())),
            (Some((101, 0)), Some((102, 1)), None)
        );
        assert_eq!(seen(feed.subscribe(None).take()), None, "from now on");
        assert_eq!(seen(feed.subscribe(Some(101)).take()), Some((102, 1)), "resumed");
        let (followed, ()) = tokio::join!(early.next(), async { feed.publish(at_revision(2)) });
        assert_eq!(seen(Some(followed)), Some((103, 2)));
    }

    #[test]
    fn who_is_too_far_behind_or_comes_from_another_process_is_told() {
        let feed = Arc::new(AlertFeed::new(0));
        let mut slow = feed.subscribe(None);
        let count = MAX_KEPT as u64 + 10;
        for _ in 0..count {
            feed.publish(at_revision(0));
        }
        assert_eq!(slow.take(), Some(Followed::Missed { sequence: count }));
        assert_eq!(slow.take(), None);
        assert_eq!(feed.lock().events.len(), MAX_KEPT);
        assert_eq!(feed.subscribe(Some(count + 1)).take(), Some(Followed::Missed { sequence: count }));
        assert_eq!(seen(feed.subscribe(Some(count - 1)).take()), Some((count, 0)));
        feed.skip();
        assert_eq!(slow.take(), Some(Followed::Missed { sequence: count + 1 }));
        feed.publish(at_revision(0));
        assert_eq!(seen(slow.take()), Some((count + 2, 0)));
    }
}

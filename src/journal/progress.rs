//! How far the journal is durable, and whether it goes on: what the writer tells readers. Decides nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Position;

/// So many damaged places are remembered, to count each once; further ones are counted whenever they are met.
const REMEMBERED_DAMAGE: usize = 65_536;

#[derive(Debug)]
pub struct Progress {
    state: Mutex<State>,
    moved: Condvar,
    durable: watch::Receiver<Position>,
    damaged: Mutex<BTreeSet<u64>>,
}

#[derive(Debug, Clone, Copy)]
pub struct State {
    pub durable: u64,
    /// The writer has ended; `durable` moves no more.
    pub ended: bool,
}

/// Held by the writer; dropping it ends the journal for its readers.
#[derive(Debug)]
pub struct ProgressSender {
    progress: Arc<Progress>,
    durable: watch::Sender<Position>,
}

impl Progress {
    pub fn start(durable: u64) -> ProgressSender {
        let (sender, receiver) = watch::channel(Position(durable));
        let state = Mutex::new(State { durable, ended: false });
        let progress = Self { state, moved: Condvar::new(), durable: receiver, damaged: Mutex::default() };
        ProgressSender { progress: Arc::new(progress), durable: sender }
    }

    pub fn watch(&self) -> watch::Receiver<Position> {
        self.durable.clone()
    }

    pub fn state(&self) -> State {
        *self.locked()
    }

    /// Waits until more than `position` is durable, the journal has ended or the time is over.
    pub fn wait_beyond(&self, position: u64, timeout: Duration) -> State {
        let until = Instant::now() + timeout;
        let mut state = self.locked();
        while state.durable <= position && !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.moved.wait_timeout(state, left).expect("no holder panics").0;
        }
        *state
    }

    /// Counts each damaged place once, however many readers meet it.
    pub fn count_damage(&self, position: u64) {
        let mut damaged = self.damaged.lock().expect("no holder panics");
        if damaged.insert(position) {
            ::metrics::counter!(crate::metrics::JOURNAL_BAD_FRAMES).increment(1);
            tracing::error!(position, "the journal is damaged here; went on with the next valid frame");
        }
        if damaged.len() > REMEMBERED_DAMAGE {
            damaged.pop_first();
        }
    }

    /// Damaged places that were met, as far as they are remembered.
    pub fn damage(&self) -> u64 {
        self.damaged.lock().expect("no holder panics").len() as u64
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl ProgressSender {
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    pub fn advance(&self, durable: u64) {
        self.progress.locked().durable = durable;
        self.progress.moved.notify_all();
        self.durable.send_replace(Position(durable));
    }
}

impl Drop for ProgressSender {
    fn drop(&mut self) {
        self.progress.locked().ended = true;
        self.progress.moved.notify_all();
    }
}

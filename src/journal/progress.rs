//! How far the journal is durable, and whether it goes on: what the writer tells readers. Decides nothing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Position;
use super::damage::DamageLog;

#[derive(Debug)]
pub struct Progress {
    state: Mutex<State>,
    moved: Condvar,
    durable: watch::Receiver<Position>,
    damage: DamageLog,
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
    pub fn start(durable: u64, damage: DamageLog) -> ProgressSender {
        let (sender, receiver) = watch::channel(Position(durable));
        let state = Mutex::new(State { durable, ended: false });
        let progress = Self { state, moved: Condvar::new(), durable: receiver, damage };
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

    pub const fn damage(&self) -> &DamageLog {
        &self.damage
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

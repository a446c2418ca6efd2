//! Ends runs that take too long: a lane that waits for a model for ever would be a lane lost. One thread for all models of a process; it
//! looks at them a few times a second and asks the runtime to end what is over its time. The runtime does so between two nodes of the
//! graph, so that one node that never ends cannot be stopped; the operators of the standard, loops excepted, have none.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use ort::session::RunOptions;

/// ARCHITECTURE, R10.
pub const RUN_LIMIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The runs of one session, one at a time.
pub(super) struct Watched {
    options: RunOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    began: Option<Instant>,
    was_stopped: bool,
}

/// Begins to watch; the thread starts with the first one.
///
/// # Errors
/// Where there is no thread or no run options to be had.
pub(super) fn watch() -> Result<Arc<Watched>, String> {
    static ALL: OnceLock<Result<Mutex<Vec<Weak<Watched>>>, String>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let thread = std::thread::Builder::new().name("model watchdog".to_owned());
        let watch_all = || {
            loop {
                std::thread::park_timeout(LOOK_EVERY);
                if let Some(Ok(all)) = ALL.get() {
                    lock(all).retain(|watched| watched.upgrade().inspect(|watched| watched.look()).is_some());
                }
            }
        };
        thread.spawn(watch_all).map(|_| Mutex::default()).map_err(|error| format!("no thread for the watchdog: {error}"))
    });
    let options = RunOptions::new().map_err(|error| error.to_string())?;
    let watched = Arc::new(Watched { options, state: Mutex::default() });
    lock(all.as_ref().map_err(Clone::clone)?).push(Arc::downgrade(&watched));
    Ok(watched)
}

impl Watched {
    pub(super) const fn options(&self) -> &RunOptions {
        &self.options
    }

    pub(super) fn begin(&self) {
        let mut state = lock(&self.state);
        *state = State { began: Some(Instant::now()), was_stopped: false };
    }

    /// Whether the run was stopped; the session can run again.
    pub(super) fn end(&self) -> bool {
        let mut state = lock(&self.state);
        state.began = None;
        if state.was_stopped {
            // Fails only for want of memory; the next run then says so.
            let _reset = self.options.unterminate();
        }
        state.was_stopped
    }

    fn look(&self) {
        let mut state = lock(&self.state);
        let is_over = state.began.is_some_and(|began| began.elapsed() > RUN_LIMIT);
        if is_over && !state.was_stopped {
            state.was_stopped = self.options.terminate().is_ok();
        }
    }
}

/// A panic elsewhere leaves nothing half done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

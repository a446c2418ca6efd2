//! A value that is made of files, and made again when they change. A file that is half written or wrong keeps the value that was.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

/// Files are looked at no oftener than this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Make<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// Cheap to ask: at most once a second it looks at the files, which are few and small.
pub struct Watched<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    /// Of the files as they were when they were last read, well or not.
    seen: Vec<Option<Mark>>,
    looked_at: Instant,
}

/// By which a file is known to be another than before.
#[derive(PartialEq, Eq)]
struct Mark {
    written_at: Option<SystemTime>,
    bytes: u64,
    number: u64,
}

impl<T> Watched<T> {
    /// `what` names the value in the log. Empty paths are left out of `files`.
    ///
    /// # Errors
    /// Where the value cannot be made of the files as they are.
    pub fn new<E: Display>(
        what: &'static str,
        files: impl IntoIterator<Item = PathBuf>,
        make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let files: Vec<PathBuf> = files.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
        // Before they are read: what changes meanwhile is seen next time.
        let seen = marks(&files);
        let value = Arc::new(make()?);
        let state = Mutex::new(State { value, seen, looked_at: Instant::now() });
        let make = Box::new(move || make().map_err(|error| error.to_string()));
        Ok(Self { what, files, make, state })
    }

    /// As the files are, or were when they last made sense.
    pub fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().expect("nobody panics while holding it");
        if !self.files.is_empty() && state.looked_at.elapsed() >= LOOK_EVERY {
            state.looked_at = Instant::now();
            let seen = marks(&self.files);
            if seen != state.seen {
                state.seen = seen;
                match (self.make)() {
                    Ok(value) => {
                        info!(what = self.what, "read again, since its files have changed");
                        state.value = Arc::new(value);
                    }
                    Err(error) => {
                        warn!(what = self.what, %error, "its files have changed and are wrong; what was before stays in force");
                    }
                }
            }
        }
        Arc::clone(&state.value)
    }
}

fn marks(files: &[PathBuf]) -> Vec<Option<Mark>> {
    use std::os::unix::fs::MetadataExt as _;
    let mark = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some(Mark { written_at: metadata.modified().ok(), bytes: metadata.len(), number: metadata.ino() })
    };
    files.iter().map(mark).collect()
}

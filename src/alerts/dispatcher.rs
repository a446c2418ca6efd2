//! Carries changes of alerts from the journal into the outbox: at least once, in order, skipping none. Runs on a thread of its own, since
//! it reads files. Who gets them, and whether he is there, is not its business: `redis_stream`.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::outbox::{Outbox, OutboxError};
use super::watcher::next_events;
use crate::clock;
use crate::domain::{AlertEvent, SignalTable};
use crate::journal::{JournalError, More, Position, Reader};

/// Name of this consumer's cursor in the journal.
pub const CURSOR: &str = "alert-outbox";

const IDLE: Duration = Duration::from_secs(1);
/// The cursor is written this often: what is met again after a crash waits already, or is sent twice.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
const WAIT_AFTER_ERROR: Duration = Duration::from_secs(1);
const LOG_EVERY: Duration = Duration::from_mins(1);
/// At shutdown, with a disk that takes nothing: what is left waits in the journal for the next start.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// Everything the dispatcher needs; [`Dispatcher::run`] works until the journal is closed and read to its end.
pub struct Dispatcher {
    /// Of [`CURSOR`].
    pub reader: Reader,
    /// Closed once the journal takes nothing more.
    pub durable: watch::Receiver<Position>,
    pub table: Arc<SignalTable>,
    pub outbox: Outbox,
    /// Told of each batch, and closed at the end: who sends waits for it.
    pub arrived: watch::Sender<()>,
    pub runtime: Handle,
}

#[derive(Debug, thiserror::Error)]
enum DispatchError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// Where no alert queue is wanted: an earlier cursor would hold the journal for ever. What is in it by then is not sent later.
///
/// # Errors
/// Where the file is there and cannot be removed.
pub fn forget(journal: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(journal.join(format!("{CURSOR}.cursor"))) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Dispatcher {
    /// Blocks. Returns once the journal is closed and everything is in the outbox, or cannot be put there.
    pub fn run(mut self) {
        // Read and not yet in the outbox.
        let mut events = Vec::new();
        let mut last_commit = Instant::now();
        let mut last_logged: Option<Instant> = None;
        let mut closed_since: Option<Instant> = None;
        loop {
            let more = if events.is_empty() { self.reader.wait_for_more(IDLE) } else { More::Ready };
            let result = self.step(more, &mut events, &mut last_commit);
            if let Err(error) = result {
                if last_logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
                    last_logged = Some(Instant::now());
                    tracing::warn!(%error, "alerts cannot be put into the outbox, the journal keeps them; will retry");
                }
                let is_closed = self.durable.has_changed().is_err();
                if is_closed && closed_since.get_or_insert_with(Instant::now).elapsed() >= GIVE_UP_AFTER {
                    return;
                }
                thread::sleep(WAIT_AFTER_ERROR);
            } else if more == More::Ended {
                return;
            }
        }
    }

    fn step(&mut self, more: More, events: &mut Vec<AlertEvent>, last_commit: &mut Instant) -> Result<(), DispatchError> {
        if more == More::Ready {
            if events.is_empty() {
                *events = next_events(&mut self.reader, &self.table)?;
            }
            if !events.is_empty() {
                self.runtime.block_on(self.outbox.put(events, clock::now()))?;
                events.clear();
                self.arrived.send_replace(());
            }
        }
        // Only what is in the outbox may the journal forget.
        if more == More::Ended || last_commit.elapsed() >= COMMIT_EVERY {
            *last_commit = Instant::now();
            self.reader.commit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Slot;
    use crate::journal::{Batch, Journal};
    use crate::settings;
    use crate::tasks::Tasks;
    use crate::wire::alert::tests::a_full_alert_event;
    use crate::wire::alert_json::event_id;
    use crate::wire::record::RecordEncoder;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_outbox_does_not_take_stays_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings::Journal { segment: settings::ByteSize::from_kib(256), max: settings::ByteSize::from_mib(16) };
        let tasks = Tasks::default();
        let (journal, recovery) = Journal::open(folder.path(), &settings, &tasks).unwrap();
        drop(recovery);
        let event = a_full_alert_event();
        let file = folder.path().join("alerts.sqlite");
        let dispatcher = |journal: &Journal, outbox| Dispatcher {
            reader: journal.reader(CURSOR).unwrap(),
            durable: journal.durable(),
            table: Arc::default(),
            outbox,
            arrived: watch::channel(()).0,
            runtime: Handle::current(),
        };
        let outbox = Outbox::open(&file).await.unwrap();
        outbox.close().await;
        let mut refused = dispatcher(&journal, outbox);
        let mut batch = Batch::new();
        batch.push(Slot::of("truck-7"), 1, |out| RecordEncoder::alert_event(&event, out));
        journal.submit(batch).unwrap();
        tokio::task::block_in_place(|| {
            assert_eq!(refused.reader.wait_for_more(WAIT_AFTER_ERROR), More::Ready);
            let (mut events, mut long_ago) = (Vec::new(), Instant::now().checked_sub(COMMIT_EVERY).unwrap());
            for _attempt in 0..2 {
                assert!(matches!(refused.step(More::Ready, &mut events, &mut long_ago), Err(DispatchError::Outbox(_))));
            }
        });
        drop((refused, journal));
        tasks.finished().await.unwrap();

        let (journal, recovery) = Journal::open(folder.path(), &settings, &tasks).unwrap();
        drop(recovery);
        let outbox = Outbox::open(&file).await.unwrap();
        let again = dispatcher(&journal, outbox.clone());
        drop(journal);
        tokio::task::block_in_place(|| again.run());
        let waiting = outbox.oldest(10).await.unwrap();
        assert_eq!(waiting.iter().map(|each| &each.id).collect::<Vec<_>>(), [&event_id(&event)]);
    }
}

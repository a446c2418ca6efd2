//! Reads the changes of alerts off the journal, in order, once they are durable. Runs on a thread of its own, since it reads files.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::domain::{AlertEvent, SignalTable};
use crate::journal::{JournalError, More, Reader};
use crate::wire::record::{Record, decode_record, is_alert_event};

/// Name of this consumer's cursor in the journal.
pub const CURSOR: &str = "alerts";

/// Frames of one look; most of them are readings, which are passed over.
const FRAMES_MAX: usize = 4_096;
const IDLE: Duration = Duration::from_secs(1);
/// The cursor is written this often: each write is a sync, and a change that is met again changes nothing.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
const WAIT_AFTER_ERROR: Duration = Duration::from_secs(1);
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Blocks. Returns once the journal is closed and read to its end, or cannot be read any more at that time.
pub fn run(mut reader: Reader, table: &Arc<SignalTable>, mut take: impl FnMut(AlertEvent)) {
    let mut last_commit = Instant::now();
    let mut last_logged: Option<Instant> = None;
    loop {
        let more = reader.wait_for_more(IDLE);
        let result = match more {
            More::Ended => reader.commit(),
            More::TimedOut if last_commit.elapsed() >= COMMIT_EVERY => reader.commit(),
            More::TimedOut => Ok(()),
            More::Ready => pass_on(&mut reader, table, &mut take, &mut last_commit),
        };
        if let Err(error) = result {
            if last_logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
                last_logged = Some(Instant::now());
                tracing::warn!(%error, "alerts cannot be read from the journal; will retry");
            }
            if more != More::Ended {
                thread::sleep(WAIT_AFTER_ERROR);
            }
        }
        if more == More::Ended {
            return;
        }
    }
}

fn pass_on(
    reader: &mut Reader,
    table: &SignalTable,
    take: &mut impl FnMut(AlertEvent),
    last_commit: &mut Instant,
) -> Result<(), JournalError> {
    next_events(reader, table)?.into_iter().for_each(take);
    if last_commit.elapsed() >= COMMIT_EVERY {
        *last_commit = Instant::now();
        reader.commit()?;
    }
    Ok(())
}

/// The changes of alerts in the next frames, if any.
pub(super) fn next_events(reader: &mut Reader, table: &SignalTable) -> Result<Vec<AlertEvent>, JournalError> {
    let frames = reader.next(FRAMES_MAX)?;
    let events = frames.iter().filter(|frame| is_alert_event(&frame.payload)).filter_map(|frame| {
        match decode_record(&frame.payload, frame.arrival, table) {
            Ok(Record::AlertEvent(event)) => Some(*event),
            Ok(_) => None,
            // The archive writer meets it too, and keeps it in the quarantine.
            Err(error) => {
                tracing::error!(%error, "a change of an alert cannot be read");
                None
            }
        }
    });
    Ok(events.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::domain::Slot;
    use crate::journal::{Batch, Journal};
    use crate::settings;
    use crate::tasks::Tasks;
    use crate::wire::alert::tests::a_full_alert_event;
    use crate::wire::record::RecordEncoder;

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_come_out_in_order_and_only_once_they_are_durable() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings::Journal { segment: settings::ByteSize::from_kib(256), max: settings::ByteSize::from_mib(16) };
        let tasks = Tasks::default();
        let (journal, recovery) = Journal::open(folder.path(), &settings, &tasks).unwrap();
        drop(recovery);
        let reader = journal.reader(CURSOR).unwrap();
        let (sender, events) = mpsc::sync_channel(16);
        let watching = thread::spawn(move || run(reader, &Arc::default(), move |event| sender.send(event).unwrap()));
        for revision in 0..3 {
            let mut event = a_full_alert_event();
            event.alert.revision = revision;
            let mut batch = Batch::new();
            batch.push(Slot::of("truck-7"), u64::from(revision), |out| RecordEncoder::alert_event(&event, out));
            journal.submit(batch).unwrap();
        }
        drop(journal);
        tasks.finished().await.unwrap();
        watching.join().unwrap();
        let revisions: Vec<u32> = events.iter().map(|event| event.alert.revision).collect();
        assert_eq!(revisions, [0, 1, 2]);
        let (journal, _recovery) = Journal::open(folder.path(), &settings, &tasks).unwrap();
        assert_eq!(journal.reader(CURSOR).unwrap().next(usize::MAX).unwrap().len(), 0, "what was heard holds no space");
    }
}

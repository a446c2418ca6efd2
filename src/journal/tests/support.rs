//! Journals on a disk of the test's choice, and the dull part of filling and reading them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::domain::{Outcome, Receipt, Slot};
use crate::journal::disk::Disk;
use crate::journal::simulated_disk::SimulatedDisk;
use crate::journal::{Batch, Frame, Journal, JournalError, Reader, Recovery, Start};
use crate::settings;
use crate::tasks::{TaskError, Tasks};

pub const DIRECTORY: &str = "journal";

/// Longer than anything takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn slot(number: u16) -> Slot {
    Slot::from_number(number).unwrap()
}

pub fn settings(segment_kib: u64, max_kib: u64) -> settings::Journal {
    let kib = settings::ByteSize::from_kib;
    settings::Journal { segment: kib(segment_kib), max: kib(max_kib) }
}

/// A runtime for the journal's threads, and the journal on a simulated disk.
pub struct Running {
    runtime: Runtime,
    tasks: Tasks,
    pub journal: Journal,
}

impl Running {
    pub fn open(disk: &SimulatedDisk, settings: &settings::Journal) -> (Self, Recovery) {
        Self::try_open(disk, settings).unwrap()
    }

    pub fn try_open(disk: &SimulatedDisk, settings: &settings::Journal) -> Result<(Self, Recovery), JournalError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let directory = Path::new(DIRECTORY);
        Self::start(|tasks| Start { disk, directory, settings, lock: None }.run(tasks))
    }

    pub fn open_real(directory: &Path, settings: &settings::Journal) -> Result<(Self, Recovery), JournalError> {
        Self::start(|tasks| Journal::open(directory, settings, tasks))
    }

    fn start(open: impl FnOnce(&Tasks) -> Result<(Journal, Recovery), JournalError>) -> Result<(Self, Recovery), JournalError> {
        let runtime = Runtime::new().unwrap();
        let tasks = Tasks::default();
        let entered = runtime.enter();
        let (journal, recovery) = open(&tasks)?;
        drop(entered);
        Ok((Self { runtime, tasks, journal }, recovery))
    }

    /// One batch of one frame; what became of its receipt arrives in the channel.
    pub fn submit(&self, slot_number: u16, arrival: u64, payload: &[u8]) -> oneshot::Receiver<Outcome> {
        let mut batch = Batch::new();
        batch.push(slot(slot_number), arrival, |out| out.extend_from_slice(payload));
        self.submit_batch(batch)
    }

    pub fn submit_batch(&self, mut batch: Batch) -> oneshot::Receiver<Outcome> {
        let (receipt, outcome) = Receipt::new();
        batch.promise(receipt, Outcome { accepted: 1, duplicates: 0 });
        let _closed = self.journal.submit(batch);
        outcome
    }

    /// Submits and waits until it is durable.
    pub fn keep(&self, slot_number: u16, arrival: u64, payload: &[u8]) {
        self.submit(slot_number, arrival, payload).blocking_recv().unwrap();
    }

    /// Drops the handle and waits for the threads to end.
    pub fn close(self) -> Result<(), TaskError> {
        let Self { runtime, tasks, journal } = self;
        drop(journal);
        runtime.block_on(async { tokio::time::timeout(PATIENCE, tasks.finished()).await.expect("the journal ends") })
    }
}

/// Everything durable that was not read yet.
pub fn drain(reader: &mut Reader) -> Vec<Frame> {
    let mut all = Vec::new();
    loop {
        let frames = reader.next(7).unwrap();
        if frames.is_empty() {
            return all;
        }
        all.extend(frames);
    }
}

/// Slot, arrival and payload.
pub fn contents(frames: &[Frame]) -> Vec<(u16, u64, Vec<u8>)> {
    frames.iter().map(|frame| (frame.slot.number(), frame.arrival, frame.payload.to_vec())).collect()
}

pub fn arrivals(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|frame| frame.arrival).collect()
}

/// Asks again and again, without a pause of fixed length deciding the result.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::yield_now();
    }
}

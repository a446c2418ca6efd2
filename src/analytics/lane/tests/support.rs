//! A journal in a folder of its own that can be opened again and again, and lanes on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::analytics::alerting::CommandRefused;
use crate::analytics::blueprint::Records;
use crate::analytics::fixtures::model;
use crate::analytics::lane::{Lane, LaneParts, Obeyed};
use crate::analytics::lanes::lane_of;
use crate::analytics::scoring::Scoring;
use crate::domain::{Assessment, Command, Delivery, Outcome, Reading, Receipt, SignalTable};
use crate::journal::{Batch, Frame, Journal};
use crate::settings;
use crate::tasks::Tasks;
use crate::wire::record::{Record, decode_record};

pub const GROUPS: usize = 3;

/// The folder; what is in it outlives the fleets.
pub struct Line {
    folder: tempfile::TempDir,
    table: Arc<SignalTable>,
}

/// Lanes on the journal of a line. Dropped, everything they submitted is on disk.
pub struct Fleet {
    pub lanes: Vec<Lane>,
    journal: Option<Journal>,
    tasks: Tasks,
    runtime: Runtime,
}

/// Deliveries, and where their outcomes will be told.
#[derive(Default)]
pub struct Deliveries {
    pub waiting: Vec<Delivery>,
    outcomes: Vec<oneshot::Receiver<Outcome>>,
}

/// What came of deliveries.
#[derive(Default)]
pub struct Told {
    pub newest: Vec<Assessment>,
    outcomes: Vec<oneshot::Receiver<Outcome>>,
}

impl Line {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), table: Arc::default() }
    }

    pub fn start(&self, lanes: usize, models: &[&str]) -> Fleet {
        let (runtime, tasks) = (Runtime::new().unwrap(), Tasks::default());
        let entered = runtime.enter();
        let (journal, recovery) = Journal::open(self.folder.path(), &journal_settings(), &tasks).unwrap();
        drop(entered);
        let build = |_| {
            let models = models.iter().map(|name| model(name)).collect();
            let parts = LaneParts {
                table: Arc::clone(&self.table),
                scoring: Scoring::new(models, &self.table, 16).unwrap(),
                checks: Arc::default(),
                records: Records::default(),
                window_bytes: 64 << 10,
                checkpoint_groups: GROUPS,
            };
            Lane::new(parts, &*recovery.next_arrival)
        };
        let mut all: Vec<Lane> = (0..lanes).map(build).collect();
        recovery.vehicles.into_iter().for_each(|saved| all[lane_of(saved.slot, lanes)].restore(saved).unwrap());
        recovery.tail.for_each(|frame| all[lane_of(frame.slot, lanes)].replay(&frame).unwrap());
        Fleet { lanes: all, journal: Some(journal), tasks, runtime }
    }

    /// Everything in the journal, decoded.
    pub fn records(&self) -> Vec<Record> {
        let frames = self.start(1, &[]).frames();
        frames.iter().map(|frame| decode_record(&frame.payload, frame.arrival, &self.table).unwrap()).collect()
    }

    pub fn assessments(&self) -> Vec<Assessment> {
        let assessments = self.records().into_iter().filter_map(|record| match record {
            Record::Assessment(assessment) => Some(*assessment),
            Record::Quarantined(_) | Record::AlertEvent(_) => None,
        });
        assessments.collect()
    }
}

impl Fleet {
    /// One delivery per list of readings, all in one batch per lane.
    pub fn assess(&mut self, messages: Vec<Vec<Reading>>) -> Told {
        self.assess_deliveries(Deliveries::of(messages))
    }

    pub fn assess_deliveries(&mut self, deliveries: Deliveries) -> Told {
        let count = self.lanes.len();
        let mut told = Told { newest: Vec::new(), outcomes: deliveries.outcomes };
        let mut by_lane: Vec<Vec<Delivery>> = (0..count).map(|_| Vec::new()).collect();
        for delivery in deliveries.waiting {
            by_lane[lane_of(delivery.slot, count)].push(delivery);
        }
        for (lane, mut waiting) in self.lanes.iter_mut().zip(by_lane) {
            let mut batch = Batch::new();
            lane.assess(&mut waiting, &mut batch, &mut told.newest);
            self.journal.as_ref().unwrap().submit(batch).unwrap();
        }
        told
    }

    pub fn command(&mut self, command: &Command) -> Result<Obeyed, CommandRefused> {
        let lane = lane_of(command.vehicle_id.slot(), self.lanes.len());
        let mut batch = Batch::new();
        let obeyed = self.lanes[lane].command(command, &mut batch)?;
        self.journal.as_ref().unwrap().submit(batch).unwrap();
        Ok(obeyed)
    }

    /// Everything in the journal.
    pub fn frames(&self) -> Vec<Frame> {
        self.journal.as_ref().unwrap().reader("test").unwrap().next(usize::MAX).unwrap()
    }

    pub fn checkpoint(&mut self, group: usize) {
        self.save(group);
    }

    /// How many lanes had something to save.
    pub fn checkpoint_all(&mut self) -> usize {
        (0..GROUPS).map(|group| self.save(group)).sum()
    }

    fn save(&mut self, group: usize) -> usize {
        let checkpoints: Vec<_> = self.lanes.iter_mut().filter_map(|lane| lane.checkpoint(group)).collect();
        let count = checkpoints.len();
        for checkpoint in checkpoints {
            self.journal.as_ref().unwrap().checkpoint(checkpoint).unwrap();
        }
        count
    }

    /// Every vehicle as it would be saved now, and the numbers of its slot.
    pub fn states(&self) -> BTreeMap<String, (Vec<u8>, u64)> {
        let mut states = BTreeMap::new();
        for lane in &self.lanes {
            for owned in &lane.vehicles {
                let mut bytes = Vec::new();
                owned.state.encode(&lane.layout, &mut bytes);
                let next_arrival = lane.slots[usize::from(owned.slot.number())].next_arrival;
                states.insert(owned.id.to_string(), (bytes, next_arrival));
            }
        }
        states
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.journal = None;
        let finished = self.runtime.block_on(self.tasks.finished());
        if !std::thread::panicking() {
            finished.unwrap();
        }
    }
}

impl Deliveries {
    pub fn of(messages: Vec<Vec<Reading>>) -> Self {
        let mut deliveries = Self::default();
        for readings in messages {
            let (receipt, outcome) = Receipt::new();
            let slot = readings[0].vehicle_id.slot();
            deliveries.waiting.push(Delivery { slot, readings, quarantined: Vec::new(), receipt });
            deliveries.outcomes.push(outcome);
        }
        deliveries
    }
}

impl Told {
    /// In the order of the deliveries; waits until all are durable.
    pub fn outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_iter().map(|outcome| outcome.blocking_recv().unwrap()).collect()
    }

    pub fn append(&mut self, mut other: Self) {
        self.newest.append(&mut other.newest);
        self.outcomes.append(&mut other.outcomes);
    }
}

fn journal_settings() -> settings::Journal {
    settings::Journal { segment: settings::ByteSize::from_kib(256), max: settings::ByteSize::from_mib(16) }
}

//! Many tasks, each with a vehicle, into the real lanes and their journal: decode, deliver, wait for the receipt, again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::Barrier;

use super::cell::as_f64;
use super::{ScoringBench, ScoringError};
use crate::analytics::blueprint::{Blueprint, ModelSource, Records};
use crate::analytics::lanes::{self, LaneInlet, LaneStart, Publish};
use crate::bench::readings::Drive;
use crate::domain::{Assessment, Delivery, Receipt, SignalTable, Source, Timestamp, VehicleId};
use crate::journal::Journal;
use crate::settings::{self, ByteSize};
use crate::tasks::Tasks;
use crate::wire::decode::{DecodeContext, Format, decode};

/// Fills the windows, so that models score what is measured.
const HISTORY: usize = 16;
const EVERY: Duration = Duration::from_secs(30);

/// 2025-11-24T16:00:00Z: the time of vehicles is of no matter here, as long as it goes on.
const FIRST_MICROS: i64 = 1_764_000_000_000_000;

const LONGEST_MICROS: u64 = 600_000_000;

pub(super) struct TaskCell<'a> {
    pub bench: &'a ScoringBench,
    pub source: &'a ModelSource,
    pub lanes: usize,
    pub tasks: usize,
}

pub(super) struct TasksMeasured {
    pub model: String,
    pub tasks: usize,
    pub lanes: usize,
    pub readings_per_second: f64,
    /// From before decoding to durable.
    pub micros: Histogram<u64>,
    pub batch_readings: Histogram<u64>,
    pub scored_share: f64,
}

/// What lanes and tasks tell while it is measured.
struct Tally {
    is_measured: AtomicBool,
    scored: AtomicU64,
    published: AtomicU64,
    batch_readings: Mutex<Histogram<u64>>,
    micros: Mutex<Histogram<u64>>,
    finished: Mutex<Vec<Finished>>,
}

/// Of one task: how many readings in which time.
struct Finished {
    readings: usize,
    within: Duration,
}

impl TaskCell<'_> {
    pub(super) fn measure(&self) -> Result<TasksMeasured, ScoringError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ScoringError::Threads)?;
        runtime.block_on(self.run())
    }

    async fn run(&self) -> Result<TasksMeasured, ScoringError> {
        let scratch = &self.bench.scratch;
        let folder = tempfile::Builder::new().prefix("odograph-bench-").tempdir_in(scratch);
        let folder = folder.map_err(|source| ScoringError::Scratch { path: scratch.clone(), source })?;
        let (line, senders) = (Tasks::default(), Tasks::default());
        let tally = Arc::new(Tally::new());
        let (inlet, model) = self.start_lanes(folder.path(), &line, &tally)?;
        let barrier = Arc::new(Barrier::new(self.tasks));
        for number in 0..self.tasks {
            let sender = Sender {
                inlet: inlet.clone(),
                tally: Arc::clone(&tally),
                barrier: Arc::clone(&barrier),
                vehicle: a_vehicle(number),
                drive: Drive::new(number as u64),
                table: SignalTable::default(),
                next: 0,
                payload: Vec::new(),
            };
            senders.spawn("a sender", sender.run(self.bench.seconds_of_tasks));
        }
        drop(inlet);
        let ended = |error: crate::tasks::TaskError| ScoringError::Line(error.to_string());
        senders.finished().await.map_err(ended)?;
        line.request_stop();
        line.finished().await.map_err(ended)?;
        Ok(self.sum_up(model, &tally))
    }

    fn start_lanes(
        &self,
        folder: &std::path::Path,
        line: &Tasks,
        tally: &Arc<Tally>,
    ) -> Result<(LaneInlet, String), ScoringError> {
        let journal = settings::Journal { max: ByteSize::from_mib(64 * 1024), ..settings::Journal::default() };
        let (journal, recovery) = Journal::open(folder, &journal, line)?;
        let blueprint = Blueprint {
            settings: settings::Analytics { lanes: self.lanes, ..settings::Analytics::default() },
            table: Arc::default(),
            models: vec![self.source.clone()],
            checks: Arc::default(),
            records: Records::default(),
            library: self.bench.library.clone(),
        };
        let model = self.source.origin.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let publish = |_lane| -> Publish {
            let tally = Arc::clone(tally);
            Box::new(move |newest| tally.take(newest))
        };
        let started = lanes::start(LaneStart {
            blueprint: &blueprint,
            journal: Arc::new(journal),
            recovery,
            publish,
            slo: Arc::default(),
            tasks: line,
        })?;
        Ok((started.inlet, model))
    }

    fn sum_up(&self, model: String, tally: &Tally) -> TasksMeasured {
        let finished = tally.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = |task: &Finished| as_f64(task.readings) / task.within.as_secs_f64();
        let published = tally.published.load(Ordering::Relaxed).max(1);
        let scored = tally.scored.load(Ordering::Relaxed);
        let copy = |histogram: &Mutex<Histogram<u64>>| histogram.lock().unwrap_or_else(PoisonError::into_inner).clone();
        TasksMeasured {
            model,
            tasks: self.tasks,
            lanes: self.lanes,
            readings_per_second: finished.iter().map(rate).sum(),
            micros: copy(&tally.micros),
            batch_readings: copy(&tally.batch_readings),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53 readings")]
            scored_share: scored as f64 / published as f64,
        }
    }
}

impl Tally {
    fn new() -> Self {
        let histogram = || Mutex::new(Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("the bounds are right"));
        Self {
            is_measured: AtomicBool::new(false),
            scored: AtomicU64::new(0),
            published: AtomicU64::new(0),
            batch_readings: histogram(),
            micros: histogram(),
            finished: Mutex::new(Vec::new()),
        }
    }

    /// One batch of a lane; each vehicle has one reading on the way, so there is one assessment a reading.
    fn take(&self, newest: &[Assessment]) {
        if !self.is_measured.load(Ordering::Relaxed) || newest.is_empty() {
            return;
        }
        let scored = newest.iter().filter(|assessment| !assessment.scores.is_empty()).count();
        self.scored.fetch_add(scored as u64, Ordering::Relaxed);
        self.published.fetch_add(newest.len() as u64, Ordering::Relaxed);
        let mut batches = self.batch_readings.lock().unwrap_or_else(PoisonError::into_inner);
        batches.saturating_record(newest.len() as u64);
    }
}

/// One task.
struct Sender {
    inlet: LaneInlet,
    tally: Arc<Tally>,
    barrier: Arc<Barrier>,
    vehicle: VehicleId,
    drive: Drive,
    table: SignalTable,
    next: u32,
    payload: Vec<u8>,
}

impl Sender {
    async fn run(mut self, for_so_long: Duration) -> anyhow::Result<()> {
        self.send(HISTORY).await?;
        self.barrier.wait().await;
        self.tally.is_measured.store(true, Ordering::Relaxed);
        let began = Instant::now();
        let mut micros = Vec::new();
        while began.elapsed() < for_so_long {
            let sent = Instant::now();
            self.send(1).await?;
            micros.push(sent.elapsed().as_micros());
        }
        let finished = Finished { readings: micros.len(), within: began.elapsed() };
        self.tally.finished.lock().unwrap_or_else(PoisonError::into_inner).push(finished);
        let mut all = self.tally.micros.lock().unwrap_or_else(PoisonError::into_inner);
        for spent in micros {
            all.saturating_record(u64::try_from(spent).unwrap_or(LONGEST_MICROS).max(1));
        }
        Ok(())
    }

    /// One message of so many readings, and its receipt.
    async fn send(&mut self, readings: usize) -> anyhow::Result<()> {
        self.payload.clear();
        self.payload.push(b'[');
        let mut recorded_at = Timestamp::default();
        for number in 0..readings {
            if number > 0 {
                self.payload.push(b',');
            }
            recorded_at = Timestamp::from_micros(FIRST_MICROS).plus(EVERY * self.next);
            self.next += 1;
            self.drive.step(EVERY.as_secs_f32());
            let second = recorded_at.to_string();
            self.drive.write_json(second.trim_end_matches('Z'), 0, self.next.into(), &mut self.payload);
        }
        self.payload.push(b']');
        let context = DecodeContext {
            vehicle_id: &self.vehicle,
            received_at: recorded_at,
            source: Source::Mqtt,
            retention: Duration::MAX,
            table: &self.table,
            format: Some(Format::Json),
        };
        let decoded = decode(&Bytes::copy_from_slice(&self.payload), &context);
        anyhow::ensure!(decoded.quarantined.is_empty(), "a reading of the benchmark was quarantined");
        let (receipt, kept) = Receipt::new();
        let slot = self.vehicle.slot();
        let delivery = Delivery { slot, readings: decoded.readings, quarantined: Vec::new(), receipt };
        self.inlet.deliver(delivery).await?;
        let outcome = kept.await?;
        anyhow::ensure!(usize::try_from(outcome.accepted) == Ok(readings), "a reading of the benchmark was not accepted");
        Ok(())
    }
}

fn a_vehicle(number: usize) -> VehicleId {
    VehicleId::new(&format!("bench-{number}")).expect("letters, a dash and digits")
}

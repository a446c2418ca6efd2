//! A lane over history: the very code that judges live traffic, without journal, threads or clock. Reads no files: `evaluation`.

use super::lane::{Lane, LaneParts};
use crate::domain::{AlertEvent, Assessment, Delivery, Reading, Receipt, SLOTS, Timestamp};
use crate::journal::Batch;

/// Readings that are judged together, as a lane under load does.
const BATCH_READINGS: usize = 512;
/// What the clock alone changes is looked at this often, in the time of the readings.
const TICK_MICROS: i64 = 10_000_000;

/// Takes readings in the order of their arrival; `received_at` is its clock.
#[derive(Debug)]
pub struct OfflineLane {
    lane: Lane,
    waiting: Vec<Delivery>,
    batch: Batch,
    newest: Vec<Assessment>,
    ticked_at: i64,
    now: Timestamp,
}

impl OfflineLane {
    #[must_use]
    pub fn new(parts: LaneParts) -> Self {
        Self {
            lane: Lane::new(parts, &[0; SLOTS as usize]),
            waiting: Vec::with_capacity(BATCH_READINGS),
            batch: Batch::new(),
            newest: Vec::new(),
            ticked_at: i64::MIN,
            now: Timestamp::from_micros(0),
        }
    }

    /// Calls `told` with every change of an alert, in order; not at once, but before [`OfflineLane::finish`] returns.
    pub fn push(&mut self, reading: Reading, told: &mut impl FnMut(&AlertEvent)) {
        self.now = reading.received_at.max(self.now);
        let (receipt, _nobody_waits) = Receipt::new();
        let slot = reading.vehicle_id.slot();
        self.waiting.push(Delivery { slot, readings: vec![reading], quarantined: Vec::new(), receipt });
        let is_time = self.now.as_micros() >= self.ticked_at.saturating_add(TICK_MICROS);
        if self.waiting.len() == BATCH_READINGS || is_time {
            self.assess(told);
        }
        if is_time {
            self.ticked_at = self.now.as_micros();
            self.lane.tick(self.now, &mut self.batch);
            self.lane.told().iter().for_each(&mut *told);
            self.batch.clear();
        }
    }

    /// The newest assessment of every vehicle that moved in the last batch.
    pub fn newest(&mut self) -> &mut Vec<Assessment> {
        &mut self.newest
    }

    /// Judges what is waiting.
    pub fn finish(&mut self, told: &mut impl FnMut(&AlertEvent)) {
        self.assess(told);
    }

    fn assess(&mut self, told: &mut impl FnMut(&AlertEvent)) {
        if self.waiting.is_empty() {
            return;
        }
        self.newest.clear();
        self.lane.assess(&mut self.waiting, &mut self.batch, &mut self.newest);
        self.lane.told().iter().for_each(told);
        self.batch.clear();
    }
}

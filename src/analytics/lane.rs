//! One lane's work on one batch: place every reading in its window, score all of them together, encode what came of it. Waits for
//! nothing and reads no clock: `lanes` brings the deliveries and the time.

mod alerts;
mod counters;
mod models;
mod saved;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::alerting::{Seen, Tail};
use super::blueprint::Records;
use super::checks::Checks;
use super::claim::{Claim, Level};
use super::overload::Shed;
use super::profile::Cohorts;
use super::scoring::Scoring;
use super::vehicle::Vehicle;
use super::window::{SignalLayout, WindowLimits};
use crate::domain::{
    AlertEvent, Assessment, Delivery, Finding, ModelScore, NotScored, Outcome, Quality, Quarantined, Reading, SignalTable, Slot,
    Timestamp, Timing, VehicleId, VehicleRecord,
};
use crate::journal::Batch;
use crate::wire::record::{Assessed, RecordEncoder};

pub use alerts::Obeyed;
pub use counters::LaneCounters;
pub use saved::{CHECKPOINT_GROUPS_MAX, RestoreError, Shown, shown};

/// What a lane needs from outside.
#[derive(Debug)]
pub struct LaneParts {
    pub table: Arc<SignalTable>,
    pub scoring: Scoring,
    pub checks: Arc<Checks>,
    pub records: Records,
    pub window_bytes: usize,
    /// Vehicles are saved in this many groups, one after another.
    pub checkpoint_groups: usize,
}

/// Owns the vehicles of its slots.
#[derive(Debug)]
pub struct Lane {
    table: Arc<SignalTable>,
    encoder: RecordEncoder,
    scoring: Scoring,
    checks: Arc<Checks>,
    records: Records,
    /// Of the records that the vehicles hold.
    records_generation: u64,
    limits: WindowLimits,
    layout: SignalLayout,
    index: HashMap<VehicleId, u32>,
    vehicles: Vec<Owned>,
    /// What is normal for vehicles like each other.
    cohorts: Cohorts,
    cohorts_have_changed: bool,
    slots: Vec<SlotState>,
    /// Vehicles by group of slots that are not as they were saved.
    changed: Vec<Vec<u32>>,
    counters: LaneCounters,
    /// What the first pass over a batch found out about each reading; used again.
    found: Vec<Found>,
    /// Scores of one reading; used again.
    scores: Vec<ModelScore>,
    /// What checks said in the first pass, reading by reading; used again.
    waiting_claims: VecDeque<Claim>,
    /// Vehicles of which something raised in this batch; used again.
    raised: Vec<u32>,
    /// Readings that wait for the models' word; used again.
    unheard: Vec<Unheard>,
    /// All claims of one reading; used again.
    claims: Vec<Claim>,
    /// What is kept of them; used again.
    findings: Vec<Finding>,
    /// Changes of one vehicle's alerts; used again.
    events: Vec<AlertEvent>,
    /// Changes of all alerts in the last batch or tick.
    told: Vec<AlertEvent>,
    /// Time of the first tick.
    listening_since: Option<Timestamp>,
    /// Only while the tail of the journal is replayed.
    tail: Tail,
    /// Vehicles with an entry in the list of newest assessments, in its order; used again.
    published: Vec<u32>,
}

#[derive(Debug)]
struct Owned {
    id: VehicleId,
    slot: Slot,
    record: Option<Arc<VehicleRecord>>,
    state: Vehicle,
    has_changed: bool,
    /// Something raised in this batch, and its episodes have not heard of it.
    follows_all: bool,
    /// The first of its readings that wait for the models' word.
    unheard_since: Option<Timestamp>,
    /// Where its newest assessment of this batch stands in the list to publish.
    newest_at: Option<u32>,
}

/// What a lane keeps per slot, whether the slot is its own or not: two numbers each.
#[derive(Debug, Clone, Copy, Default)]
struct SlotState {
    next_arrival: u64,
    has_changed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Found {
    Duplicate,
    Reading { vehicle: u32, timing: Timing, judged: Result<usize, NotScored>, trust: Trust, claims: usize },
}

/// A reading that the profile of its vehicle has taken in before the models spoke about it.
#[derive(Debug, Clone, Copy)]
struct Unheard {
    vehicle: u32,
    at: Timestamp,
    /// In `scoring`.
    number: usize,
}

/// What the numbers and contents of a vehicle's readings said when this one came.
#[derive(Debug, Clone, Copy)]
struct Trust {
    quality: Quality,
    lost_before_us: u64,
}

impl Lane {
    /// A lane without vehicles, whose slots begin with the given numbers.
    ///
    /// # Panics
    /// Where there are no numbers for all slots, or no group.
    #[must_use]
    pub fn new(parts: LaneParts, next_arrival: &[u64]) -> Self {
        assert!(parts.checkpoint_groups > 0, "there is at least one group");
        let limits = WindowLimits::new(parts.scoring.keep(), parts.window_bytes);
        let slots = next_arrival.iter().map(|next_arrival| SlotState { next_arrival: *next_arrival, has_changed: false });
        Self {
            encoder: RecordEncoder::new(Arc::clone(&parts.table)),
            layout: SignalLayout::of(&parts.table),
            table: parts.table,
            scoring: parts.scoring,
            checks: parts.checks,
            records_generation: parts.records.generation.load(Ordering::Acquire),
            records: parts.records,
            limits,
            index: HashMap::new(),
            vehicles: Vec::new(),
            cohorts: Cohorts::default(),
            cohorts_have_changed: false,
            slots: slots.collect(),
            changed: vec![Vec::new(); parts.checkpoint_groups],
            counters: LaneCounters::default(),
            found: Vec::new(),
            scores: Vec::new(),
            waiting_claims: VecDeque::new(),
            raised: Vec::new(),
            unheard: Vec::new(),
            claims: Vec::new(),
            findings: Vec::new(),
            events: Vec::new(),
            told: Vec::new(),
            listening_since: None,
            tail: Tail::default(),
            published: Vec::new(),
        }
    }

    /// Assesses all deliveries, emptying the list. Frames and promises go to `batch` in the order of the deliveries, so that a
    /// duplicate is promised after its original; the newest assessment of every vehicle that moved is appended to `newest`.
    pub fn assess(&mut self, deliveries: &mut Vec<Delivery>, batch: &mut Batch, newest: &mut Vec<Assessment>) {
        self.scoring.clear();
        self.found.clear();
        self.told.clear();
        for delivery in &*deliveries {
            for reading in &delivery.readings {
                let found = self.place(delivery.slot, reading);
                self.found.push(found);
            }
        }
        self.hear_models();
        let mut next = 0;
        for delivery in deliveries.drain(..) {
            let mut outcome = Outcome::default();
            for quarantined in &delivery.quarantined {
                self.quarantine(delivery.slot, quarantined, batch);
            }
            for reading in delivery.readings {
                let found = self.found[next];
                next += 1;
                match found {
                    Found::Duplicate => outcome.duplicates += 1,
                    Found::Reading { vehicle, timing, judged, trust, claims } => {
                        outcome.accepted += 1;
                        self.claims.clear();
                        self.claims.extend(self.waiting_claims.drain(..claims));
                        let slot = delivery.slot;
                        self.conclude(Conclusion { reading, slot, vehicle, timing, judged, trust }, batch, newest);
                    }
                }
            }
            batch.promise(delivery.receipt, outcome);
        }
        for vehicle in self.raised.drain(..) {
            self.vehicles[vehicle as usize].follows_all = false;
        }
        for vehicle in self.published.drain(..) {
            self.vehicles[vehicle as usize].newest_at = None;
        }
        self.counters.flush();
    }

    /// What to leave out from the next batch on.
    pub const fn shed(&mut self, shed: Shed) {
        self.scoring.shed(shed);
    }

    /// From the next batch on.
    pub fn exchange(&mut self, checks: Arc<Checks>) {
        self.checks = checks;
    }

    /// Logs, at most once a minute per lane, what models failed at since the last time.
    pub fn report(&mut self, now: Timestamp) {
        self.counters.report(&mut self.scoring, now);
    }

    /// First pass: the window as of this reading, and the row that waits for the models.
    fn place(&mut self, slot: Slot, reading: &Reading) -> Found {
        let vehicle = self.vehicle(slot, &reading.vehicle_id);
        let state = &mut self.vehicles[vehicle as usize].state;
        let Some(placed) = state.place(reading, &self.limits) else { return Found::Duplicate };
        if placed.cut {
            self.counters.windows_cut += 1;
        }
        let judged = match (placed.timing, placed.step) {
            (Timing::Future, _) => Err(NotScored::Future),
            (_, None) => Err(NotScored::BeforeWindow),
            _ if placed.quality.is_clock_frozen => Err(NotScored::ClockFrozen),
            (timing, Some(step)) => Ok(self.ask_models(vehicle, Judge { timing, step, quality: &placed.quality })),
        };
        let trust =
            Trust { quality: placed.quality, lost_before_us: self.vehicles[vehicle as usize].state.sequence.lost_before_us() };
        self.counters.count_quality(&placed.quality, placed.skipped);
        self.claims.clear();
        if let Some(step) = placed.step {
            let judge = Judge { timing: placed.timing, step, quality: &placed.quality };
            self.check(vehicle, reading, judge);
            self.learn(vehicle, reading, judge);
        }
        if self.claims.iter().any(|claim| claim.level == Level::Raised) && !self.vehicles[vehicle as usize].follows_all {
            self.vehicles[vehicle as usize].follows_all = true;
            self.raised.push(vehicle);
        }
        let claims = self.claims.len();
        self.waiting_claims.extend(self.claims.drain(..));
        Found::Reading { vehicle, timing: placed.timing, judged, trust, claims }
    }

    /// Last pass: one frame, the newest state, the newest assessment.
    fn conclude(&mut self, conclusion: Conclusion, batch: &mut Batch, newest: &mut Vec<Assessment>) {
        let Conclusion { reading, slot, vehicle, timing, judged, trust: Trust { quality, lost_before_us } } = conclusion;
        self.scores.clear();
        if let Ok(number) = judged {
            self.claim_by_models(vehicle, number);
        }
        let judged = judged.and_then(|number| self.scoring.judged(number).scores(&mut self.scores));
        let not_scored = judged.err();
        self.counters.count(not_scored);
        let arrival = self.take_arrival(slot);
        let owned = &mut self.vehicles[vehicle as usize];
        owned.state.note_arrival(arrival);
        let moves = matches!(timing, Timing::InOrder | Timing::Delayed);
        let revision = self.checks.revision;
        self.findings.clear();
        self.findings.extend(self.claims.iter().filter_map(Claim::finding));
        let assessed = Assessed {
            reading: &reading,
            timing,
            scores: &self.scores,
            not_scored,
            quality,
            lost_before_us,
            findings: &self.findings,
            revision,
        };
        batch.push(slot, arrival, |out| {
            let start = out.len();
            self.encoder.assessment(assessed, out);
            if moves {
                owned.state.set_newest(&out[start..], arrival);
                owned.state.hear(&reading, arrival);
            }
        });
        self.note_change(vehicle, slot);
        let seen = Seen { vehicle_id: &reading.vehicle_id, reading: &reading, timing, arrival, configuration: revision };
        self.observe(vehicle, &seen);
        self.write_events(vehicle, batch);
        if moves {
            let (scores, findings) = (self.scores.clone(), self.findings.clone());
            let owned = &mut self.vehicles[vehicle as usize];
            let assessment =
                Assessment { reading, arrival, timing, scores, not_scored, quality, lost_before_us, findings, revision };
            if let Some(place) = owned.newest_at {
                newest[place as usize] = assessment;
            } else {
                owned.newest_at = Some(u32::try_from(newest.len()).expect("a batch is far below 4 billion readings"));
                newest.push(assessment);
                self.published.push(vehicle);
            }
        }
    }

    fn quarantine(&mut self, slot: Slot, quarantined: &Quarantined, batch: &mut Batch) {
        let arrival = self.take_arrival(slot);
        batch.push(slot, arrival, |out| RecordEncoder::quarantined(quarantined, out));
    }

    /// To be saved with the next checkpoint of its slot.
    fn note_change(&mut self, vehicle: u32, slot: Slot) {
        let owned = &mut self.vehicles[vehicle as usize];
        if !owned.has_changed {
            owned.has_changed = true;
            // A checkpoint says of each slot in it how far its states have come.
            self.slots[usize::from(slot.number())].has_changed = true;
            let groups = self.changed.len();
            self.changed[group_of(slot, groups)].push(vehicle);
        }
    }

    fn take_arrival(&mut self, slot: Slot) -> u64 {
        let state = &mut self.slots[usize::from(slot.number())];
        state.has_changed = true;
        state.next_arrival += 1;
        state.next_arrival - 1
    }

    fn vehicle(&mut self, slot: Slot, id: &VehicleId) -> u32 {
        if let Some(vehicle) = self.index.get(id) {
            return *vehicle;
        }
        self.own(slot, id.clone(), Vehicle::default())
    }

    fn own(&mut self, slot: Slot, id: VehicleId, state: Vehicle) -> u32 {
        let vehicle = u32::try_from(self.vehicles.len()).expect("memory ends before 4 billion vehicles");
        self.index.insert(id.clone(), vehicle);
        let record = (self.records.of)(&id);
        self.vehicles.push(Owned {
            id,
            slot,
            record,
            state,
            has_changed: false,
            follows_all: false,
            unheard_since: None,
            newest_at: None,
        });
        vehicle
    }
}

/// How a reading was placed, as checks and models need it.
#[derive(Clone, Copy)]
struct Judge<'a> {
    timing: Timing,
    step: usize,
    quality: &'a Quality,
}

/// A reading with all that was found out about it.
struct Conclusion {
    reading: Reading,
    slot: Slot,
    vehicle: u32,
    timing: Timing,
    judged: Result<usize, NotScored>,
    trust: Trust,
}

/// Slots are saved in groups, so that a checkpoint is many small ones, each whole for its slots.
fn group_of(slot: Slot, groups: usize) -> usize {
    usize::from(slot.number()) % groups
}

#[cfg(test)]
mod tests;

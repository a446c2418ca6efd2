//! Everything that a reading is checked against, besides models: one immutable snapshot with a revision. Opens no alerts: `alerting`.

use std::sync::{Arc, LazyLock};

use super::alerting::Episodes;
use super::bytes::{ByteReader, Damaged};
use super::claim::Claim;
use super::fences::{FenceSet, Memberships, Sighting};
use super::rules::{Context, Heard, RuleMemory, Rules, Silence};
use super::window::Window;
use crate::domain::{Class, Position, Quality, Reading, Timestamp, Timing, VehicleRecord};

/// Positions older than these many steps say nothing about the way here.
const PREVIOUS_POSITION_STEPS: usize = 16;

/// Exchanged as a whole between two batches.
#[derive(Debug, Default)]
pub struct Checks {
    /// Of the configuration; stands beside every assessment.
    pub revision: u64,
    pub rules: Rules,
    pub fences: Arc<FenceSet>,
}

/// One reading where it stands in its vehicle's window.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    pub window: &'a Window,
    pub step: usize,
    pub reading: &'a Reading,
    pub timing: Timing,
    /// Bad data is not a bad vehicle: a position that cannot be believed is in no fence.
    pub quality: &'a Quality,
    /// `None`: nobody registered the vehicle.
    pub record: Option<&'a VehicleRecord>,
    pub episodes: &'a Episodes,
    /// Something raised before it in the same batch: `episodes` does not know it yet, so that all checks have to speak.
    pub follows_all: bool,
}

/// What checks remember of one vehicle.
#[derive(Debug, Clone, Default)]
pub struct CheckMemory {
    pub rules: RuleMemory,
    pub fences: Memberships,
}

impl Checks {
    /// Appends what rules and fences say. Returns how many fences were not watched for want of room.
    pub fn check(&self, at: &At<'_>, memory: &mut CheckMemory, claims: &mut Vec<Claim>) -> usize {
        let At { window, step, reading, timing, record, episodes, follows_all, .. } = *at;
        let context = Context { reading, timing, window, step, record };
        self.rules.check(&context, &mut memory.rules, |key| follows_all || episodes.follows(key), claims);
        let Some(sighting) = sighting(at) else { return 0 };
        self.fences.check(&sighting, &mut memory.fences, claims)
    }

    /// For whoever wants to know what models find alone.
    #[must_use]
    pub fn without_rules(&self) -> Self {
        Self { revision: self.revision, rules: Rules::none(), fences: Arc::clone(&self.fences) }
    }

    /// For recordings: where one ends, nobody fell silent.
    #[must_use]
    pub fn without_silence(&self) -> Self {
        Self { revision: self.revision, rules: self.rules.clone().without_silence(), fences: Arc::clone(&self.fences) }
    }

    /// Whether nothing came for longer than this vehicle's silence may last, by our clock; not of a vehicle that is parked.
    #[must_use]
    pub fn silence(&self, heard: &Heard<'_>, now: Timestamp) -> Silence {
        self.rules.silence(heard, now).unwrap_or(Silence { is_silent: false, claim: None })
    }
}

impl CheckMemory {
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.rules.encode(out);
        self.fences.encode(out);
    }

    /// # Errors
    /// Where the bytes are not what this version writes.
    pub fn decode(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        Ok(Self { rules: RuleMemory::decode(from)?, fences: Memberships::decode(from)? })
    }
}

/// `None`: the reading has no position that fences can use, or says nothing about now.
fn sighting<'a>(at: &At<'a>) -> Option<Sighting<'a>> {
    static UNKNOWN: LazyLock<Class> = LazyLock::new(Class::default);
    let is_of_now = matches!(at.timing, Timing::InOrder | Timing::Delayed) && at.quality.position.is_none();
    let position = at.reading.position.filter(|_| is_of_now)?;
    Some(Sighting {
        previous: previous_position(at),
        position,
        recorded_at: at.reading.recorded_at,
        speed_km_per_h: at.window.signal_at(crate::domain::signal::SPEED, at.step),
        class: at.record.map_or(&UNKNOWN, |record| &record.class),
        groups: at.record.map_or(&[], |record| &record.groups),
    })
}

fn previous_position(at: &At<'_>) -> Option<(Position, Timestamp)> {
    let steps = (0..at.step).rev().take(PREVIOUS_POSITION_STEPS);
    let mut known = steps.filter_map(|step| Some((at.window.position_at(step)?, at.window.recorded_at(step))));
    known.next()
}
